"""Whether the pools task decided with all in hand: worked out from the step records alone, and nothing of the product's gate.

Each pools step took step records of the shards, and with them knew what these had consumed, written and where their clocks stood. By that, what it
took must be complete, or lie before every clock. A step that its patience let through says so by an alarm, which is the only excuse.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from streams.bus.contract import TopicPartition
from streams.topics import ACCOUNTS_READS, POOLS_READS, TOPICS, Partitioning
from tests.simulation.journal import JOURNAL
from tests.simulation.world import World

POOLS = "pools-0"
ALARM = "pools_went_on_without_shards"
BOTH = frozenset(POOLS_READS) & frozenset(ACCOUNTS_READS)
ANSWERED = frozenset(topic for topic in ACCOUNTS_READS if TOPICS[topic].written_by == "pools")


def check_gate(world: World) -> Iterator[str]:
    """Every pools step in turn."""
    if any(name == POOLS and alarm == ALARM for name, alarm, _ in world.alarms):
        return
    known = _Known(world)
    for step in world.journals.steps[POOLS]:
        known.takes(step)
        lacking = known.incomplete()
        if lacking and (early := known.early(step)):
            yield f"gate: pools-0 step {step['step']} was taken without all that belongs to it: {lacking}; {early}"
        known.said(step)


class _Known:
    """What the step records taken so far say."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._shards = len(world.journals.places) - 1
        self._taken: Counter[TopicPartition] = Counter()  # records, by the pools task
        self._announced: Counter[TopicPartition] = Counter()
        self._answered: Counter[TopicPartition] = Counter()  # what the pools task has said to the shards
        self._consumed: list[Counter[TopicPartition]] = [Counter() for _ in range(self._shards)]
        self._clocks_us = [0] * self._shards
        self._heard = [0] * self._shards  # step records

    def takes(self, step: dict[str, Any]) -> None:
        """What a pools step took, step records among it."""
        for part in step["slices"]:
            if part["topic"] == JOURNAL["accounts"]:
                self._hear(part["partition"], part["to"])
            else:
                self._taken[TopicPartition(part["topic"], part["partition"])] += part["count"]

    def _hear(self, shard: int, to: int) -> None:
        steps = self._world.journals.steps[f"accounts-{shard}"]
        while self._heard[shard] < len(steps) and steps[self._heard[shard]]["offset_"] < to:
            record = steps[self._heard[shard]]
            self._heard[shard] += 1
            self._clocks_us[shard] = record["event_time_us"]
            self._consumed[shard].update({TopicPartition(part["topic"], part["partition"]): part["count"] for part in record["slices"]})
            told = (part for part in record["outputs"] if part["topic"] in POOLS_READS)
            self._announced.update({TopicPartition(part["topic"], part["partition"]): part["count"] for part in told})

    def said(self, step: dict[str, Any]) -> None:
        """What the shards will answer to."""
        told = (part for part in step["outputs"] if part["topic"] in ANSWERED)
        self._answered.update({TopicPartition(part["topic"], part["partition"]): part["count"] for part in told})

    def incomplete(self) -> str:
        """What was known to be missing; empty when what was taken is all there is to it."""
        for place, count in self._announced.items():
            if self._taken[place] < count:
                return f"{count - self._taken[place]} records announced of {place.topic}"
        for counts, topics in ((self._taken, BOTH), (self._answered, ANSWERED)):
            for place, count in counts.items():
                late = [shard for shard in self._readers(place) if place.topic in topics and self._consumed[shard][place] < count]
                if late:
                    return f"shards {late} had not consumed all of {place.topic}"
        return ""

    def _readers(self, place: TopicPartition) -> list[int]:
        is_one = TOPICS[place.topic].partitioning is Partitioning.ACCOUNT
        return [place.partition % self._shards] if is_one else list(range(self._shards))

    def early(self, step: dict[str, Any]) -> str:
        """What keeps the step from being complete before the clocks, if something does; times in whole milliseconds of records."""
        bound_ms = min(self._clocks_us) // 1000
        for part in step["slices"]:
            where = TopicPartition(part["topic"], part["partition"])
            if where.topic == JOURNAL["accounts"]:
                continue
            records = [record for _, record in self._world.broker.logs[where].committed(part["from"], part["to"])]
            if any(record.timestamp_ms >= bound_ms for record in records):
                return f"{where.topic} of a time that a shard's clock had not passed"
            if where.topic in BOTH and any(self._consumed[shard][where] < self._taken[where] for shard in self._readers(where)):
                return f"{where.topic} that a shard had not consumed"
        for place, count in self._announced.items():
            log = self._world.broker.logs[place]
            before = 0
            for _, record in log.committed(0, log.end):
                if record.timestamp_ms >= bound_ms or before == count:
                    break
                before += 1
            if self._taken[place] < before:
                return f"{before - self._taken[place]} records of {place.topic} from before all clocks were left behind"
        return ""
