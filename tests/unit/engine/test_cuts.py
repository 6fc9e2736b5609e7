"""For one merged order, outputs and state do not depend on where steps are cut."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.bus.contract import Chunk, NewRecord
from streams.domain.batch import Row
from streams.engine.machine import Machine
from streams.engine.task import Task
from streams.risk.machine import RiskMachine
from streams.topics import STREAMS
from streams.wire.records import ACCOUNT
from tests.support.toy import UNKNOWN_INSTRUMENT, ToyAccounts, fill, mark, record, spec

Place = tuple[str, int, int]
STAMPS_MS = (-1, 0, 1, 20, 1_760_000_000_000, 2**53)

rows = st.one_of(
    st.builds(
        lambda t, a, lots, i: ("fills", a % 3, fill(t, a, lots, instrument=i)),
        st.integers(1, 30),
        st.integers(1, 6),
        st.integers(-3, 3).filter(bool),
        st.sampled_from([1, 1, 1, UNKNOWN_INSTRUMENT]),
    ),
    st.builds(lambda t, n: ("marks", 0, mark(t, n)), st.integers(1, 30), st.integers(1, 99)),
    # Unreadable ones, with timestamps from none at all to those of another age.
    st.builds(
        lambda p, a, ms: ("fills", p, NewRecord("account-events", p, ms, ACCOUNT.pack(a), b"no avro")),
        st.integers(0, 2),
        st.integers(1, 6),
        st.sampled_from(STAMPS_MS),
    ),
    st.builds(lambda ms: ("marks", 0, NewRecord("marks", 0, ms, None, b"no avro")), st.sampled_from(STAMPS_MS)),
)


def log(said: list[tuple[str, int, Row | NewRecord]]) -> dict[tuple[str, int], list[NewRecord]]:
    """Partitions and their records."""
    partitions: dict[tuple[str, int], list[NewRecord]] = {}
    for stream, partition, row in said:
        made = row if isinstance(row, NewRecord) else record(stream, row, partition)
        partitions.setdefault((made.topic, partition), []).append(made)
    return partitions


def chunks(partitions: dict[tuple[str, int], list[NewRecord]], places: list[Place], done: dict[tuple[str, int], int]) -> list[Chunk]:
    """The next records of the merged order as one chunk a partition."""
    made: dict[tuple[str, int], Chunk] = {}
    for stream, partition, offset in places:
        chunk = made.setdefault((stream, partition), Chunk(stream, partition, done.get((stream, partition), 0), 0))
        source = partitions[stream, partition][offset]
        chunk.append(offset, source)
        chunk.stop = done[stream, partition] = offset + 1
    return list(made.values())


def merged(partitions: dict[tuple[str, int], list[NewRecord]], times: dict[Place, int]) -> list[Place]:
    """The order, the obvious way: running maximum of event time, fills before marks, partition, offset."""
    keyed = []
    for (stream, partition), records in partitions.items():
        newest = 0
        for offset in range(len(records)):
            newest = max(newest, times.get((stream, partition, offset), 0))
            keyed.append((newest, ["account-events", "marks"].index(stream), partition, offset, stream))
    return [(stream, partition, offset) for _, _, partition, offset, stream in sorted(keyed)]


def outcome(partitions: dict[tuple[str, int], list[NewRecord]], pieces: list[list[Place]], machine: Machine) -> tuple[Any, ...]:
    task = Task(spec(account_partitions=3), machine)
    said: dict[str, list[tuple[Any, ...]]] = {}
    done: dict[tuple[str, int], int] = {}
    for places in pieces:
        step = task.step(chunks(partitions, places, done))
        for each in step.records if step is not None else []:
            assert isinstance(each, NewRecord)
            said.setdefault(each.topic, []).append((each.partition, each.timestamp_ms, each.key, each.value))
    return said, task.machine.digest(), task.positions, task.running


@pytest.mark.parametrize("machine", [ToyAccounts, lambda: RiskMachine(0, 1)], ids=["toy", "risk"])
@settings(max_examples=60, deadline=None)
@given(said=st.lists(rows, min_size=1, max_size=40), data=st.data())
def test_outputs_and_state_do_not_depend_on_where_steps_are_cut(machine: Callable[[], Machine], said: Any, data: st.DataObject) -> None:
    partitions = log(said)
    times: dict[Place, int] = {}
    counts: dict[tuple[str, int], int] = {}
    for stream, partition, row in said:
        topic = STREAMS[stream].topic
        offset = counts[topic, partition] = counts.get((topic, partition), -1) + 1
        if not isinstance(row, NewRecord):
            times[topic, partition, offset] = row["event_time_us"]
    order = merged(partitions, times)
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(order) - 1)), max_size=6)))
    pieces = [order[low:high] for low, high in zip([0, *cuts], [*cuts, len(order)], strict=True)]
    whole = outcome(partitions, [order], machine())
    assert outcome(partitions, pieces, machine()) == whole
    assert outcome(partitions, [[place] for place in order], machine()) == whole
