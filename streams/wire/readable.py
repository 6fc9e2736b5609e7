"""Rows as people read them: enum symbols for codes, bytes in hexadecimal, nested records likewise. For display only; nothing decides on these."""

from collections.abc import Mapping
from operator import index
from typing import Any

from streams.errors import BackstopError, UsageProblem
from streams.topics import STREAMS, TOPICS
from streams.wire.codec import codec
from streams.wire.framing import HEADER_BYTES, MARKER, fault
from streams.wire.kinds import stranger, stream_of
from streams.wire.schemas import Field, Kind, by_fingerprint, schema
from streams.wire.strict import read_partly


def readable(stream: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """A decoded row of a stream, ready for JSON."""
    return _record(schema(STREAMS[stream].schema).fields, row)


def read_value(stream: str, value: bytes | None) -> dict[str, Any]:
    """A record's value as people read it; one that cannot be decoded as its bytes and the reason."""
    try:
        return readable(stream, codec(stream).decode_row(value))
    except BackstopError as error:
        return {"undecodable": str(error), "bytes": None if value is None else value.hex()}


def read_far(topic: str, value: bytes | None) -> tuple[dict[str, Any], str]:
    """A record's value as far as it can be read, by the schema that its header names, else by the topic's first; and what is wrong with it."""
    stream = stream_of(topic, value)
    expected = schema(STREAMS[stream or TOPICS[topic].streams[0]].schema)
    why = stranger(topic, value) if stream is None else fault(value, expected)
    wrong = "" if why is None else why[1]
    if value is None or len(value) < HEADER_BYTES:
        return {}, wrong
    found = by_fingerprint(value[len(MARKER) : HEADER_BYTES]) or expected
    row, broken = read_partly(found.fields, value[HEADER_BYTES:])
    fields = tuple(field for field in found.fields if field.name in row)
    return _record(fields, row), wrong or broken


def from_readable(stream: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a record as `readable` shows it. Raises UsageProblem naming the field that does not fit."""
    fields = {field.name: field for field in schema(STREAMS[stream].schema).fields}
    if strangers := sorted(record.keys() - fields.keys()):
        raise UsageProblem(f"records of {stream} have no field {strangers[0]!r}; they have {', '.join(fields)}")
    return {name: _parsed(field, record.get(name)) for name, field in fields.items()}


def _parsed(field: Field, value: Any) -> Any:
    if value is None or value in ("", "null"):
        if field.nullable:
            return None
        raise UsageProblem(f"field {field.name} is missing")
    match field.kind:
        case Kind.ENUM:
            if value not in field.symbols:
                raise UsageProblem(f"{field.name} is one of {', '.join(field.symbols)}, not {value!r}")
            return field.symbols.index(value)
        case Kind.LONG | Kind.INT:
            return _whole(field, value)
        case Kind.STRING:
            return str(value)
        case _:
            raise UsageProblem(f"field {field.name} cannot be written this way")


def _whole(field: Field, value: Any) -> int:
    try:
        number = int(value) if isinstance(value, str) else index(value)
    except (TypeError, ValueError):
        raise UsageProblem(f"{field.name} is a whole number, not {value!r}") from None
    if not field.low <= number <= field.high:
        raise UsageProblem(f"{field.name} lies from {field.low} to {field.high}, not {number}")
    return number


def _record(fields: tuple[Field, ...], row: Mapping[str, Any]) -> dict[str, Any]:
    return {field.name: _value(field, row.get(field.name)) for field in fields}


def _value(field: Field, value: Any) -> Any:
    if value is None:
        return None
    match field.kind:
        case Kind.ENUM:
            code = int(value)
            return field.symbols[code] if 0 <= code < len(field.symbols) else code
        case Kind.BYTES | Kind.FIXED:
            return bytes(value).hex()
        case Kind.RECORD:
            return _record(field.fields, value)
        case Kind.ARRAY:
            return [_record(field.fields, item) for item in value]
        case Kind.STRING:
            return value
        case _:
            return int(value)
