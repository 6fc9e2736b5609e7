"""What a run left behind, for those who tell of it; and amounts and shares for the eye."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streams.notify.names import Names, Unit
from streams.venue.scenarios.scenario import USD

Row = Mapping[str, Any]
SENTENCE_DECIMALS = 2


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
    must be zero. `differences`: lines of the comparison of books. `digests`: by name. All money is in the one `asset` of the scenario.
    """

    scenario: str
    names: Names
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
    asset: int = USD

    @property
    def unit(self) -> Unit:
        """How its money is written."""
        return self.names.unit(self.asset)

    def symbol(self, instrument: int) -> str:
        """The instrument as it is shown."""
        return self.names.symbol(instrument)

    def money(self, amount: int) -> str:
        """An amount within a sentence, with its currency: two places (cut, not rounded), or all where two would show nothing."""
        step = 10 ** max(0, self.unit.decimals - SENTENCE_DECIMALS)
        cut = abs(amount) // step * step
        return self.unit.text((cut if amount > 0 else -cut) or amount)


def percent(part: int, whole: int) -> str:
    """A share in percent with one place, cut."""
    tenths = part * 1000 // whole if whole else 0
    return f"{tenths // 10}.{tenths % 10} %"
