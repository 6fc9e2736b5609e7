"""Reading Kafka by record batches: each batch of the log stays one object until its records are asked for, then becomes columns at once.

aiokafka makes an object of nine fields for every record; that, not the protocol, is what its reading costs. Here its own loop (checksums, control
batches, aborted transactions, next offset) runs over batches instead of records: two names of one of its functions are bound to classes of this
module, for one consumer, never for others in the process. That is private to aiokafka 0.14.0; with any other version readers take the public path.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import FunctionType, MethodType
from typing import Any, Final

import aiokafka
from aiokafka.consumer import fetcher

from streams.bus.contract import Chunk, TopicPartition

PINNED: Final = "0.14.0"
FULL_BATCHES: Final = 16  # of up to 1 MiB


class BatchOfRecords:
    """One record batch as aiokafka's loop met it, of which only records from `start` on are wanted."""

    __slots__ = ("_batch", "offset", "start")

    def __init__(self, batch: Any) -> None:
        self._batch = batch
        self.offset: int = batch.next_offset - 1  # the loop goes on behind it
        self.start = 0

    def columns(self) -> tuple[list[int], list[int], list[bytes | None], list[bytes | None], list[tuple[Any, ...]]]:
        """(offsets, timestamps, keys, values, headers) of the records from `start` on. Once only."""
        records = list(self._batch)
        if records and records[0].offset < self.start:
            records = [record for record in records if record.offset >= self.start]
        return (
            [record.offset for record in records],
            [record.timestamp for record in records],
            [record.key for record in records],
            [record.value for record in records],
            [tuple(headers) if (headers := record.headers) else () for record in records],
        )


class _Batch:
    """A record batch that iterates as one record; everything else is the batch's own."""

    __slots__ = ("_batch",)

    def __init__(self, batch: Any) -> None:
        self._batch = batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)  # the record of a control batch

    def __iter__(self) -> Iterator[BatchOfRecords]:
        return iter((BatchOfRecords(self._batch),))


class _Batches:
    """The record batches of a fetch."""

    __slots__ = ("_records", "has_next")

    def __init__(self, records: Any) -> None:
        self._records = records
        self.has_next = records.has_next

    def next_batch(self) -> _Batch:
        return _Batch(self._records.next_batch())


class _PartitionBatches(fetcher.PartitionRecords):  # type: ignore[misc]
    """aiokafka's loop over the records of a fetch, given batches."""

    def __init__(self, tp: Any, records: Any, *rest: Any) -> None:
        super().__init__(tp, _Batches(records), *rest)

    def _consumer_record(self, tp: Any, record: BatchOfRecords) -> BatchOfRecords:
        record.start = self.next_fetch_offset  # a position may lie inside a batch
        return record


def is_supported() -> bool:
    """Whether this aiokafka is the one whose private parts are known here."""
    return str(aiokafka.__version__) == PINNED


def read_batches(consumer: Any) -> None:
    """Let a started consumer without partitions return `BatchOfRecords` from `getmany`; its `max_records` then counts batches."""
    own: Callable[..., Any] = fetcher.Fetcher._proc_fetch_request
    assert isinstance(own, FunctionType)
    names = {**own.__globals__, "PartitionRecords": _PartitionBatches}
    changed = FunctionType(own.__code__, names, own.__name__, own.__defaults__, own.__closure__)
    consumer._fetcher._proc_fetch_request = MethodType(changed, consumer._fetcher)


class Arrivals:
    """Batches of one partition that were fetched and are not given out yet, and the position behind them."""

    __slots__ = ("_at", "_batches", "_columns", "_partition", "_start", "_stop")

    def __init__(self, partition: TopicPartition, position: int) -> None:
        self._partition = partition
        self.move(position)

    def move(self, position: int) -> None:
        """Forget what is here and go on at `position`."""
        self._start = self._stop = position
        self._batches: deque[BatchOfRecords] = deque()
        self._columns: tuple[list[Any], ...] | None = None  # of the batch being given out
        self._at = 0

    def add(self, batches: Iterable[BatchOfRecords], position: int) -> None:
        """What a fetch returned, and the consumer's position after it."""
        self._batches.extend(batches)
        self._stop = position

    @property
    def is_empty(self) -> bool:
        """Whether nothing is here to give out, not even markers passed."""
        return self._start == self._stop

    @property
    def is_full(self) -> bool:
        """Whether enough is here: a reader far behind must not fetch ahead of what is taken."""
        return len(self._batches) >= FULL_BATCHES

    @property
    def has_records(self) -> bool:
        """Whether batches are here: there need not be records in them."""
        return self._columns is not None or bool(self._batches)

    def take(self, count: int) -> Chunk:
        """The next records, at most `count`; with the last of them what was passed behind them."""
        chunk = Chunk(*self._partition, self._start, self._start)
        while len(chunk) < count and self.has_records:
            self._extend(chunk, count - len(chunk))
        # While records are left, go no further than the last one given out.
        chunk.stop = self._start = chunk.offsets[-1] + 1 if self.has_records else self._stop
        return chunk

    def _extend(self, chunk: Chunk, count: int) -> None:
        """Add records of one batch."""
        if self._columns is None:
            self._columns, self._at = self._batches.popleft().columns(), 0
        low, high = self._at, min(self._at + count, len(self._columns[0]))
        whole = low == 0 and high == len(self._columns[0])
        for name, column in zip(("offsets", "timestamps_ms", "keys", "values", "headers"), self._columns, strict=True):
            known = getattr(chunk, name)
            part = column if whole else column[low:high]
            if known:
                known += part
            else:
                setattr(chunk, name, part)
        self._at = high
        if high == len(self._columns[0]):
            self._columns = None


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
