"""A task's step, sans-IO: chunks in; ordered, run through the machine, and out as records with the digests a step record needs.

Live, recovery, verify and replay all run this one path. Nothing here reads a bus, a clock or a file.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from streams.bus.columns import ByteColumn, Numbers, joined_bytes, joined_numbers
from streams.bus.contract import Chunk, Header, NewRecord, RecordBlock, TopicPartition, Writable
from streams.domain.batch import UNDECODABLE, Batch, Outputs, Raised, Refusal, Row
from streams.engine.chunks import by_partition, join
from streams.engine.machine import Machine
from streams.engine.merge import Unreadable, merge
from streams.errors import CheckFailed, ImpossibleState
from streams.topics import ACCOUNTS_READS, JOURNALS, POOLS_READS, STREAMS, TOPICS, Partitioning, partition_count
from streams.wire.digest import COMPILED_FROM, records_digest
from streams.wire.records import new_blocks, new_records

TaskName = Literal["accounts", "pools"]
MachineFactory = Callable[[TaskName, int, int], Machine]  # (task, shard, shard_count)
STEP_HEADER = "step"
DEAD_LETTER_BYTES = 4_096  # of a refused value; its whole length stands beside it


@dataclass(frozen=True, slots=True)
class Slice:
    """Records of one input partition that a step took: [start, stop) by consumer position."""

    topic: str
    partition: int
    start: int
    stop: int
    count: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Output:
    """Records that a step wrote to one partition."""

    topic: str
    partition: int
    count: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """Which task this is, and the shape of the deployment it belongs to.

    `epoch` counts where the shard is founded, and stands in its journal from then on: what ids of instructions are made from besides their causes.
    0: nothing, for a deployment whose ids no gateway remembers; None: one that no other deployment has, from the topics as they are then.
    """

    task: TaskName
    shard: int
    shard_count: int
    account_partitions: int
    deployment: str
    epoch: int | None = 0

    @property
    def name(self) -> str:
        """How people and transactional ids name it."""
        return f"{self.task}-{self.shard}"

    @property
    def reads(self) -> tuple[str, ...]:
        """Topics the machine hears, in their order at one event time."""
        return ACCOUNTS_READS if self.task == "accounts" else POOLS_READS

    @property
    def journal(self) -> TopicPartition:
        """Where its step records stand."""
        return TopicPartition(JOURNALS[self.task], self.shard)

    def partitions_of(self, topic: str) -> int:
        """How many partitions a topic has here."""
        return partition_count(topic, account_partitions=self.account_partitions, shards=self.shard_count)

    def inputs(self) -> list[TopicPartition]:
        """What it reads, in reading order. The pools task also reads the accounts tasks' journals, for its gate only."""
        inputs = [TopicPartition(topic, p) for topic in self.reads for p in range(self.partitions_of(topic)) if self._takes(topic, p)]
        if self.task == "pools":
            inputs += [TopicPartition(JOURNALS["accounts"], shard) for shard in range(self.shard_count)]
        return inputs

    def topics(self) -> list[str]:
        """Topics it reads or writes, in the order of their table."""
        journals = {*JOURNALS.values()} - {self.journal.topic}
        if self.task == "pools":
            journals.discard(JOURNALS["accounts"])
        writers = (self.task, "engine")
        return [topic.name for topic in TOPICS.values() if (topic.name in self.reads or topic.written_by in writers) and topic.name not in journals]

    def _takes(self, topic: str, partition: int) -> bool:
        by_account = TOPICS[topic].partitioning is Partitioning.ACCOUNT
        return self.task == "pools" or not by_account or partition % self.shard_count == self.shard

    def reports(self, topic: str) -> bool:
        """Whether an unreadable record of `topic` is this task's to report: several tasks read it, one dead letter is enough."""
        if self.task == "pools":
            return topic not in ACCOUNTS_READS
        return self.shard == 0 or TOPICS[topic].partitioning is Partitioning.ACCOUNT


@dataclass(frozen=True, slots=True)
class Step:
    """What one step took and said. `records` are its outputs without the step record, in the order they are written."""

    number: int
    slices: list[Slice]
    records: list[Writable]
    outputs: list[Output]
    event_time_us: int
    state_digest: bytes
    held: int
    alarms: list[Raised]

    @property
    def taken(self) -> int:
        """Number of records the machine was given."""
        return sum(part.count for part in self.slices if part.topic not in JOURNALS.values())


class Task:
    """A machine and its place in the log: positions and running event times per input partition, and the number of the last step."""

    def __init__(self, spec: TaskSpec, machine: Machine) -> None:
        self.spec = spec
        self.machine = machine
        self.number = 0
        self.positions: dict[TopicPartition, int] = dict.fromkeys(spec.inputs(), 0)
        self.counts: dict[TopicPartition, int] = dict(self.positions)  # records taken; offsets also count markers
        self.running: dict[TopicPartition, int] = {}
        self._seen = dict(self.positions)

    def restore(
        self, number: int, *, positions: Mapping[TopicPartition, int], counts: Mapping[TopicPartition, int], running: Mapping[TopicPartition, int]
    ) -> None:
        """Stand where a snapshot was taken; the machine is restored by the caller."""
        self.number = number
        self.positions = dict(positions)
        self.counts = dict(counts)
        self.running = dict(running)
        self._seen = dict(self.positions)

    def step(self, chunks: Sequence[Chunk]) -> Step | None:
        """Take these chunks; None when they hold no record (then nothing has happened, and what was passed is passed).

        Chunks of a partition must continue where the last ones stopped. Raises CheckFailed where they do not, and ImpossibleState when the
        machine finds itself in a state that its rules exclude; the task must not be used after either.
        """
        whole = {partition: join(parts) for partition, parts in by_partition(chunks).items()}
        self._follow(whole)
        full = {partition: chunk for partition, chunk in whole.items() if len(chunk)}
        topics: dict[str, list[Chunk]] = {}
        for partition in sorted(full):
            topics.setdefault(partition.topic, []).append(full[partition])
        if not topics:
            return None
        slices = [self._slice(chunk) for topic in (*self.spec.reads, JOURNALS["accounts"]) for chunk in topics.get(topic, ())]
        batch, unreadable = self._merged(topics)
        self.number += 1
        said = self._run(batch)
        records = self._records(said, self._letters(unreadable, said.refusals, batch, full))
        return Step(
            number=self.number,
            slices=slices,
            records=records,
            outputs=output_digests(records),
            event_time_us=self.machine.clock_us,
            state_digest=self.machine.digest(),
            held=self.machine.held,
            alarms=said.alarms,
        )

    def _merged(self, topics: Mapping[str, Sequence[Chunk]]) -> tuple[Batch, list[Unreadable]]:
        """What the machine is given; nothing where the step takes journals alone."""
        if not any(topic in topics for topic in self.spec.reads):
            return Batch({}, []), []
        return merge(topics, self.spec.reads, self.running, ties=self.spec.task == "pools")

    def seen(self, partition: TopicPartition) -> int:
        """How far it has looked: markers behind the last record taken are passed."""
        return self._seen[partition]

    def note(self) -> Step:
        """A step that takes and says nothing: only its number passes."""
        self.number += 1
        machine = self.machine
        return Step(self.number, [], [], [], machine.clock_us, machine.digest(), machine.held, [])

    def _follow(self, whole: Mapping[TopicPartition, Chunk]) -> None:
        for partition, chunk in whole.items():
            if chunk.start != self._seen[partition]:
                raise CheckFailed(
                    f"{self.spec.name}: {partition.topic}[{partition.partition}] was read up to offset {self._seen[partition]}, "
                    f"the next records begin at {chunk.start}; nothing of them was taken: start the shard again"
                )
            self._seen[partition] = chunk.stop

    def _slice(self, chunk: Chunk) -> Slice:
        """Slices of one partition touch: markers passed since the last one belong to this one."""
        partition = TopicPartition(chunk.topic, chunk.partition)
        start, self.positions[partition] = self.positions[partition], chunk.stop
        self.counts[partition] += len(chunk)
        if len(chunk) >= COMPILED_FROM:  # the digest and the codec both want them in one buffer
            chunk.keys, chunk.values = ByteColumn.of(chunk.keys), ByteColumn.of(chunk.values)
        return Slice(*partition, start, chunk.stop, len(chunk), records_digest(chunk.timestamps_ms, chunk.keys, chunk.values))

    def _run(self, batch: Batch) -> Outputs:
        try:
            return self.machine.step(batch)
        except AssertionError as error:
            raise ImpossibleState(
                f"{self.spec.name}: step {self.number} reached a state that the rules exclude ({error}); nothing of it was written. "
                "Keep the journal and the inputs, and report the step"
            ) from error

    def _letters(
        self, unreadable: Sequence[Unreadable], refusals: Sequence[Refusal], batch: Batch, chunks: Mapping[TopicPartition, Chunk]
    ) -> list[Row]:
        """Dead letters, the engine's own and the machine's, in merged order: it must not show where steps are cut."""
        if not unreadable and not refusals:
            return []
        begins = {(stream, start): at for (stream, start, _), at in zip(batch.runs, _starts(batch.runs), strict=True)}
        starts = {stream: sorted(start for name, start in begins if name == stream) for stream in batch.rows}

        def place(stream: str, index: int) -> int:
            start = starts[stream][bisect_right(starts[stream], index) - 1]
            return begins[(stream, start)] + index - start

        found = [
            (place(UNDECODABLE, index), self._unreadable(letter))
            for index, letter in enumerate(unreadable)
            if self.spec.reports(letter.partition.topic)
        ]
        found += [(place(refusal.stream, refusal.index), self._refused(refusal, batch, chunks)) for refusal in refusals]
        return [row for _, row in sorted(found, key=lambda entry: entry[0])]

    def _unreadable(self, letter: Unreadable) -> Row:
        return self._letter(
            letter.partition,
            letter.offset,
            event_time_us=letter.stamped_us,
            why=(letter.reason, letter.detail, letter.account),
            key=letter.key,
            value=letter.value,
        )

    def _refused(self, refusal: Refusal, batch: Batch, chunks: Mapping[TopicPartition, Chunk]) -> Row:
        rows = batch.rows[refusal.stream]
        known = self.spec.reads[int(rows.columns["source"][refusal.index])] if refusal.stream == UNDECODABLE else STREAMS[refusal.stream].topic
        partition, offset = TopicPartition(known, int(rows.partition[refusal.index])), int(rows.offset[refusal.index])
        chunk = chunks[partition]
        at = bisect_left(chunk.offsets, offset)
        why = (refusal.reason, refusal.detail, refusal.account)
        return self._letter(partition, offset, event_time_us=int(rows.time_us[refusal.index]), why=why, key=chunk.keys[at], value=chunk.values[at])

    def _letter(
        self,
        partition: TopicPartition,
        offset: int,
        *,
        event_time_us: int,
        why: tuple[int, str, int | None],
        key: bytes | None,
        value: bytes | None,
    ) -> Row:
        reason, detail, account = why
        return {
            "event_time_us": event_time_us,
            "source_topic": partition.topic,
            "source_partition": partition.partition,
            "source_offset": offset,
            "reason": reason,
            "detail": detail,
            "account": account,
            "task": self.spec.task,
            "shard": self.spec.shard,
            "key": key or b"",
            "value": (value or b"")[:DEAD_LETTER_BYTES],
            "value_length": len(value or b""),
        }

    def _records(self, said: Outputs, letters: list[Row]) -> list[Writable]:
        """Topics in the order of their table, the rows of each as they were said."""
        headers = ((STEP_HEADER, f"{self.spec.task}/{self.spec.shard}/{self.number}".encode()),)
        rows = dict(said.rows)
        if letters:
            rows["dead-letters"] = [*rows.get("dead-letters", []), *((0, letter) for letter in letters)]
        wrong = [stream for stream in (*rows, *said.columns) if stream not in STREAMS] or [stream for stream in rows if stream in said.columns]
        if wrong:
            raise ImpossibleState(
                f"{self.spec.name}: step {self.number} wrote to streams that do not exist, or both rows and columns: {', '.join(wrong)}; "
                "nothing was written"
            )
        records: list[Writable] = []
        for topic in TOPICS.values():
            records += _as_said(topic.streams, said, rows, headers)
            for stream in topic.streams:
                for part in said.columns.get(stream, ()):
                    records += new_blocks(stream, part, headers)
        return records


def _as_said(streams: Sequence[str], said: Outputs, rows: Mapping[str, list[tuple[int, Row]]], headers: tuple[Header, ...]) -> list[NewRecord]:
    """The rows of a topic's streams as records; where there are several streams, in the order in which they were said."""
    made = {stream: new_records(stream, rows[stream], headers) for stream in streams if stream in rows}
    if len(made) < 2:
        return [record for records in made.values() for record in records]
    queues = {stream: iter(records) for stream, records in made.items()}
    return [next(queues[stream]) for stream in said.order if stream in queues]


def _starts(runs: Sequence[tuple[str, int, int]]) -> Iterable[int]:
    """Where each run begins in merged order."""
    return accumulate((stop - start for _, start, stop in runs[:-1]), initial=0)


def output_digests(records: Iterable[Writable]) -> list[Output]:
    """Count and digest of the records per partition; topics in the order of their table."""
    ranks = {topic: rank for rank, topic in enumerate(TOPICS)}
    parts: dict[tuple[int, int, str], list[Writable]] = {}
    for record in records:
        parts.setdefault((ranks[record.topic], record.partition, record.topic), []).append(record)
    return [_output(topic, partition, parts[_, partition, topic]) for _, partition, topic in sorted(parts)]


def _output(topic: str, partition: int, said: Sequence[Writable]) -> Output:
    blocks = [record for record in said if isinstance(record, RecordBlock)]
    if len(blocks) == len(said):
        times: Numbers = joined_numbers([block.timestamps_ms for block in blocks])
        keys, values = joined_bytes([block.keys for block in blocks]), joined_bytes([block.values for block in blocks])
    else:
        singly = [each for record in said for each in ((record,) if isinstance(record, NewRecord) else record.singly())]
        times, keys, values = [each.timestamp_ms for each in singly], [each.key for each in singly], [each.value for each in singly]
    return Output(topic, partition, len(times), records_digest(times, keys, values))
