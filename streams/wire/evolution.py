"""How a record of another version of a schema becomes a row of ours, and which versions may stand beside each other at all.

Narrower than Avro's own rules. Reading allows a field the reader has a default for, fields it does not know, an `int` for its `long`, a value for
its nullable, and an enum that is longer or shorter at its end. Where that holds both ways, old and new workers may run side by side.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from streams.domain.batch import Column
from streams.domain.events import NULL
from streams.wire.schemas import Field, Kind, Schema

UNKNOWN_CODE = 0  # every enum begins with UNKNOWN, its default


class Resolution:
    """From columns or rows of the writer's schema to those of the reader's."""

    def __init__(self, writer: tuple[Field, ...], reader: tuple[Field, ...]) -> None:
        self._reader = reader
        theirs = {field.name: field for field in writer}
        self._pairs = [(field, theirs.get(field.name)) for field in reader]

    def columns(self, columns: Mapping[str, Column], count: int) -> dict[str, Column]:
        """Columns of `count` rows in the reader's fields."""
        return {field.name: _column(field, theirs, columns, count) for field, theirs in self._pairs}

    def row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """One row in the reader's fields."""
        return {field.name: field.default if theirs is None else _value(field, theirs, row[field.name]) for field, theirs in self._pairs}


def _column(field: Field, theirs: Field | None, columns: Mapping[str, Column], count: int) -> Column:
    if theirs is None:
        return np.full(count, NULL if field.default is None else field.default, np.int64) if field.is_whole else [field.default] * count
    column = columns[field.name]
    if field.kind is Kind.ENUM:
        codes = np.asarray(column)
        known = _codes(field, theirs)
        return np.where(codes == NULL, NULL, known[np.where(codes == NULL, 0, codes)])
    return column if field.is_whole else [_value(field, theirs, value) for value in column]


def _codes(field: Field, theirs: Field) -> Any:
    """The reader's code of each of the writer's symbols."""
    ours = {symbol: code for code, symbol in enumerate(field.symbols)}
    return np.array([ours.get(symbol, UNKNOWN_CODE) for symbol in theirs.symbols], np.int64)


def _value(field: Field, theirs: Field, value: Any) -> Any:
    if value is None:
        return None
    match field.kind:
        case Kind.ENUM:
            return int(_codes(field, theirs)[value])
        case Kind.RECORD:
            return Resolution(theirs.fields, field.fields).row(value)
        case Kind.ARRAY:
            inner = Resolution(theirs.fields, field.fields)
            return [inner.row(item) for item in value]
        case _:
            return value


def incompatible(reader: tuple[Field, ...], writer: tuple[Field, ...], path: str = "") -> list[str]:
    """Why records of the writer cannot be read with the reader's schema; empty when they can."""
    theirs = {field.name: field for field in writer}
    found = []
    for field in reader:
        name = path + field.name
        if field.name not in theirs:
            found += [] if field.has_default else [f"{name} is new and has no default"]
        else:
            found += _field(field, theirs[field.name], name)
    return found


def _field(ours: Field, theirs: Field, name: str) -> list[str]:
    if theirs.nullable and not ours.nullable:
        return [f"{name} may be null there"]
    if ours.kind is not theirs.kind:
        return [] if (ours.kind, theirs.kind) == (Kind.LONG, Kind.INT) else [f"{name} is {theirs.kind.value} there and {ours.kind.value} here"]
    match ours.kind:
        case Kind.ENUM:
            return _enum(ours, theirs, name)
        case Kind.FIXED:
            return [] if ours.size == theirs.size else [f"{name} has {theirs.size} bytes there and {ours.size} here"]
        case Kind.RECORD | Kind.ARRAY:
            return incompatible(ours.fields, theirs.fields, f"{name}.")
        case _:
            return []


def _enum(ours: Field, theirs: Field, name: str) -> list[str]:
    """One is the beginning of the other: codes stay what they were. What only the writer knows is UNKNOWN to the reader."""
    shorter = min(len(ours.symbols), len(theirs.symbols))
    if ours.symbols[:shorter] != theirs.symbols[:shorter]:
        return [f"the symbols of {name} are reordered or renamed"]
    if len(theirs.symbols) > len(ours.symbols) and ours.symbols[0] != "UNKNOWN":
        return [f"{name} has symbols there that have no meaning here, and no UNKNOWN for them"]
    return []


def reused(versions: Sequence[Schema]) -> list[str]:
    """Fields that were taken away and came back, oldest version first: an old record would be read as something else."""
    gone: set[str] = set()
    found, before = [], set[str]()
    for version in versions:
        now = {field.name for field in version.fields}
        found += [f"{name} was taken away before {version.name} and is used again" for name in sorted(now & gone)]
        gone |= before - now
        before = now
    return found
