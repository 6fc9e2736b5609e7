"""What a shard at work tells of itself: each committed step, that there was nothing to take, and what operators must know."""

from dataclasses import dataclass
from typing import Any, Protocol

from streams.domain.alarms import Alarm
from streams.engine.task import TaskSpec


@dataclass(frozen=True, slots=True)
class StepStats:
    """What is worth measuring about one committed step."""

    task: str
    shard: int
    step: int
    records: int
    outputs: int
    waiting: int  # records that have been read and are held back by the shard's gate
    event_time_us: int
    step_seconds: float
    commit_seconds: float


class Observer(Protocol):
    """Hears what the shard does; never asked for anything."""

    def on_step(self, stats: StepStats) -> None:
        """A step has been committed."""

    def on_idle(self, spec: TaskSpec) -> None:
        """There was nothing to take: the machine stands between two steps."""

    def on_alarm(self, spec: TaskSpec, alarm: Alarm, facts: dict[str, Any]) -> None:
        """The machine or the gate has something for operators."""


class Silent:
    """An observer that does nothing."""

    def on_step(self, stats: StepStats) -> None:
        """Do nothing."""

    def on_idle(self, spec: TaskSpec) -> None:
        """Do nothing."""

    def on_alarm(self, spec: TaskSpec, alarm: Alarm, facts: dict[str, Any]) -> None:
        """Do nothing."""
