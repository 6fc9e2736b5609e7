"""Who is told what."""

from typing import Any

import pytest

from streams.domain.events import AdlState, InsolvencyKind, PositionSide, Severity
from streams.notify.messages import READS, Source, notifications_for
from streams.notify.names import Names, Unit

SOURCE = Source("pool-states", 0, 41)
NAMES = Names(instruments={7: {"symbol": "SOL", "asset": 1}}, pools={1: {"asset": 1}}, units={1: Unit("USD", 6)})


def pool_state(**changes: Any) -> dict[str, Any]:
    row = {
        "event_time_us": 5,
        "pool": 1,
        "instrument": 7,
        "state": AdlState.ADL,
        "value": 1_234_567,
        "wallet": 2,
        "threshold": None,
        "reason": "refused",
    }
    return row | changes


def insolvency(**changes: Any) -> dict[str, Any]:
    row = {
        "event_time_us": 5,
        "kind": InsolvencyKind.POSITION,
        "pool": 1,
        "account": 99,
        "partition": 3,
        "group_instrument": None,
        "group_side": None,
        "episode": 2,
        "asset": 1,
        "revision": 1,
        "instrument": 7,
        "position_side": PositionSide.ONE_WAY,
        "lots": -10,
        "bankruptcy_quote": 900,
        "deficit": 0,
        "mark_ticks": 88,
        "mark_sequence": 4,
    }
    return row | changes


def test_entering_adl_is_critical_for_the_operator() -> None:
    (message,) = notifications_for("pool-states", pool_state(), SOURCE, NAMES)
    assert (message["audience_account"], message["severity"], message["kind"]) == (None, Severity.CRITICAL, "adl_entered")
    assert message["text"] == (
        "Auto-deleveraging has started for SOL in pool 1: the fund takes over no more positions there. "
        "The fund's value is 1.234567 USD. Reason: refused."
    )


def test_the_threshold_that_decided_is_told_in_the_asset() -> None:
    row = pool_state(threshold=2_500_000, reason="the fund's value is at or below the start threshold")
    (message,) = notifications_for("pool-states", row, SOURCE, NAMES)
    assert message["text"].endswith("The fund's value is 1.234567 USD. Reason: the fund's value is at or below the start threshold of 2.5 USD.")


def test_what_nobody_has_named_is_told_by_its_number_and_in_settlement_units() -> None:
    (message,) = notifications_for("pool-states", pool_state(), SOURCE, Names(pools={1: {"asset": 3}}))
    assert "has started for 7 in pool 1" in message["text"]
    assert "The fund's value is 1,234,567 units of asset 3." in message["text"]


def test_leaving_adl_is_information() -> None:
    (message,) = notifications_for("pool-states", pool_state(state=AdlState.NORMAL, reason=""), SOURCE, NAMES)
    assert (message["severity"], message["kind"]) == (Severity.INFO, "adl_left")
    assert "Reason" not in message["text"]


def test_an_insolvent_position_is_told_to_the_operator_and_to_its_account() -> None:
    operator, account = notifications_for("insolvencies", insolvency(), Source("insolvencies", 0, 8), NAMES)
    assert (operator["audience_account"], operator["severity"]) == (None, Severity.WARNING)
    assert (account["audience_account"], account["severity"]) == (99, Severity.CRITICAL)
    assert "10 lots short in SOL" in account["text"]
    assert "99" not in operator["text"]  # the operator's channel names no account


def test_a_deficit_is_critical_for_the_operator_only() -> None:
    row = insolvency(kind=InsolvencyKind.DEFICIT, instrument=None, position_side=None, lots=0, deficit=16_000)
    (message,) = notifications_for("insolvencies", row, Source("insolvencies", 0, 9), NAMES)
    assert (message["audience_account"], message["severity"], message["kind"]) == (None, Severity.CRITICAL, "deficit_left")
    assert "owes 0.016 USD now" in message["text"]


@pytest.mark.parametrize(
    ("stream", "row"),
    [
        ("insolvencies", insolvency(kind=InsolvencyKind.CLOSED)),
        ("insolvencies", insolvency(revision=2)),
        ("insolvencies", insolvency(kind=InsolvencyKind.UNKNOWN)),
        ("pool-states", pool_state(state=AdlState.UNKNOWN)),
        ("marks", {"event_time_us": 1}),
    ],
)
def test_rows_that_concern_nobody_give_no_message(stream: str, row: dict[str, Any]) -> None:
    assert notifications_for(stream, row, SOURCE, NAMES) == []


def test_each_message_names_its_cause_in_the_log() -> None:
    (message,) = notifications_for("pool-states", pool_state(), SOURCE, NAMES)
    assert (message["source_topic"], message["source_partition"], message["source_offset"]) == ("pool-states", 0, 41)
    assert message["event_time_us"] == 5


def test_the_streams_read_are_the_ones_that_lead_to_messages() -> None:
    assert READS == ("pool-states", "insolvencies")
