"""What everything is valued and shown by: instruments, pools, marks as they were applied, and how an asset's units are written."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streams.domain.events import Grade
from streams.report.log import Log, Row
from streams.report.writing import MINUS

Int64s = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Unit:
    """How amounts of an asset are written: its symbol, and how many of the last digits are behind the point."""

    symbol: str
    decimals: int

    def parts(self, amount: int) -> tuple[str, str]:
        """An amount to the last unit: (sign and whole part with thousands separators, digits behind the point)."""
        whole, rest = divmod(abs(amount), 10**self.decimals)
        return f"{MINUS if amount < 0 else ''}{whole:,}", f"{rest:0{self.decimals}d}" if self.decimals else ""

    def text(self, amount: int) -> str:
        """An amount to the last unit, with its symbol."""
        whole, rest = self.parts(amount)
        return f"{whole}{'.' if rest else ''}{rest} {self.symbol}"

    def rough(self, amount: int) -> float:
        """An amount for plots only."""
        return amount / float(10**self.decimals)


@dataclass(frozen=True, slots=True)
class Marks:
    """Marks of one instrument that were applied: neither FROZEN nor behind the sequence, by event time."""

    times_us: Int64s
    ticks: Int64s


@dataclass(frozen=True, slots=True)
class Market:
    """Newest parameters by number; `units` by asset, of those that are known."""

    instruments: Mapping[int, Row]
    pools: Mapping[int, Row]
    marks: Mapping[int, Marks]
    units: Mapping[int, Unit] = field(default_factory=dict)

    def symbol(self, instrument: int) -> str:
        """The instrument's name; its number where it was never announced."""
        row = self.instruments.get(instrument)
        return str(instrument) if row is None else str(row["symbol"])

    def unit(self, asset: int) -> Unit:
        """How the asset is written; plain settlement units where nobody said."""
        return self.units.get(asset, Unit(f"units of asset {asset}", 0))

    def asset(self, instrument: int) -> int:
        """Settlement asset of an instrument; 0 for an unknown one."""
        row = self.instruments.get(instrument)
        return 0 if row is None else int(row["asset"])

    def unit_of(self, instrument: int) -> Unit:
        """How amounts in this instrument are written."""
        return self.unit(self.asset(instrument))

    def lot_value(self, instrument: int, ticks: int) -> int:
        """Value of one lot at a mark; settlement units."""
        row = self.instruments.get(instrument)
        return 0 if row is None else ticks * int(row["value_per_tick_lot"])

    def mark_at(self, instrument: int, time_us: int) -> int | None:
        """The mark in force at an event time, in ticks; None before the first."""
        marks = self.marks.get(instrument)
        at = 0 if marks is None else int(np.searchsorted(marks.times_us, time_us, side="right"))
        return None if marks is None or at == 0 else int(marks.ticks[at - 1])


def market_of(log: Log, units: Mapping[int, Unit]) -> Market:
    """The market of a log."""
    numbers, sequences = log.numbers("marks", "instrument"), log.numbers("marks", "sequence")
    usable = log.numbers("marks", "grade") != Grade.FROZEN
    marks = {}
    for instrument in np.unique(numbers[usable]).tolist():
        places = np.flatnonzero(usable & (numbers == instrument))
        ahead = np.maximum.accumulate(sequences[places])
        places = places[np.concatenate([[True], sequences[places][1:] > ahead[:-1]])]
        marks[instrument] = Marks(log.numbers("marks", "event_time_us")[places], log.numbers("marks", "mark_ticks")[places])
    return Market(_newest(log, "instruments", "instrument"), _newest(log, "pools", "pool"), marks, units)


def _newest(log: Log, stream: str, name: str) -> dict[int, Row]:
    rows: dict[int, Row] = {}
    for row in log.rows(stream):
        known = rows.get(row[name])
        if known is None or row["version"] >= known["version"]:
            rows[row[name]] = row
    return dict(sorted(rows.items()))
