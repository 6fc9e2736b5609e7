"""One shard at work: take over, then read, step and commit, each step one atomic write of its outputs and its step record.

Crash-only: start and recovery are one path. After any error the state in memory is dropped; only the log says what was committed.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from streams.bus.contract import Bus, Chunk, Reader, TopicPartition, Writer
from streams.engine.gate import PoolsGate
from streams.engine.journal import NO_HASH, SnapshotRef, StepRecord, genesis_of, read_tail, seal, step_record
from streams.engine.recovery import fresh, recover
from streams.engine.snapshot import SnapshotStore, tables_of
from streams.engine.task import MachineFactory, Step, Task, TaskSpec
from streams.engine.turns import TurnHold
from streams.errors import CommitUnknown, UsageProblem

log = structlog.get_logger()

FULL_READ = 5_000  # records a read asks for at first, and always where steps must be cut the same way every time
READ_BOUNDS = (500, 40_000)
IDLE_WAIT_MS = 50
GATE_WAIT_MS = 5  # a gate that holds something back is asked again this soon: its patience may be over
OFF_LOOP_FROM = 2_000  # records from which a step is worth a thread: the loop must go on serving connections


@dataclass(frozen=True, slots=True)
class StepStats:
    """What is worth measuring about one committed step."""

    task: str
    shard: int
    step: int
    records: int
    outputs: int
    waiting: int  # records that have arrived and are held back by the gate
    event_time_us: int
    step_seconds: float
    commit_seconds: float


class Observer(Protocol):
    """Hears what the shard does; never asked for anything."""

    def on_step(self, stats: StepStats) -> None:
        """A step has been committed."""

    def on_alarm(self, spec: TaskSpec, name: str, facts: dict[str, Any]) -> None:
        """The machine or the gate has something for operators."""


class Silent:
    """An observer that does nothing."""

    def on_step(self, stats: StepStats) -> None:
        """Do nothing."""

    def on_alarm(self, spec: TaskSpec, name: str, facts: dict[str, Any]) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class RunnerOptions:
    """How a runner works; nothing here changes what is decided."""

    snapshot_every: int = 200_000  # records taken between two snapshots
    patience_ms: int | None = 50  # of the pools gate; None waits for ever
    target_step_ms: int | None = None  # None: reads are never resized


@dataclass(slots=True)
class _Live:
    """What a running shard holds; dropped as a whole."""

    task: Task
    gate: PoolsGate | None
    reader: Reader
    writer: Writer
    generation: int
    last_hash: bytes
    hold: TurnHold = field(default_factory=TurnHold)
    snapshot: SnapshotRef | None = None  # written, not yet listed
    writing: "asyncio.Task[SnapshotRef] | None" = None
    since_snapshot: int = 0  # records


class ShardRunner:
    """Runs one task's shard on a bus. `start` (again after any error), then `turn` by hand or `run`."""

    def __init__(
        self,
        bus: Bus,
        spec: TaskSpec,
        factory: MachineFactory,
        *,
        owner: str,
        snapshots: SnapshotStore | None = None,
        observer: Observer | None = None,
        options: RunnerOptions | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.spec = spec
        self._bus = bus
        self._factory = factory
        self._owner = owner
        self._snapshots = snapshots
        self._observer: Observer = observer or Silent()
        self._options = options or RunnerOptions()
        self._clock = clock
        self._live: _Live | None = None
        self._ask_for = FULL_READ

    @property
    def task(self) -> Task:
        """The running task. Raises UsageProblem when the shard is not running."""
        return self._running().task

    @property
    def waiting(self) -> int:
        """Records that have been read and are held back by the gate."""
        gate = self._running().gate
        return 0 if gate is None else gate.waiting

    async def start(self) -> None:
        """Take the shard over: fence earlier owners, find the state, stand ready to read on.

        Raises ConfigurationProblem on another topology or version, Differs when a journaled step does not come out the same,
        CheckFailed when the log no longer holds what is needed.
        """
        while True:
            await self.stop()
            try:
                self._live = await self._take_over()
            except CommitUnknown:
                continue  # of the genesis: the log knows
            return

    async def stop(self) -> None:
        """Let go of everything; what was not committed did not happen."""
        live, self._live = self._live, None
        if live is None:
            return
        if live.writing is not None:
            await asyncio.wait([live.writing])
        await live.reader.close()
        await live.writer.close()

    async def turn(self) -> bool:
        """Read once without waiting and take what may be taken; True when a step was committed.

        Raises Fenced when the shard has a newer owner. A commit without an answer is settled by taking the shard over again.
        """
        return await self._turn(wait_ms=0, in_background=False)

    async def run(self, stop: asyncio.Event) -> None:
        """Turn until `stop` is set. Raises what `turn` raises; the shard is let go of in any case."""
        try:
            while not stop.is_set():
                live = self._running()
                waiting = live.gate is not None and live.gate.waiting > 0
                if not await self._turn(wait_ms=GATE_WAIT_MS if waiting else IDLE_WAIT_MS, in_background=True):
                    await asyncio.sleep(0)  # a bus in this process never waits by itself, and others must get their turns
        finally:
            await self.stop()

    async def lag(self) -> dict[TopicPartition, int]:
        """Offsets not yet taken, by input partition."""
        live = self._running()
        return {partition: (await live.reader.bounds(partition))[1] - position for partition, position in live.task.positions.items()}

    def _running(self) -> _Live:
        if self._live is None:
            raise UsageProblem(f"{self.spec.name} is not running: start it first")
        return self._live

    async def _take_over(self) -> _Live:
        writer = await self._bus.writer(f"{self.spec.deployment}-{self.spec.name}")
        try:
            tail = await read_tail(self._bus, self.spec)
            if tail is None:
                task, gate = fresh(self.spec, self._factory, self._options.patience_ms)
                last_hash, generation = await self._found(task, writer), 1
            else:
                recovered = await recover(
                    self._bus, self.spec, self._factory, tail=tail, snapshots=self._snapshots, patience_ms=self._options.patience_ms
                )
                task, gate, last_hash, generation = recovered.task, recovered.gate, recovered.tail.own_hash, recovered.tail.generation + 1
            reader = await self._bus.reader(self.spec.inputs())
            for partition, position in task.positions.items():
                await reader.seek(partition, position)
        except BaseException:
            await writer.close()
            raise
        return _Live(task, gate, reader, writer, generation, last_hash)

    async def _found(self, task: Task, writer: Writer) -> bytes:
        """Write step 0; its own hash."""
        genesis = StepRecord(
            task=self.spec.task,
            shard=self.spec.shard,
            step=0,
            machine_version=task.machine.version,
            owner=self._owner,
            generation=1,
            event_time_us=task.machine.clock_us,
            slices=(),
            outputs=(),
            state_digest=task.machine.digest(),
            held=task.machine.held,
            previous_hash=NO_HASH,
            genesis=genesis_of(self.spec),
        )
        record, own_hash = seal(genesis)
        await writer.commit([record])
        return own_hash

    async def _turn(self, *, wait_ms: int, in_background: bool) -> bool:
        live = self._running()
        try:
            return await self._advance(live, wait_ms=wait_ms, in_background=in_background)
        except CommitUnknown:
            await self.start()
            return True
        except BaseException:
            # Whatever it was, memory and log may differ now.
            await self.stop()
            raise

    async def _advance(self, live: _Live, *, wait_ms: int, in_background: bool) -> bool:
        chunks = self._allowed(live, await self._read(live, wait_ms))
        count = sum(map(len, chunks))
        if not chunks:
            return False
        began = self._clock()
        step = await asyncio.to_thread(live.task.step, chunks) if count >= OFF_LOOP_FROM else live.task.step(chunks)
        if step is None:
            return False
        stepped = self._clock()
        await self._listed(live, wait=not in_background)
        await self._commit(live, step)
        self._tell(live, step, step_seconds=stepped - began, commit_seconds=self._clock() - stepped)
        self._resize(count, int((stepped - began) * 1000))
        self._begin_snapshot(live, step)
        return True

    async def _read(self, live: _Live, wait_ms: int) -> list[Chunk]:
        """One read; before a gate, reads until one comes back not full: it should judge by all that can be seen."""
        chunks = await live.reader.poll(max_records=self._ask_for, timeout_ms=wait_ms)
        more = chunks
        while live.gate is not None and sum(map(len, more)) >= self._ask_for:
            more = await live.reader.poll(max_records=self._ask_for, timeout_ms=0)
            chunks = chunks + more
        return chunks

    def _allowed(self, live: _Live, chunks: list[Chunk]) -> list[Chunk]:
        """What may be taken now of all that has been read."""
        if live.gate is None:
            return live.hold.take(chunks, live.task.counts)
        now_ms = int(self._clock() * 1000)
        live.gate.push(chunks, now_ms)
        taken = live.gate.take(now_ms)
        self._alarm(live.gate.alarms())
        return taken

    async def _commit(self, live: _Live, step: Step) -> None:
        record, own_hash = seal(
            step_record(
                self.spec,
                step,
                machine_version=live.task.machine.version,
                owner=self._owner,
                generation=live.generation,
                previous_hash=live.last_hash,
                snapshot=live.snapshot,
            )
        )
        await live.writer.commit([*step.records, record])
        live.last_hash, live.snapshot = own_hash, None
        if live.gate is not None:
            live.gate.said(step)

    def _begin_snapshot(self, live: _Live, step: Step) -> None:
        """The tables are taken now, between two steps; writing them is for a thread."""
        live.since_snapshot += step.taken
        if self._snapshots is None or live.writing is not None or live.since_snapshot < self._options.snapshot_every:
            return
        live.since_snapshot = 0
        write, tables = self._snapshots.write, tables_of(live.task, live.gate)
        live.writing = asyncio.create_task(asyncio.to_thread(write, self.spec, step.number, step.state_digest, tables))

    async def _listed(self, live: _Live, *, wait: bool) -> None:
        """A snapshot that is done is listed by the step about to be committed."""
        if live.writing is not None and (wait or live.writing.done()):
            writing, live.writing = live.writing, None
            try:
                live.snapshot = await writing
            except OSError as error:  # a full disk must not stop the shard: recovery only takes longer
                log.warning("snapshot_failed", task=self.spec.task, shard=self.spec.shard, reason=str(error))

    def _resize(self, count: int, took_ms: int) -> None:
        """Reads of half the size after a step that took too long, of twice the size after a full one that took less than half of that."""
        target_ms = self._options.target_step_ms
        if target_ms is None:
            return
        low, high = READ_BOUNDS
        if took_ms > target_ms:
            self._ask_for = max(low, self._ask_for // 2)
        elif count >= self._ask_for and took_ms * 2 < target_ms:
            self._ask_for = min(high, self._ask_for * 2)

    def _tell(self, live: _Live, step: Step, *, step_seconds: float, commit_seconds: float) -> None:
        self._alarm(step.alarms)
        self._observer.on_step(
            StepStats(
                task=self.spec.task,
                shard=self.spec.shard,
                step=step.number,
                records=step.taken,
                outputs=len(step.records),
                waiting=live.gate.waiting if live.gate is not None else 0,
                event_time_us=step.event_time_us,
                step_seconds=step_seconds,
                commit_seconds=commit_seconds,
            )
        )

    def _alarm(self, alarms: list[tuple[str, dict[str, Any]]]) -> None:
        for name, facts in alarms:
            self._observer.on_alarm(self.spec, name, facts)
