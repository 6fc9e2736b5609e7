"""How a shard finds its state again: newest good snapshot, then the journaled steps run again with nothing written, every digest compared.

A damaged snapshot is skipped and said; an older one, or the genesis, leads to the same state. A difference in a journaled step stops the shard.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from streams.bus.contract import Bus
from streams.engine.chunks import SliceReader
from streams.engine.compare import read_inputs, rerun
from streams.engine.gate import PoolsGate
from streams.engine.journal import StepRecord, records_from
from streams.engine.snapshot import SnapshotFile, SnapshotStore, read_snapshot, restore
from streams.engine.task import MachineFactory, Task, TaskSpec
from streams.errors import CheckFailed, ConfigurationProblem

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Recovered:
    """A task as its last journaled step left it."""

    task: Task
    gate: PoolsGate | None
    tail: StepRecord


def fresh(spec: TaskSpec, factory: MachineFactory, patience_ms: int | None) -> tuple[Task, PoolsGate | None]:
    """A task that has taken nothing yet, and its gate if it has one."""
    task = Task(spec, factory(spec.task, spec.shard, spec.shard_count))
    return task, PoolsGate(spec, patience_ms) if spec.task == "pools" else None


async def recover(
    bus: Bus, spec: TaskSpec, factory: MachineFactory, *, tail: StepRecord, snapshots: SnapshotStore | None, patience_ms: int | None
) -> Recovered:
    """The task after the step `tail`.

    Raises Differs naming the step and whether the input, the code or the state is another now, and ConfigurationProblem when the journal was
    written by another version of the rules.
    """
    task, gate = fresh(spec, factory, patience_ms)
    if tail.machine_version != task.machine.version:
        raise ConfigurationProblem(
            f"{spec.name}: the journal ends with version {tail.machine_version} of the rules, this worker has version {task.machine.version}; "
            "recovery never crosses versions: run the version that wrote the journal"
        )
    records: list[StepRecord] = []
    for file in snapshots.files(spec) if snapshots is not None else []:
        records = await records_from(bus, spec.journal, file.step)
        task, gate = fresh(spec, factory, patience_ms)
        if _restored(task, gate, file, records):
            break
    else:
        task, gate = fresh(spec, factory, patience_ms)
        records = await records_from(bus, spec.journal, 0)
        _check_start(task, records[0])
    slices = await SliceReader.open(bus, spec.inputs())
    try:
        for record in records[1:]:
            chunks = await read_inputs(record, slices)
            step = rerun(task, record, chunks)
            if gate is not None:
                gate.replayed(chunks, step)
    finally:
        await slices.close()
    return Recovered(task, gate, records[-1])


def _restored(task: Task, gate: PoolsGate | None, file: SnapshotFile, records: Sequence[StepRecord]) -> bool:
    """Restore the snapshot; False, and said in the log, when it is not to be trusted. `records` is the journal from its step on."""
    try:
        ref = next((record.snapshot for record in records if record.snapshot is not None and record.snapshot.step == file.step), None)
        if ref is None or records[0].step != file.step:
            raise CheckFailed(f"snapshot {file.path} is not listed in the journal: it was written, but never committed")
        restore(task, gate, file.step, read_snapshot(file, ref))
        if task.machine.digest() != records[0].state_digest:
            raise CheckFailed(f"snapshot {file.path} restores another state than step {file.step} recorded")
    except CheckFailed as error:
        log.warning("snapshot_skipped", task=task.spec.task, shard=task.spec.shard, step=file.step, reason=str(error))
        return False
    return True


def _check_start(task: Task, genesis: StepRecord) -> None:
    if genesis.step != 0:
        raise CheckFailed(f"{task.spec.name}: the journal begins with step {genesis.step}: its genesis is gone; restore the journal or a snapshot")
    if task.machine.digest() != genesis.state_digest:
        raise CheckFailed(f"{task.spec.name}: a new machine does not begin in the state that the genesis recorded: these are not the rules it ran")
