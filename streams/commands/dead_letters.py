"""What stands in a run's `dead-letters`, and what has become of each: read from the log alone, on any bus."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from streams.bus.contract import Bus, Chunk, TopicPartition
from streams.domain.events import CorrectionKind, DeadLetterReason, GroupState
from streams.engine.chunks import read_stream
from streams.engine.turns import turn_of
from streams.errors import CheckFailed, UsageProblem
from streams.topics import EXCHANGE_TOPICS
from streams.wire.codec import codec

LETTERS, CORRECTIONS, MARKS = "dead-letters", "corrections", "marks"
BROKEN = (DeadLetterReason.UNDECODABLE, DeadLetterReason.UNKNOWN_SCHEMA, DeadLetterReason.WRONG_SCHEMA)  # what no schema could read
CORRECTED = {CorrectionKind.FILL: "corrected", CorrectionKind.UPDATE: "corrected", CorrectionKind.DROP: "dropped"}


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter. `status`: open, corrected, dropped, healed (by a SNAPSHOT), or noted (no account hangs on it)."""

    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    account: int | None
    event_time_us: int
    task: str
    shard: int
    key: bytes
    value: bytes
    value_length: int
    status: str

    @property
    def place(self) -> str:
        """How people name it."""
        return f"{self.topic}/{self.partition}/{self.offset}"


def hashed(account: int | None) -> str | None:
    """An account in lists that many may see: the same one looks the same, and no list of accounts is given away."""
    return None if account is None else "#" + blake2b(str(account).encode(), digest_size=5, person=b"backstop-dlq").hexdigest()


async def rows_of(bus: Bus, stream: str) -> list[dict[str, Any]]:
    """All readable rows of a stream; none where this run has no such stream."""
    return [row for _, row in await _placed_rows(bus, stream)]


async def _placed_rows(bus: Bus, stream: str) -> list[tuple[tuple[int, int], dict[str, Any]]]:
    """((partition, offset), row) of all readable rows."""
    rows = []
    async for chunk in read_stream(bus, stream):
        for offset, value in zip(chunk.offsets, chunk.values, strict=True):
            try:
                rows.append(((chunk.partition, offset), codec(stream).decode_row(value)))
            except CheckFailed:
                continue  # a dead letter itself
    return rows


async def read_letters(bus: Bus) -> list[DeadLetter]:
    """Every dead letter in order, the newest last; one that several said of the same place once."""
    rows = await rows_of(bus, LETTERS)
    refused = {(row["source_partition"], row["source_offset"]) for row in rows if row["source_topic"] == CORRECTIONS}
    corrections = {
        (row["account"], row["source_topic"], row["source_partition"], row["source_offset"]): CORRECTED.get(row["kind"], "open")
        for place, row in await _placed_rows(bus, CORRECTIONS)
        if place not in refused
    }
    healed: dict[int, int] = {}
    for row in await rows_of(bus, "account-states"):
        if row["asset"] == 0 and row["state"] == GroupState.HEALTHY:
            healed[row["account"]] = max(row["event_time_us"], healed.get(row["account"], 0))
    letters: dict[tuple[Any, ...], DeadLetter] = {}
    for row in rows:
        place = (row["account"], row["source_topic"], row["source_partition"], row["source_offset"])
        is_healed = healed.get(row["account"], -1) >= row["event_time_us"]
        # A refused correction changes nothing, so no account hangs on its dead letter either.
        nobodys = row["account"] is None or (row["source_topic"] == CORRECTIONS and row["reason"] not in BROKEN)
        status = "noted" if nobodys else corrections.get(place, "healed" if is_healed else "open")
        letters[place] = _letter(row, status)
    return list(letters.values())


def _letter(row: dict[str, Any], status: str) -> DeadLetter:
    return DeadLetter(
        topic=row["source_topic"],
        partition=row["source_partition"],
        offset=row["source_offset"],
        reason=DeadLetterReason(row["reason"]).name,
        detail=row["detail"],
        account=row["account"],
        event_time_us=row["event_time_us"],
        task=row["task"],
        shard=row["shard"],
        key=row["key"],
        value=row["value"],
        value_length=row["value_length"],
        status=status,
    )


async def find_letter(bus: Bus, place: str) -> DeadLetter:
    """The dead letter of `<topic>/<partition>/<offset>`. Raises UsageProblem when there is none."""
    letters = await read_letters(bus)
    for letter in reversed(letters):
        if letter.place == place:
            return letter
    raise UsageProblem(f"there is no dead letter {place!r}: `backstop dlq list` names them, as <topic>/<partition>/<offset>")


async def source_value(bus: Bus, letter: DeadLetter) -> bytes | None:
    """The refused value in full where the log still has it, else what the dead letter kept of it."""
    partition = TopicPartition(letter.topic, letter.partition)
    if letter.reason == DeadLetterReason.SNAPSHOT_INCOMPLETE.name:
        return None  # it is about parts that never came, so there is no record at its place
    if letter.partition < (await bus.partitions()).get(letter.topic, 0):
        reader = await bus.reader([partition])
        try:
            first, end = await reader.bounds(partition)
            if first <= letter.offset < end:
                await reader.seek(partition, letter.offset)
                for chunk in await reader.poll(max_records=1, timeout_ms=1_000, partitions=[partition]):
                    if letter.offset in chunk.offsets:
                        return chunk.values[chunk.offsets.index(letter.offset)]
        finally:
            await reader.close()
    return letter.value or None


async def now_of(bus: Bus) -> tuple[int, int | None]:
    """(event time, turn) after everything the exchange has said: the time of the newest mark, and the next turn where it is in lock-step."""
    newest = [chunk for topic in EXCHANGE_TOPICS for chunk in await _newest(bus, topic)]
    turns = [turn for chunk in newest if (turn := turn_of(chunk.headers[-1])) is not None]
    times = [codec(MARKS).decode_row(chunk.values[-1])["event_time_us"] for chunk in newest if chunk.topic == MARKS]
    if not times:
        raise UsageProblem("this run has no marks yet, so it has no time: nothing can be corrected before the first one")
    return max(times), max(turns) + 1 if turns else None


async def _newest(bus: Bus, topic: str) -> list[Chunk]:
    """The last records of each partition that has any."""
    found = []
    for number in range((await bus.partitions()).get(topic, 0)):
        partition = TopicPartition(topic, number)
        reader = await bus.reader([partition])
        try:
            first, end = await reader.bounds(partition)
            back = 64
            while first < end:
                start = max(first, end - back)
                await reader.seek(partition, start)
                chunks = [c for c in await reader.poll(max_records=back, timeout_ms=1_000, partitions=[partition]) if len(c)]
                if chunks:
                    found.append(chunks[-1])
                if chunks or start == first:
                    break
                back *= 4
        finally:
            await reader.close()
    return found
