"""A story in which everything about healing happens: letters of every kind, SNAPSHOTs in parts, corrections right, wrong and twice."""

from dataclasses import dataclass, field
from typing import Any

from streams.bus.contract import NewRecord
from streams.domain.events import CorrectionKind, UpdateKind
from streams.topics import ACCOUNT_EVENTS
from streams.wire.records import ACCOUNT, new_record
from tests.support.risk_rows import PARTITIONS, Desk, Record, instrument, pool

UNKNOWN_INSTRUMENT = 7
Place = tuple[str, int, int]  # topic, partition, offset


@dataclass
class Story:
    """Records in the order in which they are said, each where it stands. Numbers and times are those of a desk, which feeds nobody here."""

    desk: Desk = field(default_factory=Desk)
    said: list[NewRecord] = field(default_factory=list)
    rows: dict[Place, dict[str, Any]] = field(default_factory=dict)

    def say(self, record: Record, partition: int | None = None) -> Place:
        """A record of an account in its partition, unless told; others in their one. Its place."""
        stream, row = record
        home = row["account"] % PARTITIONS if "account" in row else 0
        made = new_record(stream, row, home if partition is None else partition)
        self.rows[place := self._put(made)] = row
        return place

    def _put(self, made: NewRecord) -> Place:
        place = made.topic, made.partition, sum((each.topic, each.partition) == (made.topic, made.partition) for each in self.said)
        self.said.append(made)
        return place

    def open(self, *accounts: int) -> None:
        """Parameters, and a first SNAPSHOT of each account with a wallet of 1,000."""
        for record in (instrument(), pool(), *(part for account in accounts for part in self.desk.opening(account, 1_000))):
            self.say(record)

    def snapshot(self, account: int, wallet: int, *positions: tuple[int, int, int]) -> None:
        """The account stated anew."""
        for part in self.desk.opening(account, wallet, *positions):
            self.say(part)

    def deposit(self, account: int, amount: int = 5) -> Place:
        """One that is as it should be."""
        return self.say(self.desk.update(account, UpdateKind.DEPOSIT, amount))

    def refused(self, account: int, lots: int = 1) -> Place:
        """A fill of an instrument that nobody knows: read, numbered, refused."""
        return self.say(self.desk.fill(account, lots, 100 * lots, number=UNKNOWN_INSTRUMENT))

    def astray(self, account: int, ahead: int = 0, *, lots: int = 1) -> Place:
        """A fill in another partition than the account's, numbered `ahead` of the next one, which takes no number away."""
        stream, row = self.desk.fill(account, lots, 100 * lots)
        self.desk.seqs[account] -= 1
        return self.say((stream, {**row, "account_seq": row["account_seq"] + ahead}), (account + 1) % PARTITIONS)

    def unreadable(self, account: int, partition: int | None = None, *, topic: str = ACCOUNT_EVENTS) -> Place:
        """A record that no schema reads, with the account's key."""
        home = account % PARTITIONS if partition is None else partition
        return self._put(NewRecord(topic, home, self.desk.now() // 1000, ACCOUNT.pack(account), b"no avro"))

    def correct(self, account: int, place: Place, **more: Any) -> Place:
        """Let a letter go, unless `more` says what else."""
        row = {
            "event_time_us": self.desk.now(), "correction_id": self.desk.time_us, "account": account, "kind": CorrectionKind.DROP,
            "source_topic": place[0], "source_partition": place[1], "source_offset": place[2], "reason": "as agreed",
        }  # fmt: skip
        return self.say(("corrections", {**row, **more}), place[1])

    def mend(self, account: int, place: Place, **right: Any) -> Place:
        """The fill at this place as it should have been."""
        return self.correct(account, place, kind=CorrectionKind.FILL, fill={**self.rows[place], "instrument": 1, **right})


def everything() -> Story:
    """The whole story, of two accounts and the fund."""
    story = Story()
    story.open(1, 2, 31)
    story.say(story.desk.mark(100))
    first, second = story.refused(1, 3), story.refused(1, 4)
    unread = story.unreadable(1)
    story.mend(1, first)
    story.mend(1, first)  # twice
    story.mend(1, second, lots=0)  # wrong itself
    later = story.astray(1, ahead=4, lots=7)
    story.say(story.desk.mark(101))
    story.snapshot(1, 900, (1, 3, 300))  # two parts; `later` is numbered above them
    story.correct(1, unread)  # closed by it
    story.deposit(1)
    story.refused(31)
    story.snapshot(31, 700, (1, 2, 200))
    story.unreadable(2)
    elsewhere = story.unreadable(2, 5)
    story.say(story.desk.opening(2, 10, (1, 1, 100))[0])  # a part, and its second never comes
    story.deposit(2)
    story.say(story.desk.mark(102))
    story.snapshot(2, 50)
    story.correct(2, elsewhere)
    story.deposit(1)
    story.deposit(1)  # the number of `later` is left out
    story.mend(1, later)
    story.unreadable(1, topic="corrections")
    story.snapshot(1, 1_000)
    story.say(story.desk.mark(103))
    return story
