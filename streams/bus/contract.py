"""What every bus promises: ordered partitions with offsets, atomic commits, read_committed readers, fencing by transactional id.

Topics here are stream names; a bus adds the deployment's prefix where it talks to a broker. Both buses pass tests/contract.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from streams.bus.columns import ByteColumn, ByteItems, Numbers
from streams.errors import CheckFailed

# Keys, values and headers of one record together. Brokers take batches of 1,048,588 bytes (`max.message.bytes`); the rest is for framing.
MAX_RECORD_BYTES = 1_000_000


class TopicPartition(NamedTuple):
    """A partition of a stream."""

    topic: str
    partition: int


Header = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A record to be written. The partition is always explicit: no bus ever hashes a key."""

    topic: str
    partition: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...] = ()


@dataclass(frozen=True, slots=True)
class RecordBlock:
    """Many records for one partition as columns: written in this order, all with the same headers, as if they stood there one by one."""

    topic: str
    partition: int
    timestamps_ms: Numbers
    keys: ByteItems
    values: ByteItems
    headers: tuple[Header, ...] = ()

    def __len__(self) -> int:
        return len(self.timestamps_ms)

    def singly(self) -> Iterator[NewRecord]:
        """Its records."""
        for timestamp_ms, key, value in zip(self.timestamps_ms, self.keys, self.values, strict=True):
            yield NewRecord(self.topic, self.partition, timestamp_ms, key, value, self.headers)


Writable = NewRecord | RecordBlock


def _may_be_oversized(block: RecordBlock) -> bool:
    """Whether the longest key, the longest value and the headers together are beyond the limit."""
    longest = sum(int(ByteColumn.of(column).sizes.max(initial=0)) for column in (block.keys, block.values))
    return longest + sum(len(name.encode()) + len(value) for name, value in block.headers) > MAX_RECORD_BYTES


def refuse_oversized(records: Sequence[Writable]) -> None:
    """Raise CheckFailed for the first record beyond MAX_RECORD_BYTES."""
    for record in records:
        if isinstance(record, RecordBlock):
            refuse_oversized(list(record.singly()) if _may_be_oversized(record) else [])
            continue
        size = len(record.key or b"") + len(record.value or b"")
        if record.headers:
            size += sum(len(name.encode()) + len(value) for name, value in record.headers)
        if size > MAX_RECORD_BYTES:
            raise CheckFailed(
                f"a record of {size:,} bytes for {record.topic}[{record.partition}] is larger than the {MAX_RECORD_BYTES:,} a bus takes; "
                "nothing of its commit was written: make the record smaller"
            )


def outside_log(partition: TopicPartition, offset: int, bounds: tuple[int, int]) -> CheckFailed:
    """The error for a position that the log does not hold."""
    return CheckFailed(
        f"position {offset} of {partition.topic}[{partition.partition}] lies outside its log, which holds offsets {bounds[0]} to {bounds[1]}: "
        "below it, records were deleted (start from a later snapshot); above it, this is another deployment's log, a "
        "truncated one, or a topic made again (check the address)"
    )


def no_such_partition(topic: str, partition: int) -> CheckFailed:
    """The error for a partition that does not exist."""
    return CheckFailed(f"{topic}[{partition}] does not exist on this bus: create the topics of the deployment first, with its partition counts")


def topic_id_text(raw: bytes) -> str:
    """16 bytes as Kafka's own tools print the id of a topic: 22 letters of URL-safe base64."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def made_topic_id(topic: str, before: int) -> str:
    """The id of a topic of a bus in this process, of whose name there were `before` others: the same run gives the same ids."""
    return topic_id_text(hashlib.sha256(f"{topic}/{before}".encode()).digest()[:16])


@dataclass(slots=True)
class Chunk:
    """Records of one partition as columns: [start, stop) by consumer position. Markers take offsets, so `stop` may lie beyond the last record."""

    topic: str
    partition: int
    start: int
    stop: int
    offsets: Numbers = field(default_factory=list)
    timestamps_ms: Numbers = field(default_factory=list)
    keys: ByteItems = field(default_factory=list)
    values: ByteItems = field(default_factory=list)
    headers: list[tuple[Header, ...]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.offsets)

    def append(self, offset: int, record: NewRecord) -> None:
        """Add a record behind the others; only where the columns are lists. `stop` is the caller's."""
        assert isinstance(self.keys, list)
        assert isinstance(self.values, list)
        self.offsets.append(offset)
        self.timestamps_ms.append(record.timestamp_ms)
        self.keys.append(record.key)
        self.values.append(record.value)
        self.headers.append(record.headers)


class End(NamedTuple):
    """What is known of the end of a partition: `stable` is the position after everything readable, `high` after everything written.

    Between them lies what somebody's open transaction holds back; `high` counts what will be aborted, too.
    """

    stable: int
    high: int


class Reader(Protocol):
    """Reads committed records of partitions assigned by hand, from positions set by hand; never resets a position by itself."""

    async def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from `offset`. Raises CheckFailed when it lies outside the log, naming what is there."""

    async def poll(self, *, max_records: int, timeout_ms: int, partitions: Sequence[TopicPartition] | None = None) -> list[Chunk]:
        """What is readable now on the assigned (or the named) partitions, at most `max_records` in all; waits up to `timeout_ms` for the first.

        Chunks of one partition are contiguous over calls: the next `start` is the last `stop`. A chunk may be empty where only markers were passed.
        """

    async def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        """(first offset kept, last stable offset: the position after everything readable now)."""

    def known_end(self, partition: TopicPartition) -> End | None:
        """What the broker's last answer about a partition said of its end; None before the first. It asks nobody, so it may be behind the truth."""

    def unread(self) -> list[TopicPartition]:
        """Partitions that are known to hold more than has been read of them, and those of whose end nothing is known; it asks nobody either."""

    async def close(self) -> None:
        """Let go of connections."""


class Writer(Protocol):
    """Writes as one owner. Opened with a transactional id it fences every earlier holder of that id and aborts what they left open."""

    async def commit(self, records: Sequence[Writable]) -> dict[TopicPartition, int]:
        """Write all records atomically, in order per partition; returns the offset after the last record written to each partition.

        Raises Fenced (nothing written), CommitUnknown (only the log knows), or CheckFailed when a record is refused (too large, no such
        partition; nothing written). A writer goes on after it refused records by size or partition itself; every other error ends it.
        """

    async def close(self) -> None:
        """Let go of connections."""


class Bus(Protocol):
    """A log with topics."""

    async def create_topics(self, partitions: Mapping[str, int]) -> None:
        """Create the streams that do not exist yet, with these partition counts. Raises CheckFailed where one exists with another count."""

    async def partitions(self) -> dict[str, int]:
        """Streams that exist and their partition counts."""

    async def topic_ids(self) -> dict[str, str]:
        """Streams that exist and the ids of their topics: a topic deleted and made again under its name has another. Left out where unknown."""

    async def reader(self, partitions: Sequence[TopicPartition]) -> Reader:
        """A read_committed reader of these partitions, positioned at the first offset kept. Raises CheckFailed when one does not exist."""

    async def writer(self, transactional_id: str) -> Writer:
        """A writer that now owns `transactional_id`."""

    async def close(self) -> None:
        """Let go of everything."""
