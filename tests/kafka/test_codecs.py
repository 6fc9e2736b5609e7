"""What others compress is read: by a producer's own setting, and by a topic's, where the broker packs it anew as Java does."""

import asyncio
from random import Random

import aiokafka
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.bus.contract import NewRecord, TopicPartition
from streams.bus.kafka import KafkaBus
from streams.bus.kafka_chunks import give_batches
from streams.bus.record_batches import CODECS, HEAD
from tests.support.kafka import fresh_kafka_bus

pytestmark = pytest.mark.kafka

MARKS = TopicPartition("marks", 0)
NAMES = [name for name, _ in CODECS.values()]
# Far more than one block of snappy (32 KiB) or lz4 (64 KiB), and nothing that shrinks to one.
RECORDS = [NewRecord("marks", 0, 1_700_000_000_000 + n, b"%d" % n, Random(n).randbytes(500) * 2, (("n", b"%d" % n),)) for n in range(300)]


async def rows_read(bus: KafkaBus) -> list[tuple[int, bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]]:
    reader = await bus.reader([MARKS])
    rows: list[tuple[int, bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]] = []
    async with asyncio.timeout(20):
        while len(rows) < len(RECORDS):
            for chunk in await reader.poll(max_records=70, timeout_ms=100):
                rows += zip(chunk.timestamps_ms, chunk.keys, chunk.values, chunk.headers, strict=True)
    return rows


EXPECTED = [(record.timestamp_ms, record.key, record.value, record.headers) for record in RECORDS]


async def codecs_in_the_log(address: str, topic: str) -> set[int]:
    """The codec of every batch as it lies there: what is not packed at all would prove nothing."""
    consumer = aiokafka.AIOKafkaConsumer(topic, bootstrap_servers=address, auto_offset_reset="earliest")
    seen: set[int] = set()
    await consumer.start()
    give_batches(consumer)
    try:
        async with asyncio.timeout(20):
            while not seen:
                for batches in (await consumer.getmany(timeout_ms=200)).values():
                    seen |= {HEAD.unpack_from(each.raw)[5] & 7 for each in batches}
    finally:
        await consumer.stop()
    return seen


@pytest.mark.parametrize("by_batches", [True, False])
@pytest.mark.parametrize("codec", NAMES)
async def test_what_the_broker_packs_as_the_topic_says_is_read(kafka_broker: str, codec: str, by_batches: bool) -> None:
    bus = fresh_kafka_bus(kafka_broker, record_batches=by_batches)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_broker)
    await admin.start()
    # retention: these records are of 2023, and a broker ages by their own time
    await admin.create_topics([NewTopic(bus.topic("marks"), 1, 1, topic_configs={"compression.type": codec, "retention.ms": "-1"})])
    await admin.close()
    await (await bus.writer("exchange")).commit(RECORDS)
    assert await rows_read(bus) == EXPECTED
    assert {NAMES[number - 1] for number in await codecs_in_the_log(kafka_broker, bus.topic("marks"))} == {codec}
    await bus.close()


@pytest.mark.parametrize("codec", NAMES)
async def test_what_a_producer_packs_is_read(kafka_broker: str, codec: str) -> None:
    bus = fresh_kafka_bus(kafka_broker)
    await bus.create_topics({"marks": 1})
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=kafka_broker, compression_type=codec)
    await producer.start()
    sent = [
        await producer.send(bus.topic("marks"), r.value, key=r.key, partition=0, timestamp_ms=r.timestamp_ms, headers=list(r.headers))
        for r in RECORDS
    ]
    await asyncio.gather(*sent)
    await producer.stop()
    assert await rows_read(bus) == EXPECTED
    assert {NAMES[number - 1] for number in await codecs_in_the_log(kafka_broker, bus.topic("marks"))} == {codec}
    await bus.close()
