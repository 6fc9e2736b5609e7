"""The digest of raw records, byte by byte."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from streams.wire.digest import records_digest


def test_each_record_is_time_key_length_key_value_length_value() -> None:
    first = b"\x00\x00\x00\x00\x00\x00\x01\x00" + b"\x00\x00\x00\x02ab" + b"\x00\x00\x00\x03cde"
    second = b"\xff\xff\xff\xff\xff\xff\xff\xff" + b"\xff\xff\xff\xff" + b"\x00\x00\x00\x00"
    third = b"\x00\x00\x00\x00\x00\x00\x00\x00" + b"\x00\x00\x00\x00" + b"\xff\xff\xff\xff"
    assert records_digest([256, -1, 0], [b"ab", None, b""], [b"cde", b"", None]) == hashlib.sha256(first + second + third).digest()


def test_no_records_have_the_digest_of_nothing() -> None:
    assert records_digest([], [], []).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


record = st.tuples(st.integers(-(2**63), 2**63 - 1), st.none() | st.binary(max_size=9), st.none() | st.binary(max_size=9))


@given(st.lists(record, max_size=4), st.lists(record, max_size=4))
def test_different_records_have_different_digests(
    left: list[tuple[int, bytes | None, bytes | None]], right: list[tuple[int, bytes | None, bytes | None]]
) -> None:
    digests = [records_digest([t for t, _, _ in each], [k for _, k, _ in each], [v for _, _, v in each]) for each in (left, right)]
    assert (digests[0] == digests[1]) == (left == right)
