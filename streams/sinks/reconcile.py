"""Whether the tables hold exactly the log: every record of a range once, nothing else, and every column of it as the record says.

Records and rows are compared page by page, so that memory does not grow with the range, and both sides are digested column by column: equal digests
are what two reconciliations of the same range can be compared by. Two rows that FINAL shows as one are one row; two that it shows are a double.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error

from streams.bus.columns import ByteColumn, ByteItems, joined_bytes, joined_numbers
from streams.bus.contract import Bus, Chunk, Reader, TopicPartition
from streams.errors import CheckFailed
from streams.sinks.blocks import size_of
from streams.sinks.columns import arrow_table
from streams.sinks.connection import first_line, passes, unreachable
from streams.sinks.digest import ColumnDigests
from streams.sinks.tables import Column, Kind, Table, table
from streams.topics import TOPICS
from streams.wire.codec import codec
from streams.wire.kinds import NO_STREAM, stream_codes

PAGE_RECORDS = 100_000
PAGE_BYTES = 64 << 20
POLL_RECORDS = 10_000
POLL_MS = 50
COORDINATES = ("src_partition", "src_offset")
Place = tuple[str, str, int]  # stream, topic and partition


class Fault(Enum):
    """How a table differs from its stream."""

    LOST = "lost"  # a record has no row
    DOUBLE = "double"  # a record has several rows
    STRAY = "stray"  # a row has no record
    CHANGED = "changed"  # a column of a row is not what its record says


@dataclass(frozen=True, slots=True)
class Difference:
    """The first one of a stream. `column` is None where the row itself is at fault; `record` and `row` are the two values as text."""

    kind: Fault
    stream: str
    topic: str
    partition: int
    offset: int
    column: str | None = None
    record: str | None = None
    row: str | None = None

    def __str__(self) -> str:
        place = f"{self.topic}[{self.partition}] offset {self.offset}"
        if self.stream != self.topic:
            place = f"{self.stream} at {place}"
        match self.kind:
            case Fault.LOST:
                return f"{place}: the record has no row"
            case Fault.STRAY:
                return f"{place}: the row has no record"
            case Fault.DOUBLE:
                apart = "" if self.column is None else f"; {self.column} is {self.record} in one and {self.row} in another"
                return f"{place}: the record has several rows{apart}"
            case Fault.CHANGED:
                return f"{place}: {self.column} is {self.record} in the record and {self.row} in the row"


@dataclass(slots=True)
class StreamReport:
    """One stream over the range. `skipped` records cannot be decoded and rightly have no row; those of no stream count to their topic's first.

    Digests go as far as the first difference.
    """

    stream: str
    records: int = 0
    rows: int = 0
    skipped: int = 0
    record_digest: str = ""
    row_digest: str = ""
    difference: Difference | None = None


@dataclass(frozen=True, slots=True)
class _Page:
    """Records at positions [start, stop) of a partition as the rows they should be."""

    start: int
    stop: int
    rows: pa.Table
    skipped: int


@dataclass(slots=True)
class _Digests:
    records: ColumnDigests = field(default_factory=ColumnDigests)
    rows: ColumnDigests = field(default_factory=ColumnDigests)


class Reconciliation:
    """Of one log with one database."""

    def __init__(self, bus: Bus, client: Client, database: str, *, page_records: int = PAGE_RECORDS) -> None:
        self._bus = bus
        self._client = client
        self._database = database
        self._page_records = page_records

    async def stream(self, stream: str, ranges: Mapping[TopicPartition, tuple[int, int]], *, to_end: bool) -> StreamReport:
        """Compare a stream over offset ranges [from, to); `to_end`: they end where the log did, and nothing may lie behind that.

        Raises Unreachable when ClickHouse does not answer, CheckFailed when it has no such table or refuses the question.
        """
        report, digests, target = StreamReport(stream), _Digests(), table(stream)
        for partition, (start, stop) in sorted(ranges.items()):
            if report.difference is None:
                await self._partition(report, digests, target, partition, start, stop, to_end=to_end)
        if to_end and report.difference is None:
            report.difference = self._foreign(target, len(ranges))
        report.record_digest, report.row_digest = digests.records.hex(), digests.rows.hex()
        return report

    async def _partition(
        self, report: StreamReport, digests: _Digests, target: Table, partition: TopicPartition, start: int, stop: int, *, to_end: bool
    ) -> None:
        reader = await self._bus.reader([partition])
        try:
            async for page in _pages(reader, partition, target.stream, start, stop, self._page_records):
                rows = self._rows(target, partition, page.start, page.stop)
                report.records += len(page.rows) + page.skipped
                report.skipped += page.skipped
                report.rows += len(rows)
                digests.records.add(page.rows)
                digests.rows.add(rows)
                report.difference = _first_difference((target.stream, *partition), page.rows, rows)
                if report.difference is not None:
                    return
            if to_end:
                report.difference = await self._behind(reader, target, partition, stop)
        finally:
            await reader.close()

    def _rows(self, target: Table, partition: TopicPartition, start: int, stop: int) -> pa.Table:
        columns = ", ".join(f"`{name}`" for name in (*COORDINATES, *(column.name for column in target.columns)))
        where = f"src_partition = {partition.partition} AND src_offset >= {start} AND src_offset < {stop}"
        found = self._ask(f"SELECT {columns} FROM {self._name(target)} FINAL WHERE {where} ORDER BY src_offset")
        return as_inserted(target, found)

    async def _behind(self, reader: Reader, target: Table, partition: TopicPartition, stop: int) -> Difference | None:
        """A row behind the end of the log, as it is by now: a log that is being written has grown meanwhile."""
        where = f"src_partition = {partition.partition} AND src_offset >= {stop}"
        found = self._ask(f"SELECT max(src_offset) AS last, count() AS rows FROM {self._name(target)} WHERE {where}").to_pylist()
        if not found or not found[0]["rows"] or found[0]["last"] < (await reader.bounds(partition))[1]:
            return None
        return Difference(Fault.STRAY, target.stream, *partition, int(found[0]["last"]))

    def _foreign(self, target: Table, partitions: int) -> Difference | None:
        """A row of a topic or partition that is not this stream's."""
        where = f"src_partition >= {partitions} OR src_topic != '{target.topic}'"
        found = self._ask(f"SELECT src_topic, src_partition, src_offset FROM {self._name(target)} WHERE {where} ORDER BY ALL LIMIT 1").to_pylist()
        if not found:
            return None
        return Difference(Fault.STRAY, target.stream, str(found[0]["src_topic"]), found[0]["src_partition"], found[0]["src_offset"])

    def _name(self, target: Table) -> str:
        return f"`{self._database}`.`{target.name}`"

    def _ask(self, sql: str) -> pa.Table:
        try:
            return self._client.query_arrow(sql, use_strings=True)
        except Error as problem:
            if passes(problem):
                raise unreachable(problem) from problem
            raise CheckFailed(f"ClickHouse cannot show its tables: {first_line(problem)}. Load them first, or name another database") from problem


async def _pages(reader: Reader, partition: TopicPartition, stream: str, start: int, stop: int, page_records: int) -> AsyncIterator[_Page]:
    """The records of a range, decoded, in pages that touch: a row between two records lies in a page too."""
    await reader.seek(partition, start)
    chunks: list[Chunk] = []
    position = begin = start
    while position < stop:
        polled = await reader.poll(max_records=min(page_records, POLL_RECORDS), timeout_ms=POLL_MS, partitions=[partition])
        if not polled:
            await reader.bounds(partition)  # raises when the broker is gone: a poll alone would wait for ever
        chunks += polled
        position = min(polled[-1].stop, stop) if polled else position
        if position == stop or sum(map(len, chunks)) >= page_records or sum(size_of(chunk.values) for chunk in chunks) >= PAGE_BYTES:
            yield _page(partition, stream, chunks, begin, position)
            chunks, begin = [], position


def _page(partition: TopicPartition, stream: str, chunks: list[Chunk], start: int, stop: int) -> _Page:
    """Only the stream's own records are decoded: a topic of several is read once for each of them."""
    offsets = np.array(joined_numbers([chunk.offsets for chunk in chunks]), np.int64)
    inside = int(np.searchsorted(offsets, stop))
    values: ByteItems = joined_bytes([chunk.values for chunk in chunks])[:inside]
    offsets, strangers = offsets[:inside], 0
    streams = TOPICS[partition.topic].streams
    if len(streams) > 1:
        codes = stream_codes(partition.topic, values)
        places = np.flatnonzero(codes == streams.index(stream))
        values, offsets = ByteColumn.of(values).take(places), offsets[places]
        strangers = int(np.count_nonzero(codes == NO_STREAM)) if stream == streams[0] else 0
    decoded = codec(stream).decode(values)
    rows = arrow_table(table(stream), decoded.columns, partition=partition.partition, offsets=offsets[decoded.good])
    return _Page(start, stop, rows, len(decoded.bad) + strangers)


def as_inserted(target: Table, rows: pa.Table) -> pa.Table:
    """Rows as ClickHouse gives them, in the types that they were inserted with."""
    if not rows.num_columns:  # the embedded engine says nothing at all of a result without rows
        return arrow_table(target, {column.field: [] for column in target.columns}, partition=0, offsets=np.empty(0, np.int64))
    arrays = {"src_partition": rows["src_partition"].cast(pa.uint32()), "src_offset": rows["src_offset"].cast(pa.uint64())}
    for column in target.columns:
        arrays[column.name] = rows[column.name].cast(_type(column))
    return pa.table(arrays)


def _type(column: Column) -> pa.DataType:
    match column.kind:
        case Kind.TIME:
            return pa.timestamp("us", tz="UTC")
        case Kind.AMOUNT | Kind.AMOUNT_TEXT:
            return pa.decimal128(38, 0)
        case Kind.LONG:
            return pa.int64()
        case Kind.INT:
            return pa.int32()
        case Kind.ENUM:
            return pa.int8()
        case Kind.WORD | Kind.TEXT | Kind.HEX:
            return pa.string()
        case Kind.ROWS:
            return pa.list_(pa.struct([pa.field(inner.name, _type(inner)) for inner in column.inner]))


def _first_difference(place: Place, records: pa.Table, rows: pa.Table) -> Difference | None:
    """The difference with the lowest offset. Rows and records are sorted by offset; each record is there once."""
    expected, there = records["src_offset"].to_numpy(), rows["src_offset"].to_numpy()
    if np.array_equal(expected, there):
        return _changed(place, records, rows)
    lost, stray = np.setdiff1d(expected, there), np.setdiff1d(there, expected)
    once, counts = np.unique(there, return_counts=True)
    doubles = np.intersect1d(once[counts > 1], expected)
    offset, kind = min((int(found[0]), kind) for found, kind in ((lost, 0), (doubles, 1), (stray, 2)) if len(found))
    changed = _changed_before(place, records, rows, offset)
    if changed is not None:
        return changed
    if kind == 1:
        return _double(place, rows, offset)
    return Difference(Fault.LOST if kind == 0 else Fault.STRAY, *place, offset)


def _changed_before(place: Place, records: pa.Table, rows: pa.Table, offset: int) -> Difference | None:
    """A changed column before the first offset at which rows are lost, double or stray."""
    sides = (side.slice(0, int(np.searchsorted(side["src_offset"].to_numpy(), offset))) for side in (records, rows))
    return _changed(place, *sides)


def _changed(place: Place, records: pa.Table, rows: pa.Table) -> Difference | None:
    found: list[tuple[int, int, str, Any, Any]] = []
    for rank, name in enumerate(records.column_names):
        ours, theirs = records[name].combine_chunks(), rows[name].combine_chunks()
        if not ours.equals(theirs):
            at, record, row = next((at, a, b) for at, (a, b) in enumerate(zip(ours.to_pylist(), theirs.to_pylist(), strict=True)) if a != b)
            found.append((at, rank, name, record, row))
    if not found:
        return None
    at, _, name, record, row = min(found, key=lambda each: each[:2])
    return Difference(Fault.CHANGED, *place, records["src_offset"][at].as_py(), name, str(record), str(row))


def _double(place: Place, rows: pa.Table, offset: int) -> Difference:
    """Where the rows of one record differ: FINAL would have made them one if nothing of their key did."""
    at = int(np.searchsorted(rows["src_offset"].to_numpy(), offset))
    one, other = rows.slice(at, 2).to_pylist()
    for name in rows.column_names:
        if one[name] != other[name]:
            return Difference(Fault.DOUBLE, *place, offset, name, str(one[name]), str(other[name]))
    return Difference(Fault.DOUBLE, *place, offset)
