"""Whatever is instructed: the book's sums stay zero, sequences have no gap, every instruction gets one terminal result per party."""

from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.domain.events import InstructionKind, Outcome, PositionSide
from streams.venue.exchange import Exchange
from streams.venue.scenarios.examples import FUND, L2, MAKER, S1, S2, S3, L, example_c, example_d, example_e
from tests.support.desk import instruction

ACCOUNTS = st.sampled_from([L, L2, S1, S2, S3, MAKER, FUND])
SIDES = st.sampled_from([int(PositionSide.ONE_WAY), int(PositionSide.LONG), int(PositionSide.SHORT)])
KINDS = st.sampled_from([k for k in InstructionKind if k != InstructionKind.UNKNOWN])


@st.composite
def instructions(draw: st.DrawFn) -> dict[str, Any]:
    """Any instruction a confused pipeline might send, well-formed only."""
    kind, account = draw(KINDS), draw(ACCOUNTS)
    lots = draw(st.integers(-40, 40).filter(bool))
    fields: dict[str, Any] = {"instrument": 1, "position_side": draw(SIDES)}
    if kind in (InstructionKind.COVER, InstructionKind.SOCIALISE):
        fields |= {"counter_account": draw(ACCOUNTS.filter(lambda a: a != account)), "amount": draw(st.integers(1, 10**9))}
        if draw(st.booleans()):
            fields |= {"instrument": None, "position_side": None}
    elif kind == InstructionKind.CANCEL_ORDERS:
        fields = {}
    else:
        fields["lots"] = lots
        quote = lots * draw(st.integers(-5, 200))
        if kind == InstructionKind.LIQUIDATE:
            fields["quote_limit"] = quote
        elif kind != InstructionKind.UNWIND:
            fields |= {"quote": quote, "counter_account": draw(ACCOUNTS), "counter_position_side": draw(SIDES)}
    return instruction(kind, account, draw(st.integers(2000, 2100)), draw(st.integers(0, 3)), valid_until_us=draw(st.integers(2000, 2100)), **fields)


@given(example=st.sampled_from([example_c, example_d, example_e]), sent=st.lists(st.lists(instructions(), max_size=8), max_size=5))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_any_stream_of_instructions_keeps_the_sums_and_gets_one_result_per_party(example: Any, sent: list[list[dict[str, Any]]]) -> None:
    exchange = Exchange(example(6))
    told: dict[int, dict[str, Any]] = {}
    said: list[tuple[str, int, dict[str, Any]]] = []
    bunches = iter(sent)
    while (records := exchange.next_records()) is not None:
        exchange.book.check()
        said += records
        for one in (bunch := next(bunches, [])):
            told.setdefault(one["instruction_id"], one)
        exchange.accept(bunch)
    _check_sequences(said)
    results = Counter((r["instruction_id"], r["account"]) for stream, _, r in said if stream == "instruction-results")
    parties = {(i, party) for i, one in told.items() for party in (one["account"], one.get("counter_account") or one["account"])}
    assert results == Counter(dict.fromkeys(parties, 1))
    for trade, net in _by_trade(said).items():
        assert net == (0, 0, 2), trade
    for stream, _, r in said:
        if stream == "instruction-results":
            one = told[r["instruction_id"]]
            assert r["executed_lots"] <= abs(one.get("lots") or 0)
            assert (r["outcome"] != Outcome.EXPIRED) == (r["event_time_us"] <= one["valid_until_us"])


def _check_sequences(said: list[tuple[str, int, dict[str, Any]]]) -> None:
    seen: dict[int, int] = {}
    for stream, _, row in said:
        if stream in ("fills", "account-updates", "instruction-results"):
            assert row["account_seq"] == seen.get(row["account"], 0) + 1
            seen[row["account"]] = row["account_seq"]
    times = [row["event_time_us"] for _, _, row in said]
    assert times == sorted(times)


def _by_trade(said: list[tuple[str, int, dict[str, Any]]]) -> dict[int, tuple[int, int, int]]:
    trades: dict[int, tuple[int, int, int]] = {}
    for stream, _, row in said:
        if stream == "fills":
            lots, quote, count = trades.get(row["trade_id"], (0, 0, 0))
            trades[row["trade_id"]] = lots + row["lots"], quote + row["quote"], count + 1
    return trades
