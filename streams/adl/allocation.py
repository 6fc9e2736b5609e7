"""Who takes how many lots of whom: liquidated positions in their order, offsetting ones by rank, two pointers, one pair at a time.

Source of the queue: BitMEX, "Auto-Deleveraging": by rank, each whole position before the next.
"""

from collections.abc import Sequence
from typing import NamedTuple

from streams.domain.money import quote_part_floor


class Pair(NamedTuple):
    """Lots of liquidated position number `liquidated` that go to offsetting position number `offsetting`; `quote`: their bankruptcy quote."""

    liquidated: int
    offsetting: int
    lots: int
    quote: int


class Left(NamedTuple):
    """What found no counterparty of liquidated position number `liquidated`; it keeps its part of the quote."""

    liquidated: int
    lots: int
    quote: int


def allocate(liquidated: Sequence[tuple[int, int]], offered_lots: Sequence[int]) -> tuple[list[Pair], list[Left]]:
    """Match (lots, bankruptcy quote) of the liquidated with the lots offered, both in their order.

    Quotes of one liquidated position are differences of its cumulative quote, so that they add up to it exactly.
    """
    pairs: list[Pair] = []
    left: list[Left] = []
    n, free = 0, offered_lots[0] if offered_lots else 0
    for number, (lots, quote) in enumerate(liquidated):
        done = told = 0
        while done < lots and n < len(offered_lots):
            taken = min(lots - done, free)
            if taken:
                done, free = done + taken, free - taken
                up_to = quote_part_floor(quote, done, lots)
                pairs.append(Pair(number, n, taken, up_to - told))
                told = up_to
            if not free:
                n += 1
                free = offered_lots[n] if n < len(offered_lots) else 0
        if done < lots:
            left.append(Left(number, lots - done, quote - told))
    return pairs, left
