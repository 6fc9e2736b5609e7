"""The lock-step driver's rule where the tasks run elsewhere: wait until the journals show that all that was written has been taken.

Counted are records, not offsets: step records say how many each task took of every partition and how many it wrote. When both sides are equal
for every partition a task reads, nothing is on its way.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from streams.bus.contract import Bus, NewRecord, Reader, TopicPartition
from streams.engine.journal import StepRecord, open_chunk
from streams.engine.lockstep import INSTRUCTIONS, InstructionFeed, OnProgress, Progress, Venue, venue_writer
from streams.engine.task import TaskSpec
from streams.engine.turns import turn_records
from streams.errors import Unreachable, UsageProblem
from streams.topics import EXCHANGE_TOPICS, JOURNALS

POLL_RECORDS = 10_000
POLL_MS = 20


@dataclass(frozen=True, slots=True)
class Lag:
    """A task that has not taken all of a partition; records."""

    task: str
    shard: int
    partition: TopicPartition
    written: int
    taken: int

    def __str__(self) -> str:
        return f"{self.task}-{self.shard} has taken {self.taken} of {self.written} records of {self.partition.topic}[{self.partition.partition}]"


class Quiescence:
    """Counts what has been written and what each task has taken. Pure."""

    def __init__(self, specs: Sequence[TaskSpec]) -> None:
        self._inputs = {(spec.task, spec.shard): [p for p in spec.inputs() if p.topic != JOURNALS["accounts"]] for spec in specs}
        self._taken: dict[tuple[str, int], Counter[TopicPartition]] = {key: Counter() for key in self._inputs}
        self._written: Counter[TopicPartition] = Counter()

    def wrote(self, records: Iterable[NewRecord]) -> None:
        """What somebody without a journal has written."""
        self._written.update(TopicPartition(record.topic, record.partition) for record in records)

    def stepped(self, record: StepRecord) -> None:
        """A step record, each once and in order."""
        taken = self._taken[(record.task, record.shard)]
        for part in record.slices:
            taken[TopicPartition(part.topic, part.partition)] += part.count
        for output in record.outputs:
            self._written[TopicPartition(output.topic, output.partition)] += output.count

    def written(self, stream: str) -> int:
        """Records of a stream that have been written, as far as is known."""
        return sum(count for partition, count in self._written.items() if partition.topic == stream)

    def lagging(self) -> list[Lag]:
        """Who has not taken what; empty when it is quiet."""
        return [
            Lag(*key, partition, self._written[partition], self._taken[key][partition])
            for key, inputs in self._inputs.items()
            for partition in inputs
            if self._taken[key][partition] < self._written[partition]
        ]


async def refuse_used(bus: Bus, specs: Sequence[TaskSpec]) -> None:
    """Raises UsageProblem where an exchange has written already: what it wrote would be counted as taken, but never as written."""
    partitions = sorted({partition for spec in specs for partition in spec.inputs() if partition.topic in EXCHANGE_TOPICS})
    reader = await bus.reader(partitions)
    try:
        for partition in partitions:
            if (await reader.bounds(partition))[1] > 0:
                raise UsageProblem(
                    f"{partition.topic}[{partition.partition}] has records already: this exchange needs a deployment of its own; name a new one"
                )
    finally:
        await reader.close()


class RemoteLockStep:
    """Drives a venue in lock-step with tasks that run in other processes, on any bus. The deployment must have no other exchange."""

    def __init__(
        self,
        bus: Bus,
        specs: Sequence[TaskSpec],
        venue: Venue,
        *,
        timeout_s: float = 60.0,
        on_progress: OnProgress | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bus = bus
        self._specs = specs
        self._venue = venue
        self._timeout_s = timeout_s
        self._on_progress = on_progress
        self._clock = clock
        self._quiescence = Quiescence(specs)
        self._written: Counter[TopicPartition] = Counter()
        self._instructions = 0
        self._turn = 0

    async def run(self) -> None:
        """Until the venue has nothing left.

        Raises Unreachable naming who lags when it does not become quiet in time, UsageProblem when the exchange's streams are in use already.
        """
        await refuse_used(self._bus, self._specs)
        writer = await self._bus.writer(venue_writer(self._specs[0].deployment))
        feed = await InstructionFeed.open(self._bus)
        journals = await self._bus.reader([spec.journal for spec in self._specs])
        try:
            while (said := self._venue.next_records()) is not None:
                if said:
                    records = turn_records(said, self._turn, self._written)
                    await writer.commit(records)
                    self._quiescence.wrote(records)
                    self._turn += 1
                instructions = await self._wait(journals, feed)
                self._venue.accept(instructions)
                if self._on_progress is not None and said:
                    self._on_progress(Progress(max(row["event_time_us"] for _, _, row in said), len(said), len(instructions)))
        finally:
            await journals.close()
            await feed.close()
            await writer.close()

    async def _wait(self, journals: Reader, feed: InstructionFeed) -> list[dict[str, Any]]:
        """Until it is quiet and every instruction announced has been read: a transaction need not become visible everywhere at once."""
        until = self._clock() + self._timeout_s
        rows: list[dict[str, Any]] = []
        while True:
            for chunk in await journals.poll(max_records=POLL_RECORDS, timeout_ms=POLL_MS):
                for record in open_chunk(chunk):
                    self._quiescence.stepped(record)
            await asyncio.sleep(0)  # a bus in this process never waits by itself, and the tasks must get their turns
            lagging = self._quiescence.lagging()
            if not lagging:
                rows += await feed.read()
                if self._instructions + len(rows) == self._quiescence.written(INSTRUCTIONS):
                    self._instructions += len(rows)
                    return rows
            if self._clock() > until:
                raise Unreachable(
                    f"it did not become quiet within {self._timeout_s:g} s: {'; '.join(map(str, lagging)) or 'instructions are missing'}. "
                    "Start the workers of these tasks, or look at their logs"
                )
