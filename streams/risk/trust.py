"""Whether an account is trusted: what makes it SUSPECT, which dead letter says why, and when it is HEALTHY again.

Every letter that hangs on an account is noted when it is said, and every closing of one is said too (`letter-closings`), so what is open can be
told from the log alone. An account that is not trusted gets no instructions and is never deleveraged.
"""

from collections.abc import Iterable
from typing import Any

from streams.domain.alarms import Alarm
from streams.domain.batch import Outputs
from streams.domain.events import ClosedBy, DeadLetterReason, GroupState
from streams.domain.money import MAX_ACCOUNT
from streams.risk.book import Book
from streams.risk.corrections import CLOSES, PLACES, Corrections, Place, topic_of
from streams.risk.keys import ACCOUNT_EVENTS, MAX_SEQ, SUSPECT, Refused
from streams.risk.refusals import dead_letter
from streams.risk.repeats import AGAIN, Repeats


class Trust:
    """The trust in the accounts of one shard."""

    def __init__(self, book: Book, corrections: Corrections, repeats: Repeats, shard: int) -> None:
        self._book, self._corrections, self._repeats, self._shard = book, corrections, repeats, shard

    def is_lost(self, account_row: int) -> bool:
        """Whether the account is SUSPECT."""
        return bool(int(self._book.accounts.rows["flags"][account_row]) & SUSPECT)

    def suspect(self, account: int, partition: int, time_us: int, out: Outputs) -> None:
        """The account can no longer be trusted until a SNAPSHOT or corrections heal it."""
        account_row = self._book.ensure_account(account, partition)
        if not self.is_lost(account_row):
            self._book.set_flag(account_row, SUSPECT, on=True)
            self._say(account_row, GroupState.SUSPECT, time_us, out)
            out.alarm(Alarm.ACCOUNT_SUSPECT, account=account)

    def refuse(self, stream: str, index: int | None, row: dict[str, Any], refused: Refused, out: Outputs, *, is_counted: bool = True) -> None:
        """Refuse a row of an account. Where it is not in the batch (index None) its dead letter refers to the log, and it has no number."""
        account = row["account"] if 0 < row["account"] < MAX_ACCOUNT else None
        if index is not None:
            out.refuse(stream, index, refused[0], refused[1], account)
            if is_counted and refused != AGAIN.get(stream):  # one without a place in the account's order was never remembered
                self._repeats.forget(stream, row)
        else:
            out.emit("dead-letters", dead_letter(ACCOUNT_EVENTS, row, refused, self._shard))
        if account is not None:
            self.suspect(account, row["partition_"], row["time_us"], out)
            seq = row["account_seq"] if index is not None and 0 < row["account_seq"] < MAX_SEQ else 0
            place = (account, PLACES[ACCOUNT_EVENTS], row["partition_"], row["offset_"])
            self._corrections.note(place, refused[0], account_seq=seq, is_counted=is_counted)

    def undecodable(self, row: dict[str, Any], out: Outputs) -> None:
        """A record that no schema could read; before there is any time, what its own timestamp says is the time."""
        if row["account"] is not None and 0 < row["account"] < MAX_ACCOUNT:
            self.suspect(row["account"], row["partition_"], row["time_us"] or row["stamped_us"], out)
            self._corrections.note((row["account"], row["source"], row["partition_"], row["offset_"]), DeadLetterReason.UNDECODABLE)

    def close(self, account_row: int, row: dict[str, Any], out: Outputs) -> bool:
        """The dead letter that a correction is for is dealt with; whether the account is healed by it."""
        place = self._corrections.close(row)
        self._say_closed(account_row, [place], CLOSES[row["kind"]], row["time_us"], out, correction_id=row["correction_id"])
        return self._heal(account_row, row["time_us"], out)

    def restated(self, account_row: int, row: dict[str, Any], out: Outputs) -> None:
        """The SNAPSHOT that ends with this part has replaced the account: nothing numbered at or below it is missing any more."""
        closed = self._corrections.restated(row)
        self._say_closed(account_row, closed, ClosedBy.SNAPSHOT, row["time_us"], out)
        self._heal(account_row, row["time_us"], out)

    def _heal(self, account_row: int, time_us: int, out: Outputs) -> bool:
        if not self.is_lost(account_row) or self._corrections.has_open(self._book.account_id(account_row)):
            return False
        self._book.set_flag(account_row, SUSPECT, on=False)
        self._say(account_row, GroupState.HEALTHY, time_us, out)
        return True

    def _say(self, account_row: int, state: GroupState, time_us: int, out: Outputs) -> None:
        row = {
            "event_time_us": time_us, "account": self._book.account_id(account_row), "asset": 0, "state": state, "episode": 0, "equity": 0,
            "maintenance": 0,
        }  # fmt: skip
        out.emit("account-states", row, self._partition_of(account_row))

    def _say_closed(
        self, account_row: int, places: Iterable[Place], by: ClosedBy, time_us: int, out: Outputs, *, correction_id: int | None = None
    ) -> None:
        for place in places:
            row = {
                "event_time_us": time_us, "account": place[0], "source_topic": topic_of(place), "source_partition": place[2],
                "source_offset": place[3], "closed_by": by, "correction_id": correction_id,
            }  # fmt: skip
            out.emit("letter-closings", row, self._partition_of(account_row))

    def _partition_of(self, account_row: int) -> int:
        return int(self._book.accounts.rows["partition"][account_row])
