"""Worker processes of one deployment, told apart by what they log, and things done to them."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streams.bus.kafka import KafkaBus
from streams.commands.broker import kafka_bus, topic_counts
from streams.commands.demo_kafka import environment
from streams.engine.quiet import RemoteLockStep
from streams.settings import EngineSettings, KafkaSettings, Settings
from streams.venue.exchange import Exchange
from streams.worker.engine import every_shard

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60.0
SHARDS, PARTITIONS = 2, 4  # of a shared deployment
PROGRAM = ("-m", "streams.cli")

Line = dict[str, Any]


@dataclass
class Worker:
    """A worker process and what it has logged."""

    process: asyncio.subprocess.Process
    lines: list[Line] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    reading: "asyncio.Task[None] | None" = None

    def events(self, event: str, **where: Any) -> list[Line]:
        """Log lines of this event that match."""
        return [line for line in self.lines if line.get("event") == event and all(line.get(name) == value for name, value in where.items())]

    def owned(self) -> set[str]:
        """By the newest assignment it has logged."""
        assigned = self.events("shards_assigned")
        return set(assigned[-1]["owned"]) if assigned else set()

    def running(self) -> set[str]:
        """Shards that it has started and neither stopped nor lost, to a fence or to what was wrong with them."""
        shards: set[str] = set()
        for line in self.lines:
            if line.get("event") == "shard_started":
                shards.add(f"{line['task']}-{line['shard']}")
            elif line.get("event") in ("shard_stopped", "shard_fenced", "shard_failed"):
                shards.discard(f"{line['task']}-{line['shard']}")
        return shards

    def signal(self, number: int) -> None:
        """Send a signal to the process."""
        os.kill(self.process.pid, number)

    async def ended(self) -> int:
        """Exit code, once it has ended."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            code = await self.process.wait()
            if self.reading is not None:
                await self.reading
        return code

    async def _read(self) -> None:
        assert self.process.stderr is not None
        while raw := await self.process.stderr.readline():
            if raw.startswith(b"{"):
                self.lines.append(json.loads(raw))
            else:
                self.other.append(raw.decode())


class Fleet:
    """The workers of a deployment."""

    def __init__(self, settings: Settings, *arguments: str) -> None:
        self._settings = settings
        self._arguments = arguments
        self.workers: list[Worker] = []

    async def start(self, *arguments: str, program: Sequence[str] = PROGRAM, env: Mapping[str, str] | None = None) -> Worker:
        """One more worker; `program` and `env` make it one of another version."""
        command = (sys.executable, *program, "worker", "--roles", "engine", *self._arguments, *arguments)
        env = {**os.environ, **environment(self._settings), **(env or {})}
        process = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE, cwd=ROOT, env=env)
        worker = Worker(process)
        worker.reading = asyncio.create_task(worker._read())
        self.workers.append(worker)
        return worker

    async def until(self, what: Callable[[], object]) -> None:
        """Wait until it is so; the failure shows what every worker has logged last."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not what():
                    await asyncio.sleep(0.02)
        except TimeoutError as error:
            said = [[*worker.lines[-12:], *worker.other[-3:]] for worker in self.workers]
            raise AssertionError(f"it did not come to that; the workers' last lines: {json.dumps(said, indent=1, default=str)}") from error


@asynccontextmanager
async def fleet(settings: Settings, *arguments: str) -> AsyncIterator[Fleet]:
    """Workers that are gone at the end, whatever became of them."""
    workers = Fleet(settings, *arguments)
    try:
        yield workers
    finally:
        for worker in workers.workers:
            if worker.process.returncode is None:
                worker.signal(signal.SIGKILL)
                worker.signal(signal.SIGCONT)
        for worker in workers.workers:
            await worker.ended()


def shared_deployment(kafka_broker: str, data_dir: Path) -> Settings:
    """Settings of a deployment of its own, with short sessions, whose shards several workers share."""
    engine = EngineSettings(
        deployment=f"t{uuid.uuid4().hex[:12]}",
        shards=SHARDS,
        account_partitions=PARTITIONS,
        data_dir=data_dir,
        snapshot_every=300,
        patience_ms=60_000,
        in_turns=True,
        epoch=0,  # its decisions, ids included, are held against those of a run in memory
        session_timeout_ms=3_000,
        fence_pause_ms=100,
    )
    return Settings(kafka=KafkaSettings(bootstrap_servers=kafka_broker), engine=engine)


@asynccontextmanager
async def topics_of(settings: Settings) -> AsyncIterator[KafkaBus]:
    """The bus of such a deployment, with its topics."""
    bus = kafka_bus(settings)
    await bus.create_topics(topic_counts(account_partitions=PARTITIONS, shards=SHARDS))
    try:
        yield bus
    finally:
        await bus.close()


class Load:
    """The exchange, driving the workers in lock-step from here."""

    def __init__(self, bus: KafkaBus, settings: Settings, exchange: Exchange) -> None:
        self.turns = 0
        self._driving = asyncio.create_task(RemoteLockStep(bus, every_shard(settings), exchange, on_progress=self._on_progress).run())

    def _on_progress(self, _: Any) -> None:
        self.turns += 1

    async def more(self, workers: Fleet, turns: int) -> None:
        """Until so many more event times are through."""
        reached = self.turns + turns
        await workers.until(lambda: self.turns >= reached or self._driving.done())
        assert not self._driving.done(), "the script was over before everything had been done to the workers"

    async def end(self) -> None:
        """Until the script is over."""
        await self._driving

    async def cancel(self) -> None:
        """Break it off."""
        self._driving.cancel()
        await asyncio.gather(self._driving, return_exceptions=True)


@asynccontextmanager
async def load(bus: KafkaBus, settings: Settings, exchange: Exchange) -> AsyncIterator[Load]:
    """The exchange at work while the workers are."""
    driving = Load(bus, settings, exchange)
    try:
        yield driving
    finally:
        await driving.cancel()
