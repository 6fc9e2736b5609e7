"""What stands in a run's `dead-letters`, and what has become of each: read from the log alone, on any bus.

What is open is what the accounts task says: it tells of each letter that an account hangs on, and of each closing (`letter-closings`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from streams.bus.contract import Bus, Chunk, TopicPartition
from streams.domain.events import ClosedBy, DeadLetterReason
from streams.domain.letters import ALL_OTHERS, LETTERS_MAX
from streams.domain.money import MAX_ACCOUNT
from streams.engine.chunks import read_stream
from streams.engine.task import STEP_HEADER
from streams.engine.turns import turn_of
from streams.errors import CheckFailed, UsageProblem
from streams.topics import EXCHANGE_TOPICS
from streams.wire.codec import codec

LETTERS, CLOSINGS, CORRECTIONS, MARKS = "dead-letters", "letter-closings", "corrections", "marks"
BROKEN = (DeadLetterReason.UNDECODABLE, DeadLetterReason.UNKNOWN_SCHEMA, DeadLetterReason.WRONG_SCHEMA)  # what no schema could read
STATUS = {ClosedBy.CORRECTION: "corrected", ClosedBy.DROP: "dropped", ClosedBy.SNAPSHOT: "healed"}
Said = tuple[int, dict[str, Any]]  # number of the step that said it, and the row


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter. `status`: open, corrected, dropped, healed (by a SNAPSHOT), or noted (no account hangs on it).

    `is_counted_only`: open, and one of so many of its account that only their number is kept: only a SNAPSHOT closes it.
    """

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
    is_counted_only: bool = False

    @property
    def place(self) -> str:
        """How people name it."""
        return f"{self.topic}/{self.partition}/{self.offset}"


def hashed(account: int | None) -> str | None:
    """An account in lists that many may see: the same one looks the same, and no list of accounts is given away."""
    return None if account is None else "#" + blake2b(str(account).encode(), digest_size=5, person=b"backstop-dlq").hexdigest()


async def rows_of(bus: Bus, stream: str) -> list[dict[str, Any]]:
    """All readable rows of a stream; none where this run has no such stream."""
    return [row for _, row in await _said(bus, stream)]


async def _said(bus: Bus, stream: str) -> list[Said]:
    rows = []
    async for chunk in read_stream(bus, stream):
        rows += said_in(chunk, stream)
    return rows


def said_in(chunk: Chunk, stream: str) -> list[Said]:
    """The readable rows of a chunk."""
    rows = []
    for headers, value in zip(chunk.headers, chunk.values, strict=True):
        try:
            rows.append((_step(dict(headers).get(STEP_HEADER, b"")), codec(stream).decode_row(value)))
        except CheckFailed:
            continue  # a dead letter itself
    return rows


def _step(name: bytes) -> int:
    number = name.rpartition(b"/")[2]
    return int(number) if number.isdigit() else 0


async def read_letters(bus: Bus) -> list[DeadLetter]:
    """Every dead letter in order, the newest last; one that several said of the same place once."""
    said = await _said(bus, LETTERS)
    letters = {_place(row): _letter(row, "open" if _hangs_on_account(row) else "noted") for _, row in said}
    for place, fate in _dealt_with([one for one in said if _hangs_on_account(one[1])], await _said(bus, CLOSINGS)):
        if place in letters:  # a letter is kept less long than the word that it is closed
            letters[place] = replace(letters[place], **fate)
    return list(letters.values())


def _hangs_on_account(row: dict[str, Any]) -> bool:
    """Whether the letter makes its account SUSPECT. A correction that was read and refused changes nothing, so nothing hangs on its letter."""
    is_anybodys = row["account"] is not None and 0 < row["account"] < MAX_ACCOUNT
    return is_anybodys and (row["source_topic"] != CORRECTIONS or row["reason"] in BROKEN)


def _dealt_with(said: Iterable[Said], closings: Iterable[Said]) -> Iterable[tuple[tuple[Any, ...], dict[str, Any]]]:
    """(place, what is different about its letter) where letters are closed, or open and not kept one by one; in the order of steps."""
    kept: dict[int, dict[tuple[Any, ...], None]] = {}
    others: dict[int, dict[tuple[Any, ...], None]] = {}
    for _, _, row in sorted([*((step, 0, row) for step, row in said), *((step, 1, row) for step, row in closings)], key=lambda one: one[:2]):
        account, place = row["account"], _place(row)
        if "closed_by" not in row:
            is_kept = len(kept.get(account, ())) + (account in others) < LETTERS_MAX
            (kept if is_kept else others).setdefault(account, {})[place] = None
            continue
        closed = [place] if row["source_partition"] != ALL_OTHERS else list(others.pop(account, ()))
        for each in closed:
            kept.get(account, {}).pop(each, None)
            yield each, {"status": STATUS[row["closed_by"]]}
    for places in others.values():
        for place in places:
            yield place, {"is_counted_only": True}


def _place(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["account"], row["source_topic"], row["source_partition"], row["source_offset"]


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
