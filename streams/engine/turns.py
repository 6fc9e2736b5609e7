"""What an exchange in lock-step writes on its records, so that its turns are taken whole and can be replayed as they were.

A transaction need not become visible on all partitions at once. A record may therefore say how many records its exchange has written to each
partition of the turn by then; a task that sees one waits until it has as many, and the pools task until the shards have. Only a runner that is
told so (`RunnerOptions.in_turns`) looks at that; to every other one headers are bytes of somebody else's, whatever their names.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from streams.bus.contract import Chunk, Header, NewRecord, TopicPartition
from streams.domain.batch import Row
from streams.topics import STREAMS
from streams.wire.records import new_record

TURN_HEADER = "turn"
COUNTS_HEADER = "counts"
_TURN: Final = re.compile(rb"[0-9]{1,15}")
_COUNT: Final = re.compile(rb"([a-z-]{1,40})/([0-9]{1,9})=([0-9]{1,15})")

Said = Sequence[tuple[str, int, Row]]  # (stream, partition, row)


def turn_records(said: Said, turn: int, written: Counter[TopicPartition] | None = None) -> list[NewRecord]:
    """What is said in a turn, as records. With `written`, the counts so far, which are moved on, the records also carry the counts."""
    headers = [(TURN_HEADER, str(turn).encode())]
    if written is not None:
        touched = [TopicPartition(STREAMS[stream].topic, partition) for stream, partition, _ in said]
        written.update(touched)
        counts = [f"{topic}/{partition}={written[TopicPartition(topic, partition)]}" for topic, partition in sorted(set(touched))]
        headers.append((COUNTS_HEADER, ",".join(counts).encode()))
    return [new_record(stream, row, partition, tuple(headers)) for stream, partition, row in said]


def turn_of(headers: Iterable[Header]) -> int | None:
    """The turn that a record names; None where it names none, or not as an exchange in lock-step does."""
    named = dict(headers).get(TURN_HEADER)
    return int(named) if named is not None and _TURN.fullmatch(named) else None


def counts_named(chunks: Iterable[Chunk]) -> dict[TopicPartition, int]:
    """How many records the newest record of each chunk says there are. One turn is under way at a time: the newest record speaks for all."""
    named: dict[TopicPartition, int] = {}
    for chunk in chunks:
        for entry in (dict(chunk.headers[-1]).get(COUNTS_HEADER) or b"" if chunk.headers else b"").split(b","):
            if match := _COUNT.fullmatch(entry):
                key = TopicPartition(match[1].decode(), int(match[2]))
                named[key] = max(named.get(key, 0), int(match[3]))
    return named


class TurnHold:
    """Holds back what an accounts shard has read until it has all of the turn."""

    def __init__(self) -> None:
        self._held: list[Chunk] = []
        self._expected: dict[TopicPartition, int] = {}

    def take(self, chunks: list[Chunk], taken: Mapping[TopicPartition, int]) -> list[Chunk]:
        """All that has been read and not taken, or nothing yet; `taken` counts the records taken by input partition."""
        for partition, count in counts_named(chunks).items():
            self._expected[partition] = max(count, self._expected.get(partition, 0))
        self._held += chunks
        if self._expected:
            have = Counter({partition: taken[partition] for partition in self._expected if partition in taken})
            for chunk in self._held:
                have[TopicPartition(chunk.topic, chunk.partition)] += len(chunk)
            if any(have[partition] < count for partition, count in self._expected.items() if partition in taken):
                return []
        held, self._held, self._expected = self._held, [], {}
        return held
