"""Many worker processes share the shards of one deployment under load: they join, leave, die and come back, and the decisions stay the same."""

import asyncio
import json
import signal
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from streams.bus.kafka import KafkaBus
from streams.engine.digests import decision_digest
from streams.engine.verify import read_journals, verify_bus
from streams.settings import Settings
from streams.tasks import machine_for
from streams.venue.exchange import Exchange
from streams.venue.scenarios.registry import build
from streams.venue.scenarios.scenario import Scenario
from tests.support.pipeline import run as run_in_memory
from tests.support.workers import PARTITIONS, SHARDS, Worker, fleet, load, shared_deployment, topics_of

pytestmark = pytest.mark.kafka
ALL = {"accounts-0", "accounts-1", "pools-0"}


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return build("cascade", 40, 1, PARTITIONS)


@pytest.fixture(scope="module")
def undisturbed(scenario: Scenario) -> str:
    """Digest of the decisions of a run in memory, to which nothing is done."""
    return run_in_memory(scenario, shards=SHARDS).decisions


@pytest.fixture
def settings(kafka_broker: str, tmp_path: Path) -> Settings:
    return shared_deployment(kafka_broker, tmp_path)


@pytest.fixture
async def bus(settings: Settings) -> AsyncIterator[KafkaBus]:
    async with topics_of(settings) as bus:
        yield bus


async def nothing_is_lost_doubled_or_decided_otherwise(bus: KafkaBus, undisturbed: str) -> None:
    """Every step record, input, output and state holds; and the decisions are those of an undisturbed run in memory."""
    report = await verify_bus(bus, machine_for)
    assert report.difference is None
    assert report.inputs > 0
    assert await decision_digest(bus) == undisturbed


async def graceful(*workers: Worker) -> None:
    for worker in workers:
        worker.signal(signal.SIGTERM)
    for worker in workers:
        assert await worker.ended() == 0, worker.other


async def test_a_worker_joins_another_is_killed_and_the_rest_take_over(
    bus: KafkaBus, settings: Settings, scenario: Scenario, undisturbed: str
) -> None:
    async with fleet(settings) as workers, load(bus, settings, Exchange(scenario)) as venue:
        first, second = await workers.start(), await workers.start()
        await workers.until(lambda: first.running() | second.running() == ALL and first.running() and second.running())
        await venue.more(workers, 10)
        third = await workers.start()
        await workers.until(lambda: all(len(worker.running()) == 1 for worker in workers.workers))
        assert first.running() | second.running() | third.running() == ALL
        await venue.more(workers, 10)
        lost = first.running()
        first.signal(signal.SIGKILL)
        await workers.until(lambda: lost <= second.running() | third.running())
        await venue.more(workers, 10)
        await graceful(third)
        await workers.until(lambda: second.running() == ALL)
        await venue.end()
        await graceful(second)
    await nothing_is_lost_doubled_or_decided_otherwise(bus, undisturbed)
    owners = {record.owner for records in (await read_journals(bus)).values() for record in records}
    assert len(owners) == 3


async def test_a_worker_that_was_stopped_and_goes_on_is_fenced_and_says_nothing(
    bus: KafkaBus, settings: Settings, scenario: Scenario, undisturbed: str
) -> None:
    async with fleet(settings) as workers, load(bus, settings, Exchange(scenario)) as venue:
        first, second = await workers.start(), await workers.start()
        await workers.until(lambda: first.running() | second.running() == ALL and first.running() and second.running())
        await venue.more(workers, 10)
        lost = first.running()
        first.signal(signal.SIGSTOP)
        await workers.until(lambda: lost <= second.running())
        await venue.more(workers, 10)
        first.signal(signal.SIGCONT)  # it believes that it still owns them
        await workers.until(lambda: first.events("shards_assigned")[-1]["gained"] != sorted(lost) or first.events("shard_fenced"))
        await workers.until(lambda: first.running() | second.running() == ALL and not first.running() & second.running())
        await venue.end()
        await graceful(first, second)
    await nothing_is_lost_doubled_or_decided_otherwise(bus, undisturbed)


async def test_a_standby_takes_over_from_where_it_stands(bus: KafkaBus, settings: Settings, scenario: Scenario, undisturbed: str) -> None:
    async with fleet(settings, "--standby") as workers, load(bus, settings, Exchange(scenario)) as venue:
        first, second = await workers.start(), await workers.start()
        await workers.until(lambda: first.running() | second.running() == ALL and first.running() and second.running())
        await workers.until(lambda: len(first.events("standby_started")) + len(second.events("standby_started")) >= 3)
        await venue.more(workers, 10)
        lost = first.running()
        first.signal(signal.SIGKILL)
        await workers.until(lambda: second.running() == ALL)
        for name in lost:
            task, shard = name.split("-")
            assert second.events("shard_started", task=task, shard=int(shard))[-1]["origin"] == "standby"
        await venue.end()
        await graceful(second)
        assert not second.events("alarm_raised", alarm="standby_differs")
    await nothing_is_lost_doubled_or_decided_otherwise(bus, undisturbed)


async def test_a_graceful_stop_leaves_a_snapshot_that_the_next_start_begins_from(
    bus: KafkaBus, settings: Settings, scenario: Scenario, undisturbed: str
) -> None:
    async with fleet(settings) as workers, load(bus, settings, Exchange(scenario)) as venue:
        first = await workers.start()
        await venue.more(workers, 5)
        await graceful(first)
        second = await workers.start()
        await workers.until(lambda: second.running() == ALL)
        started = second.events("shard_started")
        assert {(line["origin"], line["reran"]) for line in started} == {("snapshot", 1)}  # the one that lists the snapshot
        await venue.end()
        await graceful(second)
    await nothing_is_lost_doubled_or_decided_otherwise(bus, undisturbed)


def asked(port: int, path: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())
    except OSError:
        return 0, {}


async def test_a_worker_says_when_it_is_ready(bus: KafkaBus, settings: Settings, unused_tcp_port: int) -> None:
    async with fleet(settings, "--health-port", str(unused_tcp_port)) as workers:
        worker = await workers.start()
        answers: list[tuple[int, dict[str, Any]]] = []
        async with asyncio.timeout(60):
            while not answers or answers[-1][0] != 200:
                answers.append(await asyncio.to_thread(asked, unused_tcp_port, "/readyz"))
                await asyncio.sleep(0.05)
        assert {status for status, _ in answers} <= {0, 200, 503}
        assert all(document["reasons"] for status, document in answers if status == 503)
        assert answers[-1][1]["shards"] == {name: {"state": "running", "lag": 0} for name in sorted(ALL)}
        assert await asyncio.to_thread(asked, unused_tcp_port, "/healthz") == (200, {"alive": True})
        await graceful(worker)
