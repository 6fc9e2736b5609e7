"""`backstop worker`: the engine's shards, Faust's views and the sink in one process, started together and stopped together.

SIGTERM and SIGINT finish the step under way, leave snapshots and give the shards back, within the grace period; a second signal ends at once,
which is as safe.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streams.commands.broker import kafka_bus, require_topics
from streams.engine.task import TaskSpec
from streams.errors import CheckFailed, ConfigurationProblem, UsageProblem
from streams.observe.health import Health, serve_health
from streams.observe.logs import configure_logs, logger
from streams.observe.metrics import Metrics
from streams.settings import PREFIX, Settings
from streams.worker.engine import EngineOptions, EngineService, every_shard

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

log = logger(__name__)

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
SHARED = "shared"


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """What the command line says; ports are 0 where nothing is served."""

    roles: str
    shards: str = SHARED
    standby: bool = False
    upgrade: bool = False
    metrics_port: int = 0
    health_port: int = 0
    log_level: str = "INFO"


def chosen_shards(text: str, settings: Settings) -> tuple[TaskSpec, ...] | None:
    """`accounts/0,pools/0` or `all` as task shards, in that order; None for `shared`. Raises UsageProblem for what the deployment does not have."""
    if text == SHARED:
        return None
    every = {f"{spec.task}/{spec.shard}": spec for spec in every_shard(settings)}
    names = list(every) if text == "all" else list(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in every:
            raise UsageProblem(f"--shards: there is no task shard {name!r}; this deployment has {', '.join(every)}")
    return tuple(every[name] for name in names)


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


async def _run_sink(settings: Settings, metrics: Metrics, health: Health, stop: asyncio.Event, *, is_alone: bool) -> None:
    """Load everything into the ClickHouse server. The bounds of its blocks are kept beside the snapshots: one sink a deployment.

    A sink that `is_alone` wants its server at the start, and ends when rows are refused. Beside an engine it waits for its server, and is left
    out once rows are refused, with an alarm: no shard may fall for it.
    """
    from streams.observe.sink import SinkObserver  # noqa: PLC0415 - ClickHouse's client is loaded only where it runs
    from streams.sinks.assets import Asset, name_assets  # noqa: PLC0415
    from streams.sinks.bounds import BoundsFile  # noqa: PLC0415
    from streams.sinks.clickhouse import ClickHouseSink  # noqa: PLC0415
    from streams.sinks.connection import server_client  # noqa: PLC0415
    from streams.sinks.pipeline import SinkPipeline, outlast  # noqa: PLC0415

    server = settings.clickhouse
    if server.host is None:
        raise ConfigurationProblem(f"{PREFIX}CLICKHOUSE__HOST is not set: the sink needs a ClickHouse server")
    observer = SinkObserver(metrics, health)

    def opened() -> "tuple[Client, ClickHouseSink]":
        client = server_client(server)
        sink = ClickHouseSink(client, BoundsFile(settings.engine.data_dir / "clickhouse" / "bounds.json"), database=server.database)
        sink.create_tables()
        name_assets(client, [Asset(asset, unit.symbol, unit.decimals) for asset, unit in settings.display.units.items()], database=server.database)
        return client, sink

    found = await asyncio.to_thread(opened) if is_alone else await outlast(opened, stop, observer)
    if found is None:
        return
    client, sink = found
    observer.on_connected()
    bus = kafka_bus(settings)
    try:
        reader = await sink.open(bus)
        log.info("sink_started", database=server.database)
        await SinkPipeline(sink, reader, observer).run(stop)
    except CheckFailed as problem:
        if is_alone:
            raise
        observer.on_refused(problem)
        await stop.wait()
    finally:
        await bus.close()
        await asyncio.to_thread(client.close)
    log.info("sink_stopped")


async def _work(settings: Settings, parts: list[Callable[[asyncio.Event], Awaitable[None]]], health: Health, health_port: int) -> None:
    server = await serve_health(health, health_port, bind=settings.observe.bind) if health_port else None
    try:
        await require_topics(settings)
        await _run_parts(parts)
    finally:
        if server is not None:
            server.close()


async def _run_parts(parts: list[Callable[[asyncio.Event], Awaitable[None]]]) -> None:
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


def run_worker(settings: Settings, options: WorkerOptions) -> int:
    """Run the roles until a signal; 0 after a graceful stop. Raises what ended a part. `all` has a sink only where a ClickHouse server is set."""
    if options.log_level.upper() not in LEVELS:
        raise UsageProblem(f"--log-level: {options.log_level!r} is none of {', '.join(LEVELS)}")
    engine = EngineOptions(fixed=chosen_shards(options.shards, settings), standby=options.standby, upgrades=options.upgrade)
    metrics, health, roles = Metrics(), Health(lag_limit=settings.engine.ready_lag), options.roles
    parts: list[Callable[[asyncio.Event], Awaitable[None]]] = []
    if roles in ("engine", "all"):
        parts.append(EngineService(settings, engine, metrics, health).run)
    else:
        health.beat(is_assigned=True)  # there are no shards to wait for
    if roles in ("views", "all"):
        parts.append(lambda stop: _run_views(settings, metrics, stop))
    if roles == "sink" or (roles == "all" and settings.clickhouse.host is not None):
        parts.append(lambda stop: _run_sink(settings, metrics, health, stop, is_alone=roles == "sink"))
    configure_logs(level=options.log_level)
    if options.metrics_port:
        try:
            metrics.serve(options.metrics_port, bind=settings.observe.bind)
        except OSError as error:
            raise UsageProblem(
                f"--metrics-port: port {options.metrics_port} cannot be opened on {settings.observe.bind} ({error.strerror}): choose another"
            ) from error
    asyncio.run(_work(settings, parts, health, options.health_port))
    return 0
