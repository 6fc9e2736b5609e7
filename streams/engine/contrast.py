"""Two runs side by side: per stream, in the order of event time, the first record that one has and the other has not, field by field.

Records of one event time are compared as a set: where several shards write one partition, their order there is not part of the decision.
Step records are left out: they hold owners and cuts, which may differ between runs that decide the same.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from streams.bus.contract import Bus, Chunk
from streams.engine.chunks import read_stream
from streams.errors import CheckFailed
from streams.topics import STREAMS
from streams.wire.codec import codec
from streams.wire.readable import read_value
from streams.wire.schemas import schema

COMPARED = tuple(stream.name for stream in STREAMS.values() if stream.schema != "step_record")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands, and what it is."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first record of a stream that is not in both runs. Without `a` or `b` that run has no such record; `fields` has what differs, (a, b)."""

    stream: str
    timestamp_ms: int
    a: Place | None
    b: Place | None
    rows: tuple[dict[str, Any] | None, dict[str, Any] | None]
    fields: Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class Contrast:
    """One stream of both runs: how many records each has, and the first divergence."""

    stream: str
    a: int
    b: int
    first: Divergence | None


async def contrast(a: Bus, b: Bus, streams: Iterable[str] = COMPARED, *, blind: frozenset[str] = frozenset()) -> list[Contrast]:
    """All streams that either run has, in the order of the table. Fields in `blind` are not looked at."""
    counts = await a.partitions(), await b.partitions()
    found = []
    for stream in streams:
        if any(STREAMS[stream].topic in count for count in counts):
            one, two = [await _records(bus, stream, blind) for bus in (a, b)]
            found.append(Contrast(stream, len(one), len(two), _first(stream, one, two)))
    return found


def earliest(contrasts: Iterable[Contrast]) -> Divergence | None:
    """Where the runs part: the divergence of the least event time; among equals, of the stream that comes first in the table."""
    firsts = [each.first for each in contrasts if each.first is not None]
    return min(firsts, key=lambda first: first.timestamp_ms, default=None)


async def _records(bus: Bus, stream: str, blind: frozenset[str]) -> list[Place]:
    unseen = [field.name for field in schema(STREAMS[stream].schema).fields if field.name in blind and field.is_whole]
    chunks = [chunk async for chunk in read_stream(bus, stream)]
    return sorted(
        (_blinded(place, stream, unseen) for chunk in chunks for place in _places(chunk)),
        key=lambda place: (place.timestamp_ms, place.partition, place.offset),
    )


def _blinded(place: Place, stream: str, unseen: list[str]) -> Place:
    """With the fields that are not looked at all the same."""
    if not unseen:
        return place
    try:
        row = codec(stream).decode_row(place.value)
    except CheckFailed:
        return place
    return replace(place, value=codec(stream).encode([row | dict.fromkeys(unseen, 0)])[0])


def _places(chunk: Chunk) -> Iterable[Place]:
    columns = zip(chunk.offsets, chunk.timestamps_ms, chunk.keys, chunk.values, strict=True)
    return (Place(chunk.partition, *column) for column in columns)


def _first(stream: str, one: list[Place], two: list[Place]) -> Divergence | None:
    at = next((i for i, (x, y) in enumerate(zip(one, two, strict=False)) if _content(x) != _content(y)), min(len(one), len(two)))
    while at < len(one) or at < len(two):
        moment = min(run[at].timestamp_ms for run in (one, two) if at < len(run))
        begin = _begin(one, two, at, moment)
        lefts = _moment(one, begin[0], moment), _moment(two, begin[1], moment)
        only = _without(lefts[0], lefts[1]), _without(lefts[1], lefts[0])
        if only[0] or only[1]:
            return _divergence(stream, moment, *only)
        at = begin[0] + len(lefts[0])  # the same records in another order
        at = next((i for i in range(at, max(len(one), len(two))) if not _same(one, two, i)), max(len(one), len(two)))
    return None


def _same(one: list[Place], two: list[Place], at: int) -> bool:
    return at < len(one) and at < len(two) and _content(one[at]) == _content(two[at])


def _begin(one: list[Place], two: list[Place], at: int, moment: int) -> tuple[int, int]:
    """Where the records of the moment begin; up to `at` both runs are the same, so it is the same index."""
    while at > 0 and one[at - 1].timestamp_ms == moment == two[at - 1].timestamp_ms:
        at -= 1
    return at, at


def _moment(run: list[Place], begin: int, moment: int) -> list[Place]:
    end = begin
    while end < len(run) and run[end].timestamp_ms == moment:
        end += 1
    return run[begin:end]


def _content(place: Place) -> tuple[int, int, bytes | None, bytes | None]:
    return place.partition, place.timestamp_ms, place.key, place.value


def _without(these: list[Place], those: list[Place]) -> list[Place]:
    """What is left of these when each of those has taken its equal away."""
    spare = Counter(map(_content, those))
    left = []
    for place in these:
        if spare[_content(place)]:
            spare[_content(place)] -= 1
        else:
            left.append(place)
    return left


def _divergence(stream: str, moment: int, only_a: list[Place], only_b: list[Place]) -> Divergence:
    """Pair the first record left over with the one of the same key in the other run."""
    a = only_a[0] if only_a else None
    b = next((place for place in only_b if a is None or place.key == a.key), None)
    rows = tuple(None if place is None else read_value(stream, place.value) for place in (a, b))
    fields: dict[str, tuple[Any, Any]] = {}
    if rows[0] is not None and rows[1] is not None:
        names = dict.fromkeys([*rows[0], *rows[1]])
        fields = {name: (rows[0].get(name), rows[1].get(name)) for name in names if rows[0].get(name) != rows[1].get(name)}
        if a is not None and b is not None and a.partition != b.partition:
            fields["partition"] = (a.partition, b.partition)
    return Divergence(stream, moment, a, b, (rows[0], rows[1]), fields)
