"""A topic that carries several streams: the header of a record names its schema, and with it the stream that the record is of."""

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.bus.columns import ByteColumn, ByteItems
from streams.domain.events import DeadLetterReason
from streams.topics import STREAMS, TOPICS
from streams.wire.codec import Decoded, codec
from streams.wire.framing import HEADER_BYTES, Fault, fault, header
from streams.wire.kernels import NO_HEAD, match_heads
from streams.wire.schemas import other_versions, schema

NO_STREAM: Final = -1


@cache
def _heads(topic: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(headers of every known version of the topic's schemas, the place of each one's stream in the topic)."""
    found: list[tuple[bytes, int]] = []
    for code, stream in enumerate(TOPICS[topic].streams):
        name = STREAMS[stream].schema
        found += [(header(each), code) for each in (schema(name), *other_versions(name))]
    heads = np.frombuffer(b"".join(head for head, _ in found), np.uint8).reshape(-1, HEADER_BYTES)
    return heads, np.array([code for _, code in found], np.int64)


def stream_codes(topic: str, values: Sequence[bytes | None]) -> NDArray[np.int64]:
    """For every record the place of its stream in the topic's; NO_STREAM where its header names none of them."""
    column = ByteColumn.of(values)
    heads, codes = _heads(topic)
    found = np.empty(len(column), np.int64)
    match_heads(column.data, column.starts, column.sizes, heads, found)
    return np.where(found == NO_HEAD, NO_STREAM, codes[found])


def stream_of(topic: str, value: bytes | None) -> str | None:
    """The stream that one record of a topic is of; None where it cannot be told."""
    streams = TOPICS[topic].streams
    if len(streams) == 1:
        return streams[0]
    code = int(stream_codes(topic, [value])[0])
    return None if code == NO_STREAM else streams[code]


def decode(topic: str, values: ByteItems) -> dict[str, Decoded]:
    """The records of a topic, stream by stream; places are those among `values`. Those of no stream are among the bad ones of the first."""
    streams = TOPICS[topic].streams
    if len(streams) == 1:
        return {streams[0]: codec(streams[0]).decode(values)}
    column = ByteColumn.of(values)
    codes = stream_codes(topic, column)
    decoded: dict[str, Decoded] = {}
    for code, stream in enumerate(streams):
        places = np.flatnonzero(codes == code)
        if len(places) == len(codes):
            return {stream: codec(stream).decode(column)}
        if len(places):
            part = codec(stream).decode(column.take(places))
            bad = [(int(places[at]), reason, detail) for at, reason, detail in part.bad]
            decoded[stream] = Decoded(part.columns, places[part.good], bad)
    if len(strangers := np.flatnonzero(codes == NO_STREAM)):
        first = decoded.setdefault(streams[0], codec(streams[0]).decode([]))
        first.bad = sorted([*first.bad, *((at, *stranger(topic, column[at])) for at in strangers.tolist())])
    return decoded


def stranger(topic: str, value: bytes | None) -> Fault:
    """Why a record is of none of the topic's streams."""
    names = [STREAMS[stream].schema for stream in TOPICS[topic].streams]
    why = fault(value, schema(names[0]))
    assert why is not None, "a stranger has none of the headers"
    reason, detail = why
    if reason in (DeadLetterReason.UNKNOWN_SCHEMA, DeadLetterReason.WRONG_SCHEMA):
        detail = f"{detail.split(';')[0]}; expected one of {', '.join(names)}"
    return reason, detail
