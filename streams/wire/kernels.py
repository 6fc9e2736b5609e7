"""The compiled half of the wire: whole records straight into int64 columns, and the layout that record digests are taken over.

Reading is strict: it accepts exactly what the schema allows in its shortest encoding, and everything else is left to the paths that say why.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import numba as nb
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]

_NULL: Final = -(2**63)
_ABSENT: Final = 0xFFFFFFFF
_LOW_63: Final = 0x7FFFFFFFFFFFFFFF
_LOW_57: Final = 0x01FFFFFFFFFFFFFF
_VARINT_BYTES: Final = 10
_NUMBER_BYTES: Final = 8
NO_HEAD: Final = -1

Kernel = TypeVar("Kernel", bound=Callable[..., Any])
_OPTIONS: Final[dict[str, Any]] = {"cache": True, "nogil": True, "_nrt": False}


def kernel(function: Kernel) -> Kernel:
    """Compile a function that borrows its arrays from the caller and allocates none, so that numba need not count references."""
    compiled: Kernel = nb.njit(**_OPTIONS)(function)
    return compiled


@kernel
def read_varint(data: Bytes, at: int, stop: int) -> tuple[int, int]:
    """(zigzag number in its shortest encoding, place behind it); the place is -1 when there is none before `stop`."""
    if at >= stop:
        return 0, -1
    byte = int(data[at])
    raw, shift = byte & 0x7F, 7
    at += 1
    while byte & 0x80:
        if at >= stop or shift == 7 * _VARINT_BYTES:
            return 0, -1
        byte = int(data[at])
        raw |= (byte & 0x7F) << shift
        shift += 7
        at += 1
    if shift > 7 and (byte == 0 or (shift == 7 * _VARINT_BYTES and byte > 1)):
        return 0, -1  # a shorter encoding exists, or it needs more than 64 bits
    return ((raw >> 1) & _LOW_63) ^ -(raw & 1), at


@kernel
def write_varint(out: Bytes, at: int, number: int) -> int:
    """Write a zigzag number in its shortest encoding; the place behind it."""
    raw = (number << 1) ^ (number >> 63)
    while raw & ~0x7F:
        out[at] = (raw & 0x7F) | 0x80
        raw = (raw >> 7) & _LOW_57
        at += 1
    out[at] = raw
    return at + 1


@kernel
def read_fields(data: Bytes, at: int, stop: int, nullable: NDArray[np.bool_], bounds: Ints, out: Ints) -> bool:
    """Whether [at, stop) is exactly one record; `out` takes its fields."""
    for field in range(len(nullable)):
        if nullable[field]:
            branch, at = read_varint(data, at, stop)
            if at < 0 or not 0 <= branch <= 1:
                return False
            if branch == 0:
                out[field] = _NULL
                continue
        value, at = read_varint(data, at, stop)
        if at < 0 or value < bounds[field, 0] or value > bounds[field, 1]:
            return False
        out[field] = value
    return at == stop


@kernel
def read_whole(data: Bytes, starts: Ints, sizes: Ints, head: Bytes, nullable: NDArray[np.bool_], bounds: Ints, out: Ints) -> bool:
    """Fill `out` (fields x records) from records of these bounds, each beginning with `head`; `bounds` holds (low, high) by field.

    False when any record is not exactly that: absent, another header, too long an encoding, a value out of bounds, bytes missing or left over.
    """
    for record in range(len(starts)):
        at, stop = starts[record], starts[record] + sizes[record]
        if stop < at + len(head):
            return False
        for place in range(len(head)):
            if data[at + place] != head[place]:
                return False
        if not read_fields(data, at + len(head), stop, nullable, bounds, out[:, record]):
            return False
    return True


@kernel
def match_heads(data: Bytes, starts: Ints, sizes: Ints, heads: Bytes, out: Ints) -> None:
    """Which row of `heads` every record begins with, into `out`; NO_HEAD where it is none of them. Neighbours mostly have the same one."""
    count, width = heads.shape
    likely = 0
    for record in range(len(starts)):
        out[record] = NO_HEAD
        if sizes[record] < width:
            continue
        for turn in range(count):
            head = likely + turn if likely + turn < count else likely + turn - count
            is_same = True
            for place in range(width - 1, -1, -1):  # the first two bytes are the same in all
                if data[starts[record] + place] != heads[head, place]:
                    is_same = False
                    break
            if is_same:
                out[record] = likely = head
                break


@kernel
def read_place(data: Bytes, starts: Ints, sizes: Ints, head: Bytes, nullable: NDArray[np.bool_], out: Ints, met: NDArray[np.bool_]) -> None:
    """The number behind the fields of `nullable`, of every record that begins with `head`, into `out`; `met` marks them.

    Nothing else of a record is looked at. `out` is left as it is where the number cannot be read.
    """
    for record in range(len(starts)):
        at, stop = starts[record], starts[record] + sizes[record]
        if met[record] or stop < at + len(head):
            continue
        is_other = False
        for place in range(len(head)):
            if data[at + place] != head[place]:
                is_other = True
                break
        if is_other:
            continue
        met[record] = True
        at += len(head)
        for field in range(len(nullable)):
            branch = 1
            if nullable[field]:
                branch, at = read_varint(data, at, stop)
            if at >= 0 and branch == 1:
                _, at = read_varint(data, at, stop)
            if at < 0:
                break
        if at >= 0:
            number, at = read_varint(data, at, stop)
            if at >= 0:
                out[record] = number


@kernel
def differing(data: Bytes, starts: Ints, sizes: Ints, numbers: Ints, out: NDArray[np.bool_]) -> None:
    """Which items are there and are not their number as eight bytes, the highest first."""
    for n in range(len(starts)):
        number = 0
        for place in range(starts[n], starts[n] + sizes[n] if sizes[n] == _NUMBER_BYTES else starts[n]):
            number = (number << 8) | data[place]
        out[n] = sizes[n] >= 0 and (sizes[n] != _NUMBER_BYTES or number != numbers[n])


@kernel
def accumulate(times: Ints, floor: int, end: int, leap: int, out: Ints) -> bool:
    """Running maximum of `floor` and the times, into `out`; those below 0, or not below `end`, count for nothing.

    False as soon as one of the others is more than `leap` below the maximum.
    """
    highest = floor
    for n in range(len(times)):
        if 0 <= times[n] < end:
            highest = max(highest, times[n])
            if times[n] < highest - leap:
                return False
        out[n] = highest
    return True


@kernel
def write_whole(rows: Ints, head: Bytes, nullable: NDArray[np.bool_], out: Bytes, sizes: Ints) -> int:
    """Write `rows` (fields x records), each behind `head`, one after the other; `sizes` takes how long each is. The place behind the last."""
    at = 0
    for record in range(rows.shape[1]):
        start = at
        for place in range(len(head)):
            out[at] = head[place]
            at += 1
        for field in range(len(nullable)):
            value = rows[field, record]
            if nullable[field]:
                out[at] = 0 if value == _NULL else 2  # the union's branch, zigzag
                at += 1
                if value == _NULL:
                    continue
            at = write_varint(out, at, value)
        sizes[record] = at - start
    return at


@kernel
def lay_out(times: Ints, keys: Bytes, key_starts: Ints, key_sizes: Ints, values: Bytes, value_starts: Ints, value_sizes: Ints, out: Bytes) -> None:
    """Per record: timestamp (8 bytes), key length (4), key, value length (4), value; big-endian. A size of -1 is an absent one."""
    at = 0
    for record in range(len(times)):
        for place in range(8):
            out[at + place] = (times[record] >> (56 - 8 * place)) & 0xFF
        at = _lay_out_bytes(out, at + 8, keys, key_starts[record], key_sizes[record])
        at = _lay_out_bytes(out, at, values, value_starts[record], value_sizes[record])


@kernel
def _lay_out_bytes(out: Bytes, at: int, data: Bytes, start: int, size: int) -> int:
    """Length and content of an item; the place behind it."""
    written = _ABSENT if size < 0 else size
    for place in range(4):
        out[at + place] = (written >> (24 - 8 * place)) & 0xFF
    at += 4
    for place in range(size):
        out[at + place] = data[start + place]
    return at + max(size, 0)
