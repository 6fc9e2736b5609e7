"""A bound at the door never keeps anybody from getting out."""

import pytest

from streams.domain.events import DeadLetterReason, FillKind, MarginMode, PositionSide, UpdateKind
from tests.support.risk_rows import Desk, Record, instrument, pool


def lowered() -> Desk:
    """Account 1 holds 1,000 lots; then the most that anybody may hold becomes 500."""
    desk = Desk()
    desk.feed(instrument(max_lots=1_000), pool(), *desk.opening(1, 100_000, (1, 1_000, 100_000)), desk.mark(100))
    desk.feed(instrument(max_lots=500, version=2))
    return desk


@pytest.mark.parametrize("kind", [FillKind.TRADE, FillKind.LIQUIDATION])
def test_a_fill_that_shrinks_a_position_is_applied_although_what_is_left_is_above_the_bound(kind: FillKind) -> None:
    desk = lowered()
    assert desk.feed(desk.fill(1, -100, -10_000, kind=kind)).refusals == []
    assert desk.position(1) == (900, 90_000)


def test_a_fill_that_enlarges_it_is_refused() -> None:
    desk = lowered()
    out = desk.feed(desk.fill(1, 1, 100))
    assert [r.reason for r in out.refusals] == [DeadLetterReason.OUT_OF_BOUNDS]


def snapshot(desk: Desk, lots: int) -> list[Record]:
    position = {"instrument": 1, "position_side": PositionSide.ONE_WAY, "lots": lots, "cost": 0, "margin_mode": MarginMode.CROSS}
    return [
        desk.update(1, UpdateKind.SNAPSHOT, 10, part=0, parts=2),
        desk.update(1, UpdateKind.SNAPSHOT, 0, part=1, parts=2, **position),
    ]


def test_a_snapshot_says_what_is_there_although_it_is_above_the_bound_but_not_beyond_what_can_be_valued() -> None:
    desk = lowered()
    assert desk.feed(*snapshot(desk, 900)).refusals == []
    assert desk.position(1) == (900, 0)
    out = desk.feed(*snapshot(desk, 2**52))  # at the greatest mark of 10^6 no value fits
    assert [r.reason for r in out.refusals] == [DeadLetterReason.OUT_OF_BOUNDS]
