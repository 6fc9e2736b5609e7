"""What a shard asks the pool, how it answers a probe for both sides, and what it does with the decision. Amounts are worked out in the comments."""

from typing import Any

import pytest

from streams.domain.events import (
    AnswerKind,
    FillKind,
    Grade,
    InsolvencyKind,
    InstructionKind,
    Outcome,
    PositionSide,
    RankPolicy,
    UpdateKind,
    WaveStatus,
)
from tests.support.risk_rows import Desk, Record, instrument, pool
from tests.unit.risk.test_episodes import long_ten_at_100, result

ONE_WAY = int(PositionSide.ONE_WAY)
BUCKET = {"account": 1, "group_instrument": 1, "group_side": ONE_WAY, "episode": 1, "position_side": ONE_WAY}


def probe(desk: Desk, ticks: int, *, revision: int | None = 1, side: PositionSide = PositionSide.SHORT, **more: object) -> Record:
    """Wave 9, at this mark; it names account 1's bucket unless `revision` is None."""
    row = {
        "wave_id": 9, "pool": 1, "instrument": 1, "side": side, "lots_needed": 10, "policy_id": RankPolicy.BITMEX, "policy_version": 1,
        "score_wallet_floor": 1, "shard_count": 1, "event_time_us": desk.time_us,
        "positions": [] if revision is None else [{**BUCKET, "revision": revision}], "loss_per_lot": 0,
        "marks": [{"instrument": 1, "mark_ticks": ticks, "sequence": 2}],
    }  # fmt: skip
    return "adl-probes", {**row, **more}


def decided(
    desk: Desk, status: WaveStatus, *placements: tuple[int, int, int, int | None], rows: tuple[tuple[int, int, int, int], ...] = ()
) -> Record:
    """`placements`: (account, revision, lots, instruction id); `rows`: (account, lots, instruction id, room)."""
    return "adl-decisions", {
        "wave_id": 9, "pool": 1, "instrument": 1, "side": PositionSide.SHORT, "status": status, "chunk": 0, "chunks": 1, "event_time_us": desk.now(),
        "placements": [
            {"account": a, "position_side": ONE_WAY, "episode": 1, "revision": r, "lots": n, "instruction_id": i} for a, r, n, i in placements
        ],
        "rows": [{"account": a, "position_side": ONE_WAY, "lots": n, "instruction_id": i, "room": m} for a, n, i, m in rows],
    }  # fmt: skip


def asked(desk: Desk, out: object = None) -> list[tuple[InsolvencyKind, int, int, int]]:
    """(kind, lots, quote, revision) of what the pool was told."""
    return [(r["kind"], r["lots"], r["bankruptcy_quote"], r["revision"]) for r in desk.rows("insolvencies", out)]  # type: ignore[arg-type]


def bankrupt() -> Desk:
    """Account 1 is long 10 at 100 with 100; the mark gaps to 88: equity -20, the bankruptcy quote 900 is asked for with revision 1."""
    desk = long_ten_at_100(100)
    assert asked(desk, desk.feed(desk.mark(88))) == [(InsolvencyKind.POSITION, 10, 900, 1)]
    return desk


def test_a_probe_is_answered_with_the_quote_at_its_own_marks() -> None:
    desk = bankrupt()
    desk.feed(desk.mark(80))
    (answer,) = desk.rows("adl-candidates", desk.feed(probe(desk, 80)))
    (stands,) = answer["positions"]
    # 100 + 800 - 1,000 = -100; closing at 900 leaves nothing, whatever the mark
    assert (answer["kind"], stands["lots"], stands["bankruptcy_quote"], stands["equity"], stands["maintenance"]) == (
        AnswerKind.ANSWER,
        10,
        900,
        -100,
        40,
    )


def test_a_group_that_has_recovered_leaves_the_wave_and_its_episode_ends() -> None:
    desk = bankrupt()
    desk.feed(desk.mark(120))  # 100 + 1,200 - 1,000 = 300 >= 60
    out = desk.feed(probe(desk, 120))
    (stands,) = desk.rows("adl-candidates", out)[0]["positions"]
    assert stands["lots"] == 0
    assert [k for k, *_ in asked(desk, out)] == [InsolvencyKind.CLOSED]
    assert desk.machine.reservations.held_by(0) == []


def test_a_group_that_is_liquidatable_again_leaves_no_quote_behind_but_stays_to_be_placed() -> None:
    desk = bankrupt()
    desk.feed(desk.mark(92))  # 100 + 920 - 1,000 = 20 < 46
    (stands,) = desk.rows("adl-candidates", desk.feed(probe(desk, 92)))[0]["positions"]
    assert (stands["lots"], stands["bankruptcy_quote"], stands["equity"]) == (10, 900, 20)


def test_another_revision_than_the_probe_names_is_not_in_the_wave() -> None:
    desk = bankrupt()
    (stands,) = desk.rows("adl-candidates", desk.feed(probe(desk, 88, revision=7)))[0]["positions"]
    assert stands["lots"] == 0
    assert desk.machine.reservations.of((1, 1, ONE_WAY), 0) == 10  # the newest request stands


def test_lots_given_back_are_asked_for_again_at_the_next_mark_of_their_instrument_with_a_fresh_quote() -> None:
    desk = bankrupt()
    desk.feed(instrument(2), desk.mark(50, number=2))
    assert not desk.feed(decided(desk, WaveStatus.CLOSED, (1, 1, 10, None))).rows
    assert not desk.feed(desk.mark(51, number=2)).rows  # another instrument moves: nothing is tried again
    assert asked(desk, desk.feed(desk.mark(85))) == [(InsolvencyKind.POSITION, 10, 900, 2)]


def test_lots_given_back_to_a_group_that_is_solvent_by_then_are_ordered_again() -> None:
    desk = bankrupt()
    desk.feed(decided(desk, WaveStatus.CLOSED, (1, 1, 10, None)))
    (order,) = desk.rows("instructions", desk.feed(desk.mark(92)))
    assert (order["kind"], order["lots"], order["quote_limit"]) == (InstructionKind.LIQUIDATE, -10, -900)


def test_an_instruction_holds_what_was_placed_until_its_result_and_the_rest_is_judged_anew() -> None:
    desk = bankrupt()
    desk.feed(decided(desk, WaveStatus.ALLOCATED, (1, 1, 8, 77), (1, 1, 2, None)))
    assert (desk.machine.reservations.of((1, 1, ONE_WAY), 77), desk.machine.reservations.of((1, 1, ONE_WAY), 0)) == (8, 0)
    assert not asked(desk, desk.feed(desk.mark(88)))  # the instruction is awaited
    fill = desk.fill(1, -8, -720, kind=FillKind.ADL, instruction_id=77)
    answer = result(desk, {"instruction_id": 77, "kind": InstructionKind.ADL, "account": 1}, 8)
    # wallet 100 + 720 - 800 = 20, 2 lots at 200, worth 176: equity -4, quote 180
    assert asked(desk, desk.feed(("fills", {**fill[1], "margin_mode": 2}), answer)) == [(InsolvencyKind.POSITION, 2, 180, 2)]


def test_an_own_order_that_flips_the_position_takes_the_request_back_and_leaves_no_phantom() -> None:
    desk = bankrupt()
    fill = desk.fill(1, -15, -1_320)  # closes 10 at 88 and opens 5 short: wallet 100 + 880 - 1,000 = -20, short 5 at 88
    out = desk.feed(("fills", {**fill[1], "margin_mode": 2}))
    # equity -20 + (440 - 440) = -20: the short 5 is to be placed; quote of a short: value -440 - (-20) = -420
    assert asked(desk, out) == [(InsolvencyKind.POSITION, 0, 0, 2), (InsolvencyKind.POSITION, -5, -420, 3)]
    assert desk.machine.reservations.of((1, 1, ONE_WAY), 0) == 5


def test_an_own_order_that_shrinks_the_position_tells_what_is_left() -> None:
    desk = bankrupt()
    fill = desk.fill(1, -4, -352)  # 4 at 88: wallet 100 + 352 - 400 = 52, 6 lots at 600, worth 528: equity -20, quote 548
    out = desk.feed(("fills", {**fill[1], "margin_mode": 2}))
    assert asked(desk, out) == [(InsolvencyKind.POSITION, 6, 548, 2)]


def test_a_snapshot_amid_an_episode_tells_how_the_request_stands_now_and_hands_nothing_over_twice() -> None:
    desk = bankrupt()
    out = desk.feed(*desk.opening(1, 90, (1, 10, 1_000), isolated=True))  # 90 + 880 - 1,000 = -30
    assert asked(desk, out) == [(InsolvencyKind.POSITION, 10, 910, 2)]
    assert desk.machine.reservations.of((1, 1, ONE_WAY), 0) == 10
    out = desk.feed(*desk.opening(1, 100, (1, 0, 0), isolated=True))
    assert [k for k, *_ in asked(desk, out)] == [InsolvencyKind.POSITION, InsolvencyKind.CLOSED]
    assert desk.machine.reservations.held_by(0) == []


def test_a_refused_order_is_sent_anew_at_the_next_mark_after_a_growing_pause_and_never_escalates() -> None:
    desk = Desk()
    desk.feed(instrument(), pool(retry_pause_us=10, retry_alarm_count=2), *desk.opening(1, 100, (1, 10, 1_000), isolated=True), desk.mark(100))
    order = desk.rows("instructions", desk.feed(desk.mark(94)))[1]
    assert not desk.feed(result(desk, order, 0, Outcome.REJECTED)).rows
    assert not desk.feed(desk.mark(94)).rows  # 10 us have not passed
    desk.time_us += 10
    (order,) = desk.rows("instructions", desk.feed(desk.mark(94)))
    assert (order["kind"], order["attempt"]) == (InstructionKind.LIQUIDATE, 2)
    out = desk.feed(result(desk, order, 0, Outcome.EXPIRED))
    assert [name for name, _ in out.alarms] == ["orders_refused"]
    desk.time_us += 10
    assert not desk.feed(desk.mark(94)).rows  # now 20 us
    desk.time_us += 10
    assert [r["attempt"] for r in desk.rows("instructions", desk.feed(desk.mark(94)))] == [3]
    assert not asked(desk)


def test_money_that_leaves_between_marks_is_a_crossing_at_the_mark_in_force() -> None:
    desk = Desk()
    desk.feed(instrument(), pool(), *desk.opening(1, 100, (1, 10, 1_000)), desk.mark(100))
    out = desk.feed(desk.update(1, UpdateKind.WITHDRAWAL, -60))  # equity 40 < 50
    assert [r["kind"] for r in desk.rows("instructions", out)] == [InstructionKind.CANCEL_ORDERS, InstructionKind.LIQUIDATE]


def winners() -> Desk:
    """Account 2 is short 10 at 100 with 200, account 3 short 4 at 100 with 1,000; the mark is 88."""
    desk = Desk()
    openings = [*desk.opening(2, 200, (1, -10, -1_000)), *desk.opening(3, 1_000, (1, -4, -400))]
    desk.feed(instrument(), pool(), *openings, desk.mark(88))
    return desk


def test_room_that_one_wave_was_offered_is_not_offered_to_another_and_ends_with_its_result() -> None:
    desk = winners()
    (answer,) = desk.rows("adl-candidates", desk.feed(probe(desk, 88, revision=None, loss_per_lot=10)))
    assert [(r["account"], r["group_equity"], r["room_reserved"]) for r in answer["rows"]] == [(2, 320, 120), (3, 1_048, 524)]
    assert desk.machine.rooms.reserved((2, 1, 0, 0)) == 200  # of 200 + 1,000 - 880 = 320: twice 10 lots at 10
    assert desk.machine.rooms.reserved((3, 1, 0, 0)) == 524  # half of 1,000 + 400 - 352 = 1,048, more than twice 4 lots at 10
    desk.feed(decided(desk, WaveStatus.ALLOCATED, rows=((2, 3, 55, 6),)))
    assert desk.machine.rooms.reserved((2, 1, 0, 0)) == 6
    assert desk.machine.rooms.reserved((3, 1, 0, 0)) == 0
    desk.feed(desk.mark(88))
    (answer,) = desk.rows("adl-candidates", desk.feed(probe(desk, 88, revision=None)))
    assert [(r["account"], r["offered_lots"], r["room_reserved"]) for r in answer["rows"]] == [(2, 7, 163), (3, 4, 524)]
    desk.feed(result(desk, {"instruction_id": 55, "kind": InstructionKind.ADL, "account": 2}, 0, Outcome.REJECTED))
    assert desk.machine.reservations.of((2, 1, ONE_WAY), 55) == 0


def test_who_has_no_room_for_a_single_lot_is_not_offered() -> None:
    desk = winners()
    (answer,) = desk.rows("adl-candidates", desk.feed(probe(desk, 88, revision=None, loss_per_lot=321)))
    assert [(r["account"], r["offered_lots"]) for r in answer["rows"]] == [(3, 4)]  # 320 < 321 <= 1,048


def test_a_winner_that_must_be_liquidated_itself_asks_its_lots_back_and_goes_on_when_they_are() -> None:
    desk = winners()
    desk.feed(probe(desk, 88, revision=None))
    out = desk.feed(desk.mark(116))  # 200 + 1,000 - 1,160 = 40 < 58; account 3: 1,000 + 400 - 464 = 936
    (back,) = desk.rows("adl-candidates", out)
    assert (back["kind"], back["wave_id"], [r["account"] for r in back["rows"]]) == (AnswerKind.WITHDRAWN, 9, [2])
    assert [r["kind"] for r in desk.rows("instructions", out)] == [InstructionKind.CANCEL_ORDERS]
    out = desk.feed(decided(desk, WaveStatus.WITHDRAWN, rows=((2, 0, 0, 0),)))
    (order,) = desk.rows("instructions", out)
    assert (order["kind"], order["lots"]) == (InstructionKind.LIQUIDATE, 10)
    assert desk.machine.reservations.of((3, 1, ONE_WAY), 9) == 4  # the wave goes on with the others


def test_a_restored_shard_goes_on_with_every_conversation_as_it_was() -> None:
    desk = bankrupt()
    desk.feed(*desk.opening(2, 200, (1, -10, -1_000)))
    desk.feed(probe(desk, 88))
    desk.feed(decided(desk, WaveStatus.ALLOCATED, (1, 1, 6, 77), (1, 1, 4, None), rows=((2, 6, 77, 12),)))
    twin = Desk()
    twin.machine.restore(desk.machine.snapshot())
    twin.seqs, twin.time_us, twin.marks, twin.offset = dict(desk.seqs), desk.time_us, desk.marks, desk.offset
    assert twin.machine.digest() == desk.machine.digest()
    for each in (desk, twin):
        each.feed(result(each, {"instruction_id": 77, "kind": InstructionKind.ADL, "account": 1}, 0, Outcome.REJECTED))
        each.feed(each.mark(86))
    assert asked(desk)[-1:] == [(InsolvencyKind.POSITION, 10, 900, 2)]
    assert asked(twin) == asked(desk)[-1:]
    assert twin.machine.digest() == desk.machine.digest()


def test_a_decision_on_an_older_request_makes_the_shard_tell_anew_what_is_left() -> None:
    desk = bankrupt()
    out = desk.feed(desk.fill(1, -1, -90, margin_mode=2))  # its owner sold one: 9 are left, told as revision 2 before any decision was heard
    assert asked(desk, out)[0][1:] == (9, 810, 2)
    assert [r["decisions_heard"] for r in desk.rows("insolvencies", out)] == [0]
    out = desk.feed(decided(desk, WaveStatus.PLACED, (1, 1, 4, 77)))
    assert [(r["lots"], r["revision"], r["decisions_heard"]) for r in desk.rows("insolvencies", out)] == [(5, 3, 1)]
    assert desk.machine.reservations.of((1, 1, ONE_WAY), 77) == 4


def test_an_answer_to_an_episode_that_is_over_takes_nothing_from_the_next_one() -> None:
    desk = bankrupt()
    desk.feed(desk.mark(120))
    desk.feed(probe(desk, 120))  # it has recovered: episode 1 is over
    desk.feed(desk.mark(88))  # and begins anew
    assert [(r["episode"], r["revision"], r["lots"]) for r in desk.rows("insolvencies")][-1] == (2, 1, 10)
    desk.feed(decided(desk, WaveStatus.CLOSED, (1, 1, 0, None)))  # about revision 1 of episode 1
    assert desk.machine.asking.is_asked((1, 1, ONE_WAY))
    assert desk.machine.reservations.of((1, 1, ONE_WAY), 0) == 10


def test_nobody_is_ranked_by_a_mark_whose_grade_does_not_allow_it() -> None:
    for allows, offered in ((1, []), (1 + 4, [(2, -10)])):
        desk = Desk()
        desk.feed(instrument(stale_allows=allows), pool(), *desk.opening(2, 1_000, (1, -10, -1_000)), desk.mark(88))
        desk.feed(desk.mark(88, grade=Grade.STALE))
        (answer,) = desk.rows("adl-candidates", desk.feed(probe(desk, 88, revision=None)))
        assert [(row["account"], row["lots"]) for row in answer["rows"]] == offered


@pytest.mark.parametrize(
    "odd",
    [
        {"policy_id": RankPolicy.UNKNOWN},
        {"side": PositionSide.UNKNOWN},
        {"side": PositionSide.ONE_WAY},
        {"lots_needed": 2**61 + 1},
        {"loss_per_lot": -(2**60) - 1},
        {"score_wallet_floor": 2**62},
        {"marks": [{"instrument": 1, "mark_ticks": 10**6 + 1, "sequence": 1}]},
        {"marks": [{"instrument": 9, "mark_ticks": -1, "sequence": 1}]},
    ],
)
def test_a_probe_that_no_pools_task_sends_is_a_dead_letter_and_is_not_answered(odd: dict[str, Any]) -> None:
    desk = Desk()
    desk.feed(instrument(), pool(), *desk.opening(1, 1_000, (1, 10, 900)), desk.mark(100))
    out = desk.feed(probe(desk, 100, **{"revision": None, **odd}))
    assert [refusal.stream for refusal in out.refusals] == ["adl-probes"]
    assert desk.rows("adl-candidates", out) == []
    assert len(desk.machine.probes.waiting) == 0
