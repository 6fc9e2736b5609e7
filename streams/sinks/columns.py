"""Decoded columns of a stream -> the Arrow table of its inserts: no row is touched one by one, except inside nested records.

Amounts become 128-bit decimals and enum codes 8-bit integers here, so that the server only copies.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streams.domain.batch import Column as Values
from streams.domain.events import NULL
from streams.sinks.tables import Column, Kind, Table

DECIMAL = pa.decimal128(38, 0)
# What DateTime64(6) can show: the first instant of 1900 and the last of 2299, in microseconds since the epoch.
TIME_FIRST_US = -2_208_988_800_000_000
TIME_LAST_US = 10_413_791_999_999_999


def arrow_table(table: Table, columns: Mapping[str, Values], *, partition: int, offsets: NDArray[np.int64]) -> pa.Table:
    """Rows to insert: source coordinates, then every column of the table; `columns` by field, as a codec decodes them."""
    arrays = {
        "src_partition": pa.array(np.full(len(offsets), partition, dtype=np.uint32)),
        "src_offset": pa.array(offsets.astype(np.uint64)),
    }
    for column in table.columns:
        arrays[column.name] = _array(column, columns[column.field])
    return pa.table(arrays)


def _array(column: Column, values: Values) -> pa.Array:
    match column.kind:
        case Kind.WORD | Kind.TEXT:
            return pa.array(values, pa.string())
        case Kind.HEX:
            return pa.array([None if value is None else value.hex() for value in values], pa.string())
        case Kind.AMOUNT_TEXT:
            return pa.array([Decimal(value) for value in values], DECIMAL)
        case Kind.ROWS:
            return _rows(column, values)
        case _:
            return _numbers(column, _int64(values))


def _numbers(column: Column, numbers: NDArray[np.int64]) -> pa.Array:
    absent = numbers == NULL if column.nullable else None
    match column.kind:
        case Kind.AMOUNT:
            return pa.array(numbers, mask=absent).cast(DECIMAL)
        case Kind.TIME:
            return pa.array(np.clip(numbers, TIME_FIRST_US, TIME_LAST_US)).view(pa.timestamp("us", tz="UTC"))
        case Kind.INT:
            return pa.array(numbers.astype(np.int32), mask=absent)
        case Kind.ENUM:
            return pa.array(numbers.astype(np.int8), mask=absent)
        case _:
            return pa.array(numbers, mask=absent)


def _rows(column: Column, values: Iterable[Any]) -> pa.Array:
    """Nested records, one list per row; an optional record is a list of none or one."""
    lists = [value if isinstance(value, list) else [] if value is None else [value] for value in values]
    flat = [item for items in lists for item in items]
    ends = np.cumsum([0, *(len(items) for items in lists)], dtype=np.int32)
    parts = [_array(inner, [item[inner.field] for item in flat]) for inner in column.inner]
    return pa.ListArray.from_arrays(pa.array(ends), pa.StructArray.from_arrays(parts, names=[inner.name for inner in column.inner]))


def _int64(values: Values) -> NDArray[np.int64]:
    if isinstance(values, np.ndarray):
        return values
    return np.array([NULL if value is None else value for value in values], dtype=np.int64)
