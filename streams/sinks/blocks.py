"""Where a partition is cut into inserts: a block's token is a function of its stream, partition, first and last offset, and of nothing else.

The same token must never carry other records, so a block that may have been inserted before is cut again at exactly its old bounds.
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import NamedTuple

from streams.bus.contract import Chunk, TopicPartition
from streams.errors import CheckFailed


class Bounds(NamedTuple):
    """Offsets of the first and the last record of a block."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Block:
    """Records of one partition that go into one insert."""

    source: TopicPartition
    offsets: list[int]
    values: list[bytes | None]

    @property
    def bounds(self) -> Bounds:
        """First and last offset."""
        return Bounds(self.offsets[0], self.offsets[-1])

    @property
    def token(self) -> str:
        """Its deduplication token."""
        return token(self.source, self.bounds)


def token(source: TopicPartition, bounds: Bounds) -> str:
    """`stream:partition:first-last`."""
    return f"{source.topic}:{source.partition}:{bounds.first}-{bounds.last}"


@dataclass(slots=True)
class Backlog:
    """Records of one partition that were read and are not yet in a block. `again`: the block that must be cut first, exactly so."""

    source: TopicPartition
    again: Bounds | None = None
    offsets: list[int] = field(default_factory=list)
    values: list[bytes | None] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.offsets)

    def add(self, chunk: Chunk) -> None:
        """Take what was read next."""
        self.offsets += chunk.offsets
        self.values += chunk.values

    def take(self, *, limit: int, partial: bool) -> Block | None:
        """The next block of `limit` records; with `partial` also a shorter one. None: nothing to cut yet.

        Raises CheckFailed when the block to be cut again is not in the log as it was: it is another log than the bounds are of.
        """
        if self.again is not None:
            return self._take_again(self.again)
        if len(self) >= limit:
            return self._cut(limit)
        return self._cut(len(self)) if partial and self.offsets else None

    def _take_again(self, bounds: Bounds) -> Block | None:
        if not self.offsets or self.offsets[-1] < bounds.last:
            return None
        block = self._cut(bisect_right(self.offsets, bounds.last)) if self.offsets[0] == bounds.first else None
        if block is None or block.bounds != bounds:
            raise CheckFailed(
                f"{self.source.topic}[{self.source.partition}] has no block of records from offset {bounds.first} to {bounds.last}, "
                "which ClickHouse was given: the bounds belong to another log. Load this log into an empty directory or database"
            )
        self.again = None
        return block

    def _cut(self, count: int) -> Block:
        block = Block(self.source, self.offsets[:count], self.values[:count])
        del self.offsets[:count], self.values[:count]
        return block
