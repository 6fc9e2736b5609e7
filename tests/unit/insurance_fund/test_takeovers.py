"""How much the fund takes over, what it reserves for it, and how it sells it again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.events import AdlState, FlowCause, InstructionKind, LedgerAccount
from streams.insurance_fund.takeover import bearable_lots, lots_within_cap, lots_within_quote
from tests.support.examples import EXAMPLES
from tests.support.pools_desk import FUND_PARTITION, Desk, closed, instrument, mark, pool, position

TAKEOVER, UNWIND = InstructionKind.TAKEOVER, InstructionKind.UNWIND


def desk_with(cash: int, *marks: int, **parameters: int) -> Desk:
    desk = Desk()
    desk.at(instrument(), instrument(2), pool(**parameters))
    desk.at(desk.opening(cash))
    for ticks in marks:
        desk.at(mark(ticks), mark(50, 2))
    return desk


def value(desk: Desk) -> int:
    return desk.machine.fund.books.value(1)


@given(
    st.integers(1, 40), st.sampled_from([1, -1]), st.integers(1, 50), st.integers(-2500, 2500), st.integers(-60, 400), st.integers(0, 40)
)  # fmt: skip
def test_bearable_lots_are_the_most_whose_loss_fits(lots: int, sign: int, mark_value: int, quote: int, fund_value: int, most: int) -> None:
    most = min(most, lots)
    losses = {k: quote * k // lots - sign * k * mark_value for k in range(most + 1)}
    is_gain = quote <= sign * lots * mark_value  # never refused
    expected = max((k for k in losses if losses[k] <= fund_value or is_gain), default=0)
    assert bearable_lots(lots=lots, quote=quote, value=sign * lots * mark_value, most=most, fund_value=fund_value) == expected


@given(st.integers(1, 30), st.sampled_from([1, -1]), st.integers(-40, 40), st.integers(1, 20), st.integers(0, 300), st.integers(0, 600))
def test_lots_within_the_cap_are_the_most_that_fit_or_do_not_enlarge(lots: int, sign: int, held: int, unit: int, elsewhere: int, cap: int) -> None:
    def fits(k: int) -> bool:
        return abs(held + sign * k) * unit + elsewhere <= cap or abs(held + sign * k) <= abs(held)

    expected = max(k for k in range(lots + 1) if fits(k))
    assert lots_within_cap(lots=lots, sign=sign, held_lots=held, lot_value=unit, notional_elsewhere=elsewhere, cap=cap) == expected
    assert all(fits(k) for k in range(expected + 1))


@given(st.integers(1, 30), st.integers(-400, 400), st.integers(-20, 400))
def test_lots_within_a_quote_are_the_most_whose_part_of_it_fits(lots: int, quote: int, most: int) -> None:
    def fits(k: int) -> bool:
        return abs(quote * k // lots) <= most

    expected = max((k for k in range(lots + 1) if fits(k)), default=0)
    assert lots_within_quote(lots=lots, quote=quote, most=most) == expected
    assert all(fits(k) for k in range(1, expected + 1))


def test_a_short_is_taken_over_as_a_sale_by_its_bankrupt_owner() -> None:
    desk = desk_with(100, 110)
    # Short 5 with bankruptcy quote -525 (105 a lot) at mark 110: value -550, loss 25. The owner buys 5 back for 525.
    desk.at(position(11, -5, -525, ticks=110))
    assert desk.sent(TAKEOVER, "lots", "quote") == [(5, 525)]
    assert value(desk) == 100 - 25
    desk.at(*desk.answers(desk.last(TAKEOVER)))
    assert desk.sent(UNWIND, "lots") == [5]


def test_several_takeovers_of_one_event_share_the_value() -> None:
    desk = desk_with(30, 88)
    # Loss 2 a lot: 20 for the first; the second bears 5 of the remaining 10.
    desk.at(position(11, 10, 900, ticks=88), position(12, 10, 900, ticks=88))
    assert desk.sent(TAKEOVER, "account", "lots") == [(11, -10), (12, -5)]
    assert desk.all("adl-probes", "lots_needed") == [5]


def test_no_loss_is_taken_over_in_an_instrument_in_adl_but_elsewhere_it_is() -> None:
    desk = desk_with(5, 88)
    desk.at(position(11, 10, 900, ticks=88))
    desk.at(position(12, 1, 89, ticks=88), position(13, 1, 51, number=2, ticks=50))
    assert desk.sent(TAKEOVER, "account") == [11, 13]


def test_a_gain_is_taken_over_in_every_state_and_by_a_fund_below_zero() -> None:
    desk = desk_with(5, 88, adl_start_value=10, adl_stop_value=10**6)
    assert desk.all("pool-states", "state", "instrument") == [(AdlState.ADL, 1), (AdlState.ADL, 2)]
    desk.at(position(12, 10, 840, ticks=88))  # 40 are left of it
    assert desk.sent(TAKEOVER, "account", "lots") == [(12, -10)]


def test_a_loss_that_only_shrinks_the_inventory_is_taken_over_in_adl() -> None:
    desk = desk_with(5, 88, adl_start_value=10, adl_stop_value=10**6)
    desk.at(position(12, 4, 340, ticks=88))  # a gain of 12: 4 long
    desk.at(*desk.answers(desk.last(TAKEOVER)))
    desk.at(position(13, -10, -870, ticks=88))  # 10 short at 87: 1 a lot
    assert desk.sent(TAKEOVER, "account", "lots") == [(12, -4), (13, 4)]


@pytest.mark.parametrize(("held_elsewhere", "taken"), [(0, 3), (2, 2)])
def test_the_net_notional_cap_counts_open_takeovers_and_other_instruments(held_elsewhere: int, taken: int) -> None:
    desk = desk_with(1_000, 88, net_notional_cap=300)
    if held_elsewhere:
        desk.at(position(12, held_elsewhere, 50 * held_elsewhere, number=2, ticks=50))
    desk.at(position(11, 10, 900, ticks=88))
    assert desk.sent(TAKEOVER, "account", "lots")[-1] == (11, -taken)  # 3 x 88 = 264; 100 elsewhere leaves room for 2 x 88 = 176
    assert desk.all("pool-states", "instrument", "state") == [(1, AdlState.ADL)]


def test_no_more_is_taken_over_than_the_funds_account_can_book_the_cost_of() -> None:
    desk = desk_with(10**16, 88)
    # The cost of a position stays within 2^52, about 4.5 x 10^15: 3 x 10^15 leave room for 5 lots at 3 x 10^14 each.
    desk.at(position(11, 10, 3 * 10**15, ticks=88), position(12, 10, 3 * 10**15, ticks=88))
    assert desk.sent(TAKEOVER, "account", "lots", "quote") == [(11, -10, -3 * 10**15), (12, -5, -15 * 10**14)]
    (refused,) = desk.all("pool-states", "reason")
    assert refused == "takeover of 5 of 10 lots refused: their loss, their cost or the net notional is too large"
    for sent in desk.sent(TAKEOVER):
        desk.at(*desk.answers(sent))
    assert desk.machine.fund.books.holding(1, 1).cost == 45 * 10**14
    desk.at(mark(89))
    assert desk.all("pool-states", "state") == [AdlState.ADL]  # it could not take those 5 yet, rich as it is
    for sent in desk.sent(UNWIND):
        desk.at(*desk.answers(sent, ticks=89))
    assert desk.all("pool-states", "state") == [AdlState.ADL, AdlState.NORMAL]


def test_one_fill_is_never_dearer_than_an_account_can_book() -> None:
    desk = desk_with(10**16, 88)
    desk.at(position(11, 10, 6 * 10**15, ticks=88))  # 7 x 6 x 10^14 = 4.2 x 10^15
    assert desk.sent(TAKEOVER, "lots", "quote") == [(-7, -42 * 10**14)]


def test_lots_that_shrink_the_inventory_add_no_cost_to_it() -> None:
    desk = desk_with(10**16, 88)
    desk.at(position(11, 10, 3 * 10**15, ticks=88))
    desk.at(*desk.answers(desk.last(TAKEOVER)))
    desk.at(*desk.answers(desk.last(UNWIND), 0, ticks=88))  # 10 long at a cost of 3 x 10^15
    desk.at(position(12, -12, -36 * 10**14, ticks=88))
    assert desk.sent(TAKEOVER, "account", "lots") == [(11, -10), (12, 12)]  # 10 of them shrink it, 2 are short at 6 x 10^14


def test_a_takeover_that_the_exchange_refuses_ends_its_reserve_and_is_for_its_shard_to_judge() -> None:
    desk = desk_with(100, 88)
    desk.at(position(11, 10, 900, ticks=88))
    assert value(desk) == 80  # 2 a lot may be lost
    desk.at(*desk.answers(desk.last(TAKEOVER), 0))
    assert not desk.all("pool-states", "state")  # nobody has refused a loss
    assert value(desk) == 100
    desk.at(mark(87))
    assert not desk.all("adl-probes")


def test_the_shortfall_of_a_closed_episode_asks_for_nothing() -> None:
    desk = desk_with(100, 88)
    desk.at(position(11, 10, 900, ticks=88))
    desk.at(closed(11))
    desk.at(*desk.answers(desk.last(TAKEOVER), 0))
    desk.at(mark(87))
    assert not desk.all("adl-probes")


def test_an_unwind_that_is_not_filled_is_sent_again_at_the_next_mark() -> None:
    desk = desk_with(100, 88)
    desk.at(position(11, 10, 900, ticks=88))
    desk.at(*desk.answers(desk.last(TAKEOVER)))
    desk.at(*desk.answers(desk.last(UNWIND), 4, ticks=88))
    assert len(desk.sent(UNWIND)) == 1
    desk.at(mark(87))
    assert desk.sent(UNWIND, "lots", "attempt", "partition") == [(-10, 1, FUND_PARTITION), (-6, 2, FUND_PARTITION)]
    assert len({*desk.sent(UNWIND, "instruction_id")}) == 2


def test_takeovers_that_meet_in_the_inventory_are_not_unwound_twice() -> None:
    desk = desk_with(100, 88)
    desk.at(position(11, 5, 440, ticks=88))
    desk.at(*desk.answers(desk.last(TAKEOVER)))
    desk.at(*desk.answers(desk.last(UNWIND), 0, ticks=88))  # nobody bought: 5 still held, the rest waits for a mark
    desk.at(position(12, -5, -440, ticks=88))
    desk.at(*desk.answers(desk.last(TAKEOVER)))  # flat again
    desk.at(mark(87))
    assert desk.sent(UNWIND, "lots") == [-5]
    assert desk.machine.snapshot()["fund_unwinds"].num_rows == 0


@pytest.mark.parametrize("side", ["long", "short"])
@pytest.mark.parametrize("n", [0, 1])
def test_insurance_flow_bitorb(side: str, n: int) -> None:
    example = EXAMPLES["insurance-flow-bitorb"]
    case, expected = example["inputs"][side], example["expected"][side]
    bankrupt, fill = int(case["bankr"]), int(case["fills"][n])
    sign = 1 if side == "long" else -1
    desk = desk_with(10_000, bankrupt)
    desk.at(position(11, sign, sign * bankrupt, ticks=bankrupt))
    desk.at(*desk.answers(desk.last(TAKEOVER)))
    desk.at(*desk.answers(desk.last(UNWIND), ticks=fill))
    ((debit, credit, amount),) = desk.all("fund-ledger", "debit", "credit", "amount", cause=FlowCause.UNWIND)
    assert amount == abs(fill - bankrupt)
    receives = expected[str(fill)] == "fund receives"
    assert (debit == LedgerAccount.CASH) == receives
    assert (credit == LedgerAccount.CASH) != receives
