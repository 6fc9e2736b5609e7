"""The lock-step driver, its digests, and replay of what it recorded."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from streams.bus.contract import TopicPartition
from streams.bus.memory import MemoryBus
from streams.bus.recording import record as record_log
from streams.domain.batch import Row
from streams.engine.compare import DifferenceClass
from streams.engine.digests import decision_digest, output_digest, state_digest
from streams.engine.lockstep import LockStep, Progress
from streams.engine.replay import replay, replay_bus
from streams.engine.shard import ShardRunner
from tests.support.toy import ToyAccounts, ToyPools, ToyVenue, everything, fill, mark, runner, script, specs, toy_bus, toy_machine


async def demo(*, shard_count: int = 2, events: Any = None, directory: Path | None = None, sink: Any = None) -> tuple[MemoryBus, list[ShardRunner]]:
    bus: MemoryBus = await toy_bus(shard_count=shard_count)
    runners = [runner(bus, s, directory=directory) for s in specs(shard_count)]
    for each in runners:
        await each.start()
    await LockStep(bus, runners, ToyVenue(events or script()), sink_turn=sink).run()
    return bus, runners


async def test_the_loop_closes_until_nobody_is_short() -> None:
    bus, runners = await demo(events=[[("fills", 1, fill(10, 5, -3))], [("marks", 0, mark(20))]])
    assert len(await everything(bus, "instructions")) == 1
    assert runners[1].task.machine.state["lots"] == {"5": [0, 1]}  # type: ignore[attr-defined]


async def test_progress_and_the_sinks_turn_come_once_an_event_time() -> None:
    bus = await toy_bus(shard_count=1)
    runners = [runner(bus, s) for s in specs(1)]
    for each in runners:
        await each.start()
    heard: list[Any] = []

    async def sink_turn() -> None:
        heard.append("sink")

    venue = ToyVenue([[("fills", 1, fill(10, 5, -3))], [("marks", 0, mark(20))]])
    await LockStep(bus, runners, venue, sink_turn=sink_turn, on_progress=heard.append).run()
    assert heard == ["sink", Progress(10, 1, 0), "sink", Progress(20, 1, 1), "sink", Progress(27, 1, 0)]


async def test_two_runs_are_the_same_byte_for_byte() -> None:
    (one, runners), (two, others) = await demo(), await demo()
    assert await output_digest(one) == await output_digest(two)
    journals = ("accounts-journal", "pools-journal")
    assert await everything(one, *journals) == await everything(two, *journals)
    digests = [[each.task.machine.digest() for each in group] for group in (runners, others)]
    assert state_digest(digests[0]) == state_digest(digests[1])


async def test_decisions_do_not_depend_on_the_number_of_shards() -> None:
    digests = {await decision_digest((await demo(shard_count=shards, events=script(30)))[0]) for shards in (1, 2, 3)}
    assert len(digests) == 1


async def test_decisions_are_digested_in_their_own_order_wherever_they_stand() -> None:
    row: dict[str, Any] = {
        "instruction_id": 1,
        "kind": 5,
        "account": 4,
        "partition": 0,
        "cause_kind": 1,
        "cause_id": 1,
        "rung": 5,
        "attempt": 1,
        "policy_version": 1,
        "event_time_us": 1000,
        "valid_until_us": 2000,
    }
    from tests.support.toy import write

    rows: list[Row] = [row, {**row, "instruction_id": 2}, {**row, "instruction_id": 0, "event_time_us": 3000}]
    buses = [await toy_bus(), await toy_bus(), await toy_bus()]
    await write(buses[0], [("instructions", 0, each) for each in rows])
    await write(buses[1], [("instructions", index, each) for index, each in enumerate(reversed(rows))])
    await write(buses[2], [("instructions", 0, each) for each in rows[:2]])
    first, second, third = [await decision_digest(bus) for bus in buses]
    assert first == second != third


LATE: list[list[tuple[str, int, Row]]] = [
    [("fills", 0, fill(1_000, 4, 2)), ("marks", 0, mark(1_000))],
    [("marks", 0, mark(2_000, 2))],
    [("fills", 0, fill(500, 4, -5)), ("fills", 1, fill(700, 5, -1))],
    [("marks", 0, mark(3_000, 3))],
]


@pytest.mark.parametrize("events", [script(20), LATE], ids=["ordinary", "late"])
@pytest.mark.parametrize("shard_count", [1, 2])
async def test_a_replay_says_the_same_byte_for_byte(tmp_path: Path, events: list[list[tuple[str, int, Row]]], shard_count: int) -> None:
    bus, runners = await demo(shard_count=shard_count, events=events)
    await record_log(bus, tmp_path)
    report = await replay(tmp_path, toy_machine)
    assert report.differences == []
    assert report.reordered == []
    assert report.output_digest == await output_digest(bus)
    assert report.decision_digest == await decision_digest(bus)
    assert report.state_digest == state_digest(each.task.machine.digest() for each in runners)


async def test_a_recording_without_turns_is_replayed_by_event_time() -> None:
    bus, _ = await demo(events=script(20))
    for log in bus._logs.values():
        log.headers[:] = [tuple(header for header in headers if header[0] != "turn") for headers in log.headers]
    assert (await replay_bus(bus, toy_machine)).differences == []


async def test_a_replay_with_another_rule_names_the_first_record_that_is_not_the_same() -> None:
    bus, _ = await demo()

    def dearer(task: str, shard: int, shard_count: int) -> Any:
        return ToyAccounts(shard, surcharge=1) if task == "accounts" else ToyPools(shard)

    report = await replay_bus(bus, dearer)
    first = report.differences[0]
    assert (first.kind, first.topic, first.partition, first.offset) == (DifferenceClass.CODE, "account-states", 0, 0)


async def test_a_replay_says_when_the_same_records_stand_in_another_order() -> None:
    bus, _ = await demo()
    log = bus._logs["account-states", 1]
    columns: tuple[list[Any], ...] = (log.timestamps_ms, log.keys, log.values, log.headers)
    for column in columns:
        column[0], column[1] = column[1], column[0]
    report = await replay_bus(bus, toy_machine)
    assert report.differences == []
    assert report.reordered == [TopicPartition("account-states", 1)]


async def test_a_replay_reports_a_last_state_that_is_not_the_recorded_one() -> None:
    bus, _ = await demo()

    class Forgetful(ToyAccounts):
        def digest(self) -> bytes:
            return bytes(16)

    def forgetful(task: str, shard: int, shard_count: int) -> Any:
        return Forgetful(shard) if task == "accounts" else ToyPools(shard)

    report = await replay_bus(bus, forgetful)
    assert [(each.kind, each.task, each.shard) for each in report.differences] == [
        (DifferenceClass.STATE, "accounts", 0),
        (DifferenceClass.STATE, "accounts", 1),
    ]
    assert replace(report.differences[0], text="").step is not None
