"""Taking over, crashing and going on: the log alone decides what happened."""

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from streams.bus.contract import Bus, TopicPartition
from streams.bus.memory import MemoryBus
from streams.domain.alarms import Alarm
from streams.domain.batch import Row
from streams.engine.chunks import read_all
from streams.engine.compare import DifferenceClass, Differs
from streams.engine.journal import StepRecord, open_chunk, read_tail
from streams.engine.shard import RunnerOptions, ShardRunner
from streams.errors import CheckFailed, CommitUnknown, ConfigurationProblem, Fenced, ImpossibleState, UsageProblem
from tests.support.toy import (
    IMPOSSIBLE_LOTS,
    Cut,
    CuttingBus,
    ToyAccounts,
    everything,
    fill,
    mark,
    runner,
    script,
    spec,
    toy_bus,
    toy_machine,
    write,
)

OUTPUTS = ("account-states", "insolvencies", "dead-letters")
EVENTS = script(10)


async def play(bus: Bus, running: ShardRunner, events: list[list[tuple[str, int, Row]]], *, exchange: Bus | None = None) -> None:
    """Event by event: the exchange writes, the shard takes."""
    for said in events:
        await write(exchange or bus, said)
        while await running.turn():
            pass


async def steps(bus: Bus) -> list[StepRecord]:
    return open_chunk(await read_all(bus, TopicPartition("accounts-journal", 0)))


async def undisturbed() -> tuple[MemoryBus, bytes]:
    bus: MemoryBus = await toy_bus(shard_count=1)
    running = runner(bus, spec())
    await running.start()
    await play(bus, running, EVENTS)
    return bus, running.task.machine.digest()


async def test_a_new_shard_writes_its_genesis_and_nothing_else() -> None:
    bus = await toy_bus(shard_count=1)
    await runner(bus, spec()).start()
    (genesis,) = await steps(bus)
    assert (genesis.step, genesis.generation, genesis.slices, genesis.outputs) == (0, 1, (), ())
    assert genesis.genesis is not None
    assert ("account-events", 4) in genesis.genesis.inputs


async def test_every_input_is_in_exactly_one_step_and_steps_are_chained() -> None:
    bus, _ = await undisturbed()
    records = await steps(bus)
    assert [record.step for record in records] == list(range(11))
    assert [record.previous_hash for record in records[1:]] == [record.own_hash for record in records[:-1]]
    for partition in spec().inputs():
        taken = [(part.start, part.stop) for record in records for part in record.slices if (part.topic, part.partition) == partition]
        bounds = [0, *(stop for _, stop in taken)]
        assert [start for start, _ in taken] == bounds[:-1]
    assert sum(part.count for record in records for part in record.slices) == sum(map(len, EVENTS))


async def test_a_restarted_shard_stands_where_it_stood_in_a_new_generation() -> None:
    bus, digest = await undisturbed()
    again = runner(bus, spec())
    await again.start()
    assert again.task.machine.digest() == digest
    assert not await again.turn()
    await write(bus, [("marks", 0, mark(9_000_000))])
    assert await again.turn()
    assert [record.generation for record in await steps(bus)][-2:] == [1, 2]


@pytest.mark.parametrize("takes_effect", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("commits", range(1, 12))
async def test_a_death_at_any_commit_loses_nothing_and_repeats_nothing(tmp_path: Path, commits: int, takes_effect: bool) -> None:
    expected, digest = await undisturbed()
    bus = await toy_bus(shard_count=1)
    cutting: Any = CuttingBus(bus, commits, takes_effect=takes_effect)
    running = runner(cutting, spec(), directory=tmp_path)
    done = [0]

    async def until_it_dies() -> None:
        await running.start()
        for said in EVENTS:
            done[0] += 1
            await play(bus, running, [said])

    with pytest.raises(Cut):
        await until_it_dies()
    with pytest.raises(UsageProblem, match="not running"):
        await running.turn()
    again = runner(bus, spec(), directory=tmp_path)
    await again.start()
    while await again.turn():
        pass
    await play(bus, again, EVENTS[done[0] :])
    assert again.task.machine.digest() == digest
    assert await everything(bus, *OUTPUTS) == await everything(expected, *OUTPUTS)


@pytest.mark.parametrize("takes_effect", [False, True], ids=["lost", "committed"])
@pytest.mark.parametrize("commits", [1, 2, 6])
async def test_a_commit_without_an_answer_is_settled_by_the_journal(commits: int, takes_effect: bool) -> None:
    expected, digest = await undisturbed()
    bus = await toy_bus(shard_count=1)
    cutting: Any = CuttingBus(bus, commits, takes_effect=takes_effect, error=CommitUnknown)
    running = runner(cutting, spec())
    await running.start()
    await play(bus, running, EVENTS)
    assert running.task.machine.digest() == digest
    assert await everything(bus, *OUTPUTS) == await everything(expected, *OUTPUTS)


async def test_a_newer_owner_fences_the_older_one_whose_step_is_not_written() -> None:
    bus = await toy_bus(shard_count=1)
    older, newer = runner(bus, spec()), runner(bus, spec())
    await older.start()
    await newer.start()
    await write(bus, [("fills", 0, fill(1, 4, 1))])
    with pytest.raises(Fenced):
        await older.turn()
    assert await newer.turn()
    assert len(await everything(bus, "account-states")) == 1


async def test_an_impossible_state_stops_the_shard_with_nothing_written() -> None:
    bus = await toy_bus(shard_count=1)
    running = runner(bus, spec())
    await running.start()
    await write(bus, [("fills", 0, fill(1, 4, 1)), ("fills", 0, fill(1, 4, IMPOSSIBLE_LOTS))])
    with pytest.raises(ImpossibleState, match="step 1"):
        await running.turn()
    assert len(await steps(bus)) == 1
    assert await everything(bus, "account-states") == []


async def test_a_worker_of_another_topology_does_not_start() -> None:
    bus, _ = await undisturbed()
    with pytest.raises(ConfigurationProblem, match="shard_count"):
        await runner(bus, spec(shard_count=2)).start()


async def test_a_worker_with_other_rules_does_not_start_on_old_steps() -> None:
    bus, _ = await undisturbed()

    def newer(*_: Any) -> ToyAccounts:
        machine = ToyAccounts()
        machine.version = 2
        return machine

    with pytest.raises(ConfigurationProblem, match="version 1 of the rules, this worker has version 2"):
        await runner(bus, spec(), newer).start()


@pytest.mark.parametrize(
    ("rules", "kind"), [({"surcharge": 1}, DifferenceClass.CODE), ({"secret": 1}, DifferenceClass.STATE)], ids=["outputs", "state"]
)
async def test_recovery_stops_where_the_rules_come_to_something_else(rules: dict[str, int], kind: DifferenceClass) -> None:
    bus, _ = await undisturbed()

    def changed(*_: Any) -> ToyAccounts:
        machine = ToyAccounts(surcharge=rules.get("surcharge", 0))
        step = machine.step

        def step_and_forget(batch: Any) -> Any:
            machine.state["secret"] += rules.get("secret", 0)
            return step(batch)

        machine.step = step_and_forget  # type: ignore[method-assign]
        return machine

    with pytest.raises(Differs) as caught:
        await runner(bus, spec(), changed).start()
    assert (caught.value.difference.kind, caught.value.difference.step) == (kind, 1)


async def test_recovery_notices_one_flipped_input_byte() -> None:
    bus, _ = await undisturbed()
    values = bus._logs["account-events", 1].values
    values[0] = (values[0] or b"")[:-1] + bytes([(values[0] or b"")[-1] ^ 2])
    with pytest.raises(Differs, match=r"input: accounts-0 step 1 account-events\[1\] offset 0"):
        await runner(bus, spec()).start()


async def test_recovery_begins_at_the_newest_snapshot(tmp_path: Path) -> None:
    bus = await toy_bus(shard_count=1)
    running = runner(bus, spec(), directory=tmp_path)
    await running.start()
    await play(bus, running, EVENTS)
    listed = [record.snapshot.step for record in await steps(bus) if record.snapshot]
    assert len(listed) > 2
    heard: list[str] = []

    def counting(*_: Any) -> ToyAccounts:
        machine = ToyAccounts()
        hear = machine.hear
        machine.hear = lambda *row: (heard.append(row[0]), hear(*row))  # type: ignore
        return machine

    again = runner(bus, spec(), counting, directory=tmp_path)
    await again.start()
    assert again.task.machine.digest() == running.task.machine.digest()
    assert again.task.number == running.task.number == 10
    assert len(heard) == sum(part.count for record in await steps(bus) if record.step > listed[-1] for part in record.slices)


async def test_a_damaged_snapshot_is_skipped_and_said(tmp_path: Path) -> None:
    bus = await toy_bus(shard_count=1)
    running = runner(bus, spec(), directory=tmp_path)
    await running.start()
    await play(bus, running, EVENTS)
    await running.stop()
    for path in tmp_path.iterdir():
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    again = runner(bus, spec(), directory=tmp_path)
    with capture_logs() as logs:
        await again.start()
    assert {entry["event"] for entry in logs} == {"snapshot_skipped"}
    assert len(logs) == len(list(tmp_path.iterdir()))
    assert again.task.number == 10


async def test_only_the_newest_listed_snapshots_are_kept(tmp_path: Path) -> None:
    bus = await toy_bus(shard_count=1)
    running = runner(bus, spec(), directory=tmp_path, keep=2)
    await running.start()
    await play(bus, running, EVENTS)
    await running.stop()
    listed = [record.snapshot.step for record in await steps(bus) if record.snapshot]
    kept = sorted(int(path.name.split("-")[2]) for path in tmp_path.iterdir())
    assert kept[:2] == listed[-2:]
    assert kept[2:] == [step for step in (10,) if step not in listed]  # the last one was written, and no step came that could list it


async def test_a_position_outside_the_log_stops_the_shard() -> None:
    bus = await toy_bus(shard_count=1)
    bus.preload((await read_all(bus, TopicPartition("marks", 0))).__class__("marks", 0, 7, 7))
    with pytest.raises(CheckFailed, match="marks"):
        await runner(bus, spec()).start()


async def test_a_read_shrinks_after_a_slow_step_and_grows_after_a_fast_full_one() -> None:
    bus = await toy_bus(shard_count=1)
    now = [0.0]

    def slow(*_: Any) -> ToyAccounts:
        machine = ToyAccounts()
        step = machine.step

        def step_slowly(batch: Any) -> Any:
            now[0] += 1.0
            return step(batch)

        machine.step = step_slowly  # type: ignore[method-assign]
        return machine

    options = RunnerOptions(target_step_ms=100)
    running = ShardRunner(bus, spec(), slow, owner="x", options=options, clock=lambda: now[0])
    await running.start()
    await write(bus, [("marks", 0, mark(time_us, time_us)) for time_us in range(1, 9001)])
    while await running.turn():
        pass
    assert [part.count for record in await steps(bus) for part in record.slices] == [5000, 2500, 1250, 250]


async def test_the_observer_hears_of_steps_and_alarms() -> None:
    bus = await toy_bus(shard_count=1)
    heard: list[Any] = []

    class Listener:
        def on_step(self, stats: Any) -> None:
            heard.append((stats.task, stats.step, stats.records, stats.outputs))

        def on_idle(self, spec: Any) -> None:
            heard.append((spec.task, "idle"))

        def on_alarm(self, spec: Any, alarm: Alarm, facts: dict[str, Any]) -> None:
            heard.append((spec.task, alarm, facts))

    accounts, pools = (runner(bus, s, observer=Listener()) for s in (spec(), spec("pools")))
    await accounts.start()
    await pools.start()
    await write(bus, [("fills", 0, fill(1, 4, -1)), ("marks", 0, mark(1))])
    assert await accounts.turn()
    assert await pools.turn()
    assert heard == [("accounts", 1, 2, 2), ("pools", Alarm.ORDERS_REFUSED, {"account": 4}), ("pools", 1, 2, 1)]
    assert await read_tail(bus, spec("pools")) is not None
    assert toy_machine("pools", 0, 1).version == 1


async def test_a_pools_task_far_behind_holds_a_bounded_number_of_records(monkeypatch: pytest.MonkeyPatch) -> None:
    events, bound, read = 400, 40, 10
    monkeypatch.setattr("streams.engine.shard.GATE_RECORDS", bound)
    bus = await toy_bus(shard_count=1)
    accounts, pools = runner(bus, spec()), runner(bus, spec("pools"))
    await accounts.start()
    await play(bus, accounts, script(events))
    await pools.start()
    pools._pace.ask_for = read
    most = 0
    for _ in range(20 * events):
        await pools.turn()
        most = max(most, pools.waiting)
    assert pools.waiting == 0
    assert pools.task.counts[TopicPartition("marks", 0)] == events // 2
    assert len(await everything(bus, "instructions")) == len(await everything(bus, "insolvencies")) > 0
    # A step of the toy announces at most one insolvency, and a read takes the journal of ten steps at most.
    assert most <= bound + 2 * read


async def test_a_runner_says_without_whom_it_goes_on() -> None:
    bus, pools = await toy_bus(shard_count=1), spec("pools")
    late = ShardRunner(bus, pools, toy_machine, owner="late", options=RunnerOptions(patience_ms=0))
    await late.start()
    assert late.spells() == []
    await write(bus, [("marks", 0, mark(1))])
    assert await late.turn()
    ((alarm, count, age_ms),) = late.spells()
    assert (alarm, count, age_ms >= 0) == (Alarm.POOLS_WENT_ON_WITHOUT_SHARDS, 1, True)
