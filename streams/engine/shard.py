"""One shard at work: read, step and commit, each step one atomic write of its outputs and its step record.

Crash-only: start and recovery are one path (`streams/engine/takeover.py`). After any error the state in memory is dropped; only the log says
what was committed.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from streams.bus.contract import Bus, Chunk
from streams.domain.alarms import Alarm
from streams.domain.batch import Raised
from streams.engine.identity import grown, present, refuse_others
from streams.engine.journal import note_after, seal, step_record
from streams.engine.observer import Observer, Silent, StepStats
from streams.engine.pacing import Pace, is_urgent
from streams.engine.recovery import Base
from streams.engine.snapshot import SnapshotStore, tables_of
from streams.engine.standby import Standby
from streams.engine.survey import Survey, survey
from streams.engine.takeover import Live, Seat, journal_alone, take_over
from streams.engine.task import MachineFactory, Step, Task, TaskSpec
from streams.engine.turns import counts_named
from streams.errors import BackstopError, CommitUnknown, Fenced, UsageProblem

log = structlog.get_logger()

OFF_LOOP_FROM = 2_000  # records from which a step is worth a thread even where nobody else needs the loop
IDLE_WAIT_MS = 50
GATE_WAIT_MS = 5  # a gate that holds something back is asked again this soon: its patience may be over
GATE_RECORDS = 50_000  # once so many wait in the gate, only what it waits for is read: memory stays bounded however far behind


@dataclass(frozen=True, slots=True)
class RunnerOptions:
    """How a runner works; nothing here changes what is decided."""

    snapshot_every: int = 200_000  # records taken between two snapshots
    patience_ms: int | None = 50  # of the pools gate; None waits for ever
    target_step_ms: int | None = None  # of a step with something urgent; None: reads are never resized
    in_order: bool = True  # an accounts shard takes its inputs in the order of event time; False: as they were read
    order_patience_ms: int | None = None  # with an input that is known to hold more and gives nothing; None waits for ever
    in_turns: bool = False  # under an exchange of ours in lock-step: its turns are taken whole, by the headers that it writes


def _always() -> bool:
    return True


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
        still_assigned: Callable[[], bool] = _always,
        standby: Standby | None = None,
        upgrades: bool = False,
    ) -> None:
        self.spec = spec
        self._owner = owner
        self._snapshots = snapshots
        self._observer: Observer = observer or Silent()
        self._options = options or RunnerOptions()
        self._clock = clock
        self._live: Live | None = None
        self._problem: BackstopError | None = None
        self._pace = Pace(self._options.target_step_ms)
        chosen = self._options
        self._seat = Seat(
            bus,
            spec,
            factory,
            owner,
            snapshots,
            chosen.patience_ms,
            still_assigned,
            standby,
            upgrades,
            chosen.in_order,
            chosen.order_patience_ms,
        )

    @property
    def task(self) -> Task:
        """The running task. Raises UsageProblem when the shard is not running."""
        return self._running().task

    @property
    def waiting(self) -> int:
        """Records that have been read and are held back by the gate."""
        live = self._running()
        gate = live.gate or live.order
        return 0 if gate is None else gate.waiting

    @property
    def origin(self) -> tuple[str, int]:
        """Where the running state came from (genesis, journal, snapshot, standby, upgrade), and how many steps were run again for it."""
        live = self._running()
        return live.origin, live.reran

    async def start(self) -> None:
        """Take the shard over: fence earlier owners, find the state, stand ready to read on.

        Raises ConfigurationProblem on another topology or version, Differs when a journaled step does not come out the same,
        CheckFailed when the log no longer holds what is needed, Fenced when it is not assigned here any more.
        """
        while True:
            await self.stop()
            self._problem = None
            try:
                self._live = await take_over(self._seat)
            except CommitUnknown:
                continue  # of the genesis or an upgrade: the log knows
            return

    async def stop(self) -> None:
        """Let go of everything; what was not committed did not happen."""
        live, self._live = self._live, None
        if live is None:
            return
        if live.writing is not None:
            await asyncio.wait([live.writing])
            live.writing.cancelled() or live.writing.exception()  # it is not wanted any more, whatever came of it
        await live.reader.close()
        await live.writer.close()

    async def turn(self) -> bool:
        """Read once without waiting and take what may be taken; True when a step was committed.

        Raises Fenced when the shard has a newer owner. A commit without an answer is settled by taking the shard over again.
        """
        return await self._turn(wait_ms=0, in_background=False)

    async def run(self, stop: asyncio.Event, *, leaves_snapshot: Callable[[], bool] = lambda: False) -> None:
        """Turn until `stop` is set. Raises what `turn` raises; the shard is let go of in any case.

        Where `leaves_snapshot` says so at the end, it leaves a snapshot that the next start begins from.
        """
        try:
            while not stop.is_set():
                if not await self._turn(wait_ms=GATE_WAIT_MS if self.waiting else IDLE_WAIT_MS, in_background=True):
                    self._observer.on_idle(self.spec)
                    await asyncio.sleep(0)  # a bus in this process never waits by itself, and others must get their turns
            if leaves_snapshot():
                await self.leave_snapshot()
        finally:
            await self.stop()

    async def leave_snapshot(self) -> None:
        """Write a snapshot of the state as it is and list it in the journal, unless the newest listed one is of this very state."""
        live = self._running()
        if self._snapshots is None or live.is_covered:
            return
        await self._listed(live, wait=True)
        try:
            tables = tables_of(live.task, live.gate)
            ref = await asyncio.to_thread(self._snapshots.write, self.spec, live.tail.step, live.tail.state_digest, tables)
            note = note_after(live.tail, owner=self._owner, generation=live.generation, snapshot=ref, topics=live.topics)
            live.tail = await journal_alone(live.writer, note)
            live.task.number = live.tail.step
            live.is_covered = True
        except (OSError, Fenced, CommitUnknown) as error:  # the next start runs a few more steps again, that is all
            log.warning("snapshot_failed", task=self.spec.task, shard=self.spec.shard, reason=str(error))

    async def survey(self) -> Survey:
        """How far behind it is, and how much of the inputs before its oldest kept snapshot the log still holds."""
        live = self._running()
        return await survey(live.reader, live.task, live.kept[0].positions if live.kept else {})

    async def look_at_topics(self) -> dict[str, tuple[int, int]]:
        """Its topics that have more partitions than the deployment was founded on: (then, now). Raises AnotherTopic where one was made again."""
        live = self._running()
        refuse_others(self.spec, live.topics, await present(self._seat.bus, self.spec))
        return await grown(self._seat.bus, self.spec)

    def end_with(self, problem: BackstopError) -> None:
        """Let the next turn raise what was found out beside the turns."""
        self._problem = problem

    def spells(self) -> list[tuple[Alarm, int, int]]:
        """What the gate has gone on without: (alarm, how many shards or partitions, for how many milliseconds)."""
        live = self._running()
        gates = ((Alarm.POOLS_WENT_ON_WITHOUT_SHARDS, live.gate), (Alarm.WENT_ON_WITHOUT_PARTITIONS, live.order))
        seen = [(alarm, gate.spell.look(self._now_ms())) for alarm, gate in gates if gate is not None]
        return [(alarm, *spell) for alarm, spell in seen if spell is not None]

    def _running(self) -> Live:
        if self._live is None:
            raise UsageProblem(f"{self.spec.name} is not running: start it first")
        return self._live

    async def _turn(self, *, wait_ms: int, in_background: bool) -> bool:
        live = self._running()
        try:
            if self._problem is not None:
                raise self._problem
            return await self._advance(live, wait_ms=wait_ms, in_background=in_background)
        except CommitUnknown:
            await self.start()
            return True
        except BaseException:
            # Whatever it was, memory and log may differ now.
            await self.stop()
            raise

    async def _advance(self, live: Live, *, wait_ms: int, in_background: bool) -> bool:
        chunks = await self._allowed(live, wait_ms)
        count = sum(map(len, chunks))
        if not chunks:
            return False
        began = self._clock()
        # A step that compiles kernels takes seconds: in the background the loop goes on meanwhile, and with it the sessions that depend on it.
        off_loop = in_background or count >= OFF_LOOP_FROM
        step = await asyncio.to_thread(live.task.step, chunks) if off_loop else live.task.step(chunks)
        if step is None:
            return False
        stepped = self._clock()
        await self._listed(live, wait=not in_background)
        await self._commit(live, step)
        self._tell(live, step, step_seconds=stepped - began, commit_seconds=self._clock() - stepped)
        self._pace.stepped(records=count, took_ms=int((stepped - began) * 1000), urgent=is_urgent(chunks))
        self._begin_snapshot(live, step)
        return True

    async def _read(self, live: Live, wait_ms: int) -> list[Chunk]:
        """One read; before a gate, reads until one comes back not full: it should judge by all that can be seen.

        Far behind, all that can be seen is too much to hold: then only what the gate waits for is read on, which the journals read so far bound.
        """
        ask_for = self._pace.ask_for
        if live.gate is None:
            return await live.reader.poll(max_records=ask_for, timeout_ms=wait_ms)
        if live.gate.waiting >= GATE_RECORDS:
            return await live.reader.poll(max_records=ask_for, timeout_ms=wait_ms, partitions=live.gate.wanted())
        chunks = more = await live.reader.poll(max_records=ask_for, timeout_ms=wait_ms)
        while sum(map(len, more)) >= ask_for and live.gate.waiting + sum(map(len, chunks)) < GATE_RECORDS:
            more = await live.reader.poll(max_records=ask_for, timeout_ms=0)
            chunks = chunks + more
        return chunks

    async def _allowed(self, live: Live, wait_ms: int) -> list[Chunk]:
        """What may be taken now of all that has been read."""
        if live.gate is None:
            chunks = await self._in_order(live, wait_ms)
            return live.hold.take(chunks, live.task.counts) if self._options.in_turns else chunks
        chunks = await self._read(live, wait_ms)
        if self._options.in_turns:
            live.gate.expect(counts_named(chunks))
        now_ms = self._now_ms()
        live.gate.push(chunks, now_ms)
        taken = live.gate.take(now_ms)
        self._alarm(live.gate.alarms())
        return taken

    async def _in_order(self, live: Live, wait_ms: int) -> list[Chunk]:
        """What may be taken in the order of event time: reads until something may, or until a read brings nothing.

        One that is behind gathers as much as a step may take before it judges: it would else take a little of each read, at the price of a step.
        """
        if live.order is None:
            return await self._read(live, wait_ms)
        while True:
            most = min(self._pace.ask_for, live.order.room)
            chunks = await live.reader.poll(max_records=most, timeout_ms=wait_ms, partitions=live.order.wanted())
            live.order.push(chunks)
            unread = live.reader.unread()
            if unread and chunks and live.order.waiting < self._pace.ask_for:
                wait_ms = 0
                continue
            taken = live.order.take(unread, self._now_ms())
            # From the step that takes this on, decisions may differ from those of a shard that had everything.
            self._alarm([(alarm, {**facts, "step": live.task.number + 1}) for alarm, facts in live.order.alarms()])
            if taken or not chunks:
                return taken
            wait_ms = 0

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)

    async def _commit(self, live: Live, step: Step) -> None:
        record = step_record(
            self.spec,
            step,
            machine_version=live.task.machine.version,
            owner=self._owner,
            generation=live.generation,
            previous_hash=live.tail.own_hash,
            snapshot=live.snapshot,
            topics=live.topics,
        )
        sealed, own_hash = seal(record)
        await live.writer.commit([*step.records, sealed])
        live.tail, live.is_covered = record.sealed(own_hash), False
        if live.snapshot is not None:
            self._keep(live)
        if live.gate is not None:
            live.gate.said(step)

    def _keep(self, live: Live) -> None:
        """The newest snapshot has been listed: older ones than are to be kept may go."""
        assert self._snapshots is not None
        assert live.begun is not None
        live.snapshot = None
        live.kept.append(live.begun)
        steps = self._snapshots.kept([base.step for base in live.kept])
        if len(steps) < len(live.kept):
            live.kept = live.kept[-len(steps) :]
            try:
                self._snapshots.forget_before(self.spec, steps[0])
            except OSError as error:  # an old file too many does no harm
                log.warning("snapshot_not_deleted", task=self.spec.task, shard=self.spec.shard, reason=str(error))

    def _begin_snapshot(self, live: Live, step: Step) -> None:
        """The tables are taken now, between two steps; writing them is for a thread."""
        live.since_snapshot += step.taken
        if self._snapshots is None or live.writing is not None or live.since_snapshot < self._options.snapshot_every:
            return
        live.since_snapshot = 0
        live.begun = Base(step.number, dict(live.task.positions))
        write, tables = self._snapshots.write, tables_of(live.task, live.gate)
        live.writing = asyncio.create_task(asyncio.to_thread(write, self.spec, step.number, step.state_digest, tables))

    async def _listed(self, live: Live, *, wait: bool) -> None:
        """A snapshot that is done is listed by the step about to be committed."""
        if live.writing is not None and (wait or live.writing.done()):
            writing, live.writing = live.writing, None
            try:
                live.snapshot = await writing
            except OSError as error:  # a full disk must not stop the shard: recovery only takes longer
                log.warning("snapshot_failed", task=self.spec.task, shard=self.spec.shard, reason=str(error))

    def _tell(self, live: Live, step: Step, *, step_seconds: float, commit_seconds: float) -> None:
        self._alarm(step.alarms)
        self._observer.on_step(
            StepStats(
                task=self.spec.task,
                shard=self.spec.shard,
                step=step.number,
                records=step.taken,
                outputs=sum(part.count for part in step.outputs),
                waiting=self.waiting,
                event_time_us=step.event_time_us,
                step_seconds=step_seconds,
                commit_seconds=commit_seconds,
            )
        )

    def _alarm(self, alarms: list[Raised]) -> None:
        for alarm, facts in alarms:
            self._observer.on_alarm(self.spec, alarm, facts)
