"""What others do to the log of a deployment: topics made again or grown, heads deleted, one partition truncated. Real workers on a real broker."""

import asyncio
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiokafka
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete

from streams.bus.contract import NewRecord, TopicPartition
from streams.bus.kafka import KafkaBus
from streams.commands.broker import require_topics
from streams.engine.chunks import read_all
from streams.engine.journal import StepRecord, open_chunk
from streams.errors import CheckFailed
from streams.settings import Settings
from streams.wire.records import new_records
from tests.support.risk_rows import Desk, instrument, pool
from tests.support.workers import PARTITIONS, Fleet, Worker, fleet, shared_deployment, topics_of

pytestmark = pytest.mark.kafka

ALL = {"accounts-0", "accounts-1", "pools-0"}


@pytest.fixture
def settings(kafka_broker: str, tmp_path: Path) -> Settings:
    return shared_deployment(kafka_broker, tmp_path)


@pytest.fixture
async def admin(kafka_broker: str) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=kafka_broker)
    await client.start()
    yield client
    await client.close()


class Exchange:
    """Writes marks: every shard takes them."""

    def __init__(self, bus: KafkaBus) -> None:
        self._bus, self._desk, self.told = bus, Desk(), 0
        self._desk.time_us = 1_764_000_000_000_000

    async def opens(self) -> None:
        await self._write(new_records("instruments", [(0, instrument()[1])]) + new_records("pools", [(0, pool()[1])]))
        await self.marks(5)

    async def marks(self, count: int) -> None:
        await self._write(new_records("marks", [(0, self._desk.mark(100 + n % 5)[1]) for n in range(count)]))
        self.told += count

    async def _write(self, records: list[NewRecord]) -> None:
        writer = await self._bus.writer(uuid.uuid4().hex)
        await writer.commit(records)
        await writer.close()


async def steps(bus: KafkaBus, shard: int) -> list[StepRecord]:
    return open_chunk(await read_all(bus, TopicPartition("accounts-journal", shard)))


async def taken(bus: KafkaBus, shard: int) -> int:
    """Marks that a shard has taken, as its journal has it."""
    return sum(part.count for step in await steps(bus, shard) for part in step.slices if part.topic == "marks")


async def has_taken(bus: KafkaBus, shard: int, count: int) -> None:
    async with asyncio.timeout(60):
        while await taken(bus, shard) < count:
            await asyncio.sleep(0.1)


@asynccontextmanager
async def at_work(settings: Settings) -> AsyncIterator[tuple[KafkaBus, Exchange, Fleet, Worker]]:
    """A worker that runs all three shards and has taken the first marks."""
    async with topics_of(settings) as bus, fleet(settings) as workers:
        exchange = Exchange(bus)
        await exchange.opens()
        worker = await workers.start()
        await workers.until(lambda: worker.running() == ALL)
        for shard in (0, 1):
            await has_taken(bus, shard, exchange.told)
        yield bus, exchange, workers, worker


async def stop(worker: Worker) -> None:
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0


async def make_again(bus: KafkaBus, admin: AIOKafkaAdminClient, topic: str, exchange: Exchange) -> None:
    """Deleted, made again, and filled beyond every position of the old one."""
    count = (await bus.partitions())[topic]
    await admin.delete_topics([bus.topic(topic)])
    async with asyncio.timeout(20):
        while topic in await bus.partitions():
            await asyncio.sleep(0.02)
    await bus.create_topics({topic: count})
    await exchange.marks(60)


async def delete_before(admin: AIOKafkaAdminClient, bus: KafkaBus, topic: str, partition: int, offset: int) -> None:
    await admin.delete_records({aiokafka.TopicPartition(bus.topic(topic), partition): RecordsToDelete(before_offset=offset)})


def alarms(worker: Worker, name: str) -> list[dict[str, Any]]:
    return worker.events("alarm_raised", alarm=name)


async def test_an_input_made_again_while_the_workers_were_down_is_refused_with_both_ids(settings: Settings, admin: AIOKafkaAdminClient) -> None:
    async with at_work(settings) as (bus, exchange, workers, worker):
        await stop(worker)
        then = (await bus.topic_ids())["marks"]
        before = [len(await steps(bus, shard)) for shard in (0, 1)]
        await make_again(bus, admin, "marks", exchange)
        now = (await bus.topic_ids())["marks"]
        again = await workers.start()
        assert await again.ended() == 1
        assert f"topic {bus.topic('marks')} is another one than this shard has read or written: its id was {then}, now it is {now}" in again.other[-1]
        assert {alarm["shard"] for alarm in alarms(again, "shard_failed") if alarm["task"] == "accounts"} <= {0, 1}
        assert [len(await steps(bus, shard)) for shard in (0, 1)] == before


async def test_an_input_made_again_under_running_shards_stops_them(settings: Settings, admin: AIOKafkaAdminClient) -> None:
    async with at_work(settings) as (bus, exchange, _, worker):
        before = exchange.told
        await make_again(bus, admin, "marks", exchange)
        assert await worker.ended() == 1
        assert "marks" in worker.other[-1]
        assert {await taken(bus, shard) for shard in (0, 1)} == {before}  # not one of the new topic's


async def test_an_output_made_again_ends_the_shards_that_write_it_with_both_ids_in_the_alarm(settings: Settings, admin: AIOKafkaAdminClient) -> None:
    async with at_work(settings) as (bus, exchange, workers, worker):
        await make_again(bus, admin, "account-states", exchange)
        await workers.until(lambda: worker.running() == {"pools-0"})  # it has nothing to do with account states
        told = alarms(worker, "topic_made_again")
        assert {(alarm["task"], alarm["shard"]) for alarm in told} == {("accounts", 0), ("accounts", 1)}
        assert all(f"topic {bus.topic('account-states')} is another one" in alarm["reason"] for alarm in told)


async def test_account_partitions_that_grow_are_alarmed_and_refused_once_something_lies_there(settings: Settings, admin: AIOKafkaAdminClient) -> None:
    async with at_work(settings) as (bus, exchange, workers, worker):
        await admin.create_partitions({bus.topic("account-events"): NewPartitions(total_count=PARTITIONS + 2)})
        await workers.until(lambda: {(a["task"], a["shard"]) for a in alarms(worker, "topic_has_grown")} == {("accounts", 0), ("accounts", 1)})
        assert "write to partitions 0 to 3 only" in alarms(worker, "topic_has_grown")[0]["reason"]
        await exchange.marks(5)
        for shard in (0, 1):
            await has_taken(bus, shard, exchange.told)  # what they do know of is not left alone
        await stop(worker)
        again = await workers.start()  # nothing was written there: nothing has been missed
        await workers.until(lambda: again.running() == ALL)
        await stop(again)
        writer = await bus.writer("someone")
        await writer.commit([NewRecord("account-events", PARTITIONS + 1, 1, None, b"x")])
        with pytest.raises(CheckFailed, match="account-events has 6 partitions, this deployment was founded on 4"):
            await require_topics(settings)
        refused = await workers.start()
        assert await refused.ended() == 1
        assert "begin a new deployment" in refused.other[-1]


async def test_a_journal_whose_head_is_gone_goes_on_from_its_snapshot(settings: Settings, admin: AIOKafkaAdminClient) -> None:
    async with at_work(settings) as (bus, exchange, workers, worker):
        await stop(worker)  # leaves a snapshot of each shard
        journal = await read_all(bus, TopicPartition("accounts-journal", 0))
        (listed,) = [step.snapshot.step for step in open_chunk(journal) if step.snapshot is not None]
        before = await taken(bus, 0)
        await delete_before(admin, bus, "accounts-journal", 0, journal.offsets[listed])
        again = await workers.start()
        await workers.until(lambda: again.running() == ALL)
        assert [line["origin"] for line in again.events("shard_started", task="accounts", shard=0)] == ["snapshot"]
        await exchange.marks(5)
        kept = await taken(bus, 0)
        await has_taken(bus, 0, kept + 5)
        assert before > 0


async def test_a_truncated_input_of_one_shard_leaves_the_others_at_work(settings: Settings, admin: AIOKafkaAdminClient, tmp_path: Path) -> None:
    async with at_work(settings) as (bus, exchange, workers, worker):
        writer = await bus.writer("someone")
        await writer.commit([NewRecord("account-events", 1, 1_764_000_000_000, None, b"not a record: a dead letter of shard 1")])
        async with asyncio.timeout(60):
            while not any(part.topic == "account-events" for step in await steps(bus, 1) for part in step.slices):
                await asyncio.sleep(0.1)
        await stop(worker)
        for file in (tmp_path / "snapshots").glob("accounts-1-*"):
            file.unlink()  # so that it needs what is about to go
        await delete_before(admin, bus, "account-events", 1, 1)
        again = await workers.start()
        await workers.until(lambda: {"accounts-0", "pools-0"} <= again.running() and alarms(again, "shard_failed"))
        (failed,) = {(alarm["task"], alarm["shard"]) for alarm in alarms(again, "shard_failed")}
        assert failed == ("accounts", 1)
        assert "account-events[1]" in alarms(again, "shard_failed")[0]["reason"]
        await exchange.marks(5)
        await has_taken(bus, 0, exchange.told)
        assert again.process.returncode is None
