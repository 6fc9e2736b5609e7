"""The ten bytes before a datum."""

import pytest

from streams.domain.events import DeadLetterReason
from streams.wire.framing import bodies, fault, header
from streams.wire.schemas import schema

MARK = schema("mark")
FILL = schema("fill")


def test_the_header_is_the_marker_and_the_fingerprint() -> None:
    assert header(MARK) == b"\xc3\x01" + MARK.fingerprint
    assert len(header(MARK)) == 10


def test_a_framed_record_has_no_fault() -> None:
    assert fault(header(MARK) + b"\x02", MARK) is None
    assert fault(header(MARK), MARK) is None


@pytest.mark.parametrize(
    ("value", "reason", "detail"),
    [
        (None, DeadLetterReason.UNDECODABLE, "no value"),
        (b"", DeadLetterReason.UNDECODABLE, "0 bytes, shorter than the header of 10"),
        (header(MARK)[:9], DeadLetterReason.UNDECODABLE, "9 bytes, shorter than the header of 10"),
        (b"\xc3\x02" + MARK.fingerprint, DeadLetterReason.UNDECODABLE, "begins with c302, not with c301"),
        (b'{"event_time_us": 1}', DeadLetterReason.UNDECODABLE, "begins with 7b22, not with c301"),
        (b"\xc3\x01" + bytes(8), DeadLetterReason.UNKNOWN_SCHEMA, f"schema 0000000000000000 is unknown; expected mark {MARK.fingerprint.hex()}"),
        (header(FILL), DeadLetterReason.WRONG_SCHEMA, "schema fill; expected mark"),
    ],
)
def test_each_fault_of_a_frame_has_its_reason(value: bytes | None, reason: DeadLetterReason, detail: str) -> None:
    assert fault(value, MARK) == (reason, detail)


def test_bodies_are_what_stands_behind_equal_headers() -> None:
    assert bodies([header(MARK) + b"\x02", header(MARK)], header(MARK)) == [b"\x02", b""]
    assert bodies([], header(MARK)) == []


@pytest.mark.parametrize("stranger", [None, b"", b"\xc3\x01", header(FILL) + b"\x02"])
def test_one_stranger_among_the_values_is_noticed(stranger: bytes | None) -> None:
    assert bodies([header(MARK) + b"\x02", stranger], header(MARK)) is None
