"""The walked examples through the whole pipeline, amount by amount, for 1, 2 and 4 shards. No fees; every number is exact."""

from functools import cache

import pytest

from streams.domain.events import AdlState, FillKind, FlowCause, GroupState, InsolvencyKind, InstructionKind, PositionSide
from streams.venue.scenarios.registry import build
from tests.support.pipeline import PARTITIONS, Ran, run

L, L2, S1, S2, S3, FUND, MAKER = 11, 12, 21, 22, 23, 31, 41
U = 10**6
SHARDS = [1, 2, 4]


@cache
def example(name: str, shards: int) -> Ran:
    return run(build(f"example-{name}", account_partitions=PARTITIONS), shards=shards)


@pytest.mark.parametrize("shards", SHARDS)
@pytest.mark.parametrize("name", list("abcde"))
def test_money_and_lots_are_conserved_and_our_books_equal_the_exchanges(name: str, shards: int) -> None:
    ran = example(name, shards)
    cash, lots = ran.sums()
    assert cash == 0
    assert set(lots.values()) == {0}
    assert ran.differences() == []


@pytest.mark.parametrize("shards", SHARDS)
@pytest.mark.parametrize("name", list("abcde"))
def test_nothing_is_left_open_and_every_episode_is_closed(name: str, shards: int) -> None:
    ran = example(name, shards)
    assert all(len(machine.reservations.lots) == 0 and len(machine.episodes.awaited) == 0 and machine.held == 0 for machine in ran.risk())
    bankrupt = ran.rows("account-states", "account", state=GroupState.BANKRUPT)
    assert sorted(ran.rows("insolvencies", "account", kind=InsolvencyKind.CLOSED)) == sorted(bankrupt)
    assert bankrupt


@pytest.mark.parametrize("name", list("abcde"))
def test_the_number_of_shards_changes_no_decision(name: str) -> None:
    assert len({example(name, shards).decisions for shards in SHARDS}) == 1


def instructions(ran: Ran, kind: InstructionKind, *fields: str) -> list[object]:
    return list(ran.rows("instructions", *fields, kind=kind))


@pytest.mark.parametrize("shards", SHARDS)
def test_a_pool_too_small_takes_two_lots_and_adl_the_other_eight_at_the_bankruptcy_quote(shards: int) -> None:
    ran = example("a", shards)
    # 10 long at 100 with margin 100, mark 88: 100 + 880 - 1,000 = -20; bankruptcy quote 880 + 20
    assert ran.rows("insolvencies", "lots", "bankruptcy_quote", "mark_ticks", kind=InsolvencyKind.POSITION) == [(10, 900, 88)]
    # a lot at 90 against 88 loses 2; value 5 bears 2 lots
    assert instructions(ran, InstructionKind.TAKEOVER, "account", "counter_account", "lots", "quote") == [(L, FUND, -2, -180)]
    assert ran.rows("adl-probes", "side", "lots_needed", "event_time_us") == [(PositionSide.SHORT, 8, 2000)]
    # equal scores: the account decides; 720 x 6 / 8 = 540
    assert instructions(ran, InstructionKind.ADL, "account", "counter_account", "lots", "quote") == [(L, S1, -6, -540), (L, S2, -2, -180)]
    assert ran.rows("adl-executions", "account", "rank", "of_n", "lots") == [(S1, 1, 2, 6), (S2, 2, 2, 2)]
    # the winners gave up (90 - 88) x 8
    assert ran.rows("adl-waves", "lots_taken", "residual_lots", "needed_budget") == [(8, 0, 16)]
    assert ran.rows("fund-flows", "lots", "quote", "cash", cause=FlowCause.UNWIND) == [(-2, -176, -4)]
    assert ran.rows("pool-states", "state", "value") == [(AdlState.ADL, 1)]  # 5, of which the takeover reserves 4
    assert ran.isolated(L) == 0
    assert ran.wallet(FUND) == 1
    assert instructions(ran, InstructionKind.COVER, "amount") == []


@pytest.mark.parametrize("shards", SHARDS)
def test_adl_at_mark_leaves_a_deficit_that_the_fund_covers_and_the_winners_bear(shards: int) -> None:
    ran = example("b", shards)
    assert instructions(ran, InstructionKind.ADL, "counter_account", "lots", "quote") == [(S1, -6, -528), (S2, -2, -176)]
    # 100 + 180 + 528 + 176 - 1,000 = -16
    assert ran.rows("insolvencies", "deficit", kind=InsolvencyKind.DEFICIT) == [16, 15, 4]  # told anew as 1 and 11 are paid
    assert instructions(ran, InstructionKind.COVER, "amount") == [1]  # 5 + 176 - 180
    # 15 by lots taken, 6 to 2: 11.25 and 3.75 by largest remainder
    assert instructions(ran, InstructionKind.SOCIALISE, "counter_account", "amount") == [(S1, 11), (S2, 4)]
    assert ran.claims() == {S1: 11, S2: 4}
    assert ran.rows("adl-waves", "needed_budget") == [0]
    assert ran.isolated(L) == 0
    assert ran.wallet(FUND) == 0


@pytest.mark.parametrize("shards", SHARDS)
def test_a_cross_account_closes_each_position_at_its_share_and_ends_at_zero(shards: int) -> None:
    ran = example("c", shards)
    told = ran.rows("insolvencies", "instrument", "lots", "bankruptcy_quote", kind=InsolvencyKind.POSITION)
    quotes = {instrument: quote for instrument, _, quote in told}
    assert [(i, n) for i, n, _ in told] == [(1, 10), (2, 20), (3, -30)]
    # value - equity x share, in order: 880 + 10 x 44 / 115.5 and so on, rounded up to a millionth; the last takes the remainder of 1,290 + 10
    assert quotes[1] == -(-(880 * U * 1155 + 10 * U * 440) // 1155)
    assert quotes[2] == -(-(920 * U * 1155 + 10 * U * 460) // 1155)
    assert sum(quotes.values()) == 1_300 * U
    assert [round(q / U, 2) for q in quotes.values()] == [883.81, 923.98, -507.79]
    assert ran.wallet(L) == 0


@pytest.mark.parametrize("shards", SHARDS)
def test_opposite_legs_are_netted_first_so_adl_touches_four_lots(shards: int) -> None:
    ran = example("d", shards)
    assert ran.rows("fills", "position_side", "lots", "quote", kind=FillKind.NETTING) == [(PositionSide.LONG, -6, -540), (PositionSide.SHORT, 6, 540)]
    assert ran.rows("insolvencies", "position_side", "lots", "bankruptcy_quote", kind=InsolvencyKind.POSITION) == [(PositionSide.LONG, 4, 400)]
    adl = instructions(ran, InstructionKind.ADL, "lots", "quote")
    assert [sum(column) for column in zip(*adl, strict=True)] == [-4, -400]
    assert ran.wallet(L) == 0


@pytest.mark.parametrize("shards", SHARDS)
def test_two_liquidated_share_a_wave_and_what_the_gateway_leaves_undone_goes_to_the_next(shards: int) -> None:
    ran = example("e", shards)
    assert ran.rows("adl-probes", "lots_needed") == [10, 3]  # one pair refused (1 lot), one cut from 3 to 1
    assert sum(ran.rows("adl-executions", "lots")) == 10
    # each of the two is closed at 50 + 440 - 500 = -10: 440 + 10 = 450; what was left undone, 3 lots of one, is told anew at 90 a lot
    assert ran.rows("insolvencies", "bankruptcy_quote", kind=InsolvencyKind.POSITION) == [450, 450, 270]
    assert sum(ran.rows("adl-executions", "quote")) == -900
    assert (ran.isolated(L), ran.isolated(L2)) == (0, 0)
