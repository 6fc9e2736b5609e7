"""One run: broker, exchange, workers, sink and the faults that befall them, from the options alone. One seed is one run, byte for byte."""

import asyncio
import contextlib
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from structlog.testing import capture_logs

from streams.bus.contract import TopicPartition
from streams.bus.faults import NetworkOptions, SimulatedBus
from streams.bus.simulated import Broker, BrokerOptions
from streams.engine.compare import Differs
from streams.engine.shard import RunnerOptions, ShardRunner
from streams.engine.snapshot import SnapshotStore
from streams.engine.standby import Standby
from streams.engine.task import TaskName, TaskSpec
from streams.errors import BackstopError, CommitUnknown, Fenced, Unreachable
from streams.tasks import machine_for
from streams.topics import TOPICS, partition_count
from tests.simulation.crew import Crew
from tests.simulation.decoding import Told
from tests.simulation.journal import Journals
from tests.simulation.loop import Loop, Process
from tests.simulation.market import Trader
from tests.simulation.options import SINK_FAULTS, Fault, Options
from tests.simulation.sink import FakeClickHouse, run_sink
from tests.simulation.strikes import ShardHooks, schedule
from tests.simulation.watch import Listener, Watch
from tests.support.directories import fast_directory

DEPLOYMENT = "simulated"
RECOVER_S = 30.0  # virtual time from the last disturbance to rest
HALT_AFTER = 3  # starts that end with the same refusal
MAX_CALLBACKS = 3_000_000
SETTLE_S = 3.0  # after a halt, and for the sink to catch up
AFTERMATH_S = 1.6  # longer than a transaction may be open or a commit waits
CALM_S = 0.3


@dataclass
class Shard:
    """A task shard and who runs it."""

    spec: TaskSpec
    owner: Process | None = None
    stop: asyncio.Event | None = None  # SIGTERM for the newest owner
    waiting: tuple[Process, asyncio.Event] | None = None  # its standby
    starts: int = 0
    commits: int = 0
    inits: int = 0
    refusals: list[str] = field(default_factory=list)
    halted: BackstopError | None = None


class World:
    """Everything there is in a run."""

    def __init__(self, options: Options, directory: Path) -> None:
        self.options, self.directory = options, directory
        self.loop = Loop(Random(f"loop {options.seed}"))
        self.trace = hashlib.sha256()
        self.is_over = False
        self.fired: list[Fault] = []
        self.disturbed_s = 0.0
        self.lines: list[str] | None = None
        self.broker = Broker(
            Random(f"broker {options.seed}"),
            BrokerOptions(marker_ms=(0.1, float(options.marker_ms)), transaction_timeout_ms=1_000),
            trace=self.note,
        )
        counts = {s: partition_count(s, account_partitions=options.partitions, shards=options.shards) for s in TOPICS}
        self.broker.create(counts)
        self.journals = Journals(self.broker, options.shards)
        self.trader = Trader(self.broker, Random(f"exchange {options.seed}"), options, self.disturb)
        self.shards = {spec.name: Shard(spec) for spec in _specs(options)}
        self.clickhouse = FakeClickHouse([fault for fault in options.faults if fault.kind in SINK_FAULTS], self.disturb)
        self.altered: dict[str, int] = {}  # shard -> steps it had when an input it had taken was altered
        self.excess = False  # whether the exchange has said of a fill that it moved a lot too many
        self.truncated: dict[TopicPartition, int] = {}
        self.originals: dict[tuple[TopicPartition, int], Any] = {}
        self.readings: dict[tuple[TopicPartition, int], Told | None] = {}  # of the checks, by place
        self.problems: list[str] = []
        self.alarms: list[tuple[str, str, dict[str, Any]]] = []  # (shard, alarm, facts), as operators heard them
        self.runners: dict[str, ShardRunner] = {}  # the newest that runs a shard
        self.lasting: set[str] = set()  # what stood as an alarm in the end
        self.watch = Watch(self)
        self.origins: Counter[str] = Counter()  # of the states that owners began with
        self.fences = 0  # of shards whose workers go on
        self.network = network(options)
        self.crew = Crew(self, options.workers) if options.workers else None

    def note(self, text: str) -> None:
        """One line of the trace."""
        if self.is_over:
            return
        line = f"{self.loop.time() * 1e6:.0f} {text}"
        self.trace.update(line.encode() + b"\n")
        if self.lines is not None:
            self.lines.append(line)

    def disturb(self, fault: Fault, *, until_s: float = 0.0) -> None:
        """A fault happens."""
        self.fired.append(fault)
        self.excess = self.excess or fault.kind == "excess"
        self.disturbed_s = max(self.disturbed_s, self.loop.time(), until_s)
        self.note(f"fault {fault}")

    # -- workers ----------------------------------------------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """Start a worker for a shard, or tell its standby to take over; whoever ran it is not told. Where workers share, one more of them."""
        if self.crew is not None:
            self.crew.hire()
            return
        shard = self.shards[name]
        waiting, shard.waiting = shard.waiting, None
        process, turn = waiting or self._spawn(shard)
        shard.owner = process
        self.note(f"start {process.name}")
        turn.set()
        if self.options.standbys:
            shard.waiting = self._spawn(shard)

    def _spawn(self, shard: Shard) -> tuple[Process, asyncio.Event]:
        shard.starts += 1
        process, turn = Process(f"{shard.spec.name}#{shard.starts}"), asyncio.Event()
        self.loop.spawn(process, self._work(process, shard, turn))
        return process, turn

    def start_later(self, name: str, delay_s: float) -> None:
        """Start a worker after a while."""
        self.broker.later(delay_s, lambda: self.start(name))

    async def _stand_by(self, bus: SimulatedBus, shard: Shard, snapshots: SnapshotStore, turn: asyncio.Event) -> Standby | None:
        """Follow the shard until its turn comes; None when it came at once, or the broker went away."""
        if turn.is_set():
            return None
        standby = Standby(bus, shard.spec, machine_for, snapshots=snapshots, patience_ms=self.options.patience_ms, alarm=self.on_alarm)
        try:
            await standby.follow(turn)
        except Unreachable:
            await standby.close()
            await turn.wait()
            return None
        await turn.wait()
        return standby

    def on_alarm(self, spec: TaskSpec, name: str, facts: dict[str, Any]) -> None:
        """A standby has something to say."""
        self.problems.append(f"standby: {spec.name} {name}: {facts}")

    async def _work(self, process: Process, shard: Shard, turn: asyncio.Event) -> None:
        options = self.options
        snapshots = SnapshotStore(self.directory / "snapshots", keep=2)
        bus = SimulatedBus(self.broker, Random(f"{options.seed} {process.name}"), self.network, ShardHooks(self, process, shard))
        standby = await self._stand_by(bus, shard, snapshots, turn)
        runner = ShardRunner(
            bus,
            shard.spec,
            machine_for,
            owner=process.name,
            snapshots=snapshots,
            standby=standby,
            observer=Listener(self),
            options=RunnerOptions(snapshot_every=options.snapshot_every, patience_ms=options.patience_ms),
            clock=self.loop.time,
            still_assigned=lambda: shard.owner is process,
        )
        shard.stop = stop = asyncio.Event()
        try:
            await runner.start()
            origin, _ = runner.origin
            self.origins[origin] += 1
            self.runners[shard.spec.name] = runner
            self.note(f"runs {process.name} from {origin}")
            await runner.run(stop, leaves_snapshot=lambda: True)
        except BackstopError as error:
            self._ended(process, shard, error)
        else:
            self._ended(process, shard, None)

    def _ended(self, process: Process, shard: Shard, error: BackstopError | None) -> None:
        self.note(f"ended {process.name} {type(error).__name__}")
        process.kill()
        if shard.owner is not process:
            return
        if error is None or isinstance(error, Fenced | CommitUnknown | Unreachable):
            shard.refusals.clear()
        else:
            kind = error.difference.kind.value if isinstance(error, Differs) else type(error).__name__
            shard.refusals.append(f"{kind}: {error}")
            if len(shard.refusals) >= HALT_AFTER:
                shard.halted = error
                self.note(f"halted {shard.spec.name} {kind}")
                return
        self.start_later(shard.spec.name, Random(f"{self.options.seed} again {process.name}").uniform(0.005, 0.06))

    # -- the run ----------------------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until everything that was said has been taken and nothing stirs."""
        if self.crew is not None:
            self.crew.begin()
        else:
            for name in self.shards:
                self.start(name)
        for fault in self.options.faults:
            schedule(self, fault)
        for _ in self.trader.open():
            if not await self._until(lambda: self.trader.publisher.is_idle and self.has_taken_all()):
                return
        self.loop.spawn(Process("exchange"), self.trader.run())
        if self.options.sink:
            self._start_sink()
        while await self._until(self.is_at_rest):
            # Zombies and transactions on their way show what they do.
            await asyncio.sleep(max(0.0, self.disturbed_s + AFTERMATH_S - self.loop.time()))
            await asyncio.sleep(SETTLE_S if self.options.sink else CALM_S)
            if self.is_at_rest():
                self.lasting = self.watch.lasting()
                return

    def is_at_rest(self) -> bool:
        """Whether the exchange has nothing more to say, and all has been taken."""
        self.journals.read()
        return self.trader.is_done and self.has_taken_all()

    async def _until(self, is_so: Callable[[], bool]) -> bool:
        """Wait for it; False when a shard has halted. A run that does not get there in time is a problem."""
        while True:
            self.journals.read()
            self.watch.look()
            if is_so():
                return True
            if any(shard.halted for shard in self.shards.values()):
                await asyncio.sleep(SETTLE_S)
                return False
            if self.loop.time() > self.disturbed_s + RECOVER_S + self.options.steps * self.options.pace_ms / 1000 * 40:
                self.problems.append(f"liveness: not at rest {RECOVER_S:g} s after the last disturbance: {self.lagging()}")
                return False
            if self.loop.callbacks > MAX_CALLBACKS:
                self.problems.append(f"liveness: {MAX_CALLBACKS} callbacks and no rest: {self.lagging()}")
                return False
            await asyncio.sleep(0.05)

    def has_taken_all(self) -> bool:
        """Whether every shard has taken all that is in the log."""
        return not self.lagging()

    def lagging(self) -> list[str]:
        """What has not been taken."""
        found = []
        for name, shard in self.shards.items():
            for partition in shard.spec.inputs():
                if partition.topic == "accounts-journal":
                    continue
                log = self.broker.logs[partition]
                if log.open or log.read(self.journals.taken[name].get(partition, 0), 1)[1]:
                    found.append(f"{name} {partition.topic}[{partition.partition}]")
        return found

    def _start_sink(self) -> None:
        process = Process("sink")
        bus = SimulatedBus(self.broker, Random(f"{self.options.seed} sink {len(self.fired)}"), self.network)
        self.clickhouse.crash = process
        self.loop.spawn(process, run_sink(bus, self.clickhouse, self.directory / "sink"))

        def watch() -> None:
            if process.is_dead:
                self._start_sink()
            else:
                self.broker.later(0.1, watch)

        self.broker.later(0.1, watch)


def network(options: Options) -> NetworkOptions:
    """The way to the broker, as the options say."""
    return NetworkOptions(latency_ms=(0.05, float(options.latency_ms)), uneven_share=options.uneven_percent / 100)


def _specs(options: Options) -> list[TaskSpec]:
    names: list[tuple[TaskName, int]] = [*(("accounts", shard) for shard in range(options.shards)), ("pools", 0)]
    return [TaskSpec(task, shard, options.shards, options.partitions, DEPLOYMENT) for task, shard in names]


@contextlib.contextmanager
def played(options: Options, *, keep_lines: bool = False) -> Iterator[World]:
    """A run that is over, with all it left."""
    with fast_directory() as directory:
        world = World(options, directory)
        world.lines = [] if keep_lines else None
        with capture_logs():
            try:
                world.loop.run_until_complete(world.run())
            except BaseException:
                world.is_over = True
                world.loop.close()
                raise
            world.problems += [f"an error nobody caught: {error}" for error in world.loop.errors[:1]]
            world.is_over = True
            world.journals.read(decided=True)
            world.loop.close()
        yield world
