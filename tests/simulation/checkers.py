"""What must hold of the log after any run, read from the log alone: by the checkers' own decoding, with nothing of the engine.

Each check yields sentences about what is wrong; none is a sound run.
"""

from collections import defaultdict
from collections.abc import Iterator

from streams.bus.contract import NewRecord, TopicPartition
from streams.topics import JOURNALS, STREAMS, TOPICS
from tests.simulation.journal import ZEROS, digest
from tests.simulation.options import HALTING_FAULTS
from tests.simulation.ordering import decoded, originals, said_by, taken
from tests.simulation.world import World

OUTPUTS = tuple(t.name for t in TOPICS.values() if t.written_by in ("accounts", "pools", "engine") and t.name not in JOURNALS.values())


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


def _outputs(world: World) -> Iterator[str]:
    """Every record a task wrote belongs to a step that lists it, and every record listed is there, once and in order."""
    found: dict[tuple[str, int, TopicPartition], list[NewRecord]] = defaultdict(list)
    for stream in OUTPUTS:
        for partition in range(world.broker.counts[stream]):
            where, last = TopicPartition(stream, partition), dict[str, int]()
            for record in originals(world, where, 0, world.broker.logs[where].end):
                name, number = said_by(record)
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
            where = TopicPartition(stream.topic, partition)
            log = world.broker.logs[where]
            found = list(log.committed(0, log.stable))
            good = [offset for offset, record in found if (told := decoded(world, where, offset, record)) and told[0] == stream.name]
            expected += [(partition, offset) for offset in good]
            kept += [(partition, offset) for offset in good if offset >= log.first]
        missing, strangers, more = set(kept) - set(rows), set(rows) - set(expected), len(rows) - len(set(rows))
        if any(gone.topic == stream.topic for gone in world.truncated):
            more = 0  # blocks are cut anew behind what retention has taken; the table merges rows by their coordinates
        if missing or strangers or more:
            yield f"sink: {stream.table} lacks {len(missing)} of {len(kept)} records, has {more} twice and {len(strangers)} that are not there"
