"""Fills to positions on plain aiokafka, a dict and transactions, exactly once: what Python costs without an engine.

`python -m tests.bench.peers.plain BROKER APPLICATION IN OUT PARTITIONS RECORDS`
"""

import asyncio
import sys
from typing import Any

import aiokafka

from tests.bench.peers.rows import Watch, after, read_fill, said, write_position

POLL_RECORDS = 5_000


async def run(broker: str, application: str, source: str, target: str, partitions: int, records: int) -> None:
    """A transaction a poll, with the offsets in it."""
    topics = [aiokafka.TopicPartition(source, number) for number in range(partitions)]
    consumer = aiokafka.AIOKafkaConsumer(
        bootstrap_servers=broker, group_id=application, enable_auto_commit=False, isolation_level="read_committed", fetch_max_wait_ms=5
    )
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=broker, transactional_id=application, retry_backoff_ms=3, max_batch_size=1 << 20)
    await consumer.start()
    await producer.start()
    consumer.assign(topics)
    await consumer.seek_to_beginning()
    held: dict[tuple[int, int], tuple[int, int, int]] = {}
    watch = Watch()
    while watch.seen < records:
        fetched = await consumer.getmany(timeout_ms=200, max_records=POLL_RECORDS)
        if not fetched:
            continue
        watch.count(0)
        batches = [(place, batch) for place, found in fetched.items() for batch in _step(producer, held, found)]
        async with producer.transaction():
            sends = [await producer.send_batch(batch, target, partition=place.partition) for place, batch in batches]
            await asyncio.gather(*sends)
            await producer.send_offsets_to_transaction({place: found[-1].offset + 1 for place, found in fetched.items()}, application)
        watch.count(sum(map(len, fetched.values())))
    watch.tell()
    await consumer.stop()
    await producer.stop()


def _step(producer: Any, held: dict[tuple[int, int], tuple[int, int, int]], found: list[Any]) -> list[Any]:
    """Batches of the outputs of these records."""
    batches = [producer.create_batch()]
    for record in found:
        fill = read_fill(record.value)
        place = (fill["account"], fill["instrument"])
        held[place] = after(held.get(place, (0, 0, 0)), fill["lots"], fill["quote"])
        value = write_position(said(fill, held[place]))
        if batches[-1].append(key=record.key, value=value, timestamp=record.timestamp) is None:
            batches.append(producer.create_batch())
            batches[-1].append(key=record.key, value=value, timestamp=record.timestamp)
    batches[-1].close()
    return batches


if __name__ == "__main__":
    _, its_broker, its_application, its_source, its_target, count, its_records = sys.argv
    asyncio.run(run(its_broker, its_application, its_source, its_target, int(count), int(its_records)))
