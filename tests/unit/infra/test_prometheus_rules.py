"""Rules speak of metrics that exist, with labels that they have; every alert has its entry in the runbook, and every entry its alert."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest

from streams.domain.alarms import Alarm
from streams.observe.metrics import PREFIX, TABLE, Kind, Metric, Metrics
from tests.support.source import ROOT

PROMETHEUS = ROOT / "infra" / "prometheus"
RULES = sorted((PROMETHEUS / "rules").glob("*.yml"))
GRAFANA_ALERTS = ROOT / "infra" / "grafana" / "provisioning" / "alerting" / "rules.yaml"
RUNBOOK = ROOT / "docs" / "runbook.md"
SUFFIXES = {Kind.COUNTER: ("_total",), Kind.GAUGE: ("",), Kind.HISTOGRAM: ("_bucket", "_sum", "_count")}
ADDED = {"job", "instance", "le"}  # by Prometheus itself
ALARMS_ENTRIES = {*Alarm, "for-information"}  # rules find them by the alarm's name; see test_alarms.py


def promtool(*arguments: str, text: str = "") -> str:
    """What it says; it fails the test where it is missing (Debian package `prometheus`) or complains."""
    command = shutil.which("promtool")
    assert command, "promtool is missing: apt-get install prometheus"
    done = subprocess.run([command, *arguments], input=text, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def rules(kind: str) -> list[dict[str, Any]]:
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


def exposed() -> dict[str, Metric]:
    """Names as a scrape shows them."""
    return {PREFIX + metric.name + suffix: metric for metric in TABLE for suffix in SUFFIXES[metric.kind]}


def labels_of_recorded() -> dict[str, set[str]]:
    """Labels that each recorded series keeps, by its own `by (...)`."""
    return {rule["record"]: set(re.split(r",\s*", found)) for rule in rules("record") for found in re.findall(r"by \(([^)]*)\)", rule["expr"])[:1]}


def grouped(expression: str) -> Iterator[set[str]]:
    """The labels that an expression groups by or selects."""
    for group in re.findall(r"by \(([^)]*)\)", expression):
        yield set(re.split(r",\s*", group))
    for selector in re.findall(r"\{([^}]*)\}", expression):
        yield set(re.findall(r"(\w+)\s*[=!]", selector))


def named(expression: str) -> set[str]:
    return set(re.findall(r"(?<![\w:])backstop_\w+", expression)) | set(re.findall(r"\b\w+:backstop_\w+(?::\w+)?", expression))


EVERY = [pytest.param(rule, id=rule.get("alert") or rule["record"]) for rule in (*rules("alert"), *rules("record"))]


@pytest.mark.parametrize("rule", EVERY)
def test_a_rule_names_metrics_that_exist_with_labels_that_they_have(rule: dict[str, Any]) -> None:
    metrics, recorded = exposed(), labels_of_recorded()
    names = named(rule["expr"])
    assert names <= metrics.keys() | recorded.keys()
    has = ADDED.union(*(metrics[name].labels if name in metrics else recorded[name] for name in names))
    for labels in grouped(rule["expr"]):
        assert labels <= has, rule["expr"]
    for text in rule.get("annotations", {}).values():
        assert set(re.findall(r"\$labels\.(\w+)", text)) <= has


def test_every_alert_says_how_bad_it_is_what_it_is_and_where_to_read_on() -> None:
    for rule in rules("alert"):
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert {"summary", "description", "runbook_url"} == rule["annotations"].keys()


def entries() -> set[str]:
    return set(re.findall(r"^## ([a-z_-]+)$", RUNBOOK.read_text(encoding="utf-8"), flags=re.MULTILINE))


def test_every_alert_has_an_entry_in_the_runbook_and_every_entry_an_alert() -> None:
    by_name = "docs/runbook.md#{{ $labels.alarm }}"
    ours = {rule["annotations"]["runbook_url"] for rule in rules("alert")} - {by_name}
    grafanas = set(re.findall(r'runbook_url: "([^"]+)"', GRAFANA_ALERTS.read_text(encoding="utf-8")))
    assert ours | grafanas == {f"docs/runbook.md#{entry}" for entry in entries() - ALARMS_ENTRIES} | {"docs/runbook.md#conservation_violated"}


def test_every_entry_says_what_it_means_three_commands_and_whom_to_wake() -> None:
    for section in RUNBOOK.read_text(encoding="utf-8").split("\n## ")[1:]:
        name, body = section.split("\n", 1)
        if name == "for-information":
            continue
        blocks = re.findall(r"^```bash\n(.*?)^```", body, flags=re.MULTILINE | re.DOTALL)
        assert len(blocks) == 1, name
        assert len(blocks[0].splitlines()) == 3, name
        for heading in ("**Means.**", "**First.**", "**Wake.**"):
            assert body.count(heading) == 1, f"{name}: {heading}"


def test_prometheus_takes_the_configuration_and_the_rules() -> None:
    said = promtool("check", "config", str(PROMETHEUS / "prometheus.yml"))
    assert f"{len(rules('alert'))} rules found" in said
    assert f"{len(rules('record'))} rules found" in said


def test_every_alert_fires_on_what_it_is_for() -> None:
    promtool("test", "rules", str(PROMETHEUS / "tests" / "alerts.yml"))
    tested = re.findall(r"alertname: (\w+)\n\s+eval_time: \S+\n\s+exp_alerts:", (PROMETHEUS / "tests" / "alerts.yml").read_text(encoding="utf-8"))
    assert set(tested) == {rule["alert"] for rule in rules("alert")}


def test_metrics_are_named_by_the_conventions() -> None:
    metrics = Metrics()
    for metric in TABLE:
        labels = dict.fromkeys(metric.labels, "x")
        match metric.kind:
            case Kind.COUNTER:
                metrics.add(metric.name, 1, **labels)
            case Kind.GAUGE:
                metrics.set(metric.name, 1, **labels)
            case Kind.HISTOGRAM:
                metrics.observe(metric.name, 1, **labels)
    promtool("check", "metrics", text=generate_latest(metrics.registry).decode())


def test_no_metric_is_labelled_by_account() -> None:
    assert [metric.name for metric in TABLE if {"account", "user", "address"} & set(metric.labels)] == []


def test_prometheus_scrapes_every_service_of_the_compose_file_that_serves_metrics() -> None:
    compose = yaml.safe_load(Path(ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    serving = {
        name: str(service["command"][service["command"].index("--metrics-port") + 1])
        for name, service in compose["services"].items()
        if "--metrics-port" in service.get("command", ())
    }
    scraped = {
        name: str(found["port"])
        for job in yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
        for found in job["dns_sd_configs"]
        for name in found["names"]
    }
    assert scraped == serving
