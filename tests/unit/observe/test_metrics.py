"""The metric table and what is counted from a step's outputs."""

import re
import socket
import urllib.request

import pytest
from prometheus_client import generate_latest

from streams.domain.batch import Outputs
from streams.domain.events import AdlState, DeadLetterReason, InstructionKind
from streams.observe.metrics import PREFIX, TABLE, Kind, Metrics, count_outputs


def test_names_are_unique_and_follow_the_prometheus_rules() -> None:
    names = [metric.name for metric in TABLE]
    assert len(set(names)) == len(names)
    for metric in TABLE:
        assert re.fullmatch(r"[a-z][a-z_]*", metric.name)
        assert not metric.name.startswith(PREFIX)
        assert not metric.name.endswith("_total")  # prometheus-client adds it to counters
        assert metric.help.endswith(".") or metric.help[-1].isalpha()


def test_no_metric_has_an_account_label() -> None:
    assert all("account" not in label for metric in TABLE for label in metric.labels)


def test_only_histograms_have_buckets() -> None:
    assert all(bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM) for metric in TABLE)


def test_counters_are_exposed_with_the_prefix_and_total() -> None:
    metrics = Metrics()
    metrics.add("steps", task="accounts", shard=0)
    assert b'backstop_steps_total{shard="0",task="accounts"} 1.0' in generate_latest(metrics.registry)


def test_two_metric_sets_in_one_process_do_not_share_values() -> None:
    first, second = Metrics(), Metrics()
    first.add("alarms", task="pools", alarm="standby_differs", severity="critical", kind="event")
    assert second.value("alarms", task="pools", alarm="standby_differs", severity="critical", kind="event") == 0


def test_an_unknown_metric_name_is_an_error() -> None:
    with pytest.raises(KeyError):
        Metrics().add("no_such_metric")


def test_a_missing_label_is_an_error() -> None:
    with pytest.raises(KeyError):
        Metrics().add("steps", task="accounts")


def test_liquidations_and_takeovers_are_counted_by_instrument() -> None:
    metrics, outputs = Metrics(), Outputs()
    outputs.emit("instructions", {"kind": InstructionKind.LIQUIDATE, "instrument": 7})
    outputs.emit("instructions", {"kind": InstructionKind.LIQUIDATE, "instrument": 7})
    outputs.emit("instructions", {"kind": InstructionKind.TAKEOVER, "instrument": 8})
    outputs.emit("instructions", {"kind": InstructionKind.COVER, "instrument": None})
    count_outputs(metrics, outputs)
    assert metrics.value("liquidations", instrument=7) == 2
    assert metrics.value("takeovers", instrument=8) == 1


def test_an_execution_without_lots_is_not_counted() -> None:
    metrics, outputs = Metrics(), Outputs()
    outputs.emit("adl-executions", {"instrument": 7, "lots": 0})
    outputs.emit("adl-executions", {"instrument": 7, "lots": -3})
    count_outputs(metrics, outputs)
    assert metrics.value("adl_executions", instrument=7) == 1


def test_a_pool_state_sets_the_fund_value_and_the_adl_flag() -> None:
    metrics, outputs = Metrics(), Outputs()
    outputs.emit("pool-states", {"pool": 1, "instrument": 7, "state": AdlState.ADL, "value": 500})
    count_outputs(metrics, outputs)
    assert metrics.value("insurance_fund_value", pool=1) == 500
    assert metrics.value("pool_in_adl", pool=1, instrument=7) == 1


def test_refusals_are_counted_by_reason() -> None:
    metrics, outputs = Metrics(), Outputs()
    outputs.refuse("fills", 0, DeadLetterReason.OUT_OF_BOUNDS, "lots", 5)
    count_outputs(metrics, outputs)
    assert metrics.value("dead_letters", reason="OUT_OF_BOUNDS") == 1


def test_the_endpoint_listens_on_the_loopback_interface_and_shows_the_table() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    metrics = Metrics()
    metrics.add("steps", task="pools", shard=0)
    metrics.serve(port)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    assert 'backstop_steps_total{shard="0",task="pools"} 1.0' in text
    assert "backstop_build_info" in text
