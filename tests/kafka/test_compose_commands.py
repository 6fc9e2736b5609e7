"""The command lines of docker-compose.yml, run as they stand there on a real broker: they do their part, are healthy and stop when told to."""

import asyncio
import json
import signal
import urllib.request
import uuid
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest

from streams.sinks.connection import open_server
from tests.support.clickhouse_http import ClickHouseServer, clickhouse_server
from tests.support.compose import our_services
from tests.support.stack import Stack, free_port, health_check, stack, until

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    with clickhouse_server(tmp_path_factory.mktemp("clickhouse")) as running:
        yield running


@pytest.fixture
async def running(kafka_broker: str, server: ClickHouseServer, tmp_path: Path) -> AsyncIterator[Stack]:
    address = server.address
    async with stack(kafka_broker, f"s{uuid.uuid4().hex[:10]}", tmp_path, (address["host"], address["port"], address["password"])) as made:
        yield made


def test_every_service_is_run_here() -> None:
    assert our_services().keys() == {"topics", "migrate", "worker", "standby", "views", "sink", "venue"}


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.mark.chdb
async def test_the_stack_comes_up_in_its_order_decides_and_stops(running: Stack, server: ClickHouseServer) -> None:
    for once in ("topics", "migrate"):
        for _ in range(2):  # `up` again runs them again
            done = await asyncio.to_thread(running.run, once)
            assert done.returncode == 0, done.stderr
    ports = {name: {"--health-port": free_port(), "--metrics-port": free_port()} for name in ("worker", "standby", "views", "sink")}
    workers = {name: await running.start(name, ports[name]) for name in ports}
    for name in ports:
        await until(partial(is_ready, ports[name]["--health-port"]))
        assert health_check(ports[name]["--health-port"]) == 0
    venue = await running.start("venue", extra=("--rate", "100", "--json"))
    await until(lambda: venue.events("venue_script_over"))
    with open_server(**server.address) as client:
        await until(lambda: client.query("SELECT count() FROM backstop.instruction_results FINAL").result_rows[0][0] > 0)
        await until(lambda: client.query("SELECT count() FROM backstop.notifications FINAL").result_rows[0][0] > 0)
    venue.signal(signal.SIGTERM)
    assert venue.process.stdout is not None
    said = json.loads(await venue.process.stdout.read())
    assert await venue.ended() == 0
    assert said["script_over"] is True
    assert said["instructions"] > 0
    assert said["answered"].get("FILLED", 0) > 0
    for name, worker in workers.items():
        worker.signal(signal.SIGTERM)
        assert await worker.ended() == 0, (name, worker.other)


def test_a_health_check_fails_where_nobody_answers() -> None:
    assert health_check(free_port()) != 0


async def test_a_second_exchange_on_one_deployment_is_refused(running: Stack) -> None:
    assert (await asyncio.to_thread(running.run, "topics")).returncode == 0
    first = await running.start("venue")
    await until(lambda: first.events("venue_waits_for_workers"))
    first.signal(signal.SIGTERM)
    assert await first.ended() == 0
    second = await asyncio.to_thread(running.run, "venue")
    assert second.returncode == 2
    assert "has records already" in second.stderr
