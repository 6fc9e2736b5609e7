"""Single-object framing: C3 01, the schema's fingerprint (8 bytes, little-endian), the datum. No registry: the fingerprint is the content's own."""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Final

from streams.domain.events import DeadLetterReason
from streams.wire.schemas import Schema, by_fingerprint

MARKER: Final = b"\xc3\x01"
HEADER_BYTES: Final = 10

Fault = tuple[DeadLetterReason, str]

_head: Final[Callable[[Any], bytes]] = itemgetter(slice(HEADER_BYTES))
_body: Final[Callable[[Any], bytes]] = itemgetter(slice(HEADER_BYTES, None))


def header(schema: Schema) -> bytes:
    """The ten bytes before every datum of this schema."""
    return MARKER + schema.fingerprint


def bodies(values: Sequence[bytes | None], expected: bytes) -> list[bytes] | None:
    """The data behind their headers, or None when any value is absent or does not begin with `expected`."""
    if None in values or not set(map(_head, values)) <= {expected}:
        return None
    return list(map(_body, values))


def fault(value: bytes | None, expected: Schema) -> Fault | None:
    """Why this value is not a framed record of the expected schema; None when it is. Says nothing about the datum."""
    if value is None:
        return DeadLetterReason.UNDECODABLE, "no value"
    if len(value) < HEADER_BYTES:
        return DeadLetterReason.UNDECODABLE, f"{len(value)} bytes, shorter than the header of {HEADER_BYTES}"
    if not value.startswith(MARKER):
        return DeadLetterReason.UNDECODABLE, f"begins with {value[:2].hex()}, not with {MARKER.hex()}"
    fingerprint = value[2:HEADER_BYTES]
    if fingerprint == expected.fingerprint:
        return None
    found = by_fingerprint(fingerprint)
    if found is None:
        return DeadLetterReason.UNKNOWN_SCHEMA, f"schema {fingerprint.hex()} is unknown; expected {expected.name} {expected.fingerprint.hex()}"
    return DeadLetterReason.WRONG_SCHEMA, f"schema {found.name}; expected {expected.name}"
