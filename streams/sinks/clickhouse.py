"""Loads every topic into ClickHouse, each record once: bounds are persisted, then the block is inserted under a token made of them.

A block of a topic that carries several streams becomes an insert for each, all under the one token: a table remembers the tokens of its own inserts.

A crash at any moment leaves at most one block per partition in doubt, and a restart inserts that one again under its old token.
Inserts are synchronous: with asynchronous ones the server would cut the blocks, and a token would mean nothing.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from streams.bus.contract import Bus, Chunk, Reader, TopicPartition
from streams.errors import CheckFailed
from streams.sinks.blocks import Backlog, Block, Bounds
from streams.sinks.bounds import BoundsFile
from streams.sinks.columns import arrow_table
from streams.sinks.connection import first_line, passes, unreachable
from streams.sinks.migrations import migrate
from streams.sinks.tables import DATABASE, table
from streams.topics import TOPICS
from streams.wire.kinds import decode

BLOCK_ROWS = 200_000
PENDING_ROWS = 5 * BLOCK_ROWS  # read and not inserted, over all partitions; beyond it short blocks are inserted too
PENDING_BYTES = 128 << 20  # the same bound for large records
_ANOTHER_LOG = "It is another log: load it into an empty directory or database"
# Stated in full, because what is left out follows the server's defaults, and those have changed between versions.
INSERT_SETTINGS: dict[str, Any] = {
    "async_insert": 0,
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "max_partitions_per_insert_block": 0,
    "optimize_on_insert": 0,  # a block holds every coordinate once: looking for rows to replace within it would cost a third of the insert
}
NEWER_INSERT_SETTINGS: dict[str, Any] = {"deduplicate_insert": "enable"}  # overrides `insert_deduplicate` on servers that know it


@dataclass(slots=True)
class Counts:
    """What was done for one topic since the start: rows and blocks inserted, records skipped because their schema could not read them."""

    rows: int = 0
    blocks: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Prepared:
    """A block as the rows of its inserts, by stream; `skipped` records are none because no schema could read them."""

    block: Block
    rows: dict[str, pa.Table]
    skipped: int


class ClickHouseSink:
    """Sink of all streams into one database: its steps, and `turn`, `insert` and `flush` that do them one after the other.

    `streams.sinks.pipeline.run` does them beside each other and outlasts a server that is away. After an exception of anything but `write` a sink is
    to be dropped: a new one goes on from the persisted bounds.
    Records that cannot be decoded are counted and skipped; where they were inputs, dead letters hold them.
    """

    def __init__(
        self, client: Client, bounds: BoundsFile, *, database: str = DATABASE, block_rows: int = BLOCK_ROWS, pending_rows: int = PENDING_ROWS
    ) -> None:
        self._client = client
        self._bounds = bounds
        self._database = database
        self._block_rows = block_rows
        self._pending_rows = pending_rows
        self._settings = INSERT_SETTINGS | {name: value for name, value in NEWER_INSERT_SETTINGS.items() if name in client.server_settings}
        self._backlogs: dict[TopicPartition, Backlog] = {}
        self.counts: dict[str, Counts] = defaultdict(Counts)

    def create_tables(self) -> None:
        """Bring the database to its newest form, and learn which blocks were inserted last. To be called first.

        Raises CheckFailed when the bounds are damaged or of another database, Unreachable when the server does not answer.
        """
        migrate(self._client, self._database)
        self.adopt()

    def adopt(self) -> None:
        """Take the database as it is: only learn which blocks were inserted last. Raises as `create_tables` does."""
        try:
            found = self._client.query("SELECT toString(uuid) FROM system.databases WHERE name = {name:String}", parameters={"name": self._database})
        except DatabaseError as problem:
            if passes(problem):
                raise unreachable(problem) from problem
            raise CheckFailed(
                f"ClickHouse refused to say what database {self._database} is: {first_line(problem)}. Correct its rights or version"
            ) from problem
        blocks = self._bounds.load(found.result_rows[0][0])
        self._backlogs = {source: Backlog(source, again) for source, again in blocks.items()}

    async def open(self, bus: Bus) -> Reader:
        """The one reader of this sink: every topic on the bus, each partition at its last block or begin. Raises CheckFailed on another log."""
        there = await bus.partitions()
        partitions = [TopicPartition(topic, number) for topic in TOPICS for number in range(there.get(topic, 0))]
        if missing := sorted(self._backlogs.keys() - set(partitions)):
            raise CheckFailed(f"ClickHouse holds rows of {_place(missing[0])}, which the log does not have. {_ANOTHER_LOG}")
        reader = await bus.reader(partitions)
        for source in partitions:
            backlog = self._backlogs.setdefault(source, Backlog(source))
            if backlog.again is not None:
                await _resume(reader, backlog, backlog.again)
        return reader

    async def turn(self, reader: Reader) -> int:
        """Read all that is there and insert the blocks that are full; returns rows inserted. `flush` inserts the rest."""
        inserted = 0
        while await self.read(reader, timeout_ms=0):
            inserted += self._insert_rounds(partial=self.is_full)
        return inserted

    def insert(self, chunk: Chunk) -> int:
        """Take the records that follow those taken before of the same partition, and insert full blocks; returns rows inserted."""
        self._add(chunk)
        return self._insert_rounds(partial=self.is_full)

    def flush(self) -> int:
        """Insert everything taken so far; returns rows inserted. A block that a restart has to repeat waits until it was read whole."""
        return self._insert_rounds(partial=True)

    @property
    def backlogs(self) -> Sequence[Backlog]:
        """What was read and is in no block yet, by partition."""
        return list(self._backlogs.values())

    @property
    def is_full(self) -> bool:
        """Whether so much waits to be inserted that nothing more should be read."""
        return (
            sum(map(len, self._backlogs.values())) >= self._pending_rows or sum(backlog.size for backlog in self._backlogs.values()) >= PENDING_BYTES
        )

    async def read(self, reader: Reader, *, timeout_ms: int, partitions: Sequence[TopicPartition] | None = None) -> bool:
        """One poll; whether anything, be it a marker, was passed."""
        chunks = await reader.poll(max_records=self._block_rows, timeout_ms=timeout_ms, partitions=partitions)
        for chunk in chunks:
            self._add(chunk)
        return any(chunk.stop > chunk.start for chunk in chunks)

    def cut(self, *, partial: bool) -> list[Block]:
        """A round: at most one block per partition, in order; with `partial` also short ones. Nothing of it may be inserted before `save`."""
        taken = (backlog.take(limit=self._block_rows, partial=partial) for backlog in self._backlogs.values())
        return [block for block in taken if block is not None]

    def save(self, blocks: Sequence[Block]) -> None:
        """Persist the bounds of a round: one write for all of it. Every block before it must be inserted."""
        self._bounds.save({block.source: block.bounds for block in blocks})

    def prepare(self, block: Block) -> Prepared:
        """Decode a block into the rows of its inserts."""
        topic, partition = block.source
        found = decode(topic, block.values)
        offsets = np.array(block.offsets, dtype=np.int64)
        rows = {
            stream: arrow_table(table(stream), part.columns, partition=partition, offsets=offsets[part.good])
            for stream, part in found.items()
            if len(part.good)
        }
        return Prepared(block, rows, sum(len(part.bad) for part in found.values()))

    def write(self, prepared: Prepared) -> int:
        """Insert one block, stream by stream; returns its rows. May be called again with the same block: each table remembers its token.

        Raises Unreachable when the server did not answer or will take it later, CheckFailed when it refuses.
        """
        block, count = prepared.block, sum(map(len, prepared.rows.values()))
        settings = self._settings | {"insert_deduplication_token": block.token}
        for stream, rows in prepared.rows.items():
            try:
                self._client.insert_arrow(table(stream).name, rows, database=self._database, settings=settings)
            except DatabaseError as problem:
                if passes(problem):
                    raise unreachable(problem) from problem
                raise CheckFailed(
                    f"ClickHouse refused {_place(block.source)} offsets {block.bounds.first} to {block.bounds.last} in {table(stream).name}: "
                    f"{first_line(problem)}. "
                    "Nothing after them is loaded; correct the table or start from an empty database"
                ) from problem
        counts = self.counts[block.source.topic]
        counts.rows += count
        counts.blocks += 1 if count else 0
        counts.skipped += prepared.skipped
        return count

    def _add(self, chunk: Chunk) -> None:
        source = TopicPartition(chunk.topic, chunk.partition)
        self._backlogs.setdefault(source, Backlog(source)).add(chunk)

    def _insert_rounds(self, *, partial: bool) -> int:
        rows = 0
        while blocks := self.cut(partial=partial):
            self.save(blocks)
            rows += sum(self.write(self.prepare(block)) for block in blocks)
        return rows


async def _resume(reader: Reader, backlog: Backlog, again: Bounds) -> None:
    """Read on at the block in doubt. Where retention has taken its begin it is cut anew: rows that are there already merge by their coordinates."""
    first, end = await reader.bounds(backlog.source)
    if again.last >= end:
        raise CheckFailed(f"ClickHouse holds rows of {_place(backlog.source)} up to offset {again.last}, but the log ends at {end}. {_ANOTHER_LOG}")
    if first > again.first:
        backlog.again = None
    backlog.stop = max(first, again.first)
    await reader.seek(backlog.source, backlog.stop)


def _place(source: TopicPartition) -> str:
    return f"{source.topic}[{source.partition}]"
