"""Where a partition is cut into inserts: a block's token is a function of its topic, partition, first and last offset, and of nothing else.

The same token must never carry other records, so a block that may have been inserted before is cut again at exactly its old bounds.
"""

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from streams.bus.columns import ByteColumn, ByteItems, Numbers, joined_bytes, joined_numbers
from streams.bus.contract import Chunk, TopicPartition
from streams.errors import CheckFailed


class Bounds(NamedTuple):
    """Offsets of the first and the last record of a block."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Block:
    """Records of one partition that go in together. `oldest_ms`: timestamp of its first record."""

    source: TopicPartition
    offsets: Numbers
    values: ByteItems
    oldest_ms: int

    @property
    def bounds(self) -> Bounds:
        """First and last offset."""
        return Bounds(self.offsets[0], self.offsets[-1])

    @property
    def token(self) -> str:
        """Its deduplication token."""
        return token(self.source, self.bounds)


def token(source: TopicPartition, bounds: Bounds) -> str:
    """`topic:partition:first-last`."""
    return f"{source.topic}:{source.partition}:{bounds.first}-{bounds.last}"


@dataclass(slots=True)
class Backlog:
    """Records of one partition that were read and are not yet in a block. `again`: the block that must be cut first, exactly so.

    `stop` is the offset up to which was read, None before anything was; `size` is the bytes of the records here.
    """

    source: TopicPartition
    again: Bounds | None = None
    stop: int | None = None
    size: int = 0
    _parts: deque[Block] = field(default_factory=deque)
    _count: int = 0

    def __len__(self) -> int:
        return self._count

    @property
    def oldest_ms(self) -> int | None:
        """Timestamp of the first record here."""
        return self._parts[0].oldest_ms if self._parts else None

    @property
    def place(self) -> int | None:
        """Offset of the first record here; where there is none, that up to which was read, markers included."""
        return self._parts[0].offsets[0] if self._parts else self.stop

    @property
    def is_unfinished(self) -> bool:
        """Whether the block to be cut again has not been read whole."""
        return self.again is not None and (not self._parts or self._parts[-1].offsets[-1] < self.again.last)

    def add(self, chunk: Chunk) -> None:
        """Take what was read next."""
        self.stop = chunk.stop
        if len(chunk):
            self._parts.append(Block(self.source, chunk.offsets, chunk.values, chunk.timestamps_ms[0]))
            self._count += len(chunk)
            self.size += size_of(chunk.values)

    def take(self, *, limit: int, partial: bool) -> Block | None:
        """The next block of `limit` records; with `partial` also a shorter one. None: nothing to cut yet.

        Raises CheckFailed when the block to be cut again is not in the log as it was: it is another log than the bounds are of.
        """
        if self.again is not None:
            return None if self.is_unfinished else self._take_again(self.again)
        if self._count >= limit:
            return self._cut(limit)
        return self._cut(self._count) if partial and self._count else None

    def _take_again(self, bounds: Bounds) -> Block:
        inside = sum(bisect_right(part.offsets, bounds.last) for part in self._parts)
        block = self._cut(inside) if inside and self._parts[0].offsets[0] == bounds.first else None
        if block is None or block.bounds != bounds:
            raise CheckFailed(
                f"{self.source.topic}[{self.source.partition}] has no block of records from offset {bounds.first} to {bounds.last}, "
                "which ClickHouse was given: the bounds belong to another log. Load this log into an empty directory or database"
            )
        self.again = None
        return block

    def _cut(self, count: int) -> Block:
        parts: list[Block] = []
        left = count
        while left:
            part = self._parts.popleft()
            if len(part.offsets) > left:
                rest = Block(self.source, part.offsets[left:], part.values[left:], part.oldest_ms)
                self._parts.appendleft(rest)
                part = Block(self.source, part.offsets[:left], part.values[:left], part.oldest_ms)
            parts.append(part)
            left -= len(part.offsets)
        block = Block(
            self.source, joined_numbers([part.offsets for part in parts]), joined_bytes([part.values for part in parts]), parts[0].oldest_ms
        )
        self._count -= count
        self.size -= size_of(block.values)
        return block


def size_of(values: ByteItems) -> int:
    """Bytes of record values together."""
    return values.byte_count if isinstance(values, ByteColumn) else sum(len(value) for value in values if value is not None)
