"""`backstop topics`: the topics of a deployment, created or compared with the table in `streams/topics.py`."""

from streams.commands.broker import kafka_bus, kafka_config, present_topics, refuse_differences, wanted_topics
from streams.commands.console import emit_json, run, say
from streams.errors import CheckFailed
from streams.settings import Settings
from streams.worker.engine import every_shard
from streams.worker.group import create_shards_topic, refuse_other_count, shards_partitions, shards_topic


async def _create(settings: Settings) -> list[str]:
    bus = kafka_bus(settings)
    try:
        before = await bus.partitions()
        await bus.create_topics(wanted_topics(settings))
        await create_shards_topic(kafka_config(settings), len(every_shard(settings)))
        return [name for name in wanted_topics(settings) if name not in before]
    finally:
        await bus.close()


def run_create(settings: Settings, *, as_json: bool) -> int:
    """Create what is missing. Raises CheckFailed where a topic exists with another partition count, Unreachable without a broker."""
    created = run(_create(settings))
    deployment, wanted = settings.engine.deployment, wanted_topics(settings)
    if as_json:
        emit_json({"deployment": deployment, "created": created, "topics": wanted})
    else:
        say(f"{deployment}: {len(created)} topics created, {len(wanted) - len(created)} were there")
    return 0


def run_check(settings: Settings, *, as_json: bool) -> int:
    """Raises CheckFailed for the first topic that is missing or has another partition count; Unreachable without a broker."""
    wanted, present = wanted_topics(settings), run(present_topics(settings))
    shards, count = run(shards_partitions(kafka_config(settings))), len(every_shard(settings))
    deployment = settings.engine.deployment
    if as_json:
        differences = {name: {"wanted": count, "found": present.get(name)} for name, count in wanted.items() if present.get(name) != count}
        shared = {"topic": shards_topic(deployment), "wanted": count, "found": shards or None}
        emit_json({"deployment": deployment, "topics": wanted, "differences": differences, "shards": shared})
    refuse_differences(settings, present)
    if not shards:
        raise CheckFailed(f"topic {shards_topic(deployment)} does not exist: run `backstop topics create`")
    refuse_other_count(shards_topic(deployment), shards, count)
    if not as_json:
        say(f"{deployment}: {len(wanted)} topics as they should be, and {shards_topic(deployment)} for {shards} task shards")
    return 0
