"""Events that come again under a new number, and records that contradict themselves."""

from typing import Any

import pytest

from streams.domain.events import DeadLetterReason, GroupState, MarginMode, PositionSide, Role, UpdateKind
from streams.risk.machine import RiskMachine
from streams.risk.repeats import PLACES
from tests.support.healing import Story
from tests.support.risk_rows import Desk, Record, instrument, pool
from tests.support.told import Teller


def opened(*accounts: int) -> Desk:
    desk = Desk()
    desk.feed(instrument(), instrument(2), pool(), *[part for account in accounts for part in desk.opening(account, 1_000)])
    return desk


def again(desk: Desk, record: Record, **other: Any) -> Record:
    """The event under the account's next number, and with a time of its own."""
    stream, row = record
    return stream, {**row, "account_seq": desk.seq(row["account"]), "event_time_us": desk.now(), **other}


@pytest.mark.parametrize("in_one_step", [False, True])
def test_a_fill_sent_again_under_a_new_number_is_refused_and_makes_the_account_suspect(in_one_step: bool) -> None:
    desk = opened(1)
    first = desk.fill(1, 10, 1_000)
    second = again(desk, first)
    out = desk.feed(first, second) if in_one_step else (desk.feed(first), desk.feed(second))[1]
    assert desk.position(1) == (10, 1_000)
    assert [(r.reason, r.account) for r in out.refusals] == [(DeadLetterReason.BAD_VALUE, 1)]
    assert out.refusals[0].detail.startswith("sent again under a new number: an event with the same trade id")
    assert [row["state"] for row in desk.rows("account-states", out)] == [GroupState.SUSPECT]


@pytest.mark.parametrize(
    "other",
    [
        {"trade_id": 4}, {"leg": 1}, {"counter_account": 98}, {"instrument": 2}, {"position_side": PositionSide.LONG}, {"lots": 11},
        {"lots": -10, "quote": -1_000}, {"quote": 1_001},
    ],
)  # fmt: skip
def test_what_differs_in_anything_but_number_and_time_is_another_fill(other: dict[str, Any]) -> None:
    desk = opened(1)
    first = desk.fill(1, 10, 1_000)
    assert desk.feed(first, again(desk, first, **other)).refusals == []


def test_fills_without_a_trade_id_are_not_compared() -> None:
    desk = opened(1)
    first = desk.fill(1, 10, 1_000, trade_id=0)
    assert desk.feed(first, again(desk, first)).refusals == []
    assert desk.position(1) == (20, 2_000)


def test_one_delivered_twice_under_its_number_is_no_repetition() -> None:
    desk = opened(1)
    first = desk.fill(1, 10, 1_000)
    assert desk.feed(first, first, desk.fill(1, 1, 100)).refusals == []
    assert desk.feed(first).refusals == []
    assert desk.position(1) == (11, 1_100)


def test_an_update_sent_again_is_refused_and_a_snapshot_never() -> None:
    desk = opened(1)
    deposit = desk.update(1, UpdateKind.DEPOSIT, 5)
    out = desk.feed(deposit, again(desk, deposit))
    assert (desk.wallet(1), [r.reason for r in out.refusals]) == (1_005, [DeadLetterReason.BAD_VALUE])
    (snapshot,) = desk.opening(1, 1_005)
    assert desk.feed(snapshot, again(desk, snapshot)).refusals == []


def test_the_same_may_come_once_more_where_it_was_refused_before() -> None:
    desk = opened(1)
    early = desk.fill(1, 10, 1_000, number=3)  # nobody knows the instrument yet
    assert [r.reason for r in desk.feed(early).refusals] == [DeadLetterReason.UNKNOWN_INSTRUMENT]
    assert desk.feed(instrument(3), again(desk, early)).refusals == []
    assert desk.position(1, 3) == (10, 1_000)


def test_a_restored_machine_remembers_what_it_has_heard() -> None:
    desk = opened(1)
    first = desk.fill(1, 10, 1_000)
    desk.feed(first, desk.fill(1, 10, 1_000, number=7))
    twin = Desk(machine=RiskMachine(0, 1), offset=desk.offset)
    twin.machine.restore(desk.machine.snapshot())
    assert twin.machine.digest() == desk.machine.digest()
    assert [r.reason for r in twin.feed(again(desk, first)).refusals] == [DeadLetterReason.BAD_VALUE]


def test_the_memory_is_bounded_and_finds_what_came_a_hundred_events_ago() -> None:
    desk = opened(1)
    first = desk.fill(1, 1, 100)
    desk.feed(first, *[desk.fill(1, 1 - 2 * (n % 2), 100 - 200 * (n % 2)) for n in range(100)])
    assert [r.reason for r in desk.feed(again(desk, first)).refusals] == [DeadLetterReason.BAD_VALUE]
    assert desk.machine.snapshot()["events_heard"].num_rows <= min(PLACES, 101)


@pytest.mark.parametrize(("lots", "quote"), [(1, -100), (-1, 100)])
def test_a_trade_whose_quote_has_another_sign_than_its_lots_is_refused(lots: int, quote: int) -> None:
    desk = opened(1)
    out = desk.feed(desk.fill(1, 1, 100), desk.fill(1, lots, quote), desk.fill(1, 2, 200))
    assert [(r.index, r.reason) for r in out.refusals] == [(1, DeadLetterReason.BAD_VALUE)]
    assert desk.position(1) == (3, 300)


def test_a_price_below_zero_is_said_by_price_ticks() -> None:
    desk = opened(1)
    assert desk.feed(desk.fill(1, 1, -100, price_ticks=-100)).refusals == []
    assert desk.position(1) == (1, -100)


@pytest.mark.parametrize(("kind", "amount"), [(UpdateKind.DEPOSIT, -5), (UpdateKind.WITHDRAWAL, 5)])
def test_money_that_goes_the_other_way_than_is_said_is_refused(kind: UpdateKind, amount: int) -> None:
    desk = opened(1)
    out = desk.feed(desk.update(1, kind, amount), desk.update(1, UpdateKind.FEE, 3), desk.update(1, UpdateKind.FEE, -2))
    assert [(r.index, r.reason) for r in out.refusals] == [(0, DeadLetterReason.BAD_VALUE)]  # a fee may be a rebate
    assert desk.wallet(1) == 1_001


CROSS = {"instrument": 1, "position_side": PositionSide.ONE_WAY, "lots": 1, "cost": 100, "margin_mode": MarginMode.CROSS}


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([{"amount": 500, "asset": 2}, {"amount": 0, **CROSS}], "a position in instrument 1 and no wallet of asset 1"),
        ([{"amount": 0, **CROSS}], "a position in instrument 1 and no wallet of asset 1"),
        ([{"amount": 500}, {"amount": 500}], "gives the wallet of asset 1 twice"),
        ([{"amount": 500}, {"amount": 500, "asset": 2}, {"amount": 0, **CROSS}], None),
        ([{"amount": 500, **CROSS}], None),
        ([{"amount": 500, **CROSS, "margin_mode": MarginMode.ISOLATED}], None),
        ([{"amount": 500, "asset": 2}, {"amount": 0, **CROSS, "asset": 2}], "does not settle in asset 2"),
    ],
)
def test_a_snapshot_says_once_what_each_wallet_holds(parts: list[dict[str, Any]], words: str | None) -> None:
    desk = opened(1)
    rows = [desk.update(1, UpdateKind.SNAPSHOT, **part, part=n, parts=len(parts), role=Role.USER) for n, part in enumerate(parts)]
    details = [refusal.detail for refusal in desk.feed(*rows).refusals]
    assert (len(details), words is None or words in details[0]) == (0 if words is None else 1, True)


def test_a_copy_that_stands_in_another_partition_does_not_make_the_fill_forgotten() -> None:
    story = Story()
    story.open(1)
    stream, row = story.desk.fill(1, 10, 1_000)
    story.say((stream, row))
    story.say((stream, {**row, "account_seq": 9}), 2)  # account 1 stands in partition 1
    story.say(again(story.desk, (stream, row)))
    teller = Teller()
    teller.take(story.said)
    assert teller.position(1) == (10, 1_000)
    assert [detail.split(":")[0] for detail in teller.said("dead-letters", "detail")] == [
        "the account has stood in partition 1 so far", "sent again under a new number",
    ]  # fmt: skip
