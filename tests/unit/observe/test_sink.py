"""What is said of the sink: lag, retries, and whether ClickHouse takes what it sends."""

import time

import pytest

from streams.errors import CheckFailed, Unreachable
from streams.observe.health import Health
from streams.observe.metrics import Metrics
from streams.observe.sink import SinkObserver

GONE = Unreachable("ClickHouse did not answer")


@pytest.fixture
def health() -> Health:
    health = Health(lag_limit=100)
    health.beat(is_assigned=True)
    return health


def test_it_is_ready_once_it_is_connected_and_its_lag_is_small(health: Health) -> None:
    observer = SinkObserver(Metrics(), health)
    assert health.reasons() == ["sink is starting"]
    observer.on_connected()
    assert health.reasons() == ["the lag of sink has not been measured yet"]
    observer.on_survey({"account-events": 101}, {})
    assert health.reasons() == ["sink lags 101 records, the limit is 100"]
    observer.on_survey({"account-events": 60, "marks": 40}, {})
    assert health.reasons() == []


def test_while_clickhouse_is_away_it_says_so_until_a_block_arrives(health: Health) -> None:
    metrics = Metrics()
    observer = SinkObserver(metrics, health)
    observer.on_connected()
    observer.on_survey({"account-events": 0}, {})
    observer.on_retry("account-events", GONE, 0.1)
    observer.on_survey({"account-events": 5}, {})
    assert health.reasons() == ["sink is waiting for ClickHouse"]
    assert metrics.value("sink_connected") == 0
    assert metrics.value("sink_retries", topic="account-events") == 1
    observer.on_block("account-events", 5, 0)
    assert health.reasons() == []
    assert metrics.value("sink_connected") == 1


def test_rows_blocks_and_what_could_not_be_read_are_counted_by_topic(health: Health) -> None:
    metrics = Metrics()
    observer = SinkObserver(metrics, health)
    observer.on_block("account-events", 5, 0)
    observer.on_block("account-events", 7, 2)
    assert metrics.value("sink_rows", topic="account-events") == 12
    assert metrics.value("sink_blocks", topic="account-events") == 2
    assert metrics.value("undecodable_records", topic="account-events") == 2


def test_lag_is_by_topic_and_nothing_waiting_is_no_lag(health: Health, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = Metrics()
    observer = SinkObserver(metrics, health)
    monkeypatch.setattr(time, "time", lambda: 1_000.0)
    observer.on_survey({"account-events": 3, "marks": 0}, {"account-events": 990_500})
    assert metrics.value("sink_lag_records", topic="account-events") == 3
    assert metrics.value("sink_lag_seconds", topic="account-events") == 9.5
    assert metrics.value("sink_lag_seconds", topic="marks") == 0


def test_a_sink_that_is_refused_beside_an_engine_is_said_to_have_ended(health: Health) -> None:
    metrics = Metrics()
    observer = SinkObserver(metrics, health)
    observer.on_connected()
    observer.on_survey({"account-events": 0}, {})
    observer.on_refused(CheckFailed("no such column"))
    assert health.reasons() == ["sink is ended: ClickHouse or the log refuses it"]
    assert metrics.value("sink_connected") == 0
