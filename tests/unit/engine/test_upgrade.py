"""From one version of the rules to the next: by the snapshot of the old one's last step, with both digests in the journal, and never otherwise."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from streams.bus.contract import TopicPartition
from streams.bus.memory import MemoryBus
from streams.engine.chunks import read_all
from streams.engine.compare import DifferenceClass
from streams.engine.journal import StepRecord, Upgrade, open_chunk
from streams.engine.shard import RunnerOptions, ShardRunner
from streams.engine.snapshot import SnapshotStore
from streams.engine.task import TaskName
from streams.engine.verify import verify_bus
from streams.errors import ConfigurationProblem
from tests.support.toy import ToyAccounts, ToyPools, fill, mark, spec, toy_bus, toy_machine, write


class NewRules(ToyAccounts):
    """Version 2: every sum said is one more, and its digest of the same state is another."""

    version = 2

    def __init__(self) -> None:
        super().__init__(surcharge=1)

    def digest(self) -> bytes:
        return hashlib.sha256(b"2" + super().digest()).digest()[:16]


def old(*_: Any) -> ToyAccounts:
    return ToyAccounts()


def new(*_: Any) -> NewRules:
    return NewRules()


def shard(bus: MemoryBus, factory: Any, directory: Path, *, upgrades: bool = False) -> ShardRunner:
    options = RunnerOptions(patience_ms=None)
    return ShardRunner(bus, spec(), factory, owner="test", snapshots=SnapshotStore(directory), options=options, upgrades=upgrades)


async def play(bus: MemoryBus, running: ShardRunner, *numbers: int) -> None:
    for number in numbers:
        await write(bus, [("fills", 0, fill(number, 4, 1, seq=number)), ("marks", 0, mark(number, number))])
        while await running.turn():
            pass


async def steps(bus: MemoryBus) -> list[StepRecord]:
    return open_chunk(await read_all(bus, TopicPartition("accounts-journal", 0)))


async def left_by_the_old_version(directory: Path) -> MemoryBus:
    """A journal of three steps, and the snapshot that a graceful stop leaves."""
    bus: MemoryBus = await toy_bus(shard_count=1)
    running = shard(bus, old, directory)
    await running.start()
    await play(bus, running, 1, 2, 3)
    await running.leave_snapshot()
    await running.stop()
    return bus


async def test_the_new_version_goes_on_from_the_old_ones_state(tmp_path: Path) -> None:
    bus = await left_by_the_old_version(tmp_path)
    running = shard(bus, new, tmp_path, upgrades=True)
    await running.start()
    assert running.origin == ("upgrade", 0)
    assert running.task.machine.state["lots"] == {"4": [3, 0]}  # type: ignore[attr-defined]
    *_, note, upgraded = await steps(bus)
    assert note.is_note
    assert (upgraded.step, upgraded.machine_version, upgraded.slices, upgraded.outputs) == (5, 2, (), ())
    assert upgraded.upgrade == Upgrade(1, note.state_digest)
    assert upgraded.state_digest == running.task.machine.digest() != note.state_digest
    await play(bus, running, 4)
    assert (await steps(bus))[-1].step == 6


async def test_after_an_upgrade_the_new_version_recovers_from_it_and_later_from_its_own_snapshot(tmp_path: Path) -> None:
    bus = await left_by_the_old_version(tmp_path)
    first = shard(bus, new, tmp_path, upgrades=True)
    await first.start()
    await play(bus, first, 4, 5)
    digest = first.task.machine.digest()
    await first.stop()
    second = shard(bus, new, tmp_path)
    await second.start()
    assert second.task.machine.digest() == digest
    assert second.origin == ("snapshot", 2)  # the steps of its own version, none of the old one's
    await second.leave_snapshot()
    await second.stop()
    third = shard(bus, new, tmp_path, upgrades=True)  # the flag does nothing where there is nothing to upgrade
    await third.start()
    assert third.origin == ("snapshot", 1)
    assert third.task.machine.digest() == digest


async def test_without_being_told_to_a_new_version_refuses_and_says_how(tmp_path: Path) -> None:
    bus = await left_by_the_old_version(tmp_path)
    with pytest.raises(ConfigurationProblem, match=r"stop every worker of the old version gracefully.*--upgrade"):
        await shard(bus, new, tmp_path).start()


@pytest.mark.parametrize("upgrades", [False, True])
async def test_an_old_version_refuses_what_a_newer_one_has_written(tmp_path: Path, upgrades: bool) -> None:
    bus = await left_by_the_old_version(tmp_path)
    running = shard(bus, new, tmp_path, upgrades=True)
    await running.start()
    await running.stop()
    with pytest.raises(ConfigurationProblem, match="run the newer version"):
        await shard(bus, old, tmp_path, upgrades=upgrades).start()


async def test_an_upgrade_needs_a_snapshot_of_the_very_last_step(tmp_path: Path) -> None:
    bus = await left_by_the_old_version(tmp_path)
    running = shard(bus, old, tmp_path)
    await running.start()
    await play(bus, running, 4)  # one more step, and no graceful stop
    await running.stop()
    with pytest.raises(ConfigurationProblem, match="no good snapshot stands there"):
        await shard(bus, new, tmp_path, upgrades=True).start()
    assert (await steps(bus))[-1].machine_version == 1


async def test_a_shard_that_has_taken_nothing_yet_can_be_upgraded_after_one_more_start_and_stop(tmp_path: Path) -> None:
    bus = await toy_bus(shard_count=1)
    for _ in range(2):
        running = shard(bus, old, tmp_path)
        await running.start()
        await running.leave_snapshot()
        await running.stop()
    running = shard(bus, new, tmp_path, upgrades=True)
    await running.start()
    assert [record.machine_version for record in await steps(bus)] == [1, 1, 2]


async def test_an_upgrade_does_not_begin_from_a_damaged_snapshot(tmp_path: Path) -> None:
    bus = await left_by_the_old_version(tmp_path)
    for path in tmp_path.iterdir():
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    with pytest.raises(ConfigurationProblem, match="no good snapshot stands there"):
        await shard(bus, new, tmp_path, upgrades=True).start()


async def test_verify_runs_the_steps_of_its_own_version_and_checks_what_the_others_took_and_wrote(tmp_path: Path) -> None:
    bus = await left_by_the_old_version(tmp_path)
    running = shard(bus, new, tmp_path, upgrades=True)
    await running.start()
    await play(bus, running, 4, 5)
    pools = ShardRunner(bus, spec("pools"), toy_machine, owner="test", options=RunnerOptions(patience_ms=None))
    await pools.start()

    def factory(task: TaskName, *_: Any) -> Any:
        return new() if task == "accounts" else ToyPools()

    report = await verify_bus(bus, factory, snapshots=SnapshotStore(tmp_path))
    assert report.difference is None
    assert (report.steps, report.other_versions) == (7, 5)  # three steps, the note and the upgrade itself; then two of the new version
    blind = await verify_bus(bus, factory)
    assert (blind.difference, blind.other_versions) == (None, 7)
    values = bus._logs["account-states", 0].values
    values[0], values[1] = values[1], values[0]
    difference = (await verify_bus(bus, factory)).difference
    assert difference is not None
    assert (difference.kind, difference.step) == (DifferenceClass.OUTPUT, 1)
