"""A warm standby: it runs every journaled step of a shard again, right behind the owner, and so verifies it all the time. It never writes.

Taking the shard over then only means to run the few steps that are left. A difference raises an alarm and ends the standby for good: a state
that did not come out the same is never handed over.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from streams.bus.contract import Bus, Reader
from streams.domain.alarms import Alarm
from streams.engine.chunks import SliceReader
from streams.engine.compare import Differs
from streams.engine.journal import StepRecord, check_link, open_chunk, read_records, read_tail
from streams.engine.recovery import Base, Recovered, follow, recover
from streams.engine.snapshot import SnapshotStore
from streams.engine.task import MachineFactory, TaskSpec
from streams.errors import CheckFailed, ConfigurationProblem

log = structlog.get_logger()

POLL_RECORDS = 500  # step records
POLL_MS = 20
KEPT = 16  # snapshots remembered: more than anybody keeps where it matters which one is the oldest
UNFOUNDED_SECONDS = 0.5  # between two looks for the genesis of a shard that nobody has run yet

Tell = Callable[[TaskSpec, Alarm, dict[str, Any]], None]


class Standby:
    """A standby of one shard. `follow` runs until it is told to stop or ends by itself; `hand_over` gives its state to a taker in this process."""

    def __init__(
        self, bus: Bus, spec: TaskSpec, factory: MachineFactory, *, snapshots: SnapshotStore | None, patience_ms: int | None, alarm: Tell
    ) -> None:
        self.spec = spec
        self.reran = 0  # steps since it began to follow
        self.problem: str | None = None  # why it is of no use, if so
        self._bus = bus
        self._factory = factory
        self._snapshots = snapshots
        self._patience_ms = patience_ms
        self._alarm = alarm
        self._state: Recovered | None = None
        self._journal: Reader | None = None
        self._slices: SliceReader | None = None
        self._read: list[StepRecord] = []  # journal records that have not been run again yet

    @property
    def step(self) -> int | None:
        """The step it stands at; None before it has found its state."""
        return None if self._state is None else self._state.tail.step

    async def follow(self, stop: asyncio.Event) -> None:
        """Find the state, then run every new step until `stop`. What it holds then stays open for `hand_over` or `close`.

        Ends by itself, with nothing left to hand over, when a step differs or is of another version of the rules.
        """
        try:
            await self._begin(stop)
            while not stop.is_set():
                await self._advance(stop)
                await asyncio.sleep(0)  # a bus in this process never waits by itself, and others must get their turns
        except (Differs, CheckFailed, ConfigurationProblem) as problem:
            await self._spoil(problem)

    async def hand_over(self, tail: StepRecord) -> Recovered | None:
        """The state after `tail`, which must be the journal's end, once nobody calls `follow` any more; None when this standby is of no use.

        Afterwards the standby is empty, whatever came of it.
        """
        try:
            if self._state is None or self.problem is not None:
                return None
            before = self._state.tail.step
            while self._state.tail.step < tail.step:
                await self._advance(None)
            state = self._state
            if state.tail.step > tail.step:
                return None  # a newer owner has gone on since the taker looked: it will be fenced, nothing differs
            if state.tail.own_hash != tail.own_hash:
                raise CheckFailed(f"standby of {self.spec.name} followed another journal than the one that ends with step {tail.step}")
            return Recovered(state.task, state.gate, tail, state.topics, state.kept, state.is_covered, tail.step - before)
        except (Differs, CheckFailed) as problem:
            await self._spoil(problem)
            return None
        finally:
            await self.close()

    async def close(self) -> None:
        """Let go of state and readers."""
        self._state = None
        journal, slices = self._journal, self._slices
        self._journal = self._slices = None
        if journal is not None:
            await journal.close()
        if slices is not None:
            await slices.close()

    async def _begin(self, stop: asyncio.Event) -> None:
        while (tail := await read_tail(self._bus, self.spec)) is None:
            if stop.is_set():
                return
            await asyncio.sleep(UNFOUNDED_SECONDS)
        state = await recover(self._bus, self.spec, self._factory, tail=tail, snapshots=self._snapshots, patience_ms=self._patience_ms)
        self._journal = await self._bus.reader([self.spec.journal])
        records = await read_records(self._journal, self.spec.journal, state.tail.step)
        self._read = [record for record in records if record.step > state.tail.step]
        self._slices = await SliceReader.open(self._bus, self.spec.inputs())
        self._state = state
        log.info("standby_started", task=self.spec.task, shard=self.spec.shard, step=state.tail.step)

    async def _advance(self, stop: asyncio.Event | None) -> None:
        """Run what the journal shows, up to its end or, between two steps, until `stop`."""
        assert self._state is not None
        assert self._journal is not None
        assert self._slices is not None
        if not self._read:
            for chunk in await self._journal.poll(max_records=POLL_RECORDS, timeout_ms=POLL_MS):
                self._read += open_chunk(chunk)
        while self._read and not (stop is not None and stop.is_set()):
            state, record = self._state, self._read[0]
            wrong = check_link(state.tail, record)
            if wrong is not None:
                raise CheckFailed(f"{self.spec.journal.topic}[{self.spec.journal.partition}]: {wrong}: the journal is damaged; restore it")
            if record.upgrade is not None:
                raise ConfigurationProblem(f"{self.spec.name}: version {record.machine_version} of the rules has taken over at step {record.step}")
            # A step that is broken off half-way leaves a state that nobody may use.
            self._state = None
            await follow(state.task, state.gate, record, self._slices)
            self._state = _after(state, record)
            self._read.pop(0)
            self.reran += 1

    async def _spoil(self, problem: Exception) -> None:
        self.problem = str(problem)
        await self.close()
        if isinstance(problem, ConfigurationProblem):
            log.warning("standby_ended", task=self.spec.task, shard=self.spec.shard, reason=self.problem)
        else:
            self._alarm(self.spec, Alarm.STANDBY_DIFFERS, {"reason": self.problem})


def _after(state: Recovered, record: StepRecord) -> Recovered:
    kept = state.kept
    if record.snapshot is not None:
        # The positions of its own step have passed; those of this one are at most a few steps further.
        kept = (*kept[-KEPT:], Base(record.snapshot.step, dict(state.task.positions)))
    covered = record.is_note and (state.is_covered or record.snapshot is not None)
    return Recovered(state.task, state.gate, record, {**state.topics, **dict(record.topics)}, kept, covered, state.reran + 1)
