"""Loads every stream into ClickHouse, each record once: bounds are persisted, then the block is inserted under a token made of them.

A crash at any moment leaves at most one block per partition in doubt, and a restart inserts that one again under its old token.
Inserts are synchronous: with asynchronous ones the server would cut the blocks, and a token would mean nothing.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from streams.bus.contract import Bus, Chunk, Reader, TopicPartition
from streams.errors import CheckFailed
from streams.sinks.blocks import Backlog, Block, Bounds
from streams.sinks.bounds import BoundsFile
from streams.sinks.columns import arrow_table
from streams.sinks.connection import first_line, lost, unreachable
from streams.sinks.tables import DATABASE, table
from streams.topics import STREAMS
from streams.wire.codec import codec

BLOCK_ROWS = 50_000
PENDING_ROWS = 10 * BLOCK_ROWS  # read and not inserted, over all partitions; beyond it short blocks are inserted too
POLL_MS = 200
_ANOTHER_LOG = "It is another log: load it into an empty directory or database"
# Stated in full, because what is left out follows the server's defaults, and those have changed between versions.
INSERT_SETTINGS: dict[str, Any] = {
    "async_insert": 0,
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "max_partitions_per_insert_block": 0,
}
NEWER_INSERT_SETTINGS: dict[str, Any] = {"deduplicate_insert": "enable"}  # overrides `insert_deduplicate` on servers that know it


@dataclass(slots=True)
class Counts:
    """What was done for one stream since the start: rows and blocks inserted, records skipped because their schema could not read them."""

    rows: int = 0
    blocks: int = 0
    skipped: int = 0


class ClickHouseSink:
    """Sink of all streams into one database. After an exception it is to be dropped: a new one goes on from the persisted bounds.

    Records that cannot be decoded are counted and skipped; where they were inputs, dead letters hold them.
    """

    def __init__(self, client: Client, bounds: BoundsFile, *, database: str = DATABASE, block_rows: int = BLOCK_ROWS) -> None:
        self._client = client
        self._bounds = bounds
        self._database = database
        self._block_rows = block_rows
        self._settings = INSERT_SETTINGS | {name: value for name, value in NEWER_INSERT_SETTINGS.items() if name in client.server_settings}
        self._backlogs: dict[TopicPartition, Backlog] = {}
        self.counts: dict[str, Counts] = defaultdict(Counts)

    def create_tables(self) -> None:
        """Create what is missing, and learn which blocks were inserted last. To be called first.

        Raises CheckFailed when the bounds are damaged or of another database, Unreachable when the server does not answer.
        """
        try:
            self._client.command(f"CREATE DATABASE IF NOT EXISTS `{self._database}`")
            for stream in STREAMS:
                self._client.command(table(stream).create_sql(self._database))
            found = self._client.query("SELECT toString(uuid) FROM system.databases WHERE name = {name:String}", parameters={"name": self._database})
        except DatabaseError as problem:
            if lost(problem):
                raise unreachable(problem) from problem
            raise CheckFailed(
                f"ClickHouse refused the tables of database {self._database}: {first_line(problem)}. Correct its rights or version"
            ) from problem
        blocks = self._bounds.load(found.result_rows[0][0])
        self._backlogs = {source: Backlog(source, again) for source, again in blocks.items()}

    async def open(self, bus: Bus) -> Reader:
        """The one reader of this sink: every stream on the bus, each partition at its last block or begin. Raises CheckFailed on another log."""
        there = await bus.partitions()
        partitions = [TopicPartition(stream, number) for stream in STREAMS for number in range(there.get(stream, 0))]
        if missing := sorted(self._backlogs.keys() - set(partitions)):
            raise CheckFailed(f"ClickHouse holds rows of {_place(missing[0])}, which the log does not have. {_ANOTHER_LOG}")
        reader = await bus.reader(partitions)
        for backlog in self._backlogs.values():
            if backlog.again is not None:
                await _resume(reader, backlog, backlog.again)
        return reader

    async def turn(self, reader: Reader) -> int:
        """Read all that is there and insert the blocks that are full; returns rows inserted. `flush` inserts the rest."""
        inserted = 0
        while await self._read(reader, timeout_ms=0):
            inserted += self._insert_full()
        return inserted

    async def run(self, reader: Reader, stop: asyncio.Event, *, flush_s: float = 1.0) -> None:
        """Sink until `stop`; rows are in ClickHouse `flush_s` seconds after they could be read. Inserts run beside the event loop."""
        due = time.monotonic() + flush_s
        while not stop.is_set():
            await self._read(reader, timeout_ms=POLL_MS)
            await asyncio.to_thread(self._insert_full)
            if time.monotonic() >= due:
                await asyncio.to_thread(self.flush)
                due = time.monotonic() + flush_s
        await asyncio.to_thread(self.flush)

    def insert(self, chunk: Chunk) -> int:
        """Take the records that follow those taken before of the same partition, and insert full blocks; returns rows inserted."""
        self._add(chunk)
        return self._insert_full()

    def flush(self) -> int:
        """Insert everything taken so far; returns rows inserted. A block that a restart has to repeat waits until it was read whole."""
        return self._insert_rounds(partial=True)

    async def _read(self, reader: Reader, *, timeout_ms: int) -> bool:
        """One poll; whether anything, be it a marker, was passed."""
        chunks = await reader.poll(max_records=self._block_rows, timeout_ms=timeout_ms)
        for chunk in chunks:
            self._add(chunk)
        return any(chunk.stop > chunk.start for chunk in chunks)

    def _add(self, chunk: Chunk) -> None:
        source = TopicPartition(chunk.topic, chunk.partition)
        self._backlogs.setdefault(source, Backlog(source)).add(chunk)

    def _insert_full(self) -> int:
        return self._insert_rounds(partial=sum(map(len, self._backlogs.values())) > PENDING_ROWS)

    def _insert_rounds(self, *, partial: bool) -> int:
        """Rounds of at most one block per partition: one write of the bounds serves a whole round."""
        rows = 0
        while blocks := list(self._take(partial=partial)):
            self._bounds.save({block.source: block.bounds for block in blocks})
            rows += sum(self._write(block) for block in blocks)
        return rows

    def _take(self, *, partial: bool) -> Iterable[Block]:
        for backlog in self._backlogs.values():
            block = backlog.take(limit=self._block_rows, partial=partial)
            if block is not None:
                yield block

    def _write(self, block: Block) -> int:
        """Insert one block; returns its rows."""
        stream, partition = block.source
        decoded = codec(stream).decode(block.values)
        offsets = np.array(block.offsets, dtype=np.int64)[decoded.good]
        counts = self.counts[stream]
        counts.skipped += len(decoded.bad)
        if not len(offsets):
            return 0
        target = table(stream)
        rows = arrow_table(target, decoded.columns, partition=partition, offsets=offsets)
        try:
            self._client.insert_arrow(
                target.name, rows, database=self._database, settings=self._settings | {"insert_deduplication_token": block.token}
            )
        except DatabaseError as problem:
            if lost(problem):
                raise unreachable(problem) from problem
            raise CheckFailed(
                f"ClickHouse refused {_place(block.source)} offsets {block.bounds.first} to {block.bounds.last}: {first_line(problem)}. "
                "Nothing after them is loaded; correct the table or start from an empty database"
            ) from problem
        counts.rows += len(offsets)
        counts.blocks += 1
        return len(offsets)


async def _resume(reader: Reader, backlog: Backlog, again: Bounds) -> None:
    """Read on at the block in doubt. Where retention has taken its begin it is cut anew: rows that are there already merge by their coordinates."""
    first, end = await reader.bounds(backlog.source)
    if again.last >= end:
        raise CheckFailed(f"ClickHouse holds rows of {_place(backlog.source)} up to offset {again.last}, but the log ends at {end}. {_ANOTHER_LOG}")
    if first > again.first:
        backlog.again = None
    await reader.seek(backlog.source, max(first, again.first))


def _place(source: TopicPartition) -> str:
    return f"{source.topic}[{source.partition}]"
