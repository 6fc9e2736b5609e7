"""Dead letters are counted by reason and by event-minute; too many in one minute raise one alarm."""

from streams.domain.batch import Outputs
from streams.domain.events import DeadLetterReason
from streams.engine.observer import StepStats
from streams.observe.dead_letters import DeadLetterLimit, dead_letters_of
from streams.observe.metrics import Metrics
from streams.observe.shards import ObservedMachine, ShardObserver
from streams.risk.machine import RiskMachine

SECOND = 1_000_000


def test_the_limit_is_passed_once_a_minute() -> None:
    limit = DeadLetterLimit(2)
    passed = [limit.add("accounts", 0, event_time_us=second * SECOND, count=count) for second, count in [(0, 2), (30, 1), (59, 5), (60, 2), (61, 1)]]
    assert passed == [(2, False), (3, True), (8, False), (2, False), (3, True)]


def test_shards_are_counted_apart() -> None:
    limit = DeadLetterLimit(1)
    assert limit.add("accounts", 0, event_time_us=0, count=1) == (1, False)
    assert limit.add("accounts", 1, event_time_us=0, count=1) == (1, False)
    assert limit.add("pools", 0, event_time_us=0, count=2) == (2, True)


def said(*reasons: DeadLetterReason) -> Outputs:
    outputs = Outputs()
    for reason in reasons:
        outputs.refuse("fills", 0, reason, "", 7)
    return outputs


def test_refused_waiting_and_unreadable_records_are_all_dead_letters() -> None:
    outputs = said(DeadLetterReason.OUT_OF_BOUNDS)
    outputs.emit("dead-letters", {"reason": DeadLetterReason.SNAPSHOT_INCOMPLETE})
    assert dead_letters_of(outputs, 2) == 4


def step(event_time_us: int) -> StepStats:
    return StepStats(
        task="accounts", shard=0, step=1, records=1, outputs=1, waiting=0, event_time_us=event_time_us, step_seconds=0.0, commit_seconds=0.0
    )


def test_a_worker_counts_them_and_raises_the_alarm() -> None:
    metrics = Metrics()
    observer = ShardObserver(metrics, dead_letters_per_minute=1)
    machine = observer.watch(lambda _task, shard, count: RiskMachine(shard, count))("accounts", 0, 1)
    assert isinstance(machine, ObservedMachine)
    machine.said = said(DeadLetterReason.OUT_OF_BOUNDS, DeadLetterReason.UNKNOWN_INSTRUMENT)
    observer.on_step(step(30 * SECOND))
    assert metrics.value("dead_letters", reason="OUT_OF_BOUNDS") == 1
    assert metrics.value("dead_letters_this_minute", task="accounts", shard=0) == 2
    assert metrics.value("alarms", task="accounts", alarm="dead_letter_limit", severity="critical", kind="event") == 1
    machine.said = said()
    observer.on_step(step(61 * SECOND))
    assert metrics.value("dead_letters_this_minute", task="accounts", shard=0) == 0
