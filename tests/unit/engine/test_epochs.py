"""Ids of instructions hold within a deployment, across restarts, replays and audits, and no other deployment gives them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from streams.bus.contract import NewRecord, TopicPartition
from streams.bus.memory import MemoryBus
from streams.domain.events import InstructionKind
from streams.domain.ids import deployment_epoch
from streams.engine.chunks import read_all
from streams.engine.journal import StepRecord, open_chunk
from streams.engine.replay import replay_bus
from streams.engine.shard import RunnerOptions, ShardRunner
from streams.engine.snapshot import SnapshotStore
from streams.engine.standby import Standby
from streams.engine.task import TaskSpec
from streams.engine.verify import verify_bus
from streams.pools import PoolsMachine
from streams.risk.machine import RiskMachine
from streams.tasks import machine_for
from streams.venue.scenarios.registry import build
from streams.wire.codec import codec
from tests.support.healing import Story
from tests.support.pipeline import Ran, run
from tests.support.risk_rows import PARTITIONS
from tests.support.toy import everything, toy_bus

EPOCH_OF_ITS_OWN = None


def of(deployment: str, epoch: int | None = EPOCH_OF_ITS_OWN) -> TaskSpec:
    return TaskSpec("accounts", 0, 1, PARTITIONS, deployment, epoch)


def crash() -> list[NewRecord]:
    """Two accounts fall below their maintenance, one after the other."""
    story = Story()
    story.open(1, 2)
    for account in (1, 2):
        story.say(story.desk.fill(account, 100, 10_000))
    for ticks in (100, 94, 93, 80):
        story.say(story.desk.mark(ticks))
    return story.said


async def founded(bus: MemoryBus, spec: TaskSpec, directory: Path | None = None) -> ShardRunner:
    snapshots = None if directory is None else SnapshotStore(directory)
    running = ShardRunner(bus, spec, machine_for, owner="test", snapshots=snapshots, options=RunnerOptions(snapshot_every=3, patience_ms=None))
    await running.start()
    return running


async def take(bus: MemoryBus, running: ShardRunner, records: list[NewRecord]) -> None:
    writer = await bus.writer("w")
    for record in records:
        await writer.commit([record])
        while await running.turn():
            pass


async def ids(bus: MemoryBus) -> list[int]:
    found = []
    for partition in range(PARTITIONS):
        chunk = await read_all(bus, TopicPartition("instructions", partition))
        found += [codec("instructions").decode_row(value)["instruction_id"] for value in chunk.values]
    return found


async def new_bus() -> MemoryBus:
    bus: MemoryBus = await toy_bus(shard_count=1, account_partitions=PARTITIONS)
    return bus


async def said_by(spec: TaskSpec, bus: MemoryBus | None = None) -> list[int]:
    bus = bus or await new_bus()
    await take(bus, await founded(bus, spec), crash())
    return await ids(bus)


async def genesis(bus: MemoryBus) -> StepRecord:
    return open_chunk(await read_all(bus, TopicPartition("accounts-journal", 0)))[0]


async def test_two_deployments_give_the_same_instructions_under_other_ids() -> None:
    one, other = await said_by(of("one")), await said_by(of("other"))
    assert len(one) == len(other) == len({*one, *other}) // 2 >= 4
    assert await said_by(of("one")) == one


async def test_a_deployment_founded_again_under_its_name_gives_other_ids() -> None:
    first = await said_by(of("prod"))
    bus = await new_bus()
    for topic, count in list((await bus.partitions()).items()):  # all its topics are deleted and made again
        bus.delete_topic(topic)
        await bus.create_topics({topic: count})
    assert not {*first} & {*await said_by(of("prod"), bus)}


async def test_an_epoch_that_is_given_counts_and_none_gives_the_ids_of_the_causes_alone() -> None:
    assert await said_by(of("one", 7)) == await said_by(of("other", 7))
    assert await said_by(of("one", 0)) == await said_by(of("other", 0)) != await said_by(of("one", 7))


async def test_the_epoch_is_written_once_at_the_genesis() -> None:
    bus = await new_bus()
    await take(bus, await founded(bus, of("prod")), crash())
    records = open_chunk(await read_all(bus, TopicPartition("accounts-journal", 0)))
    assert records[0].epoch == deployment_epoch("prod", (await bus.topic_ids())["instructions"])
    assert {record.epoch for record in records[1:]} == {None}


@pytest.mark.parametrize("keeps", [True, False], ids=["snapshots", "journal"])
async def test_a_restart_at_any_record_gives_the_same_ids_whatever_epoch_the_worker_is_set_to(tmp_path: Path, keeps: bool) -> None:
    expected = await new_bus()
    await take(expected, await founded(expected, of("prod")), crash())
    bus = await new_bus()
    running = await founded(bus, of("prod"), tmp_path if keeps else None)
    for record in crash():
        await take(bus, running, [record])
        await running.stop()
        running = await founded(bus, of("prod", 99), tmp_path if keeps else None)  # the journal knows better
    assert await everything(bus, "instructions", "account-states") == await everything(expected, "instructions", "account-states")


async def test_a_standby_goes_on_with_the_same_ids() -> None:
    bus = await new_bus()
    running = await founded(bus, of("prod"))
    await take(bus, running, crash()[:-2])
    standby = Standby(bus, of("prod"), machine_for, snapshots=None, patience_ms=None, alarm=lambda *_: None)
    stop = asyncio.Event()
    following = asyncio.create_task(standby.follow(stop))
    await asyncio.sleep(0.2)
    stop.set()
    await following
    after = ShardRunner(bus, of("prod"), machine_for, owner="next", options=RunnerOptions(patience_ms=None), standby=standby)
    await after.start()
    assert after.origin == ("standby", 0)
    await take(bus, after, crash()[-2:])
    assert await ids(bus) == await said_by(of("prod"))


@pytest.fixture(scope="module")
def ran() -> Ran:
    """A deployment with an epoch of its own, in which every task instructs."""
    return run(build("cascade", accounts=40, seed=5, account_partitions=PARTITIONS), deployment="prod", epoch=EPOCH_OF_ITS_OWN)


def test_a_recording_replays_and_verifies_with_the_ids_that_it_has(ran: Ran) -> None:
    kinds = {row["kind"] for row in ran.rows("instructions")}
    assert {InstructionKind.LIQUIDATE, InstructionKind.TAKEOVER, InstructionKind.ADL} <= kinds
    report = asyncio.run(replay_bus(ran.bus, machine_for))
    assert (report.differences, report.reordered, report.decision_digest) == ([], [], ran.decisions)
    assert asyncio.run(verify_bus(ran.bus, machine_for)).difference is None


def test_no_instruction_of_any_task_has_the_id_of_another_deployments(ran: Ran) -> None:
    others = run(build("cascade", accounts=40, seed=5, account_partitions=PARTITIONS), deployment="next", epoch=EPOCH_OF_ITS_OWN)
    one, other = ({row["instruction_id"]: row["kind"] for row in each.rows("instructions")} for each in (ran, others))
    assert one
    assert {*one.values()} == {*other.values()}
    assert not one.keys() & other.keys()


@pytest.mark.parametrize("machine", [lambda: RiskMachine(0, 1), lambda: PoolsMachine(1)], ids=["accounts", "pools"])
def test_a_snapshot_carries_the_epoch_and_the_digest_covers_it(machine: Any) -> None:
    one, other, restored = machine(), machine(), machine()
    one.found(77)
    assert one.digest() != other.digest()
    restored.restore(one.snapshot())
    assert restored.digest() == one.digest()
    assert restored.version == {RiskMachine: 6, PoolsMachine: 5}[type(restored)]
