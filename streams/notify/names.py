"""How instruments and money are named to people: symbols, told apart by id where two share one, and amounts in their asset with its decimals.

Logs, machines and the exchange go by ids and settlement units alone; nothing here is ever read back.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Unit:
    """How amounts of an asset are written: its symbol, and how many of the last digits of a settlement amount are behind the point."""

    symbol: str
    decimals: int

    def parts(self, amount: int) -> tuple[str, str]:
        """An amount to the last unit: (sign and whole part with thousands separators, all digits behind the point)."""
        whole, rest = divmod(abs(amount), 10**self.decimals)
        return f"{'-' if amount < 0 else ''}{whole:,}", f"{rest:0{self.decimals}d}" if self.decimals else ""

    def figure(self, amount: int) -> str:
        """An amount to the last unit, all its digits: what stands below each other adds up."""
        whole, rest = self.parts(amount)
        return f"{whole}{'.' if rest else ''}{rest}"

    def text(self, amount: int) -> str:
        """An amount to the last unit with its symbol, without zeros at the end."""
        whole, rest = self.parts(amount)
        rest = rest.rstrip("0")
        return f"{whole}{'.' if rest else ''}{rest} {self.symbol}"

    def rough(self, amount: int) -> float:
        """An amount for plots only."""
        return amount / float(10**self.decimals)


@dataclass(frozen=True, kw_only=True)
class Names:
    """What was announced of instruments and pools, by number, and `units` of the assets that somebody has named."""

    instruments: Mapping[int, Row] = field(default_factory=dict)
    pools: Mapping[int, Row] = field(default_factory=dict)
    units: Mapping[int, Unit] = field(default_factory=dict)

    @cached_property
    def symbols(self) -> Mapping[int, str]:
        """Each announced instrument as it is shown: by its symbol, with its id where another one has the same; by its id where it has none."""
        told = {number: str(row["symbol"]) or str(number) for number, row in self.instruments.items()}
        times = Counter(told.values())
        return {number: symbol if times[symbol] == 1 else f"{symbol} ({number})" for number, symbol in told.items()}

    def symbol(self, instrument: int) -> str:
        """The instrument as it is shown; its id where it was never announced."""
        return self.symbols.get(instrument, str(instrument))

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

    def unit_of_pool(self, pool: int) -> Unit:
        """How amounts of this pool's fund are written."""
        row = self.pools.get(pool)
        return self.unit(0 if row is None else int(row["asset"]))

    def lot_value(self, instrument: int, ticks: int) -> int:
        """Value of one lot at a mark; settlement units, 0 for an unknown instrument."""
        row = self.instruments.get(instrument)
        return 0 if row is None else ticks * int(row["value_per_tick_lot"])


def newest(rows: Iterable[Row], key: str) -> dict[int, Row]:
    """The parameters in force by number, from announcements in their order: of equal versions the later."""
    found: dict[int, Row] = {}
    for row in rows:
        known = found.get(row[key])
        if known is None or row["version"] >= known["version"]:
            found[row[key]] = row
    return dict(sorted(found.items()))


def counted(number: int, noun: str) -> str:
    """So many of something, in words: 1 time, 2 times."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
