"""When an accounts shard may take what it has read: in the order of event time over all its partitions. The rule stands at `TimeGate`."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.bus.columns import ByteColumn
from streams.bus.contract import Chunk, TopicPartition
from streams.domain.alarms import Alarm
from streams.domain.batch import Raised
from streams.domain.events import NULL
from streams.engine.chunks import cut
from streams.engine.door import EVENT_TIME_END_US
from streams.engine.spells import Spell
from streams.engine.task import TaskSpec
from streams.wire.kernels import accumulate
from streams.wire.times import event_times

Ints = NDArray[np.int64]
Place = tuple[int, int, int]  # (merge time, rank of the stream, partition): the order of a step, but for the offset

HOLDS_RECORDS: Final = 50_000  # shared out evenly among the partitions: one that holds its share is not read on
LEAP_US: Final = 3_600_000_000  # a time that so much earlier ones follow in its own partition was none


@dataclass(slots=True, eq=False)
class _Lane:
    """One partition: what has been read of it and is not taken, in order, with the merge time of every record."""

    partition: TopicPartition
    rank: int
    floor_us: int | None = None  # merge time of the last record taken, where the gate has seen it
    chunks: list[Chunk] = field(default_factory=list)
    times: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    looked_at: int = 0  # chunks whose records `times` covers
    since_ms: int | None = None  # waited for
    is_given_up: bool = False  # its patience is over; until it says something

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands among others at one merge time."""
        return self.rank, self.partition.partition


class TimeGate:
    """Holds back what has been read until nothing that comes before it is known to be unread. Pure: the time, for the patience, is passed in.

    A shard that starts behind is given, with each read, so many records of every partition, however different the times they cover: marks of a
    whole day beside fills of a minute. While a partition is known to hold unread records (it has been read to below its known end, or its end
    is not known), nothing is taken that the order of a step puts behind the last one read of it: (merge time, rank of the stream, partition).
    So the steps, one after the other, take what one step over everything would take, in its order. A partition that has been read to its end is
    not waited for. A shard of which this is true of all partitions holds nothing, and its records are not looked at.

    A partition that is known to hold more and gives nothing is waited for as long as the patience lasts (None: for ever). Then the others go on
    without it until it gives something, and an alarm names it, once a spell. What was taken is journaled as
    slices like any input: a re-run does not ask.

    The merge time is the running maximum of event time in a partition, as in `merge.py`, with one reserve: a time that is followed, in its own
    partition, by one more than an hour earlier was no time, and holds nothing back; nor does anything pass by the word of one that nothing has
    confirmed yet. Timestamps of records are not asked: a broker may have put them there.
    """

    def __init__(self, spec: TaskSpec, patience_ms: int | None, running: Mapping[TopicPartition, int]) -> None:
        """`running`: the task's running maxima, as it moves them on."""
        self._patience_ms = patience_ms
        self._running = running
        self._lanes = {p: _Lane(p, spec.reads.index(p.topic)) for p in spec.inputs()}
        self._share = max(1, HOLDS_RECORDS // len(self._lanes))
        self._filled: dict[TopicPartition, _Lane] = {}
        self._behind: list[_Lane] = []
        self.spell = Spell()  # of going on without partitions
        self._alarms: list[Raised] = []
        self.waiting = 0  # records that have been read and are not taken

    def push(self, chunks: Iterable[Chunk]) -> None:
        """What a read returned, in order."""
        for chunk in chunks:
            lane = self._lanes[TopicPartition(chunk.topic, chunk.partition)]
            lane.chunks.append(chunk)
            self._filled[lane.partition] = lane
            lane.since_ms, lane.is_given_up = None, False
            self.waiting += len(chunk)

    def take(self, unread: Collection[TopicPartition], now_ms: int) -> list[Chunk]:
        """What may be taken now; empty when nothing may. `unread`: partitions that are known to hold more, or whose end is not known."""
        behind = self._behind = [self._lanes[partition] for partition in unread]
        if not behind or not self.waiting:
            return self._all()
        for lane in self._lanes.values():
            self._look_at(lane)
            if lane not in behind:
                lane.since_ms, lane.is_given_up = None, False
        while waited_for := [lane for lane in behind if not lane.is_given_up]:
            blocking = min(waited_for, key=self._shown_place)
            taken = self._up_to(*self._shown_place(blocking))
            if taken or not self._gave_up([lane for lane in waited_for if lane is blocking or not len(lane.times)], now_ms):
                return taken
        return self._all()

    def wanted(self) -> list[TopicPartition] | None:
        """What to read next; None: everything. While something waits, partitions that hold their share are left alone, except the one waited for."""
        if not self.waiting:
            return None
        wanted = [lane.partition for lane in self._lanes.values() if len(lane.times) < self._share]
        waited_for = [lane for lane in self._behind if not lane.is_given_up]
        if waited_for:
            blocking = min(waited_for, key=self._shown_place).partition
            if blocking not in wanted:
                wanted.append(blocking)
        return wanted

    @property
    def room(self) -> int:
        """How many records a read may bring: so memory stays bounded however far behind the shard is."""
        return max(self._share, HOLDS_RECORDS - self.waiting)

    def alarms(self) -> list[Raised]:
        """What operators must know since the last call."""
        alarms, self._alarms = self._alarms, []
        return alarms

    def _all(self) -> list[Chunk]:
        taken = []
        for lane in self._filled.values():
            taken += lane.chunks
            lane.chunks, lane.times, lane.looked_at = [], lane.times[:0], 0
            lane.floor_us, lane.since_ms = None, None  # the task knows, once it has taken this
        self._filled, self.waiting = {}, 0
        return taken

    def _floor(self, lane: _Lane) -> int:
        return self._running.get(lane.partition, 0) if lane.floor_us is None else lane.floor_us

    def _look_at(self, lane: _Lane) -> None:
        """Know the merge times of what has come."""
        new = lane.chunks[lane.looked_at :]
        if not new:
            return
        lane.looked_at = len(lane.chunks)
        for chunk in new:
            chunk.values = ByteColumn.of(chunk.values)
        found = np.concatenate([event_times(chunk.values) for chunk in new])
        known, floor_us = lane.times, self._floor(lane)
        behind_known = merge_times(found, int(known[-1]) if len(known) else floor_us)
        if behind_known is not None:
            lane.times = np.concatenate([known, behind_known]) if len(known) else behind_known
        else:
            lane.times = corrected_times(np.concatenate([known, found]), floor_us)

    def _shown(self, lane: _Lane) -> int:
        """The merge time below which nothing of a partition is still to come, as far as what has been read shows it."""
        floor = self._floor(lane)
        if not len(lane.times):
            # Taken in order, no partition lies beyond all others: one that does so has shown a time that was none.
            return min(floor, max((self._floor(other) for other in self._lanes.values() if other is not lane), default=floor))
        last, before = int(lane.times[-1]), int(lane.times[-2]) if len(lane.times) > 1 else floor
        return last if last - before <= LEAP_US else before

    def _shown_place(self, lane: _Lane) -> Place:
        return (self._shown(lane), *lane.place)

    def _up_to(self, time_us: int, rank: int, partition: int) -> list[Chunk]:
        """Everything up to this place."""
        taken = []
        for lane in self._lanes.values():
            if not lane.chunks:
                continue
            side = "right" if lane.place <= (rank, partition) else "left"
            count = int(np.searchsorted(lane.times, time_us, side))  # type: ignore[call-overload]
            if count:
                taken += self._cut_off(lane, count)
        return taken

    def _cut_off(self, lane: _Lane, count: int) -> list[Chunk]:
        """The first records of a partition."""
        head, left, parts = [], count, lane.chunks
        while left and parts and len(parts[0]) <= left:
            head.append(parts.pop(0))
            left -= len(head[-1])
        if left:
            first, parts[0] = cut(parts[0], parts[0].offsets[left])
            head.append(first)
        lane.floor_us, lane.times, lane.looked_at = int(lane.times[count - 1]), lane.times[count:], len(parts)
        self.waiting -= count
        return head

    def _gave_up(self, lanes: Sequence[_Lane], now_ms: int) -> bool:
        """Whether the patience with some of these is over."""
        late = []
        for lane in lanes:
            if lane.since_ms is None:
                lane.since_ms = now_ms
            elif self._patience_ms is not None and now_ms - lane.since_ms >= self._patience_ms:
                lane.is_given_up = True
                late.append(lane)
        if late:
            names = [f"{lane.partition.topic}[{lane.partition.partition}]" for lane in late]
            waited_ms = max(now_ms - (lane.since_ms or 0) for lane in late)
            new = self.spell.add(names, now_ms)
            if new:
                self._alarms.append((Alarm.WENT_ON_WITHOUT_PARTITIONS, {"partitions": new, "waited_ms": waited_ms}))
        return bool(late)


def merge_times(times: Ints, floor_us: int) -> Ints | None:
    """Merge times of a partition's records from their event times (NULL where there is none), behind one of `floor_us`: the running maximum.

    None where a time more than LEAP_US before it shows that the maximum was none: then all that is not taken is looked at again.
    """
    merged = np.empty_like(times)
    return merged if accumulate(times, floor_us, EVENT_TIME_END_US, LEAP_US, merged) else None


def corrected_times(times: Ints, floor_us: int) -> Ints:
    """Merge times where the running maximum falls: what follows a maximum that was none begins anew, and what came before counts as no later."""
    usable = _usable(times)
    merged = np.empty_like(usable)
    at = 0
    while at < len(usable):
        rest = usable[at:]
        highest = np.maximum(np.maximum.accumulate(rest), floor_us)
        falls = np.flatnonzero((rest != NULL) & (rest < highest - LEAP_US))
        stop = at + (int(falls[0]) if len(falls) else len(rest))
        merged[at:stop] = highest[: stop - at]
        if stop < len(usable):
            floor_us = int(usable[stop])
        at = stop
    return np.minimum.accumulate(merged[::-1])[::-1]


def _usable(times: Ints) -> Ints:
    return np.where((times < 0) | (times >= EVENT_TIME_END_US), NULL, times)
