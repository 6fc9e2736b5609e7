"""The whole step (decode, merge, machine, encode) over logs with records that no producer should write: nothing ends a task, and nothing it says
depends on where steps are cut.

More seeds by hand: `STEP_FUZZ_SEEDS=1000:2000 pytest tests/property/test_step_fuzz.py`.
"""

import asyncio
import os
import random
from typing import Any

import pytest

from streams.bus.contract import Chunk, NewRecord, RecordBlock, TopicPartition
from streams.domain.batch import UNDECODABLE, Batch, Outputs
from streams.engine.chunks import read_all
from streams.engine.machine import Machine
from streams.engine.snapshot import pack, unpack
from streams.engine.task import Step, Task, TaskSpec
from streams.tasks import lasting_of, machine_for, totals_of
from streams.topics import JOURNALS, STREAMS
from streams.venue.scenarios.registry import build
from tests.support.odd_records import Log, Odd
from tests.support.pipeline import PARTITIONS, run

FIRST, STOP = map(int, os.environ.get("STEP_FUZZ_SEEDS", "0:12").split(":"))
RATES = (0.003, 0.02, 0.1, 0.5)
SPECS = [TaskSpec("accounts", 0, 1, PARTITIONS, "fuzz"), TaskSpec("pools", 0, 1, PARTITIONS, "fuzz")]
Place = tuple[TopicPartition, int]
Said = dict[str, list[tuple[Any, ...]]]


class Watching:
    """A machine that keeps what it was given: the one order of a step, with times."""

    def __init__(self, machine: Machine, reads: tuple[str, ...]) -> None:
        self._machine, self._reads = machine, reads
        self.given: list[tuple[Place, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._machine, name)

    def step(self, batch: Batch) -> Outputs:
        for stream, start, stop in batch.runs:
            rows = batch.rows[stream]
            for index in range(start, stop):
                source = self._reads[int(rows.columns["source"][index])] if stream == UNDECODABLE else STREAMS[stream].topic
                place = TopicPartition(source, int(rows.partition[index])), int(rows.offset[index])
                self.given.append((place, int(rows.time_us[index])))
        return self._machine.step(batch)


@pytest.fixture(scope="module")
def logs() -> dict[str, Log]:
    """What each task reads of a run with liquidations, takeovers, waves and deficits in it."""

    async def read(spec: TaskSpec) -> Log:
        chunks = [await read_all(ran.bus, partition) for partition in spec.inputs() if partition.topic not in JOURNALS.values()]
        return {TopicPartition(chunk.topic, chunk.partition): _records(chunk) for chunk in chunks}

    ran = run(build("cascade", accounts=20, seed=3, account_partitions=PARTITIONS), shards=1)
    return {spec.task: asyncio.run(read(spec)) for spec in SPECS}


def _records(chunk: Chunk) -> list[NewRecord]:
    columns = zip(chunk.timestamps_ms, chunk.keys, chunk.values, strict=True)
    return [NewRecord(chunk.topic, chunk.partition, time_ms, key, value) for time_ms, key, value in columns]


def _chunks(log: Log, pieces: list[Place], done: dict[TopicPartition, int]) -> list[Chunk]:
    """The records at these places, one chunk a partition."""
    stops: dict[TopicPartition, int] = {}
    for partition, offset in pieces:  # ties may stand in another order than in their partition
        stops[partition] = max(offset + 1, stops.get(partition, 0))
    made = []
    for partition, stop in stops.items():
        chunk = Chunk(*partition, done.get(partition, 0), stop)
        for offset in range(chunk.start, stop):
            chunk.append(offset, log[partition][offset])
        done[partition] = stop
        made.append(chunk)
    return made


def _keep(step: Step | None, said: Said) -> None:
    for record in step.records if step is not None else []:
        for each in record.singly() if isinstance(record, RecordBlock) else [record]:
            said.setdefault(each.topic, []).append((each.partition, each.timestamp_ms, each.key, each.value))


def _restored(task: Task) -> Task:
    """The same task, from its tables as a snapshot's file carries them; what is asked of it between steps can be answered."""
    list(lasting_of(task.machine))
    totals_of([task.machine])
    again = Task(task.spec, machine_for(task.spec.task, task.spec.shard, task.spec.shard_count))
    again.machine.restore(unpack(pack(task.machine.snapshot())))
    again.restore(task.number, positions=task.positions, counts=task.counts, running=task.running)
    assert again.machine.digest() == task.machine.digest()
    return again


def whole(spec: TaskSpec, log: Log) -> tuple[list[tuple[Place, int]], Said, bytes]:
    """One step over everything: the order in which the machine was given it, what was said, and the state."""
    watching = Watching(machine_for(spec.task, spec.shard, spec.shard_count), spec.reads)
    task, said = Task(spec, watching), Said()
    everything = [(partition, offset) for partition, records in log.items() for offset in range(len(records))]
    _keep(task.step(_chunks(log, everything, {})), said)
    return watching.given, said, task.machine.digest()


def in_pieces(spec: TaskSpec, log: Log, order: list[tuple[Place, int]], draw: random.Random) -> tuple[Said, bytes]:
    """The same in steps; the pools task, to which one time is one event, is not cut within one. Now and then it dies and is restored."""
    places = [n for n in range(1, len(order)) if spec.task == "accounts" or order[n - 1][1] != order[n][1]]
    cuts = sorted(draw.sample(places, min(len(places), draw.choice((1, 3, 30)))))
    task, said, done = Task(spec, machine_for(spec.task, spec.shard, spec.shard_count)), Said(), dict[TopicPartition, int]()
    for low, high in zip([0, *cuts], [*cuts, len(order)], strict=True):
        _keep(task.step(_chunks(log, [place for place, _ in order[low:high]], done)), said)
        if draw.random() < 0.2:
            task = _restored(task)
    return said, task.machine.digest()


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.task)
@pytest.mark.parametrize("seed", range(FIRST, STOP))
def test_odd_records_end_no_task_and_come_to_the_same_wherever_steps_are_cut(logs: dict[str, Log], spec: TaskSpec, seed: int) -> None:
    draw = random.Random(seed)
    log = Odd(seed, RATES[seed % len(RATES)]).log(logs[spec.task])
    order, said, digest = whole(spec, log)
    assert len(order) == sum(map(len, log.values()))
    again, digest_again = in_pieces(spec, log, order, draw)
    assert again.keys() == said.keys()
    for topic, records in said.items():
        if topic == "dead-letters":  # the machine's own stand before the engine's of the same step
            assert sorted(again[topic]) == sorted(records)
        else:
            assert again[topic] == records, topic
    assert digest_again == digest
