"""The machine of the pools task: the insurance fund and the ADL waves, composed in one pass over the merged input.

Rows of one time are one event: each is applied, then the event as a whole has its consequences: placements, deficits, states, waves. The rooms
do not know each other; what one decides and the other must hear goes through here, inside the same event. A row of a pool or an instrument that
is not known yet is held back, with what follows it in its pool, until it is.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import pyarrow as pa

from streams.adl.machine import Adl
from streams.domain.alarms import Alarm, Lasting
from streams.domain.batch import UNDECODABLE, Batch, Outputs, Rows
from streams.domain.conservation import Conservation
from streams.domain.events import NULL, DeadLetterReason, InsolvencyKind, InstructionKind
from streams.domain.market import Market, MarkPrice, Refused
from streams.domain.marks import MarkTime
from streams.domain.resolution import Unplaced, episode_of
from streams.domain.state import Digested, StateTable, combine, scalars_from_arrow, scalars_to_arrow
from streams.domain.told import MAX_POSITION, told_refusal
from streams.insurance_fund.lasting import lasting as fund_lasting
from streams.insurance_fund.machine import InsuranceFund

VERSION: Final = 5
RESULTS: Final = "pool-results"  # the stream that tells how the instructions of this task ended
FUND_KINDS: Final = (InstructionKind.TAKEOVER, InstructionKind.UNWIND, InstructionKind.COVER, InstructionKind.SOCIALISE)


class PoolsMachine:
    """All pools of a deployment with this many accounts shards."""

    def __init__(self, shard_count: int) -> None:
        self.shard_count = shard_count
        self.market = Market()
        self.adl = Adl(self.market, shard_count, self._offer)
        self.fund = InsuranceFund(self.market, self.adl.is_open_in)
        self.conservation = Conservation(shard_count)
        self.now_us = 0
        self.marks_seen = 0  # records of marks given to the machine: a shard that was given as many knows the same marks
        self.held_rows: StateTable[int, dict[str, Any]] = StateTable("pools_held", int, dict[str, Any])
        self.held_number = 0
        self._held_of: dict[int, dict[int, None]] = {}  # derived: numbers of the rows held, by pool, in order

    @property
    def version(self) -> int:
        """Version of these rules."""
        return VERSION

    @property
    def clock_us(self) -> int:
        """Running maximum of the marks' event time; microseconds."""
        return self.market.clock_us

    @property
    def held(self) -> int:
        """Rows that wait for their pool or instrument."""
        return len(self.held_rows)

    def found(self, epoch: int) -> None:
        """Belong to the deployment of this epoch."""
        self.market.epoch = epoch

    def _offer(self, position: Unplaced, mark: MarkPrice, *, attempt: int, now_us: int, out: Outputs) -> tuple[int, int | None]:
        return self.fund.offer(position, mark, attempt=attempt, now_us=now_us, out=out)

    def step(self, batch: Batch) -> Outputs:
        """Apply the rows in order; where the time changes, and at the end of the batch, an event ends."""
        out, before = Outputs(), None
        for stream, start, stop in batch.runs:
            if stream == UNDECODABLE:  # its dead letter is the engine's; it is no event
                continue
            rows = batch.rows[stream]
            for index, time_us in enumerate(rows.time_us[start:stop].tolist(), start):
                if before is not None and time_us != before:
                    self._end_event(out)
                before, self.now_us = time_us, max(self.now_us, time_us)
                if stream == "marks":
                    self._mark(rows, index, out)
                else:
                    self._apply(stream, index, rows.row(index), out)
        if before is not None:
            self._end_event(out)
        return out

    def _end_event(self, out: Outputs) -> None:
        self.adl.place(self.clock_us, self.now_us, out)
        self.fund.end_event(self.clock_us, self.now_us, out)
        self.adl.end_event(self.clock_us, self.now_us, self.marks_seen, out)

    def _mark(self, rows: Rows, index: int, out: Outputs) -> None:
        """Marks are most of the input: only their own columns are looked at."""
        c = rows.columns
        self.marks_seen += 1
        instrument, event_us, epoch = int(c["instrument"][index]), int(c["event_time_us"][index]), int(c["epoch"][index])
        late = self.market.hear_time(instrument, event_us)
        if late is not None:
            out.refuse("marks", index, *late)
            out.alarm(Alarm.MARK_AHEAD_OF_TIME, instrument=instrument, event_time_us=event_us)
            return
        mark = MarkPrice(int(c["mark_ticks"][index]), int(c["sequence"][index]), event_us, 0 if epoch == NULL else epoch)
        verdict = self.market.learn_mark(instrument, mark, int(c["grade"][index]))
        if verdict.alarm is not None:
            out.alarm(verdict.alarm, instrument=instrument)
        if verdict.refused is not None:
            out.refuse("marks", index, *verdict.refused)
        elif verdict.is_applied:
            self.fund.marked(instrument)

    def _apply(self, stream: str, index: int, row: dict[str, Any], out: Outputs) -> None:
        refused = told_refusal(stream, row)
        match stream:
            case _ if refused is not None:
                pass
            case "instruments":
                refused = self.market.learn_instrument(row)
                if refused is not None and row["instrument"] in self.market.instruments and self.market.standing(row["instrument"]).is_halted:
                    out.alarm(Alarm.INSTRUMENT_HALTED, instrument=row["instrument"], version=row["version"])
                self._parameters_changed(row["pool"], out)
            case "pools":
                refused = self.market.learn_pool(row)
                self._parameters_changed(row["pool"], out)
            case "fund-flows" | "insolvencies":
                refused = self._told(stream, row, out)
            case "adl-candidates":
                self.adl.candidates(row, out, self.now_us)
            case "shard-totals":
                refused = self.conservation.refusal(row)
                if refused is None:
                    self.conservation.hear(row, out)
            case _ if stream == RESULTS:
                self._result(row, out)
        if refused is not None:
            out.refuse(stream, index, *refused, row.get("account"))

    def _parameters_changed(self, pool: int, out: Outputs) -> None:
        self.fund.parameters_changed(pool)
        for its_pool, numbers in list(self._held_of.items()):
            for number in list(numbers):
                held = self.held_rows[number]
                if not self._is_known(held):
                    break  # what follows it in its pool waits with it
                del numbers[number], self.held_rows[number]
                self._obey(held["stream"], held, out)
            if not numbers:
                del self._held_of[its_pool]

    def _told(self, stream: str, row: dict[str, Any], out: Outputs) -> Refused | None:
        """What a shard tells of a fund or a group: obeyed, held back, or why it is refused."""
        instrument = self.market.instruments.get(row["instrument"] or 0)
        lots = row["lots_after" if stream == "fund-flows" else "lots"]
        if instrument is not None and abs(instrument.value(lots, instrument.max_mark_ticks)) > MAX_POSITION:
            return DeadLetterReason.OUT_OF_BOUNDS, "more lots than any position of the instrument may have"
        if stream == "insolvencies":
            if row["kind"] not in (InsolvencyKind.POSITION, InsolvencyKind.DEFICIT, InsolvencyKind.CLOSED):
                return DeadLetterReason.UNKNOWN_SYMBOL, "an insolvency of unknown kind"
            if row["kind"] == InsolvencyKind.POSITION and (row["instrument"] is None or row["position_side"] is None):
                return DeadLetterReason.BAD_VALUE, "a POSITION names its instrument and leg"
        is_waited_for = row["pool"] in self._held_of
        if is_waited_for or not self._is_known(row):
            self.held_number += 1
            self.held_rows[self.held_number] = {**row, "stream": stream}
            self._held_of.setdefault(row["pool"], {})[self.held_number] = None
            if not is_waited_for:
                out.alarm(Alarm.POOL_OR_INSTRUMENT_UNKNOWN, pool=row["pool"], instrument=row["instrument"], stream=stream)
        else:
            self._obey(stream, row, out)
        return None

    def _is_known(self, row: Mapping[str, Any]) -> bool:
        return row["pool"] in self.market.pools and (row["instrument"] is None or row["instrument"] in self.market.instruments)

    def _obey(self, stream: str, row: Mapping[str, Any], out: Outputs) -> None:
        if stream == "fund-flows":
            self.fund.flow(row, out)
            return
        match row["kind"]:
            case InsolvencyKind.POSITION:
                self.adl.tell(self._unplaced(row), is_fresh=row["marks_seen"] == self.marks_seen, heard=row["decisions_heard"])
            case InsolvencyKind.DEFICIT:
                self.fund.deficit(row)
            case InsolvencyKind.CLOSED:
                episode = episode_of(row)
                self.fund.close(episode)
                self.adl.close(episode)

    def _unplaced(self, row: Mapping[str, Any]) -> Unplaced:
        return Unplaced(
            episode=episode_of(row), pool=row["pool"], partition=row["partition"], instrument=row["instrument"],
            position_side=row["position_side"], sign=-1 if row["lots"] < 0 else 1, lots=abs(row["lots"]), quote=row["bankruptcy_quote"],
            equity=row["equity"], maintenance=row["maintenance"], revision=row["revision"], since_us=self.now_us,
        )  # fmt: skip

    def _result(self, row: Mapping[str, Any], out: Outputs) -> None:
        """Route a result to the room that sent the instruction."""
        if row["kind"] == InstructionKind.ADL:
            episodes, execution = self.adl.result(row, out, self.now_us)
            if execution is not None:
                self.fund.deleveraged(execution)
            for episode in episodes:
                self.fund.instruction_ended(episode)
        elif row["kind"] in FUND_KINDS:
            self.fund.result(row, out, self.now_us)

    @property
    def _parts(self) -> tuple[Digested, ...]:
        return *self.market.parts, *self.fund.parts, *self.adl.parts, *self.conservation.parts, self.held_rows

    @property
    def _scalars(self) -> dict[str, int]:
        return {
            "version": VERSION, "shard_count": self.shard_count, "clock_us": self.clock_us, "now_us": self.now_us,
            "wave_number": self.adl.wave_number, "decisions": self.adl.requests.decisions,
            "marks_seen": self.marks_seen, "held_number": self.held_number,
            "ahead_us": self.market.time.ahead_us, "is_witnessed": int(self.market.time.is_witnessed), "epoch": self.market.epoch,
        }  # fmt: skip

    def lasting(self) -> Iterator[Lasting]:
        """What operators must know for as long as it lasts; read from the state, and no part of it."""
        yield from self.conservation.lasting()
        yield from fund_lasting(self.fund)
        yield from self.adl.lasting()
        for pool, numbers in self._held_of.items():
            since_us = self.held_rows[next(iter(numbers))]["time_us"]
            yield Lasting(Alarm.POOL_OR_INSTRUMENT_UNKNOWN, f"pool {pool}", len(numbers), since_us)
        for instrument, trust in self.market.trust.items():
            if trust.is_halted:
                yield Lasting(Alarm.INSTRUMENT_HALTED, f"instrument {instrument}", 1)
        overdue = [each.valid_until_us for room in (self.fund.open, self.adl.open) for _, each in room.table.items() if each.overdue]
        if overdue:
            yield Lasting(Alarm.INSTRUCTION_OVERDUE, "", len(overdue), min(overdue))

    def digest(self) -> bytes:
        """16 bytes over the whole state."""
        return combine(self._parts, self._scalars)

    def snapshot(self) -> dict[str, pa.RecordBatch]:
        """Every table, and the scalars."""
        return {part.name: part.to_arrow() for part in self._parts} | {"scalars": scalars_to_arrow(self._scalars)}

    def restore(self, tables: Mapping[str, pa.RecordBatch]) -> None:
        """Take over a snapshot of a machine of the same version and shard count."""
        scalars = scalars_from_arrow(tables["scalars"])
        if (scalars["version"], scalars["shard_count"]) != (VERSION, self.shard_count):
            raise AssertionError(f"a snapshot of version {scalars['version']} with {scalars['shard_count']} shards does not fit this machine")
        self.market.restore(tables)
        self.market.epoch = scalars["epoch"]
        self.market.time = MarkTime(scalars["clock_us"], scalars["ahead_us"], bool(scalars["is_witnessed"]))
        self.now_us, self.marks_seen = scalars["now_us"], scalars["marks_seen"]
        self.held_rows.from_arrow(tables[self.held_rows.name])
        self.held_number, self._held_of = scalars["held_number"], {}
        for number, held in self.held_rows.items():
            self._held_of.setdefault(held["pool"], {})[number] = None
        self.adl.restore(tables, scalars["wave_number"], scalars["decisions"])
        self.fund.restore(tables)
        self.conservation.restore(tables)
