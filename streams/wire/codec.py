"""Bytes of a stream <-> rows and columns. Decided here: which path a batch takes, and that no bytes whatever make reading raise.

Both paths give the same columns and the same bytes; only their speed differs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from streams.bus.columns import ByteColumn
from streams.domain.batch import Column, Row
from streams.domain.events import NULL, DeadLetterReason
from streams.errors import CheckFailed
from streams.topics import STREAMS
from streams.wire.batches import BatchCodec
from streams.wire.evolution import Resolution
from streams.wire.framing import HEADER_BYTES, bodies, fault, header
from streams.wire.rows import RowCodec
from streams.wire.schemas import Field, Schema, other_versions, schema
from streams.wire.strict import Unreadable

BATCH_FROM: Final = 16  # records from which the batch path is the faster one


@dataclass(slots=True)
class Decoded:
    """Columns of the readable records; `good` are their positions among the values; `bad` are the others: (position, reason, detail)."""

    columns: dict[str, Column]
    good: NDArray[np.int64]
    bad: list[tuple[int, DeadLetterReason, str]]


class Codec:
    """Reads and writes the records of one stream."""

    def __init__(self, stream: str, its_schema: Schema, versions: Sequence[Schema] = ()) -> None:
        self.stream = stream
        self.schema = its_schema
        self._header = header(its_schema)
        self._others = {header(version): (Codec(stream, version), Resolution(version.fields, its_schema.fields)) for version in versions}
        self._rows = RowCodec(its_schema)
        self._batches = BatchCodec(its_schema) if its_schema.is_flat else None

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """Read record values; never raises for what they hold."""
        bad: list[tuple[int, DeadLetterReason, str]] = []
        if self._batches is not None and len(values) >= BATCH_FROM and (columns := self._batches.read_framed(values)) is not None:
            return Decoded(columns, np.arange(len(values)), bad)
        good = list(range(len(values)))
        data = bodies(values, self._header)
        if data is None and self._others and any(value is not None and value[:HEADER_BYTES] in self._others for value in values):
            return self._decode_versions(values)
        if data is None:
            bad = [(at, *why) for at, value in enumerate(values) if (why := fault(value, self.schema))]
            strangers = {at for at, _, _ in bad}
            good = [at for at in good if at not in strangers]
            data = [value[HEADER_BYTES:] for value in map(values.__getitem__, good) if value is not None]
        if self._batches is not None and len(data) >= BATCH_FROM:
            columns = self._batches.read(data)
            if columns is not None:
                return Decoded(columns, np.array(good, np.int64), bad)
        return self._decode_rows(data, good, bad)

    def _decode_versions(self, values: Sequence[bytes | None]) -> Decoded:
        """Records of several versions, each version together, then in the order they came."""
        heads = [None if value is None else value[:HEADER_BYTES] for value in values]
        own = [at for at, head in enumerate(heads) if head not in self._others]
        decoded = self.decode([values[at] for at in own])
        parts = [(decoded.columns, np.array(own, np.int64)[decoded.good])]
        bad = [(own[at], reason, detail) for at, reason, detail in decoded.bad]
        for head, (other, resolution) in self._others.items():
            places = [at for at, found in enumerate(heads) if found == head]
            decoded = other.decode([values[at] for at in places])
            parts.append((resolution.columns(decoded.columns, len(decoded.good)), np.array(places, np.int64)[decoded.good]))
            bad += [(places[at], reason, detail) for at, reason, detail in decoded.bad]
        good = np.concatenate([part for _, part in parts])
        order = np.argsort(good)
        return Decoded(_interleaved(self.schema.fields, [columns for columns, _ in parts], order), good[order], sorted(bad))

    def _decode_rows(self, data: list[bytes], positions: list[int], bad: list[tuple[int, DeadLetterReason, str]]) -> Decoded:
        rows, good = [], []
        for position, body in zip(positions, data, strict=True):
            try:
                rows.append(self._rows.read(body))
            except Unreadable as refusal:
                bad.append((position, refusal.reason, refusal.detail))
            else:
                good.append(position)
        return Decoded(columns_of(self.schema.fields, rows), np.array(good, np.int64), sorted(bad))

    def decode_row(self, value: bytes | None) -> dict[str, Any]:
        """Read one record as a dict, enums as codes, absent values as None. Raises CheckFailed when it cannot be read."""
        why = fault(value, self.schema)
        if why is not None and value is not None and value[:HEADER_BYTES] in self._others:
            other, resolution = self._others[value[:HEADER_BYTES]]
            return resolution.row(other.decode_row(value))
        if why is None and value is not None:
            try:
                return self._rows.read(value[HEADER_BYTES:])
            except Unreadable as refusal:
                why = refusal.reason, refusal.detail
        reason, detail = why or (DeadLetterReason.UNDECODABLE, "no value")
        raise CheckFailed(
            f"a record of {self.stream} cannot be read: {reason.name}: {detail}. Find out who wrote it; it is not a version of this schema."
        )

    def encode(self, rows: Sequence[Row]) -> list[bytes]:
        """Framed record values. Raises ImpossibleState for a row that the schema cannot hold exactly: rows to be written are always our own."""
        if self._batches is not None and len(rows) >= BATCH_FROM:
            return [*self._batches.write_rows(rows)]
        return [self._rows.write(row) for row in rows]

    def encode_columns(self, columns: Mapping[str, Column], count: int) -> list[bytes] | ByteColumn:
        """Framed record values of `count` rows given as columns, NULL where absent; the same bytes as `encode` of the rows, and its errors."""
        if self._batches is not None:
            return self._batches.write(columns, count)
        return self.encode([{name: column[at] for name, column in columns.items()} for at in range(count)])


@cache
def codec(stream: str) -> Codec:
    """The codec of a stream of `topics.STREAMS`."""
    name = STREAMS[stream].schema
    return Codec(stream, schema(name), other_versions(name))


def _interleaved(fields: tuple[Field, ...], parts: Sequence[Mapping[str, Column]], order: NDArray[np.int64]) -> dict[str, Column]:
    """Columns of parts one after the other, brought into an order."""
    whole: dict[str, Column] = {}
    for field in fields:
        if field.is_whole:
            whole[field.name] = np.concatenate([np.asarray(part[field.name], np.int64) for part in parts])[order]
        else:
            values = [value for part in parts for value in part[field.name]]
            whole[field.name] = [values[at] for at in order.tolist()]
    return whole


def columns_of(fields: tuple[Field, ...], rows: Sequence[Row]) -> dict[str, Column]:
    """Rows as columns: int64 with NULL where absent, lists for everything else."""
    whole = [field.name for field in fields if field.is_whole]
    numbers = [NULL if (value := row[name]) is None else value for name in whole for row in rows]
    matrix = dict(zip(whole, np.array(numbers, np.int64).reshape(len(whole), len(rows)), strict=True))
    return {field.name: matrix[field.name] if field.is_whole else [row[field.name] for row in rows] for field in fields}
