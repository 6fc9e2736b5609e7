"""What the names in a scenario file stand for, and how its quantities become integers: a refusal is told with the line of its key."""

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, TypeVar

from streams.domain.money import MAX_WALLET
from streams.venue.scenarios.places import Keys, Source
from streams.venue.scenarios.tables import FileTable
from streams.venue.scenarios.units import Number, plain, whole

T = TypeVar("T")


@dataclass(slots=True)
class Ledger:
    """What the names in a file stand for, and how its quantities are read; filled in while the file is gone through."""

    source: Source
    tables: FileTable
    unit: Fraction = Fraction(1)  # the smallest amount of the currency
    instruments: dict[str, int] = field(default_factory=dict)
    accounts: dict[str, int] = field(default_factory=dict)
    pools: dict[str, int] = field(default_factory=dict)
    ticks: dict[int, Fraction] = field(default_factory=dict)
    lots: dict[int, Fraction] = field(default_factory=dict)
    is_hedged: dict[tuple[int, int], bool] = field(default_factory=dict)  # by account and instrument: whether it holds LONG and SHORT apart
    start_us: int = 0

    def at(self, keys: Keys, read: Callable[..., T], *arguments: Any) -> T:
        """What `read` makes of the arguments; a refusal is told with the line of the key."""
        try:
            return read(*arguments)
        except ValueError as refusal:
            raise self.source.mistake(keys, str(refusal)) from refusal

    def money(self, keys: Keys, given: Number, *, is_signed: bool = False) -> int:
        """An amount in settlement units."""
        amount = self.at(keys, whole, given, self.unit, "the smallest units")
        if abs(amount) > MAX_WALLET or (amount < 0 and not is_signed):
            raise self.source.mistake(keys, f"{given} is too large or below zero; give an amount from 0 to {plain(MAX_WALLET * self.unit)}")
        return amount

    def size(self, keys: Keys, given: Number, instrument: int) -> int:
        """A size in lots, signed as given."""
        return self.at(keys, whole, given, self.lots[instrument], "lots")

    def positive(self, keys: Keys, given: Number, step: Fraction, name: str) -> int:
        """So many steps, more than none."""
        count = self.at(keys, whole, given, step, name)
        if count <= 0:
            raise self.source.mistake(keys, f"{given} is not above zero; give more")
        return count

    def named(self, keys: Keys, names: dict[str, int], name: str, kind: str) -> int:
        """The number behind a name."""
        if name not in names:
            raise self.source.mistake(keys, f"there is no {kind} {name!r}; there are: {', '.join(names) or 'none'}")
        return names[name]

    def new(self, keys: Keys, names: dict[str, int], name: str, kind: str) -> None:
        """Refuse a name that is taken or empty."""
        if name in names or not name:
            raise self.source.mistake(keys, f"{kind} {name!r} is {'here twice' if name else 'without a name'}; give it a name of its own")
