"""The isolated long whose pool is too small, at the bankruptcy quote and at mark, as the pools task lives it.

L (account 11) is long 10 at 100 with 100 of margin; the mark falls to 88: equity 100 + 880 - 1,000 = -20, bankruptcy quote 900, 90 a lot.
The fund has 5: at a loss of 90 - 88 = 2 a lot it bears 2 lots. S1 (21) is short 6 and S2 (22) short 4 at 100; their scores are equal.
"""

import re
from typing import Any

import pytest

from streams.domain.events import AdlState, FlowCause, InstructionKind, PriceRule, WaveStatus
from tests.support.pools_desk import FUND, FUND_PARTITION, ONE_WAY, SHORT, Desk, candidate, closed, deficit, instrument, mark, pool, position

ISOLATED = {"group_instrument": 1, "group_side": ONE_WAY}
# Equity at mark 88: 600 + 6 x 12 = 672 and 400 + 4 x 12 = 448; maintenance 5 % of 528 and 352, rounded up.
S1 = candidate(21, -6, -600, 600, 672, group_maintenance=27, position_maintenance=27)
S2 = candidate(22, -4, -400, 400, 448, group_maintenance=18, position_maintenance=18)


def opened(rule: PriceRule) -> Desk:
    """Up to the insolvency: the fund's opening balance of 5, and mark 88."""
    desk = Desk()
    desk.at(instrument(), pool(price_rule=rule))
    desk.at(desk.opening(5))
    desk.at(mark(100))
    desk.at(mark(88), position(11, 10, 900, ticks=88, **ISOLATED))
    return desk


def deleveraged(rule: PriceRule) -> Desk:
    """Up to the ADL instructions: the takeover is answered, both candidates offered."""
    desk = opened(rule)
    desk.at(desk.offers([S2, S1]))
    desk.at(*desk.answers(desk.last(InstructionKind.TAKEOVER)))
    return desk


def answer_adl(desk: Desk, *more: Any) -> None:
    first, second = desk.sent(InstructionKind.ADL)
    desk.at(*desk.answers(first))
    desk.at(*desk.answers(second), *more)


def test_the_fund_takes_over_the_two_lots_that_its_value_bears() -> None:
    desk = opened(PriceRule.BANKRUPTCY)
    fields = ("account", "partition", "counter_account", "lots", "quote", "mark_ticks", "mark_sequence", "attempt")
    assert desk.sent(InstructionKind.TAKEOVER, *fields) == [(11, 11 % 6, FUND, -2, -180, 88, 1004, 1)]


def test_refusing_the_other_eight_enters_adl_with_the_value_left() -> None:
    desk = opened(PriceRule.BANKRUPTCY)
    assert desk.all("pool-states", "instrument", "state", "value", "wallet", "threshold") == [(1, AdlState.ADL, 5 - 2 * 2, 5, None)]


def test_the_same_event_asks_all_shards_for_eight_lots_of_shorts() -> None:
    desk = opened(PriceRule.BANKRUPTCY)
    assert desk.all("adl-probes", "instrument", "side", "lots_needed", "event_time_us") == [(1, SHORT, 8, 1004)]
    assert desk.all("adl-probes", "marks") == [[{"instrument": 1, "mark_ticks": 88, "sequence": 1004}]]


def test_equal_scores_are_served_by_account_and_quotes_add_up() -> None:
    desk = deleveraged(PriceRule.BANKRUPTCY)
    assert desk.sent(InstructionKind.ADL, "account", "counter_account", "lots", "quote") == [(11, 21, -6, -540), (11, 22, -2, -180)]
    ids = desk.sent(InstructionKind.ADL, "instruction_id")
    placed, decision = desk.all("adl-decisions")
    assert (placed["status"], placed["wave_id"], decision["status"]) == (WaveStatus.PLACED, 0, WaveStatus.ALLOCATED)
    takeover = desk.last(InstructionKind.TAKEOVER)["instruction_id"]
    assert desk.placements("account", "lots", "instruction_id") == [(11, 2, takeover), (11, 6, ids[0]), (11, 2, ids[1])]
    # A lot costs 90 - 88 = 2: 12 and 4 of the rooms of 672 and 448.
    assert [(r["account"], r["lots"], r["instruction_id"], r["room"]) for r in decision["rows"]] == [(21, 6, ids[0], 12), (22, 2, ids[1], 4)]


def test_one_unwind_follows_the_takeover_in_the_funds_partition() -> None:
    desk = deleveraged(PriceRule.BANKRUPTCY)
    takeover = desk.last(InstructionKind.TAKEOVER)["instruction_id"]
    fields = ("account", "partition", "lots", "quote", "cause_id", "attempt")
    assert desk.sent(InstructionKind.UNWIND, *fields) == [(FUND, FUND_PARTITION, -2, None, takeover, 1)]


def test_executions_and_the_wave_are_recorded_when_the_results_are_in() -> None:
    desk = deleveraged(PriceRule.BANKRUPTCY)
    answer_adl(desk, closed(11, **ISOLATED))
    fields = ("account", "rank", "of_n", "lots", "quote", "bankruptcy_quote", "lots_ahead", "lots_total")
    assert desk.all("adl-executions", *fields) == [(21, 1, 2, 6, -540, -540, 0, 10), (22, 2, 2, 2, -180, -180, 6, 10)]
    # Winners gave up (90 - 88) x 8 = 16; S1 made (100 - 88) x 6 = 72 and gave up 12, S2 made 24 on two lots and gave up 4: a sixth each.
    wave = ("lots_needed", "lots_allocated", "lots_taken", "residual_lots", "needed_budget", "overshoot_lots", "largest_haircut_ppm", "inversions")
    assert desk.all("adl-waves", *wave) == [(8, 8, 8, 0, 16, 0, 166_666, 0)]
    assert desk.all("adl-waves", "matched_lots", "fund_lots", "gained", "passed_over", "shards", "incomplete") == [(0, 0, 0, 0, 1, 0)]
    assert desk.all("adl-executions", "room", "group_equity") == [(672, 672), (448, 448)]


def test_the_place_in_the_queue_is_told_in_numbers_and_words() -> None:
    desk = deleveraged(PriceRule.BANKRUPTCY)
    answer_adl(desk)
    first, second = desk.all("adl-executions")
    # By accounts 2/2 and 1/2; by lots 10/10 and 4/10; lights 6 - ceil(5 x 6/10) and 6 - ceil(5 x 10/10).
    assert [(e["percentile_accounts_ppm"], e["percentile_lots_ppm"], e["lights"]) for e in (first, second)] == [
        (1_000_000, 1_000_000, 3),
        (500_000, 400_000, 1),
    ]
    for words in (
        "6 of your 6 lots (short)",
        "bankruptcy quote",
        "rank 1 of 2",
        "BITMEX",
        "3 of 5 lights",
    ):
        assert words in first["reason"]
    assert not re.search(r"instrument \d|\b72\b|\b600\b", first["reason"])  # what has a symbol or decimals stands in fields, for readers to name


def test_unwinding_at_88_leaves_the_fund_with_one() -> None:
    desk = deleveraged(PriceRule.BANKRUPTCY)
    answer_adl(desk, closed(11, **ISOLATED))
    desk.at(*desk.answers(desk.last(InstructionKind.UNWIND), ticks=88))
    entries = desk.all("fund-ledger", "cause", "amount", "wallet_after", "inventory_cost_after", "value_after")
    assert entries == [(FlowCause.OPENING, 5, 5, 0, 5), (FlowCause.UNWIND, 4, 1, 0, 1)]  # 176 - 180 = -4
    assert not desk.sent(InstructionKind.COVER)
    assert not desk.sent(InstructionKind.SOCIALISE)
    assert desk.alarms == []


@pytest.mark.parametrize("is_unwound", [True, False])
def test_at_mark_the_deficit_is_covered_with_one_and_socialised_by_lots_taken(is_unwound: bool) -> None:
    desk = deleveraged(PriceRule.MARK)
    if is_unwound:
        desk.at(*desk.answers(desk.last(InstructionKind.UNWIND), ticks=88))
    # L ends at 100 + 180 + 528 + 176 - 1,000 = -16. The fund's value is 5 + 176 - 180 = 1 either way.
    answer_adl(desk, deficit(11, 16, **ISOLATED))
    assert desk.sent(InstructionKind.ADL, "quote") == [-528, -176]
    fields = ("account", "counter_account", "amount", "instrument", "position_side", "counter_instrument", "attempt")
    assert desk.sent(InstructionKind.COVER, *fields) == [(11, FUND, 1, 1, ONE_WAY, None, 1)]
    # 15 x 6/8 = 11.25 and 15 x 2/8 = 3.75.
    assert desk.sent(InstructionKind.SOCIALISE, *fields) == [(11, 21, 11, 1, ONE_WAY, None, 1), (11, 22, 4, 1, ONE_WAY, None, 1)]
    assert desk.all("adl-waves", "needed_budget", "largest_haircut_ppm") == [(0, 0)]


def test_when_all_is_paid_nothing_is_left_open() -> None:
    desk = deleveraged(PriceRule.MARK)
    answer_adl(desk, deficit(11, 16, **ISOLATED))
    desk.at(*desk.answers(desk.last(InstructionKind.COVER)))
    one, other = desk.sent(InstructionKind.SOCIALISE)
    desk.at(*desk.answers(one))
    desk.at(*desk.answers(other), closed(11, **ISOLATED))
    desk.at(*desk.answers(desk.last(InstructionKind.UNWIND), ticks=88))
    for table in ("fund_open", "fund_reserves", "fund_unwinds", "fund_deficits", "fund_payers", "fund_rooms", "fund_charges"):
        assert desk.machine.snapshot()[table].num_rows == 0, table
    for table in ("adl_open", "adl_requests", "adl_waves", "adl_pieces", "adl_chunks", "adl_matches"):
        assert desk.machine.snapshot()[table].num_rows == 0, table
    assert desk.all("fund-ledger", "wallet_after")[-1] == 0
    assert desk.alarms == []
