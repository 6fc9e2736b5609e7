"""The sink of a real worker between a real broker and a ClickHouse server over HTTP, both of which it loses; then every row is reconciled."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from streams.bus.kafka import KafkaBus
from streams.commands.broker import kafka_bus, topic_counts
from streams.commands.demo_kafka import environment
from streams.settings import ClickHouseSettings, EngineSettings, KafkaSettings, Settings
from streams.sinks.connection import server_client
from streams.wire.records import new_records
from tests.support.clickhouse_http import PASSWORD, USER, ClickHouseServer, Fault, FaultKind, clickhouse_server
from tests.support.sink_log import fill

pytestmark = [pytest.mark.kafka, pytest.mark.chdb]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ClickHouseServer]:
    with clickhouse_server(tmp_path / "server") as running:
        yield running


@pytest.fixture
def settings(kafka_broker: str, tmp_path: Path, server: ClickHouseServer) -> Settings:
    engine = EngineSettings(deployment=f"t{uuid.uuid4().hex[:12]}", shards=1, account_partitions=2, data_dir=tmp_path / "data")
    clickhouse = ClickHouseSettings(host="127.0.0.1", port=server.port, username=USER, password=SecretStr(PASSWORD), allow_plaintext=True)
    return Settings(kafka=KafkaSettings(bootstrap_servers=kafka_broker), engine=engine, clickhouse=clickhouse)


@pytest.fixture
async def bus(settings: Settings) -> AsyncIterator[KafkaBus]:
    bus = kafka_bus(settings)
    await bus.create_topics(topic_counts(account_partitions=2, shards=1))
    yield bus
    await bus.close()


def surroundings(settings: Settings) -> dict[str, str]:
    server = settings.clickhouse
    own = {"HOST": server.host, "PORT": str(server.port), "USERNAME": server.username, "PASSWORD": server.secret, "ALLOW_PLAINTEXT": "true"}
    return {**os.environ, **environment(settings), **{f"BACKSTOP_CLICKHOUSE__{name}": value for name, value in own.items() if value is not None}}


async def worker(settings: Settings, *arguments: str) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", "streams.cli", "worker", "--roles", "sink", *arguments)
    return await asyncio.create_subprocess_exec(*command, stderr=subprocess.DEVNULL, cwd=ROOT, env=surroundings(settings))


async def write(bus: KafkaBus, first: int, count: int) -> None:
    writer = await bus.writer("venue")
    await writer.commit(new_records("fills", [(number % 2, fill(number)) for number in range(first, first + count)]))
    await writer.close()


def rows(settings: Settings) -> tuple[int, int]:
    """Rows as they lie, and distinct coordinates; nothing while the server or the table is not there."""
    try:
        with closing(server_client(settings.clickhouse)) as client:
            return tuple(client.query("SELECT count(), uniqExact(src_partition, src_offset) FROM backstop.fills").result_rows[0])
    except Exception:  # whatever is not there yet
        return (0, 0)


async def until(settings: Settings, count: int) -> None:
    async with asyncio.timeout(90):
        while (await asyncio.to_thread(rows, settings))[1] < count:
            await asyncio.sleep(0.1)


async def test_nothing_is_lost_or_doubled_whatever_goes_away(settings: Settings, bus: KafkaBus, server: ClickHouseServer) -> None:
    port = free_port()
    await write(bus, 0, 1000)
    first = await worker(settings, "--metrics-port", str(port))
    await until(settings, 1000)

    server.arm(Fault(FaultKind.NO_ANSWER, times=2), Fault(FaultKind.ERROR, code=252))
    await write(bus, 1000, 1000)
    await until(settings, 2000)

    server.kill()
    await write(bus, 2000, 1000)
    async with asyncio.timeout(60):
        while (await asyncio.to_thread(metric, port, "backstop_sink_connected")) != 0:
            await asyncio.sleep(0.05)
    assert await asyncio.to_thread(metric, port, 'backstop_sink_retries_total{topic="account-events"}') >= 1
    first.kill()  # with a block in doubt
    await first.wait()
    server.start()

    second = await worker(settings)
    await until(settings, 3000)
    second.terminate()
    assert await second.wait() == 0
    assert rows(settings) == (3000, 3000)

    command = [sys.executable, "-m", "streams.cli", "reconcile", "--bus", "kafka", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=surroundings(settings), timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    fills = next(stream for stream in document["streams"] if stream["stream"] == "fills")
    assert (document["equal"], fills["records"], fills["rows"]) == (True, 3000, 3000)

    with closing(server_client(settings.clickhouse)) as client:
        client.command("ALTER TABLE backstop.fills DELETE WHERE trade_id = 1234", settings={"mutations_sync": 1})
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=surroundings(settings), timeout=120, check=False)
    assert done.returncode == 1
    assert "the record has no row" in done.stderr


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def metric(port: int, name: str) -> float:
    """A value of the worker's endpoint; -1 where it says nothing of it."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == name), -1.0)
