"""Which logs a shard stands on: offsets mean something in one topic only, and a topic's name may be given to another.

A topic deleted and made again under its name has another id. The ids are kept in the journal, and held against the bus before anything is read at a
position, and again and again while the shard runs. What a bus does not say is not judged.
"""

from collections.abc import Iterable, Mapping

from streams.bus.contract import Bus
from streams.engine.journal import StepRecord
from streams.engine.task import TaskSpec
from streams.errors import CheckFailed

Ids = Mapping[str, str]  # topic -> its id, as Kafka's tools print it


class AnotherTopic(CheckFailed):
    """A topic is not the one that the journal's offsets are of."""


def noted(records: Iterable[StepRecord]) -> dict[str, str]:
    """The ids that stand in these records, which are of one journal."""
    return {topic: topic_id for record in records for topic, topic_id in record.topics}


async def present(bus: Bus, spec: TaskSpec) -> dict[str, str]:
    """The ids of the topics that a shard reads and writes, as far as the bus says them."""
    ids = await bus.topic_ids()
    return {topic: ids[topic] for topic in spec.topics() if topic in ids}


def refuse_others(spec: TaskSpec, then: Ids, now: Ids) -> None:
    """Raises AnotherTopic where a topic has another id now than was noted."""
    for topic in spec.topics():
        if topic in then and topic in now and then[topic] != now[topic]:
            raise AnotherTopic(
                f"{spec.name}: topic {spec.deployment}.{topic} is another one than this shard has read or written: its id was {then[topic]}, now it "
                f"is {now[topic]}. It was deleted and made again: the journal's offsets mean nothing in it, and what it held is gone. Bring the old "
                "one back with the broker's own data, or begin a new deployment (BACKSTOP_ENGINE__DEPLOYMENT), where the exchange opens its accounts "
                "by SNAPSHOTs"
            )


async def grown(bus: Bus, spec: TaskSpec) -> dict[str, tuple[int, int]]:
    """Topics that the shard reads or writes and that have more partitions than the deployment was founded on: (then, now)."""
    counts = await bus.partitions()
    return {topic: (spec.partitions_of(topic), counts[topic]) for topic in spec.topics() if counts.get(topic, 0) > spec.partitions_of(topic)}


def what_to_do(topic: str, then: int, now: int) -> str:
    """What a person must do about a topic that has grown."""
    return (
        f"{topic} has {now} partitions, this deployment was founded on {then}: nothing is read beyond them, and partitions are never taken away. Let "
        f"its producers write to partitions 0 to {then - 1} only, at once; where records lie in the others already, begin a new deployment"
    )
