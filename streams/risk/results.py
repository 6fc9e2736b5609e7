"""Instruction results: they wait until the fills they speak of are applied, and they must agree with them.

Fills and updates of an account share one sequence over two streams, each in order for itself. All up to n are applied when both streams
have passed n, or when nothing is missing below the greatest one seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any, Final

from streams.domain.events import DeadLetterReason, InstructionKind, Outcome
from streams.domain.money import MAX_ACCOUNT
from streams.domain.state import StateTable
from streams.risk.book import Book
from streams.risk.keys import Refused

REMEMBERED_US: Final = 600_000_000  # event time for which a result delivered again is known as such: far beyond any producer's retries
FrozenRow = dict[str, int | str | None]
_WITH_FILLS = (
    InstructionKind.NET,
    InstructionKind.LIQUIDATE,
    InstructionKind.PROVIDER,
    InstructionKind.TAKEOVER,
    InstructionKind.ADL,
    InstructionKind.UNWIND,
)
_WITH_UPDATES = (InstructionKind.COVER, InstructionKind.SOCIALISE)


@dataclass(frozen=True, slots=True)
class Executed:
    """What fills and updates of an account say of an instruction so far: absolute lots, absolute amount."""

    lots: int
    amount: int


class Results:
    """Waiting results, and what was executed by instruction."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self.waiting: StateTable[tuple[int, int], FrozenRow] = StateTable("waiting_results", tuple[int, int], FrozenRow)
        self.executed: StateTable[tuple[int, int], Executed] = StateTable("executed", tuple[int, int], Executed)
        self.over: StateTable[tuple[int, int], int] = StateTable("results_over", tuple[int, int], int)  # event time of the result
        self._by_time: list[tuple[int, tuple[int, int]]] = []  # derived: a heap of what is in `over`

    def reindex(self) -> None:
        """Derive the order of `over` again, after a restore."""
        self._by_time = sorted((time_us, key) for key, time_us in self.over.items())

    def is_over(self, row: dict[str, Any]) -> bool:
        """Whether the party's result of this instruction has been applied: then this one was delivered twice."""
        return (row["instruction_id"], row["account"]) in self.over

    def forget(self, clock_us: int) -> None:
        """Results applied long ago are not expected again."""
        while self._by_time and self._by_time[0][0] + REMEMBERED_US < clock_us:
            del self.over[heappop(self._by_time)[1]]

    def refusal(self, row: dict[str, Any]) -> Refused | None:
        """Why a result cannot be applied, if it cannot."""
        if not 0 < row["account"] < MAX_ACCOUNT:
            return DeadLetterReason.OUT_OF_BOUNDS, "account out of bounds"
        if row["outcome"] == Outcome.UNKNOWN or row["kind"] == InstructionKind.UNKNOWN:
            return DeadLetterReason.UNKNOWN_SYMBOL, "outcome or kind is UNKNOWN"
        if row["executed_lots"] < 0 or row["executed_amount"] < 0:
            return DeadLetterReason.OUT_OF_BOUNDS, "executed_lots and executed_amount are absolute"
        return None

    def note(self, instruction_id: int, account: int, *, lots: int = 0, amount: int = 0) -> None:
        """A fill or update of the account says it executed an instruction."""
        known = self.executed.get((instruction_id, account)) or Executed(0, 0)
        self.executed[instruction_id, account] = Executed(known.lots + lots, known.amount + amount)

    def noted(self, allocated: Mapping[str, Any]) -> int:
        """Lots of an instruction of an allocation that fills have executed by now, while its result is out."""
        executed = self.executed.get((allocated["instruction_id"], allocated["account"]))
        return 0 if executed is None else executed.lots

    def left(self, allocated: Mapping[str, Any]) -> int:
        """Lots that an instruction of an allocation may still take: its fills, and its result too, may have come before the decision."""
        is_over = (allocated["instruction_id"], allocated["account"]) in self.over
        return 0 if is_over else max(0, int(allocated["lots"]) - self.noted(allocated))

    def is_ready(self, account_row: int, row: dict[str, Any]) -> bool:
        """Whether all of the account's records up to the result's sequence are applied."""
        a, until = self._book.accounts.rows[account_row], row["last_account_seq"]
        fills, updates = int(a["fill_seq"]), int(a["update_seq"])
        is_gapless = max(fills, updates) - int(a["base_seq"]) == int(a["applied"])
        return min(fills, updates) >= until or (is_gapless and max(fills, updates) >= until)

    def wait(self, account_row: int, row: dict[str, Any]) -> None:
        """Keep a result until its fills are in."""
        key = (row["account"], row["instruction_id"])
        if key not in self.waiting:
            self._book.hold(account_row, 1)
        self.waiting[key] = dict(row)

    def take_ready(self, account: int) -> list[dict[str, Any]]:
        """Waiting results of the account that can be applied now, taken out."""
        account_row = self._book.account_row(account)
        if not int(self._book.accounts.rows["held"][account_row]):
            return []
        ready = [(key, dict(row)) for key, row in self.waiting.items() if key[0] == account and self.is_ready(account_row, row)]
        for key, _ in ready:
            del self.waiting[key]
            self._book.hold(account_row, -1)
        return [row for _, row in ready]

    def waiting_by_account(self) -> dict[int, int]:
        """How many results wait, by account."""
        counts: dict[int, int] = {}
        for account, _ in self.waiting:
            counts[account] = counts.get(account, 0) + 1
        return counts

    def contradiction(self, row: dict[str, Any]) -> Refused | None:
        """How the result differs from the account's fills and updates, if it does. What was noted of the instruction is forgotten; it is over."""
        key = (row["instruction_id"], row["account"])
        executed = self.executed.pop(key) or Executed(0, 0)
        self.over[key] = row["time_us"]
        heappush(self._by_time, (row["time_us"], key))
        said = Executed(
            row["executed_lots"] if row["kind"] in _WITH_FILLS else 0,
            row["executed_amount"] if row["kind"] in _WITH_UPDATES else 0,
        )
        if said == executed:
            return None
        return (
            DeadLetterReason.RESULT_CONTRADICTS_FILLS,
            f"the result says {said.lots} lots and {said.amount} units, the account's records say {executed.lots} and {executed.amount}",
        )
