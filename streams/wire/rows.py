"""Records one by one through fastavro, held to the schema's exact bounds.

Reading proves itself: what was read, written again, must give back every byte, otherwise the strict reader decides.
"""

from collections.abc import Mapping
from io import BytesIO
from operator import index
from typing import Any

import fastavro

from streams.domain.events import NULL
from streams.errors import ImpossibleState
from streams.wire import strict
from streams.wire.framing import header
from streams.wire.schemas import Field, Kind, Schema, wire_form


class RowCodec:
    """Reads and writes single records of one schema."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._fields = schema.fields
        self._form = fastavro.parse_schema(wire_form(schema.fields))
        self._header = header(schema)

    def read(self, body: bytes) -> dict[str, Any]:
        """The datum (without header) as a dict. Raises Unreadable."""
        row = self._read_fast(body)
        if row is None:
            return strict.read(self._fields, body)
        strict.check(self._fields, row)
        return row

    def _read_fast(self, body: bytes) -> dict[str, Any] | None:
        stream, again = BytesIO(body), BytesIO()
        try:
            row: Any = fastavro.schemaless_reader(stream, self._form)
            fastavro.schemaless_writer(again, self._form, row)
        except Exception:  # whatever fastavro trips over, the strict reader says what is wrong
            return None
        # fastavro cuts numbers beyond 64 bits, takes union branch -1 for the last and leaves trailing bytes: none of it writes the same bytes.
        return row if again.getvalue() == body else None

    def write(self, row: Mapping[str, Any]) -> bytes:
        """The framed record. Raises ImpossibleState for a row that the schema cannot hold exactly: rows to be written are always our own."""
        stream = BytesIO()
        stream.write(self._header)
        try:
            # fastavro by itself would cut 1.9 to 1, write 2**40 as an `int` and drop a misspelt field.
            fastavro.schemaless_writer(stream, self._form, _exact(self._fields, row))
        except (ValueError, TypeError, AttributeError) as error:
            raise ImpossibleState(f"a row of {self._schema.name} cannot be written: {error}. Report it with the row: {dict(row)!r}") from error
        return stream.getvalue()


def _exact(fields: tuple[Field, ...], row: Mapping[str, Any]) -> dict[str, Any]:
    exact = {}
    for field in fields:
        value = row.get(field.name)
        plain = field.is_whole and type(value) is int and field.low <= value <= field.high  # nearly every value there is
        exact[field.name] = value if plain else _value(field, value)
    if not row.keys() <= exact.keys():
        raise ValueError(f"no such field: {', '.join(sorted(row.keys() - exact.keys()))}")
    return exact


def _value(field: Field, value: Any) -> Any:
    if value is None:
        if field.nullable:
            return None
        raise ValueError(f"{field.name} is missing")
    match field.kind:
        case Kind.LONG | Kind.INT | Kind.ENUM:
            return _whole(field, value)
        case Kind.STRING:
            fits = isinstance(value, str)
        case Kind.BYTES:
            fits = isinstance(value, bytes)
        case Kind.FIXED:
            fits = isinstance(value, bytes) and len(value) == field.size
        case Kind.RECORD:
            return _exact(field.fields, value)
        case Kind.ARRAY:
            return [_exact(field.fields, item) for item in value]
    if not fits:
        raise ValueError(f"{field.name} is {value!r}, not {field.kind.value} {field.size or ''}")
    return value


def _whole(field: Field, value: Any) -> int | None:
    number = int(index(value))  # index() refuses floats and text, int() drops the enum class
    if field.low <= number <= field.high:
        return number
    if number == NULL and field.nullable:
        return None
    raise ValueError(f"{field.name} is {number}, outside {field.low} to {field.high}")
