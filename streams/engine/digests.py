"""Three numbers that say whether two runs came to the same: the states, the outputs, the decisions. Hex strings of SHA-256.

Decisions are compared in the order of (event time, id), so their digest is the same for every number of shards and on every bus.
"""

import hashlib
from collections.abc import Iterable

from streams.bus.contract import Bus, TopicPartition
from streams.engine.chunks import read_all
from streams.topics import JOURNALS, TOPICS
from streams.wire.codec import codec
from streams.wire.digest import records_digest

# Step records hold owners and cuts, which may differ between runs that decide the same.
OUTPUT_TOPICS = tuple(t.name for t in TOPICS.values() if t.written_by in ("accounts", "pools", "engine") and t.name not in JOURNALS.values())


def state_digest(digests: Iterable[bytes]) -> str:
    """Of the machines' digests, given in the order of (task, shard)."""
    return hashlib.sha256(b"".join(digests)).hexdigest()


async def output_digest(bus: Bus) -> str:
    """Of everything the engine's tasks have written, per partition in order."""
    whole = hashlib.sha256()
    counts = await bus.partitions()
    for topic in OUTPUT_TOPICS:
        for partition in range(counts.get(topic, 0)):
            chunk = await read_all(bus, TopicPartition(topic, partition))
            whole.update(f"{topic}/{partition}/{len(chunk)}/".encode())
            whole.update(records_digest(chunk.timestamps_ms, chunk.keys, chunk.values))
    return whole.hexdigest()


async def decision_digest(bus: Bus) -> str:
    """Of the instructions, each value preceded by its length, in the order of (event time, instruction id)."""
    decisions = []
    for partition in range((await bus.partitions())["instructions"]):
        chunk = await read_all(bus, TopicPartition("instructions", partition))
        for value in chunk.values:
            row = codec("instructions").decode_row(value)
            decisions.append((row["event_time_us"], row["instruction_id"], value or b""))
    whole = hashlib.sha256()
    for _, _, value in sorted(decisions):
        whole.update(len(value).to_bytes(4, "big") + value)
    return whole.hexdigest()
