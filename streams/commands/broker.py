"""The Kafka bus of a deployment, as the settings describe it, and whether its topics are as they should be."""

from collections.abc import Mapping

from streams.bus.contract import Bus, TopicPartition
from streams.bus.kafka import KafkaBus
from streams.bus.kafka_connection import KafkaConfig
from streams.bus.kafka_policy import Fault
from streams.engine.identity import what_to_do
from streams.errors import CheckFailed
from streams.observe.logs import logger
from streams.settings import Settings
from streams.topics import TOPICS, partition_count

log = logger(__name__)


def kafka_config(settings: Settings) -> KafkaConfig:
    """How to reach the brokers of these settings."""
    kafka = settings.kafka
    return KafkaConfig(
        bootstrap_servers=kafka.bootstrap_servers,
        deployment=settings.engine.deployment,
        security_protocol=kafka.security_protocol,
        sasl_mechanism=kafka.sasl_mechanism or "PLAIN",
        sasl_username=kafka.sasl_username,
        sasl_password=kafka.password,
        ssl_context=kafka.ssl_context(),
        replication_factor=kafka.replication_factor,
        record_batches=kafka.record_batches,
    )


def kafka_bus(settings: Settings) -> KafkaBus:
    """A bus that nothing has connected yet."""
    return KafkaBus(kafka_config(settings))


def topic_counts(*, account_partitions: int, shards: int) -> dict[str, int]:
    """Every topic and its partition count in a deployment of this shape."""
    return {name: partition_count(name, account_partitions=account_partitions, shards=shards) for name in TOPICS}


def wanted_topics(settings: Settings) -> dict[str, int]:
    """What the deployment of these settings needs."""
    return topic_counts(account_partitions=settings.engine.account_partitions, shards=settings.engine.shards)


async def present_topics(settings: Settings) -> dict[str, int]:
    """What the broker has of this deployment. Raises Unreachable without a broker."""
    bus = kafka_bus(settings)
    try:
        return await bus.partitions()
    finally:
        await bus.close()


def refuse_differences(settings: Settings, present: Mapping[str, int]) -> None:
    """Raises CheckFailed naming the first topic that is missing or has another partition count."""
    deployment = settings.engine.deployment
    differences = [(name, count) for name, count in wanted_topics(settings).items() if present.get(name) != count]
    if not differences:
        return
    name, count = differences[0]
    more = f" (and {len(differences) - 1} more)" if len(differences) > 1 else ""
    if name not in present:
        raise CheckFailed(f"topic {deployment}.{name} does not exist{more}: run `backstop topics create`")
    if present[name] > count:
        raise CheckFailed(f"topic {deployment}.{what_to_do(name, count, present[name])}{more}; or use the counts that the deployment was founded on")
    raise CheckFailed(
        f"topic {deployment}.{name} has {present[name]} partitions instead of {count}{more}: "
        "the counts of a deployment never change; use the ones it was founded on, or another deployment"
    )


async def topic_faults(settings: Settings) -> list[Fault]:
    """What is set otherwise than it should be on the topics that are there. Raises Unreachable without a broker."""
    bus = kafka_bus(settings)
    try:
        return await bus.faults()
    finally:
        await bus.close()


async def _untouched(bus: Bus, settings: Settings, present: Mapping[str, int]) -> dict[str, int]:
    """Topics that have more partitions than the deployment, of which the others were never written to; and their counts in the deployment."""
    grown = {name: count for name, count in wanted_topics(settings).items() if present.get(name, 0) > count}
    beyond = [TopicPartition(name, index) for name, count in grown.items() for index in range(count, present[name])]
    if not beyond:
        return {}
    reader = await bus.reader(beyond)
    try:
        written = {partition.topic for partition in beyond if (await reader.bounds(partition))[1] > 0}
    finally:
        await reader.close()
    return {name: count for name, count in grown.items() if name not in written}


async def require_topics(settings: Settings) -> None:
    """Raises CheckFailed where a topic is missing, or is such that records would be lost or be others than were sent; Unreachable without a broker.

    What else is otherwise than it should be is a warning in the log: so are partitions beyond those of the deployment, as long as nothing was ever
    written to them.
    """
    bus = kafka_bus(settings)
    try:
        present = await bus.partitions()
        untouched = await _untouched(bus, settings, present)
        refuse_differences(settings, {**present, **untouched})
        for name, count in untouched.items():
            log.warning("topic_has_grown", topic=name, partitions=present[name], reason=what_to_do(name, count, present[name]))
        faults = await bus.faults()
    finally:
        await bus.close()
    for fault in faults:
        log.warning("topic_set_otherwise", topic=fault.topic, setting=fault.setting, found=fault.found, wanted=fault.wanted, mend=fault.mend)
    fatal = [fault for fault in faults if fault.stops]
    if fatal:
        more = f" (and {len(fatal) - 1} more: `backstop topics check`)" if len(fatal) > 1 else ""
        raise CheckFailed(f"{fatal[0]}{more}")
