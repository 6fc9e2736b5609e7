"""However unevenly a shard reads what it is behind with, it takes it in the one order of everything."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.bus.contract import Chunk, TopicPartition
from streams.engine.chunks import by_partition, cut, join
from streams.engine.merge import merge
from streams.engine.order import TimeGate
from streams.topics import ACCOUNTS_READS
from tests.support.toy import fill, mark, record, spec

PARTITIONS = [*(TopicPartition("account-events", number) for number in range(3)), TopicPartition("marks", 0)]
Order = list[tuple[str, int, int]]


@st.composite
def logs(draw: st.DrawFn) -> dict[TopicPartition, Chunk]:
    """Records of every partition, some at the same time, some late, each partition as dense in time as it likes."""
    made = {}
    for partition in PARTITIONS:
        pace = draw(st.sampled_from((1, 1, 2, 40)))
        steps = draw(st.lists(st.sampled_from((0, 0, 1, 1, 2, 5, -3)), min_size=8, max_size=25))
        log, time_us = Chunk(*partition, 0, len(steps)), 100
        for offset, step in enumerate(steps):
            time_us = max(1, time_us + step * pace)
            row = mark(time_us) if partition.topic == "marks" else fill(time_us, 1, 1)
            log.append(offset, record("marks" if partition.topic == "marks" else "fills", row, partition.partition))
        made[partition] = log
    return made


def in_order(chunks: Sequence[Chunk], running: dict[TopicPartition, int]) -> Order:
    """What the machine is given by one step over these chunks."""
    streams: dict[str, list[Chunk]] = {}
    for partition, parts in sorted(by_partition(chunks).items()):
        whole = join(parts)
        if len(whole):
            streams.setdefault(partition.topic, []).append(whole)
    if not streams:
        return []
    batch, _ = merge(streams, ACCOUNTS_READS, running, ties=False)
    return [(stream, row["partition_"], row["offset_"]) for stream, _, row in batch]


def read_behind(data: st.DataObject, left: dict[TopicPartition, Chunk], *, ends_are_known: bool) -> list[Order]:
    """Steps of a shard that reads some records of some partitions at a time."""
    unknown = set() if ends_are_known else set(left)
    running: dict[TopicPartition, int] = {}
    gate = TimeGate(spec(), None, running)
    steps: list[Order] = []
    while any(len(log) for log in left.values()) or gate.waiting:
        wanted = gate.wanted() or PARTITIONS
        # The one it waits for gives something in the end, whatever the others do.
        for partition in data.draw(st.lists(st.sampled_from(PARTITIONS), max_size=4)) or PARTITIONS:
            if partition in wanted:
                unknown.discard(partition)
                count = min(data.draw(st.integers(1, 6)), len(left[partition]))
                chunk, left[partition] = cut(left[partition], left[partition].start + count)
                gate.push([chunk])
        taken = gate.take([partition for partition in PARTITIONS if len(left[partition]) or partition in unknown], 0)
        if any(map(len, taken)):
            steps.append(in_order(taken, running))
    return steps


@given(st.data(), logs(), st.booleans())
@settings(max_examples=120, deadline=None)
def test_what_is_taken_in_steps_is_what_one_step_over_everything_takes(
    data: st.DataObject, everything: dict[TopicPartition, Chunk], ends_are_known: bool
) -> None:
    steps = read_behind(data, dict(everything), ends_are_known=ends_are_known)
    assert [place for step in steps for place in step] == in_order(list(everything.values()), {})
