"""Instruments for tests that need one and are not about it."""

from streams.domain.events import InstrumentKind
from streams.domain.instruments import Instrument, maintenance_amounts


def linear(number: int = 1, *, unit: int = 1, tiers: tuple[tuple[int, int], ...] = ((0, 5_000), (10**9, 10_000), (10**11, 25_000))) -> Instrument:
    """A linear perpetual with three tiers."""
    return Instrument(
        instrument=number, symbol=f"I{number}", version=1, kind=InstrumentKind.LINEAR, asset=1, pool=1, value_per_tick_lot=unit, max_mark_ticks=10**7,
        max_lots=10**7, tiers=maintenance_amounts(list(tiers)),
    )  # fmt: skip
