"""Verify: whether all that was recorded is still there, byte for byte, and whether running it again comes to the same.

In this order: every file against the manifest, the chains of step records, then step by step from the genesis its inputs, its outputs as they
stand in the log, and its re-run; at last the snapshots. The first difference ends it: what comes after one is not to be trusted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from streams.bus.contract import Bus, Chunk, TopicPartition
from streams.bus.manifest import check_manifest
from streams.bus.recording import load
from streams.engine.chunks import SliceReader, read_all
from streams.engine.compare import Difference, DifferenceClass, Differs, at, read_inputs, rerun
from streams.engine.digests import OUTPUT_TOPICS
from streams.engine.identity import AnotherTopic, noted, present, refuse_others
from streams.engine.journal import StepRecord, check_genesis, check_link, emptied, open_record
from streams.engine.recovery import leads_on
from streams.engine.snapshot import SnapshotFile, SnapshotStore, read_snapshot, restore
from streams.engine.task import STEP_HEADER, MachineFactory, Output, Task, TaskSpec
from streams.errors import CheckFailed, ConfigurationProblem, UsageProblem
from streams.topics import ACCOUNT_EVENTS, JOURNALS
from streams.wire.digest import records_digest

SNAPSHOTS = "snapshots"
MAY_BE_GONE = frozenset({"dead-letters"})  # nothing is decided by them, and topics that were made for a week of them have lost some


OnStep = Callable[[int, int], None]


@dataclass(slots=True)
class Report:
    """What was looked at, and the first difference if there is one."""

    files: int = 0
    steps: int = 0
    other_versions: int = 0  # steps among them that other rules ran: their inputs and outputs were checked, they were not run again
    inputs: int = 0
    outputs: int = 0
    deleted: int = 0  # outputs that were written and are not kept any more, of topics of which that may be
    snapshots: int = 0
    difference: Difference | None = None

    @property
    def is_same(self) -> bool:
        """Whether everything is as it was."""
        return self.difference is None


@dataclass(slots=True)
class _Written:
    """What one step has in one partition of the log."""

    first_offset: int
    timestamps_ms: list[int] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    values: list[bytes | None] = field(default_factory=list)

    def output(self, partition: TopicPartition) -> Output:
        return Output(*partition, len(self.values), records_digest(self.timestamps_ms, self.keys, self.values))


Log = dict[bytes, dict[TopicPartition, _Written]]  # "<task>/<shard>/<step>" -> what it wrote


async def verify(directory: Path, factory: MachineFactory, *, on_step: OnStep | None = None) -> Report:
    """Verify a recorded directory. Damage is reported, never raised; UsageProblem when nothing ever ran there. `on_step` hears how far it is."""
    report = Report()
    try:
        report.files = len(check_manifest(directory))
        bus = await load(directory)
    except CheckFailed as error:
        report.difference = Difference(DifferenceClass.FILE, str(error))
        return report
    return await verify_bus(
        bus, factory, snapshots=SnapshotStore(directory / SNAPSHOTS, keep=None), all_snapshots=True, report=report, on_step=on_step
    )


async def verify_bus(
    bus: Bus, factory: MachineFactory, *, snapshots: SnapshotStore | None = None, all_snapshots: bool = False, report: Report | None = None,
    on_step: OnStep | None = None,
) -> Report:  # fmt: skip
    """Verify what stands on a bus, up to the newest step at the moment of reading. `all_snapshots`: every snapshot listed must be there."""
    report = report or Report()
    try:
        journals = await read_journals(bus)
        await _check_topics(bus, journals)
        log = await _read_outputs(bus, journals)
        total = sum(len(records) - 1 for records in journals.values())  # the genesis is none to be run again
        for spec, records in journals.items():
            await _verify_steps(bus, spec, records, factory, log=log, snapshots=snapshots, report=report, total=total, on_step=on_step)
        for spec, records in journals.items():
            if snapshots is not None:
                report.snapshots += _verify_snapshots(spec, records, factory, snapshots, all_snapshots=all_snapshots)
    except Differs as error:
        report.difference = error.difference
    return report


async def read_journals(bus: Bus) -> dict[TaskSpec, list[StepRecord]]:
    """Every task of the deployment and its step records, chained as they must be.

    The deployment has the shape that its genesis says: a topic may have grown since, and nobody writes or reads there. Raises Differs (JOURNAL),
    UsageProblem for a part of a log or without a genesis.
    """
    counts = await bus.partitions()
    journals: dict[TaskSpec, list[StepRecord]] = {}
    for topic in (JOURNALS["accounts"], ACCOUNT_EVENTS):
        if topic not in counts:
            raise UsageProblem(f"{topic} is not in this log: it is of a part of a deployment, whose steps cannot be checked")
    shards, partitions = counts[JOURNALS["accounts"]], counts[ACCOUNT_EVENTS]
    for task, topic in JOURNALS.items():
        for shard in range(shards if task == "accounts" else min(1, counts.get(topic, 0))):
            if task == "accounts" and shard >= shards:
                break
            records = await _read_journal(bus, TopicPartition(topic, shard))
            genesis = records[0].genesis
            assert genesis is not None
            if task == "accounts":
                shards, partitions = min(shards, genesis.shard_count), min(partitions, dict(genesis.inputs).get(ACCOUNT_EVENTS, partitions))
            spec = TaskSpec("accounts" if task == "accounts" else "pools", shard, shards, partitions, genesis.deployment, records[0].epoch or 0)
            try:
                check_genesis(spec, records[0])
            except ConfigurationProblem as error:
                raise Differs(at(records[0], DifferenceClass.JOURNAL, str(error), spec.journal)) from error
            journals[spec] = records
    if not journals:
        raise UsageProblem("there is no journal here: nothing has run")
    return journals


async def _read_journal(bus: Bus, journal: TopicPartition) -> list[StepRecord]:
    """Its step records from the genesis on. Raises Differs where records have been deleted, UsageProblem where there never were any."""
    chunk = await read_all(bus, journal)
    if len(chunk):
        return _chained(chunk)
    if chunk.start > 0:
        text = emptied(journal, chunk.start)
        raise Differs(Difference(DifferenceClass.JOURNAL, text, topic=journal.topic, partition=journal.partition, offset=chunk.start))
    raise UsageProblem(f"{journal.topic}[{journal.partition}] is empty: that task has never run here; nothing can be checked against it")


async def _check_topics(bus: Bus, journals: dict[TaskSpec, list[StepRecord]]) -> None:
    """Raises Differs where a topic is not the one that a journal's offsets are of."""
    for spec, records in journals.items():
        try:
            refuse_others(spec, noted(records), await present(bus, spec))
        except AnotherTopic as error:
            raise Differs(at(records[-1], DifferenceClass.JOURNAL, str(error), spec.journal)) from error


def _chained(chunk: Chunk) -> list[StepRecord]:
    journal = TopicPartition(chunk.topic, chunk.partition)
    records: list[StepRecord] = []
    for offset, value in zip(chunk.offsets, chunk.values, strict=True):
        try:
            record = open_record(journal, offset, value)
        except CheckFailed as error:
            raise Differs(Difference(DifferenceClass.JOURNAL, str(error), topic=journal.topic, partition=journal.partition, offset=offset)) from error
        wrong = check_link(records[-1] if records else None, record)
        if wrong is not None and not records and chunk.start > 0:
            wrong = f"the journal begins with step {record.step}: the records before it were deleted, so nothing can be run again from the genesis"
        if wrong is not None:
            raise Differs(at(record, DifferenceClass.JOURNAL, wrong, journal, offset))
        records.append(record)
    return records


async def _read_outputs(bus: Bus, journals: dict[TaskSpec, list[StepRecord]]) -> Log:
    """Outputs by the step that their header names; steps after the journal's end are left out. Raises Differs for one that names no step."""
    tails: dict[tuple[str, int], int] = {(spec.task, spec.shard): records[-1].step for spec, records in journals.items()}
    counts = await bus.partitions()
    log: Log = {}
    for topic in OUTPUT_TOPICS:
        for number in range(counts.get(topic, 0)):
            partition = TopicPartition(topic, number)
            chunk = await read_all(bus, partition)
            for index, headers in enumerate(chunk.headers):
                name = dict(headers).get(STEP_HEADER, b"")
                step = _step_of(name, tails)
                if step is None:
                    text = f"its header names no step ({name!r})"
                    raise Differs(Difference(DifferenceClass.OUTPUT, text, topic=topic, partition=number, offset=chunk.offsets[index]))
                if step:
                    written = log.setdefault(name, {}).setdefault(partition, _Written(chunk.offsets[index]))
                    written.timestamps_ms.append(chunk.timestamps_ms[index])
                    written.keys.append(chunk.keys[index])
                    written.values.append(chunk.values[index])
    return log


def _step_of(name: bytes, tails: dict[tuple[str, int], int]) -> bool | None:
    """Whether the header names a step that has been read; None when it names nothing."""
    match name.decode("ascii", "replace").split("/"):
        case [task, shard, step] if shard.isdecimal() and step.isdecimal() and (task, int(shard)) in tails:
            return int(step) <= tails[(task, int(shard))]
        case _:
            return None


async def _verify_steps(
    bus: Bus, spec: TaskSpec, records: Sequence[StepRecord], factory: MachineFactory, *, log: Log, snapshots: SnapshotStore | None, report: Report,
    total: int, on_step: OnStep | None,
) -> None:  # fmt: skip
    task = _beginning(spec, records, factory, snapshots)
    first_kept = await _first_kept(bus)
    slices = await SliceReader.open(bus, spec.inputs())
    try:
        for record in records[1:]:
            chunks = await read_inputs(record, slices)
            _check_outputs(record, log, first_kept, report)
            if task is not None and record.step > task.number:
                rerun(task, record, chunks)
            else:
                report.other_versions += 1
            report.steps += 1
            report.inputs += sum(map(len, chunks))
            report.outputs += sum(output.count for output in record.outputs)
            if on_step is not None:
                on_step(report.steps, total)
    finally:
        await slices.close()


def _beginning(spec: TaskSpec, records: Sequence[StepRecord], factory: MachineFactory, snapshots: SnapshotStore | None) -> Task | None:
    """From where on steps can be run again: the genesis; where these rules took over later, the earliest snapshot that leads there, if any."""
    task = Task(spec, factory(spec.task, spec.shard, spec.shard_count))
    task.machine.found(records[0].epoch or 0)
    if all(record.upgrade is None for record in records):
        if task.machine.digest() != records[0].state_digest:
            raise Differs(at(records[0], DifferenceClass.STATE, "a new machine does not begin in the state that the genesis recorded"))
        return task
    for file in reversed(snapshots.files(spec) if snapshots is not None else []):
        task = Task(spec, factory(spec.task, spec.shard, spec.shard_count))
        if file.step < len(records) and leads_on(task, None, file, records[file.step :]):
            return task
    return None


async def _first_kept(bus: Bus) -> dict[TopicPartition, int]:
    """Where the log of each output partition begins now: retention may have taken what came before."""
    counts = await bus.partitions()
    partitions = [TopicPartition(topic, number) for topic in OUTPUT_TOPICS for number in range(counts.get(topic, 0))]
    reader = await bus.reader(partitions)
    try:
        return {partition: (await reader.bounds(partition))[0] for partition in partitions}
    finally:
        await reader.close()


def _check_outputs(record: StepRecord, log: Log, first_kept: dict[TopicPartition, int], report: Report) -> None:
    """Compare what a step wrote, and count it. Raises Differs where it is another, or gone from a topic from which nothing may be."""
    written = log.get(f"{record.task}/{record.shard}/{record.step}".encode(), {})
    listed = {TopicPartition(output.topic, output.partition): output for output in record.outputs}
    for partition in sorted(listed.keys() | written.keys()):
        found, output = written.get(partition), listed.get(partition)
        if output is None:
            assert found is not None
            raise Differs(at(record, DifferenceClass.OUTPUT, "it lists no records there, but there are some", partition, found.first_offset))
        if found is not None and found.output(partition) == output:
            report.outputs += output.count
            continue
        begins = first_kept.get(partition, 0)  # the whole topic may be gone
        if begins > 0 and partition.topic in MAY_BE_GONE:
            report.deleted += output.count
        elif found is None:
            text = f"none of the {output.count} records it wrote is there"
            text += f": the log begins at offset {begins}, what came before was deleted; restore it from a recording" if begins else ""
            raise Differs(at(record, DifferenceClass.OUTPUT, text, partition))
        else:
            text = f"{len(found.values)} records from here on are not the {output.count} that it wrote"
            text += f": the log begins at offset {begins}, what came before was deleted; restore it from a recording" if begins else ""
            raise Differs(at(record, DifferenceClass.OUTPUT, text, partition, found.first_offset))


def _verify_snapshots(
    spec: TaskSpec, records: Sequence[StepRecord], factory: MachineFactory, snapshots: SnapshotStore, *, all_snapshots: bool
) -> int:
    """Every snapshot listed: its file's bytes, and the state it restores. Returns how many there were."""
    files = {file.step: file for file in snapshots.files(spec)}
    checked = 0
    for record in records:
        ref = record.snapshot
        if ref is None or (ref.step not in files and not all_snapshots):
            continue
        file = files.get(ref.step, SnapshotFile(snapshots.directory / f"{spec.name}-{ref.step}", ref.step))
        task = Task(spec, factory(spec.task, spec.shard, spec.shard_count))
        if records[ref.step].machine_version != task.machine.version:
            continue
        try:
            restore(task, None, ref.step, read_snapshot(file, ref))
        except CheckFailed as error:
            raise Differs(at(record, DifferenceClass.FILE, str(error))) from error
        if task.machine.digest() != records[ref.step].state_digest:
            raise Differs(at(record, DifferenceClass.STATE, f"snapshot {file.path} restores another state than step {ref.step} recorded"))
        checked += 1
    return checked
