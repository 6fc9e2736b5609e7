"""How topics should be set: what is found, what is left alone, and what stops a worker."""

import pytest

from streams.bus.kafka_policy import RULES, Fault, faults_of, settings_for
from streams.bus.kafka_topics import TopicOnBroker

GOOD = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "message.timestamp.type": "CreateTime",
    "message.timestamp.before.max.ms": "9223372036854775807",
    "message.timestamp.after.max.ms": "9223372036854775807",
    "max.message.bytes": "1048588",
    "compression.type": "producer",
    "min.insync.replicas": "1",
}
WEEK_MS = 604_800_000


def faults(stream: str, found: dict[str, str] | None, *, replicas: int = 1, asked: int = 1) -> list[Fault]:
    topic = TopicOnBroker(f"d.{stream}", None, 1, replicas)
    return faults_of([topic], {topic.name: found}, prefix="d.", replication_factor=asked, address="b:9092")


@pytest.mark.parametrize("stream", ["marks", "insolvencies", "accounts-journal"])
def test_a_topic_set_as_it_is_created_is_without_fault(stream: str) -> None:
    assert settings_for(stream, 1) == GOOD
    assert faults(stream, GOOD) == []


def test_what_is_created_with_three_replicas_stands_without_one_of_them() -> None:
    assert settings_for("marks", 3) == {**GOOD, "min.insync.replicas": "2"}


@pytest.mark.parametrize(
    ("setting", "found", "stops_inputs", "stops_outputs"),
    [
        ("cleanup.policy", "compact", True, True),
        ("cleanup.policy", "compact,delete", True, True),
        ("retention.ms", "3600000", False, False),
        ("retention.bytes", "1000000000", False, False),
        ("message.timestamp.type", "LogAppendTime", False, True),
        ("message.timestamp.before.max.ms", "86400000", False, False),
        ("message.timestamp.after.max.ms", "3599999", False, False),
        ("max.message.bytes", "1048587", False, False),
        ("compression.type", "brotli", True, True),
        ("min.insync.replicas", "2", False, False),
    ],
)
def test_each_setting_that_is_wrong_is_named_with_the_command_that_mends_it(
    setting: str, found: str, stops_inputs: bool, stops_outputs: bool
) -> None:
    for stream, stops in (("marks", stops_inputs), ("insolvencies", stops_outputs)):
        (fault,) = faults(stream, {**GOOD, setting: found})
        assert (fault.topic, fault.setting, fault.found, fault.stops) == (f"d.{stream}", setting, found, stops)
        assert f"--entity-name d.{stream} --add-config {setting}={GOOD[setting]}" in fault.mend
        assert f"{setting} is {found}, it should be " in str(fault)


def test_dead_letters_are_kept_for_ever_since_a_broker_would_count_their_age_from_event_times() -> None:
    (fault,) = faults("dead-letters", {**GOOD, "retention.ms": str(WEEK_MS)})
    assert ("retention.ms=-1" in fault.mend, fault.stops) == (True, False)
    assert settings_for("dead-letters", 1)["retention.ms"] == "-1"


def test_notifications_may_be_kept_longer_than_a_week_not_shorter() -> None:
    assert faults("notifications", {**GOOD, "retention.ms": str(WEEK_MS)}) == []
    assert faults("notifications", {**GOOD, "retention.ms": str(WEEK_MS + 1)}) == []
    assert faults("notifications", {**GOOD, "retention.ms": "-1"}) == []
    (fault,) = faults("notifications", {**GOOD, "retention.ms": str(WEEK_MS - 1)})
    assert f"retention.ms={WEEK_MS}" in fault.mend


@pytest.mark.parametrize("codec", ["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"])
def test_every_codec_of_kafka_is_right(codec: str) -> None:
    assert faults("marks", {**GOOD, "compression.type": codec}) == []


@pytest.mark.parametrize(("replicas", "in_sync", "is_right"), [(3, "2", True), (3, "1", False), (3, "3", True), (3, "4", False), (2, "1", True)])
def test_replicas_in_sync_survive_a_broker_and_do_not_refuse_every_write(replicas: int, in_sync: str, is_right: bool) -> None:
    found = faults("marks", {**GOOD, "min.insync.replicas": in_sync}, replicas=replicas)
    assert [fault.setting for fault in found] == ([] if is_right else ["min.insync.replicas"])


def test_fewer_replicas_than_are_asked_for_are_a_fault_that_no_setting_mends() -> None:
    (fault,) = faults("marks", GOOD, replicas=1, asked=3)
    assert (fault.setting, fault.found, fault.stops) == ("replication.factor", "1", False)
    assert "kafka-reassign-partitions.sh" in fault.mend
    assert "3 replicas" in fault.mend


def test_that_settings_are_not_shown_is_said_once_and_stops_nobody() -> None:
    topics = [TopicOnBroker(f"d.{stream}", None, 1, 1) for stream in ("marks", "pools")]
    (fault,) = faults_of(topics, {"d.marks": None, "d.pools": None}, prefix="d.", replication_factor=1, address="b:9092")
    assert "not shown to this user" in str(fault)
    assert "DescribeConfigs" in fault.mend
    assert not fault.stops


def test_what_the_broker_does_not_have_is_not_judged() -> None:
    assert faults("marks", {}) == []
    assert faults("strangers", {"cleanup.policy": "compact"}) == []
    assert faults_of([], {}, prefix="d.", replication_factor=1, address="b:9092") == []


def test_each_setting_has_one_rule() -> None:
    names = [rule.setting for rule in RULES]
    assert len(set(names)) == len(names)
