"""`backstop topics`: the topics of a deployment, created, or compared with the tables in `streams/topics.py` and `streams/bus/kafka_policy.py`."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from streams.bus.kafka_policy import Fault
from streams.commands.broker import kafka_bus, kafka_config, present_topics, refuse_differences, topic_faults, wanted_topics
from streams.commands.console import complain, emit_json, run, say
from streams.errors import CheckFailed
from streams.settings import Settings
from streams.worker.engine import every_shard
from streams.worker.group import create_shards_topic, refuse_other_count, shards_partitions, shards_topic


async def _create(settings: Settings) -> tuple[list[str], list[Fault]]:
    bus = kafka_bus(settings)
    try:
        before = await bus.partitions()
        await bus.create_topics(wanted_topics(settings))
        await create_shards_topic(kafka_config(settings), len(every_shard(settings)))
        return [name for name in wanted_topics(settings) if name not in before], await bus.faults()
    finally:
        await bus.close()


def run_create(settings: Settings, *, as_json: bool) -> int:
    """Create what is missing; 1 where a topic that was there is set so that no worker starts. What is there is never changed.

    Raises CheckFailed where a topic exists with another partition count, Unreachable without a broker.
    """
    created, faults = run(_create(settings))
    deployment, wanted = settings.engine.deployment, wanted_topics(settings)
    if as_json:
        emit_json({"deployment": deployment, "created": created, "topics": wanted, "faults": faults_json(faults)})
    else:
        say(f"{deployment}: {len(created)} topics created, {len(wanted) - len(created)} were there")
    tell_faults(faults)
    return 1 if any(fault.stops for fault in faults) else 0


def run_check(settings: Settings, *, as_json: bool) -> int:
    """0 when all is as it should be, 1 with every setting that is not, and the command that mends it.

    Raises CheckFailed for the first topic that is missing or has another partition count; Unreachable without a broker.
    """
    wanted, present = wanted_topics(settings), run(present_topics(settings))
    shards, count = run(shards_partitions(kafka_config(settings))), len(every_shard(settings))
    faults = run(topic_faults(settings))
    deployment = settings.engine.deployment
    if as_json:
        differences = {name: {"wanted": count, "found": present.get(name)} for name, count in wanted.items() if present.get(name) != count}
        shared = {"topic": shards_topic(deployment), "wanted": count, "found": shards or None}
        emit_json({"deployment": deployment, "topics": wanted, "differences": differences, "shards": shared, "faults": faults_json(faults)})
    refuse_differences(settings, present)
    if not shards:
        raise CheckFailed(f"topic {shards_topic(deployment)} does not exist: run `backstop topics create`")
    refuse_other_count(shards_topic(deployment), shards, count)
    tell_faults(faults)
    if not as_json and not faults:
        say(f"{deployment}: {len(wanted)} topics as they should be, and {shards_topic(deployment)} for {shards} task shards")
    return 1 if faults else 0


def tell_faults(faults: Sequence[Fault]) -> None:
    """One line each."""
    for fault in faults:
        complain(str(fault))


def faults_json(faults: Sequence[Fault]) -> list[dict[str, Any]]:
    """The same as JSON; `stops`: no worker starts before it is mended."""
    return [asdict(fault) for fault in faults]
