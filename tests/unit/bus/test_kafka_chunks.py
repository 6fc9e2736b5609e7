"""Reading by record batches gives what aiokafka's own loop gives record by record, for the same bytes from any position."""

import struct
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c

from streams.bus.contract import Chunk, TopicPartition
from streams.bus.kafka_chunks import Arrivals, Batches, PartitionBatches, share_out

F0, F1, F2 = (TopicPartition("fills", index) for index in range(3))
ABORT, COMMIT = struct.pack(">hh", 0, 0), struct.pack(">hh", 0, 1)
CONTROL_BIT = 0x20
ATTRIBUTES = struct.Struct(">h")
CRC = struct.Struct(">I")


def batch(base: int, deltas: Sequence[int], *, producer: int = -1, last: int | None = None, control: bytes | None = None) -> bytes:
    """A record batch at offset `base` with records at these offset deltas; `last` is the batch's own last delta where records behind are gone."""
    builder = DefaultRecordBatchBuilder(2, 0, int(producer >= 0), producer, 0, 0, 1 << 20)
    for delta in deltas:
        key = control if control is not None else b"k%d" % delta
        builder.append(delta, 1_000 + base + delta, key, b"v%d" % (base + delta), [("h", b"%d" % delta)] if delta % 2 else [])
    data = bytearray(builder.build())
    data[0:8] = struct.pack(">q", base)
    if control is not None:
        data[21:23] = ATTRIBUTES.pack(ATTRIBUTES.unpack(data[21:23])[0] | CONTROL_BIT)
    data[23:27] = struct.pack(">i", deltas[-1] if last is None else last)
    data[17:21] = CRC.pack(calc_crc32c(bytes(data[21:])))
    return bytes(data)


LOG = b"".join([
    batch(0, [0, 1, 2]),
    batch(3, [0, 2, 5], last=7),  # records removed inside and at the end
    batch(11, [0, 1], producer=7),  # aborted
    batch(13, [0, 1], producer=8),  # committed
    batch(15, [0], producer=7, control=ABORT),
    batch(16, [0], producer=8, control=COMMIT),
    batch(17, [0, 1, 2, 3], producer=7),  # the aborted producer's next, committed
    batch(21, [0], producer=7, control=COMMIT),
])  # fmt: skip
END = 22


def loop(kind: Any, start: int, data: bytes = LOG) -> Any:
    return kind(F0, (Batches if kind is PartitionBatches else MemoryRecords)(data), [(7, 11)], start, None, None, True, READ_COMMITTED)


def by_batches(start: int, counts: Sequence[int]) -> tuple[list[Chunk], int]:
    records = loop(PartitionBatches, start)
    arrivals = Arrivals(F0, start)
    arrivals.add(list(records), records.next_fetch_offset)
    return [arrivals.take(count) for count in counts], records.next_fetch_offset


@pytest.mark.parametrize("start", range(END))
@pytest.mark.parametrize("count", [1, 2, 3, 5, 100])
def test_aborted_batches_holes_and_starts_inside_a_batch_read_as_in_the_public_loop(start: int, count: int) -> None:
    public = loop(PartitionRecords, start)
    expected = [(r.offset, r.timestamp, r.key, r.value, r.headers) for r in public]
    chunks, position = by_batches(start, [count] * 20)
    read = [row for c in chunks for row in zip(c.offsets, c.timestamps_ms, c.keys, c.values, c.headers, strict=True)]
    assert read == expected
    assert position == public.next_fetch_offset == END
    assert chunks[0].start == start
    assert [c.start for c in chunks[1:]] == [c.stop for c in chunks[:-1]]
    assert chunks[-1].stop == END
    assert all(len(c) <= count for c in chunks)


def test_what_is_read_is_what_was_committed() -> None:
    (chunk,), _ = by_batches(0, [100])
    assert list(chunk.offsets) == [0, 1, 2, 3, 5, 8, 13, 14, 17, 18, 19, 20]


def test_a_damaged_batch_stops_the_reading() -> None:
    damaged = bytearray(LOG)
    damaged[-3] ^= 1
    with pytest.raises(CorruptRecordException):
        list(loop(PartitionBatches, 0, bytes(damaged)))


def test_a_long_partition_starves_none() -> None:
    arrivals = [Arrivals(partition, 0) for partition in (F0, F1, F2)]
    for one, size in zip(arrivals, (1_000, 2, 0), strict=True):
        records = PartitionRecords if size == 0 else PartitionBatches
        data = batch(0, range(size)) if size else b""
        made = records(F0, (Batches if size else MemoryRecords)(data), [], 0, None, None, True, READ_COMMITTED)
        one.add(list(made), made.next_fetch_offset)
    assert [(c.partition, len(c)) for c in share_out(arrivals, 10)] == [(0, 5), (1, 2)]
    assert [(c.partition, len(c)) for c in share_out(arrivals, 10)] == [(0, 10)]


def test_markers_behind_the_last_record_are_passed_with_it() -> None:
    arrivals = Arrivals(F0, 4)
    arrivals.add([], 9)
    assert not arrivals.is_empty
    (chunk,) = share_out([arrivals], 10)
    assert (chunk.start, chunk.stop, len(chunk)) == (4, 9, 0)
    assert arrivals.is_empty
