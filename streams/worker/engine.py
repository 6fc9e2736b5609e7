"""The engine's part of a worker: its shards in a thread and event loop of their own, so that nothing else in the process delays a step.

Crash-only: a start is a recovery. What is wrong with the log or the state of one shard ends that shard, which is tried again after a pause that
doubles, while the others go on; every other error ends the process, and so does the last shard. A fence is no error: the shard is dropped, and
started again after a random pause if it is still assigned here. A stop lets every shard finish its step and leave a snapshot, for as long as the
grace period lasts.
"""

import asyncio
import os
import random
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from streams.bus.contract import Bus
from streams.commands.broker import kafka_bus, kafka_config
from streams.domain.alarms import Alarm
from streams.engine.ownership import OF_ONE_SHARD, FixedOwnership, Ownership, ShardHost, doubling
from streams.engine.shard import RunnerOptions, ShardRunner
from streams.engine.snapshot import SnapshotStore
from streams.engine.standby import Standby
from streams.engine.task import MachineFactory, TaskSpec
from streams.errors import Fenced
from streams.observe.health import Health
from streams.observe.logs import logger
from streams.observe.metrics import Metrics
from streams.observe.shards import ShardObserver
from streams.settings import Settings
from streams.tasks import machine_for
from streams.worker.group import GroupOwnership
from streams.worker.surveyor import Surveyor

log = logger(__name__)

TARGET_STEP_MS = 10  # of a step with something urgent: one slow step delays everything behind it
REST_S = 5.0  # before a shard that failed is tried again; doubles
BEAT_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """`fixed`: shards to run whatever others do; None: a share of all. `standby`: follow the shards of others. `upgrades`: see `--upgrade`."""

    fixed: tuple[TaskSpec, ...] | None = None
    standby: bool = False
    upgrades: bool = False


def every_shard(settings: Settings) -> list[TaskSpec]:
    """All task shards of the deployment: accounts, then pools. Their order numbers the partitions of the shards topic."""
    engine = settings.engine
    accounts = [
        TaskSpec("accounts", shard, engine.shards, engine.account_partitions, engine.deployment, engine.epoch) for shard in range(engine.shards)
    ]
    return [*accounts, TaskSpec("pools", 0, engine.shards, engine.account_partitions, engine.deployment, engine.epoch)]


class EngineService:
    """Task shards in a thread with its own event loop."""

    def __init__(
        self,
        settings: Settings,
        options: EngineOptions,
        metrics: Metrics,
        health: Health,
        *,
        open_bus: Callable[[Settings], Bus] = kafka_bus,
        factory: MachineFactory = machine_for,
    ) -> None:
        self._settings = settings
        self._options = options
        self._metrics = metrics
        self._health = health
        self._open_bus = open_bus
        self._observer = ShardObserver(metrics, dead_letters_per_minute=settings.engine.dead_letters_per_minute)
        for spec in every_shard(settings):
            self._observer.on_known(spec)
        self._factory = self._observer.watch(factory)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._started = threading.Event()
        self._done: Future[None] = Future()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` or an error. Raises what stopped a shard."""
        threading.Thread(target=self._main, name="backstop-engine", daemon=True).start()
        done = asyncio.wrap_future(self._done)
        waiting = asyncio.ensure_future(stop.wait())
        either: set[asyncio.Future[Any]] = {done, waiting}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            self._request_stop()
        await done

    def _request_stop(self) -> None:
        self._started.wait()
        if self._loop is not None and self._stop is not None:
            with suppress(RuntimeError):  # the loop has closed: there is nothing left to stop
                self._loop.call_soon_threadsafe(self._stop.set)

    def _main(self) -> None:
        try:
            asyncio.run(self._run())
        except BaseException as error:  # the border of the thread: whatever it was is raised again where `run` waits
            self._done.set_exception(error)
        else:
            self._done.set_result(None)
        finally:
            self._started.set()

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._started.set()
        bus = self._open_bus(self._settings)
        every = every_shard(self._settings)
        fixed, group = self._options.fixed, None
        if fixed is None:
            group = GroupOwnership(kafka_config(self._settings), every, session_timeout_ms=self._settings.engine.session_timeout_ms)
        shards = _Shards(self._settings, self._options, bus, self._factory, self._observer, self._metrics, self._health)
        ownership: Ownership = group or FixedOwnership(fixed or ())
        # The pause only spreads attempts: no decision depends on it.
        pause = doubling(self._settings.engine.fence_pause_ms / 1000, random.random)
        rest = doubling(REST_S, random.random)
        shards.host = ShardHost(ownership, every, shards.run, pause=pause, rest=rest, make_standby=shards.standby if self._options.standby else None)
        beating = asyncio.create_task(self._beat(group, shards.host))
        try:
            if group is not None:
                await group.join()
            await self._within_grace(shards.host)
        finally:
            beating.cancel()
            if group is not None:
                await group.leave()
            await bus.close()

    async def _within_grace(self, host: ShardHost) -> None:
        """Run the host; a stop that takes longer than the grace period is broken off, which is as safe."""
        assert self._stop is not None
        running = asyncio.create_task(host.run(self._stop))
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([running, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                await asyncio.wait([running], timeout=self._settings.engine.grace_ms / 1000)
            if not running.done():
                log.warning("grace_period_over", grace_ms=self._settings.engine.grace_ms)
                running.cancel()
                await asyncio.wait([running])
        finally:
            stopping.cancel()
            running.cancel()
        if not running.cancelled():
            running.result()

    async def _beat(self, group: GroupOwnership | None, host: ShardHost) -> None:
        while True:
            for standby in host.standbys:
                self._observer.on_standby(standby.spec, standby.step)
            self._health.beat(is_assigned=group is None or group.has_joined)
            await asyncio.sleep(BEAT_EVERY_S)


class _Shards:
    """Runs one shard at a time of those that the host asks for, and tells of it."""

    host: ShardHost

    def __init__(
        self, settings: Settings, options: EngineOptions, bus: Bus, factory: MachineFactory, observer: ShardObserver, metrics: Metrics, health: Health
    ) -> None:
        engine = settings.engine
        self._engine = engine
        self._options = options
        self._bus = bus
        self._factory = factory
        self._observer = observer
        self._metrics = metrics
        self._health = health
        self._surveyor = Surveyor(engine, observer, metrics, health)
        self._snapshots = SnapshotStore(engine.data_dir / "snapshots", keep=engine.snapshots_kept or None)

    def standby(self, spec: TaskSpec) -> Standby:
        """A standby of a shard that somebody else runs."""
        return Standby(self._bus, spec, self._factory, snapshots=self._snapshots, patience_ms=self._engine.patience_ms, alarm=self._observer.on_alarm)

    async def run(self, spec: TaskSpec, stop: asyncio.Event, standby: Standby | None) -> None:
        """Take the shard over and run it until `stop`. Raises Fenced when a newer owner has it."""
        runner = ShardRunner(
            self._bus,
            spec,
            self._factory,
            owner=f"{socket.gethostname()}:{os.getpid()}",
            snapshots=self._snapshots,
            observer=self._observer,
            options=RunnerOptions(
                snapshot_every=self._engine.snapshot_every,
                patience_ms=self._engine.patience_ms,
                target_step_ms=TARGET_STEP_MS,
                order_patience_ms=self._engine.order_patience_ms,
                in_turns=self._engine.in_turns,
            ),
            still_assigned=lambda: self.host.is_wanted(spec),
            standby=standby,
            upgrades=self._options.upgrades,
        )
        labels: dict[str, Any] = {"task": spec.task, "shard": spec.shard}
        left, why = "fenced", tuple[str, ...]()
        self._health.tell(spec.name, "starting")
        try:
            if not await self._started(runner, stop):
                return
            self._observer.on_started(spec)
            surveying = asyncio.create_task(self._surveyor.for_ever(runner))
            try:
                await runner.run(stop, leaves_snapshot=lambda: self.host.is_stopping)
            finally:
                surveying.cancel()
            log.info("shard_stopped", **labels)
        except Fenced:
            self._metrics.add("fences", **labels)
            raise
        except OF_ONE_SHARD as problem:
            left, why = "failing", (str(problem),)
            self._observer.on_alarm(spec, Alarm.SHARD_FAILED, {"reason": str(problem)})
            raise
        finally:
            self._observer.on_stopped(spec)
            left = "stopping" if self.host.is_stopping else left
            self._health.tell(spec.name, left if self.host.is_wanted(spec) else None, held_back=why)
            await runner.stop()

    async def _started(self, runner: ShardRunner, stop: asyncio.Event) -> bool:
        """Take over; False when the stop came first: a recovery may take long, and breaking it off is safe."""
        began = time.monotonic()
        starting, stopping = asyncio.create_task(runner.start()), asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                return False
            starting.result()
        finally:
            stopping.cancel()
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
        seconds = time.monotonic() - began
        spec, (origin, reran) = runner.spec, runner.origin
        self._metrics.observe("takeover_seconds", seconds, task=spec.task, shard=spec.shard)
        self._metrics.add("takeovers_of_shards", task=spec.task, shard=spec.shard, origin=origin)
        took_ms = int(seconds * 1000)
        log.info("shard_started", task=spec.task, shard=spec.shard, step=runner.task.number, origin=origin, reran=reran, took_ms=took_ms)
        return True
