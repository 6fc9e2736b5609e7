"""The accounts task's machine: one shard's rows in, states, instructions, insolvencies, fund flows, candidates and totals out.

Plain trades and marks run through compiled paths; every other row, one by one, through the exact one. What is decided where: book.py (how a
book changes), updates.py (account updates), episodes.py (the ladder), candidates.py (probes), results.py (outcomes), totals.py (sums).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa

from streams.domain.alarms import Alarm
from streams.domain.batch import UNDECODABLE, Batch, Outputs, Rows
from streams.domain.events import CorrectionKind, DeadLetterReason, InstructionKind, UpdateKind
from streams.domain.money import MAX_ACCOUNT
from streams.domain.state import Digested, combine, scalars_from_arrow, scalars_to_arrow
from streams.risk import fund_flows
from streams.risk.asking import Asking
from streams.risk.book import Book
from streams.risk.candidates import Probes
from streams.risk.clock import Clock
from streams.risk.corrections import Corrections, record_of
from streams.risk.episodes import Episodes
from streams.risk.fills import FillColumns, apply_fills, new_ahead
from streams.risk.keys import ACCOUNT_EVENTS, OF_ACCOUNTS, OPENING, Booked, Refused
from streams.risk.marks import Marks
from streams.risk.parameters import Parameters
from streams.risk.placements import Placements
from streams.risk.refusals import fill_refusal, sequence_refusal
from streams.risk.repeats import Repeats
from streams.risk.reservations import Reservations, Rooms
from streams.risk.results import Results, is_party, passed_on
from streams.risk.table import EMPTY, touch
from streams.risk.totals import emit_totals
from streams.risk.trust import Trust
from streams.risk.updates import Updates
from streams.risk.waiting import Waiting

VERSION: Final = 6
_OF_POOLS: Final = frozenset(InstructionKind[name] for name in ("TAKEOVER", "ADL", "UNWIND", "COVER", "SOCIALISE"))
Handler = Callable[[dict[str, Any], int, Outputs], None]


class RiskMachine:
    """See engine/machine.py for the contract. `shard` is this machine's number among `shard_count`."""

    def __init__(self, shard: int, shard_count: int) -> None:
        assert 0 <= shard < shard_count
        self._shard = shard
        self.book = Book()
        self.reservations = Reservations(self.book)
        self.rooms, self.waiting, self.clock = Rooms(), Waiting(self.book), Clock()
        self.asking = Asking(self.book, self.reservations, self.clock, shard)
        self.episodes = Episodes(self.book, self.reservations, self.waiting, self.asking)
        self.updates, self.repeats = Updates(self.book), Repeats()
        self.results = Results()
        self.corrections = Corrections(self.book)
        self.trust = Trust(self.book, self.corrections, self.repeats, shard)
        self.probes = Probes(self.book, self.reservations, self.rooms, self.asking, shard)
        self.placements = Placements(self.book, self.reservations, self.rooms, self.asking, self.episodes, self.results)
        self.book.time = self.clock.time
        self.marks = Marks(self.book, self.clock, self.episodes, self.probes, self.placements, self._second_over)
        self.parameters = Parameters(self.book, self.marks)

    # -- contract ---------------------------------------------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        """Version of the rules."""
        return VERSION

    @property
    def clock_us(self) -> int:
        """The clock of marks: see domain/marks.py."""
        return self.clock.us

    @property
    def held(self) -> int:
        """Parts of SNAPSHOTs that wait for the others."""
        return len(self.updates.opening)

    def found(self, epoch: int) -> None:
        """Belong to the deployment of this epoch."""
        self.episodes.epoch = epoch

    def step(self, batch: Batch) -> Outputs:
        """Apply the rows in order."""
        out = Outputs()
        handlers: dict[str, Handler] = {
            UNDECODABLE: lambda row, _, out: self.trust.undecodable(row, out), "instruments": self.parameters.instrument,
            "pools": self.parameters.pool, "account-updates": self._update, "instruction-results": self._result, "corrections": self._correction,
            "adl-decisions": lambda row, _, out: self.placements.decided(row, out),
            "adl-probes": lambda row, index, out: self.placements.left(self.probes.ask(row, index, self.clock.us, out), row["time_us"], out),
        }  # fmt: skip
        for stream, start, stop in batch.runs:
            rows = batch.rows[stream]
            if stream == "fills":
                self._fills(rows, start, stop, out)
            elif stream == "marks":
                self.marks.take(rows, start, stop, out)
            else:
                for index in range(start, stop):
                    handlers[stream](self._row(rows, index), index, out)
            if stream in OF_ACCOUNTS:
                self.clock.read(ACCOUNT_EVENTS, rows, start, stop)
        return out

    def _row(self, rows: Rows, index: int) -> dict[str, Any]:
        row = rows.row(index)
        row["time_us"] = self.clock.now(row["time_us"])
        return row

    def digest(self) -> bytes:
        """16 bytes over everything."""
        return combine(self._parts(), self._scalars())

    def snapshot(self) -> dict[str, pa.RecordBatch]:
        """Everything, as Arrow tables."""
        return {"scalars": scalars_to_arrow(self._scalars()), **{part.name: part.to_arrow() for part in self._parts()}}

    def restore(self, tables: Mapping[str, pa.RecordBatch]) -> None:
        """Take over a snapshot."""
        scalars = scalars_from_arrow(tables["scalars"])
        time, self.clock.second = self.clock.time, scalars["second"]
        time.us, time.ahead_us, time.is_witnessed = scalars["clock_us"], scalars["ahead_us"], bool(scalars["is_witnessed"])
        self.clock.now_us, self.clock.marks_seen = scalars["now_us"], scalars["marks_seen"]
        self.clock.decisions_heard, self.episodes.epoch = scalars["decisions_heard"], scalars["epoch"]
        for part in self._own_parts():
            part.from_arrow(tables[part.name])
        self.book.restore(tables)
        self.reservations.reindex()
        self.rooms.reindex()
        self.waiting.reindex()
        self.results.reindex()
        self.corrections.reindex()

    def _own_parts(self) -> list[Digested]:
        return [
            self.reservations.lots, self.rooms.table, self.waiting.table, self.asking.asked, self.asking.told, self.asking.offers,
            self.episodes.table, self.episodes.awaited, self.updates.claims, self.updates.opening,
            self.corrections.letters, self.results.executed, self.results.over, self.probes.waiting, self.clock.consumed, self.repeats.heard,
        ]  # fmt: skip

    def _parts(self) -> list[Any]:
        return [*self.book.parts(), *self._own_parts()]

    def _scalars(self) -> dict[str, int]:
        time = self.clock.time
        return {
            "version": VERSION, "shard": self._shard, "clock_us": time.us, "second": self.clock.second, "ahead_us": time.ahead_us,
            "is_witnessed": int(time.is_witnessed), "now_us": self.clock.now_us, "marks_seen": self.clock.marks_seen,
            "decisions_heard": self.clock.decisions_heard, "epoch": self.episodes.epoch,
        }  # fmt: skip

    # -- accounts ---------------------------------------------------------------------------------------------------------------------

    def _admit(self, stream: str, index: int, row: dict[str, Any], out: Outputs) -> int:
        """Row of the account if this is the next record of its one order, else EMPTY. A number left out is a loss: the account is SUSPECT."""
        refused = sequence_refusal(self.book, row)
        if refused:
            self.trust.refuse(stream, index, row, refused, out, is_counted=False)
            return EMPTY
        account_row, account, seq = self.book.ensure_account(row["account"], row["partition_"]), row["account"], row["account_seq"]
        a = self.book.accounts.rows
        heard = int(a["seq"][account_row])
        if seq <= heard:
            out.alarm(Alarm.DUPLICATES_IGNORED, stream=stream, count=1)
            return EMPTY
        is_part = stream == "account-updates" and row["kind"] == UpdateKind.SNAPSHOT
        a["seq"][account_row] = seq
        touch(self.book.accounts.t, account_row)
        if heard == 0 and is_part:
            a["missing"][account_row] = 1  # until the SNAPSHOT is whole
        elif heard == 0:
            self._lost(account_row, max(1, seq - 1), row, out)
            out.alarm(Alarm.ACCOUNT_NOT_OPENED, account=account, account_seq=seq)
        elif seq > heard + 1:
            self._lost(account_row, seq - heard - 1, row, out)
            out.alarm(Alarm.ACCOUNT_EVENTS_MISSING, account=account, first=heard + 1, last=seq - 1)
        if int(a["flags"][account_row]) & OPENING and not (is_part and seq == heard + 1):
            self._break_off(account_row, row, out)
        return account_row

    def _lost(self, account_row: int, count: int, row: dict[str, Any], out: Outputs) -> None:
        """Records of the account have not been heard and never will be; only a SNAPSHOT says what they came to."""
        self.book.accounts.rows["missing"][account_row] += count
        self.trust.suspect(row["account"], row["partition_"], row["time_us"], out)

    def _break_off(self, account_row: int, row: dict[str, Any], out: Outputs) -> None:
        """The SNAPSHOT under way has come to nothing."""
        offset = self.updates.drop_parts(row["account"])
        self.book.set_flag(account_row, OPENING, on=False)
        refused = (DeadLetterReason.SNAPSHOT_INCOMPLETE, "parts are missing; send the whole SNAPSHOT again, its parts one after the other")
        self.trust.refuse("account-updates", None, {**row, "offset_": offset}, refused, out)

    def _fills(self, rows: Rows, start: int, stop: int, out: Outputs) -> None:
        """Plain trades compiled, the rest one by one."""
        columns = FillColumns._make([*(np.asarray(rows.columns[name]) for name in FillColumns._fields[:-1]), rows.partition])
        ahead, memory = new_ahead(), self.repeats.heard.t
        while start < stop:
            begun, tables = start, self.book.tables(stop - start + 4)
            with np.errstate(over="ignore"):
                start, duplicates, group = apply_fills(tables, memory, columns, start, stop, ahead)
            if start > begun:
                self.clock.now(int(rows.time_us[begun:start].max()))
            if duplicates:
                out.alarm(Alarm.DUPLICATES_IGNORED, stream="fills", count=int(duplicates))
            if group != EMPTY:
                self.episodes.judge(int(group), self.clock.now_us, out)
            elif start < stop:
                self._fill(self._row(rows, start), start, out)
                start += 1

    def _fill(self, row: dict[str, Any], index: int, out: Outputs) -> None:
        account_row = self._admit("fills", index, row, out)
        if account_row == EMPTY:
            return
        refused = fill_refusal(self.book, row) or self.repeats.refusal("fills", row) or self._book_fill(account_row, row, out)
        if refused:
            self.trust.refuse("fills", index, row, refused, out)

    def _book_fill(self, account_row: int, row: dict[str, Any], out: Outputs) -> Refused | None:
        """Apply a fill, or why it cannot be applied; then nothing of it is."""
        key = (row["account"], row["instrument"], row["position_side"])
        known = self.book.position_row(key)
        before = int(self.book.positions.rows["lots"][known]) if known != EMPTY else 0
        booked = self.book.fill(account_row, row)
        if not isinstance(booked, Booked):
            return booked
        after = int(self.book.positions.rows["lots"][booked.position])
        self.reservations.filled(key, before, after, row["kind"], row["instruction_id"])
        pool = fund_flows.fund_pool(self.book, row["account"])
        is_awaited = (row["instruction_id"], row["account"]) in self.episodes.awaited
        if row["leg"] == 0 and is_party(row, is_awaited=is_awaited, is_fund=pool is not None):
            self.results.note(row["instruction_id"], row["account"], lots=abs(row["lots"]), quote=row["quote"])
        if pool is not None:
            fund_flows.fill_flow(self.book, pool, row, booked.cash, out)
        self.asking.changed(key, row["time_us"], out)
        self._touched(booked.group, row["time_us"], out)
        return None

    def _touched(self, group: int, time_us: int, out: Outputs) -> None:
        """The group's money has changed: it is judged at once where that means something."""
        if self.book.is_crossing(group):
            self.episodes.judge(group, time_us, out)

    def _update(self, row: dict[str, Any], index: int, out: Outputs) -> None:
        account_row = self._admit("account-updates", index, row, out)
        if account_row == EMPTY:
            return
        refused = self.updates.refusal(row) or self.repeats.refusal("account-updates", row)
        if not refused and row["kind"] == UpdateKind.SNAPSHOT:
            refused = self._snapshot_part(account_row, row, out)
        elif not refused:
            refused = self._apply_update(account_row, row, out)
        if refused:
            self.trust.refuse("account-updates", index, row, refused, out)

    def _apply_update(self, account_row: int, row: dict[str, Any], out: Outputs) -> Refused | None:
        """Apply an update, or why it cannot be applied; then nothing of it is."""
        group = self.updates.apply(account_row, row, out)
        if not isinstance(group, int):
            return group
        if row["instruction_id"] is not None and group != EMPTY:
            self.results.note(row["instruction_id"], row["account"], amount=abs(row["amount"]))
        pool = fund_flows.fund_pool(self.book, row["account"])
        if pool is not None and group != EMPTY:
            fund_flows.update_flow(self.book, pool, row, out)
        if group != EMPTY:
            self._touched(group, row["time_us"], out)
        return None

    def _snapshot_part(self, account_row: int, row: dict[str, Any], out: Outputs) -> Refused | None:
        """Keep a part; the last one replaces the account. Why the whole cannot be applied, if it cannot."""
        pool = fund_flows.fund_pool(self.book, row["account"])
        before = {} if pool is None else fund_flows.wallets_of(self.book, row["account"])
        added = self.updates.add_part(account_row, row)
        if not isinstance(added, bool):
            return added
        if added:
            self.trust.restated(account_row, row, out)
            if pool is not None:
                fund_flows.opening_flows(self.book, pool, row, before, out)
            self.episodes.restated(account_row, row["time_us"], out)
        return None

    def _correction(self, row: dict[str, Any], index: int, out: Outputs) -> None:
        """A dead letter is dealt with; the last one of an account heals it. A correction that cannot be applied leaves its letter open."""
        refused, letter = self.corrections.refusal(row), None
        if not refused:
            letter = self.corrections.letter(row)
            refused = self._refuse_record(row) if letter is None else self._apply_record(row, out)
        if refused:
            out.refuse("corrections", index, refused[0], refused[1], row["account"] if 0 < row["account"] < MAX_ACCOUNT else None)
        elif letter is None:
            out.alarm(Alarm.CORRECTION_IGNORED, account=row["account"], correction_id=row["correction_id"])
        else:
            account_row = self.book.account_row(row["account"])
            self.corrections.count(account_row, row, letter)
            if self.trust.close(account_row, row, out):  # it is valued again
                for group in list(self.book.groups_of(account_row)):
                    self._touched(group, row["time_us"], out)

    def _refuse_record(self, row: dict[str, Any]) -> Refused | None:
        """Why the record that a correction carries cannot be applied whatever the account holds."""
        record = record_of(row)
        if record is None:
            return None
        return fill_refusal(self.book, record) if row["kind"] == CorrectionKind.FILL else self.updates.refusal(record)

    def _apply_record(self, row: dict[str, Any], out: Outputs) -> Refused | None:
        """Apply the record that a correction carries, or why it cannot be applied."""
        record = record_of(row)
        if record is None:
            out.alarm(Alarm.DEAD_LETTER_DROPPED, account=row["account"], reason=row["reason"])
            return None
        if refused := self._refuse_record(row):
            return refused
        apply = self._book_fill if row["kind"] == CorrectionKind.FILL else self._apply_update
        return apply(self.book.account_row(row["account"]), record, out)

    # -- results and waves ------------------------------------------------------------------------------------------------------------

    def _result(self, row: dict[str, Any], index: int, out: Outputs) -> None:
        """The outcome of an instruction for the account; the pools task hears it from here where it sent the instruction."""
        if self._admit("instruction-results", index, row, out) == EMPTY:
            return
        refused = self.results.refusal(row)
        if refused:
            self.trust.refuse("instruction-results", index, row, refused, out)
            return
        if self.results.is_over(row):
            return
        counts, contradiction = self.results.end(row, out, is_awaited=(row["instruction_id"], row["account"]) in self.episodes.awaited)
        if contradiction:
            self.trust.refuse("instruction-results", index, row, contradiction, out)
        self.placements.ended(counts, out)
        if row["kind"] in _OF_POOLS:
            out.emit("pool-results", passed_on(counts))

    # -- time -------------------------------------------------------------------------------------------------------------------------

    def _second_over(self, second: int, row: dict[str, Any], out: Outputs) -> None:
        """Say the totals of an event second that is over, and look for what is overdue."""
        emit_totals(self.book, self._shard, second, self.clock.read_until(), out)
        self.episodes.overdue(self.clock.us, out)
        self.results.forget(self.clock.us)
        for account in self.updates.overdue(self.clock.us):
            late = {"account": account, "partition_": self.episodes.partition_of(account), "time_us": row["time_us"]}
            self._break_off(self.book.account_row(account), late, out)
