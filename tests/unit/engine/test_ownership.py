"""Who runs what: even shares that keep what runs, and a host that starts, stops, fences and heals on the memory bus."""

import asyncio
from collections.abc import Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.bus.contract import TopicPartition
from streams.bus.memory import MemoryBus
from streams.engine.journal import read_tail
from streams.engine.ownership import FixedOwnership, ShardHost, doubling, share
from streams.engine.shard import RunnerOptions, ShardRunner
from streams.engine.snapshot import SnapshotStore
from streams.engine.standby import Standby
from streams.engine.task import TaskSpec
from streams.engine.verify import verify_bus
from streams.errors import CheckFailed, ImpossibleState
from tests.support.toy import IMPOSSIBLE_LOTS, everything, fill, specs, toy_bus, toy_machine, write


@pytest.mark.parametrize(
    ("claims", "shares"),
    [
        ({"a": []}, {"a": [0, 1, 2]}),
        ({"a": [], "b": []}, {"a": [0, 1], "b": [2]}),
        ({"a": [0, 1, 2], "b": []}, {"a": [0, 1], "b": [2]}),  # the new one gets one, the other keeps the rest
        ({"a": [2], "b": [0, 1]}, {"a": [2], "b": [0, 1]}),  # nothing moves
        ({"a": [1, 2], "b": [0], "c": []}, {"a": [1], "b": [0], "c": [2]}),
        ({"a": [1], "b": [0, 1]}, {"a": [1, 2], "b": [0]}),  # both claim 1: a zombie
        ({"a": [0], "b": [1], "c": [2], "d": []}, {"a": [0], "b": [1], "c": [2], "d": []}),  # a spare
        ({"a": [7, 0]}, {"a": [0, 1, 2]}),  # of another deployment
    ],
)
def test_shares_are_even_and_keep_what_runs(claims: dict[str, list[int]], shares: dict[str, list[int]]) -> None:
    assert share(3, claims) == shares


@given(st.integers(1, 20), st.dictionaries(st.text(min_size=1, max_size=3), st.lists(st.integers(0, 25)), min_size=1, max_size=8))
def test_every_shard_has_one_owner_and_shares_differ_by_at_most_one(shards: int, claims: dict[str, list[int]]) -> None:
    shares = share(shards, claims)
    assert shares.keys() == claims.keys()
    assert sorted(shard for kept in shares.values() for shard in kept) == list(range(shards))
    assert max(map(len, shares.values())) - min(map(len, shares.values())) <= 1
    assert share(shards, shares) == shares


def test_pauses_double_with_every_fence_in_a_row_and_never_end() -> None:
    pause = doubling(0.5, lambda: 0.5)
    assert [pause(fences) for fences in (1, 2, 3)] == [0.5, 1.0, 2.0]
    assert pause(1_000) == pause(7) == 32.0


FILLS = TopicPartition("account-events", 0)


class Scheduler:
    """An ownership that the test decides."""

    def __init__(self, specs: Collection[TaskSpec] = ()) -> None:
        self._specs = list(specs)
        self._turned = asyncio.Event()

    def say(self, specs: Collection[TaskSpec]) -> None:
        self._specs = list(specs)
        self._turned.set()

    def owned(self) -> Collection[TaskSpec]:
        return self._specs

    async def changed(self) -> None:
        await self._turned.wait()
        self._turned.clear()


class Process:
    """A worker without its process: a host on the memory bus."""

    def __init__(self, bus: MemoryBus, ownership: Any, *, standby: bool = False, directory: Path | None = None) -> None:
        self.bus = bus
        self.runners: dict[TaskSpec, ShardRunner] = {}
        self.started: list[tuple[str, str]] = []
        self.alarms: list[str] = []
        self.snapshots = None if directory is None else SnapshotStore(directory)
        self.host = ShardHost(ownership, specs(), self.run, pause=lambda _: 0.0, rest=lambda _: 0.01, make_standby=self.standby if standby else None)

    def standby(self, spec: TaskSpec) -> Standby:
        return Standby(self.bus, spec, toy_machine, snapshots=self.snapshots, patience_ms=None, alarm=lambda _, name, __: self.alarms.append(name))

    async def run(self, spec: TaskSpec, stop: asyncio.Event, standby: Standby | None) -> None:
        runner = ShardRunner(
            self.bus,
            spec,
            toy_machine,
            owner=f"process {id(self)}",
            snapshots=self.snapshots,
            options=RunnerOptions(patience_ms=None),
            still_assigned=lambda: self.host.is_wanted(spec),
            standby=standby,
        )
        try:
            await runner.start()
            self.runners[spec] = runner
            self.started.append((spec.name, runner.origin[0]))
            await runner.run(stop, leaves_snapshot=lambda: self.host.is_stopping)
        finally:
            self.runners.pop(spec, None)
            await runner.stop()

    def runs(self) -> set[str]:
        return {spec.name for spec in self.runners}


@asynccontextmanager
async def at_work(*processes: Process) -> Any:
    stop = asyncio.Event()
    running = [asyncio.create_task(process.host.run(stop)) for process in processes]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*running)


async def until(what: Any) -> None:
    """Others in this loop get their turns, and threads the time for their steps."""
    async with asyncio.timeout(60):
        while not what():
            await asyncio.sleep(0.001)


async def lots(bus: MemoryBus, count: int, first: int = 1) -> None:
    for number in range(first, first + count):
        await write(bus, [("fills", partition, fill(number, partition, 1, seq=number)) for partition in range(4)])


async def said(bus: MemoryBus) -> int:
    return len(await everything(bus, "account-states"))


async def test_lost_shards_stop_gained_ones_start_and_the_rest_go_on() -> None:
    bus = await toy_bus()
    one, two, pools = specs()
    scheduler = Scheduler([one, two])
    process = Process(bus, scheduler)
    async with at_work(process):
        await until(lambda: process.runs() == {"accounts-0", "accounts-1"})
        scheduler.say([two, pools])
        await until(lambda: process.runs() == {"accounts-1", "pools-0"})
    assert sorted(process.started) == [("accounts-0", "genesis"), ("accounts-1", "genesis"), ("pools-0", "genesis")]


async def test_a_shard_that_is_fenced_and_still_assigned_starts_again() -> None:
    bus = await toy_bus()
    process = Process(bus, FixedOwnership(specs()[:1]))
    async with at_work(process):
        await until(lambda: process.runs() == {"accounts-0"})
        await bus.writer("toy-accounts-0")  # somebody fences it, and then does nothing
        await lots(bus, 3)
        await until(lambda: len(process.started) == 2)
        runner = process.runners.get(specs()[0])
        await until(lambda: runner is not None and runner.task.counts[FILLS] == 3)
    assert process.started == [("accounts-0", "genesis"), ("accounts-0", "journal")]
    assert await said(bus) == 6  # two of four partitions are this shard's


async def test_a_shard_that_is_fenced_and_assigned_to_another_stays_away() -> None:
    bus = await toy_bus()
    one = specs()[:1]
    scheduler = Scheduler(one)
    old, new = Process(bus, scheduler), Process(bus, FixedOwnership(one))
    async with at_work(old):
        await until(lambda: old.runs() == {"accounts-0"})
        async with at_work(new):
            scheduler.say([])
            await until(lambda: new.runs() == {"accounts-0"} and not old.runs())
            await lots(bus, 2)
            await until(lambda: new.runners[one[0]].task.counts[FILLS] == 2)
    assert old.started == [("accounts-0", "genesis")]
    assert await said(bus) == 4


async def test_an_error_of_a_shard_ends_the_host_and_a_lost_scheduler_does_too() -> None:
    bus = await toy_bus()
    await write(bus, [("fills", 0, fill(1, 4, IMPOSSIBLE_LOTS))])
    with pytest.raises(ImpossibleState):
        await Process(bus, FixedOwnership(specs()[:1])).host.run(asyncio.Event())

    class Broken(Scheduler):
        async def changed(self) -> None:
            raise CheckFailed("the group does not take this worker")

    with pytest.raises(CheckFailed, match="does not take"):
        await Process(bus, Broken()).host.run(asyncio.Event())


async def test_a_graceful_stop_leaves_a_listed_snapshot_and_the_next_start_runs_nothing_again(tmp_path: Path) -> None:
    bus = await toy_bus()
    spec = specs()[0]
    process = Process(bus, FixedOwnership([spec]), directory=tmp_path)
    async with at_work(process):
        await until(lambda: process.runs() == {"accounts-0"})
        await lots(bus, 3)
        await until(lambda: process.runners[spec].task.counts[FILLS] == 3)
    tail = await read_tail(bus, spec)
    assert tail is not None
    assert tail.is_note
    assert tail.snapshot is not None
    assert tail.snapshot.step == tail.step - 1
    again = Process(bus, FixedOwnership([spec]), directory=tmp_path)
    async with at_work(again):
        await until(lambda: again.runs() == {"accounts-0"})
        assert again.runners[spec].origin == ("snapshot", 1)
    assert again.started == [("accounts-0", "snapshot")]
    assert await read_tail(bus, spec) == tail  # nothing came: nothing is written twice


async def test_a_standby_is_taken_over_from_where_it_stands() -> None:
    bus = await toy_bus()
    spec = specs()[0]
    owner, other = Scheduler([spec]), Scheduler()
    first, second = Process(bus, owner), Process(bus, other, standby=True)
    async with at_work(first, second):
        await until(lambda: first.runs() == {"accounts-0"})
        await lots(bus, 3)
        await until(lambda: first.runners[spec].task.counts[FILLS] == 3)
        owner.say([])
        other.say([spec])
        await until(lambda: second.runs() == {"accounts-0"})
        await lots(bus, 2, first=4)
        await until(lambda: second.runners[spec].task.counts[FILLS] == 5)
    assert second.started == [("accounts-0", "standby")]
    assert await said(bus) == 10


async def test_two_processes_that_fence_each_other_all_the_time_still_apply_everything_once() -> None:
    bus = await toy_bus()
    both = Process(bus, FixedOwnership(specs())), Process(bus, FixedOwnership(specs()))
    async with at_work(*both):
        for number in range(1, 20):
            await lots(bus, 1, first=number)
            await asyncio.sleep(0)
        while await said(bus) < 19 * 4:
            await asyncio.sleep(0.001)
    report = await verify_bus(bus, toy_machine)
    assert report.difference is None
    assert await said(bus) == 19 * 4


async def test_what_is_wrong_with_one_shard_ends_only_that_shard_which_is_tried_again() -> None:
    bus = await toy_bus()
    accounts = specs()[:2]
    await write(bus, [("fills", 0, fill(1, 4, IMPOSSIBLE_LOTS))])  # of shard 0: it cannot get past it
    process = Process(bus, FixedOwnership(accounts))
    async with at_work(process):
        await until(lambda: process.started.count(("accounts-0", "journal")) >= 2)
        await write(bus, [("fills", 1, fill(number, 5, 1, seq=number)) for number in range(1, 4)])
        await until(lambda: accounts[1] in process.runners and process.runners[accounts[1]].task.counts[TopicPartition("account-events", 1)] == 3)
        assert process.host.is_wanted(accounts[0])
    assert process.started.count(("accounts-1", "genesis")) == 1
    assert ("accounts-1", "journal") not in process.started


async def test_when_no_shard_is_left_that_runs_the_host_ends_with_what_was_wrong() -> None:
    bus = await toy_bus()
    await write(bus, [("fills", partition, fill(1, 4 + partition, IMPOSSIBLE_LOTS)) for partition in (0, 1)])
    with pytest.raises(ImpossibleState):
        async with asyncio.timeout(60):
            await Process(bus, FixedOwnership(specs()[:2])).host.run(asyncio.Event())
