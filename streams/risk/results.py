"""Instruction results: they must agree with the fills and updates of their instruction, which stand before them in the account's one order."""

from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any, Final

from streams.domain.alarms import Alarm
from streams.domain.batch import Outputs
from streams.domain.events import DeadLetterReason, FillKind, InstructionKind, Outcome
from streams.domain.money import MAX_VALUE
from streams.domain.state import StateTable
from streams.risk.keys import Refused

REMEMBERED_US: Final = 600_000_000  # event time for which a result delivered again is known as such: far beyond any producer's retries
_WITH_FILLS = (
    InstructionKind.NET,
    InstructionKind.LIQUIDATE,
    InstructionKind.PROVIDER,
    InstructionKind.TAKEOVER,
    InstructionKind.ADL,
    InstructionKind.UNWIND,
)
_PASSED_ON: Final = ("instruction_id", "kind", "account", "outcome", "executed_lots", "executed_quote", "executed_amount", "account_seq", "reason")
_OF_ONE_PARTY: Final = (InstructionKind.LIQUIDATE, InstructionKind.UNWIND)
_WITH_UPDATES = (InstructionKind.COVER, InstructionKind.SOCIALISE)


@dataclass(frozen=True, slots=True)
class Executed:
    """What fills and updates of an account say of an instruction so far: absolute lots, absolute amount, quote signed for the account."""

    lots: int = 0
    amount: int = 0
    quote: int = 0


class Results:
    """What was executed by instruction, and which instructions are over."""

    def __init__(self) -> None:
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
        if row["outcome"] == Outcome.UNKNOWN or row["kind"] == InstructionKind.UNKNOWN:
            return DeadLetterReason.UNKNOWN_SYMBOL, "outcome or kind is UNKNOWN"
        return None

    def note(self, instruction_id: int, account: int, *, lots: int = 0, amount: int = 0, quote: int = 0) -> None:
        """A fill or update of the account says it executed an instruction."""
        known = self.executed.get((instruction_id, account)) or Executed()
        self.executed[instruction_id, account] = Executed(known.lots + lots, known.amount + amount, known.quote + quote)

    def noted(self, allocated: Mapping[str, Any]) -> int:
        """Lots of an instruction of an allocation that fills have executed by now, while its result is out."""
        executed = self.executed.get((allocated["instruction_id"], allocated["account"]))
        return 0 if executed is None else executed.lots

    def left(self, allocated: Mapping[str, Any]) -> int:
        """Lots that an instruction of an allocation may still take: its fills, and its result too, may have come before the decision."""
        is_over = (allocated["instruction_id"], allocated["account"]) in self.over
        return 0 if is_over else max(0, int(allocated["lots"]) - self.noted(allocated))

    def end(self, row: dict[str, Any], out: Outputs, *, is_awaited: bool) -> tuple[dict[str, Any], Refused | None]:
        """The result has come: how it counts, and how it differs from the account's fills and updates, if it does.

        Whatever it says, it counts for what the records before it have moved. What was noted of the instruction is forgotten; it is over. Of an
        order to the market that nobody here awaits nothing was noted (see `is_party`): it cannot be compared, and is alarmed.
        """
        key = (row["instruction_id"], row["account"])
        executed = self.executed.pop(key) or Executed()
        self.over[key] = row["time_us"]
        heappush(self._by_time, (row["time_us"], key))
        if row["kind"] == InstructionKind.LIQUIDATE and not is_awaited:
            out.alarm(Alarm.RESULT_NOT_AWAITED, account=row["account"], instruction_id=row["instruction_id"])
            return row, None
        lots = row["executed_lots"] if row["kind"] in _WITH_FILLS else 0
        amount = row["executed_amount"] if row["kind"] in _WITH_UPDATES else 0
        is_of_fills = (lots, amount) == (executed.lots, executed.amount) and abs(row["executed_quote"]) <= MAX_VALUE
        if is_of_fills and not _is_other_way(row, executed):
            return row, None
        said, moved = f"{lots} lots, {amount} units, quote {row['executed_quote']}", f"{executed.lots}, {executed.amount}, {executed.quote}"
        other = ": the quote has the other sign, it is that of the account's own fills" if is_of_fills else ""
        why = f"the result says {said}; the account's records say {moved}{other}"
        return _as_moved(row, executed), (DeadLetterReason.RESULT_CONTRADICTS_FILLS, why)


def _is_other_way(row: Mapping[str, Any], executed: Executed) -> bool:
    """Whether the quote has the other sign than the fills', of an instruction with one party: another's quote is signed for whom it is about."""
    return row["kind"] in _OF_ONE_PARTY and row["executed_quote"] * executed.quote < 0


def passed_on(row: Mapping[str, Any]) -> dict[str, Any]:
    """A result as the pools task hears it: at the time at which the shard took it."""
    return {**{name: row[name] for name in _PASSED_ON}, "event_time_us": row["time_us"]}


def _as_moved(row: dict[str, Any], executed: Executed) -> dict[str, Any]:
    """The result as it should have been. Its quote is signed for the instruction's account, which may be the other party."""
    is_others = row["kind"] not in _OF_ONE_PARTY and row["executed_quote"] * executed.quote < 0
    quote = -executed.quote if is_others else executed.quote
    outcome = row["outcome"]
    if executed.lots or executed.amount:
        outcome = outcome if outcome == Outcome.FILLED else Outcome.PARTIAL
    elif outcome in (Outcome.FILLED, Outcome.PARTIAL):
        outcome = Outcome.UNFILLED
    moved = {"executed_lots": executed.lots, "executed_amount": executed.amount, "executed_quote": quote, "outcome": outcome}
    return {**row, **moved}


def is_party(fill: Mapping[str, Any], *, is_awaited: bool, is_fund: bool) -> bool:
    """Whether the account will get a result of the instruction that its fill names: who only traded against it will not.

    `is_awaited`: its own group waits for that instruction; `is_fund`: the account is a pool's fund.
    """
    if fill["instruction_id"] is None:
        return False
    match fill["kind"]:
        case FillKind.LIQUIDATION:
            return is_awaited
        case FillKind.UNWIND:
            return is_fund
        case _:
            return True
