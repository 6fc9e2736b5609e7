"""When the pools task may take what has arrived: an event time only when it is complete. The rule stands at `PoolsGate`."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from streams.bus.contract import Chunk, TopicPartition
from streams.domain.alarms import Alarm
from streams.domain.batch import Raised
from streams.engine.chunks import cut, join
from streams.engine.journal import StepRecord, open_chunk
from streams.engine.spells import Spell
from streams.engine.task import Step, TaskSpec
from streams.topics import ACCOUNTS_READS, JOURNALS, POOLS_READS, TOPICS, Partitioning

READ_BY_SHARDS = frozenset(ACCOUNTS_READS)
READ_BY_BOTH = frozenset(POOLS_READS) & frozenset(ACCOUNTS_READS)
JOURNALS_HOLD: Final = 1 << 20  # bytes of the shards' step records that may wait for something to go with; in memory it is several times as much
SAID_TO_SHARDS = frozenset(topic for topic in ACCOUNTS_READS if TOPICS[topic].written_by == "pools")


class Fact(NamedTuple):
    """One number the gate knows, as a snapshot keeps it; `shard` is -1 where the number is of no single shard."""

    kind: str
    shard: int
    topic: str
    partition: int
    value: int


@dataclass(slots=True)
class _Shard:
    """What a shard's step records have shown so far."""

    clock_us: int = 0
    consumed: Counter[TopicPartition] = field(default_factory=Counter)  # records


class PoolsGate:
    """Holds back what has arrived for the pools task until it may be taken. Pure: the time, for the patience, is passed in.

    The pools task hears one event from several sides: the exchange's marks, and what each accounts shard made of them and of its accounts. It should
    decide on an event time with all of that in hand, on every bus and for every number of shards. The accounts-journal tells it what is
    still to come: each step record says what its shard has consumed and written, and where its clock stands.

    Taken is (a) what lies before every shard's clock, once all that the shards announced has arrived, and nothing of a stream both read that
    its shards have not consumed; (b) everything, when the shards have consumed all that the pools task has seen or said, and all they
    announced has arrived; (c) everything, when the patience is over: then an alarm names the shards that were late, once a spell.
    Where the runner is told to take turns whole (`expect`), (b) also waits until the shards have consumed the whole of the exchange's turn.

    Without marks nothing is taken, while shards go on to say steps: once JOURNALS_HOLD bytes of their journals wait, those go into a step alone.

    What is taken is journaled as slices like any input, so the gate decides only when, and a re-run does not ask it. It counts records, not
    offsets: markers take offsets that no record fills. Times are compared in the whole milliseconds of record timestamps, rounded so that
    nothing is taken early.
    """

    def __init__(self, spec: TaskSpec, patience_ms: int | None) -> None:
        self._spec = spec
        self._patience_ms = patience_ms
        self._shards = [_Shard() for _ in range(spec.shard_count)]
        self._announced: Counter[TopicPartition] = Counter()
        self._received: Counter[TopicPartition] = Counter()
        self._said: Counter[TopicPartition] = Counter()
        self._expected: dict[TopicPartition, int] = {}  # of the exchange's turn, where it is in lock-step
        self._buffer: dict[TopicPartition, list[Chunk]] = {}
        self._journal: list[Chunk] = []  # read already, journaled with the next step
        self._journal_bytes = 0  # of its values
        self._before: dict[int, int] = {}  # clocks of shards as they were before that
        self._since_ms: int | None = None
        self.spell = Spell()  # of going on without shards
        self._alarms: list[Raised] = []

    @property
    def waiting(self) -> int:
        """Records that have arrived and are not taken."""
        return sum(len(chunk) for parts in self._buffer.values() for chunk in parts)

    def push(self, chunks: Iterable[Chunk], now_ms: int) -> None:
        """What a read returned, in order."""
        for chunk in chunks:
            if chunk.topic == JOURNALS["accounts"]:
                self._journal.append(chunk)
                self._journal_bytes += sum(map(len, filter(None, chunk.values)))
                shard = self._shards[chunk.partition]
                self._before.setdefault(chunk.partition, shard.clock_us)
            else:
                self._buffer.setdefault(TopicPartition(chunk.topic, chunk.partition), []).append(chunk)
                if len(chunk) and self._since_ms is None:
                    self._since_ms = now_ms
            self._know(chunk)

    def expect(self, counts: Mapping[TopicPartition, int]) -> None:
        """The exchange says that by now it has written so many records to these of its partitions."""
        for partition, count in counts.items():
            if partition.topic in READ_BY_SHARDS and partition.partition < self._spec.partitions_of(partition.topic):
                self._expected[partition] = max(count, self._expected.get(partition, 0))

    def take(self, now_ms: int) -> list[Chunk]:
        """What may be taken now, with the journal records read up to here; empty when nothing may. Journals that fill the gate are taken alone."""
        taken = [] if self._since_ms is None else self._due(now_ms, self._since_ms)
        if taken:
            self._since_ms = now_ms if self.waiting else None
        if taken or self._journal_bytes >= JOURNALS_HOLD:
            taken, self._journal, self._journal_bytes, self._before = taken + self._journal, [], 0, {}
        return taken

    def _due(self, now_ms: int, since_ms: int) -> list[Chunk]:
        late = self.late()
        if not late:
            return self._all()
        if self._patience_ms is not None and now_ms - since_ms >= self._patience_ms:
            new = self.spell.add(map(str, late), now_ms)
            if new:
                self._alarms.append((Alarm.POOLS_WENT_ON_WITHOUT_SHARDS, {"late": [int(shard) for shard in new], "waited_ms": now_ms - since_ms}))
            return self._all()
        return self._before_clocks() if self._arrived() else []

    def alarms(self) -> list[Raised]:
        """What operators must know since the last call."""
        alarms, self._alarms = self._alarms, []
        return alarms

    def late(self) -> list[int]:
        """Shards that still have something to say about what has been seen; all of them while something announced has not arrived."""
        if not self._arrived():
            return list(range(self._spec.shard_count))
        late: set[int] = set()
        for counts, streams in ((self._received, READ_BY_BOTH), (self._said, SAID_TO_SHARDS), (self._expected, READ_BY_SHARDS)):
            for partition, count in counts.items():
                if partition.topic in streams:
                    late.update(index for index in self._readers(partition) if self._shards[index].consumed[partition] < count)
        return sorted(late)

    def wanted(self) -> list[TopicPartition]:
        """What to read next where not all can be held: what was announced or consumed and has not arrived; else the shards' journals alone."""
        due = Counter(self._announced)
        for counts in (self._expected, *(shard.consumed for shard in self._shards)):
            for partition, count in counts.items():
                if partition.topic in READ_BY_BOTH:
                    due[partition] = max(due[partition], count)
        short = [partition for partition, count in due.items() if self._received[partition] < count]
        return short or [TopicPartition(JOURNALS["accounts"], shard) for shard in range(self._spec.shard_count)]

    def said(self, step: Step) -> None:
        """What the pools task itself has written: the shards will answer to it."""
        for part in step.outputs:
            if part.topic in SAID_TO_SHARDS:
                self._said[TopicPartition(part.topic, part.partition)] += part.count

    def replayed(self, chunks: Sequence[Chunk], step: Step) -> None:
        """A journaled step was run again: know what the gate knew after it."""
        for chunk in chunks:
            self._know(chunk)
        self.said(step)

    def facts(self) -> list[Fact]:
        """All it knows of what has been taken, for a snapshot; what waits in it is read again after a restart, journals too."""
        announced, consumed = Counter(self._announced), [Counter(shard.consumed) for shard in self._shards]
        for chunk in self._journal:
            for record in open_chunk(chunk):
                consumed[chunk.partition].subtract(_consumed(record))
                announced.subtract(_announced(record))
        facts = [Fact("clock", index, "", 0, self._before.get(index, shard.clock_us)) for index, shard in enumerate(self._shards)]
        facts += [Fact("consumed", index, *partition, count) for index, counts in enumerate(consumed) for partition, count in counts.items()]
        facts += [Fact("announced", -1, *partition, count) for partition, count in announced.items()]
        facts += [Fact("received", -1, *partition, count - self._waiting(partition)) for partition, count in self._received.items()]
        return facts + [Fact("said", -1, *partition, count) for partition, count in self._said.items()]

    def restore(self, facts: Iterable[Fact]) -> None:
        """Know what a snapshot kept."""
        counters = {"announced": self._announced, "received": self._received, "said": self._said}
        for fact in facts:
            partition = TopicPartition(fact.topic, fact.partition)
            match fact.kind:
                case "clock":
                    self._shards[fact.shard].clock_us = fact.value
                case "consumed":
                    self._shards[fact.shard].consumed[partition] = fact.value
                case kind:
                    counters[kind][partition] = fact.value

    def _know(self, chunk: Chunk) -> None:
        if chunk.topic != JOURNALS["accounts"]:
            self._received[TopicPartition(chunk.topic, chunk.partition)] += len(chunk)
            return
        for record in open_chunk(chunk):
            self._know_step(self._shards[chunk.partition], record)

    def _know_step(self, shard: _Shard, record: StepRecord) -> None:
        shard.clock_us = record.event_time_us
        shard.consumed.update(_consumed(record))
        self._announced.update(_announced(record))

    def _readers(self, partition: TopicPartition) -> Iterable[int]:
        """The shards that read a partition."""
        if TOPICS[partition.topic].partitioning is Partitioning.ACCOUNT:
            return (partition.partition % self._spec.shard_count,)
        return range(self._spec.shard_count)

    def _arrived(self) -> bool:
        """All that the shards announced, and all that they consumed of what both read."""
        if any(self._received[partition] < count for partition, count in self._announced.items()):
            return False
        if any(self._received[partition] < count for partition, count in self._expected.items() if partition.topic in READ_BY_BOTH):
            return False
        return not any(
            partition.topic in READ_BY_BOTH and self._received[partition] < count
            for shard in self._shards
            for partition, count in shard.consumed.items()
        )

    def _waiting(self, partition: TopicPartition) -> int:
        return sum(len(chunk) for chunk in self._buffer.get(partition, ()))

    def _all(self) -> list[Chunk]:
        taken = [chunk for parts in self._buffer.values() for chunk in parts]
        self._buffer = {}
        return taken

    def _before_clocks(self) -> list[Chunk]:
        bound_ms = min(shard.clock_us for shard in self._shards) // 1000
        taken = []
        for partition, parts in list(self._buffer.items()):
            whole = join(parts)
            count = self._count_before(partition, whole, bound_ms)
            if count == 0:
                self._buffer[partition] = [whole]
            elif count == len(whole):
                taken.append(whole)
                del self._buffer[partition]
            else:
                head, tail = cut(whole, whole.offsets[count])
                taken.append(head)
                self._buffer[partition] = [tail]
        return taken

    def _count_before(self, partition: TopicPartition, whole: Chunk, bound_ms: int) -> int:
        count = next((index for index, time_ms in enumerate(whole.timestamps_ms) if time_ms >= bound_ms), len(whole))
        if partition.topic not in READ_BY_BOTH:
            return count
        consumed = min(self._shards[index].consumed[partition] for index in self._readers(partition))
        return min(count, max(0, consumed - (self._received[partition] - len(whole))))


def _consumed(record: StepRecord) -> dict[TopicPartition, int]:
    return {TopicPartition(part.topic, part.partition): part.count for part in record.slices}


def _announced(record: StepRecord) -> dict[TopicPartition, int]:
    return {TopicPartition(output.topic, output.partition): output.count for output in record.outputs if output.topic in POOLS_READS}
