"""A worker process: the engine's shards in a thread and event loop of their own, beside them Faust's views and the sink. Static assignment.

Crash-only: an error of any part ends the process with its exit code, and a start is a recovery. A shard that a newer owner has fenced stops,
the others go on, and the process ends with a failure. SIGTERM and SIGINT finish the step under way; a second signal ends at once, which is as safe.
"""

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from streams.bus.contract import Bus
from streams.commands.broker import kafka_bus, require_topics
from streams.engine.shard import RunnerOptions, ShardRunner
from streams.engine.snapshot import SnapshotStore
from streams.engine.task import MachineFactory, TaskSpec
from streams.errors import ConfigurationProblem, Fenced, UsageProblem
from streams.observe.logs import configure_logs, logger
from streams.observe.metrics import Metrics
from streams.observe.shards import ShardObserver
from streams.settings import PREFIX, EngineSettings, Settings
from streams.tasks import machine_for

log = logger(__name__)

TARGET_STEP_MS = 20  # reads are halved when steps take longer: one slow step delays everything behind it
LAG_EVERY_S = 10.0
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


def chosen_shards(text: str, engine: EngineSettings) -> list[TaskSpec]:
    """`accounts/0,pools/0` or `all` as task shards, in that order. Raises UsageProblem for what the deployment does not have."""
    every = {f"accounts/{shard}": _spec("accounts", shard, engine) for shard in range(engine.shards)} | {"pools/0": _spec("pools", 0, engine)}
    if text == "all":
        return list(every.values())
    names = dict.fromkeys(name.strip() for name in text.split(","))
    for name in names:
        if name not in every:
            raise UsageProblem(f"--shards: there is no task shard {name!r}; this deployment has {', '.join(every)}")
    return [every[name] for name in names]


def _spec(task: str, shard: int, engine: EngineSettings) -> TaskSpec:
    return TaskSpec(
        task="accounts" if task == "accounts" else "pools",
        shard=shard,
        shard_count=engine.shards,
        account_partitions=engine.account_partitions,
        deployment=engine.deployment,
    )


class EngineService:
    """Task shards in a thread with its own event loop, so that nothing else in the process delays a step."""

    def __init__(
        self,
        settings: Settings,
        specs: list[TaskSpec],
        metrics: Metrics,
        *,
        open_bus: Callable[[Settings], Bus] = kafka_bus,
        factory: MachineFactory = machine_for,
    ) -> None:
        self._settings = settings
        self._specs = specs
        self._metrics = metrics
        self._open_bus = open_bus
        self._observer = ShardObserver(metrics)
        self._factory = self._observer.watch(factory)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._started = threading.Event()
        self._fenced: list[str] = []
        self._done: Future[None] = Future()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop`, an error, or until a newer owner has taken every shard. Raises what stopped a shard."""
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
            asyncio.run(self._run_shards())
        except BaseException as error:  # the border of the thread: whatever it was is raised again where `run` waits
            self._done.set_exception(error)
        else:
            self._done.set_result(None)
        finally:
            self._started.set()

    async def _run_shards(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._started.set()
        bus = self._open_bus(self._settings)
        try:
            shards = [asyncio.create_task(self._run_shard(bus, spec), name=spec.name) for spec in self._specs]
            await _all_or_first_error(shards)
        finally:
            await bus.close()
        if self._fenced:
            raise Fenced(
                f"newer owners have taken {', '.join(self._fenced)}: two workers are set to the same shards; start each shard in one place only"
            )

    async def _run_shard(self, bus: Bus, spec: TaskSpec) -> None:
        assert self._stop is not None
        engine = self._settings.engine
        runner = ShardRunner(
            bus,
            spec,
            self._factory,
            owner=f"{socket.gethostname()}:{os.getpid()}",
            snapshots=SnapshotStore(engine.data_dir / "snapshots", keep=engine.snapshots_kept or None),
            observer=self._observer,
            options=RunnerOptions(snapshot_every=engine.snapshot_every, patience_ms=engine.patience_ms, target_step_ms=TARGET_STEP_MS),
        )
        try:
            await runner.start()
            log.info("shard_started", task=spec.task, shard=spec.shard, step=runner.task.number)
            lag = asyncio.create_task(self._measure_lag(runner))
            try:
                await runner.run(self._stop)
            finally:
                lag.cancel()
            log.info("shard_stopped", task=spec.task, shard=spec.shard)
        except Fenced as error:
            self._fenced.append(spec.name)
            log.error("shard_fenced", task=spec.task, shard=spec.shard, reason=str(error))
        finally:
            await runner.stop()

    async def _measure_lag(self, runner: ShardRunner) -> None:
        while True:
            lag = await runner.lag()
            self._metrics.set("consumer_lag_records", sum(lag.values()), task=runner.spec.task, shard=runner.spec.shard)
            await asyncio.sleep(LAG_EVERY_S)


async def _all_or_first_error(tasks: list["asyncio.Task[None]"]) -> None:
    """Wait for all; at the first error cancel the rest, let them close, and raise it."""
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _run_views(settings: Settings, metrics: Metrics, stop: asyncio.Event) -> None:
    from streams.app import build_app  # noqa: PLC0415 - Faust is loaded only where it runs

    app = build_app(settings, metrics=metrics)
    await app.start()
    log.info("views_started")
    try:
        await app.wait(stop.wait())
        if app.crash_reason is not None:
            raise app.crash_reason
    finally:
        await app.stop()
    log.info("views_stopped")


async def _run_sink(settings: Settings, stop: asyncio.Event) -> None:
    """Load everything into the ClickHouse server. The bounds of its blocks are kept beside the snapshots: one sink a deployment."""
    from streams.sinks.bounds import BoundsFile  # noqa: PLC0415 - ClickHouse's client is loaded only where it runs
    from streams.sinks.clickhouse import ClickHouseSink  # noqa: PLC0415
    from streams.sinks.connection import open_server  # noqa: PLC0415

    server = settings.clickhouse
    if server.host is None:
        raise ConfigurationProblem(f"{PREFIX}CLICKHOUSE__HOST is not set: the sink needs a ClickHouse server")
    client = await asyncio.to_thread(
        open_server, host=server.host, port=server.port, username=server.username, password=server.secret or "", secure=server.secure
    )
    bus = kafka_bus(settings)
    try:
        sink = ClickHouseSink(client, BoundsFile(settings.engine.data_dir / "clickhouse" / "bounds.json"), database=server.database)
        await asyncio.to_thread(sink.create_tables)
        reader = await sink.open(bus)
        log.info("sink_started", database=server.database)
        await sink.run(reader, stop)
    finally:
        await bus.close()
        await asyncio.to_thread(client.close)
    log.info("sink_stopped")


async def _work(settings: Settings, parts: list[Callable[[asyncio.Event], Awaitable[None]]]) -> None:
    await require_topics(settings)
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def on_signal() -> None:
        log.info("stop_requested")
        stop.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)

    async def run(part: Callable[[asyncio.Event], Awaitable[None]]) -> None:
        try:
            await part(stop)
        finally:
            stop.set()  # no part goes on alone

    results = await asyncio.gather(*(run(part) for part in parts), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


def run_worker(settings: Settings, *, roles: str, shards: str, metrics_port: int, log_level: str) -> int:
    """Run the roles until a signal; 0 after a graceful stop. Raises what ended a part. `all` has a sink only where a ClickHouse server is set."""
    if log_level.upper() not in LEVELS:
        raise UsageProblem(f"--log-level: {log_level!r} is none of {', '.join(LEVELS)}")
    specs = chosen_shards(shards, settings.engine)
    metrics = Metrics()
    parts: list[Callable[[asyncio.Event], Awaitable[None]]] = []
    if roles in ("engine", "all"):
        parts.append(EngineService(settings, specs, metrics).run)
    if roles in ("views", "all"):
        parts.append(lambda stop: _run_views(settings, metrics, stop))
    if roles == "sink" or (roles == "all" and settings.clickhouse.host is not None):
        parts.append(lambda stop: _run_sink(settings, stop))
    configure_logs(level=log_level)
    if metrics_port:
        try:
            metrics.serve(metrics_port)
        except OSError as error:
            raise UsageProblem(f"--metrics-port: port {metrics_port} cannot be opened ({error.strerror}): choose another") from error
    asyncio.run(_work(settings, parts))
    return 0
