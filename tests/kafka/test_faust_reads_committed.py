"""Faust's agents see committed records only. Faust itself would read aborted ones too; `streams/app.py` says how that is prevented."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiokafka
import pytest

from streams.app import build_app
from streams.bus.contract import NewRecord, TopicPartition
from streams.bus.kafka import KafkaBus
from streams.commands.broker import kafka_bus, topic_counts
from streams.domain.events import AdlState
from streams.observe.metrics import Metrics
from streams.settings import EngineSettings, KafkaSettings, Settings
from streams.wire.codec import codec
from streams.wire.records import new_record

pytestmark = pytest.mark.kafka
NOTIFICATIONS = TopicPartition("notifications", 0)


@pytest.fixture
def settings(kafka_broker: str, tmp_path: Path) -> Settings:
    engine = EngineSettings(deployment=f"t{uuid.uuid4().hex[:12]}", shards=1, account_partitions=1, data_dir=tmp_path)
    return Settings(kafka=KafkaSettings(bootstrap_servers=kafka_broker), engine=engine)


@pytest.fixture
async def bus(settings: Settings) -> AsyncIterator[KafkaBus]:
    bus = kafka_bus(settings)
    await bus.create_topics(topic_counts(account_partitions=1, shards=1))
    yield bus
    await bus.close()


def entered(pool: int) -> NewRecord:
    row = {
        "event_time_us": 1_000_000,
        "pool": pool,
        "instrument": 7,
        "state": AdlState.ADL,
        "value": 5,
        "wallet": 5,
        "threshold": None,
        "reason": "r",
    }
    return new_record("pool-states", row)


async def write_and_abort(settings: Settings, record: NewRecord) -> None:
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=settings.kafka.bootstrap_servers, transactional_id=uuid.uuid4().hex)
    await producer.start()
    try:
        await producer.begin_transaction()
        topic = f"{settings.engine.deployment}.{record.topic}"
        await producer.send_and_wait(topic, key=record.key, value=record.value, partition=record.partition, timestamp_ms=record.timestamp_ms)
        await producer.abort_transaction()
    finally:
        await producer.stop()


async def commit(bus: KafkaBus, *records: NewRecord) -> None:
    writer = await bus.writer(uuid.uuid4().hex)
    await writer.commit(records)
    await writer.close()


async def notifications(bus: KafkaBus, count: int) -> list[dict[str, Any]]:
    """The first `count` notifications, as soon as they can be read."""
    reader = await bus.reader([NOTIFICATIONS])
    rows: list[dict[str, Any]] = []
    async with asyncio.timeout(60):
        while len(rows) < count:
            for chunk in await reader.poll(max_records=100, timeout_ms=100):
                rows += [codec("notifications").decode_row(value) for value in chunk.values]
    await reader.close()
    return rows


async def uncommitted_count(settings: Settings) -> int:
    """Records of pool-states that a reader of uncommitted data is given."""
    consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers=settings.kafka.bootstrap_servers, isolation_level="read_uncommitted")
    await consumer.start()
    try:
        partition = aiokafka.TopicPartition(f"{settings.engine.deployment}.pool-states", 0)
        consumer.assign([partition])
        consumer.seek(partition, 0)
        end = (await consumer.end_offsets([partition]))[partition]
        found = 0
        while await consumer.position(partition) < end:
            found += sum(len(records) for records in (await consumer.getmany(partition, timeout_ms=100)).values())
        return found
    finally:
        await consumer.stop()


async def test_aborted_records_never_reach_an_agent(settings: Settings, bus: KafkaBus) -> None:
    await commit(bus, entered(pool=1))
    await write_and_abort(settings, entered(pool=2))
    await commit(bus, entered(pool=3))
    app = build_app(settings)
    await app.start()
    try:
        rows = await notifications(bus, 2)
    finally:
        await app.stop()
    assert [(row["pool"], row["kind"]) for row in rows] == [(1, "adl_entered"), (3, "adl_entered")]
    assert await uncommitted_count(settings) == 3  # the aborted one is in the log, where Faust by itself would have found it


async def test_an_undecodable_record_is_counted_and_the_agent_goes_on(settings: Settings, bus: KafkaBus) -> None:
    good = entered(pool=1)
    await commit(bus, NewRecord("pool-states", 0, 1000, good.key, b"\xc3\x01 nonsense"), NewRecord("pool-states", 0, 1000, None, None), good)
    metrics = Metrics()
    app = build_app(settings, metrics=metrics)
    await app.start()
    try:
        (row,) = await notifications(bus, 1)
    finally:
        await app.stop()
    assert (row["pool"], row["source_topic"], row["source_partition"], row["source_offset"]) == (1, "pool-states", 0, 2)
    assert metrics.value("undecodable_records", topic="pool-states") == 2
    assert metrics.value("notifications", severity="CRITICAL") == 1
