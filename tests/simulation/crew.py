"""Workers that share all shards by a consumer group, where a run has them: each is one process with the engine's own host and ownership.

A fault that befalls the owner of a shard befalls the whole worker. Whoever is hired above the number that is wanted makes the oldest leave.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from streams.bus.faults import Network, SimulatedBus
from streams.engine.ownership import OF_ONE_SHARD, ShardHost, doubling
from streams.engine.shard import RunnerOptions, ShardRunner
from streams.engine.snapshot import SnapshotStore
from streams.engine.standby import Standby
from streams.engine.task import TaskSpec
from streams.errors import BackstopError, CommitUnknown, Fenced, Unreachable
from streams.tasks import machine_for
from tests.simulation.group import Group, SimulatedOwnership
from tests.simulation.loop import Process
from tests.simulation.strikes import ShardHooks
from tests.simulation.watch import Listener

if TYPE_CHECKING:
    from tests.simulation.world import World

PAUSE_S = 0.02  # after a first fence
REST_S = 0.05  # after a first failure
REFUSALS_MAX = 3


class Worker:
    """One process: it joins, runs what it is told to run, and leaves."""

    def __init__(self, world: "World", group: Group, number: int, refused: Callable[[BackstopError], None]) -> None:
        self.world = world
        self._refused = refused
        self.process = Process(f"worker#{number}")
        self.stop = asyncio.Event()
        self._random = Random(f"{world.options.seed} {self.process.name}")
        self._snapshots = SnapshotStore(world.directory / "snapshots", keep=2)
        self._specs = [shard.spec for shard in world.shards.values()]
        network = Network(world.broker, Random(f"{world.options.seed} group {self.process.name}"), world.network)
        self._ownership = SimulatedOwnership(group, network, self._random, self.process.name, self._specs)
        standby = self._standby if world.options.standbys else None
        pause, rest = (doubling(seconds, self._random.random) for seconds in (PAUSE_S, REST_S))
        self._host = ShardHost(self._ownership, self._specs, self._run, pause=pause, rest=rest, make_standby=standby)

    @property
    def is_active(self) -> bool:
        """Neither dead nor stopped nor about to leave."""
        return not (self.process.is_dead or self.process.is_stopped or self.stop.is_set())

    async def work(self) -> None:
        """Until it is told to leave or an error ends it."""
        error: BackstopError | None = None
        try:
            await self._ownership.join()
            await self._host.run(self.stop)
        except BackstopError as problem:
            error = problem
        await self._ownership.leave()
        self.process.kill()
        self.world.note(f"ended {self.process.name} {type(error).__name__}")
        if error is not None and not isinstance(error, (Fenced, CommitUnknown, Unreachable, *OF_ONE_SHARD)):
            self._refused(error)

    def _bus(self, spec: TaskSpec) -> SimulatedBus:
        hooks = ShardHooks(self.world, self.process, self.world.shards[spec.name])
        return SimulatedBus(self.world.broker, Random(f"{self.process.name} {spec.name} {self._random.random()}"), self.world.network, hooks)

    def _standby(self, spec: TaskSpec) -> Standby:
        bus, patience_ms = self._bus(spec), self.world.options.patience_ms
        return Standby(bus, spec, machine_for, snapshots=self._snapshots, patience_ms=patience_ms, alarm=self.world.on_alarm)

    async def _run(self, spec: TaskSpec, turned: asyncio.Event, standby: Standby | None) -> None:
        world, shard = self.world, self.world.shards[spec.name]
        shard.owner, shard.stop = self.process, self.stop
        runner = ShardRunner(
            self._bus(spec),
            spec,
            machine_for,
            owner=self.process.name,
            snapshots=self._snapshots,
            standby=standby,
            observer=Listener(world),
            options=RunnerOptions(snapshot_every=world.options.snapshot_every, patience_ms=world.options.patience_ms),
            clock=world.loop.time,
            still_assigned=lambda: self._host.is_wanted(spec),
        )
        try:
            await runner.start()
            world.origins[runner.origin[0]] += 1
            world.runners[spec.name] = runner
            world.note(f"runs {spec.name} in {self.process.name} from {runner.origin[0]}")
            await runner.run(turned, leaves_snapshot=lambda: self._host.is_stopping)
        except Fenced:
            world.fences += 1
            raise
        except OF_ONE_SHARD as problem:
            world.note(f"fails {spec.name} in {self.process.name} {type(problem).__name__}")
            self._refused(problem)
            raise
        finally:
            await runner.stop()


class Crew:
    """Keeps so many workers at work."""

    def __init__(self, world: "World", wanted: int) -> None:
        self._world, self._wanted = world, wanted
        self._workers: list[Worker] = []
        self._refusals: Counter[str] = Counter()
        self.group = Group(world.broker)

    def begin(self) -> None:
        """Hire all that are wanted, and others for those that end."""
        for _ in range(self._wanted):
            self.hire()
        self._watch()

    def hire(self) -> None:
        """One more."""
        worker = Worker(self._world, self.group, len(self._workers) + 1, self._count)
        self._workers.append(worker)
        self._world.note(f"start {worker.process.name}")
        self._world.loop.spawn(worker.process, worker.work())
        active = [each for each in self._workers if each.is_active]
        if len(active) > self._wanted:
            active[0].stop.set()

    def _count(self, error: BackstopError) -> None:
        """What ends a shard or a worker again and again for the same reason is a problem: no fault of a run that has a crew excuses it."""
        self._refusals[str(error)] += 1
        if self._refusals[str(error)] == REFUSALS_MAX:
            self._world.problems.append(f"halted: {REFUSALS_MAX} times a shard or a worker refused to go on: {error}")

    def _watch(self) -> None:
        if sum(worker.is_active for worker in self._workers) < self._wanted:
            self.hire()
        self._world.broker.later(0.2, self._watch)
