"""The strict kernel reads exactly what the row path reads, and the compiled digest layout is the written-out one."""

import hashlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.wire.digest import records_digest
from streams.wire.kernels import read_varint

items = st.none() | st.binary(max_size=40)


@given(st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), items, items), min_size=64, max_size=90))
def test_many_records_digest_as_their_layout_written_out(records: list[tuple[int, bytes | None, bytes | None]]) -> None:
    def part(item: bytes | None) -> bytes:
        return struct.pack(">I", 0xFFFFFFFF) if item is None else struct.pack(">I", len(item)) + item

    whole = b"".join(struct.pack(">q", time) + part(key) + part(value) for time, key, value in records)
    times, keys, values = (list(column) for column in zip(*records, strict=True))
    assert records_digest(times, keys, values) == hashlib.sha256(whole).digest()


@pytest.mark.parametrize(
    ("encoded", "value", "place"),
    [
        (b"\x00", 0, 1),
        (b"\x01", -1, 1),
        (b"\x80\x01", 64, 2),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", -(2**63), 10),
        (b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", 2**63 - 1, 10),
        (b"", 0, -1),
        (b"\x80", 0, -1),  # cut off
        (b"\x80\x00", 0, -1),  # zero in two bytes
        (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 0, -1),  # 65 bits
        (b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 0, -1),  # eleven bytes
    ],
)
def test_a_varint_is_read_in_its_shortest_encoding_only(encoded: bytes, value: int, place: int) -> None:
    assert read_varint(np.frombuffer(encoded, np.uint8), 0, len(encoded)) == (value, place)
