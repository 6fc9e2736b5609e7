"""How a shard finds its state again: newest good snapshot, then the journaled steps run again with nothing written, every digest compared.

A damaged snapshot is skipped and said; an older one, or the genesis, leads to the same state. A difference in a journaled step stops the shard.
No step of another version of the rules is ever run: where the journal has an upgrade, only the snapshot it began from leads across.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from streams.bus.contract import Bus, TopicPartition
from streams.engine.chunks import SliceReader
from streams.engine.compare import read_inputs, rerun
from streams.engine.gate import PoolsGate
from streams.engine.identity import noted, present, refuse_others
from streams.engine.journal import StepRecord, Upgrade, records_from
from streams.engine.snapshot import SnapshotFile, SnapshotStore, read_snapshot, restore
from streams.engine.task import MachineFactory, Task, TaskSpec
from streams.errors import CheckFailed, ConfigurationProblem

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Base:
    """The snapshot a state was restored from, and where it stood in the inputs: what must stay readable."""

    step: int
    positions: dict[TopicPartition, int]


@dataclass(frozen=True, slots=True)
class Recovered:
    """A task as its last journaled step left it.

    `topics`: ids of those it stands on, as noted. `kept`: snapshots known to be listed and good, oldest first; none where everything was run again
    from the genesis. `is_covered`: whether nothing but notes came after the newest of them. `reran` counts steps.
    """

    task: Task
    gate: PoolsGate | None
    tail: StepRecord
    topics: dict[str, str]
    kept: tuple[Base, ...]
    is_covered: bool
    reran: int


def fresh(spec: TaskSpec, factory: MachineFactory, patience_ms: int | None) -> tuple[Task, PoolsGate | None]:
    """A task that has taken nothing yet, and its gate if it has one."""
    task = Task(spec, factory(spec.task, spec.shard, spec.shard_count))
    return task, PoolsGate(spec, patience_ms) if spec.task == "pools" else None


def refuse_version(spec: TaskSpec, tail: StepRecord, version: int) -> None:
    """Raises ConfigurationProblem where the journal was written by another version of the rules than `version`."""
    if tail.machine_version == version:
        return
    older = tail.machine_version < version
    remedy = (
        "stop every worker of the old version gracefully, so that it leaves a snapshot, then start this one with `backstop worker --upgrade`"
        if older
        else "run the newer version"
    )
    raise ConfigurationProblem(
        f"{spec.name}: the journal ends with version {tail.machine_version} of the rules, this worker has version {version}; "
        f"recovery never crosses versions: {remedy}"
    )


async def recover(
    bus: Bus, spec: TaskSpec, factory: MachineFactory, *, tail: StepRecord, snapshots: SnapshotStore | None, patience_ms: int | None
) -> Recovered:
    """The task after the step `tail`, or after a later one that has been journaled meanwhile.

    Raises Differs naming the step and whether the input, the code or the state is another now, and ConfigurationProblem when the journal was
    written by another version of the rules.
    """
    task, gate = fresh(spec, factory, patience_ms)
    refuse_version(spec, tail, task.machine.version)
    kept: tuple[Base, ...] = ()
    records: list[StepRecord] = []
    for file in snapshots.files(spec) if snapshots is not None else []:
        records = await records_from(bus, spec.journal, file.step)
        task, gate = fresh(spec, factory, patience_ms)
        if await asyncio.to_thread(leads_on, task, gate, file, records):
            kept = (Base(file.step, dict(task.positions)),)
            break
    else:
        task, gate = fresh(spec, factory, patience_ms)
        records = await records_from(bus, spec.journal, 0)
        _check_start(task, records)
    topics = noted(records)
    refuse_others(spec, topics, await present(bus, spec))
    left = [record for record in records if record.step > task.number]
    slices = await SliceReader.open(bus, spec.inputs())
    try:
        for record in left:
            await follow(task, gate, record, slices)
    finally:
        await slices.close()
    return Recovered(task, gate, records[-1], topics, kept, bool(kept) and all(record.is_note for record in left), len(left))


async def follow(task: Task, gate: PoolsGate | None, record: StepRecord, slices: SliceReader) -> None:
    """Run one journaled step again. Raises Differs where it does not come out the same."""
    chunks = await read_inputs(record, slices)
    step = await asyncio.to_thread(rerun, task, record, chunks)
    if gate is not None:
        gate.replayed(chunks, step)


@dataclass(frozen=True, slots=True)
class Upgraded:
    """A task of a new version in the state of the old one; `record` says so once it is journaled."""

    task: Task
    gate: PoolsGate | None
    record: StepRecord
    topics: dict[str, str]
    base: Base


async def upgrade(
    bus: Bus, spec: TaskSpec, factory: MachineFactory, *, tail: StepRecord, snapshots: SnapshotStore | None, patience_ms: int | None
) -> Upgraded:
    """Take over the state that the old version left in its newest snapshot.

    Raises ConfigurationProblem when that snapshot is not the journal's end, or this version is not the newer one.
    """
    task, gate = fresh(spec, factory, patience_ms)
    if task.machine.version < tail.machine_version:
        refuse_version(spec, tail, task.machine.version)
    for file in snapshots.files(spec) if snapshots is not None else []:
        records = await records_from(bus, spec.journal, file.step)
        if any(not record.is_note or record.upgrade is not None for record in records[1:]):
            break
        task, gate = fresh(spec, factory, patience_ms)
        if await asyncio.to_thread(_restored, task, gate, file, records, crossing=True):
            base = Base(file.step, dict(task.positions))
            task.number = tail.step + 1
            record = replace(
                tail,
                step=task.number,
                machine_version=task.machine.version,
                event_time_us=task.machine.clock_us,
                slices=(),
                outputs=(),
                state_digest=task.machine.digest(),
                held=task.machine.held,
                previous_hash=tail.own_hash,
                snapshot=None,
                genesis=None,
                upgrade=Upgrade(tail.machine_version, tail.state_digest),
                topics=(),
                epoch=None,
            )
            return Upgraded(task, gate, record, noted(records), base)
    raise ConfigurationProblem(
        f"{spec.name}: the journal ends with step {tail.step} of version {tail.machine_version}, and no good snapshot stands there: run that "
        "version once more and stop it gracefully (SIGTERM): it leaves one; then start this version with --upgrade"
    )


def leads_on(task: Task, gate: PoolsGate | None, file: SnapshotFile, records: Sequence[StepRecord]) -> bool:
    """Restore the snapshot and whatever notes say of its state; False, and said in the log, when it does not lead to the steps of these rules.

    `records` is the journal from the snapshot's step on. The task then stands at its `number`.
    """
    return _restored(task, gate, file, records)


def _restored(task: Task, gate: PoolsGate | None, file: SnapshotFile, records: Sequence[StepRecord], crossing: bool = False) -> bool:
    """A snapshot of the version before is restored only where an upgrade began from it, or (`crossing`) is about to."""
    try:
        ref = next((record.snapshot for record in records if record.snapshot is not None and record.snapshot.step == file.step), None)
        if ref is None or records[0].step != file.step:
            raise CheckFailed(f"snapshot {file.path} is not listed in the journal: it was written, but never committed")
        begins = records[0] if crossing else _begins(file, records, task.machine.version)
        restore(task, gate, file.step, read_snapshot(file, ref))
        _check_topology(task, file)
        task.number = begins.step
        if not crossing and task.machine.digest() != begins.state_digest:
            raise CheckFailed(f"snapshot {file.path} restores another state than step {begins.step} recorded")
    except CheckFailed as error:
        log.warning("snapshot_skipped", task=task.spec.task, shard=task.spec.shard, step=file.step, reason=str(error))
        return False
    return True


def _check_topology(task: Task, file: SnapshotFile) -> None:
    """Raises ConfigurationProblem where the snapshot reads other partitions: the genesis, which would tell, may have been deleted."""
    if task.positions.keys() != {*task.spec.inputs()}:
        raise ConfigurationProblem(
            f"{task.spec.name}: snapshot {file.path} was taken in a deployment of other partitions or shards than this worker is set to; correct the "
            "settings, or begin a new deployment"
        )


def _begins(file: SnapshotFile, records: Sequence[StepRecord], version: int) -> StepRecord:
    """The record whose state the snapshot gives to a machine of this version. Raises CheckFailed when it leads across no or two upgrades."""
    if records[0].machine_version == version:
        return records[0]
    for record in records[1:]:
        if record.upgrade is not None and record.machine_version == version:
            return record
        if not record.is_note or record.upgrade is not None:
            break
    raise CheckFailed(f"snapshot {file.path} is of version {records[0].machine_version} of the rules, and the journal goes on with others")


def _check_start(task: Task, records: Sequence[StepRecord]) -> None:
    genesis = records[0]
    if genesis.step != 0:
        raise CheckFailed(
            f"{task.spec.name}: the journal begins with step {genesis.step}: the records before it were deleted, its genesis among them, and no good "
            "snapshot of a step that is kept is here; restore the journal, or the snapshots of the worker that ran it"
        )
    if genesis.machine_version != task.machine.version:
        raise CheckFailed(
            f"{task.spec.name}: the journal was begun by version {genesis.machine_version} of the rules, and the snapshot that version "
            f"{task.machine.version} went on from is gone or damaged; restore it"
        )
    task.machine.found(genesis.epoch or 0)
    if task.machine.digest() != genesis.state_digest:
        raise CheckFailed(f"{task.spec.name}: a new machine does not begin in the state that the genesis recorded: these are not the rules it ran")
