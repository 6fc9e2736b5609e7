"""What running shards tell operators: every committed step counted, every alarm counted and logged."""

import time
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from streams.domain.batch import UNDECODABLE, Batch, Outputs
from streams.domain.events import DeadLetterReason
from streams.engine.machine import Machine
from streams.engine.shard import StepStats
from streams.engine.task import MachineFactory, TaskName, TaskSpec
from streams.observe.dead_letters import DeadLetterLimit, dead_letters_of
from streams.observe.logs import logger
from streams.observe.metrics import Metrics, count_outputs

log = logger(__name__)

DEAD_LETTERS_PER_MINUTE = 100  # of event time, by shard
LIMIT_ALARM = "dead_letter_limit"


class ObservedMachine:
    """A machine that keeps what its last step said, so that it can be counted once the step is committed. Changes nothing else."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.said = Outputs()
        self.undecodable = 0

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

    def step(self, batch: Batch) -> Outputs:
        """The machine's step."""
        self.said = self._machine.step(batch)
        self.undecodable = len(batch.rows[UNDECODABLE]) if UNDECODABLE in batch.rows else 0
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


class ShardObserver:
    """Observer of all shards of a process. Steps run again in recovery are not counted: only committed ones are told."""

    def __init__(self, metrics: Metrics, *, dead_letters_per_minute: int = DEAD_LETTERS_PER_MINUTE) -> None:
        self._metrics = metrics
        self._limit = DeadLetterLimit(dead_letters_per_minute)
        self._machines: dict[tuple[str, int], ObservedMachine] = {}

    def watch(self, factory: MachineFactory) -> MachineFactory:
        """The same machines, observed."""

        def make(task: TaskName, shard: int, shard_count: int) -> Machine:
            machine = ObservedMachine(factory(task, shard, shard_count))
            self._machines[task, shard] = machine
            return machine

        return make

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
        count_outputs(metrics, machine.said)
        if machine.undecodable:
            metrics.add("dead_letters", machine.undecodable, reason=DeadLetterReason.UNDECODABLE.name)
        self._watch_dead_letters(stats, dead_letters_of(machine.said, machine.undecodable))

    def _watch_dead_letters(self, stats: StepStats, count: int) -> None:
        """An alarm when an event-minute has brought too many."""
        count, is_passed = self._limit.add(stats.task, stats.shard, event_time_us=stats.event_time_us, count=count)
        self._metrics.set("dead_letters_this_minute", count, task=stats.task, shard=stats.shard)
        if is_passed:
            self._metrics.add("alarms", task=stats.task, alarm=LIMIT_ALARM)
            log.warning("alarm_raised", alarm=LIMIT_ALARM, task=stats.task, shard=stats.shard, count=count)

    def on_alarm(self, spec: TaskSpec, name: str, facts: dict[str, Any]) -> None:
        """Count and log an alarm."""
        self._metrics.add("alarms", task=spec.task, alarm=name)
        if name.startswith("conservation"):
            self._metrics.add("conservation_violations", asset=facts.get("asset", ""))
        log.warning("alarm_raised", **{**facts, "alarm": name, "task": spec.task, "shard": spec.shard})
