"""A demo on Kafka: a deployment of its own, the engine in a worker process, the exchange here, in lock-step over the journals."""

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from pydantic import SecretStr

from streams.bus.recording import record
from streams.commands import run_directory
from streams.commands.broker import kafka_bus, wanted_topics
from streams.commands.run_directory import Run
from streams.engine.lockstep import Progress
from streams.engine.quiet import RemoteLockStep
from streams.engine.task import TaskSpec
from streams.errors import CheckFailed
from streams.settings import PREFIX, Settings
from streams.venue.exchange import Exchange

PATIENCE_MS = 60_000  # the pools task waits for every shard: decisions are those of the memory bus, however slow the machine is
STOP_SECONDS = 30.0


def of_its_own(settings: Settings, directory: Path, *, snapshot_every: int) -> Settings:
    """These settings under a fresh deployment name, with its snapshots in the directory of the run."""
    changes = {
        "deployment": f"demo-{secrets.token_hex(4)}",
        "epoch": 0,  # the simulated exchange remembers no other deployment, and a demo decides the same on every bus
        "data_dir": directory.resolve(),
        "patience_ms": PATIENCE_MS,
        "in_turns": True,
        "snapshot_every": snapshot_every,
        "snapshots_kept": 0,
    }
    return settings.model_copy(update={"engine": settings.engine.model_copy(update=changes)})


async def run_on_kafka(
    plan: Run,
    directory: Path,
    exchange: Exchange,
    settings: Settings,
    *,
    specs: Callable[[Run], list[TaskSpec]],
    on_progress: Callable[[Progress], None],
) -> Run:
    """Run, stop the worker, record the log. Returns the run under its deployment's name.

    Raises Unreachable without a broker or when the worker does not keep up, CheckFailed when it ends by itself.
    """
    plan = replace(plan, deployment=settings.engine.deployment)
    run_directory.begin(directory, plan)
    bus = kafka_bus(settings)
    try:
        await bus.create_topics(wanted_topics(settings))
        async with _worker(settings, directory / run_directory.WORKER_LOG) as worker:
            driver = asyncio.create_task(RemoteLockStep(bus, specs(plan), exchange, on_progress=on_progress).run())
            ended = asyncio.create_task(worker.wait())
            try:
                await asyncio.wait({driver, ended}, return_when=asyncio.FIRST_COMPLETED)
                if not driver.done():
                    raise _ended(worker, directory)
                await driver
            finally:
                driver.cancel()
                ended.cancel()
                await asyncio.gather(driver, ended, return_exceptions=True)
        if worker.returncode != 0:
            raise _ended(worker, directory)
        await record(bus, directory)
    finally:
        await bus.close()
    return plan


def _ended(worker: asyncio.subprocess.Process, directory: Path) -> CheckFailed:
    path = directory / run_directory.WORKER_LOG
    said = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return CheckFailed(f"the worker ended with code {worker.returncode} ({said[-1] if said else 'it said nothing'}); its log is {path}")


@asynccontextmanager
async def _worker(settings: Settings, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker process with all shards. It is stopped gracefully at the end, and killed if it does not stop."""
    arguments = (sys.executable, "-m", "streams.cli", "worker", "--roles", "engine")
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(*arguments, stderr=file, env={**os.environ, **environment(settings)}, start_new_session=True)
        try:
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                try:
                    async with asyncio.timeout(STOP_SECONDS):
                        await process.wait()
                except TimeoutError:
                    process.kill()
                    await process.wait()


def environment(settings: Settings) -> dict[str, str]:
    """The environment that gives another process these settings of broker and engine. Secrets travel here, never in arguments."""
    variables = {}
    for section in ("kafka", "engine"):
        for name, value in getattr(settings, section):
            if value is not None:
                text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
                variables[f"{PREFIX}{section}__{name}".upper()] = text
    return variables
