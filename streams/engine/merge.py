"""The one order of a step: (running maximum of event time per partition, stream rank, tie columns, partition, offset).

A late record counts as of now: its merge time is the newest event time its partition has shown. A record no schema could read takes the
place it would have had, as a row of the pseudo-stream UNDECODABLE; it says nothing of time. So does one with an event time no clock can show.
No single record takes the time away: a mark far ahead of its partition waits for a witness (domain/marks.py) and counts as of now until then,
and no other stream shows a time further ahead of the marks heard than MAX_AHEAD_US.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.bus.columns import joined_bytes, joined_numbers
from streams.bus.contract import Chunk, TopicPartition
from streams.domain.batch import UNDECODABLE, Batch, Rows
from streams.domain.events import NULL, DeadLetterReason
from streams.domain.instruments import MAX_AHEAD_US
from streams.domain.marks import MarkTime
from streams.engine.door import EVENT_TIME_END_US, admitted, take
from streams.topics import STREAMS, TOPICS
from streams.wire.codec import Decoded
from streams.wire.framing import Fault
from streams.wire.kinds import decode
from streams.wire.records import account_of_key

Ints = NDArray[np.int64]
UNREAD = -1
MARKS = "marks"
_AHEAD = "marks.ahead"  # under this name the running times keep the mark that waits for a witness; absent before the second mark, 0 for none


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that no schema could read, or that was turned away at the door.

    `time_us` is its place in the order, 0 where its partition has shown no time; not when it was.
    """

    partition: TopicPartition
    offset: int
    timestamp_ms: int
    time_us: int
    account: int | None
    reason: DeadLetterReason
    detail: str
    key: bytes | None
    value: bytes | None

    @property
    def stamped_us(self) -> int:
        """When it was, by its own timestamp: the same wherever steps are cut. Its place in the order where it has none that a clock can show."""
        stamp_us = self.timestamp_ms * 1000
        return stamp_us if 0 < stamp_us < EVENT_TIME_END_US else self.time_us


@dataclass(slots=True)
class _Part:
    """One topic's records of a step in its own order. `labels`: the stream of each by its place in `streams`, or UNREAD.

    `rows` has what was read, by stream, and `bad` the others; both in the same order.
    """

    streams: tuple[str, ...]
    times: Ints
    labels: Ints
    rows: list[Rows]
    bad: list[Unreadable]


def merge(
    chunks: Mapping[str, Sequence[Chunk]], reads: Sequence[str], running: dict[TopicPartition, int], *, ties: bool
) -> tuple[Batch, list[Unreadable]]:
    """Decode the chunks of one step (by topic, each topic's by partition, one chunk a partition) and put them in order.

    `running` holds the running maximum of event time per partition and is moved on. The records that could not be read are returned in
    merged order beside the batch, where they stand as UNDECODABLE rows.
    """
    made = {MARKS: _part(MARKS, chunks[MARKS], running, ties)} if MARKS in reads and MARKS in chunks else {}  # the others' times look at its
    parts = [made.get(topic) or _part(topic, chunks[topic], running, ties) for topic in reads if topic in chunks]
    bad = [letter for part in parts for letter in part.bad]
    rows = [rows for part in parts for rows in part.rows]
    if len(rows) == 1 and not bad:
        return Batch({rows[0].stream: rows[0]}, [(rows[0].stream, 0, len(rows[0]))]), []
    # Each part is in order already, so a stable sort by time alone interleaves them by (time, rank, the rest).
    names = [stream for part in parts for stream in part.streams]
    firsts = [sum(len(part.streams) for part in parts[:index]) for index in range(len(parts))]
    times = np.concatenate([part.times for part in parts])
    order = np.argsort(times, kind="stable")
    labels = np.concatenate([np.where(part.labels == UNREAD, len(names), part.labels + first) for part, first in zip(parts, firsts, strict=True)])[
        order
    ]
    batch = Batch({each.stream: each for each in rows if len(each)}, _runs(labels, [*names, UNDECODABLE]))
    if bad:
        bad.sort(key=lambda letter: letter.time_us)  # stable: by rank and place already
        batch.rows[UNDECODABLE] = _undecodable(bad, reads)
    return batch, bad


def _runs(labels: Ints, names: Sequence[str]) -> list[tuple[str, int, int]]:
    """Ranges of equal labels; a range counts within its own label."""
    within = np.empty(len(labels), np.int64)
    for label in range(len(names)):
        places = np.flatnonzero(labels == label)
        within[places] = np.arange(len(places))
    begins = np.flatnonzero(np.diff(labels, prepend=-1))
    starts = within[begins]
    stops = starts + np.diff(begins, append=len(labels))
    return [(names[label], start, stop) for label, start, stop in zip(labels[begins].tolist(), starts.tolist(), stops.tolist(), strict=True)]


def _undecodable(bad: Sequence[Unreadable], reads: Sequence[str]) -> Rows:
    return Rows(
        UNDECODABLE,
        {
            "account": np.array([NULL if letter.account is None else letter.account for letter in bad], np.int64),
            "source": np.array([reads.index(letter.partition.topic) for letter in bad], np.int64),
            "stamped_us": np.array([letter.stamped_us for letter in bad], np.int64),
        },
        np.array([letter.time_us for letter in bad], np.int64),
        np.array([letter.partition.partition for letter in bad], np.int64),
        np.array([letter.offset for letter in bad], np.int64),
    )


def _part(topic: str, chunks: Sequence[Chunk], running: dict[TopicPartition, int], ties: bool) -> _Part:
    owners: dict[int, int] = {}
    found = {
        stream: admitted(topic, part, chunks, owners) for stream, part in decode(topic, joined_bytes([chunk.values for chunk in chunks])).items()
    }
    count = sum(map(len, chunks))
    labels, event_times = _spread(found, TOPICS[topic].streams, count)
    times = _times(topic, chunks, event_times, running)
    partition = np.repeat(np.array([chunk.partition for chunk in chunks], np.int64), [len(chunk) for chunk in chunks])
    offset = np.array(joined_numbers([chunk.offsets for chunk in chunks]), np.int64)
    order = _order(times, found, STREAMS[topic].tie if ties and topic in STREAMS else (), single=len(chunks) == 1)
    rows = []
    for stream, part in found.items():
        columns, at = part.columns, part.good
        if order is not None:
            at = order if len(at) == count else order[labels[order] == TOPICS[topic].streams.index(stream)]
            place = np.empty(count, np.int64)  # among the records read of this stream
            place[part.good] = np.arange(len(part.good))
            columns = take(columns, place[at])
        rows.append(Rows(stream, columns, times[at], partition[at], offset[at]))
    reasons = {index: (reason, detail) for part in found.values() for index, reason, detail in part.bad}
    places = np.arange(count) if order is None else order
    strangers = places[labels[places] == UNREAD].tolist() if reasons else []
    bad = [_letter(chunks, index, int(times[index]), reasons[index], owners.get(index)) for index in strangers]
    return _Part(TOPICS[topic].streams, times[places], labels[places], rows, bad)


def _spread(found: Mapping[str, Decoded], streams: Sequence[str], count: int) -> tuple[Ints, Ints]:
    """(label, event time) of every record of a topic: UNREAD, and NULL (the smallest number), where a record could not be read."""
    labels, times = np.full(count, UNREAD, np.int64), np.full(count, NULL, np.int64)
    for stream, part in found.items():
        labels[part.good] = streams.index(stream)
        times[part.good] = part.columns["event_time_us"]
    return labels, times


def _times(topic: str, chunks: Sequence[Chunk], times: Ints, running: dict[TopicPartition, int]) -> Ints:
    """Merge times, in place of event times: their running maximum, partition by partition, as far as the marks bear witness to it."""
    if topic != MARKS:
        heard_us = max((us for (name, _), us in running.items() if name == MARKS), default=0)
        np.minimum(times, heard_us + MAX_AHEAD_US if heard_us else EVENT_TIME_END_US, out=times)
    at = 0
    for chunk in chunks:
        part = times[at : at + len(chunk)]
        at += len(chunk)
        partition = TopicPartition(topic, chunk.partition)
        if topic == MARKS and not _is_witnessed(part, partition, running):
            _hear(part, partition, running)
            continue
        part[0] = max(int(part[0]), running.get(partition, 0))
        np.maximum.accumulate(part, out=part)
        running[partition] = int(part[-1])
    return times


def _is_witnessed(times: Ints, partition: TopicPartition, running: Mapping[TopicPartition, int]) -> bool:
    """Whether none of these marks is far ahead of those before it: then their times are the running maximum."""
    if running.get(TopicPartition(_AHEAD, partition.partition), -1) != 0:
        return False
    heard = np.maximum.accumulate(np.concatenate([[running[partition]], times]))
    return bool(np.diff(heard).max() <= MAX_AHEAD_US)


def _hear(times: Ints, partition: TopicPartition, running: dict[TopicPartition, int]) -> None:
    """Merge times of marks one by one, in place. Where the first of all is taken back, it and the next count as of the next."""
    ahead = TopicPartition(_AHEAD, partition.partition)
    time = MarkTime(running.get(partition, 0), running.get(ahead, 0), ahead in running)
    for place, time_us in enumerate(times.tolist()):
        before = time.us
        if time_us >= 0:
            time.hear(time_us)
        if time.us < before:
            times[:place] = time.us
        times[place] = time.us
    running[partition] = time.us
    if time.is_witnessed:
        running[ahead] = time.ahead_us


def _order(times: Ints, found: Mapping[str, Decoded], tie: Sequence[str], *, single: bool) -> Ints | None:
    """Order within a topic; None where it is the order of arrival. Ties among equals fall to (partition, offset): the order of the chunks.

    Columns break ties only in a topic of one stream.
    """
    if len(times) < 2:
        return None
    if not tie:
        return None if single else np.argsort(times, kind="stable")
    (part,) = found.values()
    keys = []
    for name in reversed(tie):
        keys.append(np.full(len(times), NULL, np.int64))
        keys[-1][part.good] = part.columns[name]
    return np.lexsort([*keys, times])


def _letter(chunks: Sequence[Chunk], index: int, time_us: int, why: Fault, owner: int | None) -> Unreadable:
    for chunk in chunks:
        if index < len(chunk):
            break
        index -= len(chunk)
    key = chunk.keys[index]
    return Unreadable(
        partition=TopicPartition(chunk.topic, chunk.partition),
        offset=chunk.offsets[index],
        timestamp_ms=chunk.timestamps_ms[index],
        time_us=time_us,
        account=account_of_key(chunk.topic, key) if owner is None else owner,
        reason=why[0],
        detail=why[1],
        key=key,
        value=chunk.values[index],
    )
