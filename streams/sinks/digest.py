"""An exact digest of rows that does not depend on how they were cut into pages: every leaf of every column is hashed by itself, in row order.

Hashed are which values are there, how long lists and texts are, and the values; what an absent value's memory holds is not.
"""

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


class ColumnDigests:
    """SHA-256 of the rows added so far."""

    def __init__(self) -> None:
        self._leaves: dict[str, Any] = {}

    def add(self, rows: pa.Table) -> None:
        """Rows that follow those added before; always of the same columns."""
        for name in rows.column_names:
            column = rows[name].combine_chunks()
            self._add(name, column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column)

    def hex(self) -> str:
        """The digest, as hexadecimal digits."""
        whole = hashlib.sha256()
        for name, leaf in sorted(self._leaves.items()):
            whole.update(f"{name} {leaf.hexdigest()}\n".encode())
        return whole.hexdigest()

    def _add(self, name: str, column: Any) -> None:
        if pa.types.is_list(column.type):
            self._hash(f"{name} count", pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False))
            self._add(f"{name}[]", column.flatten())
            return
        if pa.types.is_struct(column.type):
            for place in range(column.type.num_fields):
                self._add(f"{name}.{column.type.field(place).name}", column.field(place) if not column.offset else column.flatten()[place])
            return
        self._hash(f"{name} there", column.is_valid().to_numpy(zero_copy_only=False))
        if pa.types.is_string(column.type):
            texts = column.fill_null("")
            self._hash(f"{name} length", pc.binary_length(texts).to_numpy(zero_copy_only=False))
            ends = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
            data = texts.buffers()[2]
            if data is not None and len(ends):
                self._leaf(name).update(memoryview(data)[int(ends[0]) : int(ends[-1])])
            return
        plain = column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
        filled = plain.fill_null(pa.scalar(0, plain.type))
        width = filled.type.bit_width // 8
        data = filled.buffers()[1]
        if data is not None:
            self._leaf(name).update(memoryview(data)[filled.offset * width : (filled.offset + len(filled)) * width])

    def _hash(self, name: str, values: Any) -> None:
        self._leaf(name).update(np.ascontiguousarray(values).tobytes())

    def _leaf(self, name: str) -> Any:
        return self._leaves.setdefault(name, hashlib.sha256())
