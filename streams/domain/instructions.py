"""Instructions as rows, and those still open: which parties have not answered, and which are overdue.

An instruction is open until every party has its one terminal result. An overdue one is an alarm, never a silent release.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush
from typing import Any, Final

import pyarrow as pa

from streams.domain.alarms import Alarm
from streams.domain.batch import Outputs
from streams.domain.events import CauseKind, InstructionKind
from streams.domain.ids import instruction_identity
from streams.domain.instruments import Pool
from streams.domain.market import MarkPrice
from streams.domain.resolution import Episode, Party
from streams.domain.state import StateTable

InstructionRow = dict[str, int | None]
NOBODY: Final[InstructionRow] = dict.fromkeys(f"counter_{name}" for name in ("account", "partition", "margin_mode", "instrument", "position_side"))


def instruction_row(
    *,
    epoch: int,
    kind: InstructionKind,
    pool: Pool,
    cause_kind: CauseKind,
    cause_id: int,
    attempt: int,
    party: Party,
    counter: Party | None = None,
    now_us: int,
    lots: int | None = None,
    quote: int | None = None,
    quote_limit: int | None = None,
    amount: int | None = None,
    mark: MarkPrice | None = None,
    policy_version: int | None = None,
) -> InstructionRow:
    """An instruction of the pools task of this deployment; valid as long as its pool says. Lots and quote are signed for `party`."""
    one, other = party.fields(), NOBODY if counter is None else counter.fields("counter_")
    return {
        "instruction_id": instruction_identity(
            epoch=epoch, cause_kind=cause_kind, cause_id=cause_id, account=party.group.account, instrument=one["instrument"],
            position_side=one["position_side"], counter_account=other["counter_account"], rung=kind, attempt=attempt,
        ),
        "kind": kind, "pool": pool.pool, "asset": pool.asset, **one, **other, "cause_kind": cause_kind, "cause_id": cause_id,
        "rung": int(kind), "attempt": attempt, "lots": lots, "quote_limit": quote_limit, "quote": quote, "amount": amount,
        "mark_ticks": None if mark is None else mark.ticks, "mark_sequence": None if mark is None else mark.sequence,
        "policy_version": pool.version if policy_version is None else policy_version, "event_time_us": now_us,
        "valid_until_us": now_us + pool.instruction_valid_us,
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class OpenInstruction:
    """An instruction that awaits results, and what its parties have said so far.

    `lots` and `executed_quote` are signed for `account`, `executed_lots` is absolute. `closed`: its episode is over, nothing follows from it.
    """

    kind: InstructionKind
    pool: int
    account: int
    counter_account: int | None
    instrument: int | None
    lots: int
    amount: int
    cause_id: int
    valid_until_us: int
    awaited: tuple[int, ...]
    episode: Episode | None
    heard: bool = False
    executed_lots: int = 0
    executed_quote: int = 0
    executed_amount: int = 0
    overdue: bool = False
    closed: bool = False
    counter_episode: Episode | None = None  # where the other party is in resolution too

    @property
    def episodes(self) -> tuple[Episode, ...]:
        """The episodes that wait for its end."""
        return tuple(episode for episode in (self.episode, self.counter_episode) if episode is not None)


class OpenInstructions:
    """The open instructions of one room, by id."""

    def __init__(self, name: str) -> None:
        self.table: StateTable[int, OpenInstruction] = StateTable(name, int, OpenInstruction)
        self._of_episode: dict[Episode, dict[int, None]] = {}
        self._deadlines: list[tuple[int, int]] = []

    def restore(self, tables: Mapping[str, pa.RecordBatch]) -> None:
        """Take over the table of a snapshot."""
        self.table.from_arrow(tables[self.table.name])
        self._of_episode, self._deadlines = {}, []
        for key, row in self.table.items():
            self._index(key, row)
        heapify(self._deadlines)

    def _index(self, key: int, row: OpenInstruction) -> None:
        for episode in row.episodes:
            self._of_episode.setdefault(episode, {})[key] = None
        if not row.overdue:
            heappush(self._deadlines, (row.valid_until_us, key))

    def send(self, out: Outputs, row: InstructionRow, episode: Episode | None, counter_episode: Episode | None = None) -> int:
        """Emit the instruction and await its parties; its id. Two open instructions with one id are a state the rules exclude."""
        key, account, counter = _int(row, "instruction_id"), _int(row, "account"), row["counter_account"]
        if key in self.table:
            raise AssertionError(f"two different instructions with one id {key}: {self.table[key]} and {row}")
        opened = OpenInstruction(
            kind=InstructionKind(_int(row, "kind")), pool=_int(row, "pool"), account=account, counter_account=counter, instrument=row["instrument"],
            lots=row["lots"] or 0, amount=row["amount"] or 0, cause_id=_int(row, "cause_id"), valid_until_us=_int(row, "valid_until_us"),
            awaited=(account,) if counter is None or counter == account else (account, counter), episode=episode,
            counter_episode=counter_episode,
        )  # fmt: skip
        self.table[key] = opened
        self._index(key, opened)
        out.emit("instructions", row, _int(row, "partition"))
        return key

    def result(self, row: Mapping[str, Any], out: Outputs) -> OpenInstruction | None:
        """Take one party's result; the instruction when that was the last one awaited. Results of others and duplicates change nothing."""
        key, party = row["instruction_id"], row["account"]
        opened = self.table.get(key)
        if opened is None or party not in opened.awaited:
            return None
        lots, quote, amount = row["executed_lots"] or 0, row["executed_quote"] or 0, row["executed_amount"] or 0
        if not opened.heard:
            opened = replace(opened, heard=True, executed_lots=lots, executed_quote=quote, executed_amount=amount)
        elif (lots, quote, amount) != (opened.executed_lots, opened.executed_quote, opened.executed_amount):
            said = {"executed_lots": lots, "executed_quote": quote, "executed_amount": amount}
            out.alarm(Alarm.RESULT_PARTIES_DISAGREE, instruction_id=key, account=party, **said)
        awaited = tuple(account for account in opened.awaited if account != party)
        if awaited:
            self.table[key] = replace(opened, awaited=awaited)
            return None
        del self.table[key]
        for episode in opened.episodes:
            self._forget(episode, key)
        return opened

    def _forget(self, episode: Episode, key: int) -> None:
        of_episode = self._of_episode[episode]
        del of_episode[key]
        if not of_episode:
            del self._of_episode[episode]

    def is_open_in(self, episode: Episode) -> bool:
        """Whether an instruction of the episode awaits results."""
        return episode in self._of_episode

    def amount_in(self, episode: Episode) -> int:
        """What the open payments of the episode are to move; settlement units."""
        return sum(self.table[key].amount for key in self._of_episode.get(episode, ()))

    def close(self, episode: Episode) -> None:
        """The episode is over: what is still open then has no consequences."""
        for key in self._of_episode.get(episode, ()):
            if self.table[key].episode == episode:
                self.table[key] = replace(self.table[key], closed=True)

    def alarm_overdue(self, clock_us: int, out: Outputs) -> None:
        """Alarm once for each instruction that is still open after its validity."""
        while self._deadlines and self._deadlines[0][0] < clock_us:
            _, key = heappop(self._deadlines)
            opened = self.table.get(key)
            if opened is not None and not opened.overdue:
                self.table[key] = replace(opened, overdue=True)
                out.alarm(
                    Alarm.INSTRUCTION_OVERDUE, instruction_id=key, kind=opened.kind.name, valid_until_us=opened.valid_until_us, clock_us=clock_us
                )


def _int(row: InstructionRow, name: str) -> int:
    value = row[name]
    if value is None:
        raise AssertionError(f"an instruction without {name}: {row}")
    return value
