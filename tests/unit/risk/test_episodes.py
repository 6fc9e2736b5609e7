"""The ladder of one group: crossing, cancel, net, liquidate, hand over, settle. Amounts are worked out in the comments."""

from streams.domain.events import (
    DeadLetterReason,
    FillKind,
    GroupState,
    InsolvencyKind,
    InstructionKind,
    MarginMode,
    Outcome,
    PositionSide,
    RankPolicy,
    UpdateKind,
)
from tests.support.risk_rows import Desk, Record, instrument, pool


def result(desk: Desk, instruction: dict[str, object], lots: int, outcome: Outcome = Outcome.FILLED, **more: object) -> Record:
    account = int(str(instruction["account"]))
    row = {
        "instruction_id": instruction["instruction_id"],
        "kind": instruction["kind"],
        "account": account,
        "event_time_us": desk.now(),
        "outcome": outcome,
        "executed_lots": lots,
        "executed_quote": 0,
        "executed_amount": 0,
        "account_seq": desk.seq(account),
        "reason": "",
    }
    return "instruction-results", {**row, **more}


def long_ten_at_100(wallet: int) -> Desk:
    """Account 1 is long 10 at 100, isolated, 5 % maintenance; the mark is 100."""
    desk = Desk()
    desk.feed(instrument(), pool(), *desk.opening(1, wallet, (1, 10, 1_000), isolated=True), desk.mark(100))
    return desk


def test_a_group_below_maintenance_is_liquidated_at_most_down_to_its_bankruptcy_quote() -> None:
    desk = long_ten_at_100(100)
    out = desk.feed(desk.mark(94))  # equity 100 + 940 - 1,000 = 40 < 47 = 5 % of 940
    assert [r["state"] for r in desk.rows("account-states", out)] == [GroupState.LIQUIDATABLE]
    cancel, order = desk.rows("instructions", out)
    assert (cancel["kind"], order["kind"]) == (InstructionKind.CANCEL_ORDERS, InstructionKind.LIQUIDATE)
    assert (order["lots"], order["quote_limit"]) == (-10, -900)  # 940 - 40: closing at 900 leaves nothing
    assert not desk.rows("insolvencies")


def test_a_filled_liquidation_order_ends_the_episode_with_what_is_left() -> None:
    desk = long_ten_at_100(100)
    order = desk.rows("instructions", desk.feed(desk.mark(94)))[1]
    fill = desk.fill(1, -10, -930, kind=FillKind.LIQUIDATION, instruction_id=order["instruction_id"])
    out = desk.feed(("fills", {**fill[1], "margin_mode": 2}), result(desk, order, 10))
    assert desk.wallet(1, 1, PositionSide.ONE_WAY) == 30  # 100 + 930 - 1,000
    assert [r["state"] for r in desk.rows("account-states", out)] == [GroupState.HEALTHY]
    assert not desk.rows("insolvencies")
    assert desk.machine.reservations.held_by(0) == []


def test_what_the_market_does_not_take_is_handed_to_the_pool_at_its_bankruptcy_quote() -> None:
    desk = long_ten_at_100(100)
    order = desk.rows("instructions", desk.feed(desk.mark(94)))[1]
    fill = desk.fill(1, -4, -370, kind=FillKind.LIQUIDATION, instruction_id=order["instruction_id"])
    out = desk.feed(("fills", {**fill[1], "margin_mode": 2}), result(desk, order, 4, Outcome.PARTIAL))
    # After the fill: wallet 100 + 370 - 400 = 70, 6 lots with cost 600, worth 564: equity 34 >= 29 = ceil(5 % of 564): well again.
    assert not desk.rows("insolvencies", out)
    assert [r["state"] for r in desk.rows("account-states", out)] == [GroupState.HEALTHY]
    again = desk.rows("instructions", desk.feed(desk.mark(93)))  # 70 + 558 - 600 = 28 >= 28 = ceil(27.9): still well
    assert not again
    order = desk.rows("instructions", desk.feed(desk.mark(92)))[1]  # 70 + 552 - 600 = 22 < 28
    out = desk.feed(result(desk, order, 0, Outcome.UNFILLED))
    (told,) = desk.rows("insolvencies", out)
    assert (told["kind"], told["lots"], told["bankruptcy_quote"]) == (InsolvencyKind.POSITION, 6, 530)  # 552 - 22
    assert told["episode"] == 2


def test_a_group_first_seen_bankrupt_skips_the_order_and_is_handed_over_whole() -> None:
    desk = long_ten_at_100(100)
    out = desk.feed(desk.mark(88))
    assert [r["kind"] for r in desk.rows("instructions", out)] == [InstructionKind.CANCEL_ORDERS]
    (told,) = desk.rows("insolvencies", out)
    assert (told["lots"], told["bankruptcy_quote"], told["mark_ticks"]) == (10, 900, 88)
    takeover = desk.fill(1, -10, -900, kind=FillKind.TAKEOVER, instruction_id=77)
    out = desk.feed(("fills", {**takeover[1], "margin_mode": 2}))
    assert desk.wallet(1, 1, PositionSide.ONE_WAY) == 0
    assert [(r["kind"], r["lots"], r["revision"]) for r in desk.rows("insolvencies", out)] == [
        (InsolvencyKind.POSITION, 0, 2), (InsolvencyKind.CLOSED, 0, 3),
    ]  # fmt: skip


def test_what_is_owed_is_told_whole_whenever_it_changes_until_it_is_paid() -> None:
    desk = long_ten_at_100(100)
    desk.feed(desk.mark(88))
    fill = desk.fill(1, -10, -884, kind=FillKind.TAKEOVER, instruction_id=77)
    out = desk.feed(("fills", {**fill[1], "margin_mode": 2}))
    assert [(r["kind"], r["deficit"]) for r in desk.rows("insolvencies", out)][1:] == [(InsolvencyKind.DEFICIT, 16)]
    bucket = {"instrument": 1, "position_side": PositionSide.ONE_WAY, "margin_mode": MarginMode.ISOLATED}
    out = desk.feed(desk.update(1, UpdateKind.COVER, 1, counter_account=31, **bucket))
    assert [(r["kind"], r["deficit"]) for r in desk.rows("insolvencies", out)] == [(InsolvencyKind.DEFICIT, 15)]
    out = desk.feed(desk.update(1, UpdateKind.FEE, -2, counter_account=32, **bucket))
    assert [(r["kind"], r["deficit"]) for r in desk.rows("insolvencies", out)] == [(InsolvencyKind.DEFICIT, 17)]
    out = desk.feed(desk.update(1, UpdateKind.SOCIALISED, 17, counter_account=2, **bucket))
    assert [r["kind"] for r in desk.rows("insolvencies", out)] == [InsolvencyKind.CLOSED]


def test_a_user_who_closes_at_a_loss_beyond_the_wallet_owes_at_once() -> None:
    desk = Desk()
    desk.feed(instrument(), pool(), *desk.opening(1, 10), desk.mark(100), desk.fill(1, 1, 100))
    out = desk.feed(desk.fill(1, -1, -80))
    assert [(r["kind"], r["deficit"]) for r in desk.rows("insolvencies", out)] == [(InsolvencyKind.DEFICIT, 10)]


def test_a_result_that_contradicts_the_fills_is_a_dead_letter_and_makes_the_account_suspect() -> None:
    desk = long_ten_at_100(100)
    order = desk.rows("instructions", desk.feed(desk.mark(94)))[1]
    fill = desk.fill(1, -4, -372, kind=FillKind.LIQUIDATION, instruction_id=order["instruction_id"])
    out = desk.feed(("fills", {**fill[1], "margin_mode": 2}), result(desk, order, 10))
    assert [(r.reason, r.account) for r in out.refusals] == [(DeadLetterReason.RESULT_CONTRADICTS_FILLS, 1)]
    assert GroupState.SUSPECT in [r["state"] for r in desk.rows("account-states", out)]
    assert not desk.rows("insolvencies", out)


def test_a_part_of_a_snapshot_delivered_twice_counts_once() -> None:
    desk = Desk()
    first, second = desk.opening(1, 500, (1, 10, 1_000))
    desk.feed(instrument(), pool(), first, first, second, second)
    assert desk.position(1) == (10, 1_000)
    assert desk.machine.book.flows[1].external == 500 - 1_000


def test_a_frozen_mark_moves_nothing_and_an_older_sequence_neither() -> None:
    desk = long_ten_at_100(100)
    assert not desk.feed(desk.mark(1, grade=4)).rows
    assert not desk.feed(desk.mark(1, sequence=1)).rows
    assert desk.machine.book.mark_of(1) == (100, 1)


def probe(desk: Desk, wave: int, lots: int, time_us: int | None = None, **more: object) -> Record:
    row = {
        "wave_id": wave,
        "pool": 1,
        "instrument": 1,
        "side": PositionSide.SHORT,
        "lots_needed": lots,
        "policy_id": RankPolicy.BITMEX,
        "policy_version": 1,
        "score_wallet_floor": 1,
        "shard_count": 1,
        "event_time_us": time_us or desk.time_us,
        "positions": [],
        "loss_per_lot": 0,
        "marks": [{"instrument": 1, "mark_ticks": 88, "sequence": 2}],
    }
    return "adl-probes", {**row, **more}


def shorts() -> Desk:
    desk = Desk()
    opening = [desk.opening(2, 600, (1, -6, -600)), desk.opening(3, 400, (1, -4, -400)), desk.opening(4, 100, (1, -1, -100))]
    desk.feed(instrument(), pool(), *[r for part in opening for r in part], desk.mark(100), desk.mark(88))
    return desk


def test_a_probe_is_answered_best_first_until_twice_the_quantity_and_reserves_it() -> None:
    desk = shorts()
    (answer,) = desk.rows("adl-candidates", desk.feed(probe(desk, 9, 4)))
    # scores: 2 and 3 tie (profit 12 % of entry, value / equity 528 / 672 = 352 / 448); 4 has 88 / 112, the same; the account decides
    assert [(r["account"], r["offered_lots"]) for r in answer["rows"]] == [(2, 6), (3, 4)]  # 6 < 8 <= 10
    assert (answer["candidates_total"], answer["lots_total"], answer["chunks"]) == (3, 11, 1)
    assert desk.machine.reservations.held_by(9) == [(2, 1, PositionSide.ONE_WAY), (3, 1, PositionSide.ONE_WAY)]
    (second,) = desk.rows("adl-candidates", desk.feed(probe(desk, 10, 4)))
    assert [(r["account"], r["offered_lots"]) for r in second["rows"]] == [(4, 1)]


def test_a_probe_waits_until_the_clock_reaches_its_time() -> None:
    desk = shorts()
    assert not desk.feed(probe(desk, 9, 4, desk.time_us + 2)).rows
    desk.feed(desk.mark(88))
    assert not desk.rows("adl-candidates")
    assert desk.rows("adl-candidates", desk.feed(desk.mark(88)))


def decided(desk: Desk, lots: int) -> Record:
    """Wave 9 has taken so many lots of account 2, by instruction 55."""
    return "adl-decisions", {
        "wave_id": 9,
        "pool": 1,
        "instrument": 1,
        "side": PositionSide.SHORT,
        "status": 1,
        "chunk": 0,
        "chunks": 1,
        "event_time_us": desk.now(),
        "placements": [],
        "rows": [{"account": 2, "position_side": PositionSide.ONE_WAY, "lots": lots, "instruction_id": 55, "room": 0}],
    }


def test_a_decision_keeps_what_was_allocated_and_a_fill_uses_it_up() -> None:
    desk = shorts()
    desk.feed(probe(desk, 9, 4))
    desk.feed(decided(desk, 4))
    assert desk.machine.reservations.held_by(9) == []
    assert desk.machine.reservations.of((2, 1, 1), 55) == 4
    desk.feed(desk.fill(2, 3, 270, kind=FillKind.ADL, instruction_id=55))
    assert desk.machine.reservations.of((2, 1, 1), 55) == 1
    desk.feed(result(desk, {"instruction_id": 55, "kind": InstructionKind.ADL, "account": 2}, 3, Outcome.PARTIAL))
    assert desk.machine.reservations.of((2, 1, 1), 55) == 0


def test_a_decision_heard_after_a_fill_of_it_keeps_what_is_left() -> None:
    desk = shorts()
    desk.feed(probe(desk, 9, 4))
    desk.feed(desk.fill(2, 3, 270, kind=FillKind.ADL, instruction_id=55))
    desk.feed(decided(desk, 4))
    assert desk.machine.reservations.of((2, 1, 1), 55) == 1


def test_hedge_legs_are_netted_before_anything_else() -> None:
    desk = Desk()
    opening = desk.opening(1, 30)
    legs = [desk.fill(1, 10, 1_000, position_side=PositionSide.LONG), desk.fill(1, -6, -570, position_side=PositionSide.SHORT)]
    desk.feed(instrument(), pool(), *opening, *legs)
    out = desk.feed(desk.mark(90))  # 30 + 900 - 1,000 - 540 + 570 = -40
    _, net = desk.rows("instructions", out)
    assert (net["kind"], net["lots"], net["quote"]) == (InstructionKind.NET, -6, -540)
    netting = [
        desk.fill(1, -6, -540, position_side=PositionSide.LONG, kind=FillKind.NETTING, instruction_id=net["instruction_id"]),
        desk.fill(1, 6, 540, position_side=PositionSide.SHORT, kind=FillKind.NETTING, leg=1, instruction_id=net["instruction_id"]),
    ]
    out = desk.feed(*netting, result(desk, net, 6))
    (told,) = desk.rows("insolvencies", out)
    assert (told["lots"], told["bankruptcy_quote"], told["position_side"]) == (4, 400, PositionSide.LONG)


def test_totals_say_each_second_that_wallets_less_costs_are_what_came_from_outside() -> None:
    desk = shorts()
    desk.time_us += 1_000_000
    desk.feed(desk.mark(90))
    desk.time_us += 1_000_000
    (totals,) = desk.rows("shard-totals", desk.feed(desk.mark(90)))[-1:]
    assert (totals["wallets"], totals["open_cost"], totals["external"]) == ("1100", "-1100", "2200")
    assert totals["instruments"] == [{"instrument": 1, "lots": -11, "open_interest": 0}]


def test_a_restored_machine_has_the_same_digest_and_says_the_same() -> None:
    desk = shorts()
    desk.feed(probe(desk, 9, 4), desk.fill(2, 1, 88))
    twin = Desk()
    twin.machine.restore(desk.machine.snapshot())
    twin.seqs, twin.time_us, twin.marks, twin.offset = dict(desk.seqs), desk.time_us, desk.marks, desk.offset
    assert twin.machine.digest() == desk.machine.digest()
    a, b = desk.feed(desk.mark(300), desk.fill(3, 1, 88)), twin.feed(twin.mark(300), twin.fill(3, 1, 88))
    assert a.rows == b.rows
    assert a.rows["insolvencies"]
    assert twin.machine.digest() == desk.machine.digest()


def test_a_snapshot_that_gives_one_position_twice_is_refused_whole() -> None:
    desk = Desk()
    parts = desk.opening(1, 500, (1, 10, 1_000), (1, 5, 500))
    out = desk.feed(instrument(), pool(), *parts)
    assert [(r.reason, r.account) for r in out.refusals] == [(DeadLetterReason.BAD_VALUE, 1)]
    assert len(desk.machine.book.positions) == 0
    desk.feed(*desk.opening(1, 500, (1, 10, 1_000)))
    assert desk.position(1) == (10, 1_000)


def test_a_wallet_never_grows_beyond_its_bound() -> None:
    desk = Desk()
    desk.feed(instrument(), pool(), *desk.opening(1, 2**60))
    out = desk.feed(desk.update(1, UpdateKind.DEPOSIT, 1))
    assert [r.reason for r in out.refusals] == [DeadLetterReason.OUT_OF_BOUNDS]
    assert desk.wallet(1) == 2**60


def test_a_group_never_holds_more_open_positions_than_its_bound_by_either_path() -> None:
    desk = Desk()
    desk.feed(pool(), *[instrument(n) for n in range(1, 260)], *desk.opening(1, 10**9), *desk.opening(2, 10**9))
    fast = desk.feed(*[desk.fill(1, 1, 100, number=n) for n in range(1, 258)])
    exact = desk.feed(*[desk.fill(2, 1, 100, number=n, margin_moved=0, instruction_id=n) for n in range(1, 258)])
    for out in (fast, exact):
        assert [r.reason for r in out.refusals] == [DeadLetterReason.OUT_OF_BOUNDS]


def test_an_update_of_a_bucket_in_another_asset_is_refused() -> None:
    desk = Desk()
    desk.feed(instrument(), pool(), *desk.opening(1, 100))
    out = desk.feed(desk.update(1, UpdateKind.FEE, -1, asset=2, instrument=1, position_side=PositionSide.ONE_WAY))
    assert [r.reason for r in out.refusals] == [DeadLetterReason.UNKNOWN_ASSET]


def test_a_result_delivered_twice_changes_nothing_the_second_time() -> None:
    desk = long_ten_at_100(100)
    order = desk.rows("instructions", desk.feed(desk.mark(94)))[1]
    fill = desk.fill(1, -10, -930, kind=FillKind.LIQUIDATION, instruction_id=order["instruction_id"])
    answer = result(desk, order, 10)
    desk.feed(("fills", {**fill[1], "margin_mode": 2}), answer)
    out = desk.feed(answer)
    assert not out.rows
    assert not out.refusals
    desk.time_us += 601_000_000
    for _ in range(3):  # ten minutes ahead of all others: the first is not believed before the next
        desk.feed(desk.mark(94))
        desk.time_us += 1_000_000
    assert len(desk.machine.results.over) == 0  # forgotten once nobody can deliver it again
