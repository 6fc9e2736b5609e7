"""What an account is told of its place in the queue: five lights and two percentiles, integers with the rounding stated."""

from streams.domain.money import PPM, div_ceil, div_floor

LIGHTS = 5


def lights(cumulative_lots_including_own: int, total_lots: int) -> int:
    """Lit lights, 5 (first in the queue) to 1: 6 - the position's cumulative share of lots, in fifths, rounded up.

    `cumulative_lots_including_own` counts the lots ranked before it and its own; `total_lots` is positive. The share is BitMEX's published column.
    """
    fifths = div_ceil(LIGHTS * cumulative_lots_including_own, total_lots)
    return max(1, min(LIGHTS, LIGHTS + 1 - fifths))


def percentile_accounts_ppm(rank: int, of_n: int) -> int:
    """Share of candidates that are not ranked before it, in millionths rounded down; 1,000,000 is rank 1."""
    return div_floor(PPM * (of_n - rank + 1), of_n)


def percentile_lots_ppm(lots_ahead: int, lots_total: int) -> int:
    """Share of lots that are not ranked before it, in millionths rounded down; 1,000,000 is first. `lots_total` is positive."""
    return div_floor(PPM * (lots_total - lots_ahead), lots_total)
