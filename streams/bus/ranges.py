"""Ranges of a log as people write them: `beginning`, `end`, an offset, `s@<ms>` or an ISO time; for all topics or one: `marks=s@0`, `fund-flows/0=7`.

A range is half-open. A time stands for the first record whose timestamp is not earlier: a lower bound takes that record in, an upper one does not.
"""

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from streams.bus.contract import Bus, Chunk, Reader, TopicPartition
from streams.errors import UsageProblem

SPELLINGS = "beginning, end, an offset, s@<milliseconds>, or an ISO time such as 2025-10-10T21:15:00Z"
SCAN_RECORDS = 10_000
_SCOPED = re.compile(r"(?P<stream>[a-z][a-z-]*)(?:/(?P<partition>\d+))?=(?P<bound>.*)", re.ASCII)
_TIME = re.compile(r"[se]@(\d+)", re.ASCII)  # kcat has one letter for each end; the place of the bound says it already
_OFFSET = re.compile(r"\d+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Bound:
    """One end of a range. `value` is an offset, or a time in milliseconds since the epoch."""

    kind: Literal["beginning", "end", "offset", "time"]
    value: int = 0


BEGINNING, END = Bound("beginning"), Bound("end")


def parse_bound(text: str) -> Bound:
    """A bound as people write it; a time without a zone is UTC. Raises UsageProblem for anything else."""
    if text in ("beginning", "end"):
        return BEGINNING if text == "beginning" else END
    if _OFFSET.fullmatch(text):
        return Bound("offset", int(text))
    if match := _TIME.fullmatch(text):
        return Bound("time", int(match[1]))
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise UsageProblem(f"{text!r} is no place in a log: write {SPELLINGS}") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return Bound("time", (moment - dt.datetime.fromtimestamp(0, dt.UTC)) // dt.timedelta(milliseconds=1))


@dataclass(frozen=True, slots=True)
class Ends:
    """One end of the ranges of many partitions: the narrowest scope that names a partition holds. `flag`: what people gave it with."""

    default: Bound
    scoped: tuple[tuple[str, int | None, Bound], ...] = ()
    flag: str = field(default="range", compare=False)

    def of(self, partition: TopicPartition) -> Bound:
        """The bound of one partition."""
        for wanted in (partition.partition, None):
            for stream, number, bound in reversed(self.scoped):
                if stream == partition.topic and number == wanted:
                    return bound
        return self.default

    @property
    def is_one_moment(self) -> bool:
        """Whether it cuts all partitions at the same time, or not at all."""
        return not self.scoped and self.default.kind != "offset"


def parse_ends(texts: Iterable[str], default: Bound, flag: str = "range") -> Ends:
    """Bounds from the command line, given with `flag`; the last of a kind holds. Raises UsageProblem."""
    scoped = []
    try:
        for text in texts:
            if match := _SCOPED.fullmatch(text):
                number = None if match["partition"] is None else int(match["partition"])
                scoped.append((match["stream"], number, parse_bound(match["bound"])))
            else:
                default = parse_bound(text)
    except UsageProblem as problem:
        raise UsageProblem(f"{flag}: {problem}") from None
    return Ends(default, tuple(scoped), flag)


@runtime_checkable
class FindsTimes(Protocol):
    """A reader whose log has an index of times."""

    async def offset_at(self, partition: TopicPartition, timestamp_ms: int) -> int | None:
        """Offset of the first record with this timestamp or a later one; None when there is none."""


async def resolve(bus: Bus, partitions: Sequence[TopicPartition], start: Ends, stop: Ends) -> dict[TopicPartition, tuple[int, int]]:
    """The offsets [from, to) of each partition, as its log is now. An offset outside the log, or a range that ends before it begins: UsageProblem."""
    _refuse_strangers(await bus.partitions(), start, stop)
    if not partitions:
        return {}
    reader = await bus.reader(partitions)
    try:
        ranges = {}
        for partition in partitions:
            low, high = [await _offset(reader, partition, ends) for ends in (start, stop)]
            if low > high:
                where = f"{partition.topic}[{partition.partition}]"
                raise UsageProblem(f"{start.flag} is offset {low} of {where} and {stop.flag} is {high}, which lies before it: turn them round")
            ranges[partition] = (low, high)
        return ranges
    finally:
        await reader.close()


def _refuse_strangers(counts: Mapping[str, int], *both: Ends) -> None:
    for ends in both:
        for stream, number, _ in ends.scoped:
            if stream not in counts:
                raise UsageProblem(f"{ends.flag} {stream}=...: there is no such stream here: streams are {', '.join(sorted(counts))}")
            if number is not None and number >= counts[stream]:
                raise UsageProblem(f"{ends.flag} {stream}/{number}=...: {stream} has {counts[stream]} partitions, there is no partition {number}")


async def _offset(reader: Reader, partition: TopicPartition, ends: Ends) -> int:
    bound, (first, end) = ends.of(partition), await reader.bounds(partition)
    match bound.kind:
        case "beginning":
            return first
        case "end":
            return end
        case "offset":
            if not first <= bound.value <= end:
                raise UsageProblem(f"{ends.flag}: {partition.topic}[{partition.partition}] holds offsets {first} to {end}: {bound.value} is outside")
            return bound.value
        case "time":
            found = await reader.offset_at(partition, bound.value) if isinstance(reader, FindsTimes) else await _scan(reader, partition, bound.value)
            return end if found is None else min(max(found, first), end)


async def _scan(reader: Reader, partition: TopicPartition, timestamp_ms: int) -> int | None:
    first, end = await reader.bounds(partition)
    await reader.seek(partition, first)
    position = first
    while position < end:
        for chunk in await reader.poll(max_records=SCAN_RECORDS, timeout_ms=50, partitions=[partition]):
            found = _first_at(chunk, timestamp_ms)
            if found is not None:
                return found
            position = chunk.stop
    return None


def _first_at(chunk: Chunk, timestamp_ms: int) -> int | None:
    return next((offset for offset, shown in zip(chunk.offsets, chunk.timestamps_ms, strict=True) if shown >= timestamp_ms), None)
