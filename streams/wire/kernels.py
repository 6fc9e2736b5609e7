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
_VARINT_BYTES: Final = 10

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
def read_whole(data: Bytes, stops: Ints, head: Bytes, nullable: NDArray[np.bool_], bounds: Ints, out: Ints) -> bool:
    """Fill `out` (fields x records) from records that end at `stops`, each beginning with `head`; `bounds` holds (low, high) by field.

    False when any record is not exactly that: another header, a longer encoding than needed, a value out of bounds, bytes missing or left over.
    """
    at = 0
    for record in range(len(stops)):
        stop, body = stops[record], at + len(head)
        if stop < body:
            return False
        for place in range(len(head)):
            if data[at + place] != head[place]:
                return False
        if not read_fields(data, body, stop, nullable, bounds, out[:, record]):
            return False
        at = stop
    return True


@kernel
def lay_out(times: Ints, keys: Bytes, key_sizes: Ints, values: Bytes, value_sizes: Ints, out: Bytes) -> None:
    """Per record: timestamp (8 bytes), key length (4), key, value length (4), value; big-endian. A size of -1 is an absent one."""
    at, key_at, value_at = 0, 0, 0
    for record in range(len(times)):
        for place in range(8):
            out[at + place] = (times[record] >> (56 - 8 * place)) & 0xFF
        at += 8
        for part in range(2):
            size = key_sizes[record] if part == 0 else value_sizes[record]
            written = _ABSENT if size < 0 else size
            for place in range(4):
                out[at + place] = (written >> (24 - 8 * place)) & 0xFF
            at += 4
            if part == 0:
                for place in range(size):
                    out[at + place] = keys[key_at + place]
                key_at += max(size, 0)
            else:
                for place in range(size):
                    out[at + place] = values[value_at + place]
                value_at += max(size, 0)
            at += max(size, 0)
