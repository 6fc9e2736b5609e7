"""What a step took, in the one order in which its machine heard it: worked out anew from the slices, with the checks' own reading."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from streams.bus.contract import NewRecord, TopicPartition
from streams.domain.events import NULL
from streams.topics import STREAMS
from streams.wire.records import account_of_key
from tests.simulation.decoding import Row, read
from tests.simulation.journal import digest
from tests.simulation.world import World

TIME_END_US = 2**53


class Placed(NamedTuple):
    """A record at its place: running maximum of event time, stream, tie, partition, offset. `row`: None where nothing reads it."""

    time_us: int
    rank: int
    tie: tuple[int, ...]
    partition: int
    offset: int
    row: Row | None
    account: int | None  # that the key names
    stream: str | None


class Ordering:
    """Steps of a shard one after the other."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        spec = world.shards[name].spec
        self._reads, self._ties = spec.reads, spec.task == "pools"
        self._running: dict[TopicPartition, int] = {}

    def of(self, step: Mapping[str, Any]) -> list[Placed]:
        """The records of the next step."""
        placed: list[Placed] = []
        for part in step["slices"]:
            if part["topic"] in self._reads:
                placed += self._of_slice(TopicPartition(part["topic"], part["partition"]), part)
        placed.sort(key=lambda entry: entry[:5])
        return placed

    def _of_slice(self, where: TopicPartition, part: Mapping[str, Any]) -> list[Placed]:
        rank, found = self._reads.index(where.topic), []
        names = STREAMS[where.topic].tie if self._ties and where.topic in STREAMS else ()
        for offset, record in zip(offsets(self._world, where, part), taken(self._world, where, part), strict=True):
            stream, row = decoded(self._world, where, offset, record) or (None, None)
            if row is not None and not 0 <= row["event_time_us"] < TIME_END_US:
                stream, row = None, None
            self._running[where] = time_us = max(self._running.get(where, 0), row["event_time_us"] if row else 0)
            tie = tuple((NULL if row is None or row[field] is None else row[field]) for field in names)
            found.append(Placed(time_us, rank, tie, where.partition, offset, row, account_of_key(where.topic, record.key), stream))
        return found


def decoded(world: World, where: TopicPartition, offset: int, record: NewRecord) -> tuple[str, Row] | None:
    """A record's stream and row, read once a run: no fault changes a value."""
    place = where, offset
    if place not in world.readings:
        world.readings[place] = read(where.topic, record.value)
    return world.readings[place]


def originals(world: World, where: TopicPartition, start: int, stop: int) -> list[NewRecord]:
    """Committed records of a range, as they were before a fault altered them."""
    return [world.originals.get((where, offset), record) for offset, record in world.broker.logs[where].committed(start, stop)]


def offsets(world: World, where: TopicPartition, part: Mapping[str, Any]) -> list[int]:
    """Offsets of what a slice took."""
    return [offset for offset, _ in world.broker.logs[where].committed(part["from"], part["to"])]


def taken(world: World, where: TopicPartition, part: Mapping[str, Any]) -> Sequence[NewRecord]:
    """What a slice took: the records as they are, or as they were where that is what its digest says."""
    if world.originals:
        before = originals(world, where, part["from"], part["to"])
        if digest(before) == part["digest"]:
            return before
    return [record for _, record in world.broker.logs[where].committed(part["from"], part["to"])]


def rows_of(world: World, stream: str) -> list[tuple[TopicPartition, int, NewRecord, Row]]:
    """Everything that was committed of a stream, by partition and offset."""
    found, topic = [], STREAMS[stream].topic
    for partition in range(world.broker.counts[topic]):
        where = TopicPartition(topic, partition)
        log = world.broker.logs[where]
        for offset, record in log.committed(0, log.end):
            told = decoded(world, where, offset, record)
            if told is not None and told[0] == stream:
                found.append((where, offset, record, told[1]))
    return found


def said_by(record: NewRecord) -> tuple[str, int]:
    """Shard and step that wrote a record."""
    task, shard, step = dict(record.headers)["step"].decode().split("/")
    return f"{task}-{shard}", int(step)
