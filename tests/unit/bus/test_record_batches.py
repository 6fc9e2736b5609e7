"""Compiled record batches against aiokafka's own reader and builder: the same records, the same bytes."""

import gzip
import struct
from collections.abc import Callable
from functools import partial

import numpy as np
import pyarrow as pa
import pytest
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.bus.columns import ByteColumn, joined_bytes, numbers
from streams.bus.contract import Header, TopicPartition
from streams.bus.kafka_chunks import chunk_of
from streams.bus.record_batches import HEAD, build_batches, read_batches, write_headers

Record = tuple[int, bytes | None, bytes | None, tuple[Header, ...]]
items = st.none() | st.binary(max_size=200)
headers = st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=90)), max_size=3).map(tuple)
times_ms = st.integers(-(2**40), 2**45).filter(lambda time_ms: time_ms != -1)  # to aiokafka's builder -1 is no time at all
records = st.lists(st.tuples(times_ms, items, items, headers), min_size=1, max_size=80)


def built_by_aiokafka(rows: list[Record]) -> bytes:
    builder = DefaultRecordBatchBuilder(2, 0, 1, 7, 3, 11, 1 << 20)
    for offset, (time, key, value, named) in enumerate(rows):
        builder.append(offset, time, key, value, list(named))
    return bytes(builder.build())


def built_by_us(rows: list[Record], batch_bytes: int = 1 << 20) -> list[bytes]:
    times, keys, values, named = (list(column) for column in zip(*rows, strict=True))
    wire = ByteColumn.of([write_headers(each) for each in named])
    batches = build_batches(np.array(times, np.int64), ByteColumn.of(keys), ByteColumn.of(values), wire, batch_bytes=batch_bytes)
    for batch in batches:
        batch._set_producer_state(7, 3, 11)
    return [bytes(batch._build()) for batch in batches]


def read_by_aiokafka(data: bytes) -> list[Record]:
    batch = DefaultRecordBatch(data)
    assert batch.validate_crc()
    return [(each.timestamp, each.key, each.value, tuple(each.headers)) for each in batch]


@given(records)
def test_a_built_batch_is_byte_for_byte_what_aiokafka_builds(rows: list[Record]) -> None:
    assert built_by_us(rows) == [built_by_aiokafka(rows)]


@given(records)
def test_a_batch_is_read_as_aiokafka_reads_it(rows: list[Record]) -> None:
    columns = read_batches([built_by_aiokafka(rows)])
    assert columns is not None
    assert list(zip(columns.timestamps_ms.tolist(), columns.keys, columns.values, columns.headers, strict=True)) == rows
    assert columns.offsets.tolist() == list(range(len(rows)))


@given(st.lists(records, min_size=2, max_size=5))
def test_batches_that_follow_each_other_are_read_together(several: list[list[Record]]) -> None:
    columns = read_batches([built_by_aiokafka(rows) for rows in several])
    assert columns is not None
    together = list(zip(columns.timestamps_ms.tolist(), columns.keys, columns.values, columns.headers, strict=True))
    assert together == [row for rows in several for row in rows]


@given(records, st.integers(1_500, 4_000))
def test_batches_hold_what_fits_and_lose_nothing(rows: list[Record], batch_bytes: int) -> None:
    batches = built_by_us(rows, batch_bytes)
    assert [row for batch in batches for row in read_by_aiokafka(batch)] == rows
    assert all(len(batch) <= batch_bytes for batch in batches)


@given(records, st.data())
def test_a_damaged_batch_is_left_to_aiokafka_or_read_alike(rows: list[Record], data: st.DataObject) -> None:
    raw = bytearray(built_by_aiokafka(rows))
    place = data.draw(st.integers(HEAD.size, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    columns = read_batches([bytes(raw)])
    if columns is None:
        return
    try:
        theirs = [(each.offset, each.timestamp, each.key, each.value) for each in DefaultRecordBatch(bytes(raw))]
    except UnicodeDecodeError:  # a header's name; ours goes on
        return
    assert list(zip(columns.offsets.tolist(), columns.timestamps_ms.tolist(), columns.keys, columns.values, strict=True)) == theirs


def packed(number: int, pack: Callable[[bytes], bytes], rows: list[Record]) -> bytes:
    """A batch as a producer of another codec sends it: the head says which, and what follows the head is packed."""
    plain = built_by_aiokafka(rows)
    raw = bytearray(plain[: HEAD.size] + pack(plain[HEAD.size :]))
    struct.pack_into(">i", raw, 8, len(raw) - 12)
    raw[22] |= number
    struct.pack_into(">I", raw, 17, calc_crc32c(bytes(raw[21:])))
    return bytes(raw)


def xerial(data: bytes) -> bytes:
    """As Java's producers write snappy: a header, then blocks of at most 32 KiB, each behind its size."""
    blocks = [pa.compress(data[at : at + 32_768], codec="snappy", asbytes=True) for at in range(0, len(data), 32_768)]
    return b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1) + b"".join(struct.pack(">i", len(block)) + block for block in blocks)


def streamed(codec: str, data: bytes) -> bytes:
    """In pieces, with no size said at the beginning."""
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, codec) as out:
        for at in range(0, len(data), 10_000):
            out.write(data[at : at + 10_000])
            out.flush()
    whole: bytes = sink.getvalue().to_pybytes()
    return whole


PACKERS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "gzip": (1, gzip.compress),
    "snappy in blocks, as Java's producers write it": (2, xerial),
    "snappy as one block, as librdkafka writes it": (2, partial(pa.compress, codec="snappy", asbytes=True)),
    "lz4 as one frame": (3, partial(pa.compress, codec="lz4", asbytes=True)),
    "lz4 written as a stream": (3, partial(streamed, "lz4")),
    "zstd of known size": (4, partial(pa.compress, codec="zstd", asbytes=True)),
    "zstd written as a stream": (4, partial(streamed, "zstd")),
}


@pytest.mark.parametrize("codec", PACKERS)
@given(rows=records)
@settings(max_examples=25)
def test_a_batch_is_read_alike_in_every_codec(codec: str, rows: list[Record]) -> None:
    long = (5, b"key", b"a long and dull value " * 5_000, ())
    columns = read_batches([built_by_aiokafka(rows), packed(*PACKERS[codec], [long, *rows])])
    assert columns is not None
    assert list(zip(columns.timestamps_ms.tolist(), columns.keys, columns.values, columns.headers, strict=True)) == [*rows, long, *rows]


@pytest.mark.parametrize("codec", PACKERS)
def test_what_cannot_be_unpacked_is_corrupt_and_the_batch_is_named(codec: str) -> None:
    number, pack = PACKERS[codec]
    raw = packed(number, lambda data: pack(data)[:-3], [(1_000, b"key", b"value" * 20, ())])
    with pytest.raises(CorruptRecordException, match=rf"offset 0 is no {codec.split(maxsplit=1)[0]}"):
        read_batches([raw])


def test_a_codec_that_nobody_knows_is_refused_by_its_number() -> None:
    with pytest.raises(UnsupportedCodecError, match="offset 0 is in codec 6"):
        read_batches([packed(6, bytes, [(1_000, b"key", b"value", ())])])


def test_the_brokers_own_time_counts_where_the_topic_says_so() -> None:
    raw = bytearray(built_by_aiokafka([(1_000, None, b"a", ()), (1_005, None, b"b", ())]))
    raw[22] |= 0x08
    columns = read_batches([bytes(raw)])
    assert columns is not None
    assert columns.timestamps_ms.tolist() == [1_005, 1_005]


@given(st.lists(st.lists(items, max_size=6), min_size=1, max_size=4), st.booleans())
def test_a_byte_column_is_the_list_it_was_made_of(parts: list[list[bytes | None]], as_columns: bool) -> None:
    whole = joined_bytes([ByteColumn.of(part) if as_columns else part for part in parts])
    plain = [item for part in parts for item in part]
    assert whole == plain
    assert len(whole) == len(plain)
    assert [whole[n] for n in range(len(plain))] == plain
    assert whole[1:3] == plain[1:3]
    assert ByteColumn.of(plain).byte_count == sum(len(item) for item in plain if item is not None)


def test_slices_that_are_joined_again_and_again_hold_no_more_than_their_own_bytes() -> None:
    left, none = ByteColumn.of([]), ByteColumn.of([None])
    for turn in range(50):
        whole = joined_bytes([left, none, ByteColumn.of([b"%03d" % turn] * 10)])
        assert isinstance(whole, ByteColumn)
        left = whole[-2:]  # what a reader of slices keeps
        assert len(whole.data) <= 12 * 3
        assert left == [b"%03d" % turn] * 2


def test_numbers_are_pythons_own() -> None:
    compact = numbers(np.array([3, -(2**63)], np.int64))
    assert [type(number) for number in compact] == [int, int]
    assert list(compact) == [3, -(2**63)]


@pytest.mark.parametrize("size", [0, 1, 127, 128, 70_000])
def test_headers_are_written_as_aiokafka_writes_them(size: int) -> None:
    named = (("turn", b"7"), ("x" * min(size, 300), b"v" * size))
    assert built_by_us([(1, b"k", b"v", named)], 1 << 20) == [built_by_aiokafka([(1, b"k", b"v", named)])]


def test_a_header_whose_value_is_null_has_none_however_the_batch_is_read() -> None:
    """Kafka allows it; nothing is decided by it, and nobody must fall over it."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, 7, 3, 11, 1 << 20)
    builder.append(0, 5, b"k", b"v", [("counts", None), ("turn", b"1")])
    data = bytes(builder.build())
    columns = read_batches([data])
    assert columns is not None
    assert columns.headers == [(("counts", b""), ("turn", b"1"))]
    chunk = chunk_of(TopicPartition("marks", 0), 0, 1, list(DefaultRecordBatch(data)))
    assert chunk.headers == columns.headers
