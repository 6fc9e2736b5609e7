"""What becomes of a correction: the accounts task says it, in `letter-closings` where it was taken and in `dead-letters` where it was refused."""

import time
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from streams.bus.contract import Bus, Reader, TopicPartition
from streams.commands.dead_letters import CLOSINGS, CORRECTIONS, LETTERS, DeadLetter, said_in
from streams.domain.events import ClosedBy, GroupState
from streams.engine.chunks import only
from streams.topics import STREAMS

STATES = "account-states"
POLL_RECORDS = 10_000
POLL_TIMEOUT_MS = 200


class Fate(Enum):
    """What has become of a correction."""

    APPLIED = "applied"
    DROPPED = "dropped"
    REFUSED = "refused"  # it is a dead letter itself, and its own is open as before
    IGNORED = "ignored"  # its dead letter had been closed by something else
    WAITING = "waiting"  # no shard has taken it yet


@dataclass(slots=True)
class Outcome:
    """`place` and `detail`: the dead letter of a correction that was refused. `state`: what its account was said to be afterwards, if it was."""

    fate: Fate
    place: str | None = None
    detail: str | None = None
    state: str | None = None

    @property
    def json(self) -> dict[str, Any]:
        """As part of a result."""
        return {"outcome": self.fate.value, "dead_letter": self.place, "detail": self.detail, "account_state": self.state}


@dataclass(slots=True)
class Watch:
    """What the accounts task says from a moment on. Begin before the correction is written: `await Watch.begin(bus)`."""

    reader: Reader
    partitions: list[TopicPartition]
    closings: list[dict[str, Any]] = field(default_factory=list)
    letters: list[dict[str, Any]] = field(default_factory=list)
    states: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    async def begin(cls, bus: Bus) -> "Watch":
        """Stand at the ends of what the task has said so far."""
        counts = await bus.partitions()
        topics = dict.fromkeys(STREAMS[stream].topic for stream in (CLOSINGS, LETTERS))
        partitions = [TopicPartition(topic, number) for topic in topics for number in range(counts.get(topic, 0))]
        reader = await bus.reader(partitions)
        for partition in partitions:
            await reader.seek(partition, (await reader.bounds(partition))[1])
        return cls(reader, partitions)

    async def outcome(self, letter: DeadLetter, row: dict[str, Any], offset: int, wait_s: float) -> Outcome:
        """What has become of the correction `row` at `offset` of its partition, waited for at most so many seconds."""
        until = time.monotonic() + wait_s
        try:
            while True:
                is_quiet = not await self._hear()
                found = self._found(letter, row, offset)
                if found is not None and (is_quiet or found.state is not None):
                    return found
                if found is None and is_quiet and time.monotonic() >= until:
                    return Outcome(Fate.WAITING)
        finally:
            await self.reader.close()

    async def _hear(self) -> bool:
        chunks = await self.reader.poll(max_records=POLL_RECORDS, timeout_ms=POLL_TIMEOUT_MS, partitions=self.partitions)
        for chunk in chunks:
            for stream, rows in ((CLOSINGS, self.closings), (LETTERS, self.letters), (STATES, self.states)):
                if STREAMS[stream].topic == chunk.topic:
                    rows += [said for _, said in said_in(only(chunk, stream), stream)]
        return any(len(chunk) for chunk in chunks)

    def _found(self, letter: DeadLetter, row: dict[str, Any], offset: int) -> Outcome | None:
        for said in self.letters:
            if (said["source_topic"], said["source_partition"], said["source_offset"]) == (CORRECTIONS, letter.partition, offset):
                return Outcome(Fate.REFUSED, f"{CORRECTIONS}/{letter.partition}/{offset}", said["detail"])
        for said in self.closings:
            place = said["account"], said["source_topic"], said["source_partition"], said["source_offset"]
            if place == (letter.account, letter.topic, letter.partition, letter.offset):
                fate = Fate.DROPPED if said["closed_by"] == ClosedBy.DROP else Fate.APPLIED
                return Outcome(fate if said["correction_id"] == row["correction_id"] else Fate.IGNORED, state=self._state(letter))
        return None

    def _state(self, letter: DeadLetter) -> str | None:
        states = [said["state"] for said in self.states if said["account"] == letter.account and said["asset"] == 0]
        return GroupState(states[-1]).name if states else None
