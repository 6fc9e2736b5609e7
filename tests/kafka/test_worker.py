"""The worker process on a real broker: it does its work, stops when told to, gives way to a newer owner, and refuses what does not fit."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from streams.bus.contract import TopicPartition
from streams.bus.kafka import KafkaBus
from streams.cli import main
from streams.commands.broker import kafka_bus, topic_counts
from streams.commands.demo_kafka import environment
from streams.domain.events import Grade
from streams.engine.chunks import read_all
from streams.settings import EngineSettings, KafkaSettings, Settings
from streams.topics import TOPICS
from streams.wire.records import new_record

pytestmark = pytest.mark.kafka
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def settings(kafka_broker: str, tmp_path: Path) -> Settings:
    engine = EngineSettings(deployment=f"t{uuid.uuid4().hex[:12]}", shards=2, account_partitions=4, data_dir=tmp_path)
    return Settings(kafka=KafkaSettings(bootstrap_servers=kafka_broker), engine=engine)


@pytest.fixture
async def bus(settings: Settings) -> AsyncIterator[KafkaBus]:
    bus = kafka_bus(settings)
    await bus.create_topics(topic_counts(account_partitions=4, shards=2))
    yield bus
    await bus.close()


async def start(settings: Settings, *arguments: str) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", "streams.cli", "worker", *arguments)
    return await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE, cwd=ROOT, env={**os.environ, **environment(settings)})


async def until(process: asyncio.subprocess.Process, event: str, times: int = 1) -> list[dict[str, Any]]:
    """Log lines up to the `times`-th of this event."""
    assert process.stderr is not None
    lines: list[dict[str, Any]] = []
    async with asyncio.timeout(90):
        while sum(line["event"] == event for line in lines) < times:
            raw = await process.stderr.readline()
            assert raw, f"the worker ended before {event}: {lines}"
            if raw.startswith(b"{"):
                lines.append(json.loads(raw))
    return lines


async def rest(process: asyncio.subprocess.Process) -> str:
    """What it still says, to its end."""
    async with asyncio.timeout(90):
        _, err = await process.communicate()
    return err.decode()


async def founded(bus: KafkaBus, topic: str, partition: int) -> int:
    return len(await read_all(bus, TopicPartition(topic, partition)))


async def test_it_runs_every_shard_and_the_views_until_sigterm_and_ends_with_zero(settings: Settings, bus: KafkaBus) -> None:
    worker = await start(settings, "--roles", "all")
    await until(worker, "shard_started", times=3)
    worker.send_signal(signal.SIGTERM)
    said = await rest(worker)
    assert worker.returncode == 0, said
    assert said.count("shard_stopped") == 3
    assert [await founded(bus, "accounts-journal", 0), await founded(bus, "accounts-journal", 1), await founded(bus, "pools-journal", 0)] == [1, 1, 1]


async def test_it_runs_only_the_shards_it_is_given(settings: Settings, bus: KafkaBus) -> None:
    worker = await start(settings, "--roles", "engine", "--shards", "accounts/1")
    lines = await until(worker, "shard_started")
    worker.send_signal(signal.SIGINT)
    assert "shard_stopped" in await rest(worker)
    assert worker.returncode == 0
    assert [(line["task"], line["shard"]) for line in lines if line["event"] == "shard_started"] == [("accounts", 1)]
    assert await founded(bus, "accounts-journal", 0) == 0


async def test_a_fenced_shard_that_is_still_its_own_is_taken_back_after_a_pause(settings: Settings, bus: KafkaBus) -> None:
    worker = await start(settings, "--roles", "engine", "--shards", "accounts/0,pools/0")
    await until(worker, "shard_started", times=2)
    newer = await bus.writer(f"{settings.engine.deployment}-accounts-0")
    mark = {"event_time_us": 1, "instrument": 7, "mark_ticks": 5, "index_ticks": 5, "sequence": 1, "grade": Grade.GOOD}
    other = await bus.writer(uuid.uuid4().hex)
    await other.commit([new_record("marks", mark)])  # its next step finds out
    await until(worker, "shard_fenced")
    (again,) = [line for line in await until(worker, "shard_started") if line["event"] == "shard_started"]
    assert (again["task"], again["shard"], again["origin"]) == ("accounts", 0, "journal")
    worker.send_signal(signal.SIGTERM)
    said = await rest(worker)
    assert worker.returncode == 0, said
    await newer.close()
    await other.close()


def test_without_topics_it_says_what_to_do(settings: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    assert main(["worker"]) == 1
    assert "backstop topics create" in capfd.readouterr().err


@pytest.mark.usefixtures("bus")
async def test_a_sink_without_a_server_is_refused_and_one_that_does_not_answer_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = await start(settings, "--roles", "sink")
    assert "BACKSTOP_CLICKHOUSE__HOST" in await rest(worker)
    assert worker.returncode == 3
    monkeypatch.setenv("BACKSTOP_CLICKHOUSE__HOST", "127.0.0.1")
    monkeypatch.setenv("BACKSTOP_CLICKHOUSE__PORT", "1")
    worker = await start(settings, "--roles", "sink")
    assert "ClickHouse at 127.0.0.1:1" in await rest(worker)
    assert worker.returncode == 4


def test_topics_are_created_checked_and_never_changed(settings: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    assert main(["topics", "check"]) == 1
    assert main(["topics", "create"]) == 0
    assert main(["topics", "create", "--json"]) == 0
    assert '"created": []' in capfd.readouterr().out
    assert main(["topics", "check"]) == 0
    assert main(["topics", "check", "--account-partitions", "5"]) == 1
    assert main(["topics", "create", "--shards", "3"]) == 1
    out, err = capfd.readouterr()
    assert f"{len(TOPICS)} topics as they should be" in out
    assert f"{settings.engine.deployment}-shards for {settings.engine.shards + 1} task shards" in out
    assert "has 4 partitions instead of 5" in err
