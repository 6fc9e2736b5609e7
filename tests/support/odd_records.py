"""Records as no producer should write them: a recorded log of which some records have odd values, odd bytes, odd places, or come twice or never."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from streams.bus.contract import NewRecord, TopicPartition
from streams.topics import STREAMS
from streams.wire.codec import codec
from streams.wire.kinds import stream_of
from streams.wire.schemas import Field, Kind, schema, schemas

Log = dict[TopicPartition, list[NewRecord]]

EDGES = tuple(sorted({sign * (2**power + more) for power in (0, 20, 31, 52, 53, 60, 62) for more in (-1, 0, 1) for sign in (1, -1)}))
NUMBERS = (*EDGES, 2**63 - 1, -(2**63) + 1, -(2**63), 10, 1_000, 5, 7)
TEXTS = ("", "0", "-1", "1" * 40, "x", "é", "\0", "1e3", " 7", "٣")
STAMPS_MS = (0, -1, 1, 2**31, 2**53, 2**62, -(2**62))
KEYS = (None, b"", b"\0", b"\0" * 8, b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"k" * 9)


class Odd:
    """Makes records odd, by a seed. `rate`: of how many records of a log something is."""

    def __init__(self, seed: int, rate: float) -> None:
        self._draw = random.Random(seed)
        self._rate = rate

    def log(self, log: Mapping[TopicPartition, Sequence[NewRecord]]) -> Log:
        """The log with odd records in it, partition by partition."""
        return {partition: self._partition(list(records)) for partition, records in log.items()}

    def _partition(self, records: list[NewRecord]) -> list[NewRecord]:
        """The first marks stay as they are: nothing bears witness to them yet, so what comes of odd ones depends on the step that has them."""
        sound = 2 if records and records[0].topic == "marks" else 0
        draw, made = self._draw, records[:sound]
        for record in records[sound:]:
            if draw.random() >= self._rate:
                made.append(record)
                continue
            match draw.randrange(6):
                case 0:
                    pass  # it never comes
                case 1:
                    made += [record, record]
                case 2 if made:
                    made.insert(draw.randrange(min(sound, len(made)), len(made) + 1), record)
                case 3:
                    made.append(self._bytes(record))
                case _:
                    made.append(self._values(record))
        return made

    def _values(self, record: NewRecord) -> NewRecord:
        """One or two of its values are odd, or it stands under an odd key or time."""
        draw, stream = self._draw, stream_of(record.topic, record.value)
        if stream is None:
            return record
        if draw.random() < 0.1:
            return NewRecord(record.topic, record.partition, draw.choice(STAMPS_MS), draw.choice(KEYS), record.value)
        fields, row = schema(STREAMS[stream].schema).fields, codec(stream).decode_row(record.value)
        assert record.value is not None
        for _ in range(draw.randrange(1, 3)):
            self._spoil(draw.choice(fields), row)
        return NewRecord(record.topic, record.partition, record.timestamp_ms, record.key, record.value[:10] + encode(fields, row))

    def _spoil(self, field: Field, row: dict[str, Any]) -> None:
        draw, known = self._draw, row[field.name]
        if field.nullable and draw.random() < 0.3:
            row[field.name] = None
        elif field.kind in (Kind.LONG, Kind.INT):
            near = [] if known is None else [known + 1, known - 1, -known, known * 2, known * 1_000]
            row[field.name] = draw.choice([*NUMBERS, *(each for each in near if -(2**63) <= each < 2**63)])
        elif field.kind is Kind.ENUM:
            row[field.name] = draw.choice([*range(len(field.symbols)), *range(len(field.symbols)), -1, 2**40])
        elif field.kind is Kind.STRING:
            row[field.name] = draw.choice(TEXTS)
        elif field.kind is Kind.RECORD and known is not None:
            self._spoil(draw.choice(field.fields), known)
        elif field.kind is Kind.ARRAY and known:
            match draw.randrange(4):
                case 0:
                    row[field.name] = []
                case 1:
                    known.append(dict(known[0]))
                case 2:
                    known.reverse()
                case _:
                    self._spoil(draw.choice(field.fields), draw.choice(known))

    def _bytes(self, record: NewRecord) -> NewRecord:
        draw, value = self._draw, record.value or b""
        at, other = draw.randrange(len(value) + 1), schemas()[draw.choice([*schemas()])].fingerprint
        changed = (
            None,
            b"",
            value[:at],
            value + bytes([draw.randrange(256)]),
            value[:at] + draw.randbytes(1) + value[at + 1 :],
            value[:2] + other + value[10:],
            value[:2] + draw.randbytes(8) + value[10:],
            draw.randbytes(draw.randrange(64)),
        )
        key = record.key if draw.random() < 0.7 else draw.choice(KEYS)
        return NewRecord(record.topic, record.partition, draw.choice((record.timestamp_ms, *STAMPS_MS)), key, draw.choice(changed))


def encode(fields: Sequence[Field], row: Mapping[str, Any]) -> bytes:
    """A datum in Avro, whatever its numbers: also such as the schema does not allow."""
    return b"".join(_encode(field, row[field.name]) for field in fields)


def _encode(field: Field, value: Any) -> bytes:
    if field.nullable:
        if value is None:
            return _long(0)
        return _long(1) + _present(field, value)
    return _present(field, value)


def _present(field: Field, value: Any) -> bytes:
    match field.kind:
        case Kind.LONG | Kind.INT | Kind.ENUM:
            return _long(value)
        case Kind.STRING:
            return _long(len(str(value).encode())) + str(value).encode()
        case Kind.BYTES:
            return _long(len(value)) + bytes(value)
        case Kind.FIXED:
            return bytes(value)
        case Kind.RECORD:
            return encode(field.fields, value)
        case Kind.ARRAY:
            block = [_long(len(value)), *(encode(field.fields, item) for item in value)] if value else []
            return b"".join([*block, _long(0)])


def _long(number: int) -> bytes:
    left, out = ((number << 1) ^ (number >> 63)) & (2**64 - 1), bytearray()
    while left >= 0x80:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*out, left])
