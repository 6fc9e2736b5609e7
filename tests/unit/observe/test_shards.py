"""What a worker exposes of its shards: of all of them from the start, of those it runs while it runs them, and of none that it has lost."""

from typing import Any

import numpy as np
import pytest

from streams.domain.alarms import Alarm
from streams.domain.batch import Batch, Rows
from streams.domain.events import AdlState, Grade
from streams.engine.observer import StepStats
from streams.engine.task import TaskSpec
from streams.insurance_fund.states import Standing
from streams.observe.metrics import Metrics
from streams.observe.shards import ShardObserver
from streams.pools import PoolsMachine
from tests.support import pools_desk

ACCOUNTS, POOLS = TaskSpec("accounts", 0, 1, 4, "d"), TaskSpec("pools", 0, 1, 4, "d")
SECOND_US = 1_000_000


def exposed(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """Values by label values."""
    samples = [sample for family in metrics.registry.collect() for sample in family.samples if sample.name == f"backstop_{name}"]
    return {tuple(sample.labels.values()): sample.value for sample in samples}


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def observer_of(metrics: Metrics, machine: PoolsMachine) -> ShardObserver:
    observer = ShardObserver(metrics)
    observer.watch(lambda task, shard, count: machine)("pools", 0, 1)
    return observer


def marks(*rows: tuple[int, int, Grade]) -> Batch:
    """(instrument, event time in seconds, grade)"""
    columns: dict[str, Any] = {
        "instrument": np.array([row[0] for row in rows]), "event_time_us": np.array([row[1] * SECOND_US for row in rows]),
        "mark_ticks": np.full(len(rows), 5), "sequence": np.arange(1, len(rows) + 1), "grade": np.array([int(row[2]) for row in rows]),
        "epoch": np.zeros(len(rows), np.int64),
    }  # fmt: skip
    zeros = np.zeros(len(rows), dtype=np.int64)
    return Batch({"marks": Rows("marks", columns, columns["event_time_us"], zeros, np.arange(len(rows)))}, [("marks", 0, len(rows))])


def step(spec: TaskSpec) -> StepStats:
    return StepStats(
        task=spec.task, shard=spec.shard, step=1, records=1, outputs=0, waiting=3, event_time_us=SECOND_US, step_seconds=0.1, commit_seconds=0.1
    )


def test_every_shard_of_the_deployment_is_told_of_before_anybody_runs_it(metrics: Metrics) -> None:
    observer = ShardObserver(metrics)
    for spec in (ACCOUNTS, POOLS):
        observer.on_known(spec)
    for name in ("shard_running", "fences_total", "digest_mismatches_total"):
        assert exposed(metrics, name) == {("accounts", "0"): 0, ("pools", "0"): 0}
    assert set(exposed(metrics, "dead_letters_total").values()) == {0}


def test_a_mark_that_is_frozen_does_not_renew_its_instrument(metrics: Metrics) -> None:
    machine = PoolsMachine(1)
    observer = observer_of(metrics, machine)
    observed = observer.watch(lambda task, shard, count: machine)("pools", 0, 1)
    for number in (7, 8):
        machine.market.learn_instrument(pools_desk.instrument(number)[1])
    observed.step(marks((7, 100, Grade.GOOD), (8, 100, Grade.STALE), (7, 101, Grade.FROZEN), (8, 102, Grade.OUTLIER)))
    observer.on_step(step(POOLS))
    assert exposed(metrics, "mark_timestamp_seconds") == {("7",): 100, ("8",): 100}


def test_an_owner_speaks_of_the_state_it_found_and_of_nothing_once_it_has_lost_it(metrics: Metrics) -> None:
    machine = PoolsMachine(1)
    machine.fund.states.table[1, 7] = Standing(AdlState.ADL)
    machine.fund.states.table[1, 8] = Standing(AdlState.NORMAL)
    observer = observer_of(metrics, machine)
    observer.on_started(POOLS)
    assert exposed(metrics, "pool_in_adl") == {("1", "7"): 1, ("1", "8"): 0}
    observer.on_step(step(POOLS))
    metrics.set("consumer_lag_seconds", 12, task="pools", shard=0)
    assert exposed(metrics, "gate_waiting_records") == {("pools", "0"): 3}
    observer.on_stopped(POOLS)
    for name in ("pool_in_adl", "gate_waiting_records", "consumer_lag_seconds", "event_age_seconds"):
        assert exposed(metrics, name) == {}, name
    assert exposed(metrics, "shard_running") == {("pools", "0"): 0}
    assert exposed(metrics, "steps_total") == {("pools", "0"): 1}


def test_a_standby_that_differs_is_a_digest_mismatch_of_its_shard(metrics: Metrics) -> None:
    observer = ShardObserver(metrics)
    observer.on_known(ACCOUNTS)
    observer.on_standby(ACCOUNTS, 41)
    assert exposed(metrics, "standby_step") == {("accounts", "0"): 41}
    observer.on_alarm(ACCOUNTS, Alarm.STANDBY_DIFFERS, {"reason": "state differs"})
    observer.on_standby(ACCOUNTS, None)
    assert exposed(metrics, "standby_step") == {("accounts", "0"): -1}
    assert exposed(metrics, "digest_mismatches_total") == {("accounts", "0"): 1}


def test_a_metric_without_labels_is_exposed_like_any_other(metrics: Metrics) -> None:
    metrics.set("sink_connected", 1)
    assert metrics.value("sink_connected") == 1
