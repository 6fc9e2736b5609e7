"""Kafka's record batches (format v2), read and built as columns by compiled code: https://kafka.apache.org/documentation/#recordbatch.

Reading is strict: what is not exactly the format is left to aiokafka's own reader, which says what is wrong with it. Every codec of Kafka is read;
which one a batch is in says its producer, or the topic's `compression.type`. What is built here is never compressed.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from aiokafka.codec import gzip_decode, lz4_decode, snappy_decode, zstd_decode
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.util import calc_crc32c

from streams.bus.columns import ByteColumn, Bytes, Ints
from streams.bus.contract import Header
from streams.wire.kernels import kernel, read_varint, write_varint

# base offset, length, leader epoch, magic, CRC, attributes, last offset delta, base time, newest time, producer id and epoch, sequence, count
HEAD: Final = struct.Struct(">qiibIhiqqqhii")
CRC: Final = struct.Struct(">I")
LENGTH: Final = struct.Struct(">i")  # of what follows it
LENGTH_AT, LENGTH_FROM, CRC_AT, CRC_FROM = 8, 12, 17, 21
TRANSACTIONAL: Final = 0x10
ByteTriple = tuple[Bytes, Ints, Ints]  # a ByteColumn as kernels take it
# By the number that a batch names them with. Snappy comes in blocks under a header of its own (xerial) or as one block; lz4 and zstd as frames.
CODECS: Final[dict[int, tuple[str, Callable[[bytes], bytes]]]] = {
    1: ("gzip", gzip_decode),
    2: ("snappy", snappy_decode),
    3: ("lz4", lz4_decode),
    4: ("zstd", zstd_decode),
}
LOG_APPEND_TIME: Final = 0x08
_COMPRESSION: Final = 0x07
_OFFSET, _TIME, _KEY, _KEY_SIZE, _VALUE, _VALUE_SIZE, _HEADERS, _HEADERS_SIZE, _FIELDS = range(9)
_OVERHEAD: Final = 5 + 1 + 10 + 5 + 5 + 5  # of one record at most: length, attributes, time, offset, two sizes


@kernel
def _read_records(data: Bytes, batches: Ints, out: Ints) -> bool:
    """Fill `out` (_FIELDS x records) from batches (rows of: where its records begin and end, base offset, base time, count), one after the other.

    False where a batch is not exactly that many records.
    """
    n = 0
    for batch in range(len(batches)):
        at, end, base_offset, base_time, count = batches[batch]
        for _ in range(count):
            at = _read_record(data, at, end, base_offset, base_time, out[:, n])
            if at < 0:
                return False
            n += 1
        if at != end:
            return False
    return True


@kernel
def _read_record(data: Bytes, at: int, end: int, base_offset: int, base_time: int, out: Ints) -> int:
    """Fill `out` from the record at `at`; the place behind it, or -1."""
    length, at = read_varint(data, at, end)
    stop = at + length
    if at < 0 or length < 1 or stop > end or data[at] != 0:  # attributes: none are defined
        return -1
    delta, at = read_varint(data, at + 1, stop)
    if at < 0:
        return -1
    out[_TIME] = base_time + delta
    delta, at = read_varint(data, at, stop)
    if at < 0:
        return -1
    out[_OFFSET] = base_offset + delta
    for field in (_KEY, _VALUE):
        size, at = read_varint(data, at, stop)
        if at < 0 or size > stop - at:
            return -1
        out[field], out[field + 1] = at, max(size, -1)
        at += max(size, 0)
    out[_HEADERS], out[_HEADERS_SIZE] = at, stop - at
    return stop if _are_headers(data, at, stop) else -1


@kernel
def _are_headers(data: Bytes, at: int, stop: int) -> bool:
    """Whether [at, stop) is exactly a count and so many names and values."""
    count, at = read_varint(data, at, stop)
    if at < 0 or count < 0:
        return False
    for part in range(2 * count):
        size, at = read_varint(data, at, stop)
        if at < 0 or size > stop - at or (size < 0 and part % 2 == 0):
            return False
        at += max(size, 0)
    return at == stop


@kernel
def _all_alike(data: Bytes, starts: Ints, sizes: Ints) -> bool:
    """Whether every item is, byte for byte, the first."""
    for n in range(1, len(sizes)):
        if sizes[n] != sizes[0]:
            return False
        for place in range(sizes[0]):
            if data[starts[n] + place] != data[starts[0] + place]:
                return False
    return True


@dataclass(frozen=True, slots=True)
class Columns:
    """Records of one batch."""

    offsets: Ints
    timestamps_ms: Ints
    keys: ByteColumn
    values: ByteColumn
    headers: list[tuple[Header, ...]]

    def part(self, low: int, high: int) -> "Columns":
        """Records `low` to `high`."""
        return Columns(*(getattr(self, name)[low:high] for name in self.__slots__))


def record_count(raw: memoryview) -> int:
    """How many records a batch says it holds."""
    return int(HEAD.unpack_from(raw)[-1])


def is_dated_by_broker(raw: bytes | memoryview) -> bool:
    """Whether the timestamps of a batch are when the broker took it (LogAppendTime), not what was sent."""
    return bool(HEAD.unpack_from(raw)[5] & LOG_APPEND_TIME)


def _unpacked(raw: bytes | memoryview) -> bytes | memoryview:
    """The batch with its records uncompressed behind its head as it was.

    Raises CorruptRecordException where they cannot be unpacked, UnsupportedCodecError for a codec that Kafka did not have when this was written.
    """
    head = HEAD.unpack_from(raw)
    base_offset, number = head[0], head[5] & _COMPRESSION
    if not number:
        return raw
    if number not in CODECS:
        raise UnsupportedCodecError(f"the batch at offset {base_offset} is in codec {number}")
    name, unpack = CODECS[number]
    try:
        return bytes(raw[: HEAD.size]) + unpack(bytes(raw[HEAD.size :]))
    except Exception as error:  # each library has its own way to say that bytes are not what it packs
        raise CorruptRecordException(f"the batch at offset {base_offset} is no {name} ({type(error).__name__}: {error})") from error


def read_batches(batches_as_sent: Sequence[bytes | memoryview]) -> Columns | None:
    """The records of batches as they stand in the log, one after the other; None where one is not exactly the format.

    Raises what `_unpacked` raises.
    """
    raws = [_unpacked(raw) for raw in batches_as_sent]
    whole = raws[0] if len(raws) == 1 else b"".join(raws)
    batches, own_times, start, first = np.empty((len(raws), 5), np.int64), [], 0, 0
    for n, raw in enumerate(raws):
        base_offset, _, _, _, _, attributes, _, base_time, newest_time, *_, count = HEAD.unpack_from(raw)
        if count < 0:
            return None
        batches[n] = start + HEAD.size, start + len(raw), base_offset, base_time, count
        if attributes & LOG_APPEND_TIME:
            own_times.append((first, first + count, newest_time))
        start, first = start + len(raw), first + count
    data, out = np.frombuffer(whole, np.uint8), np.empty((_FIELDS, first), np.int64)
    if not _read_records(data, batches, out):
        return None
    for low, high, time_ms in own_times:
        out[_TIME, low:high] = time_ms
    columns = [ByteColumn(data, out[field], out[field + 1]) for field in (_KEY, _VALUE, _HEADERS)]
    return Columns(out[_OFFSET], out[_TIME], columns[0], columns[1], _read_headers(columns[2]))


def _read_headers(column: ByteColumn) -> list[tuple[Header, ...]]:
    if _all_alike(column.data, column.starts, column.sizes):
        return [_headers(item) for item in column[:1]] * len(column)
    known = {item: _headers(item) for item in set(column)}
    return [known[item] for item in column]


def _headers(item: bytes | None) -> tuple[Header, ...]:
    assert item is not None
    data = np.frombuffer(item, np.uint8)
    count, at = read_varint(data, 0, len(data))
    parts: list[bytes] = []
    for _ in range(2 * count):
        size, at = read_varint(data, at, len(data))
        parts.append(item[at : at + max(size, 0)])  # a value that is null is none: nothing is decided by it
        at += max(size, 0)
    # A name that is no UTF-8 must not stop a stream; nothing is decided by it.
    return tuple((str(name, "utf-8", "replace"), value) for name, value in zip(parts[::2], parts[1::2], strict=True))


@kernel
def _size_of(number: int) -> int:
    """Bytes of a zigzag varint."""
    raw, size = (number << 1) ^ (number >> 63), 1
    while raw & ~0x7F:
        raw = (raw >> 7) & 0x01FFFFFFFFFFFFFF
        size += 1
    return size


@kernel
def _item_size(size: int) -> int:
    """Bytes of a key or value of this size with its length."""
    return _size_of(size) + max(size, 0)


@kernel
def _write_records(times: Ints, keys: ByteTriple, values: ByteTriple, headers: ByteTriple, first: int, out: Bytes, newest: Ints) -> tuple[int, int]:
    """Write records from `first` on into `out` while they fit: (the first one left out, place behind the last); `newest[0]` takes the newest time.

    At least one is written: `out` must hold any single record.
    """
    at = 0
    newest[0] = times[first]
    for n in range(first, len(times)):
        delta, order = times[n] - times[first], n - first
        key_size, value_size, headers_size = keys[2][n], values[2][n], headers[2][n]
        length = (
            1 + _size_of(delta) + _size_of(order) + _size_of(key_size) + max(key_size, 0) + _size_of(value_size) + max(value_size, 0) + headers_size
        )
        if at + _size_of(length) + length > len(out):
            return n, at
        at = write_varint(out, at, length)
        out[at] = 0
        at = write_varint(out, at + 1, delta)
        at = write_varint(out, at, order)
        at = _write_bytes(out, write_varint(out, at, key_size), keys[0], keys[1][n], key_size)
        at = _write_bytes(out, write_varint(out, at, value_size), values[0], values[1][n], value_size)
        at = _write_bytes(out, at, headers[0], headers[1][n], headers_size)
        newest[0] = max(newest[0], times[n])
    return len(times), at


@kernel
def _write_bytes(out: Bytes, at: int, data: Bytes, start: int, size: int) -> int:
    """Copy an item; the place behind it."""
    for place in range(size):
        out[at + place] = data[start + place]
    return at + max(size, 0)


class BuiltBatch:
    """A record batch, complete but for who sends it; to aiokafka a batch builder that was closed when it was full."""

    def __init__(self, buffer: bytearray, count: int, times_ms: tuple[int, int]) -> None:
        self._buffer = buffer
        self._count = count
        self._times_ms = times_ms  # of the first record, and the newest
        self._is_sealed = False

    def append(self, **_record: Any) -> None:
        """None: it takes no more."""

    def close(self) -> None:
        """It is."""

    def closed(self) -> bool:
        """It is."""
        return True

    def size(self) -> int:
        """Bytes."""
        return len(self._buffer)

    def record_count(self) -> int:
        """Records."""
        return self._count

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        """Who sends it, and as which in order. Called before `_build`, anew for a try under another epoch."""
        state = (producer_id, producer_epoch, base_sequence)
        length = len(self._buffer) - LENGTH_FROM
        head = (0, length, -1, 2, 0, TRANSACTIONAL, self._count - 1, *self._times_ms, *state, self._count)
        HEAD.pack_into(self._buffer, 0, *head)
        CRC.pack_into(self._buffer, CRC_AT, calc_crc32c(memoryview(self._buffer)[CRC_FROM:]))
        self._is_sealed = True

    def _build(self) -> bytearray:
        assert self._is_sealed
        return self._buffer


def build_batches(times_ms: Ints, keys: ByteColumn, values: ByteColumn, headers: ByteColumn, *, batch_bytes: int) -> list[BuiltBatch]:
    """Batches of up to `batch_bytes` that hold these records in order, to be sent in a transaction; `headers` in wire form (`write_headers`)."""
    bound = keys.byte_count + values.byte_count + headers.byte_count + _OVERHEAD * len(times_ms)
    scratch = np.empty(min(bound, batch_bytes - HEAD.size), np.uint8)
    newest = np.empty(1, np.int64)
    its: Any = [(column.data, column.starts, column.sizes) for column in (keys, values, headers)]
    batches, first = [], 0
    while first < len(times_ms):
        after, size = _write_records(times_ms, its[0], its[1], its[2], first, scratch, newest)
        buffer = bytearray(HEAD.size + size)
        np.frombuffer(buffer, np.uint8)[HEAD.size :] = scratch[:size]
        batches.append(BuiltBatch(buffer, after - first, (int(times_ms[first]), int(newest[0]))))
        first = after
    return batches


def write_headers(headers: tuple[Header, ...]) -> bytes:
    """Headers of a record in wire form."""
    out = np.empty(10 + sum(20 + len(name.encode()) + len(value) for name, value in headers), np.uint8)
    at = write_varint(out, 0, len(headers))
    for part in (part for name, value in headers for part in (name.encode(), value)):
        at = write_varint(out, at, len(part))
        out[at : at + len(part)] = np.frombuffer(part, np.uint8)
        at += len(part)
    return out[:at].tobytes()
