"""Cutting and joining chunks: a slice of a partition is [start, stop) by consumer position, whatever pieces it was read in."""

from bisect import bisect_left
from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import pairwise

import numpy as np

from streams.bus.columns import ByteColumn, joined_bytes, joined_numbers, numbers
from streams.bus.contract import Bus, Chunk, Reader, TopicPartition
from streams.errors import CheckFailed
from streams.topics import STREAMS, TOPICS
from streams.wire.kinds import NO_STREAM, stream_codes

POLL_RECORDS = 20_000
POLL_TIMEOUT_MS = 200


def cut(chunk: Chunk, offset: int) -> tuple[Chunk, Chunk]:
    """`chunk` as [start, offset) and [offset, stop)."""
    at = bisect_left(chunk.offsets, offset)
    head = Chunk(chunk.topic, chunk.partition, chunk.start, offset)
    tail = Chunk(chunk.topic, chunk.partition, offset, chunk.stop)
    for name in ("offsets", "timestamps_ms", "keys", "values", "headers"):
        column = getattr(chunk, name)
        setattr(head, name, column[:at])
        setattr(tail, name, column[at:])
    return head, tail


def join(chunks: Sequence[Chunk]) -> Chunk:
    """Contiguous chunks of one partition as one. Raises CheckFailed where they do not meet: the reader lost or repeated something."""
    first = chunks[0]
    if len(chunks) == 1:
        return first
    for before, chunk in pairwise(chunks):
        if chunk.start != before.stop:
            raise CheckFailed(
                f"{chunk.topic}[{chunk.partition}]: a read ended at offset {before.stop}, the next began at {chunk.start}; "
                "nothing of it was taken: start the shard again and report the broker's log"
            )
    return Chunk(
        first.topic,
        first.partition,
        first.start,
        chunks[-1].stop,
        joined_numbers([chunk.offsets for chunk in chunks]),
        joined_numbers([chunk.timestamps_ms for chunk in chunks]),
        joined_bytes([chunk.keys for chunk in chunks]),
        joined_bytes([chunk.values for chunk in chunks]),
        [headers for chunk in chunks for headers in chunk.headers],
    )


def by_partition(chunks: Iterable[Chunk]) -> dict[TopicPartition, list[Chunk]]:
    """Chunks of each partition, in the order they came."""
    grouped: dict[TopicPartition, list[Chunk]] = {}
    for chunk in chunks:
        grouped.setdefault(TopicPartition(chunk.topic, chunk.partition), []).append(chunk)
    return grouped


def only(chunk: Chunk, stream: str) -> Chunk:
    """The records of a chunk that are of this stream: all, where its topic carries no other. Those of no stream count to the topic's first."""
    streams = TOPICS[chunk.topic].streams if chunk.topic in TOPICS else (chunk.topic,)
    if len(streams) == 1 or not len(chunk):
        return chunk
    codes = stream_codes(chunk.topic, chunk.values)
    places = np.flatnonzero(np.where(codes == NO_STREAM, 0, codes) == streams.index(stream))
    return Chunk(
        chunk.topic,
        chunk.partition,
        chunk.start,
        chunk.stop,
        numbers(np.asarray(chunk.offsets, np.int64)[places]),
        numbers(np.asarray(chunk.timestamps_ms, np.int64)[places]),
        ByteColumn.of(chunk.keys).take(places),
        ByteColumn.of(chunk.values).take(places),
        [chunk.headers[at] for at in places.tolist()],
    )


class SliceReader:
    """Reads given slices again, partition by partition, without seeking between slices that follow each other."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._left: dict[TopicPartition, Chunk] = {}

    @classmethod
    async def open(cls, bus: Bus, partitions: Sequence[TopicPartition]) -> "SliceReader":
        """A reader of these partitions."""
        return cls(await bus.reader(partitions))

    async def close(self) -> None:
        """Let go of the reader."""
        await self._reader.close()

    async def take(self, partition: TopicPartition, start: int, stop: int) -> Chunk:
        """The records of [start, stop). Raises CheckFailed when the log no longer holds that range."""
        left = self._left.pop(partition, None)
        if left is None or left.start != start:
            await self._reader.seek(partition, start)
            left = Chunk(*partition, start, start)
        parts = [left]
        while parts[-1].stop < stop:
            more = await self._reader.poll(max_records=POLL_RECORDS, timeout_ms=POLL_TIMEOUT_MS, partitions=[partition])
            if not more and (await self._reader.bounds(partition))[1] < stop:
                raise CheckFailed(
                    f"{partition.topic}[{partition.partition}] ends at offset {parts[-1].stop}, but a step took up to {stop}: records are missing; "
                    "restore the log"
                )
            parts += more
        head, tail = cut(join(parts), stop)
        if tail.stop > tail.start:
            self._left[partition] = tail
        return head


async def read_stream(bus: Bus, stream: str) -> AsyncIterator[Chunk]:
    """Everything readable now of one stream, partition by partition; nothing where this log has no such stream."""
    topic = STREAMS[stream].topic
    for number in range((await bus.partitions()).get(topic, 0)):
        yield only(await read_all(bus, TopicPartition(topic, number)), stream)


async def read_all(bus: Bus, partition: TopicPartition) -> Chunk:
    """Everything readable now in one partition."""
    reader = await bus.reader([partition])
    try:
        first, end = await reader.bounds(partition)
        parts = [Chunk(*partition, first, first)]
        while parts[-1].stop < end:
            parts += await reader.poll(max_records=POLL_RECORDS, timeout_ms=POLL_TIMEOUT_MS, partitions=[partition])
        return join(parts)
    finally:
        await reader.close()
