"""Who pays what a flat group still owes, in which order, and what happens when nobody can."""

import pytest

from streams.domain.events import FlowCause, InstructionKind, MarginMode, PriceRule
from tests.support.pools_desk import FUND, FUND_PARTITION, ONE_WAY, Desk, candidate, closed, deficit, instrument, mark, pool, position

COVER, SOCIALISE = InstructionKind.COVER, InstructionKind.SOCIALISE


def desk_with(cash: int) -> Desk:
    desk = Desk()
    desk.at(instrument(), pool(price_rule=PriceRule.MARK))
    desk.at(desk.opening(cash))
    desk.at(mark(88))
    return desk


def after_a_wave(*payers: dict[str, int], account: int = 11) -> Desk:
    """A wave at mark for 10 lots of the account (twice the fund's refusal), all executed; the fund has nothing."""
    desk = desk_with(0)
    desk.at(position(account, 10, 900, ticks=88))
    desk.at(desk.offers(list(payers)))
    for sent in desk.sent(InstructionKind.ADL):
        desk.at(*desk.answers(sent))
    return desk


def test_the_fund_covers_what_it_can_and_keeps_it_reserved_until_it_has_flowed() -> None:
    desk = desk_with(100)
    desk.at(deficit(11, 30))
    assert desk.sent(COVER, "account", "counter_account", "amount", "attempt") == [(11, FUND, 30, 1)]
    assert desk.machine.fund.books.value(1) == 70
    desk.at(*desk.answers(desk.last(COVER)))
    assert desk.machine.fund.books.value(1) == 70
    assert desk.all("fund-ledger", "cause", "amount")[-1] == (FlowCause.COVER, 30)


def test_a_deficit_that_grows_while_a_cover_is_out_is_covered_for_the_rest() -> None:
    desk = desk_with(100)
    desk.at(deficit(11, 30), deficit(12, 5))
    desk.at(deficit(11, 38))  # all that is owed now
    assert desk.sent(COVER, "account", "amount") == [(11, 30), (12, 5)]
    desk.at(*desk.answers(desk.sent(COVER)[0]))
    assert desk.sent(COVER, "account", "amount", "attempt") == [(11, 30, 1), (12, 5, 1), (11, 8, 2)]


def test_a_deficit_that_its_owner_has_paid_back_is_not_covered() -> None:
    desk = desk_with(100)
    desk.at(position(11, 1, 90, ticks=88))
    desk.at(deficit(11, 30))  # waits for the takeover
    desk.at(deficit(11, 4))
    desk.at(*desk.answers(desk.last(InstructionKind.TAKEOVER)))
    assert desk.sent(COVER, "account", "amount") == [(11, 4)]


def test_a_deficit_waits_while_an_instruction_of_its_episode_is_open() -> None:
    desk = desk_with(100)
    desk.at(position(11, 1, 90, ticks=88))
    desk.at(deficit(11, 30))
    assert not desk.sent(COVER)
    desk.at(*desk.answers(desk.last(InstructionKind.TAKEOVER)))
    assert desk.sent(COVER, "amount", "counter_partition") == [(30, FUND_PARTITION)]


def test_a_deficit_without_a_wave_stays_open_and_is_covered_as_value_returns() -> None:
    desk = desk_with(10)
    desk.at(deficit(11, 30))
    assert desk.sent(COVER, "amount") == [10]
    desk.at(*desk.answers(desk.last(COVER)))
    assert not desk.sent(SOCIALISE)
    desk.at(desk.flow(FlowCause.DEPOSIT, cash=50))
    assert desk.sent(COVER, "amount", "attempt") == [(10, 1), (20, 2)]
    desk.at(*desk.answers(desk.last(COVER)), closed(11))
    assert desk.machine.fund.books.value(1) == 30


def test_a_cover_that_the_exchange_refuses_is_sent_again_at_the_next_mark() -> None:
    desk = desk_with(100)
    desk.at(deficit(11, 30))
    desk.at(*desk.answers(desk.last(COVER), 0))
    assert desk.machine.fund.books.value(1) == 100
    desk.at(desk.flow(FlowCause.DEPOSIT, cash=1))
    assert len(desk.sent(COVER)) == 1
    desk.at(mark(89))
    assert desk.sent(COVER, "amount", "attempt") == [(30, 1), (30, 2)]


def test_payers_share_by_notional_with_ties_to_the_smaller_account() -> None:
    desk = after_a_wave(candidate(21, -5, -500, 600, 660), candidate(22, -5, -500, 600, 660))
    desk.at(deficit(11, 21))
    assert desk.sent(SOCIALISE, "counter_account", "amount") == [(21, 11), (22, 10)]


def test_nobody_pays_more_than_the_equity_it_stated_and_the_rest_stays_open() -> None:
    # By notional 30 and 20; the first can bear only 7, so 43 are left for the second, which can bear 25. 18 stay open.
    desk = after_a_wave(candidate(21, -6, -600, 1, 7), candidate(22, -4, -400, 1, 25))
    desk.at(deficit(11, 50))
    assert desk.sent(SOCIALISE, "counter_account", "amount") == [(21, 7), (22, 25)]
    for sent in desk.sent(SOCIALISE):
        desk.at(*desk.answers(sent))
    desk.at(desk.flow(FlowCause.DEPOSIT, cash=40))
    assert desk.sent(COVER, "amount") == [18]
    assert len(desk.sent(SOCIALISE)) == 2


@pytest.mark.parametrize(("held", "payer"), [(-12, (21, 1, ONE_WAY)), (-10, (21, None, None))])
def test_an_isolated_payer_pays_from_where_its_money_is_after_the_fill(held: int, payer: tuple[int, int | None, int | None]) -> None:
    # 10 lots were taken: of 12 the bucket is still there, of 10 it has gone back to the cross wallet
    desk = after_a_wave(candidate(21, held, 100 * held, 600, 660, margin_mode=MarginMode.ISOLATED))
    desk.at(deficit(11, 20))
    assert desk.sent(SOCIALISE, "counter_account", "counter_instrument", "counter_position_side") == [payer]


def test_what_a_payer_did_not_pay_is_asked_for_again_at_the_next_mark() -> None:
    desk = after_a_wave(candidate(21, -10, -1_000, 30, 30))
    desk.at(deficit(11, 20))
    desk.at(*desk.answers(desk.last(SOCIALISE), 5))
    assert len(desk.sent(SOCIALISE)) == 1
    desk.at(mark(89))
    assert desk.sent(SOCIALISE, "amount", "attempt") == [(20, 1), (15, 2)]


def test_one_account_pays_no_more_for_two_episodes_than_its_equity() -> None:
    desk = desk_with(0)
    desk.at(position(11, 5, 450, ticks=88), position(12, 5, 450, ticks=88))
    desk.at(desk.offers([candidate(21, -10, -1_000, 30, 30)]))
    for sent in desk.sent(InstructionKind.ADL):
        desk.at(*desk.answers(sent))
    desk.at(deficit(11, 20), deficit(12, 20))
    assert desk.sent(SOCIALISE, "account", "amount") == [(11, 20), (12, 10)]


def test_a_closed_episode_is_forgotten() -> None:
    desk = after_a_wave(candidate(21, -10, -1_000, 600, 660))
    desk.at(closed(11))
    assert desk.machine.snapshot()["fund_payers"].num_rows == 0
    desk.at(deficit(11, 9, episode=2))
    assert not desk.sent(SOCIALISE)


def test_two_groups_of_one_account_owe_apart() -> None:
    desk = desk_with(100)
    desk.at(deficit(11, 3), deficit(11, 4, group_instrument=1, group_side=ONE_WAY))
    assert desk.sent(COVER, "amount", "instrument") == [(3, None), (4, 1)]
    assert len({*desk.sent(COVER, "cause_id")}) == 2
