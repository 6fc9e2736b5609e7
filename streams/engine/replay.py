"""Replay: give a recorded deployment's external inputs to new machines under the lock-step driver, and compare all that they say.

Verify proves each step by itself; this proves that the whole comes to the same from the exchange's records alone. They are given turn by turn,
under their recorded offsets: by the turn the venue's header names, or, where a recording has none, by event time.
A part of them may be replayed, and with other parameters (whatif.py); the part decides whether anything recorded can be compared.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streams.bus.contract import Bus, Chunk, TopicPartition
from streams.bus.memory import MemoryBus
from streams.bus.recording import load
from streams.domain.events import NULL
from streams.engine.chunks import cut, read_all
from streams.engine.compare import Difference, DifferenceClass
from streams.engine.digests import OUTPUT_TOPICS, decision_digest, output_digest, state_digest
from streams.engine.journal import StepRecord
from streams.engine.lockstep import settle
from streams.engine.shard import RunnerOptions, ShardRunner
from streams.engine.task import MachineFactory, TaskSpec
from streams.engine.turns import turn_of
from streams.engine.verify import read_journals
from streams.topics import EXCHANGE_TOPICS
from streams.wire.kinds import decode

Ints = NDArray[np.int64]
OnTurn = Callable[[int, int], None]
Edit = Callable[[list[Chunk]], list[Chunk]]  # of the exchange's records, before they are given
OWNER = "replay"
PARAMETERS = ("instruments", "pools")  # always from their beginning: nothing can be valued without them


@dataclass(frozen=True, slots=True)
class Part:
    """Which of the exchange's records are replayed: `ranges` are the offsets [from, to) of partitions; one not named is replayed whole.

    What comes out is compared with the records before `until_ms` (None: with all), unless the part begins after the beginning of the log, or
    ends elsewhere than at one moment: the recorded outputs had other causes then (`is_comparable` False).
    """

    ranges: Mapping[TopicPartition, tuple[int, int]] | None = None
    until_ms: int | None = None
    is_comparable: bool = True


WHOLE = Part()


@dataclass(slots=True)
class ReplayReport:
    """What a replay gave and how it compares; digests are of the replay."""

    turns: int = 0
    inputs: int = 0
    outputs: int = 0
    state_digest: str = ""
    output_digest: str = ""
    decision_digest: str = ""
    reordered: list[TopicPartition] = field(default_factory=list)  # the same records, in another order
    differences: list[Difference] = field(default_factory=list)


async def replay(directory: Path, factory: MachineFactory) -> ReplayReport:
    """Replay a recorded directory. Raises CheckFailed when it cannot be read, Differs when its journals are damaged."""
    return await replay_bus(await load(directory), factory)


async def replay_bus(recorded: Bus, factory: MachineFactory, part: Part = WHOLE, *, on_turn: OnTurn | None = None) -> ReplayReport:
    """Replay what stands on a bus, or a part of it. `on_turn` hears how many turns are done, and of how many."""
    replayed = await rerun_bus(recorded, factory, part, on_turn=on_turn)
    report = replayed.report
    if not part.is_comparable:
        return report
    counts = await recorded.partitions()
    for partition in (TopicPartition(topic, number) for topic in OUTPUT_TOPICS for number in range(counts.get(topic, 0))):
        _compare(_before(await read_all(recorded, partition), part.until_ms), await read_all(replayed.bus, partition), report)
    if part.until_ms is None:
        _compare_states(replayed.journals, replayed.digests, report)
    return report


@dataclass(slots=True)
class Replayed:
    """A replay and what it left: the log with the records given and everything said, the recorded journals, the machines' last digests."""

    report: ReplayReport
    bus: MemoryBus
    journals: Mapping[TaskSpec, Sequence[StepRecord]]
    digests: Mapping[TaskSpec, bytes]


async def rerun_bus(
    recorded: Bus, factory: MachineFactory, part: Part = WHOLE, edit: Edit | None = None, *, on_turn: OnTurn | None = None
) -> Replayed:
    """Give the exchange's records of the part, edited if asked, to new machines; nothing is compared."""
    journals = await read_journals(recorded)
    counts = await recorded.partitions()
    bus = MemoryBus()
    await bus.create_topics(counts)
    options = RunnerOptions(patience_ms=None)
    runners = [ShardRunner(bus, spec, factory, owner=OWNER, options=options) for spec in journals]
    for runner in runners:
        await runner.start()
    report = ReplayReport()
    external = [TopicPartition(topic, number) for topic in EXCHANGE_TOPICS for number in range(counts.get(topic, 0))]
    chunks = [_within(await read_all(recorded, partition), part) for partition in external]
    turns = _turns(chunks if edit is None else edit(chunks))
    for turn in turns:
        for chunk in turn:
            bus.preload(chunk)
            report.inputs += len(chunk)
        await settle(runners)
        report.turns += 1
        if on_turn is not None:
            on_turn(report.turns, len(turns))
    digests = {runner.spec: runner.task.machine.digest() for runner in runners}
    report.state_digest = state_digest(digests.values())
    report.output_digest = await output_digest(bus)
    report.decision_digest = await decision_digest(bus)
    report.outputs = sum([len(await read_all(bus, TopicPartition(s, n))) for s in OUTPUT_TOPICS for n in range(counts.get(s, 0))])
    return Replayed(report, bus, journals, digests)


def _within(whole: Chunk, part: Part) -> Chunk:
    """The records of the part; those of parameters from their beginning."""
    start, stop = (part.ranges or {}).get(TopicPartition(whole.topic, whole.partition), (whole.start, whole.stop))
    if whole.topic in PARAMETERS:
        start = whole.start
    return cut(cut(whole, start)[1], stop)[0]


def _before(whole: Chunk, until_ms: int | None) -> Chunk:
    """The records written before a moment: outputs carry the time of the event that caused them."""
    if until_ms is None:
        return whole
    at = next((index for index, timestamp_ms in enumerate(whole.timestamps_ms) if timestamp_ms >= until_ms), len(whole))
    return _piece(whole, 0, at)


def _turns(wholes: Sequence[Chunk]) -> list[list[Chunk]]:
    """The external records turn by turn, each turn's as chunks that continue their partitions."""
    turns_of = _named_turns(wholes) or _event_times(wholes)
    pieces: dict[int, list[Chunk]] = {}
    for whole, turns in zip(wholes, turns_of, strict=True):
        turn_numbers, begins = np.unique(turns, return_index=True)
        bounds = [*begins.tolist(), len(turns)]
        for turn, low, high in zip(turn_numbers.tolist(), bounds, bounds[1:], strict=False):
            pieces.setdefault(turn, []).append(_piece(whole, low, high))
    return [pieces[turn] for turn in sorted(pieces)]


def _piece(whole: Chunk, low: int, high: int) -> Chunk:
    """Records `low` to `high` with the offsets between them and their neighbours, so that the pieces of a partition touch."""
    start = whole.start if low == 0 else whole.offsets[low]
    stop = whole.stop if high == len(whole) else whole.offsets[high]
    part = slice(low, high)
    return Chunk(
        whole.topic,
        whole.partition,
        start,
        stop,
        whole.offsets[part],
        whole.timestamps_ms[part],
        whole.keys[part],
        whole.values[part],
        whole.headers[part],
    )


def _named_turns(wholes: Sequence[Chunk]) -> list[Ints] | None:
    """The turn of every record as its header names it; None when any record has none."""
    named = []
    for whole in wholes:
        turns = [turn for headers in whole.headers if (turn := turn_of(headers)) is not None]
        if len(turns) < len(whole):
            return None
        named.append(np.maximum.accumulate(np.array(turns, np.int64)))
    return named


def _event_times(wholes: Sequence[Chunk]) -> list[Ints]:
    """Each record's turn by event time: the running maximum in its partition.

    One that cannot be read goes by its timestamp, with the first turn of that millisecond or later.
    """
    shown = [_decoded_times(whole) for whole in wholes]
    known = np.unique(np.concatenate([times[times != NULL] for times in shown]))
    turns = []
    for whole, times in zip(wholes, shown, strict=True):
        unread = times == NULL
        if unread.any() and len(known):
            stamps = np.array(whole.timestamps_ms, np.int64)[unread]
            times[unread] = known[np.minimum(np.searchsorted(known, stamps * 1000), len(known) - 1)]
        turns.append(np.maximum.accumulate(times))
    return turns


def _decoded_times(whole: Chunk) -> Ints:
    times = np.full(len(whole), NULL, np.int64)
    if len(whole):
        for part in decode(whole.topic, whole.values).values():
            times[part.good] = part.columns["event_time_us"]
    return times


def _compare(then: Chunk, now: Chunk, report: ReplayReport) -> None:
    """One output partition, recorded and replayed."""
    recorded, replayed = _records(then), _records(now)
    if recorded == replayed:
        return
    if Counter(recorded) == Counter(replayed):
        report.reordered.append(TopicPartition(then.topic, then.partition))
        return
    index = next((i for i, (a, b) in enumerate(zip(recorded, replayed, strict=False)) if a != b), min(len(recorded), len(replayed)))
    offset = then.offsets[index] if index < len(then) else then.stop
    text = f"{len(recorded)} records were recorded, {len(replayed)} come out now; record {index} is the first that is not the same"
    report.differences.append(Difference(DifferenceClass.CODE, text, topic=then.topic, partition=then.partition, offset=offset))


def _records(chunk: Chunk) -> list[tuple[int, bytes | None, bytes | None]]:
    return list(zip(chunk.timestamps_ms, chunk.keys, chunk.values, strict=True))


def _compare_states(journals: Mapping[TaskSpec, Sequence[StepRecord]], digests: Mapping[TaskSpec, bytes], report: ReplayReport) -> None:
    """The last state of each task. Where records came in another order, a state may rightly be another: then it is not compared."""
    if report.reordered:
        return
    for spec, records in journals.items():
        if records[-1].state_digest != digests[spec]:
            text = f"the last state has the digest {digests[spec].hex()}, recorded is {records[-1].state_digest.hex()}"
            report.differences.append(Difference(DifferenceClass.STATE, text, spec.task, spec.shard, records[-1].step))
