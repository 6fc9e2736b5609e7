"""Running a journaled step again and saying what differs: the input, the code or the state. Recovery, verify and standby share it."""

from dataclasses import dataclass
from enum import StrEnum

from streams.bus.contract import Chunk, TopicPartition
from streams.engine.chunks import SliceReader
from streams.engine.journal import StepRecord
from streams.engine.task import Output, Step, Task
from streams.errors import BackstopError, CheckFailed, ImpossibleState
from streams.wire.digest import records_digest


class DifferenceClass(StrEnum):
    """What is not as it was.

    FILE: a file against its manifest. JOURNAL: a step record or its place in the chain. INPUT, OUTPUT: records against the digests of the step
    that took or wrote them. CODE: the same input gives other output. STATE: the same output, but another state after it.
    """

    FILE = "file"
    JOURNAL = "journal"
    INPUT = "input"
    OUTPUT = "output"
    CODE = "code"
    STATE = "state"


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference and where it stands; what is not known or does not apply is None."""

    kind: DifferenceClass
    text: str
    task: str | None = None
    shard: int | None = None
    step: int | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None

    def __str__(self) -> str:
        where = "" if self.task is None else f" {self.task}-{self.shard}"
        where += "" if self.step is None else f" step {self.step}"
        where += "" if self.topic is None else f" {self.topic}[{self.partition}]"
        where += "" if self.offset is None else f" offset {self.offset}"
        return f"{self.kind.value}:{where}: {self.text}"


class Differs(BackstopError):
    """A journaled step does not come out the same. Look at the class and the step named; the shard must not go on from there."""

    def __init__(self, difference: Difference) -> None:
        super().__init__(str(difference))
        self.difference = difference


def at(record: StepRecord, kind: DifferenceClass, text: str, partition: TopicPartition | None = None, offset: int | None = None) -> Difference:
    """A difference at a step."""
    topic, number = (None, None) if partition is None else partition
    return Difference(kind, text, record.task, record.shard, record.step, topic, number, offset)


async def read_inputs(record: StepRecord, slices: SliceReader) -> list[Chunk]:
    """What the step took, read again. Raises Differs (INPUT) when it is no longer there or no longer the same."""
    chunks = []
    for part in record.slices:
        partition = TopicPartition(part.topic, part.partition)
        try:
            chunk = await slices.take(partition, part.start, part.stop)
        except CheckFailed as error:
            raise Differs(at(record, DifferenceClass.INPUT, str(error), partition, part.start)) from error
        if len(chunk) != part.count:
            text = f"[{part.start}, {part.stop}) holds {len(chunk)} records, the step took {part.count}"
            raise Differs(at(record, DifferenceClass.INPUT, text, partition, part.start))
        if records_digest(chunk.timestamps_ms, chunk.keys, chunk.values) != part.digest:
            text = f"the records of [{part.start}, {part.stop}) are not those the step took"
            raise Differs(at(record, DifferenceClass.INPUT, text, partition, part.start))
        chunks.append(chunk)
    return chunks


def rerun(task: Task, record: StepRecord, chunks: list[Chunk]) -> Step:
    """Run the step again on the same input. Raises Differs: CODE for other outputs, STATE for another state after the same outputs."""
    if record.machine_version != task.machine.version:
        text = f"it was run by version {record.machine_version} of the rules, these are version {task.machine.version}"
        raise Differs(at(record, DifferenceClass.CODE, text))
    try:
        step = task.note() if record.is_note and record.upgrade is None else task.step(chunks)
    except (ImpossibleState, CheckFailed) as error:
        raise Differs(at(record, DifferenceClass.CODE, str(error))) from error
    if step is None:
        raise Differs(at(record, DifferenceClass.JOURNAL, "the step took no record for its machine"))
    difference = _outputs(record, step) or _state(record, step)
    if difference is not None:
        raise Differs(difference)
    return step


def _outputs(record: StepRecord, step: Step) -> Difference | None:
    ours, theirs = _by_partition(step.outputs), _by_partition(record.outputs)
    for partition in [*theirs, *(partition for partition in ours if partition not in theirs)]:
        mine, written = ours.get(partition), theirs.get(partition)
        if mine != written:
            counts = f"{mine.count if mine else 0} records now, {written.count if written else 0} then"
            return at(record, DifferenceClass.CODE, f"run again on the same input, the machine says something else ({counts})", partition)
    return None


def _state(record: StepRecord, step: Step) -> Difference | None:
    if step.state_digest != record.state_digest:
        text = f"the state after it has the digest {step.state_digest.hex()}, recorded is {record.state_digest.hex()}"
        return at(record, DifferenceClass.STATE, text)
    if (step.event_time_us, step.held) != (record.event_time_us, record.held):
        text = f"clock and waiting records after it are {step.event_time_us} and {step.held}, recorded are {record.event_time_us} and {record.held}"
        return at(record, DifferenceClass.STATE, text)
    return None


def _by_partition(outputs: tuple[Output, ...] | list[Output]) -> dict[TopicPartition, Output]:
    return {TopicPartition(output.topic, output.partition): output for output in outputs}
