"""What must hold of the log after any run, read from the log alone: by the checkers' own decoding, with nothing of the engine.

Each check yields sentences about what is wrong; none is a sound run.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from streams.bus.contract import NewRecord, TopicPartition
from streams.errors import CheckFailed
from streams.topics import JOURNALS, STREAMS, TOPICS
from streams.wire.codec import codec
from tests.simulation.journal import ZEROS, digest
from tests.simulation.options import HALTING_FAULTS
from tests.simulation.world import World

OUTPUTS = tuple(t.name for t in TOPICS.values() if t.written_by in ("accounts", "pools", "engine") and t.name not in JOURNALS.values())


def read(topic: str, value: bytes | None) -> tuple[str, dict[str, Any]] | None:
    """A record's stream and row: of whichever of the topic's streams reads it; None where none does."""
    for stream in TOPICS[topic].streams:
        try:
            return stream, codec(stream).decode_row(value)
        except CheckFailed:
            continue
    return None


def check_log(world: World) -> Iterator[str]:
    """Everything that can be said without running a machine."""
    for name in world.shards:
        yield from _chain(world, name)
        yield from _owners(world, name)
        yield from _slices(world, name)
    yield from _outputs(world)
    yield from _halts(world)
    yield from _sink(world)


def _chain(world: World, name: str) -> Iterator[str]:
    """Steps are numbered from 0 without a gap and each carries the hash of the one before."""
    before = ZEROS
    for number, step in enumerate(world.journals.steps[name]):
        if step["step"] != number:
            yield f"chain: {name} has step {step['step']} at the place of step {number} (owner {step['owner']})"
            return
        if step["previous_hash"] != before:
            yield f"chain: {name} step {number} does not follow from the record before it (owner {step['owner']})"
        if step["own_hash"] != step["own_hash_"]:
            yield f"chain: {name} step {number} carries a hash that is not its own"
        before = step["own_hash"]


def _owners(world: World, name: str) -> Iterator[str]:
    """A generation has one owner, and never comes again after the next has begun."""
    newest, owners = 0, dict[int, str]()
    for step in world.journals.steps[name]:
        generation, owner = step["generation"], step["owner"]
        if generation < newest:
            yield f"owners: {name} step {step['step']} is of generation {generation}, after generation {newest} had begun"
        if owners.setdefault(generation, owner) != owner:
            yield f"owners: {name} generation {generation} has steps of {owners[generation]} and of {owner}"
        newest = max(newest, generation)


def _slices(world: World, name: str) -> Iterator[str]:
    """Slices of a partition touch from offset 0 on, hold the records they say, and at rest cover everything: each input is in exactly one step."""
    positions: dict[TopicPartition, int] = dict.fromkeys(world.shards[name].spec.inputs(), 0)
    for step in world.journals.steps[name]:
        for part in step["slices"]:
            where = TopicPartition(part["topic"], part["partition"])
            if part["from"] != positions[where]:
                yield f"slices: {name} step {step['step']} took {where.topic}[{where.partition}] from {part['from']}, not from {positions[where]}"
            positions[where] = part["to"]
            records = taken(world, where, part)
            if (part["count"], part["digest"]) != (len(records), digest(records)):
                yield f"slices: {name} step {step['step']} did not take what {where.topic}[{where.partition}] [{part['from']}, {part['to']}) holds"
    if world.problems or any(shard.halted for shard in world.shards.values()):
        return
    for where, position in positions.items():
        log = world.broker.logs[where]
        if where.topic != "accounts-journal" and log.read(position, 1)[1]:
            yield f"slices: {name} is at rest and has not taken {where.topic}[{where.partition}] from {position} on"


def originals(world: World, where: TopicPartition, start: int, stop: int) -> list[NewRecord]:
    """Committed records of a range, as they were before a fault altered them."""
    return [world.originals.get((where, offset), record) for offset, record in world.broker.logs[where].committed(start, stop)]


def taken(world: World, where: TopicPartition, part: Mapping[str, Any]) -> list[NewRecord]:
    """What a slice took: the records as they are, or as they were where that is what its digest says."""
    before = originals(world, where, part["from"], part["to"])
    if world.originals and digest(before) == part["digest"]:
        return before
    return [record for _, record in world.broker.logs[where].committed(part["from"], part["to"])]


def _outputs(world: World) -> Iterator[str]:
    """Every record a task wrote belongs to a step that lists it, and every record listed is there, once and in order."""
    found: dict[tuple[str, int, TopicPartition], list[NewRecord]] = defaultdict(list)
    for stream in OUTPUTS:
        for partition in range(world.broker.counts[stream]):
            where, last = TopicPartition(stream, partition), dict[str, int]()
            for record in originals(world, where, 0, world.broker.logs[where].end):
                task, shard, text = dict(record.headers)["step"].decode().split("/")
                name, number = f"{task}-{shard}", int(text)
                if number < last.get(name, 0):
                    yield f"outputs: {stream}[{partition}] has a record of {name} step {number} behind one of step {last[name]}"
                last[name] = number
                found[name, number, where].append(record)
    listed = {}
    for name, steps in world.journals.steps.items():
        for step in steps:
            for part in step["outputs"]:
                listed[name, step["step"], TopicPartition(part["topic"], part["partition"])] = part
    for place in sorted(found.keys() | listed.keys()):
        name, number, (topic, partition) = place
        part, records = listed.get(place), found.get(place, [])
        if part is None:
            yield f"outputs: {len(records)} records of {topic}[{partition}] say they are of {name} step {number}, which does not list them"
        elif (part["count"], part["digest"]) != (len(records), digest(records)):
            yield f"outputs: {name} step {number} lists {part['count']} records of {topic}[{partition}]; there are {len(records)} or other ones"


def _halts(world: World) -> Iterator[str]:
    """A shard stops for ever only where its input is gone or altered; and where what it had taken was altered, it says so and goes no further."""
    excused = any(fault.kind in HALTING_FAULTS for fault in world.fired)
    for name, shard in world.shards.items():
        if shard.halted is not None and not excused:
            yield f"halted: {name} refuses to go on: {shard.refusals[-1]}"
        if name in world.altered:
            if len(world.journals.steps[name]) > world.altered[name]:
                yield f"altered: {name} went on although an input it had taken was altered"
            elif shard.halted is not None and not shard.refusals[-1].startswith("input"):
                yield f"altered: {name} stopped for another reason than its altered input: {shard.refusals[-1]}"


def _sink(world: World) -> Iterator[str]:
    """Rows of the sink are the records of the topics, each once."""
    if not world.options.sink or world.problems or any(shard.halted for shard in world.shards.values()):
        return
    for stream in STREAMS.values():
        rows = sorted(world.clickhouse.rows.get(stream.table, []))
        expected, kept = [], []
        for partition in range(world.broker.counts[stream.topic]):
            log = world.broker.logs[TopicPartition(stream.topic, partition)]
            found = list(log.committed(0, log.stable))
            good = codec(stream.name).decode([record.value for _, record in found]).good.tolist()
            expected += [(partition, found[index][0]) for index in good]
            kept += [(partition, found[index][0]) for index in good if found[index][0] >= log.first]
        missing, strangers, more = set(kept) - set(rows), set(rows) - set(expected), len(rows) - len(set(rows))
        if any(where.topic == stream.topic for where in world.truncated):
            more = 0  # blocks are cut anew behind what retention has taken; the table merges rows by their coordinates
        if missing or strangers or more:
            yield f"sink: {stream.table} lacks {len(missing)} of {len(kept)} records, has {more} twice and {len(strangers)} that are not there"
