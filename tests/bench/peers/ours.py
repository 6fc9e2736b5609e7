"""Our side of the benchmark, a process for every figure: `python -m tests.bench.peers.ours KIND BROKER DEPLOYMENT SIZE`; the last line is JSON."""

import asyncio
import json
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams.bus.contract import Bus
from streams.bus.kafka import KafkaBus
from streams.bus.kafka_connection import KafkaConfig
from streams.bus.memory import MemoryBus
from streams.engine.shard import RunnerOptions, ShardRunner
from streams.engine.snapshot import SnapshotFile, SnapshotStore, read_snapshot, restore, tables_of
from streams.engine.standby import Standby
from streams.engine.task import MachineFactory, Task, TaskSpec
from streams.engine.verify import verify_bus
from streams.risk.layout import Tables, add_account
from streams.risk.machine import RiskMachine
from streams.risk.table import kernel, touch
from streams.tasks import machine_for
from streams.topics import ACCOUNT_EVENTS, EXCHANGE_TOPICS
from streams.wire.records import new_blocks
from tests.bench.peers import inputs
from tests.bench.peers.positions import positions

SHARDS = 2
ACCOUNTS = 50_000
HELD_ACCOUNTS = 100_000
OPTIONS = RunnerOptions(snapshot_every=10**9, target_step_ms=10)
Figures = dict[str, Any]


class OnInputs(KafkaBus):
    """Reads the exchange's streams of one deployment and writes those of another, so that every run of an engine gets the same input."""

    def __init__(self, address: str, deployment: str, its_inputs: str) -> None:
        super().__init__(KafkaConfig(bootstrap_servers=address, deployment=deployment))
        self._inputs = KafkaBus(KafkaConfig(bootstrap_servers=address, deployment=its_inputs))

    def topic(self, stream: str) -> str:
        """The exchange's streams lie elsewhere."""
        return self._inputs.topic(stream) if stream in EXCHANGE_TOPICS else super().topic(stream)

    async def partitions(self) -> dict[str, int]:
        """Of both."""
        theirs = {stream: count for stream, count in (await self._inputs.partitions()).items() if stream in EXCHANGE_TOPICS}
        return {**await super().partitions(), **theirs}

    async def close(self) -> None:
        """Both."""
        await super().close()
        await self._inputs.close()


def spec_of(shard: int, shards: int, deployment: str) -> TaskSpec:
    """An accounts task."""
    return TaskSpec("accounts", shard, shards, inputs.PARTITIONS, deployment)


async def started(bus: Bus, factory: MachineFactory, deployment: str, shards: int = SHARDS) -> list[ShardRunner]:
    """Runners of all accounts shards."""
    runners = [ShardRunner(bus, spec_of(shard, shards, deployment), factory, owner="bench", options=OPTIONS) for shard in range(shards)]
    for runner in runners:
        await runner.start()
    return runners


async def take(runners: Sequence[ShardRunner], stream: str, records: int) -> int:
    """Let the runners go on side by side until each has taken its share of `records` of a stream; how many steps that were."""

    async def one(runner: ShardRunner) -> int:
        steps = 0
        while _taken(runner, stream) < _wanted[runner]:
            steps += await runner._turn(wait_ms=200, in_background=True)
            await asyncio.sleep(0)
        return steps

    _wanted = {runner: await _share(runner, stream) for runner in runners}
    assert sum(_wanted.values()) >= records
    return sum(await asyncio.gather(*map(one, runners)))


def _taken(runner: ShardRunner, stream: str) -> int:
    return sum(at for partition, at in runner.task.positions.items() if partition.topic == stream)


async def _share(runner: ShardRunner, stream: str) -> int:
    """Offsets of the stream's partitions up to their last record: the last offset of each is a marker."""
    reader = runner._running().reader
    ends = [await reader.bounds(partition) for partition in runner.task.positions if partition.topic == stream]
    return sum(end - 1 for _, end in ends if end)


async def timed(work: Awaitable[int], events: int) -> Figures:
    """Wall clock and CPU of it."""
    wall, cpu = time.perf_counter(), time.process_time()
    steps = await work
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"events": events, "steps": steps, "wall_s": wall, "cpu_s": cpu}


async def fills_to_positions(broker: str, deployment: str, size: int) -> Figures:
    """One output a fill, exactly once; DEPLOYMENT is RUN/INPUTS."""
    run, its_inputs = deployment.split("/")
    await _warm(positions)
    bus = OnInputs(broker, run, its_inputs)
    await inputs.make_topics(bus, SHARDS)
    runners = await started(bus, positions, run)
    figures = await timed(take(runners, ACCOUNT_EVENTS, size), size)
    await _end(runners, bus)
    return figures


async def fills_to_risk(broker: str, deployment: str, size: int) -> Figures:
    """The whole risk machine: margin, bands, detection, states. It says what it has to say; there is no output a fill."""
    await _warm(machine_for)
    bus = inputs.bus_of(broker, deployment)
    await inputs.make_topics(bus, SHARDS)
    await inputs.commit_all(bus, f"{deployment}-venue", inputs.openings(ACCOUNTS))
    runners = await started(bus, machine_for, deployment)
    await take(runners, ACCOUNT_EVENTS, ACCOUNTS)
    await inputs.commit_all(bus, f"{deployment}-venue", new_blocks("fills", inputs.fills(size, ACCOUNTS)))
    figures = await timed(take(runners, ACCOUNT_EVENTS, size), size)
    await _end(runners, bus)
    return figures


async def marks(broker: str, deployment: str, size: int) -> Figures:
    """Marks against HELD_ACCOUNTS accounts with two positions each."""
    await _warm(machine_for)
    bus = inputs.bus_of(broker, deployment)
    await inputs.make_topics(bus, SHARDS)
    await open_held(bus, deployment)
    runners = await started(bus, machine_for, deployment)
    await take(runners, ACCOUNT_EVENTS, 2 * HELD_ACCOUNTS)
    await take(runners, ACCOUNT_EVENTS, HELD_ACCOUNTS)
    await inputs.commit_all(bus, f"{deployment}-venue", inputs.small_marks(size))
    figures = await timed(take(runners, "marks", size), size)
    await _end(runners, bus)
    return figures


async def open_held(bus: Bus, deployment: str) -> None:
    """HELD_ACCOUNTS accounts with two positions each."""
    await inputs.commit_all(bus, f"{deployment}-venue", inputs.openings(HELD_ACCOUNTS))
    await inputs.commit_all(bus, f"{deployment}-venue", new_blocks("fills", inputs.two_each(HELD_ACCOUNTS)))


@kernel
def _open(tables: Tables, accounts: NDArray[np.int64]) -> None:
    """Make accounts that have been heard of up to number 1, with nothing in them."""
    for n in range(len(accounts)):
        row = add_account(tables, accounts[n], accounts[n] % 4)
        tables.accounts.rows["seq"][row] = 1
        touch(tables.accounts, row)


async def recovery(_broker: str, _deployment: str, size: int) -> Figures:
    """SIZE accounts with two positions each: writing a snapshot of them, and standing there again from the file."""
    spec = spec_of(0, 1, "recovery")
    task = Task(spec, machine_for("accounts", 0, 1))
    opening = MemoryBus()
    await inputs.make_topics(opening, 1)
    reader, step = await opening.reader(spec.inputs()), None
    assert isinstance(task.machine, RiskMachine)
    _open(task.machine.book.tables(size + 4), np.arange(2, size + 1))  # as their SNAPSHOTs would have left them
    for records in (inputs.openings(1), new_blocks("fills", inputs.two_each(size))):
        await inputs.commit_all(opening, "venue", records)
        while chunks := await reader.poll(max_records=100_000, timeout_ms=0):
            step = task.step(chunks) or step
    assert step is not None
    with tempfile.TemporaryDirectory() as directory:
        began = time.perf_counter()
        store = SnapshotStore(Path(directory))
        ref = store.write(spec, step.number, step.state_digest, tables_of(task, None))
        write_s = time.perf_counter() - began
        (file,) = store.files(spec)
        again = Task(spec, machine_for("accounts", 0, 1))
        began = time.perf_counter()
        restore(again, None, step.number, read_snapshot(SnapshotFile(file.path, step.number), ref))
        assert again.machine.digest() == step.state_digest
        recovery_s = time.perf_counter() - began
        return {"recovery_s": recovery_s, "write_s": write_s, "file_mb": file.path.stat().st_size >> 20}


async def takeover(broker: str, deployment: str, size: int) -> Figures:
    """A standby that follows SIZE fills of the whole risk machine takes the shard over from an owner that is simply gone."""
    await _warm(machine_for)
    bus, other = inputs.bus_of(broker, deployment), inputs.bus_of(broker, deployment)
    await inputs.make_topics(bus, 1)
    await inputs.commit_all(bus, f"{deployment}-venue", inputs.openings(1_000))
    await inputs.commit_all(bus, f"{deployment}-venue", new_blocks("fills", inputs.fills(size, 1_000)))
    (owner,) = await started(bus, machine_for, deployment, 1)
    spec, stop = owner.spec, asyncio.Event()
    standby = Standby(other, spec, machine_for, snapshots=None, patience_ms=50, alarm=lambda *_: None)
    following = asyncio.create_task(standby.follow(stop))
    await take([owner], ACCOUNT_EVENTS, size)
    stop.set()
    await following
    taker = ShardRunner(other, spec, machine_for, owner="standby", options=OPTIONS, standby=standby)
    began = time.perf_counter()
    await taker.start()
    takeover_s = time.perf_counter() - began
    assert taker.task.machine.digest() == owner.task.machine.digest()
    await taker.stop()
    await owner.stop()
    return {"takeover_s": takeover_s, "origin": taker_origin(standby)}


def taker_origin(standby: Standby) -> str:
    """Whether the standby was of use."""
    return standby.problem or "standby"


async def replay(_broker: str, _deployment: str, size: int) -> Figures:
    """Verify a log of the whole risk machine, every digest compared, without a broker; one process."""
    bus = MemoryBus()
    await inputs.make_topics(bus, 1)
    (runner,) = await started(bus, machine_for, "replay", 1)
    await ShardRunner(bus, TaskSpec("pools", 0, 1, inputs.PARTITIONS, "replay"), machine_for, owner="bench").start()
    await inputs.commit_all(bus, "venue", inputs.openings(ACCOUNTS))
    await take([runner], ACCOUNT_EVENTS, ACCOUNTS)
    before = time.process_time()
    await _replay_once(bus)
    opening_cpu = time.process_time() - before
    await inputs.commit_all(bus, "venue", new_blocks("fills", inputs.fills(size, ACCOUNTS)))
    await take([runner], ACCOUNT_EVENTS, size)
    wall, cpu = time.perf_counter(), time.process_time()
    await _replay_once(bus)
    wall, cpu = time.perf_counter() - wall - opening_cpu, time.process_time() - cpu - opening_cpu
    return {"events": size, "wall_s": wall, "cpu_s": cpu}


async def _replay_once(bus: Bus) -> None:
    report = await verify_bus(bus, machine_for)
    assert report.difference is None, report.difference


async def serve(broker: str, deployment: str, _size: int) -> Figures:
    """Fills to positions until it is killed."""
    await _warm(positions)
    bus = inputs.bus_of(broker, deployment)
    await inputs.make_topics(bus, 1)
    (runner,) = await started(bus, positions, deployment, 1)
    sys.stdout.write("running\n")
    sys.stdout.flush()
    await runner.run(asyncio.Event())
    return {}


async def pipeline(broker: str, deployment: str, _size: int) -> Figures:
    """All accounts shards and the pools task until it is killed."""
    await _warm(machine_for)
    bus = inputs.bus_of(broker, deployment)
    await inputs.make_topics(bus, SHARDS)
    runners = await started(bus, machine_for, deployment)
    pools = TaskSpec("pools", 0, SHARDS, inputs.PARTITIONS, deployment)
    runners.append(ShardRunner(bus, pools, machine_for, owner="bench", options=OPTIONS))
    await runners[-1].start()
    sys.stdout.write("running\n")
    sys.stdout.flush()
    stop = asyncio.Event()
    await asyncio.gather(*(runner.run(stop) for runner in runners))
    return {}


async def _warm(factory: MachineFactory) -> None:
    """Compile what will be needed; the peers' virtual machines compile while they run, which is in their figures and in their warm ones not."""
    bus = MemoryBus()
    await inputs.make_topics(bus, 1)
    await inputs.commit_all(bus, "venue", [*inputs.openings(10), *new_blocks("fills", inputs.fills(100, 10)), *inputs.small_marks(5)])
    (runner,) = await started(bus, factory, "warm", 1)
    while await runner.turn():
        pass


async def _end(runners: Sequence[ShardRunner], bus: Bus) -> None:
    for runner in runners:
        await runner.stop()
    await bus.close()


KINDS: dict[str, Callable[[str, str, int], Awaitable[Figures]]] = {
    "positions": fills_to_positions,
    "risk": fills_to_risk,
    "marks": marks,
    "recovery": recovery,
    "takeover": takeover,
    "replay": replay,
    "serve": serve,
    "pipeline": pipeline,
}


async def _run(kind: str, broker: str, deployment: str, size: int) -> Figures:
    return await KINDS[kind](broker, deployment, size)


def main() -> None:
    """Print the figures, and the peak of memory."""
    kind, broker, deployment, size = sys.argv[1:]
    figures = asyncio.run(_run(kind, broker, deployment, int(size)))
    figures["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
