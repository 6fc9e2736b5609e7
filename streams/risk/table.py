"""Row tables and integer indexes for the hot path: contiguous int64 records that numba kernels and plain Python share.

A table's first `kept` fields are its state: they are hashed, snapshotted and restored. The fields after them are derived (links,
slots, flags of the screen) and recomputed on restore, so that a mark dirties no digest but its instrument's.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

import numba as nb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streams.domain.state import LANE, Lanes

ROWS: Final = 0  # places in `counts`
DIRTY: Final = 1
EMPTY: Final = -1
_START_CAPACITY: Final = 64
_AHEAD: Final = 32

Kernel = TypeVar("Kernel", bound=Callable[..., Any])
_OPTIONS: Final[dict[str, Any]] = {"cache": True, "nogil": True, "_nrt": False}


def kernel(function: Kernel) -> Kernel:
    """Compile a function that borrows its arrays from the caller and allocates none, so that numba need not count references.

    With some thirty arrays in `Tables` the counting made nine tenths of what a fill costs. What would allocate does not compile under this option.
    """
    compiled: Kernel = nb.njit(**_OPTIONS)(function)
    return compiled


class Table(NamedTuple):
    """What a kernel needs of a table: its rows, and which of them changed since the last digest."""

    rows: NDArray[Any]
    flag: NDArray[np.uint8]
    dirty: NDArray[np.int64]
    counts: NDArray[np.int64]


class Index(NamedTuple):
    """Open addressing from int64 keys (not negative) to row numbers; nothing is ever deleted."""

    keys: NDArray[np.int64]
    values: NDArray[np.int64]


@kernel
def touch(table: Table, row: int) -> None:
    """Note that a kept field of the row changed."""
    if table.flag[row] == 0:
        table.flag[row] = 1
        table.dirty[table.counts[DIRTY]] = row
        table.counts[DIRTY] += 1


@kernel
def touch_all(table: Table) -> None:
    """Note that every row changed."""
    for row in range(table.counts[ROWS]):
        touch(table, row)


@kernel
def _slot(keys: NDArray[np.int64], key: int) -> int:
    """Where the key is, or the free place where it goes. The mixing keeps every product below 2^62."""
    mask = len(keys) - 1
    low, high = key & 0x7FFFFFFF, key >> 31
    mixed = low * 0x1E3779B1 + high * 0x2545F491
    place = (mixed ^ (mixed >> 29)) & mask
    while keys[place] != EMPTY and keys[place] != key:
        place = (place + 1) & mask
    return place


@kernel
def find(index: Index, key: int) -> int:
    """Row number of the key, or EMPTY."""
    place = _slot(index.keys, key)
    return index.values[place] if index.keys[place] == key else EMPTY


@kernel
def put(index: Index, key: int, row: int) -> None:
    """Add a key that is not there yet."""
    place = _slot(index.keys, key)
    index.keys[place] = key
    index.values[place] = row


@kernel
def _rebuild(old: Index, new: Index) -> None:
    for place in range(len(old.keys)):
        if old.keys[place] != EMPTY:
            put(new, old.keys[place], old.values[place])


@kernel
def mix(state: np.uint64, word: np.uint64) -> np.uint64:
    """One round of a 64-bit mixer (multiply, shift, add; odd constants), modulo 2^64."""
    state = (state ^ word) * np.uint64(0x9E3779B97F4A7C15)
    state ^= state >> np.uint64(29)
    state = state * np.uint64(0xBF58476D1CE4E5B9)
    return state ^ (state >> np.uint64(32))


@kernel
def _fold(words: NDArray[np.uint64], kept: int, table: Table, hashes: NDArray[np.uint64], lanes: NDArray[np.uint64], salt: int) -> None:
    """Replace the hash of every dirty row in the first two lanes.

    The third only keeps the compiler from dropping reads: those of the next _AHEAD rows wait for memory all at once, not one after the other.
    """
    for n in range(table.counts[DIRTY]):
        if n % _AHEAD == 0:
            for later in range(n, min(n + _AHEAD, table.counts[DIRTY])):
                lanes[2] ^= words[table.dirty[later], 0] ^ words[table.dirty[later], kept - 1] ^ hashes[table.dirty[later], 0]
        row = table.dirty[n]
        table.flag[row] = 0
        one, two = np.uint64(salt), np.uint64(salt) ^ np.uint64(0xD1B54A32D192ED03)
        for field in range(kept):
            one, two = mix(one, words[row, field]), mix(two, words[row, field])
        lanes[0] += one - hashes[row, 0]
        lanes[1] += two - hashes[row, 1]
        hashes[row, 0], hashes[row, 1] = one, two
    table.counts[DIRTY] = 0


class RowTable:
    """A growing table of int64 records with an incremental digest."""

    def __init__(self, name: str, kept: tuple[str, ...], derived: tuple[str, ...], salt: int) -> None:
        self._name, self._kept, self._salt = name, kept, salt
        self._dtype = np.dtype([(field, np.int64) for field in (*kept, *derived)])
        self.t = Table(np.zeros(0, self._dtype), np.zeros(0, np.uint8), np.zeros(0, np.int64), np.zeros(2, np.int64))
        self._hashes = np.zeros((0, 2), np.uint64)
        self._lanes = np.zeros(3, np.uint64)
        self.reserve(_START_CAPACITY)

    @property
    def name(self) -> str:
        """Name of the table in a snapshot."""
        return self._name

    def __len__(self) -> int:
        return int(self.t.counts[ROWS])

    @property
    def rows(self) -> NDArray[Any]:
        """The rows in use."""
        return self.t.rows[: len(self)]

    def reserve(self, more: int) -> None:
        """Make room for `more` rows; kernels add rows but never grow a table."""
        need, capacity = len(self) + more, len(self.t.rows)
        if need <= capacity:
            return
        capacity = max(need, 2 * capacity)
        grown = [_grown(array, capacity) for array in (self.t.rows, self.t.flag, self.t.dirty, self._hashes)]
        self.t = Table(grown[0], grown[1], grown[2], self.t.counts)
        self._hashes = grown[3]

    def lanes(self) -> Lanes:
        """Digest of the kept fields of all rows; costs what changed since the last call."""
        if self.t.counts[DIRTY]:
            words = self.t.rows.view(np.uint64).reshape(len(self.t.rows), -1)
            with np.errstate(over="ignore"):
                _fold(words, len(self._kept), self.t, self._hashes, self._lanes, self._salt)
        return int(self._lanes[0]) % LANE, int(self._lanes[1]) % LANE

    def to_arrow(self) -> pa.RecordBatch:
        """The kept fields of all rows."""
        return pa.RecordBatch.from_arrays([pa.array(np.ascontiguousarray(self.rows[f])) for f in self._kept], names=list(self._kept))

    def from_arrow(self, batch: pa.RecordBatch) -> None:
        """Replace all rows; derived fields are zero, the digest is recomputed in full."""
        self.t = Table(np.zeros(0, self._dtype), np.zeros(0, np.uint8), np.zeros(0, np.int64), np.zeros(2, np.int64))
        self._hashes, self._lanes = np.zeros((0, 2), np.uint64), np.zeros(3, np.uint64)
        self.reserve(max(batch.num_rows, _START_CAPACITY))
        self.t.counts[ROWS] = batch.num_rows
        for field in self._kept:
            self.rows[field] = batch.column(field).to_numpy()
        touch_all(self.t)


class RowIndex:
    """A growing index; derived, never snapshotted."""

    def __init__(self) -> None:
        self.i = Index(np.full(2 * _START_CAPACITY, EMPTY, np.int64), np.zeros(2 * _START_CAPACITY, np.int64))
        self._keys = 0

    def reserve(self, total: int) -> None:
        """Keep the load under one half when `total` keys are in."""
        size = len(self.i.keys)
        if 2 * total <= size:
            return
        while size < 2 * total:
            size *= 2
        grown = Index(np.full(size, EMPTY, np.int64), np.zeros(size, np.int64))
        _rebuild(self.i, grown)
        self.i = grown

    def clear(self) -> None:
        """Forget everything."""
        self.__init__()  # type: ignore[misc]


def _grown(array: NDArray[Any], capacity: int) -> NDArray[Any]:
    grown = np.zeros((capacity, *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown
