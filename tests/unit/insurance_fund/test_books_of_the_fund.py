"""What a pool counts as its fund's, and how far a floor binds what it takes over."""

from streams.domain.events import AdlState, FlowCause, InstructionKind, MarginMode, PositionSide
from tests.support.pools_desk import Desk, deficit, instrument, mark, pool, position


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


def taken_over(desk: Desk, account: int, number: int, quote: int = 1_000) -> None:
    """The fund takes 10 lots at a mark of 100 over, and has them."""
    desk.at(position(account, 10, quote, ticks=100, number=number))
    desk.at(*desk.answers(desk.last(InstructionKind.TAKEOVER)))


def test_the_worst_of_one_unwind_is_not_risked_a_second_time_by_another_instrument() -> None:
    desk = Desk()
    desk.at(instrument(), instrument(2), pool(unwind_limit_ppm=50_000), desk.opening(60), mark(100), mark(100, 2))
    taken_over(desk, 1, 1)
    taken_over(desk, 2, 2)
    # 5 % of 100 is 5 a lot: the first may cost 50 of 60, which leaves 10 for two lots of the second.
    assert desk.sent(InstructionKind.UNWIND, "instrument", "lots") == [(1, -10), (2, -2)]


def test_a_cover_does_not_pay_with_what_an_unwind_may_cost() -> None:
    desk = Desk()
    desk.at(instrument(), pool(unwind_limit_ppm=50_000), desk.opening(60), mark(100))
    taken_over(desk, 1, 1)
    desk.at(deficit(3, 30))
    assert desk.sent(InstructionKind.COVER, "amount") == [10]
    desk.at(*desk.answers(desk.last(InstructionKind.COVER)))
    desk.at(*desk.answers(desk.last(InstructionKind.UNWIND), ticks=100))  # it has cost nothing
    assert desk.sent(InstructionKind.COVER, "amount") == [10, 20]


def test_adl_is_left_when_the_lots_that_were_refused_would_fit_the_cap() -> None:
    desk = Desk()
    desk.at(instrument(), pool(net_notional_cap=1_500, adl_stop_value=0), desk.opening(10**6), mark(100))
    taken_over(desk, 1, 1, quote=1_010)
    desk.at(position(2, 10, 1_010, ticks=100))  # 5 of 10 lots fit
    desk.at(mark(100))
    assert desk.all("pool-states", "state") == [AdlState.ADL]
    desk.at(*desk.answers(desk.sent(InstructionKind.UNWIND)[0], ticks=100))  # 10 lots are gone: 5 and the 5 refused fit
    desk.at(mark(100))
    assert desk.all("pool-states", "state") == [AdlState.ADL, AdlState.NORMAL]


def test_a_refused_payment_is_not_sent_again_because_another_instrument_moved() -> None:
    desk = Desk()
    desk.at(instrument(), instrument(2), pool(), desk.opening(60), mark(100), mark(100, 2))
    desk.at(deficit(3, 30, group_instrument=1, group_side=PositionSide.ONE_WAY))
    desk.at(*desk.answers(desk.last(InstructionKind.COVER), executed=0))
    desk.at(mark(101, 2))
    assert len(desk.sent(InstructionKind.COVER)) == 1
    desk.at(mark(101))
    assert desk.sent(InstructionKind.COVER, "attempt", "margin_mode", "instrument", "counter_margin_mode", "counter_instrument") == [
        (1, MarginMode.ISOLATED, 1, MarginMode.CROSS, None), (2, MarginMode.ISOLATED, 1, MarginMode.CROSS, None),
    ]  # fmt: skip
