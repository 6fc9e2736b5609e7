"""Scales of plots: values to pixels, and round tick marks. Floats: plots show, tables tell."""

from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Final

from streams.report.writing import SECOND_US

_MINUTE_US: Final = 60 * SECOND_US
_HOUR_US: Final = 60 * _MINUTE_US
_STEPS_US: Final = (
    *(factor * 10**power for power in range(6) for factor in (1, 2, 5)),
    *(factor * SECOND_US for factor in (1, 2, 5, 10, 15, 30)), *(factor * _MINUTE_US for factor in (1, 2, 5, 10, 15, 30)),
    *(factor * _HOUR_US for factor in (1, 2, 3, 6, 12, 24, 48, 168, 720, 8760)),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from `low` to `high` onto pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel of a value; values outside are moved to the edge."""
        if self.high <= self.low:
            return (self.start + self.end) / 2
        part = min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))
        return self.start + part * (self.end - self.start)


def round_ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round values from low to high."""
    if high <= low:
        return [low]
    rough = (high - low) / max(1, count)
    power = 10 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [number * step for number in range(ceil(low / step), floor(high / step) + 1)]


def padded(low: float, high: float, part: float = 0.06) -> tuple[float, float]:
    """A range with room at both ends."""
    room = (high - low) * part or abs(high) * part or 1.0
    return low - room, high + room


def time_ticks(start_us: int, end_us: int, count: int) -> list[int]:
    """About `count` round event times from start to end."""
    rough = max(1, (end_us - start_us) // max(1, count))
    step = next((step for step in _STEPS_US if step >= rough), _STEPS_US[-1])
    return list(range(-(-start_us // step) * step, end_us + 1, step))
