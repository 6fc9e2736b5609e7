"""Many byte strings in one buffer: how keys, values and headers travel from a record batch of the log to the kernels and back.

An object for every record is what reading and writing a log cost in Python. Here a record is two numbers, where its bytes begin and how many they
are; bytes objects are made only where somebody asks for one.
"""

from array import array
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]

ABSENT: Final = -1  # the size that stands for no bytes at all, which is not the same as none


class ByteColumn(Sequence[bytes | None]):
    """Byte strings, or None, as a read-only sequence; a slice shares the buffer."""

    __slots__ = ("data", "sizes", "starts")

    def __init__(self, data: Bytes, starts: Ints, sizes: Ints) -> None:
        if data.flags.writeable:  # kernels are compiled for one kind of array only
            data = data.view()
            data.flags.writeable = False
        self.data = data
        self.starts = starts
        self.sizes = sizes

    @classmethod
    def of(cls, items: Sequence[bytes | None]) -> "ByteColumn":
        """The same items, in a buffer of their own unless they have one already."""
        if isinstance(items, ByteColumn):
            return items
        if None in items:
            sizes = np.array([ABSENT if item is None else len(item) for item in items], np.int64)
            data = b"".join(item for item in items if item is not None)
        else:
            present: Sequence[bytes] = items  # type: ignore[assignment]
            sizes = np.fromiter(map(len, present), np.int64, len(present))
            data = b"".join(present)
        return cls.packed(np.frombuffer(data, np.uint8), sizes)

    @classmethod
    def packed(cls, data: Bytes, sizes: Ints) -> "ByteColumn":
        """Items of these sizes one after the other."""
        taken = np.maximum(sizes, 0)
        return cls(data, np.cumsum(taken) - taken, sizes)

    @classmethod
    def repeated(cls, item: bytes, count: int) -> "ByteColumn":
        """One item many times, stored once."""
        return cls(np.frombuffer(item, np.uint8), np.zeros(count, np.int64), np.full(count, len(item), np.int64))

    @property
    def byte_count(self) -> int:
        """Bytes of all items together."""
        return int(np.maximum(self.sizes, 0).sum())

    def compact(self) -> "ByteColumn":
        """The same items, over no more of the buffer than they span: joining slices must not carry along what others of it hold."""
        starts, sizes = self.starts, self.sizes
        if (sizes < 0).any():  # where no bytes are, says nothing
            starts, sizes = starts[sizes >= 0], sizes[sizes >= 0]
        low = int(starts.min(initial=len(self.data)))
        high = int((starts + sizes).max(initial=low))
        return ByteColumn(self.data[low:high], self.starts - low, self.sizes)

    def take(self, places: Any) -> "ByteColumn":
        """The items at these places (indexes or a mask), out of the same buffer."""
        return ByteColumn(self.data, self.starts[places], self.sizes[places])

    def __len__(self) -> int:
        return len(self.sizes)

    @overload
    def __getitem__(self, place: int) -> bytes | None: ...
    @overload
    def __getitem__(self, place: slice) -> "ByteColumn": ...
    def __getitem__(self, place: int | slice) -> "bytes | ByteColumn | None":
        if isinstance(place, slice):
            return self.take(place)
        size = int(self.sizes[place])
        start = int(self.starts[place])
        return None if size < 0 else self.data[start : start + size].tobytes()

    def __iter__(self) -> Iterator[bytes | None]:
        view: Any = self.data.data
        for start, size in zip(self.starts.tolist(), self.sizes.tolist(), strict=True):
            yield None if size < 0 else bytes(view[start : start + size])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"ByteColumn({list(self)!r})"


ByteItems = list[bytes | None] | ByteColumn
Numbers: TypeAlias = "list[int] | array[int]"


def joined_bytes(parts: Sequence[ByteItems]) -> ByteItems:
    """Columns one after the other."""
    if len(parts) == 1:
        return parts[0]
    if not all(isinstance(part, ByteColumn) for part in parts):
        return [item for part in parts for item in part]
    columns = [part.compact() for part in parts if isinstance(part, ByteColumn)]
    shifts = np.cumsum([0, *(len(column.data) for column in columns[:-1])])
    return ByteColumn(
        np.concatenate([column.data for column in columns]),
        np.concatenate([column.starts + shift for column, shift in zip(columns, shifts.tolist(), strict=True)]),
        np.concatenate([column.sizes for column in columns]),
    )


def joined_numbers(parts: Sequence[Numbers]) -> Numbers:
    """Columns of whole numbers one after the other."""
    if len(parts) == 1:
        return parts[0]
    if not all(isinstance(part, array) for part in parts):
        return [number for part in parts for number in part]
    return array("q", b"".join(part.tobytes() for part in parts if isinstance(part, array)))


def numbers(values: Ints) -> "array[int]":
    """Whole numbers as a compact list: its items are Python's own ints, its buffer numpy's."""
    return array("q", values.tobytes())
