"""Selling what was taken over: one UNWIND follows each takeover's fund flow, within a limit against the mark and no more than its pace.

It is sent only as far as its worst loss leaves the fund at its floor. What it does not execute is sent again at the next mark of its instrument; a
refused one (nobody was asked) waits longer each time. It only ever reduces the inventory: where two takeovers have met in it, lots that are gone
are not sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from streams.domain.alarms import Alarm
from streams.domain.batch import Outputs
from streams.domain.events import CauseKind, InstructionKind
from streams.domain.instructions import OpenInstruction, OpenInstructions, instruction_row
from streams.domain.money import MAX_LOTS, PPM, div_ceil, div_floor
from streams.domain.retries import pause_after
from streams.domain.state import StateTable
from streams.insurance_fund.books import Books, PoolInstrument, Reserve


@dataclass(frozen=True, slots=True)
class Unwind:
    """What follows from one takeover. `due`: signed lots to be sent; `open`: how many UNWINDs are out; `expected`, `flowed`: absolute lots.

    `waits`: nothing is sent before the next mark, nor before `not_before_us`. `refusals`: in a row.
    """

    pool: int
    instrument: int
    due: int = 0
    waits: bool = False
    attempt: int = 0
    open: int = 0
    expected: int = 0
    flowed: int = 0
    refusals: int = 0
    not_before_us: int = 0


class Unwinds:
    """Unwinds by the takeover they follow."""

    def __init__(self, books: Books, instructions: OpenInstructions) -> None:
        self.books, self.instructions = books, instructions
        self.table: StateTable[int, Unwind] = StateTable("fund_unwinds", int, Unwind)
        self._clear()

    def _clear(self) -> None:
        self._due: dict[int, None] = {}
        self._waiting: dict[int, None] = {}
        self._out: dict[PoolInstrument, dict[int, int]] = {}  # signed lots of open UNWINDs by instruction

    def restore(self, tables: Mapping[str, pa.RecordBatch]) -> None:
        """Take over the table of a snapshot; the open instructions are restored already."""
        self.table.from_arrow(tables[self.table.name])
        self._clear()
        for takeover, unwind in self.table.items():
            self._set(takeover, unwind)
        for instruction_id, opened in self.instructions.table.items():
            if opened.kind == InstructionKind.UNWIND and opened.instrument is not None:
                self._out.setdefault((opened.pool, opened.instrument), {})[instruction_id] = opened.lots

    def _set(self, takeover: int, unwind: Unwind) -> None:
        self._due.pop(takeover, None)
        self._waiting.pop(takeover, None)
        if not unwind.due and not unwind.open and unwind.flowed >= unwind.expected and takeover not in self.instructions.table:
            self.table.pop(takeover)
            return
        self.table[takeover] = unwind
        if unwind.due:
            (self._waiting if unwind.waits else self._due)[takeover] = None

    def taken(self, flow: Mapping[str, Any]) -> None:
        """A takeover has reached the inventory."""
        takeover = flow["source_id"] if flow["instruction_id"] is None else flow["instruction_id"]
        unwind = self.table.get(takeover) or Unwind(flow["pool"], flow["instrument"])
        self._set(takeover, replace(unwind, due=unwind.due - flow["lots"], flowed=unwind.flowed + abs(flow["lots"])))

    def takeover_ended(self, takeover: int, opened: OpenInstruction) -> None:
        """The exchange has answered: this many lots have reached, or will reach, the inventory."""
        unwind = self.table.get(takeover) or Unwind(opened.pool, opened.instrument or 0)
        self._set(takeover, replace(unwind, expected=opened.executed_lots))

    def ended(self, instruction_id: int, opened: OpenInstruction, *, is_refused: bool, now_us: int, out: Outputs) -> None:
        """An UNWIND has its result; the rest waits for the next mark of the instrument."""
        self._out[opened.pool, opened.instrument or 0].pop(instruction_id)
        unwind, pool = self.table[opened.cause_id], self.books.market.pools[opened.pool]
        left = max(0, abs(opened.lots) - opened.executed_lots)
        due = unwind.due + (left if opened.lots > 0 else -left)
        refusals = unwind.refusals + 1 if is_refused else 0
        if refusals and refusals % pool.retry_alarm_count == 0:
            out.alarm(Alarm.ORDERS_REFUSED, account=pool.fund_account, instrument=unwind.instrument, refusals=refusals)
        until_us = now_us + pause_after(refusals, pool.retry_pause_us) if refusals else 0
        waits = unwind.waits or left > 0
        self._set(opened.cause_id, replace(unwind, due=due, open=unwind.open - 1, waits=waits, refusals=refusals, not_before_us=until_us))

    def release(self, instrument: int, clock_us: int) -> None:
        """A mark of the instrument has come."""
        for takeover in list(self._waiting):
            unwind = self.table[takeover]
            if unwind.instrument == instrument and unwind.not_before_us <= clock_us:
                self._set(takeover, replace(unwind, waits=False))

    def send(self, now_us: int, out: Outputs) -> None:
        """At the end of an event: send what is due, no more than the inventory holds."""
        for takeover in sorted(self._due):
            unwind = self.table[takeover]
            key = unwind.pool, unwind.instrument
            held, under_way = self.books.holding(*key).lots, self._out.get(key, {})
            if not held and not under_way and not self.books.is_pending(*key):
                self._set(takeover, replace(unwind, due=0))
                continue
            sign = 1 if unwind.due > 0 else -1
            lots = min(abs(unwind.due), max(0, -sign * (held + sum(under_way.values()))), self._bearable(unwind))
            if lots:
                unwind = replace(unwind, due=unwind.due - sign * lots, attempt=unwind.attempt + 1, open=unwind.open + 1)
                self._send(takeover, unwind, sign * lots, now_us=now_us, out=out)
            self._set(takeover, replace(unwind, waits=unwind.due != 0))

    def _bearable(self, unwind: Unwind) -> int:
        """The most lots of one UNWIND: its pace, and as far as its worst loss, and that of all under way, leaves the fund at its floor."""
        pool = self.books.market.pools[unwind.pool]
        most = MAX_LOTS if pool.unwind_lots_max is None else pool.unwind_lots_max
        worst_ppm_per_lot = (self.books.market.lot_value(unwind.instrument) or 0) * pool.unwind_limit_ppm
        if not worst_ppm_per_lot:
            return most
        bearable = (self.books.spendable(unwind.pool) - pool.fund_floor_value) * PPM // worst_ppm_per_lot
        return max(0, min(most, bearable))

    def _limit(self, unwind: Unwind, lots: int) -> int | None:
        """What is to be received at least, or paid at most, for signed lots: never worse than stated; None before the first mark."""
        pool, lot_value = self.books.market.pools[unwind.pool], self.books.market.lot_value(unwind.instrument)
        if lot_value is None:
            return None
        share = PPM + pool.unwind_limit_ppm if lots > 0 else PPM - pool.unwind_limit_ppm
        return div_floor(lots * lot_value * share, PPM)

    def _send(self, takeover: int, unwind: Unwind, lots: int, *, now_us: int, out: Outputs) -> None:
        pool = self.books.market.pools[unwind.pool]
        row = instruction_row(
            epoch=self.books.market.epoch, kind=InstructionKind.UNWIND, pool=pool, cause_kind=CauseKind.INVENTORY, cause_id=takeover,
            attempt=unwind.attempt, party=self.books.party(pool, unwind.instrument), now_us=now_us, lots=lots, quote_limit=self._limit(unwind, lots),
            mark=self.books.market.marks.get(unwind.instrument),
        )  # fmt: skip
        instruction_id = self.instructions.send(out, row, None)
        self._out.setdefault((unwind.pool, unwind.instrument), {})[instruction_id] = lots
        worst = div_ceil(abs(lots) * (self.books.market.lot_value(unwind.instrument) or 0) * pool.unwind_limit_ppm, PPM)
        self.books.reserve(instruction_id, Reserve(unwind.pool, worst, None, lots, is_at_risk=True))
