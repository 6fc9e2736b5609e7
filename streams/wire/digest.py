"""The digest of raw records: what a step record says about the bytes it took and wrote, independent of how they were fetched."""

import hashlib
from collections.abc import Sequence
from struct import Struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.bus.columns import ByteColumn
from streams.wire.kernels import lay_out

COMPILED_FROM: Final = 64  # records from which the compiled layout is the faster one
ABSENT: Final = 0xFFFFFFFF  # the length that stands for no key or no value
_time_and_key = Struct(">qI")
_length = Struct(">I")


def records_digest(timestamps_ms: Sequence[int], keys: Sequence[bytes | None], values: Sequence[bytes | None]) -> bytes:
    """SHA-256 over, per record in order: timestamp (8 bytes, signed), key length (4), key, value length (4), value; big-endian, ABSENT for None."""
    if len(timestamps_ms) >= COMPILED_FROM or isinstance(values, ByteColumn):
        return hashlib.sha256(_laid_out(timestamps_ms, keys, values).data).digest()
    parts: list[bytes] = [b""] * (4 * len(timestamps_ms))
    parts[0::4] = map(_time_and_key.pack, timestamps_ms, _lengths(keys))
    parts[1::4] = _contents(keys)
    parts[2::4] = map(_length.pack, _lengths(values))
    parts[3::4] = _contents(values)
    return hashlib.sha256(b"".join(parts)).digest()


def _lengths(items: Sequence[bytes | None]) -> list[int]:
    return [ABSENT if item is None else len(item) for item in items]


def _contents(items: Sequence[bytes | None]) -> list[bytes]:
    return [b"" if item is None else item for item in items]


def _laid_out(timestamps_ms: Sequence[int], keys: Sequence[bytes | None], values: Sequence[bytes | None]) -> NDArray[np.uint8]:
    key, value = ByteColumn.of(keys), ByteColumn.of(values)
    out = np.empty(16 * len(timestamps_ms) + key.byte_count + value.byte_count, np.uint8)
    lay_out(np.array(timestamps_ms, np.int64), key.data, key.starts, key.sizes, value.data, value.starts, value.sizes, out)
    return out
