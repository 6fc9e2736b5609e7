"""Instruments, pools and marks as the pools task has heard them, and which of these rows are refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from streams.domain.events import DeadLetterReason, Grade
from streams.domain.instruments import Instrument, Pool, parse_instrument, parse_pool
from streams.domain.state import Digested, StateTable

Refused = tuple[DeadLetterReason, str]


@dataclass(frozen=True, slots=True)
class MarkPrice:
    """The mark in force: ticks, its sequence in the instrument, its event time."""

    ticks: int
    sequence: int
    time_us: int


class Market:
    """Parameters by their newest version, marks by their newest sequence. `clock_us`: running maximum of the marks' event time."""

    def __init__(self) -> None:
        self.instruments: StateTable[int, Instrument] = StateTable("instruments", int, Instrument)
        self.pools: StateTable[int, Pool] = StateTable("pools", int, Pool)
        self.marks: StateTable[int, MarkPrice] = StateTable("marks", int, MarkPrice)
        self.clock_us = 0
        self._instruments_of: dict[int, dict[int, None]] = {}
        self._funds: dict[int, dict[int, None]] = {}

    @property
    def parts(self) -> tuple[Digested, ...]:
        """The tables."""
        return self.instruments, self.pools, self.marks

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
        """Take an instrument event; a version that does not grow is a duplicate and changes nothing."""
        parsed = parse_instrument(row)
        if isinstance(parsed, tuple):
            return parsed
        known = self.instruments.get(parsed.instrument)
        if known is None or parsed.version > known.version:
            if known is not None:
                del self._instruments_of[known.pool][known.instrument]
            self.instruments[parsed.instrument] = parsed
            self._instruments_of.setdefault(parsed.pool, {})[parsed.instrument] = None
        return None

    def learn_pool(self, row: Mapping[str, Any]) -> Refused | None:
        """Take a pool event; a version that does not grow is a duplicate and changes nothing."""
        parsed = parse_pool(row)
        if isinstance(parsed, tuple):
            return parsed
        known = self.pools.get(parsed.pool)
        if known is None or parsed.version > known.version:
            if known is not None:
                del self._funds[known.fund_account][known.pool]
            self.pools[parsed.pool] = parsed
            self._funds.setdefault(parsed.fund_account, {})[parsed.pool] = None
        return None

    def learn_mark(self, instrument: int, mark: MarkPrice, grade: int) -> Refused | bool:
        """Whether the mark was applied: FROZEN ones are not, nor one whose sequence does not grow (a duplicate); or why it is refused."""
        parameters = self.instruments.get(instrument)
        if parameters is None:
            return DeadLetterReason.UNKNOWN_INSTRUMENT, f"instrument {instrument} is unknown"
        if not 0 < mark.ticks <= parameters.max_mark_ticks:
            return DeadLetterReason.OUT_OF_BOUNDS, f"mark_ticks outside 1..{parameters.max_mark_ticks}"
        known = self.marks.get(instrument)
        if grade == Grade.FROZEN or (known is not None and mark.sequence <= known.sequence):
            return False
        self.marks[instrument] = mark
        return True

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
