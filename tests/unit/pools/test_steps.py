"""What the machine says and knows depends on the order of events alone: not on where steps are cut, nor on a restart from a snapshot."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain.batch import UNDECODABLE, Batch
from streams.domain.events import AdlWhen, FlowCause, InsolvencyKind, LatePolicy, MarginMode, PriceRule, RoomFloor
from streams.pools import PoolsMachine
from tests.support.batches import Record, batch_of
from tests.support.pools_desk import FUND, ONE_WAY, Desk, candidate, closed, deficit, instrument, mark, pool, position

Ints = Callable[[int, int], int]
SHARDS = 2


def act(desk: Desk, integer: Ints) -> list[Record]:
    """What happens in one event: something outside, or an answer to something the machine asked."""
    fund, adl = desk.machine.fund, desk.machine.adl
    match integer(0, 9):
        case 0 | 1:
            return [mark(integer(80, 110), integer(1, 2))]
        case 2 | 3:
            account, lots, ticks = integer(11, 16), integer(1, 9) * (1 - 2 * integer(0, 1)), integer(80, 110)
            stale = {"marks_seen": 0} if integer(0, 3) == 0 else {}
            told = position(account, lots, lots * ticks + integer(-5, 40), ticks=ticks, number=integer(1, 2), **episode(desk, account), **stale)
            return [told if integer(0, 5) else ("insolvencies", {**told[1], "lots": 0, "bankruptcy_quote": 0})]
        case 4:
            account = integer(11, 16)
            return [deficit(account, integer(1, 30), **episode(desk, account))]
        case 5:
            account = integer(11, 16)
            return [closed(account, **episode(desk, account))]
        case 6:
            return [desk.flow(FlowCause.FUNDING, cash=integer(-20, 40))]
        case 7:
            return [offer(desk, wave_id, integer) for wave_id in sorted(adl.waves.asking)[:1]]
        case 8 if adl.waves.chunks and integer(0, 2) == 0:
            (wave_id, shard, _), chunk = next(iter(adl.waves.chunks.items()))
            rows = [candidate(row.account, row.lots, row.cost, row.group_wallet, row.group_equity) for row in chunk.rows[:1]]
            return [desk.withdraws(rows, shard=shard, wave_id=wave_id)]
        case _:
            open_ids = [*fund.open.table, *adl.open.table]
            if not open_ids:
                return []
            key = open_ids[integer(0, len(open_ids) - 1)]
            (sent,) = desk.all("instructions", instruction_id=key)
            whole = abs(sent["lots"] or sent["amount"])
            held = desk.lots.get(sent["instrument"], 0)
            most = min(whole, abs(held)) if sent["account"] == FUND else whole
            if sent["counter_account"] == FUND and sent["lots"] and held * -sent["lots"] < 0:
                most = min(whole, abs(held))
            answers = desk.answers(sent, min(most, integer(0, whole + 3)), ticks=90)
            return answers[:-1] if integer(0, 5) == 0 and len(answers) > 1 else answers


def episode(desk: Desk, account: int) -> dict[str, int]:
    """The account's episode: one more than those that were closed."""
    return {"episode": 1 + sum(row.get("kind") == InsolvencyKind.CLOSED and row["account"] == account for _, row in desk.fed)}


def offer(desk: Desk, wave_id: int, integer: Ints) -> Record:
    """One shard's whole answer: up to three candidates of its own accounts."""
    wave = desk.machine.adl.waves.waves[wave_id]
    sign = 1 if wave.market.side == 2 else -1
    answered = desk.machine.adl.waves.asking[wave_id].shards
    rows = []
    for n in range(integer(0, 3)):
        lots = sign * integer(1, 9)
        mode = MarginMode.ISOLATED if integer(0, 2) == 0 else MarginMode.CROSS
        rows.append(candidate(100 + 10 * answered + n, lots, lots * integer(70, 120), integer(0, 50), integer(1, 60), margin_mode=mode))
    stand = [
        {**row, "lots": row["lots"] * integer(0, 1), "equity": integer(-9, 9)}
        for row in (desk.standing(wave_id) if answered == 0 else [])
    ]  # fmt: skip
    return desk.offers(rows, shard=answered, wave_id=wave_id, stand=stand)


def life(integer: Ints, events: int) -> Desk:
    """A random life of a pool."""
    desk = Desk(SHARDS)
    rule = PriceRule.MARK if integer(0, 1) else PriceRule.BANKRUPTCY
    cap = integer(0, 2000) if integer(0, 1) else None
    parameters = {
        "price_rule": rule, "net_notional_cap": cap, "adl_start_value": 0, "adl_stop_value": 25, "instruction_valid_us": 9, "wave_deadline_us": 9,
        "wave_late": LatePolicy(integer(1, 2)), "adl_when": AdlWhen(integer(1, 2)), "room_floor": RoomFloor(integer(1, 2)),
        "price_cap_ppm": integer(0, 200_000) if integer(0, 1) else None,
    }  # fmt: skip
    desk.at(instrument(), instrument(2), pool(**parameters))
    desk.at(desk.opening(integer(0, 60)), mark(100), mark(100, 2))
    for _ in range(events):
        records = [record for _ in range(integer(1, 2)) for record in act(desk, integer)]
        seen: dict[Any, Record] = {}
        for stream, row in records:  # of one event: one mark an instrument, one offer a wave, one answer an instruction
            key = row.get("instrument") if stream == "marks" else row.get("wave_id", row.get("account_seq", repr(sorted(row.items(), key=str))))
            seen.setdefault((stream, key), (stream, row))
        desk.at(*seen.values())
    return desk


def said(machine: PoolsMachine, batches: list[Batch], *, restarts: bool) -> tuple[dict[str, list[Any]], list[Any], bytes]:
    rows: dict[str, list[Any]] = {}
    alarms = []
    for batch in batches:
        if restarts:
            tables, before, machine = machine.snapshot(), machine.digest(), PoolsMachine(SHARDS)
            machine.restore(tables)
            assert machine.digest() == before
        out = machine.step(batch)
        alarms += out.alarms
        for stream, more in out.rows.items():
            rows.setdefault(stream, []).extend(more)
    return rows, alarms, machine.digest()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(5, 60))
def test_cuts_and_restarts_change_nothing(seed: int, events: int) -> None:
    random = Random(seed)
    desk = life(random.randint, events)
    times = sorted({row["event_time_us"] for _, row in desk.fed})
    cuts = sorted(random.sample(times, min(6, len(times))))
    groups: dict[int, list[Record]] = {}
    for stream, row in desk.fed:
        groups.setdefault(sum(row["event_time_us"] >= cut for cut in cuts), []).append((stream, row))
    whole = said(PoolsMachine(SHARDS), [batch_of(desk.fed)], restarts=False)
    assert said(PoolsMachine(SHARDS), [batch_of(group) for _, group in sorted(groups.items())], restarts=True) == whole
    one_by_one: dict[str, list[Any]] = {}
    for stream, partition, row in desk.said:
        one_by_one.setdefault(stream, []).append((partition, row))
    assert (one_by_one, desk.alarms, desk.machine.digest()) == whole


def test_undecodable_rows_are_no_events() -> None:
    desk = Desk()
    desk.at(instrument(), pool())
    batch = batch_of([("marks", {**mark(88)[1], "event_time_us": 2_000, "sequence": 1})])
    batch.runs.insert(0, (UNDECODABLE, 0, 1))
    desk.machine.step(batch)
    assert desk.machine.clock_us == 2_000


def test_rows_of_the_same_time_in_a_later_batch_are_an_event_of_their_own() -> None:
    desk = Desk()
    desk.at(instrument(), pool())
    desk.at(desk.opening(5), mark(88))
    desk.at(position(11, 10, 900, ticks=88))
    desk.at(position(12, 1, 90, ticks=88, position_side=ONE_WAY), time_us=desk.time_us)
    assert desk.all("adl-probes", "lots_needed", "event_time_us") == [(8, 1_002)]


def test_a_snapshot_of_another_shard_count_is_refused() -> None:
    with pytest.raises(AssertionError, match="1 shards"):
        PoolsMachine(2).restore(PoolsMachine(1).snapshot())


def test_what_waits_for_an_instrument_holds_back_what_follows_it_in_its_pool() -> None:
    desk = Desk()
    desk.at(instrument(), pool(), desk.opening(1_000))
    desk.at(desk.flow(FlowCause.TAKEOVER, lots=2, quote=200, number=2))  # nobody knows instrument 2 yet
    desk.at(desk.flow(FlowCause.DEPOSIT, cash=500))
    desk.at(instrument(3))
    assert (desk.machine.held, desk.machine.fund.books.fund(1).wallet) == (2, 1_000)
    desk.at(instrument(2))
    assert (desk.machine.held, desk.machine.fund.books.fund(1).wallet, desk.machine.fund.books.holding(1, 2).lots) == (0, 1_500, 2)


def test_what_waits_is_released_in_order_after_a_restore_too() -> None:
    desk = Desk()
    desk.at(instrument(), pool(), desk.opening(1_000))
    desk.at(desk.flow(FlowCause.TAKEOVER, lots=2, quote=200, number=2))
    restored = PoolsMachine(1)
    restored.restore(desk.machine.snapshot())
    desk.machine = restored
    desk.at(desk.flow(FlowCause.DEPOSIT, cash=500))
    assert desk.machine.held == 2
    desk.at(instrument(2))
    assert (desk.machine.held, desk.machine.fund.books.fund(1).wallet) == (0, 1_500)
