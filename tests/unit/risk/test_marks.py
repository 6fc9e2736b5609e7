"""What marks and parameters do to the ladder: where nothing may be ordered an episode waits, and goes on at the first mark that allows it."""

from typing import Any

import pytest

from streams.domain.events import Grade, GroupState, InstructionKind
from streams.domain.instruments import Use
from tests.support.risk_rows import Desk, instrument, pool


def long_ten_at_100(**more: Any) -> Desk:
    """Account 11: wallet 200, 10 lots bought at 100. Equity 200 at 100, 80 at 88, 40 at 84; maintenance at 84: 5 % of 840 = 42."""
    desk = Desk()
    desk.feed(instrument(**more), pool(), *desk.opening(11, 200, (1, 10, 1_000)), *desk.opening(12, 10**6, (1, -10, -1_000)))
    desk.feed(desk.mark(100), desk.mark(100))
    return desk


def orders(desk: Desk) -> list[int]:
    return [row["lots"] for row in desk.rows("instructions") if row["kind"] == InstructionKind.LIQUIDATE]


def test_a_stale_mark_tells_the_state_and_orders_nothing_until_a_good_one_comes() -> None:
    desk = long_ten_at_100()
    desk.feed(desk.mark(84, grade=Grade.STALE))
    assert [row["state"] for row in desk.rows("account-states")] == [GroupState.LIQUIDATABLE]
    assert desk.machine.book.grade_of(1) == Grade.STALE
    assert orders(desk) == []
    desk.feed(desk.mark(84))
    assert orders(desk) == [-10]


def test_an_instrument_that_lets_stale_marks_order_does_so_at_once() -> None:
    desk = long_ten_at_100(stale_allows=int(Use.DETECTION | Use.ORDER))
    desk.feed(desk.mark(84, grade=Grade.STALE))
    assert orders(desk) == [-10]


@pytest.mark.parametrize("ticks", [0, 10**6 + 1])
def test_after_a_mark_out_of_bounds_nothing_is_decided_before_a_valid_one(ticks: int) -> None:
    desk = long_ten_at_100()
    out = desk.feed(desk.mark(ticks))
    assert [name for name, _ in out.alarms] == ["mark_out_of_bounds"]
    assert not desk.machine.book.allows(1, Use.ORDER)
    desk.feed(desk.mark(84))
    assert orders(desk) == [-10]


def test_a_refused_change_halts_the_instrument_until_a_valid_version_and_a_valid_mark_come() -> None:
    desk = long_ten_at_100()
    out = desk.feed(instrument(version=2, unit=3))
    assert [name for name, _ in out.alarms] == ["instrument_halted"]
    desk.feed(desk.mark(84))
    assert desk.machine.book.mark_of(1)[0] == 100
    out = desk.feed(instrument(version=2, unit=3), instrument(version=1))  # the same again, and what is in force
    assert len(out.refusals) == 1
    desk.feed(instrument(version=3))
    assert desk.machine.book.grade_of(1) == Grade.FROZEN
    desk.feed(desk.mark(84))
    assert orders(desk) == [-10]


def test_an_instrument_without_its_pool_is_valued_and_what_waited_goes_on_when_the_pool_comes() -> None:
    desk = Desk()
    desk.feed(instrument(), *desk.opening(11, 200, (1, 10, 1_000)), *desk.opening(12, 10**6, (1, -10, -1_000)), desk.mark(100))
    desk.feed(desk.mark(84))
    assert [row["state"] for row in desk.rows("account-states")] == [GroupState.LIQUIDATABLE]
    assert orders(desk) == []
    desk.feed(pool())
    assert orders(desk) == [-10]


def test_a_snapshot_keeps_how_far_an_instrument_can_be_trusted() -> None:
    desk = long_ten_at_100()
    desk.feed(desk.mark(0), instrument(version=2, unit=3))
    again = Desk().machine
    again.restore(desk.machine.snapshot())
    assert again.digest() == desk.machine.digest()
    assert again.book.standing(1) == desk.machine.book.standing(1)
