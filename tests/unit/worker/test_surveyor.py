"""What a worker tells of a running shard and its inputs, look by look: raised when it is new, told to last as long as it does."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from streams.bus.contract import TopicPartition
from streams.domain.alarms import Alarm, Lasting
from streams.engine.identity import AnotherTopic
from streams.engine.survey import Survey
from streams.engine.task import TaskSpec
from streams.observe.health import Health
from streams.observe.metrics import Metrics
from streams.settings import EngineSettings
from streams.worker.surveyor import Known, Surveyor

SPEC = TaskSpec("accounts", 1, 2, 4, "d")
MARKS, EVENTS, JOURNAL = TopicPartition("marks", 0), TopicPartition("account-events", 3), TopicPartition("accounts-journal", 1)
QUIET = Survey(lag={MARKS: 0, EVENTS: 0}, event_time_us=999_000_000, spare={})
NOW_S = 1_000.0  # by the clock of the day; the shard's is a second behind


@dataclass
class Shard:
    """A runner as a look sees it."""

    seen: Survey = QUIET
    grown: dict[str, tuple[int, int]] | AnotherTopic = field(default_factory=dict)
    gone_on_without: list[tuple[Alarm, int, int]] = field(default_factory=list)
    ended_with: Exception | None = None
    spec: TaskSpec = SPEC

    async def survey(self) -> Survey:
        return self.seen

    async def look_at_topics(self) -> dict[str, tuple[int, int]]:
        if isinstance(self.grown, AnotherTopic):
            raise self.grown
        return self.grown

    def spells(self) -> list[tuple[Alarm, int, int]]:
        return self.gone_on_without

    def end_with(self, problem: Exception) -> None:
        self.ended_with = problem


class Ear:
    """An observer that keeps what it hears."""

    def __init__(self) -> None:
        self.alarms: list[tuple[Alarm, dict[str, Any]]] = []
        self.lasting: list[Lasting] = []

    def on_alarm(self, spec: TaskSpec, alarm: Alarm, facts: dict[str, Any]) -> None:
        assert spec == SPEC
        self.alarms.append((alarm, facts))

    def lasts(self, spec: TaskSpec, lasting: Iterable[Lasting]) -> None:
        assert spec == SPEC
        self.lasting = list(lasting)


class Desk:
    """A surveyor and all that it tells."""

    def __init__(self) -> None:
        self.ear, self.metrics, self.shard, self.known = Ear(), Metrics(), Shard(), Known()
        self.health = Health(lag_limit=10)
        self.health.beat(is_assigned=True)
        engine = EngineSettings(held_back_alarm_ms=10_000, retention_alarm=0.2)
        self._surveyor: Any = Surveyor(engine, self.ear, self.metrics, self.health, clock=lambda: NOW_S)  # type: ignore[arg-type]

    async def looks(self, now_s: float) -> list[Alarm]:
        """The alarms that this look raises."""
        before = len(self.ear.alarms)
        await self._surveyor.look(self.shard, self.known, now_s)
        return [alarm for alarm, _ in self.ear.alarms[before:]]

    def metric(self, name: str) -> float:
        return self.metrics.value(name, task="accounts", shard=1)


async def test_an_input_held_back_is_alarmed_once_it_has_been_for_too_long_and_once_a_spell() -> None:
    desk = Desk()
    desk.shard.seen = replace(QUIET, lag={MARKS: 7, EVENTS: 0}, held_back={MARKS: 40})
    assert await desk.looks(100) == []
    assert await desk.looks(109.9) == []
    assert desk.ear.lasting == []
    assert await desk.looks(110) == [Alarm.INPUT_HELD_BACK]
    assert desk.ear.alarms[-1][1] == {"input": "marks[0]", "offset": 40, "age_s": 10, "records": 7}
    assert desk.ear.lasting == [Lasting(Alarm.INPUT_HELD_BACK, "", 1, 990_000_000)]  # since ten seconds
    assert await desk.looks(115) == []
    assert desk.ear.lasting == [Lasting(Alarm.INPUT_HELD_BACK, "", 1, 985_000_000)]
    assert "marks[0] has been held back by an open transaction for 15 s" in " ".join(desk.health.reasons())
    assert desk.metric("input_held_back_seconds") == 15


async def test_an_input_that_is_let_go_and_held_back_again_is_alarmed_again() -> None:
    desk = Desk()
    held = replace(QUIET, held_back={MARKS: 40})
    for now_s, seen, raised in (
        (0, held, []),
        (10, held, [Alarm.INPUT_HELD_BACK]),
        (20, QUIET, []),
        (30, held, []),
        (40, held, [Alarm.INPUT_HELD_BACK]),
    ):
        desk.shard.seen = replace(seen, lag={MARKS: 1})
        assert await desk.looks(now_s) == raised
    desk.shard.seen = QUIET
    await desk.looks(50)
    assert desk.ear.lasting == []


async def test_another_transaction_at_a_later_offset_counts_anew_and_the_longest_is_told() -> None:
    desk = Desk()
    desk.shard.seen = replace(QUIET, lag={MARKS: 1, EVENTS: 1}, held_back={MARKS: 40, EVENTS: 5})
    await desk.looks(0)
    desk.shard.seen = replace(desk.shard.seen, held_back={MARKS: 41, EVENTS: 5})
    assert await desk.looks(12) == [Alarm.INPUT_HELD_BACK]
    assert desk.ear.alarms[-1][1]["input"] == "account-events[3]"
    assert await desk.looks(22) == [Alarm.INPUT_HELD_BACK]
    assert desk.ear.lasting == [Lasting(Alarm.INPUT_HELD_BACK, "", 2, 978_000_000)]


async def test_inputs_near_their_retention_are_named_together_and_again_when_another_joins() -> None:
    desk = Desk()
    desk.shard.seen = replace(QUIET, spare={MARKS: 0.2, EVENTS: 0.1})
    assert await desk.looks(0) == [Alarm.RETENTION_NEAR_SNAPSHOT]
    assert desk.ear.alarms[-1][1] == {"inputs": ["account-events[3]"], "share": 0.2}
    assert await desk.looks(5) == []
    desk.shard.seen = replace(QUIET, spare={MARKS: 0.19, EVENTS: -0.5})
    assert await desk.looks(10) == [Alarm.RETENTION_NEAR_SNAPSHOT]
    assert desk.ear.alarms[-1][1]["inputs"] == ["account-events[3]", "marks[0]"]
    assert desk.ear.lasting == [Lasting(Alarm.RETENTION_NEAR_SNAPSHOT, "", 2)]
    desk.shard.seen = replace(QUIET, spare={MARKS: 0.9})
    assert await desk.looks(15) == []
    assert desk.ear.lasting == []


async def test_a_topic_that_has_grown_is_alarmed_once_and_keeps_the_worker_from_being_ready() -> None:
    desk = Desk()
    desk.shard.grown = {"marks": (1, 3)}
    assert await desk.looks(0) == [Alarm.TOPIC_HAS_GROWN]
    facts = desk.ear.alarms[-1][1]
    assert (facts["topic"], facts["partitions"], facts["partitions_read"]) == ("marks", 3, 1)
    assert await desk.looks(5) == []
    assert desk.ear.lasting == [Lasting(Alarm.TOPIC_HAS_GROWN, "marks", 1)]
    assert any("marks" in reason for reason in desk.health.reasons())


async def test_a_topic_that_was_made_again_ends_the_shard() -> None:
    desk = Desk()
    problem = AnotherTopic("marks is another one now")
    desk.shard.grown = problem
    with pytest.raises(AnotherTopic):
        await desk.looks(0)
    assert desk.ear.alarms == [(Alarm.TOPIC_MADE_AGAIN, {"reason": "marks is another one now"})]
    assert desk.shard.ended_with is problem


async def test_what_the_gates_have_gone_on_without_lasts_since_they_did() -> None:
    desk = Desk()
    desk.shard.gone_on_without = [(Alarm.WENT_ON_WITHOUT_PARTITIONS, 2, 3_000)]
    assert await desk.looks(0) == []  # the gate has raised the alarm itself
    assert desk.ear.lasting == [Lasting(Alarm.WENT_ON_WITHOUT_PARTITIONS, "", 2, 997_000_000)]


async def test_lag_is_of_streams_and_its_age_is_told_only_while_there_is_any() -> None:
    desk = Desk()
    desk.shard.seen = replace(QUIET, lag={MARKS: 7, EVENTS: 4, JOURNAL: 100})
    await desk.looks(0)
    assert (desk.metric("consumer_lag_records"), desk.metric("consumer_lag_seconds")) == (11, 1)
    assert any("11" in reason for reason in desk.health.reasons())  # more than ten: not ready
    desk.shard.seen = replace(QUIET, lag={MARKS: 0, EVENTS: 0, JOURNAL: 100})
    await desk.looks(5)
    assert (desk.metric("consumer_lag_records"), desk.metric("consumer_lag_seconds")) == (0, 0)
    assert desk.health.reasons() == []
