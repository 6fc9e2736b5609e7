"""Alarms as operators see them: what lasts is shown for as long as it does, on whatever worker; what repeats is one line, and counted."""

from typing import Any

import pytest
import structlog

from streams.domain.alarms import Alarm, Lasting
from streams.engine.observer import StepStats
from streams.engine.task import TaskSpec
from streams.observe.alarms import ENGINE, MACHINE, REPEAT_S, AlarmBoard
from streams.observe.metrics import Metrics
from streams.observe.shards import ShardObserver
from streams.pools import PoolsMachine
from tests.support.batches import Record
from tests.support.pools_desk import Desk, closed, deficit, pool

POOLS = TaskSpec("pools", 0, 1, 1, "test")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def exposed(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """Values by the values of the labels."""
    samples = [sample for family in metrics.registry.collect() for sample in family.samples if sample.name == f"backstop_{name}"]
    return {tuple(sample.labels.values()): sample.value for sample in samples if sample.value or name == "lasting_alarms"}


def totals(second: int, *, wallets: str) -> Record:
    row = {
        "shard": 0, "asset": 1, "event_second": second, "wallets": wallets, "open_cost": "0", "external": "0", "reconciliation": "0", "consumed": [],
        "instruments": [], "groups_warning": 0, "groups_liquidatable": 0, "groups_bankrupt": 0, "suspects": 0,
    }  # fmt: skip
    return "shard-totals", row


def stats(step: int) -> StepStats:
    return StepStats("pools", 0, step, 1, 0, 0, 0, 0.0, 0.0)


def life(machine: PoolsMachine, seconds: range, *, wallets: str) -> tuple[Metrics, ShardObserver]:
    """One worker's: it takes the shard over, and every second has these wallets."""
    metrics = Metrics()
    observer = ShardObserver(metrics, clock=Clock())
    observed = observer.watch(lambda *_: machine)("pools", 0, 1)
    observer.on_known(POOLS)
    observer.on_started(POOLS)
    desk = Desk()
    desk.machine = observed  # type: ignore[assignment]
    for second in seconds:
        out = desk.at(totals(second, wallets=wallets), time_us=(second + 1) * 1_000_000)
        for alarm, facts in out.alarms:
            observer.on_alarm(POOLS, alarm, facts)
        observer.on_step(stats(second))
        observer.on_idle(POOLS)
    return metrics, observer


def test_an_alarm_of_a_state_does_not_end_with_a_restart() -> None:
    """Sums are off by 7 for 20 seconds; the worker is restarted, and they stay off; then they are right."""
    first, second = PoolsMachine(1), PoolsMachine(1)
    clock_of = {("pools", "0", "conservation_violated", "critical", "asset 1"): 1.0}
    metrics, observer = life(first, range(100, 120), wallets="7")
    observer._looked.clear()  # a second later
    observer.on_idle(POOLS)
    assert exposed(metrics, "lasting_alarms") == clock_of
    second.restore(first.snapshot())
    metrics, observer = life(second, range(0), wallets="")
    assert exposed(metrics, "lasting_alarms") == clock_of
    assert exposed(metrics, "lasting_alarm_timestamp_seconds") == {("pools", "0", "conservation_violated", "asset 1"): 100.0}
    assert metrics.value("conservation_violations", asset=1) == 1
    metrics, observer = life(second, range(120, 720), wallets="7")
    assert exposed(metrics, "lasting_alarms") == clock_of
    metrics, observer = life(second, range(720, 721), wallets="0")
    observer._looked.clear()
    observer.on_idle(POOLS)
    assert exposed(metrics, "lasting_alarms") == exposed(metrics, "lasting_alarm_timestamp_seconds") == {}
    assert metrics.value("conservation_violations", asset=1) == 0


def test_what_lasts_is_looked_at_once_a_second_and_the_last_state_always() -> None:
    metrics, clock, desk = Metrics(), Clock(), Desk()
    observer = ShardObserver(metrics, clock=clock)
    observer.watch(lambda *_: desk.machine)("pools", 0, 1)
    observer.on_started(POOLS)
    desk.at(deficit(11, 5, pool=3))  # nobody knows that pool yet
    observer.on_step(stats(1))
    assert exposed(metrics, "lasting_alarms") == {}
    clock.now = 1.0
    observer.on_idle(POOLS)
    assert exposed(metrics, "lasting_alarms") == {("pools", "0", "pool_or_instrument_unknown", "critical", "pool 3"): 1}
    desk.at(pool(pool=3, fund_account=33))
    desk.at(closed(11, pool=3))
    observer.on_step(stats(2))
    clock.now = 2.5
    observer.on_step(stats(3))
    assert exposed(metrics, "lasting_alarms") == {}


def test_one_source_does_not_end_what_another_says_and_a_shard_that_leaves_takes_all_with_it() -> None:
    metrics = Metrics()
    board = AlarmBoard(metrics)
    board.lasts("pools", 0, MACHINE, [Lasting(Alarm.LOSS_UNCOVERED, "pool 1", 3, 9_000_000)])
    board.lasts("pools", 0, ENGINE, [Lasting(Alarm.INPUT_HELD_BACK, "", 2)])
    board.lasts("accounts", 1, ENGINE, [Lasting(Alarm.INPUT_HELD_BACK, "", 1)])
    board.lasts("pools", 0, MACHINE, [])
    assert exposed(metrics, "lasting_alarms") == {
        ("pools", "0", "input_held_back", "critical", ""): 2, ("accounts", "1", "input_held_back", "critical", ""): 1,
    }  # fmt: skip
    board.left("pools", 0)
    assert exposed(metrics, "lasting_alarms") == {("accounts", "1", "input_held_back", "critical", ""): 1}


def test_what_repeats_of_one_case_is_one_line_a_minute_and_counted_each_time() -> None:
    metrics, clock = Metrics(), Clock()
    board = AlarmBoard(metrics, clock=clock)
    with structlog.testing.capture_logs() as lines:
        for instrument in (7, 7, 8, 7):
            board.raised("accounts", 0, Alarm.MARK_AHEAD_OF_TIME, {"instrument": instrument, "event_time_us": 5})
        clock.now = REPEAT_S
        board.raised("accounts", 0, Alarm.MARK_AHEAD_OF_TIME, {"instrument": 7, "event_time_us": 6})
    assert [(line["instrument"], line.get("not_logged")) for line in lines] == [(7, None), (8, None), (7, 2)]
    assert metrics.value("alarms", task="accounts", alarm="mark_ahead_of_time", severity="warning", kind="event") == 5


def test_an_event_is_no_state() -> None:
    with pytest.raises(AssertionError, match="it does not last"):
        AlarmBoard(Metrics()).lasts("pools", 0, MACHINE, [Lasting(Alarm.ORDERS_REFUSED, "", 1)])


def test_every_alarm_of_a_known_task_is_counted_from_nothing() -> None:
    metrics = Metrics()
    ShardObserver(metrics).on_known(POOLS)
    samples: list[Any] = [s for family in metrics.registry.collect() for s in family.samples if s.name == "backstop_alarms_total"]
    assert {(s.labels["alarm"], s.value) for s in samples} == {(alarm, 0.0) for alarm in Alarm}


@pytest.mark.parametrize("alarm", list(Alarm))
def test_facts_named_like_what_every_line_says_end_nothing(alarm: Alarm) -> None:
    with structlog.testing.capture_logs() as lines:
        AlarmBoard(Metrics(), clock=Clock()).raised("pools", 3, alarm, {"shard": 1, "task": "x", "alarm": "y", "severity": "z", "lots": 5})
    assert [(line["event"], line["alarm"], line["task"], line["shard"], line["lots"]) for line in lines] == [("alarm_raised", alarm, "pools", 3, 5)]
