"""Many flat records at once: framed bytes <-> int64 and text columns.

Records of whole numbers only are read and written by strict kernels of our own, all others through pyruhvro.
Reading through it proves itself: the columns, written again, must give back every byte, otherwise the caller takes the records one by one.
That catches trailing bytes (pyruhvro ignores them), numbers beyond 64 bits (it cuts them), and defects of pyruhvro itself.
"""

import json
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

import numpy as np
import pyarrow as pa
import pyruhvro
from numpy.typing import NDArray

from streams.bus.columns import ByteColumn
from streams.domain.batch import Column, Row
from streams.domain.events import NULL
from streams.errors import ImpossibleState
from streams.wire.framing import header
from streams.wire.kernels import read_whole, write_whole
from streams.wire.schemas import Field, Schema, wire_form

LONGEST: Final = 1 + 10  # bytes of a whole number: the branch of its union, and the varint


class BatchCodec:
    """Reads and writes batches of one flat schema."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._fields = schema.fields
        self._names = frozenset(field.name for field in schema.fields)
        self._header = header(schema)
        self._form = json.dumps(wire_form(schema.fields))
        self._arrow = pyruhvro.avro_to_arrow_schema(self._form)
        self._whole = tuple(field for field in schema.fields if field.is_whole)
        self._is_whole = len(self._whole) == len(self._fields)
        self._low, self._high = (np.array([[getattr(field, end)] for field in self._whole], np.int64) for end in ("low", "high"))
        self._bounds = np.hstack([self._low, self._high])
        self._head = np.frombuffer(self._header, np.uint8)
        self._nullable = np.array([field.nullable for field in self._whole], np.bool_)

    def read_framed(self, values: Sequence[bytes | None]) -> dict[str, Column] | None:
        """Columns of framed records, or None when any of them is in doubt, or has text."""
        if not self._is_whole:
            return None
        column = ByteColumn.of(values)
        matrix = np.empty((len(self._whole), len(column)), np.int64)
        if not read_whole(column.data, column.starts, column.sizes, self._head, self._nullable, self._bounds, matrix):
            return None
        return {field.name: row for field, row in zip(self._whole, matrix, strict=True)}

    def read(self, bodies: list[bytes]) -> dict[str, Column] | None:
        """Columns of the data (without headers), or None when any of them is in doubt."""
        try:
            batch = pyruhvro.deserialize_array(bodies, self._form)
            (again,) = pyruhvro.serialize_record_batch(batch, self._form, 1)
            texts = {field.name: batch[field.name].to_pylist() for field in self._fields if not field.is_whole}
        except Exception:  # it names no record (and leaves UTF-8 to Arrow); the caller finds the bad one
            return None
        # What pyruhvro writes is the shortest encoding, never longer than what it read; so if all bytes together agree, each record's do.
        if not _content(again).equals(pa.py_buffer(b"".join(bodies))):
            return None
        matrix = np.empty((len(self._whole), len(bodies)), np.int64)
        absent = np.zeros(len(self._whole), np.int64)
        for place, field in enumerate(self._whole):
            column = batch[field.name]
            absent[place] = column.null_count
            matrix[place] = (column.fill_null(NULL) if column.null_count else column).to_numpy()
        if not np.array_equal(self._outside(matrix), absent):
            return None
        numbers = iter(matrix)
        return {field.name: next(numbers) if field.is_whole else texts[field.name] for field in self._fields}

    def _outside(self, matrix: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many values of each column lie outside their bounds; absent ones do."""
        beyond: NDArray[np.int64] = np.count_nonzero((matrix < self._low) | (matrix > self._high), axis=1)
        return beyond

    def write(self, columns: Mapping[str, Column], count: int) -> list[bytes] | ByteColumn:
        """Framed records of `count` rows; a column left out is absent. Raises ImpossibleState for what the schema cannot hold exactly."""
        if not columns.keys() <= self._names:
            self._refuse(f"no such field: {', '.join(sorted(columns.keys() - self._names))}")
        matrix = np.empty((len(self._whole), count), np.int64)
        for place, field in enumerate(self._whole):
            matrix[place] = self._numbers(field, columns.get(field.name), count)
        absent = matrix == NULL
        allowed = np.where(self._nullable, np.count_nonzero(absent, axis=1), 0)
        beyond = self._outside(matrix) != allowed
        if beyond.any():
            field = self._whole[int(np.argmax(beyond))]
            self._refuse(f"{field.name} is missing somewhere, or outside {field.low} to {field.high}")
        if self._is_whole:
            return self._compiled(matrix)
        return self._framed([*self._arrays(columns, count, matrix, absent)])

    def _compiled(self, matrix: NDArray[np.int64]) -> ByteColumn:
        count = matrix.shape[1]
        out, sizes = np.empty(count * (len(self._head) + LONGEST * len(self._whole)), np.uint8), np.empty(count, np.int64)
        used = write_whole(matrix, self._head, self._nullable, out, sizes)
        return ByteColumn.packed(out[:used].copy(), sizes)

    def write_rows(self, rows: Sequence[Row]) -> list[bytes] | ByteColumn:
        """Framed records of rows. Raises ImpossibleState as `write` does."""
        for row in rows:
            if not row.keys() <= self._names:
                self._refuse(f"no such field: {', '.join(sorted(row.keys() - self._names))}")
        return self.write({field.name: [row.get(field.name) for row in rows] for field in self._fields}, len(rows))

    def _arrays(self, columns: Mapping[str, Column], count: int, matrix: NDArray[np.int64], absent: NDArray[np.bool_]) -> list[Any]:
        arrays: list[Any] = []
        place = 0
        for field in self._fields:
            if field.is_whole:
                arrays.append(pa.array(matrix[place], mask=absent[place]) if field.nullable else pa.array(matrix[place]))
                place += 1
            else:
                arrays.append(self._texts(field, columns.get(field.name), count))
        return arrays

    def _framed(self, arrays: list[Any]) -> list[bytes]:
        (data,) = pyruhvro.serialize_record_batch(pa.RecordBatch.from_arrays(arrays, schema=self._arrow), self._form, 1)
        return list(map(self._header.__add__, data.to_pylist()))

    def _numbers(self, field: Field, column: Column | None, count: int) -> Any:
        if column is None:
            return NULL
        self._sized(field, column, count)
        if isinstance(column, np.ndarray):
            if not np.can_cast(column.dtype, np.int64, "safe"):
                self._refuse(f"{field.name} is a column of {column.dtype}")
            return column
        try:
            # array() takes what is a whole number and nothing else; numpy would cut floats.
            return np.frombuffer(array("q", [NULL if value is None else value for value in column]), np.int64)
        except (TypeError, OverflowError) as error:
            self._refuse(f"{field.name}: {error}")

    def _texts(self, field: Field, column: Column | None, count: int) -> Any:
        texts: Any = [None] * count if column is None else column
        self._sized(field, texts, count)
        if not field.nullable and None in texts:
            self._refuse(f"{field.name} is missing somewhere")
        if not all(value is None or isinstance(value, str) for value in texts):
            self._refuse(f"{field.name} is not text everywhere")
        try:
            return pa.array(texts, pa.string())
        except UnicodeEncodeError as error:
            self._refuse(f"{field.name}: {error}")

    def _sized(self, field: Field, column: Column, count: int) -> None:
        if len(column) != count:
            self._refuse(f"{field.name} has {len(column)} values, not {count}")

    def _refuse(self, what: str) -> NoReturn:
        raise ImpossibleState(f"rows of {self._schema.name} cannot be written: {what}. Report it with the step.")


def _content(data: Any) -> Any:
    """All bytes of a freshly built binary array."""
    _, offsets, content = data.buffers()
    return content.slice(0, int(np.frombuffer(offsets, np.int32, len(data) + 1)[-1]))
