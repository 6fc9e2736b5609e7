"""Every alarm is told of, raised by somebody, graded, ruled and explained; and what rules and the runbook name is an alarm that exists."""

import ast
import re
from typing import Any

import pytest
import yaml

from streams.domain.alarms import ALARMS, Alarm, Kind, Severity
from streams.observe.metrics import TABLE
from tests.support.source import ROOT, modules

RULES = ROOT / "infra" / "prometheus" / "rules"
RUNBOOK = ROOT / "docs" / "runbook.md"
# An alarm with a rule of its own, which does not end by itself after ten minutes; all others are under the rules by kind and severity.
OWN_RULES = {Alarm.STANDBY_DIFFERS: ("BackstopDigestMismatch", "digest-mismatch")}
BY_KIND = {
    (Kind.STATE, Severity.CRITICAL): "BackstopAlarmLasts",
    (Kind.STATE, Severity.WARNING): "BackstopWarningLasts",
    (Kind.EVENT, Severity.CRITICAL): "BackstopAlarmRaised",
    (Kind.EVENT, Severity.WARNING): "BackstopWarningRaised",
}
TO_ACT_ON = [alarm for alarm, about in ALARMS.items() if about.severity is not Severity.INFO]


def rules() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load((RULES / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def sections() -> dict[str, str]:
    found = {}
    for part in RUNBOOK.read_text(encoding="utf-8").split("\n## ")[1:]:
        name, body = part.split("\n", 1)
        found[name] = body
    return found


def raised() -> set[str]:
    """Members that the program names outside of their own list."""
    return {
        node.attr
        for module in modules("streams")
        if not module.place.endswith("domain/alarms.py")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Alarm"
    }


def test_every_alarm_is_told_of_in_one_sentence_and_only_those_that_need_no_alert_say_why() -> None:
    assert set(ALARMS) == set(Alarm)
    for alarm, about in ALARMS.items():
        assert re.fullmatch(r"[A-Z][^.]+\.", about.meaning), alarm
        assert bool(about.why_no_alert) is (about.severity is Severity.INFO), alarm
        assert about.kind is Kind.EVENT or about.severity is not Severity.INFO, f"{alarm} lasts, and nobody would look"


def test_every_alarm_is_raised_by_somebody_and_nobody_raises_another() -> None:
    assert raised() == {alarm.name for alarm in Alarm}


@pytest.mark.parametrize("alarm", TO_ACT_ON)
def test_an_alarm_to_act_on_has_a_rule_of_its_severity_that_leads_to_its_entry(alarm: Alarm) -> None:
    about = ALARMS[alarm]
    name, entry = OWN_RULES.get(alarm, (BY_KIND[about.kind, about.severity], "{{ $labels.alarm }}"))
    rule = rules()[name]
    assert rule["labels"]["severity"] == about.severity
    assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{entry}"
    assert f'severity="{about.severity}"' in rule["expr"] or alarm in OWN_RULES


@pytest.mark.parametrize("alarm", [alarm for alarm in TO_ACT_ON if alarm not in OWN_RULES])
def test_an_alarm_to_act_on_has_an_entry_that_says_when_it_is_over(alarm: Alarm) -> None:
    assert sections()[alarm].count("**Over.**") == 1


def test_the_rules_by_kind_leave_out_the_alarms_that_have_their_own() -> None:
    recorded = (RULES / "recording.yml").read_text(encoding="utf-8")
    assert set(re.findall(r'alarm!="(\w+)"', recorded)) == set(OWN_RULES)
    assert 'backstop_alarms_total{kind="event"' in recorded
    assert {"lasting_alarms", "lasting_alarm_timestamp_seconds", "alarms"} <= {metric.name for metric in TABLE}


def test_what_only_explains_stands_in_the_runbook_with_its_reason() -> None:
    told = dict(ALARMS)
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", sections()["for-information"], flags=re.MULTILINE)
    assert rows == [(alarm, about.meaning, about.why_no_alert) for alarm, about in told.items() if about.severity is Severity.INFO]


def test_the_runbook_has_no_entry_of_an_alarm_that_does_not_exist() -> None:
    assert {name for name in sections() if "_" in name} == {alarm for alarm in TO_ACT_ON if alarm not in OWN_RULES}


def test_rules_and_runbook_name_no_alarm_that_does_not_exist() -> None:
    known = set(Alarm) | {"alarm_raised", "alarm_lasts", "alarm_over"}
    text = RUNBOOK.read_text(encoding="utf-8")
    grepped = {
        name for command in re.findall(r"grep (?:-E )?(\S.*)$", text, flags=re.MULTILINE) for name in re.findall(r"[a-z]+(?:_[a-z]+)+", command)
    }
    logged = {"shard_started", "shard_fenced", "grace_period_over", "shards_assigned", "sink_waits", "sink_connected"}
    assert grepped <= known | logged
    assert set(re.findall(r'alarm!?=~?"(\w+)"', (RULES / "alerts.yml").read_text(encoding="utf-8"))) <= known
