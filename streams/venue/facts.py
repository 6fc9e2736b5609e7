"""What a run left behind, for those who tell of it; and amounts and shares for the eye."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streams.venue.scenarios.scenario import UNITS_PER_USD

Row = Mapping[str, Any]


@dataclass(slots=True)
class Forced:
    """Fills of one kind in one instrument, each counted once (not per side). `lots` and `quote` are absolute sums."""

    fills: int = 0
    lots: int = 0
    quote: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """What a run left behind, as its caller collected it.

    `records`: how many per stream. `answers`: instructions by outcome; `unwanted`: liquidation orders that found nobody. `sums`: by name, each
    must be zero. `differences`: lines of the comparison of books. `digests`: by name. `units`: settlement units shown as one (1: show the units
    themselves).
    """

    scenario: str
    symbols: Mapping[int, str]
    event_times: int
    records: Mapping[str, int]
    answers: Mapping[str, int]
    unwanted: int = 0
    states: Sequence[Row] = ()
    executions: Sequence[Row] = ()
    waves: Sequence[Row] = ()
    ledger: Sequence[Row] = ()
    pool_states: Sequence[Row] = ()
    forced: Mapping[tuple[int, int], Forced] = field(default_factory=dict)  # (kind, instrument)
    sums: Mapping[str, int] = field(default_factory=dict)
    differences: Sequence[str] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    units: int = UNITS_PER_USD


def money(amount: int, units: int) -> str:
    """An amount for the eye: USD with two places (cut, not rounded), or plain settlement units."""
    if units == 1:
        return f"{amount:,}"
    whole, rest = divmod(abs(amount), units)
    return f"{'-' if amount < 0 else ''}{whole:,}.{rest * 100 // units:02d}"


def percent(part: int, whole: int) -> str:
    """A share in percent with one place, cut."""
    tenths = part * 1000 // whole if whole else 0
    return f"{tenths // 10}.{tenths % 10} %"
