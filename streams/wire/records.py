"""Rows -> records to be written: framed value, key by the stream's rule, timestamp from event time, partition always explicit."""

import struct
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.bus.columns import ABSENT, ByteColumn, numbers
from streams.bus.contract import Header, NewRecord, RecordBlock
from streams.domain.batch import Column, ColumnRows, Row
from streams.domain.events import NULL
from streams.errors import ImpossibleState
from streams.topics import STREAMS, TOPICS, Key
from streams.wire.codec import codec

ACCOUNT: Final = struct.Struct(">q")
SMALL: Final = struct.Struct(">i")  # instrument, pool, asset and shard are Avro `int`s
SOURCE_FIELD: Final = {"source": "source_topic"}
OTHER_ACCOUNT_FIELD: Final = {"notifications": "audience_account"}  # null: the operator, and then no key


def new_record(stream: str, row: Row, partition: int = 0, headers: tuple[Header, ...] = ()) -> NewRecord:
    """One record. Raises ImpossibleState for a row that the schema cannot hold."""
    return new_records(stream, [(partition, row)], headers)[0]


def new_records(stream: str, rows: Sequence[tuple[int, Row]], headers: tuple[Header, ...] = ()) -> list[NewRecord]:
    """Records of (partition, row) in the same order, encoded together."""
    values, topic = codec(stream).encode([row for _, row in rows]), STREAMS[stream].topic
    return [
        NewRecord(topic, partition, row["event_time_us"] // 1000, encode_key(stream, row), value, headers)
        for (partition, row), value in zip(rows, values, strict=True)
    ]


def new_blocks(stream: str, rows: ColumnRows, headers: tuple[Header, ...] = ()) -> list[RecordBlock]:
    """Rows given as columns, a block for each partition, by partition. The same bytes as `new_records` of the rows, and its errors."""
    times, topic = np.asarray(rows.columns["event_time_us"], np.int64) // 1000, STREAMS[stream].topic
    keys, values = encode_keys(stream, rows.columns), ByteColumn.of(codec(stream).encode_columns(rows.columns, len(times)))
    if isinstance(rows.partition, int):
        return [RecordBlock(topic, rows.partition, numbers(times), keys, values, headers)] if len(times) else []
    blocks = []
    for partition in np.unique(rows.partition).tolist():
        places = np.flatnonzero(rows.partition == partition)
        blocks.append(RecordBlock(topic, partition, numbers(times[places]), keys.take(places), values.take(places), headers))
    return blocks


def encode_keys(stream: str, columns: Mapping[str, Column]) -> ByteColumn:
    """`encode_key` of every row."""
    kind = STREAMS[stream].key
    column = columns[_key_field(stream, kind)]
    if kind == "source":
        return ByteColumn.of([str(value).encode("utf-8") for value in column])
    ids: NDArray[np.int64] = np.array([NULL if value is None else value for value in column] if isinstance(column, list) else column, np.int64)
    size, width = (ACCOUNT.size, ">i8") if kind == "account" else (SMALL.size, ">i4")
    sizes = np.where(ids == NULL, ABSENT, size) if kind == "account" else np.full(len(ids), size, np.int64)
    if kind != "account" and len(ids) and not -(2**31) <= ids.min() <= ids.max() < 2**31:
        raise ImpossibleState(f"a {kind} of {ids.min()} to {ids.max()} cannot be a key of {stream}. Report it with the step.")
    return ByteColumn(ids.astype(width).view(np.uint8), np.arange(len(ids)) * size, sizes)


def encode_key(stream: str, row: Row) -> bytes | None:
    """The record key: account 8 bytes, other ids 4 bytes, big-endian, signed; the source topic as text; None for a notification to the operator."""
    kind = STREAMS[stream].key
    value = row[_key_field(stream, kind)]
    try:
        match kind:
            case "source":
                return str(value).encode("utf-8")
            case "account":
                return None if value is None else ACCOUNT.pack(value)
            case _:
                return SMALL.pack(value)
    except struct.error as error:
        raise ImpossibleState(f"{kind} {value!r} cannot be a key of {stream}: {error}. Report it with the step.") from error


def account_of_key(topic: str, key: bytes | None) -> int | None:
    """The account a record of unreadable value belongs to; None where the key does not name one."""
    if key is None or len(key) != ACCOUNT.size or TOPICS[topic].key != "account":
        return None
    account: int = ACCOUNT.unpack(key)[0]
    return account


def _key_field(stream: str, kind: Key) -> str:
    if kind == "account":
        return OTHER_ACCOUNT_FIELD.get(stream, "account")
    return SOURCE_FIELD.get(kind, kind)
