"""A wave from request to record: who is asked, who is taken, what is left over, what is told."""

from typing import Any

import pytest

from streams.domain.events import AdlWhen, InstructionKind, LatePolicy, PositionSide, PriceRule, RankPolicy, WaveStatus
from streams.domain.resolution import Episode, Group
from streams.pools import RESULTS
from tests.support.examples import EXAMPLES
from tests.support.pools_desk import LONG, ONE_WAY, SHORT, Desk, candidate, closed, instrument, mark, pool, position

ADL = InstructionKind.ADL


def desk_with(*marks: int, shards: int = 1, **parameters: Any) -> Desk:
    """A fund without money, so that every insolvency becomes a request."""
    desk = Desk(shards)
    desk.at(instrument(), instrument(2), pool(**parameters))
    desk.at(desk.opening(0))
    for ticks in marks:
        desk.at(mark(ticks))
    return desk


def answer_all(desk: Desk, executed: dict[int, int] | None = None) -> None:
    """All ADL instructions that are open are answered, one event each; those of counter-accounts named, with as many lots."""
    waiting = set(desk.machine.adl.open.table)
    for sent in desk.sent(ADL):
        if sent["instruction_id"] in waiting:
            desk.at(*desk.answers(sent, (executed or {}).get(sent["counter_account"])))


def test_bitmex_adl_queue_6_longs() -> None:
    example = EXAMPLES["bitmex-adl-queue-6-longs"]
    inputs, expected = example["inputs"], example["expected"]
    price, wanted = int(inputs["liquidated"]["bankruptcy_price_usd"]), int(inputs["liquidated"]["qty"])
    # The source prints ordinals for scores. At mark 700 a cost of 700 - 10 x ordinal gives profit in that order; equity = value: leverage 1.
    rows = [
        candidate(int(p["account"]), int(p["qty"]), int(p["qty"] * (700 - 10 * p["pnl_rank_score"])), 1, int(p["qty"]) * 700)
        for p in inputs["positions"]
    ]
    desk = desk_with(700)
    desk.at(position(99, -wanted, -wanted * price, ticks=700))
    desk.at(desk.offers(rows))
    answer_all(desk)
    fills = [(int(f["account"]), int(f["qty"]), int(f["qty"] * f["price"])) for f in expected["fills"]]
    assert desk.sent(ADL, "counter_account", "lots", "quote") == fills  # bought by the liquidated short
    executions = desk.all("adl-executions")
    assert [(e["account"], e["position_lots"] - e["lots"]) for e in executions] == [(f["account"], f["remaining"]) for f in expected["fills"]]
    assert [e["account"] for e in executions] == [int(a) for a in expected["order"][:2]]
    buckets = [int(expected["percentile_bucket_pct"][str(e["account"])]) for e in executions]
    assert [e["lights"] for e in executions] == [6 - bucket // 20 for bucket in buckets]


def test_the_wave_waits_for_every_shard_and_every_chunk() -> None:
    desk = desk_with(88, shards=2)
    desk.at(position(11, 4, 360, ticks=88))
    desk.at(desk.offers([candidate(21, -1, -100, 600, 612)], shard=1, chunk=1, chunks=2))
    desk.at(desk.offers([candidate(23, -9, -900, 600, 708)], shard=0))
    assert not desk.sent(ADL)
    desk.at(desk.offers([candidate(22, -1, -200, 600, 712)], shard=1, chunk=0, chunks=2))
    assert sum(desk.sent(ADL, "lots")) == -4
    desk.at(desk.offers([], shard=1))
    assert desk.alarms[-1][0] == "candidates_not_asked_for"


def test_the_order_of_answers_does_not_matter() -> None:
    rows = [candidate(21, -2, -300, 600, 724), candidate(22, -2, -250, 600, 674), candidate(23, -2, -280, 600, 704)]
    told = []
    for order in ([0, 1, 2], [2, 0, 1]):
        desk = desk_with(88, shards=3)
        desk.at(position(11, 5, 450, ticks=88))
        for shard in order:
            desk.at(desk.offers([rows[shard]], shard=shard))
        told.append(desk.sent(ADL, "instruction_id", "counter_account", "lots", "quote"))
    assert told[0] == told[1]


def test_a_wave_whose_deadline_has_passed_is_given_up_and_what_it_asked_for_goes_back() -> None:
    desk = desk_with(88, shards=2, wave_deadline_us=10)
    desk.at(position(11, 4, 360, ticks=88))
    desk.at(desk.offers([candidate(21, -9, -900, 600, 708)], shard=0))
    for _ in range(3):
        desk.at(mark(88), time_us=desk.time_us + 6)
    assert [(name, facts["answered"], facts["of"], facts["policy"]) for name, facts in desk.alarms] == [("wave_waits_for_shards", 1, 2, "GIVE_UP")]
    assert not desk.sent(ADL)
    assert desk.placements("account", "lots", "instruction_id") == [(11, 4, None)]
    assert desk.all("adl-waves", "residual_lots", "shards", "incomplete") == [(4, 1, 1)]
    desk.at(position(11, 4, 358, ticks=88))
    assert desk.all("adl-probes", "lots_needed") == [4, 4]


def test_a_wave_whose_deadline_has_passed_is_decided_without_the_late_and_says_so() -> None:
    desk = desk_with(88, shards=2, wave_deadline_us=10, wave_late=LatePolicy.LEAVE_OUT)
    desk.at(position(11, 4, 360, ticks=88))
    desk.at(desk.offers([candidate(21, -3, -300, 600, 636)], shard=0))
    desk.at(mark(87), time_us=desk.time_us + 20)
    assert desk.sent(ADL, "counter_account", "lots", "mark_ticks") == [(21, -3, 88)]
    answer_all(desk)
    assert desk.all("adl-waves", "lots_taken", "residual_lots", "shards", "incomplete") == [(3, 1, 1, 1)]


def test_a_shard_that_answers_after_the_decision_hears_that_the_wave_is_over() -> None:
    desk = desk_with(88, shards=2, wave_deadline_us=10)
    desk.at(position(11, 4, 360, ticks=88))
    wave_id = desk.all("adl-probes", "wave_id")[0]
    desk.at(mark(87), time_us=desk.time_us + 20)
    desk.at(desk.offers([candidate(21, -9, -900, 600, 708)], shard=1, stand=[]))
    assert desk.all("adl-decisions", "wave_id", "status", "rows")[-1] == (wave_id, WaveStatus.CLOSED, [])
    assert len(desk.all("adl-decisions")) == 2


def test_an_instruction_without_its_terminal_result_is_alarmed_once_and_stays_open() -> None:
    desk = desk_with(88, instruction_valid_us=10)
    desk.at(position(11, 4, 360, ticks=88))
    desk.at(desk.offers([candidate(21, -9, -900, 600, 708)]))
    one, other = desk.answers(desk.last(ADL))
    desk.at(one)
    for _ in range(3):
        desk.at(mark(88), time_us=desk.time_us + 6)
    assert [name for name, _ in desk.alarms] == ["instruction_overdue"]
    assert not desk.all("adl-executions")
    desk.at(other)
    assert desk.all("adl-executions", "lots") == [4]


def test_what_finds_nobody_goes_back_and_is_asked_for_again_only_when_it_is_told_again() -> None:
    desk = desk_with(88)
    desk.at(position(11, 4, 360, ticks=88))
    desk.at(desk.offers([]))
    (decision,) = desk.all("adl-decisions")
    assert (decision["status"], decision["rows"]) == (WaveStatus.CLOSED, [])
    assert desk.placements("account", "position_side", "revision", "lots", "instruction_id") == [(11, ONE_WAY, 1, 4, None)]
    assert desk.all("adl-waves", "lots_needed", "lots_taken", "residual_lots") == [(4, 0, 4)]
    desk.at(mark(87), mark(50, 2))
    assert len(desk.all("adl-probes")) == 1
    desk.at(position(11, 4, 360, ticks=87))
    assert desk.all("adl-probes", "lots_needed") == [4, 4]
    assert len({*desk.all("adl-probes", "wave_id")}) == 2


def test_pairs_go_by_rank_and_what_is_not_executed_asks_for_nothing_by_itself() -> None:
    # Two liquidated longs of 5 at 450 each (90 a lot) against 6, 3 and 1; of the second one pair is refused, one filled for 1 of 3.
    desk = desk_with(88)
    desk.at(position(11, 5, 450, ticks=88), position(12, 5, 450, ticks=88))
    rows = [candidate(21, -6, -600, 300, 372), candidate(22, -3, -300, 400, 436), candidate(23, -1, -100, 500, 512)]
    desk.at(desk.offers(rows))
    pairs = desk.sent(ADL, "account", "counter_account", "lots", "quote")
    assert pairs == [(11, 21, -5, -450), (12, 21, -1, -90), (12, 22, -3, -270), (12, 23, -1, -90)]
    for sent in desk.sent(ADL):
        executed = {(12, 21): 0, (12, 22): 1}.get((sent["account"], sent["counter_account"]))
        desk.at(*desk.answers(sent, executed))
    assert desk.all("adl-waves", "lots_needed", "lots_taken", "residual_lots") == [(10, 7, 0)]
    desk.at(mark(87))
    assert desk.all("adl-probes", "lots_needed") == [10]


def test_a_quote_that_does_not_divide_is_spent_exactly() -> None:
    desk = desk_with(88)
    desk.at(position(11, 3, 271, ticks=88))
    desk.at(desk.offers([candidate(21, -2, -200, 300, 324), candidate(22, -1, -100, 300, 312)]))
    answer_all(desk)
    assert desk.all("adl-executions", "quote") == [-180, -91]  # floor(271 x 2/3), and the rest


def test_one_wave_is_asking_a_side_and_the_newest_revision_waits_for_the_next() -> None:
    desk = desk_with(88)
    desk.at(position(11, 4, 360, ticks=88))
    desk.at(position(12, 2, 180, ticks=88))
    desk.at(position(12, 3, 280, ticks=88), position(13, -1, -80, ticks=88))
    assert desk.all("adl-probes", "side", "lots_needed") == [(SHORT, 4), (LONG, 1)]
    desk.at(desk.offers([candidate(21, -4, -400, 600, 648)], wave_id=desk.all("adl-probes", "wave_id")[0]))
    assert desk.all("adl-probes", "side", "lots_needed")[2:] == [(SHORT, 3)]
    assert not desk.all("adl-waves")  # what the first one instructed is executed beside the second
    answer_all(desk)
    assert desk.all("adl-waves", "lots_taken") == [4]


def test_what_is_told_anew_or_taken_back_leaves_its_wave() -> None:
    for later in (position(11, 3, 270, ticks=88), position(11, 0, 0, ticks=88)):
        desk = desk_with(88)
        desk.at(position(11, 4, 360, ticks=88), position(12, 1, 90, ticks=88))
        (asked,) = desk.all("adl-probes", "wave_id")
        answer = desk.offers([candidate(21, -9, -900, 600, 708)], wave_id=asked)
        desk.at(later)
        desk.at(answer)
        assert desk.sent(ADL, "account", "lots") == [(12, -1)]
        assert desk.placements("account", "revision", "lots", "instruction_id")[0] == (11, 1, 0, None)
        assert len(desk.all("adl-probes")) == (2 if later[1]["lots"] else 1)


def test_an_older_revision_changes_nothing() -> None:
    desk = desk_with(88)
    desk.at(position(11, 4, 360, ticks=88, revision=7))
    desk.at(desk.offers([]))
    before = desk.machine.digest()
    desk.at(position(11, 4, 360, ticks=88, revision=7), position(11, 9, 810, ticks=88, revision=6), time_us=desk.time_us)
    assert desk.machine.digest() == before


def test_a_position_that_has_recovered_leaves_the_wave_and_the_others_go_on() -> None:
    desk = desk_with(88)
    desk.at(position(11, 4, 360, ticks=88), position(12, 2, 180, ticks=88))
    (wave_id,) = desk.all("adl-probes", "wave_id")
    recovered, other = desk.standing(wave_id)
    stand = [{**recovered, "lots": 0, "bankruptcy_quote": 0}, other]
    desk.at(desk.offers([candidate(21, -9, -900, 600, 708)], stand=stand))
    assert desk.sent(ADL, "account", "lots", "quote") == [(12, -2, -180)]
    assert desk.placements("account", "lots") == [(11, 0), (12, 2)]


def test_the_wave_is_decided_on_the_quote_of_the_answer_not_on_the_one_told() -> None:
    desk = desk_with(88)
    desk.at(position(11, 4, 360, ticks=88, marks_seen=0))
    (standing,) = desk.standing(desk.all("adl-probes", "wave_id")[0])
    desk.at(desk.offers([candidate(21, -9, -900, 600, 708)], stand=[{**standing, "lots": 3, "bankruptcy_quote": 267, "equity": -3}]))
    assert desk.sent(ADL, "lots", "quote") == [(-3, -267)]


def test_what_was_placed_directly_is_not_placed_again_by_a_shard_that_has_not_heard_of_it() -> None:
    # The fund has 4 and takes 2 of 10 at a loss of 2 a lot; the shard answers before it reads that, naming all ten.
    desk = Desk()
    desk.at(instrument(), pool())
    desk.at(desk.opening(4), mark(88))
    desk.at(position(11, 10, 900, ticks=88))
    (standing,) = desk.standing(desk.all("adl-probes", "wave_id")[0])
    desk.at(desk.offers([candidate(21, -20, -2_000, 600, 840)], stand=[{**standing, "lots": 10, "bankruptcy_quote": 900}]))
    assert desk.sent(InstructionKind.TAKEOVER, "lots", "quote") == [(-2, -180)]
    assert desk.sent(ADL, "lots", "quote") == [(-8, -720)]


def test_a_candidate_that_is_asked_back_leaves_a_wave_that_still_asks() -> None:
    desk = desk_with(88, shards=2)
    desk.at(position(11, 4, 360, ticks=88))
    mine, other = candidate(21, -9, -900, 1, 109), candidate(22, -9, -900, 600, 708)
    desk.at(desk.offers([mine, other], shard=0))
    desk.at(desk.withdraws([mine]))
    (given,) = desk.all("adl-decisions", status=WaveStatus.WITHDRAWN)
    assert given["rows"] == [{"account": 21, "position_side": ONE_WAY, "lots": 0, "instruction_id": 0, "room": 0}]
    desk.at(desk.offers([], shard=1))
    assert desk.sent(ADL, "counter_account", "lots") == [(22, -4)]
    said = len(desk.said)
    desk.at(desk.withdraws([other]))
    assert len(desk.said) == said  # the decision has answered already


@pytest.mark.parametrize(("when", "given"), [(AdlWhen.INSOLVENT, []), (AdlWhen.UNPLACED, [(-4, -344)])])
def test_what_a_solvent_group_could_not_sell_goes_to_winners_only_where_the_rule_says_so(when: AdlWhen, given: list[tuple[int, int]]) -> None:
    # Equity 352 - 344 = 8; whoever takes the lots gains 8. The pool is in adl by its value, the fund takes no part.
    desk = desk_with(88, adl_when=when)
    desk.machine.fund.offer = lambda *_, **__: (0, None)  # type: ignore[method-assign]
    desk.at(position(11, 4, 344, ticks=88))
    desk.at(desk.offers([candidate(21, -9, -900, 600, 708)]))
    assert desk.sent(ADL, "lots", "quote") == given
    answer_all(desk)
    assert desk.all("adl-waves", "gained", "needed_budget") == [(8 if given else 0, 0)]


def test_a_cap_bounds_what_a_lot_may_cost_and_the_rest_stays_a_debt() -> None:
    # 1 % of 88 x 4 = 3.52, rounded down; without a cap it would cost 8.
    desk = desk_with(88, price_cap_ppm=10_000)
    desk.at(position(11, 4, 360, ticks=88))
    desk.at(desk.offers([candidate(21, -9, -900, 600, 708)]))
    assert desk.sent(ADL, "lots", "quote") == [(-4, -355)]
    assert desk.all("adl-probes", "loss_per_lot") == [1]


def test_who_lacks_room_gives_less_and_the_record_says_so() -> None:
    # The mark gaps to 70: ten lots at 900 cost 200, 20 a lot. S1 has 50 less 5 that another wave may cost it: two lots; S2 gives the rest.
    desk = desk_with(70)
    desk.at(position(11, 10, 900, ticks=70))
    s1, s2 = candidate(21, -10, -720, 30, 50, room_reserved=5), candidate(22, -10, -1_000, 1_000, 1_300)
    desk.at(desk.offers([s1, s2]))
    assert sorted(desk.sent(ADL, "counter_account", "lots", "quote")) == [(21, -2, -180), (22, -8, -720)]
    answer_all(desk)
    assert desk.all("adl-waves", "passed_over", "needed_budget", "residual_lots") == [(1, 200, 0)]
    assert sorted(desk.all("adl-executions", "account", "room")) == [(21, 45), (22, 1_300)]


def test_two_in_resolution_meet_at_once_where_their_prices_overlap() -> None:
    # At 50,000 Carl, short 1, has -1: he can pay 49,999. Dave, long 1, must have 45,001: the mark is clamped to 49,999.
    desk = desk_with(50_000)
    carl, dave = position(11, -1, -49_999, ticks=50_000), position(12, 1, 45_001, ticks=50_000, maintenance=5_000)
    desk.at(carl, dave)
    fields = ("account", "lots", "quote", "counter_account", "attempt", "mark_ticks")
    assert desk.sent(ADL, *fields) == [(11, 1, 49_999, 12, 1, 50_000)]
    (key,) = desk.sent(ADL, "instruction_id")
    assert sorted(desk.placements("account", "lots", "instruction_id")) == [(11, 1, key), (12, 1, key)]
    assert {d["status"] for d in desk.all("adl-decisions")} == {WaveStatus.PLACED}
    assert not desk.all("adl-probes")
    one, other = (Episode(Group(1, account, 0, 0), 1) for account in (11, 12))
    assert desk.machine.adl.is_open_in(one)
    assert desk.machine.adl.is_open_in(other)
    answer_all(desk)
    assert not desk.machine.adl.is_open_in(other)
    assert not desk.all("adl-executions")  # nobody was deleveraged


def test_two_in_resolution_meet_in_waves_that_ask_at_the_same_marks() -> None:
    desk = desk_with(50_000, shards=2)
    desk.at(position(11, -1, -49_999, ticks=50_000, marks_seen=0), position(12, 2, 90_002, ticks=50_000, marks_seen=0))
    one, other = desk.all("adl-probes", "wave_id")
    for wave_id in (one, other):
        desk.at(desk.offers([], wave_id=wave_id))
    desk.at(desk.offers([], shard=1, wave_id=one))
    assert not desk.sent(ADL)
    desk.at(desk.offers([], shard=1, wave_id=other))
    assert desk.sent(ADL, "account", "lots", "quote", "counter_account") == [(11, 1, 49_999, 12)]
    # The other lot of 12 is a gain of 50,000 - 45,001 for the fund.
    assert sorted(desk.all("adl-waves", "side", "matched_lots", "fund_lots", "residual_lots")) == [(LONG, 1, 0, 0), (SHORT, 1, 1, 0)]


def test_an_episode_that_is_over_asks_for_nothing_and_its_late_results_have_no_payers() -> None:
    desk = desk_with(88)
    desk.at(position(11, 4, 360, ticks=88))
    desk.at(position(12, 2, 180, ticks=88))
    desk.at(desk.offers([candidate(21, -9, -900, 600, 708)]))
    desk.at(closed(11), closed(12))
    answer_all(desk)
    assert desk.all("adl-executions", "liquidated_account", "lots") == [(11, 4)]
    assert desk.machine.snapshot()["fund_payers"].num_rows == 0
    desk.at(desk.offers([candidate(22, -9, -900, 600, 708)]))
    assert desk.sent(ADL, "account") == [11]
    assert desk.machine.snapshot()["adl_requests"].num_rows == 0


def test_the_probe_carries_all_marks_and_the_time_of_the_newest() -> None:
    desk = desk_with(88)
    desk.at(mark(50, 2), time_us=2_000)
    desk.at(position(11, 4, 360, ticks=88), time_us=2_500)
    ((time_us, marks),) = desk.all("adl-probes", "event_time_us", "marks")
    assert time_us == 2_000
    assert [(m["instrument"], m["mark_ticks"]) for m in marks] == [(1, 88), (2, 50)]


@pytest.mark.parametrize(("policy", "order"), [(RankPolicy.BITMEX, [21, 22]), (RankPolicy.BINANCE, [22, 21])])
def test_the_policy_of_the_pool_decides_the_order(policy: RankPolicy, order: list[int]) -> None:
    # BitMEX: 12/100 x 88/1,012 against 12/100 x 88/2,000. Binance: 12/1,000 x 5/1,012 against 12/1 x 5/2,000.
    maintenance = {"group_maintenance": 5, "position_maintenance": 5}
    desk = desk_with(88, policy_id=policy)
    desk.at(position(11, 2, 180, ticks=88))
    desk.at(desk.offers([candidate(21, -1, -100, 1_000, 1_012, **maintenance), candidate(22, -1, -100, 1, 2_000, **maintenance)]))
    assert desk.sent(ADL, "counter_account") == order


def test_a_loss_without_end_in_relation_to_the_profit_is_told_as_the_bound() -> None:
    # Profit 1 on a million lots, of which one is given at a loss of 2 million: 2 x 10^18 millionths.
    desk = desk_with(88)
    desk.at(position(11, 1, 2_000_088, ticks=88))
    desk.at(desk.offers([candidate(21, -1_000_000, -88_000_001, 1, 10**9)]))
    answer_all(desk)
    assert desk.all("adl-waves", "largest_haircut_ppm") == [10**12]


def test_inversions_count_neighbours_of_which_the_later_lost_more() -> None:
    desk = desk_with(88, price_rule=PriceRule.MARK)
    desk.at(position(11, 6, 540, ticks=88))
    desk.at(desk.offers([candidate(21, -2, -200, 1, 100), candidate(22, -2, -200, 1, 100), candidate(23, -2, -200, 1, 100)]))
    answer_all(desk, {21: 1})
    assert desk.all("adl-waves", "inversions", "lots_taken") == [(1, 5)]


def test_two_legs_of_one_counter_account_get_two_instructions() -> None:
    desk = desk_with(88)
    desk.at(position(11, 4, 360, ticks=88, position_side=PositionSide.LONG))
    legs = [candidate(21, -2, -200, 300, 324, position_side=side) for side in (ONE_WAY, SHORT)]
    desk.at(desk.offers(legs))
    assert desk.sent(ADL, "counter_position_side", "attempt") == [(ONE_WAY, 1), (SHORT, 2)]


def test_lots_told_anew_are_instructed_under_a_new_id() -> None:
    desk = Desk()
    desk.at(instrument(), pool())
    desk.at(desk.opening(1_000), mark(88))
    for _ in range(2):
        desk.at(position(11, 4, 360, ticks=88))
    assert desk.sent(InstructionKind.TAKEOVER, "attempt", "lots") == [(1, -4), (2, -4)]
    assert len({*desk.sent(InstructionKind.TAKEOVER, "instruction_id")}) == 2


def test_results_of_other_tasks_and_duplicates_change_nothing() -> None:
    desk = desk_with(88)
    desk.at(position(11, 4, 360, ticks=88))
    desk.at(desk.offers([candidate(21, -9, -900, 600, 708)]))
    answers = desk.answers(desk.last(ADL))
    desk.at(*answers)
    before = desk.machine.digest()
    desk.at(*answers, time_us=desk.time_us)
    stranger = {**answers[0][1], "instruction_id": 5, "kind": InstructionKind.NET}
    desk.at((RESULTS, stranger), time_us=desk.time_us)
    assert desk.machine.digest() == before


def test_many_pairs_go_into_chunked_decisions_and_a_wave_names_no_more_than_a_probe_may() -> None:
    desk = desk_with(88)
    desk.at(*(position(1_000 + n, 2, 180, ticks=88) for n in range(5_000)))
    desk.at(desk.offers([candidate(100_000 + n, -1, -100, 50, 62) for n in range(8_191)]))
    assert [(len(d["rows"]), len(d["placements"]), d["chunks"]) for d in desk.all("adl-decisions")] == [
        (4_096, 4_096, 2), (4_095, 4_096, 2),
    ]  # fmt: skip
    assert desk.all("adl-probes", "lots_needed") == [8_192, 1_808]
