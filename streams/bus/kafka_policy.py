"""How every topic is to be set on a broker, and why: one table, by which topics are created, checked and mended.

A setting that loses records, or says of them what was not sent, stops a worker before it reads the first one. The others are told.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from streams.bus.contract import MAX_RECORD_BYTES
from streams.bus.kafka_topics import TopicOnBroker
from streams.bus.record_batches import CODECS
from streams.topics import FOREVER_MS, TOPICS

LONG_MAX: Final = 2**63 - 1
MIN_BATCH_BYTES: Final = MAX_RECORD_BYTES + 48_588  # Kafka's own default for a batch: the rest is for its framing
HOUR_MS: Final = 3_600_000  # what a broker allows by itself
READABLE: Final = ("producer", "uncompressed", "none", *(name for name, _ in CODECS.values()))


class Stops(Enum):
    """Which topics a setting must be right on before a worker starts."""

    ALL = "all"
    WRITTEN = "written"  # those that the engine writes
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the rules may look at: how long the topic is to be kept, how many replicas it has, and how many were asked for."""

    retention_ms: int
    replicas: int
    replication_factor: int


@dataclass(frozen=True, slots=True)
class Rule:
    """One setting. `asked` is the value it is created and mended with, `is_right` judges what is found, `wanted` and `why` tell it."""

    setting: str
    asked: Callable[[Wish], str]
    is_right: Callable[[str, Wish], bool]
    wanted: str
    why: str
    stops: Stops = Stops.NONE
    is_setting: bool = True  # False: a fact of the topic, which no setting changes


@dataclass(frozen=True, slots=True)
class Fault:
    """A setting that is not as it should be. `topic` is the broker's name, `mend` the command."""

    topic: str
    setting: str
    found: str
    wanted: str
    why: str
    mend: str
    stops: bool

    def __str__(self) -> str:
        return f"topic {self.topic}: {self.setting} is {self.found}, it should be {self.wanted} ({self.why}): {self.mend}"


def _is(value: object) -> tuple[Callable[[Wish], str], Callable[[str, Wish], bool]]:
    return lambda _: str(value), lambda found, _: found == str(value)


def _at_least(value: Callable[[Wish], int], *, endless: int | None = None) -> tuple[Callable[[Wish], str], Callable[[str, Wish], bool]]:
    """A whole number of at least so much; `endless` is the one that stands for no limit."""

    def is_right(found: str, wish: Wish) -> bool:
        return int(found) == endless or (value(wish) != endless and int(found) >= value(wish))

    return lambda wish: str(value(wish)), is_right


def _in_sync(wish: Wish) -> int:
    """One replica may fail without stopping writes, where there are enough of them that an acknowledged record still is on two."""
    return max(1, wish.replicas - 1)


RULES: Final = (
    Rule("cleanup.policy", *_is("delete"), "delete", "compaction takes away all but the newest record of a key", Stops.ALL),
    Rule(
        "retention.ms",
        *_at_least(lambda wish: wish.retention_ms, endless=FOREVER_MS),
        "{asked} or more, -1 being for ever",
        "recovery without a snapshot, verify and replay need every record; what is gone does not come back",
    ),
    Rule("retention.bytes", *_at_least(lambda _: FOREVER_MS, endless=FOREVER_MS), "-1", "it takes records away by size, whatever their age"),
    Rule(
        "message.timestamp.type",
        *_is("CreateTime"),
        "CreateTime",
        "timestamps are event times, and the digests of outputs hold them as they were sent",
        Stops.WRITTEN,
    ),
    Rule("message.timestamp.before.max.ms", *_at_least(lambda _: LONG_MAX), "{asked}", "after a long stop event times lie far in the past"),
    Rule(
        "message.timestamp.after.max.ms",
        lambda _: str(LONG_MAX),
        lambda found, _: int(found) >= HOUR_MS,
        "an hour or more ({asked} for simulations)",
        "what is ahead of the broker's clock would be refused, and with it the whole step",
    ),
    Rule(
        "max.message.bytes",
        *_at_least(lambda _: MIN_BATCH_BYTES),
        "{asked} or more",
        "a record of the largest size would be refused, and with it the whole step",
    ),
    Rule(
        "compression.type",
        lambda _: "producer",
        lambda found, _: found in READABLE,
        f"one of {', '.join(READABLE)}",
        "it cannot be read in any other codec",
        Stops.ALL,
    ),
    Rule(
        "replication.factor",
        lambda wish: str(wish.replication_factor),
        lambda found, wish: int(found) >= wish.replication_factor,
        "{asked} or more, as BACKSTOP_KAFKA__REPLICATION_FACTOR is set",
        "a broker that is lost takes its only copy along",
        is_setting=False,
    ),
    Rule(
        "min.insync.replicas",
        lambda wish: str(_in_sync(wish)),
        lambda found, wish: _in_sync(wish) <= int(found) <= wish.replicas,
        "{asked}, one less than there are replicas, at most all of them",
        "fewer may lose an acknowledged record with one broker; more than there are refuse every write",
    ),
)


def settings_for(stream: str, replication_factor: int) -> dict[str, str]:
    """What a topic is created with."""
    known = TOPICS.get(stream)
    wish = Wish(known.retention_ms if known else FOREVER_MS, replication_factor, replication_factor)
    return {rule.setting: rule.asked(wish) for rule in RULES if rule.is_setting}


def faults_of(
    found: Sequence[TopicOnBroker], settings: Mapping[str, Mapping[str, str] | None], *, prefix: str, replication_factor: int, address: str
) -> list[Fault]:
    """What is wrong with the topics of our table that are there, in its order.

    A setting that the broker does not have is not judged; that settings are not shown to us is a fault: nobody knows what they are.
    """
    present = {topic.name: topic for topic in found if topic.name.removeprefix(prefix) in TOPICS}
    faults = [_unseen(name) for name in present if settings.get(name) is None][:1]
    for topic in TOPICS.values():
        there = present.get(prefix + topic.name)
        if there is None:
            continue
        wish = Wish(topic.retention_ms, there.replicas, replication_factor)
        said = {**(settings.get(there.name) or {}), "replication.factor": str(there.replicas)}
        for rule in RULES:
            value = said.get(rule.setting)
            if value is not None and not rule.is_right(value, wish):
                stops = rule.stops is Stops.ALL or (rule.stops is Stops.WRITTEN and topic.written_by != "exchange")
                faults.append(_fault(rule, there.name, value, rule.asked(wish), stops=stops, address=address))
    return faults


def _unseen(name: str) -> Fault:
    """Of one topic, which stands for all that are not shown: the right is given for all of them."""
    why = "nobody knows whether records are kept as they were sent"
    return Fault(name, "its settings", "not shown to this user", "shown", why, "give the right DescribeConfigs (`backstop topics acls`)", stops=False)


def _fault(rule: Rule, name: str, found: str, asked: str, *, stops: bool, address: str) -> Fault:
    if rule.is_setting:
        mend = f"kafka-configs.sh --bootstrap-server {address} --alter --entity-type topics --entity-name {name} --add-config {rule.setting}={asked}"
    else:
        mend = f"kafka-reassign-partitions.sh --bootstrap-server {address}, with a plan of {asked} replicas for each of its partitions"
    return Fault(name, rule.setting, found, rule.wanted.format(asked=asked), rule.why, mend, stops)
