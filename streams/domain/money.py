"""Integer arithmetic with the rounding direction in the name, and the bounds that keep every intermediate product in int64.

Money is an integer of settlement units of its asset. A negative amount rounds by value, not by magnitude: `ceil` is towards +infinity.
"""

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

PPM: Final = 1_000_000

# Bounds checked at the door. VALUE: |lots x ticks x value_per_tick_lot|, cost, quote of one position (4.5e9 USD at a scale of 1e-6).
# WALLET: one balance. With 256 positions a group's equity stays within 2^60 + 256 x 2^53 < 2^62 and its maintenance within 2^60; a warning
# ratio of at most 3 then keeps their difference below 2^63.
MAX_VALUE: Final = 2**52
MAX_WALLET: Final = 2**60
MAX_LOTS: Final = 2**52
MAX_ACCOUNT: Final = 2**62
MAX_INSTRUMENT: Final = 2**20
MAX_GROUP_POSITIONS: Final = 256
MAX_WARNING_PPM: Final = 3_000_000

K = TypeVar("K", bound=int)


def div_floor(numerator: int, denominator: int) -> int:
    """Quotient rounded towards -infinity; the denominator is positive."""
    return numerator // denominator


def div_ceil(numerator: int, denominator: int) -> int:
    """Quotient rounded towards +infinity; the denominator is positive."""
    return -(-numerator // denominator)


def mul_ppm_ceil(amount: int, ppm: int) -> int:
    """`amount` x `ppm` millionths, rounded towards +infinity."""
    return div_ceil(amount * ppm, PPM)


def quote_part_floor(quote: int, lots: int, of_lots: int) -> int:
    """The part of `quote` that goes with the first `lots` of `of_lots`; differences of it add up to `quote` exactly."""
    return quote * lots // of_lots


def quote_part_ceil(quote: int, lots: int, of_lots: int) -> int:
    """The part of `quote` that is left for `lots` when the others of `of_lots` went first: with `quote_part_floor` of those it adds up exactly."""
    return quote - quote_part_floor(quote, of_lots - lots, of_lots)


def largest_remainder(amount: int, weights: Mapping[K, int]) -> dict[K, int]:
    """Share `amount` by weight in whole units, left-over units to the largest remainders, ties to the smallest id. Sums exactly.

    The integer pro-rata of docs/glossary.md ("largest remainder"); `weights` are not negative and not all zero.
    """
    total = sum(weights.values())
    shares = {key: amount * weight // total for key, weight in weights.items()}
    by_remainder = sorted(weights, key=lambda key: (-(amount * weights[key] % total), key))
    for key in by_remainder[: amount - sum(shares.values())]:
        shares[key] += 1
    return shares


def capped_largest_remainder(amount: int, weights: Mapping[K, int], caps: Mapping[K, int]) -> dict[K, int]:
    """As `largest_remainder`, but nobody above its cap: what a capped one cannot take is shared among the rest.

    Sums to min(amount, sum of caps). Each round caps at least one, so it ends.
    """
    shares = dict.fromkeys(weights, 0)
    open_keys: Sequence[K] = [key for key in sorted(weights) if weights[key] > 0 and caps[key] > 0]
    left = amount
    while left > 0 and open_keys:
        proposal = largest_remainder(left, {key: weights[key] for key in open_keys})
        full = [key for key in open_keys if proposal[key] >= caps[key]]
        if not full:
            shares.update(proposal)
            return shares
        for key in full:
            shares[key] = caps[key]
            left -= caps[key]
        open_keys = [key for key in open_keys if shares[key] == 0]
    return shares
