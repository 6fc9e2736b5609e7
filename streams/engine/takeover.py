"""Taking a shard over: fence, look whether it is still ours, read the journal's tail, find the state, stand ready to read on.

The state comes from where it costs least: a warm standby, a snapshot, the genesis; or, when told to, from the version of the rules before.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from streams.bus.contract import Bus, Reader, Writer
from streams.domain.ids import deployment_epoch
from streams.engine.gate import PoolsGate
from streams.engine.identity import present, refuse_others
from streams.engine.journal import NO_HASH, SnapshotRef, StepRecord, genesis_of, note_after, read_tail, seal
from streams.engine.order import TimeGate
from streams.engine.recovery import Base, Recovered, fresh, recover, upgrade
from streams.engine.snapshot import SnapshotStore
from streams.engine.standby import Standby
from streams.engine.task import MachineFactory, Task, TaskSpec
from streams.engine.turns import TurnHold
from streams.errors import Fenced

INSTRUCTIONS = "instructions"


@dataclass(frozen=True, slots=True)
class Seat:
    """Whose shard is run where. `upgrades`: whether the journal of an older version of the rules may be gone on with."""

    bus: Bus
    spec: TaskSpec
    factory: MachineFactory
    owner: str
    snapshots: SnapshotStore | None
    patience_ms: int | None
    still_assigned: Callable[[], bool]
    standby: Standby | None
    upgrades: bool
    in_order: bool = True  # see RunnerOptions
    order_patience_ms: int | None = None


@dataclass(slots=True)
class Live:
    """What a running shard holds; dropped as a whole."""

    task: Task
    gate: PoolsGate | None
    order: TimeGate | None  # of an accounts shard
    reader: Reader
    writer: Writer
    generation: int
    tail: StepRecord
    topics: dict[str, str]  # ids of those it stands on
    origin: str  # genesis, journal, snapshot, standby or upgrade
    reran: int  # steps
    kept: list[Base]  # snapshots listed in the journal that stay, oldest first
    is_covered: bool  # by a listed snapshot: nothing but notes came after it
    hold: TurnHold = field(default_factory=TurnHold)
    snapshot: SnapshotRef | None = None  # written, not yet listed
    begun: Base | None = None  # where the newest snapshot was taken
    writing: "asyncio.Task[SnapshotRef] | None" = None
    since_snapshot: int = 0  # records


async def take_over(seat: Seat) -> Live:
    """The shard, running. Raises what `ShardRunner.start` raises, and CommitUnknown when a genesis or an upgrade got no answer."""
    writer = await seat.bus.writer(f"{seat.spec.deployment}-{seat.spec.name}")
    try:
        if not seat.still_assigned():
            raise Fenced(f"{seat.spec.name} was assigned to another worker while this one was taking it over: it is left alone")
        found, origin, generation = await _state(seat, writer, await read_tail(seat.bus, seat.spec))
        found = await _noted(seat, writer, found, generation)
        reader = await seat.bus.reader(seat.spec.inputs())
        try:
            for partition, position in found.task.positions.items():
                await reader.seek(partition, position)
        except BaseException:
            await reader.close()
            raise
    except BaseException:
        await writer.close()
        raise
    return Live(
        task=found.task,
        gate=found.gate,
        order=_order(seat, found.task),
        reader=reader,
        writer=writer,
        generation=generation,
        tail=found.tail,
        topics=found.topics,
        origin=origin,
        reran=found.reran,
        kept=list(found.kept),
        is_covered=found.is_covered,
    )


def _order(seat: Seat, task: Task) -> TimeGate | None:
    if seat.spec.task != "accounts" or not seat.in_order:
        return None
    return TimeGate(seat.spec, seat.order_patience_ms, task.running)


async def _state(seat: Seat, writer: Writer, tail: StepRecord | None) -> tuple[Recovered, str, int]:
    """(state, where it came from, generation)."""
    if tail is None:
        return await _found(seat, writer), "genesis", 1
    generation = tail.generation + 1
    if seat.standby is not None and (warm := await seat.standby.hand_over(tail)) is not None:
        return warm, "standby", generation
    if seat.upgrades and tail.machine_version != fresh(seat.spec, seat.factory, None)[0].machine.version:
        return await _upgraded(seat, writer, tail), "upgrade", generation
    recovered = await recover(seat.bus, seat.spec, seat.factory, tail=tail, snapshots=seat.snapshots, patience_ms=seat.patience_ms)
    return recovered, "snapshot" if recovered.kept else "journal", generation


async def _noted(seat: Seat, writer: Writer, found: Recovered, generation: int) -> Recovered:
    """Hold the ids of the topics against those noted, and note those that are not yet: a journal may be older than the keeping of ids."""
    now = await present(seat.bus, seat.spec)
    refuse_others(seat.spec, found.topics, now)
    if now.keys() <= found.topics.keys():
        return found
    topics = {**found.topics, **now}
    tail = await journal_alone(writer, note_after(found.tail, owner=seat.owner, generation=generation, snapshot=None, topics=topics))
    found.task.number = tail.step
    return replace(found, tail=tail, topics=topics)


async def _found(seat: Seat, writer: Writer) -> Recovered:
    """Write step 0."""
    task, gate = fresh(seat.spec, seat.factory, seat.patience_ms)
    topics = await present(seat.bus, seat.spec)
    epoch = seat.spec.epoch
    if epoch is None:
        epoch = deployment_epoch(seat.spec.deployment, topics.get(INSTRUCTIONS))
    task.machine.found(epoch)
    genesis = StepRecord(
        task=seat.spec.task,
        shard=seat.spec.shard,
        step=0,
        machine_version=task.machine.version,
        owner=seat.owner,
        generation=1,
        event_time_us=task.machine.clock_us,
        slices=(),
        outputs=(),
        state_digest=task.machine.digest(),
        held=task.machine.held,
        previous_hash=NO_HASH,
        genesis=genesis_of(seat.spec),
        topics=tuple(topics.items()),
        epoch=epoch,
    )
    return Recovered(task, gate, await journal_alone(writer, genesis), topics, kept=(), is_covered=True, reran=0)


async def _upgraded(seat: Seat, writer: Writer, tail: StepRecord) -> Recovered:
    """Write that this version has taken over the state of the one before."""
    new = await upgrade(seat.bus, seat.spec, seat.factory, tail=tail, snapshots=seat.snapshots, patience_ms=seat.patience_ms)
    record = replace(new.record, owner=seat.owner, generation=tail.generation + 1)
    # Not covered: this version should leave a snapshot of its own as soon as it stops.
    return Recovered(new.task, new.gate, await journal_alone(writer, record), new.topics, kept=(new.base,), is_covered=False, reran=0)


async def journal_alone(writer: Writer, record: StepRecord) -> StepRecord:
    """Commit a step record without outputs; returns it with its own hash."""
    sealed, own_hash = seal(record)
    await writer.commit([sealed])
    return record.sealed(own_hash)
