"""Instruments, pools and marks as the pools task has heard them, and which of these rows are refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from streams.domain.events import DeadLetterReason, Grade
from streams.domain.instruments import MAX_AHEAD_US, Instrument, Pool, Use, change_refusal, fund_refusal, parse_instrument, parse_pool
from streams.domain.marks import Heard, MarkTime, Standing, Verdict, judge
from streams.domain.state import Digested, StateTable

Refused = tuple[DeadLetterReason, str]


@dataclass(frozen=True, slots=True)
class MarkPrice:
    """The mark in force: ticks, its sequence in the instrument, its event time."""

    ticks: int
    sequence: int
    time_us: int
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Trust:
    """How far an instrument can be trusted: the grade last heard, and whether a refused change of parameters has halted it."""

    grade: int
    is_halted: bool


class Market:
    """Parameters by their newest version, marks by their newest (epoch, sequence). `time`: the clock of marks; `epoch`: the deployment's."""

    def __init__(self) -> None:
        self.epoch = 0
        self.instruments: StateTable[int, Instrument] = StateTable("instruments", int, Instrument)
        self.pools: StateTable[int, Pool] = StateTable("pools", int, Pool)
        self.marks: StateTable[int, MarkPrice] = StateTable("marks", int, MarkPrice)
        self.trust: StateTable[int, Trust] = StateTable("mark_trust", int, Trust)
        self.time = MarkTime()
        self._instruments_of: dict[int, dict[int, None]] = {}
        self._funds: dict[int, dict[int, None]] = {}

    @property
    def parts(self) -> tuple[Digested, ...]:
        """The tables."""
        return self.instruments, self.pools, self.marks, self.trust

    @property
    def clock_us(self) -> int:
        """The clock of marks; microseconds."""
        return self.time.us

    def restore(self, tables: Mapping[str, pa.RecordBatch]) -> None:
        """Take over the tables of a snapshot."""
        for part in self.parts:
            part.from_arrow(tables[part.name])
        self._instruments_of, self._funds = {}, {}
        for instrument in self.instruments:
            self._instruments_of.setdefault(self.instruments[instrument].pool, {})[instrument] = None
        for pool in self.pools:
            self._funds.setdefault(self.pools[pool].fund_account, {})[pool] = None

    def learn_instrument(self, row: Mapping[str, Any]) -> Refused | None:
        """Take an instrument event; a version that does not grow is a duplicate and changes nothing. A refused newer one halts the instrument."""
        parsed = parse_instrument(row)
        known = self.instruments.get(row["instrument"])
        is_new = known is None or row["version"] > known.version
        refused = parsed if isinstance(parsed, tuple) else change_refusal(known, parsed) if is_new else None
        if refused is not None or isinstance(parsed, tuple):
            if known is not None and is_new:
                self._stand(row["instrument"], self.standing(row["instrument"]).halted())
            return refused
        if is_new:
            if known is not None:
                del self._instruments_of[known.pool][known.instrument]
            self.instruments[parsed.instrument] = parsed
            self._instruments_of.setdefault(parsed.pool, {})[parsed.instrument] = None
            if self.standing(parsed.instrument).is_halted:
                self._stand(parsed.instrument, self.standing(parsed.instrument).resumed())
        return None

    def learn_pool(self, row: Mapping[str, Any]) -> Refused | None:
        """Take a pool event; a version that does not grow is a duplicate and changes nothing."""
        parsed = parse_pool(row)
        if isinstance(parsed, tuple):
            return parsed
        known = self.pools.get(parsed.pool)
        if known is None or parsed.version > known.version:
            if refused := fund_refusal((pool for _, pool in self.pools.items()), parsed):
                return refused
            if known is not None:
                del self._funds[known.fund_account][known.pool]
            self.pools[parsed.pool] = parsed
            self._funds.setdefault(parsed.fund_account, {})[parsed.pool] = None
        return None

    def standing(self, instrument: int) -> Standing:
        """The mark in force and how far the instrument can be trusted."""
        mark, trust = self.marks.get(instrument) or MarkPrice(0, 0, 0), self.trust.get(instrument) or Trust(int(Grade.GOOD), is_halted=False)
        return Standing(mark.ticks, mark.epoch, mark.sequence, mark.time_us, trust.grade, trust.is_halted)

    def grade_of(self, instrument: int) -> Grade:
        """Grade of the instrument now, by the clock; FROZEN while it is halted."""
        return self.standing(instrument).grade_at(self.instruments[instrument], self.clock_us)

    def allows(self, instrument: int, use: Use) -> bool:
        """Whether the instrument may be used so now: its grade allows it, and its pool is known."""
        parameters = self.instruments[instrument]
        return parameters.pool in self.pools and parameters.allows(self.grade_of(instrument), use)

    def _stand(self, instrument: int, standing: Standing) -> None:
        self.trust[instrument] = Trust(standing.grade, standing.is_halted)

    def hear_time(self, instrument: int, time_us: int) -> Refused | None:
        """Move the clock on to a mark's time, or why the mark is refused."""
        parameters = self.instruments.get(instrument)
        bound_us = parameters.max_ahead_us if parameters else MAX_AHEAD_US
        if self.time.hear(time_us, bound_us):
            return None
        return DeadLetterReason.OUT_OF_BOUNDS, f"more than {bound_us} us ahead of the clock of marks"

    def learn_mark(self, instrument: int, mark: MarkPrice, grade: int) -> Verdict:
        """Take a mark by the one rule of domain/marks.py."""
        parameters, known = self.instruments.get(instrument), self.standing(instrument)
        if parameters is None:
            return Verdict(known, refused=(DeadLetterReason.UNKNOWN_INSTRUMENT, f"instrument {instrument} is unknown"))
        verdict = judge(parameters, known, Heard(mark.ticks, mark.epoch, mark.sequence, mark.time_us, grade), self.clock_us)
        if verdict.is_applied:
            self.marks[instrument] = mark
        if (verdict.standing.grade, verdict.standing.is_halted) != (known.grade, known.is_halted):
            self._stand(instrument, verdict.standing)
        return verdict

    def lot_value(self, instrument: int) -> int | None:
        """Value of one lot at the mark in force; settlement units. None before the first mark."""
        mark = self.marks.get(instrument)
        return None if mark is None else self.instruments[instrument].value(1, mark.ticks)

    def instruments_of(self, pool: int) -> dict[int, None]:
        """Instruments the pool insures, as keys."""
        return self._instruments_of.get(pool, {})

    def pools_of_fund(self, account: int) -> dict[int, None]:
        """Pools whose fund this account is, as keys; usually none."""
        return self._funds.get(account, {})
