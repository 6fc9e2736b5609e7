"""Writing to Kafka as one owner: one transaction a commit, every send awaited before it is committed.

aiokafka commits a transaction even when one of its sends failed, so the outcome of every send is looked at first. A commit that got no
answer may still succeed later; only the log knows then.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from aiokafka.errors import InvalidProducerEpoch, InvalidProducerIdMapping, KafkaConnectionError, KafkaTimeoutError, ProducerFenced
from aiokafka.producer import sender

from streams.bus.columns import ByteColumn, Ints, joined_bytes, joined_numbers
from streams.bus.contract import RecordBlock, TopicPartition, Writable, no_such_partition, refuse_oversized
from streams.bus.record_batches import build_batches, write_headers
from streams.errors import BackstopError, CheckFailed, CommitUnknown, Fenced

# The broker answers CONCURRENT_TRANSACTIONS while it still writes the markers of the last commit, and aiokafka then waits 20 ms, whatever it is
# told: commits back to back cost 26 ms each, commits 5 ms apart do not. Where its private parts are known it waits 1 ms, and 2 ms apart is enough.
PACE_SECONDS = 0.005
SHORT_PACE_SECONDS, RETRY_SECONDS = 0.002, 0.001
BATCH_BYTES = 1 << 20
BUILT_FROM = 32  # records of one partition from which a compiled batch costs less than aiokafka's builder
CLOSE_SECONDS = 2.0
NOT_DATED = -1  # what a broker answers that has left the timestamps as they were sent

_Batch = tuple[TopicPartition, Any]  # partition, aiokafka's batch builder


class TopicNames(Protocol):
    """What a writer asks its bus."""

    def topic(self, stream: str) -> str:
        """The topic's name on the broker."""

    async def partitions(self) -> dict[str, int]:
        """Streams that exist and their partition counts."""


class KafkaWriter:
    """A `Writer` on Kafka. An error other than a refusal before anything was sent ends it: every later commit raises that error again."""

    def __init__(self, producer: Any, names: TopicNames, transactional_id: str, *, commit_timeout_ms: int, builds_batches: bool = False) -> None:
        self._builds_batches = builds_batches  # compiled, past aiokafka's builder
        self._pace_seconds = PACE_SECONDS
        if builds_batches:
            sender.BACKOFF_OVERRIDE, self._pace_seconds = RETRY_SECONDS, SHORT_PACE_SECONDS  # of every producer in this process
        self._producer = producer
        self._names = names
        self._transactional_id = transactional_id
        self._commit_seconds = commit_timeout_ms / 1000
        self._counts: dict[str, int] = {}
        self._ended: BackstopError | None = None
        self.closed = False
        self._next_begin = 0.0

    async def commit(self, records: Sequence[Writable]) -> dict[TopicPartition, int]:
        """Write all records in one transaction."""
        if self._ended is not None:
            raise self._ended
        refuse_oversized(records)
        await self._refuse_unknown(records)
        if not records:
            return {}
        batches = self._encode(records)
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(max(0.0, self._next_begin - clock()))
        try:
            async with asyncio.timeout(self._commit_seconds):
                written = await self._transact(batches)
        except (Exception, asyncio.CancelledError) as error:
            self._ended = self._meaning(error)
            await end_producer(self._producer)
            if isinstance(error, asyncio.CancelledError):
                raise
            raise self._ended from error
        self._next_begin = clock() + self._pace_seconds
        return written

    async def close(self) -> None:
        """Let go of connections."""
        self.closed = True
        await end_producer(self._producer)

    async def _refuse_unknown(self, records: Sequence[Writable]) -> None:
        for known_lately in (False, True):
            unknown = [record for record in records if not 0 <= record.partition < self._counts.get(record.topic, 0)]
            if not unknown:
                return
            if known_lately:
                raise no_such_partition(unknown[0].topic, unknown[0].partition)
            self._counts = await self._names.partitions()

    def _encode(self, records: Sequence[Writable]) -> list[_Batch]:
        """All batches before the transaction begins: while one is open, it hides the commits of others from readers."""
        by_partition: dict[TopicPartition, list[Writable]] = {}
        for record in records:
            by_partition.setdefault(TopicPartition(record.topic, record.partition), []).append(record)
        return [(partition, batch) for partition, group in by_partition.items() for batch in self._pack(group)]

    def _pack(self, records: Sequence[Writable]) -> list[Any]:
        if self._builds_batches and sum(len(record) if isinstance(record, RecordBlock) else 1 for record in records) >= BUILT_FROM:
            return build_batches(*_columns(records), batch_bytes=BATCH_BYTES)
        return self._pack_singly(records)

    def _pack_singly(self, records: Iterable[Writable]) -> list[Any]:
        batch = self._producer.create_batch()
        batches = [batch]
        for record in records:
            headers = list(record.headers)
            rows = (
                zip(record.timestamps_ms, record.keys, record.values, strict=True)
                if isinstance(record, RecordBlock)
                else ((record.timestamp_ms, record.key, record.value),)
            )
            for timestamp_ms, key, value in rows:
                if batch.append(timestamp=timestamp_ms, key=key, value=value, headers=headers) is None:
                    # Full, and closed thereby; an empty one takes any record.
                    batch = self._producer.create_batch()
                    batches.append(batch)
                    batch.append(timestamp=timestamp_ms, key=key, value=value, headers=headers)
        batch.close()
        return batches

    async def _transact(self, batches: Sequence[_Batch]) -> dict[TopicPartition, int]:
        await self._producer.begin_transaction()
        sends = []
        for partition, batch in batches:
            sends.append(await self._producer.send_batch(batch, self._names.topic(partition.topic), partition=partition.partition))
        outcomes: list[Any] = await asyncio.gather(*sends, return_exceptions=True)
        written: dict[TopicPartition, int] = {}
        for (partition, batch), outcome in zip(batches, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                await self._give_up(partition, outcome)
            if outcome.timestamp not in (None, NOT_DATED):
                await self._refuse_dates(partition)
            written[partition] = outcome.offset + batch.record_count()
        await self._producer.commit_transaction()
        return written

    async def _give_up(self, partition: TopicPartition, error: BaseException) -> None:
        """Abort, and raise what the failed send means."""
        if _is_fence(error) or isinstance(error, KafkaTimeoutError | KafkaConnectionError):
            raise error
        await self._producer.abort_transaction()
        raise CheckFailed(
            f"the broker refused records for {partition.topic}[{partition.partition}]: {error!r}; "
            "the transaction was aborted, nothing of it is readable: look at the topic's settings and rights"
        ) from error

    async def _refuse_dates(self, partition: TopicPartition) -> None:
        """A timestamp that is not the one sent makes a record another than the step says it wrote."""
        await self._producer.abort_transaction()
        topic = self._names.topic(partition.topic)
        raise CheckFailed(
            f"the broker dates the records of topic {topic} itself (message.timestamp.type=LogAppendTime); the transaction was aborted, nothing of "
            f"it is readable: `kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config message.timestamp.type=CreateTime`, "
            "then start again"
        )

    def _meaning(self, error: BaseException) -> BackstopError:
        if isinstance(error, BackstopError):
            return error
        if _is_fence(error):
            return Fenced(f"transactional id {self._transactional_id} has a newer owner, or its transaction timed out: drop the state of this one")
        return CommitUnknown(
            f"the commit of transactional id {self._transactional_id} has no known outcome ({error!r}): "
            "drop the state, open a new writer of the id, then read the journal"
        )


def _columns(records: Sequence[Writable]) -> tuple[Ints, ByteColumn, ByteColumn, ByteColumn]:
    """(timestamps, keys, values, headers as on the wire) of all these records."""
    blocks = [
        record
        if isinstance(record, RecordBlock)
        else RecordBlock(record.topic, record.partition, [record.timestamp_ms], [record.key], [record.value], record.headers)
        for record in records
    ]
    wire = {headers: write_headers(headers) for headers in {block.headers for block in blocks}}
    headers = (
        ByteColumn.repeated(wire[blocks[0].headers], len(blocks[0]))
        if len(blocks) == 1
        else ByteColumn.of([item for block in blocks for item in [wire[block.headers]] * len(block)])
    )
    times_ms = np.array(joined_numbers([block.timestamps_ms for block in blocks]), np.int64)
    keys, values = (ByteColumn.of(joined_bytes(columns)) for columns in ([block.keys for block in blocks], [block.values for block in blocks]))
    return times_ms, keys, values, headers


def _is_fence(error: BaseException | None) -> bool:
    """Whether a newer owner is behind it: aiokafka also wraps the fence in errors of its sender, once or twice."""
    while error is not None:
        if isinstance(error, ProducerFenced | InvalidProducerEpoch | InvalidProducerIdMapping):
            return True
        error = error.__cause__ or error.__context__
    return False


async def end_producer(producer: Any) -> None:
    """Stop a producer in bounded time, whatever state it is in. `stop()` alone waits for ever for batches that no broker takes.

    aiokafka has no public handle on its sender, nor on the futures that fail beside those we awaited and would be logged as never
    retrieved; hence the private names (its version is pinned).
    """
    unheard = [batch._drain_waiter for queue in producer._message_accumulator._batches.values() for batch in queue]
    for future in (*unheard, producer._txn_manager.wait_for_transaction_end()):
        if future is not None:
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
    if await _stopped(producer.stop()):
        return
    sender = producer._sender.sender_task
    if sender is not None:
        sender.cancel()
    await _stopped(producer.client.close())


async def end_consumer(consumer: Any) -> None:
    """Stop a consumer in bounded time, whatever state it is in; where `stop()` breaks off half-way, its connections are closed behind it."""
    if not await _stopped(consumer.stop()):
        await _stopped(consumer._client.close())


async def _stopped(stop: Coroutine[Any, Any, Any]) -> bool:
    """Whether a client stopped well and in time.

    In a task of its own: where a fetch has failed, aiokafka lets the cancellation of its own tasks out of `stop()`, and it must not pass for ours.
    """
    stopping = asyncio.create_task(stop)
    stopping.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        await asyncio.wait([stopping], timeout=CLOSE_SECONDS)
        return stopping.done() and not stopping.cancelled() and stopping.exception() is None
    finally:
        stopping.cancel()
