"""Open dead letters of accounts, what a correction does about one (apply the record as it should have been, or let it go), and what a SNAPSHOT does.

An account is SUSPECT while any is open. A correction names the place of one; where none is open there (any more) it is ignored, so it may come
twice. The record it carries is applied now, out of its sequence: later records of the account have been applied without it. A SNAPSHOT says what
all records up to its own number came to, and closes their letters; those of later numbers stay open.
"""

from dataclasses import dataclass
from typing import Any, Final

from streams.domain.events import ClosedBy, CorrectionKind, DeadLetterReason, UpdateKind
from streams.domain.letters import ALL_OTHERS, LETTERS_MAX
from streams.domain.money import MAX_ACCOUNT
from streams.domain.state import StateTable
from streams.risk.book import Book
from streams.risk.keys import ACCOUNT_EVENTS, MAX_SEQ, OPENING, Refused
from streams.risk.table import touch

PLACES: Final = {ACCOUNT_EVENTS: 2, "corrections": 3}  # topics by their place in the task's reading order
CLOSES: Final = {CorrectionKind.FILL: ClosedBy.CORRECTION, CorrectionKind.UPDATE: ClosedBy.CORRECTION, CorrectionKind.DROP: ClosedBy.DROP}
_CARRIES: Final = {CorrectionKind.FILL: "fill", CorrectionKind.UPDATE: "update"}
Place = tuple[int, int, int, int]  # account, code of the topic, partition, offset
MORE: Final = (0, ALL_OTHERS, ALL_OTHERS)  # in the place of a place: the others, which only a SNAPSHOT of the account closes


@dataclass(frozen=True, slots=True)
class Letter:
    """A record that was not applied.

    `is_counted` (0 or 1): its sequence number was taken before it was refused; at MORE: how many more there are. `account_seq`: its number, 0
    where none could be read; at MORE: the greatest.
    """

    reason: int
    is_counted: int
    account_seq: int


class Corrections:
    """Dead letters by place."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self.letters: StateTable[Place, Letter] = StateTable("dead_letters", tuple[int, int, int, int], Letter)
        self._open: dict[int, int] = {}

    def note(self, place: Place, reason: int, *, account_seq: int = 0, is_counted: bool = False) -> None:
        """A record of an account was not applied. `account_seq`: its number, 0 where none can be read."""
        account = place[0]
        counted = int(is_counted)
        if place not in self.letters and self._open.get(account, 0) >= LETTERS_MAX:
            place = (account, *MORE)
            more = self.letters.get(place)
            counted = 1 if more is None else more.is_counted + 1
            account_seq = account_seq if more is None else max(more.account_seq, account_seq)
        if place not in self.letters:
            self._open[account] = self._open.get(account, 0) + 1
        self.letters[place] = Letter(reason, counted, account_seq)

    def restated(self, row: dict[str, Any]) -> list[Place]:
        """The SNAPSHOT that ends with this part has replaced the account: close the letters of what it replaced; their places."""
        account = row["account"]
        closed = [place for place in self.letters if place[0] == account and _is_replaced(place, self.letters[place], row)]
        for place in closed:
            self._forget(place)
        return closed

    def has_open(self, account: int) -> bool:
        """Whether any record of the account is missing: refused and not corrected, or never heard."""
        return account in self._open or bool(self._book.accounts.rows["missing"][self._book.account_row(account)])

    def reindex(self) -> None:
        """Count again after a restore."""
        self._open = {}
        for account, *_ in self.letters:
            self._open[account] = self._open.get(account, 0) + 1

    def letter(self, row: dict[str, Any]) -> Letter | None:
        """The open dead letter that a correction is for."""
        return self.letters.get(_place(row))

    def close(self, row: dict[str, Any]) -> Place:
        """The dead letter that a correction is for is dealt with; its place."""
        place = _place(row)
        self._forget(place)
        return place

    def _forget(self, place: Place) -> None:
        del self.letters[place]
        self._open[place[0]] -= 1
        if not self._open[place[0]]:
            del self._open[place[0]]

    def refusal(self, row: dict[str, Any]) -> Refused | None:
        """Why a correction cannot be taken, if it cannot."""
        if not 0 < row["account"] < MAX_ACCOUNT:
            return DeadLetterReason.OUT_OF_BOUNDS, f"account outside 1..{MAX_ACCOUNT - 1}"
        if row["kind"] == CorrectionKind.UNKNOWN:
            return DeadLetterReason.UNKNOWN_SYMBOL, "kind is UNKNOWN"
        if row["source_topic"] not in PLACES:
            return DeadLetterReason.BAD_VALUE, f"records of {row['source_topic']} are not corrected account by account"
        if row["kind"] == CorrectionKind.DROP:
            return _refuse_seq(row["account_seq"])
        record = row[_CARRIES[row["kind"]]]
        if record is None or row["source_topic"] != ACCOUNT_EVENTS:
            return DeadLetterReason.BAD_VALUE, f"a correction of a record of {row['source_topic']} does not carry one"
        if record["account"] != row["account"]:
            return DeadLetterReason.BAD_VALUE, "the record given is another account's"
        if row["kind"] == CorrectionKind.UPDATE and record["kind"] == UpdateKind.SNAPSHOT:
            return DeadLetterReason.BAD_VALUE, "a SNAPSHOT is sent again whole, not corrected"
        account_row = self._book.ensure_account(row["account"], row["partition_"])
        if int(self._book.accounts.rows["flags"][account_row]) & OPENING:
            return DeadLetterReason.SNAPSHOT_INCOMPLETE, "a SNAPSHOT of the account is under way; it replaces what is missing"
        return _refuse_seq(record["account_seq"])

    def count(self, account_row: int, row: dict[str, Any], letter: Letter) -> None:
        """The record's sequence number counts as heard, if it is known and has not been taken."""
        record = None if row["kind"] == CorrectionKind.DROP else row[_CARRIES[row["kind"]]]
        seq = row["account_seq"] if record is None else record["account_seq"]
        if letter.is_counted or seq is None:
            return
        a = self._book.accounts.rows
        heard, missing = int(a["seq"][account_row]), int(a["missing"][account_row])
        if heard == 0:
            missing = max(1, seq - 1)  # it has not been opened by a SNAPSHOT
        elif seq <= heard:
            missing = max(0, missing - 1)  # it was missed when the next one came
        else:
            missing += seq - heard - 1
        a["missing"][account_row] = missing
        a["seq"][account_row] = max(seq, heard)
        touch(self._book.accounts.t, account_row)


def topic_of(place: Place) -> str:
    """The topic of the record that a letter is about."""
    return next((topic for topic, code in PLACES.items() if code == place[1]), ACCOUNT_EVENTS)


def _is_replaced(place: Place, letter: Letter, row: dict[str, Any]) -> bool:
    """Whether the record of a letter is among those that a SNAPSHOT, which ends with this part, says the sum of.

    Its number tells; where none could be read, its place before the SNAPSHOT in the account's partition. Without a number in another partition it
    is not told, so the letter stays. A correction is no record of the account's order: what it was for has a letter of its own, or is replaced.
    """
    if letter.account_seq:
        return letter.account_seq <= int(row["account_seq"])
    if place[1] != PLACES[ACCOUNT_EVENTS]:
        return True
    return place[2] == int(row["partition_"]) and place[3] < int(row["offset_"])


def _refuse_seq(seq: int | None) -> Refused | None:
    if seq is None or 0 < seq < MAX_SEQ:
        return None
    return DeadLetterReason.OUT_OF_BOUNDS, "account_seq is not a positive number below 2^53"


def record_of(row: dict[str, Any]) -> dict[str, Any] | None:
    """The record a correction carries, standing at the place it replaces, at the time of the correction; None for DROP."""
    if row["kind"] == CorrectionKind.DROP:
        return None
    record = row[_CARRIES[row["kind"]]]
    return {**record, "time_us": row["time_us"], "partition_": row["source_partition"], "offset_": row["source_offset"]}


def _place(row: dict[str, Any]) -> Place:
    return row["account"], PLACES[row["source_topic"]], row["source_partition"], row["source_offset"]
