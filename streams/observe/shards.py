"""What running shards tell operators: every committed step counted, every alarm shown, what lasts among them by the state of the machine."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from streams.domain.alarms import Alarm, Lasting
from streams.domain.batch import UNDECODABLE, Batch, Outputs
from streams.domain.events import AdlState, DeadLetterReason
from streams.engine.machine import Machine
from streams.engine.observer import StepStats
from streams.engine.task import MachineFactory, TaskName, TaskSpec
from streams.observe.alarms import ENGINE, MACHINE, AlarmBoard
from streams.observe.dead_letters import DeadLetterLimit, dead_letters_of
from streams.observe.metrics import SHARD, TABLE, Kind, Metrics, count_outputs
from streams.pools import PoolsMachine
from streams.tasks import lasting_of

DEAD_LETTERS_PER_MINUTE = 100  # of event time, by shard
LOOK_EVERY_S = 1.0  # of the clock on the wall: what a step may cost to be watched has a bound
# What only the owner of a shard says, and nobody corrects once it has gone.
OWNERS_GAUGES = tuple(metric.name for metric in TABLE if metric.kind is Kind.GAUGE and metric.labels == SHARD and metric.name != "shard_running")
POOLS_GAUGES = ("insurance_fund_value", "pool_in_adl", "mark_timestamp_seconds", "conservation_violations")


class ObservedMachine:
    """A machine that keeps what its last step said, so that it can be counted once the step is committed. Changes nothing else."""

    def __init__(self, machine: Machine, *, watches_marks: bool = False) -> None:
        self._machine = machine
        self._watches_marks = watches_marks
        self.said = Outputs()
        self.undecodable = 0
        self.marked: dict[int, int] = {}  # instrument -> event time of the mark in force, if the last step spoke of it; microseconds

    @property
    def inner(self) -> Machine:
        """The machine itself, to be looked at."""
        return self._machine

    @property
    def version(self) -> int:
        """The machine's."""
        return self._machine.version

    @property
    def clock_us(self) -> int:
        """The machine's."""
        return self._machine.clock_us

    @property
    def held(self) -> int:
        """The machine's."""
        return self._machine.held

    def found(self, epoch: int) -> None:
        """Founded as the machine is."""
        self._machine.found(epoch)

    def step(self, batch: Batch) -> Outputs:
        """The machine's step."""
        self.said = self._machine.step(batch)
        self.undecodable = len(batch.rows[UNDECODABLE]) if UNDECODABLE in batch.rows else 0
        if self._watches_marks:
            self.marked = _marked(self._machine, batch)
        return self.said

    def digest(self) -> bytes:
        """The machine's."""
        return self._machine.digest()

    def snapshot(self) -> dict[str, pa.RecordBatch]:
        """The machine's."""
        return self._machine.snapshot()

    def restore(self, tables: Mapping[str, pa.RecordBatch]) -> None:
        """The machine's."""
        self._machine.restore(tables)


def _marked(machine: Machine, batch: Batch) -> dict[int, int]:
    """Event times of the marks in force of the instruments that the batch speaks of: what is passed over is not fresh."""
    if "marks" not in batch.rows or not isinstance(machine, PoolsMachine):
        return {}
    spoken = np.unique(np.asarray(batch.rows["marks"].columns["instrument"])).tolist()
    return {instrument: mark.time_us for instrument in spoken if (mark := machine.market.marks.get(instrument)) is not None}


class ShardObserver:
    """Observer of all shards of a process. Steps run again in recovery are not counted: only committed ones are told."""

    def __init__(
        self, metrics: Metrics, *, dead_letters_per_minute: int = DEAD_LETTERS_PER_MINUTE, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._metrics, self._clock = metrics, clock
        self._alarms = AlarmBoard(metrics, clock=clock)
        self._looked: dict[tuple[str, int], float] = {}
        self._unseen: dict[tuple[str, int], None] = {}  # shards that have stepped since
        self._limit = DeadLetterLimit(dead_letters_per_minute)
        self._machines: dict[tuple[str, int], ObservedMachine] = {}
        for reason in DeadLetterReason:  # a counter that begins with its first event has no increase that anybody could see
            metrics.add("dead_letters", 0, reason=reason.name)

    def watch(self, factory: MachineFactory) -> MachineFactory:
        """The same machines, observed."""

        def make(task: TaskName, shard: int, shard_count: int) -> Machine:
            # One task speaks of marks: every shard reads them, and two would be at different places.
            machine = ObservedMachine(factory(task, shard, shard_count), watches_marks=task == "pools")
            self._machines[task, shard] = machine
            return machine

        return make

    def on_known(self, spec: TaskSpec) -> None:
        """A shard of the deployment that this process may come to run: it says so before it does."""
        for name in ("fences", "digest_mismatches"):
            self._metrics.add(name, 0, task=spec.task, shard=spec.shard)
        self._metrics.set("shard_running", 0, task=spec.task, shard=spec.shard)
        self._alarms.known(spec.task)

    def on_started(self, spec: TaskSpec) -> None:
        """The shard runs here, with the state that it was left in: of that, too, its gauges speak."""
        self._metrics.set("shard_running", 1, task=spec.task, shard=spec.shard)
        self._metrics.forget("standby_step", task=spec.task, shard=spec.shard)
        self._look(spec.task, spec.shard, at_once=True)
        machine = self._machines[spec.task, spec.shard].inner
        if isinstance(machine, PoolsMachine):
            for pool in machine.market.pools:
                self._metrics.set("insurance_fund_value", machine.fund.books.value(pool), pool=pool)
            for (pool, instrument), standing in machine.fund.states.table.items():
                self._metrics.set("pool_in_adl", int(standing.state == AdlState.ADL), pool=pool, instrument=instrument)
            for instrument, mark in machine.market.marks.items():
                self._metrics.set("mark_timestamp_seconds", mark.time_us / 1e6, instrument=instrument)

    def on_stopped(self, spec: TaskSpec) -> None:
        """The shard does not run here any more: what it said is the next owner's to say."""
        self._metrics.set("shard_running", 0, task=spec.task, shard=spec.shard)
        self._alarms.left(spec.task, spec.shard)
        for name in OWNERS_GAUGES:
            self._metrics.forget(name, task=spec.task, shard=spec.shard)
        if spec.task == "pools":
            for name in POOLS_GAUGES:
                self._metrics.forget(name)
        else:
            self._metrics.forget("suspect_accounts", shard=spec.shard)

    def on_standby(self, spec: TaskSpec, step: int | None) -> None:
        """Where the standby of the shard stands; None when it is of no use."""
        self._metrics.set("standby_step", -1 if step is None else step, task=spec.task, shard=spec.shard)

    def on_step(self, stats: StepStats) -> None:
        """Count a committed step and what it said."""
        shard: dict[str, Any] = {"task": stats.task, "shard": stats.shard}
        metrics = self._metrics
        metrics.add("steps", **shard)
        metrics.add("events_processed", stats.records, **shard)
        metrics.observe("step_duration_seconds", stats.step_seconds, **shard)
        metrics.observe("commit_duration_seconds", stats.commit_seconds, **shard)
        metrics.set("gate_waiting_records", stats.waiting, **shard)
        if stats.event_time_us:
            metrics.set("event_age_seconds", time.time() - stats.event_time_us / 1e6, **shard)
        machine = self._machines[stats.task, stats.shard]
        for instrument, time_us in machine.marked.items():
            metrics.set("mark_timestamp_seconds", time_us / 1e6, instrument=instrument)
        count_outputs(metrics, machine.said)
        if machine.undecodable:
            metrics.add("dead_letters", machine.undecodable, reason=DeadLetterReason.UNDECODABLE.name)
        self._look(stats.task, stats.shard)
        self._watch_dead_letters(stats, dead_letters_of(machine.said, machine.undecodable))

    def _watch_dead_letters(self, stats: StepStats, count: int) -> None:
        """An alarm when an event-minute has brought too many."""
        count, is_passed = self._limit.add(stats.task, stats.shard, event_time_us=stats.event_time_us, count=count)
        self._metrics.set("dead_letters_this_minute", count, task=stats.task, shard=stats.shard)
        if is_passed:
            self._alarms.raised(stats.task, stats.shard, Alarm.DEAD_LETTER_LIMIT, {"count": count})

    def on_alarm(self, spec: TaskSpec, alarm: Alarm, facts: dict[str, Any]) -> None:
        """Count and log an alarm."""
        if alarm is Alarm.STANDBY_DIFFERS:
            self._metrics.add("digest_mismatches", task=spec.task, shard=spec.shard)
        self._alarms.raised(spec.task, spec.shard, alarm, facts)

    def on_idle(self, spec: TaskSpec) -> None:
        """Nothing is under way: what the last steps changed is looked at, if it has not been."""
        if (spec.task, spec.shard) in self._unseen:
            self._look(spec.task, spec.shard)

    def lasts(self, spec: TaskSpec, lasting: Iterable[Lasting]) -> None:
        """What the engine has found to last: all of it, each time."""
        self._alarms.lasts(spec.task, spec.shard, ENGINE, lasting)

    def _look(self, task: str, shard: int, *, at_once: bool = False) -> None:
        """Show what lasts by the state of the machine. It must not be in a step; once a second is enough, but the last state is always seen."""
        key, now = (task, shard), self._clock()
        if not at_once and now - self._looked.get(key, -LOOK_EVERY_S) < LOOK_EVERY_S:
            self._unseen[key] = None
            return
        self._looked[key] = now
        self._unseen.pop(key, None)
        machine = self._machines[key].inner
        self._alarms.lasts(task, shard, MACHINE, lasting_of(machine))
        if isinstance(machine, PoolsMachine):
            for asset, proven in machine.conservation.proven().items():
                self._metrics.set("conservation_violations", len(proven), asset=asset)
