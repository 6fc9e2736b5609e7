"""What a pool counts as its fund's, and how far a floor binds what it takes over."""

from streams.domain.events import FlowCause, InstructionKind
from tests.support.pools_desk import Desk, instrument, mark, pool, position


def opened(cash: int, **parameters: int) -> Desk:
    desk = Desk()
    desk.at(instrument(), pool(**parameters))
    desk.at(desk.opening(cash), mark(88))
    return desk


def test_a_movement_in_another_asset_is_not_counted_and_alarmed() -> None:
    desk = opened(100)
    stream, row = desk.flow(FlowCause.DEPOSIT, cash=50)
    desk.at((stream, {**row, "asset": 2, "wallet_after": 50}))
    assert desk.machine.fund.books.fund(1).wallet == 100
    assert [name for name, _ in desk.alarms] == ["fund_holds_another_asset"]


def test_a_floor_above_zero_binds_takeovers_too() -> None:
    # A lot costs the fund 2; of 10 it may take two above a floor of 96 in 100, and all ten above none.
    for floor, taken in ((96, -2), (0, -10)):
        desk = opened(100, fund_floor_value=floor)
        desk.at(position(11, 10, 900, ticks=88))
        assert desk.sent(InstructionKind.TAKEOVER, "lots") == [taken]


def test_a_second_opening_replaces_inventory_and_changes_the_ledger_by_the_difference() -> None:
    desk = opened(100)
    desk.at(desk.flow(FlowCause.OPENING, lots=3, quote=264))
    desk.at(desk.flow(FlowCause.OPENING, cash=-20))
    desk.at(desk.flow(FlowCause.OPENING, lots=-3, quote=-264))
    books = desk.machine.fund.books
    assert (books.fund(1).wallet, books.fund(1).gap, books.holding(1, 1).lots) == (80, 0, 0)
