"""The lock-step driver: for each event time the venue's records, then the tasks in fixed turn until nothing is unread, then the answers.

Demo, replay and tests run under it on the memory bus: one thread, no waiting. Under it decisions depend neither on the number of shards nor
on where steps are cut: the pools task gets its turn only when no accounts shard has anything left to read.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from streams.bus.contract import Bus, Reader, TopicPartition, Writer
from streams.engine.shard import ShardRunner
from streams.engine.turns import Said, turn_records
from streams.wire.codec import codec

log = structlog.get_logger()

INSTRUCTIONS = "instructions"
READ_RECORDS = 10_000


class Venue(Protocol):
    """The exchange's side, without I/O."""

    def next_records(self) -> Said | None:
        """(stream, partition, row) of all records of the next event time; None when it is over and nothing is pending."""

    def accept(self, instruction_rows: list[dict[str, Any]]) -> None:
        """New instructions; what they lead to comes with later event times."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What one event time brought."""

    event_time_us: int
    records: int
    instructions: int


OnProgress = Callable[[Progress], None]


async def settle(runners: Sequence[ShardRunner]) -> None:
    """Turn accounts shards, then the pools task, until no task takes anything."""
    accounts = [runner for runner in runners if runner.spec.task == "accounts"]
    pools = [runner for runner in runners if runner.spec.task == "pools"]
    moved = True
    while moved:
        for runner in accounts:
            while await runner.turn():
                pass
        moved = False
        for runner in pools:
            while await runner.turn():
                moved = True


class InstructionFeed:
    """New instructions as rows, in the order of partitions and offsets."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    @classmethod
    async def open(cls, bus: Bus) -> "InstructionFeed":
        """A feed of what is written from now on."""
        partitions = [TopicPartition(INSTRUCTIONS, index) for index in range((await bus.partitions())[INSTRUCTIONS])]
        reader = await bus.reader(partitions)
        for partition in partitions:
            await reader.seek(partition, (await reader.bounds(partition))[1])
        return cls(reader)

    async def close(self) -> None:
        """Let go of the reader."""
        await self._reader.close()

    async def read(self, *, timeout_ms: int = 0) -> list[dict[str, Any]]:
        """What has come since the last call."""
        rows: list[tuple[int, int, dict[str, Any]]] = []
        while chunks := await self._reader.poll(max_records=READ_RECORDS, timeout_ms=timeout_ms):
            for chunk in chunks:
                for offset, value in zip(chunk.offsets, chunk.values, strict=True):
                    rows.append((chunk.partition, offset, codec(INSTRUCTIONS).decode_row(value)))
            timeout_ms = 0
        return [row for _, _, row in sorted(rows, key=lambda entry: entry[:2])]


def venue_writer(deployment: str) -> str:
    """Transactional id of a deployment's simulated exchange."""
    return f"{deployment}-venue"


class LockStep:
    """Drives runners and a venue in one thread. The pools runner's patience must be None: the time of day decides nothing here."""

    def __init__(
        self,
        bus: Bus,
        runners: Sequence[ShardRunner],
        venue: Venue,
        *,
        sink_turn: Callable[[], Awaitable[None]] | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:
        self._bus = bus
        self._runners = runners
        self._venue = venue
        self._sink_turn = sink_turn
        self._on_progress = on_progress
        self._turn = 0

    async def run(self) -> None:
        """Until the venue has nothing left. The runners must have been started; they are left running."""
        writer = await self._bus.writer(venue_writer(self._runners[0].spec.deployment))
        feed = await InstructionFeed.open(self._bus)
        try:
            while (said := self._venue.next_records()) is not None:
                await self._event_time(writer, feed, said)
            for runner in self._runners:
                if runner.waiting:
                    log.warning("lockstep_ended_with_records_waiting", task=runner.spec.task, shard=runner.spec.shard, records=runner.waiting)
        finally:
            await feed.close()
            await writer.close()

    async def _event_time(self, writer: Writer, feed: InstructionFeed, said: Said) -> None:
        if said:
            await writer.commit(turn_records(said, self._turn))
            self._turn += 1
        await settle(self._runners)
        instructions = await feed.read()
        self._venue.accept(instructions)
        if self._sink_turn is not None:
            await self._sink_turn()
        if self._on_progress is not None and said:
            self._on_progress(Progress(max(row["event_time_us"] for _, _, row in said), len(said), len(instructions)))
