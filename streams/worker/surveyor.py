"""How the running shards of a worker stand to their inputs, looked at every few seconds beside their turns: metrics, readiness, alarms.

An alarm is raised when something is newly found; that it lasts is told again at every look, for as long as it does.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from streams.bus.contract import TopicPartition
from streams.domain.alarms import Alarm, Lasting
from streams.engine.identity import AnotherTopic, what_to_do
from streams.engine.shard import ShardRunner
from streams.engine.survey import HeldBack, Survey
from streams.engine.task import TaskSpec
from streams.errors import BackstopError
from streams.observe.health import Health
from streams.observe.metrics import Metrics
from streams.observe.shards import ShardObserver
from streams.settings import EngineSettings

SURVEY_EVERY_S = 5.0


@dataclass(slots=True)
class Known:
    """What has been found of one shard by the last look. `told`: (alarm, input) raised and lasting; `grown`: topics that have, (then, now)."""

    held_back: HeldBack = field(default_factory=HeldBack)
    told: frozenset[tuple[Alarm, str]] = frozenset()
    grown: Mapping[str, tuple[int, int]] = field(default_factory=dict)


class Surveyor:
    """Looks at shards and tells of them. `clock`: seconds since the epoch."""

    def __init__(
        self, engine: EngineSettings, observer: ShardObserver, metrics: Metrics, health: Health, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._engine = engine
        self._observer = observer
        self._metrics = metrics
        self._health = health
        self._clock = clock

    async def for_ever(self, runner: ShardRunner) -> None:
        """Look at a running shard again and again, until cancelled."""
        known = Known()
        while True:
            with suppress(BackstopError):  # whatever is wrong, the shard itself finds out
                await self.look(runner, known, time.monotonic())
            await asyncio.sleep(SURVEY_EVERY_S)

    async def look(self, runner: ShardRunner, known: Known, now_s: float) -> None:
        """Look once, and tell what is new and what lasts. `now_s`: of a clock that only runs forward; seconds."""
        spec, seen = runner.spec, await runner.survey()
        ages = known.held_back.look(seen, now_s)
        known.grown = await self._alarm_topics(runner, known.grown)
        self._tell(spec, seen, ages, known.grown)
        near = sorted(_where(partition) for partition in seen.near_retention(self._engine.retention_alarm))
        known.told = self._raise_new(spec, seen, ages, near, known.told)
        self._observer.lasts(spec, self._lasting(runner, ages, len(near), known.grown))

    async def _alarm_topics(self, runner: ShardRunner, told: Mapping[str, tuple[int, int]]) -> Mapping[str, tuple[int, int]]:
        """End the shard where a topic was made again, and raise the alarm where one has grown; those that have."""
        try:
            grown = await runner.look_at_topics()
        except AnotherTopic as problem:
            self._observer.on_alarm(runner.spec, Alarm.TOPIC_MADE_AGAIN, {"reason": str(problem)})
            runner.end_with(problem)
            raise
        for topic, (then, now) in grown.items():
            if topic not in told:
                facts = {"topic": topic, "partitions": now, "partitions_read": then, "reason": what_to_do(topic, then, now)}
                self._observer.on_alarm(runner.spec, Alarm.TOPIC_HAS_GROWN, facts)
        return grown

    def _too_long(self, ages: Mapping[TopicPartition, float]) -> dict[TopicPartition, float]:
        return {partition: age_s for partition, age_s in ages.items() if age_s * 1000 >= self._engine.held_back_alarm_ms}

    def _raise_new(
        self, spec: TaskSpec, seen: Survey, ages: Mapping[TopicPartition, float], near: list[str], told: frozenset[tuple[Alarm, str]]
    ) -> frozenset[tuple[Alarm, str]]:
        """Raise an alarm for every input newly found to be held back for too long, or to be deleted soon; those told of so far."""
        late = {_where(partition): partition for partition in self._too_long(ages)}
        for where, partition in late.items():
            if (Alarm.INPUT_HELD_BACK, where) not in told:
                facts = {"input": where, "offset": seen.held_back[partition], "age_s": int(ages[partition]), "records": seen.lag[partition]}
                self._observer.on_alarm(spec, Alarm.INPUT_HELD_BACK, facts)
        if any((Alarm.RETENTION_NEAR_SNAPSHOT, where) not in told for where in near):
            self._observer.on_alarm(spec, Alarm.RETENTION_NEAR_SNAPSHOT, {"inputs": near, "share": self._engine.retention_alarm})
        return frozenset([(Alarm.INPUT_HELD_BACK, where) for where in late] + [(Alarm.RETENTION_NEAR_SNAPSHOT, where) for where in near])

    def _lasting(
        self, runner: ShardRunner, ages: Mapping[TopicPartition, float], near: int, grown: Mapping[str, tuple[int, int]]
    ) -> Iterator[Lasting]:
        """What the engine knows to last of the shard."""
        now_us = int(self._clock() * 1e6)
        late = self._too_long(ages)
        if late:
            yield Lasting(Alarm.INPUT_HELD_BACK, "", len(late), now_us - int(max(late.values()) * 1e6))
        if near:
            yield Lasting(Alarm.RETENTION_NEAR_SNAPSHOT, "", near)
        for topic in grown:
            yield Lasting(Alarm.TOPIC_HAS_GROWN, topic, 1)
        for alarm, count, age_ms in runner.spells():
            yield Lasting(alarm, "", count, now_us - age_ms * 1000)

    def _tell(self, spec: TaskSpec, seen: Survey, ages: Mapping[TopicPartition, float], grown: Mapping[str, tuple[int, int]]) -> None:
        labels: dict[str, Any] = {"task": spec.task, "shard": spec.shard}
        age = self._clock() - seen.event_time_us / 1e6 if seen.event_time_us else 0.0
        self._metrics.set("consumer_lag_records", seen.lag_records, **labels)
        self._metrics.set("consumer_lag_seconds", age if seen.lag_records else 0.0, **labels)
        self._metrics.set("input_held_back_seconds", max(ages.values(), default=0.0), **labels)
        reasons = [
            f"{_where(partition)} has been held back by an open transaction for {age_s:.0f} s"
            for partition, age_s in sorted(self._too_long(ages).items())
        ]
        reasons += [what_to_do(topic, then, now) for topic, (then, now) in grown.items()]
        self._health.tell(spec.name, "running", seen.lag_records, tuple(reasons))


def _where(partition: TopicPartition) -> str:
    return f"{partition.topic}[{partition.partition}]"
