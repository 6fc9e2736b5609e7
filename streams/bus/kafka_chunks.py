"""Reading Kafka by record batches: each batch of the log stays one object until its records are asked for, then becomes columns at once.

aiokafka makes an object of nine fields for every record; that, not the protocol, is what its reading costs. Here its own loop (checksums, control
batches, aborted transactions, next offset) runs over batches instead of records: two names of one of its functions are bound to classes of this
module, for one consumer, never for others in the process. That is private to aiokafka 0.14.0; with any other version readers take the public path.
Records that the broker has dated itself are read as they are: who reads them decides nothing by that. It is said in the log, once a partition.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import FunctionType, MethodType
from typing import Any, Final

import aiokafka
import numpy as np
import structlog
from aiokafka.consumer import fetcher
from aiokafka.record.memory_records import MemoryRecords

from streams.bus.columns import ByteColumn, joined_bytes, numbers
from streams.bus.contract import Chunk, Header, TopicPartition
from streams.bus.record_batches import LENGTH, LENGTH_AT, LENGTH_FROM, Columns, is_dated_by_broker, read_batches, record_count

log = structlog.get_logger()

PINNED: Final = "0.14.0"
FULL_BYTES: Final = 4 << 20  # of batches that wait, by partition


class BatchOfRecords:
    """One record batch as aiokafka's loop met it, of which only records from `start` on are wanted."""

    __slots__ = ("batch", "offset", "raw", "start")

    def __init__(self, batch: Any, raw: memoryview) -> None:
        self.batch = batch
        self.raw = raw
        self.offset: int = batch.next_offset - 1  # the loop goes on behind it
        self.start = 0


def _columns_of(batches: Sequence[BatchOfRecords]) -> Columns:
    """The records of batches that follow each other, from the first one's `start` on. Once only."""
    columns = read_batches([each.raw for each in batches]) or _joined([_by_record(each.batch) for each in batches])
    behind = int(np.searchsorted(columns.offsets, batches[0].start))
    return columns.part(behind, len(columns.offsets)) if behind else columns


def _by_record(batch: Any) -> Columns:
    """What aiokafka makes of a batch that is in doubt; it raises CorruptRecordException for one that is broken."""
    records = list(batch)
    return Columns(
        np.array([record.offset for record in records], np.int64),
        np.array([record.timestamp for record in records], np.int64),
        ByteColumn.of([record.key for record in records]),
        ByteColumn.of([record.value for record in records]),
        [_headers(record) for record in records],
    )


def _joined(parts: Sequence[Columns]) -> Columns:
    return Columns(
        np.concatenate([part.offsets for part in parts]),
        np.concatenate([part.timestamps_ms for part in parts]),
        ByteColumn.of(joined_bytes([part.keys for part in parts])),
        ByteColumn.of(joined_bytes([part.values for part in parts])),
        [headers for part in parts for headers in part.headers],
    )


class _Batch:
    """A record batch that iterates as one record; everything else is the batch's own."""

    __slots__ = ("_batch", "_raw")

    def __init__(self, batch: Any, raw: memoryview) -> None:
        self._batch = batch
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)  # the record of a control batch

    def __iter__(self) -> Iterator[BatchOfRecords]:
        return iter((BatchOfRecords(self._batch, self._raw),))


class Batches:
    """The record batches of a fetch, and where each stands in it."""

    __slots__ = ("_at", "_data", "_records", "has_next", "size_in_bytes")

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._at = 0
        self._records = MemoryRecords(data)
        self.has_next = self._records.has_next
        self.size_in_bytes = self._records.size_in_bytes

    def next_batch(self) -> _Batch:
        """The next one."""
        start, self._at = self._at, self._at + LENGTH_FROM + LENGTH.unpack_from(self._data, self._at + LENGTH_AT)[0]
        return _Batch(self._records.next_batch(), self._data[start : self._at])


class PartitionBatches(fetcher.PartitionRecords):  # type: ignore[misc]
    """aiokafka's loop over the records of a fetch, given batches."""

    def _consumer_record(self, tp: Any, record: BatchOfRecords) -> BatchOfRecords:
        record.start = self.next_fetch_offset  # a position may lie inside a batch
        return record


def is_supported() -> bool:
    """Whether this aiokafka is the one whose private parts are known here."""
    return str(aiokafka.__version__) == PINNED


def give_batches(consumer: Any) -> None:
    """Let a started consumer without partitions return `BatchOfRecords` from `getmany`; its `max_records` then counts batches."""
    own: Callable[..., Any] = fetcher.Fetcher._proc_fetch_request
    assert isinstance(own, FunctionType)
    names = {**own.__globals__, "MemoryRecords": Batches, "PartitionRecords": PartitionBatches}
    changed = FunctionType(own.__code__, names, own.__name__, own.__defaults__, own.__closure__)
    consumer._fetcher._proc_fetch_request = MethodType(changed, consumer._fetcher)


class Arrivals:
    """Batches of one partition that were fetched and are not given out yet, and the position behind them."""

    __slots__ = ("_at", "_batches", "_bytes", "_columns", "_partition", "_start", "_stop", "_told_of_dates")

    def __init__(self, partition: TopicPartition, position: int) -> None:
        self._partition = partition
        self._told_of_dates = False
        self.move(position)

    def move(self, position: int) -> None:
        """Forget what is here and go on at `position`."""
        self._start = self._stop = position
        self._batches: deque[BatchOfRecords] = deque()
        self._bytes = 0
        self._columns: Columns | None = None  # of the batch being given out
        self._at = 0

    def add(self, batches: Iterable[BatchOfRecords], position: int) -> None:
        """What a fetch returned, and the consumer's position after it."""
        for batch in batches:
            self._batches.append(batch)
            self._bytes += len(batch.raw)
            if not self._told_of_dates and is_dated_by_broker(batch.raw):
                self._told_of_dates = True
                tell_of_dates(self._partition, batch.start)
        self._stop = position

    @property
    def given_to(self) -> int:
        """The position behind what has been given out."""
        return self._start

    @property
    def is_empty(self) -> bool:
        """Whether nothing is here to give out, not even markers passed."""
        return self._start == self._stop

    @property
    def is_full(self) -> bool:
        """Whether enough is here: a reader far behind must not fetch ahead of what is taken."""
        return self._bytes >= FULL_BYTES

    @property
    def has_records(self) -> bool:
        """Whether batches are here: there need not be records in them."""
        return self._columns is not None or bool(self._batches)

    def take(self, count: int) -> Chunk:
        """The next records, at most `count`; with the last of them what was passed behind them."""
        parts, left = [], count
        while left and self.has_records:
            parts.append(self._next(left))
            left -= len(parts[-1].offsets)
        chunk = Chunk(*self._partition, self._start, self._start)
        if parts:
            whole = parts[0] if len(parts) == 1 else _joined(parts)
            chunk.offsets, chunk.timestamps_ms = numbers(whole.offsets), numbers(whole.timestamps_ms)
            chunk.keys, chunk.values, chunk.headers = whole.keys, whole.values, whole.headers
        # While records are left, go no further than the last one given out.
        chunk.stop = self._start = chunk.offsets[-1] + 1 if self.has_records else self._stop
        return chunk

    def _next(self, count: int) -> Columns:
        """Up to `count` records: what is left of batches read, or of as many batches as it takes."""
        if self._columns is None:
            self._columns, self._at = _columns_of(self._popped(count)), 0
        columns, low = self._columns, self._at
        self._at = min(low + count, len(columns.offsets))
        if self._at == len(columns.offsets):
            self._columns = None
        return columns if self._columns is None and low == 0 else columns.part(low, self._at)

    def _popped(self, count: int) -> list[BatchOfRecords]:
        popped: list[BatchOfRecords] = []
        while self._batches and count > 0:
            popped.append(self._batches.popleft())
            count -= record_count(popped[-1].raw)
            self._bytes -= len(popped[-1].raw)
        return popped


def share_out(arrivals: Sequence[Arrivals], count: int) -> list[Chunk]:
    """Up to `count` records of these partitions: equal shares first, so that a long one starves none, then what is left over in order."""
    chunks = []
    filled = [one for one in arrivals if not one.is_empty]
    for left, one in enumerate(filled):
        share = count // (len(filled) - left)
        if one.has_records and share == 0:
            continue
        chunk = one.take(share)
        count -= len(chunk)
        chunks.append(chunk)
    return chunks


def tell_of_dates(partition: TopicPartition, offset: int) -> None:
    """Say that a broker dates records itself: those of an output then differ from what their step wrote."""
    topic, number = partition
    log.warning("records_dated_by_broker", topic=topic, partition=number, offset=offset, setting="message.timestamp.type should be CreateTime")


def chunk_of(partition: TopicPartition, start: int, stop: int, records: Sequence[Any]) -> Chunk:
    """Records as aiokafka gives them one by one."""
    return Chunk(
        partition.topic,
        partition.partition,
        start,
        stop,
        [record.offset for record in records],
        [record.timestamp for record in records],
        [record.key for record in records],
        [record.value for record in records],
        [_headers(record) for record in records],
    )


def _headers(record: Any) -> tuple[Header, ...]:
    """As `record_batches` gives them: a value that is null is none."""
    return tuple((name, value or b"") for name, value in record.headers)
