"""State of machines at low rate: tables of frozen rows whose digest is kept as they change, and that go to Arrow and back.

The digest of a machine is a sum of row hashes in two 64-bit lanes (docs/determinism.md): a sum does not depend on the order of rows,
and changing a row subtracts its old hash and adds its new one.
"""

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, Generic, Protocol, TypeVar

import msgspec
import pyarrow as pa

K = TypeVar("K")
V = TypeVar("V")
LANE = 1 << 64
Lanes = tuple[int, int]
_ENCODER = msgspec.json.Encoder(order="deterministic")


class Digested(Protocol):
    """A part of a machine's state."""

    @property
    def name(self) -> str:
        """Name of the table in a snapshot."""

    def lanes(self) -> Lanes:
        """Digest of the part, kept incrementally."""

    def to_arrow(self) -> pa.RecordBatch:
        """All rows."""

    def from_arrow(self, batch: pa.RecordBatch) -> None:
        """Replace all rows; digest recomputed in full."""


class StateTable(Generic[K, V]):
    """Rows by key. Rows are frozen dataclasses (ints, str, None, enums, tuples, nested dataclasses); to change one, set a new one."""

    def __init__(self, name: str, key_type: Any, row_type: Any) -> None:
        self._name, self._key_type, self._row_type = name, key_type, row_type
        self._rows: dict[K, V] = {}
        self._hashes: dict[K, Lanes] = {}
        self._dirty: dict[K, None] = {}
        self._lanes: Lanes = (0, 0)

    @property
    def name(self) -> str:
        """Name of the table in a snapshot."""
        return self._name

    def __getitem__(self, key: K) -> V:
        return self._rows[key]

    def get(self, key: K) -> V | None:
        """The row, or None."""
        return self._rows.get(key)

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[K]:
        """Keys in ascending order: nothing a machine says may depend on the order of arrival of keys."""
        return iter(sorted(self._rows))  # type: ignore[type-var]

    def items(self) -> Iterator[tuple[K, V]]:
        """(key, row) by ascending key."""
        return ((key, self._rows[key]) for key in self)

    def __setitem__(self, key: K, row: V) -> None:
        self._rows[key] = row
        self._dirty[key] = None

    def __delitem__(self, key: K) -> None:
        del self._rows[key]
        self._dirty[key] = None

    def pop(self, key: K) -> V | None:
        """Take the row out, if there is one."""
        row = self._rows.get(key)
        if row is not None:
            del self[key]
        return row

    def lanes(self) -> Lanes:
        """Digest of the table; costs what changed since the last call."""
        one, two = self._lanes
        for key in self._dirty:
            old = self._hashes.pop(key, (0, 0))
            new = (0, 0)
            if key in self._rows:
                new = self._hashes[key] = self._hash(key, self._rows[key])
            one, two = (one + new[0] - old[0]) % LANE, (two + new[1] - old[1]) % LANE
        self._dirty.clear()
        self._lanes = one, two
        return self._lanes

    def _hash(self, key: K, row: V) -> Lanes:
        content = self._name.encode() + b"\0" + _ENCODER.encode(key) + b"\0" + _ENCODER.encode(row)
        digest = blake2b(content, digest_size=16).digest()
        return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")

    def to_arrow(self) -> pa.RecordBatch:
        """All rows, keys and rows as canonical JSON."""
        keys = [_ENCODER.encode(key) for key in self]
        rows = [_ENCODER.encode(row) for _, row in self.items()]
        return pa.RecordBatch.from_arrays([pa.array(keys, pa.binary()), pa.array(rows, pa.binary())], names=["key", "row"])

    def from_arrow(self, batch: pa.RecordBatch) -> None:
        """Replace all rows."""
        key_type, row_type = self._key_type, self._row_type
        self.__init__(self._name, key_type, row_type)  # type: ignore[misc]
        for key, row in zip(batch.column("key").to_pylist(), batch.column("row").to_pylist(), strict=True):
            self[msgspec.json.decode(key, type=key_type)] = msgspec.json.decode(row, type=row_type)


def combine(parts: Iterable[Digested], scalars: Mapping[str, int]) -> bytes:
    """16-byte digest of a whole machine: the sum of its parts' lanes and of its scalars' hashes."""
    one = two = 0
    for part in parts:
        lanes = part.lanes()
        one, two = one + lanes[0], two + lanes[1]
    digest = blake2b(_ENCODER.encode(dict(scalars)), digest_size=16).digest()
    one, two = one + int.from_bytes(digest[:8], "little"), two + int.from_bytes(digest[8:], "little")
    return (one % LANE).to_bytes(8, "little") + (two % LANE).to_bytes(8, "little")


def scalars_to_arrow(scalars: Mapping[str, int]) -> pa.RecordBatch:
    """A machine's scalars as a snapshot table."""
    return pa.RecordBatch.from_arrays([pa.array(list(scalars), pa.string()), pa.array(list(scalars.values()), pa.int64())], names=["name", "value"])


def scalars_from_arrow(batch: pa.RecordBatch) -> dict[str, int]:
    """The scalars of a snapshot table."""
    return dict(zip(batch.column("name").to_pylist(), batch.column("value").to_pylist(), strict=True))
