"""A wave from request to record: who is asked, who is taken, what is left over, what is told."""

from typing import Any

import pytest

from streams.domain.events import InstructionKind, PositionSide, PriceRule, RankPolicy, WaveStatus
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


def test_a_shard_that_does_not_answer_is_alarmed_once() -> None:
    desk = desk_with(88, shards=2, instruction_valid_us=10)
    desk.at(position(11, 4, 360, ticks=88))
    desk.at(desk.offers([], shard=0))
    for _ in range(3):
        desk.at(mark(88), time_us=desk.time_us + 6)
    assert [name for name, _ in desk.alarms] == ["wave_waits_for_shards"]
    assert desk.alarms[0][1]["answered"] == 1


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


def test_nothing_allocated_still_tells_the_shards_and_asks_again_at_the_next_mark() -> None:
    desk = desk_with(88)
    desk.at(position(11, 4, 360, ticks=88))
    desk.at(desk.offers([]))
    (decision,) = desk.all("adl-decisions")
    assert (decision["status"], decision["rows"]) == (WaveStatus.CLOSED, [])
    assert decision["residuals"] == [{"account": 11, "position_side": ONE_WAY, "lots": 4}]
    assert desk.all("adl-waves", "lots_needed", "lots_taken", "residual_lots") == [(4, 0, 4)]
    assert len(desk.all("adl-probes")) == 1
    desk.at(mark(87))
    assert desk.all("adl-probes", "lots_needed") == [4, 4]
    assert len({*desk.all("adl-probes", "wave_id")}) == 2


def test_rejected_and_partly_filled_pairs_keep_their_quotes_for_the_next_wave() -> None:
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
    assert desk.all("adl-probes", "lots_needed") == [10, 3]
    desk.at(desk.offers([candidate(22, -2, -200, 400, 426), candidate(21, -6, -600, 300, 378)]))
    answer_all(desk)
    assert sum(desk.all("adl-executions", "lots")) == 10
    assert sum(desk.all("adl-executions", "quote")) == -900


def test_a_rest_that_does_not_divide_still_closes_at_the_whole_quote() -> None:
    desk = desk_with(88)
    desk.at(position(11, 3, 271, ticks=88))
    desk.at(desk.offers([candidate(21, -3, -300, 300, 336)]))
    desk.at(*desk.answers(desk.last(ADL), 2))
    desk.at(mark(87))
    desk.at(desk.offers([candidate(21, -1, -100, 300, 313)]))
    answer_all(desk)
    assert sum(desk.all("adl-executions", "quote")) == -271


def test_requests_of_one_position_merge_and_one_wave_is_open_a_side() -> None:
    desk = desk_with(88)
    desk.at(position(11, 4, 360, ticks=88))
    desk.at(position(12, 2, 180, ticks=88))
    desk.at(position(12, 3, 280, ticks=88, attempt=2), position(13, -1, -80, ticks=88))
    assert desk.all("adl-probes", "side", "lots_needed") == [(SHORT, 4), (LONG, 1)]
    desk.at(desk.offers([candidate(21, -4, -400, 600, 648)], wave_id=desk.all("adl-probes", "wave_id")[0]))
    answer_all(desk)
    assert desk.all("adl-probes", "side", "lots_needed")[2:] == [(SHORT, 5)]
    pieces = desk.machine.adl.waves.pieces
    assert {(p.position.episode.group.account, p.position.lots, p.position.quote) for _, p in pieces.items()} == {(12, 5, 460), (13, 1, -80)}


def test_a_closed_episode_drops_its_requests_and_what_its_wave_leaves_over() -> None:
    desk = desk_with(88)
    desk.at(position(11, 4, 360, ticks=88))
    desk.at(position(12, 2, 180, ticks=88))
    desk.at(desk.offers([candidate(21, -9, -900, 600, 708)]))
    desk.at(closed(11), closed(12))
    answer_all(desk, {21: 0})
    desk.at(mark(87))
    assert len(desk.all("adl-probes")) == 1
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


def test_an_offsetting_gain_is_no_haircut_and_counts_in_the_budget() -> None:
    # Bankruptcy 86 a lot at mark 88: the shorts buy back below the mark and gain 2 a lot. The pool is in ADL by its value.
    desk = desk_with(88, adl_start_value=0)
    desk.at(position(11, 3, 258, ticks=88))
    desk.at(desk.offers([candidate(21, -3, -300, 300, 336)]))
    answer_all(desk)
    assert desk.all("adl-waves", "needed_budget", "largest_haircut_ppm") == [(6, 0)]


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


def test_a_repeated_insolvency_stops_the_machine_rather_than_instructing_twice() -> None:
    desk = Desk()
    desk.at(instrument(), pool())
    desk.at(desk.opening(1_000), mark(88))
    desk.at(position(11, 4, 360, ticks=88))
    with pytest.raises(AssertionError, match="two different instructions with one id"):
        desk.at(position(11, 4, 360, ticks=88))


def test_results_of_other_tasks_and_duplicates_change_nothing() -> None:
    desk = desk_with(88)
    desk.at(position(11, 4, 360, ticks=88))
    desk.at(desk.offers([candidate(21, -9, -900, 600, 708)]))
    answers = desk.answers(desk.last(ADL))
    desk.at(*answers)
    before = desk.machine.digest()
    desk.at(*answers, time_us=desk.time_us)
    stranger = {**answers[0][1], "instruction_id": 5, "kind": InstructionKind.NET}
    desk.at(("instruction-results", stranger), time_us=desk.time_us)
    assert desk.machine.digest() == before


def test_ten_thousand_pairs_go_into_chunked_decisions() -> None:
    desk = desk_with(88)
    desk.at(*(position(1_000 + n, 1, 90, ticks=88) for n in range(5_000)))
    desk.at(desk.offers([candidate(100_000 + n, -1, -100, 50, 62) for n in range(4_999)]))
    assert [(len(d["rows"]), len(d["residuals"]), d["chunks"]) for d in desk.all("adl-decisions")] == [(4_096, 1, 2), (903, 0, 2)]
