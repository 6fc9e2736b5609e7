"""Who of those in resolution meets whom: longs and shorts of one instrument whose bankruptcy prices overlap close against each other.

The price is the mark, clamped into the overlap: neither side is left with less than its bankruptcy quote. As many lots meet as can meet.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from streams.domain.money import quote_part_floor


class Side(NamedTuple):
    """A position in resolution: absolute lots and their bankruptcy quote, signed as value (a short's is what it can pay at most, negative)."""

    account: int
    lots: int
    quote: int


class Meeting(NamedTuple):
    """Lots that long number `long` sells to short number `short`; `quote`: what the short pays for them; settlement units."""

    long: int
    short: int
    lots: int
    quote: int


def meet(longs: Sequence[Side], shorts: Sequence[Side], lot_value: int) -> list[Meeting]:
    """The meetings, by the long that is hardest to please first.

    Whoever pleases a demanding long pleases each less demanding one, so serving the most demanding first matches the most lots that can be.
    Parts of a quote are differences of the cumulative quote; a pair whose parts do not overlap after rounding does not meet.
    """
    if not longs or not shorts:
        return []
    met: list[Meeting] = []
    done_of = [0] * len(shorts)
    generous = sorted(range(len(shorts)), key=lambda n: (-_price(shorts[n], -1), n))
    for number in sorted(range(len(longs)), key=lambda n: (-_price(longs[n], 1), n)):
        long, done, place = longs[number], 0, 0
        while done < long.lots and place < len(generous):
            other = generous[place]
            short = shorts[other]
            if _price(short, -1) < _price(long, 1):
                break
            lots = min(long.lots - done, short.lots - done_of[other])
            least, most = _part(long, done, lots), -_part(short, done_of[other], lots)
            if short.account == long.account or least > most:
                place += 1
                continue
            met.append(Meeting(number, other, lots, min(max(lots * lot_value, least), most)))
            done, done_of[other] = done + lots, done_of[other] + lots
            if done_of[other] == short.lots:
                generous.pop(place)
    return met


def may_meet(longs: Sequence[Side], shorts: Sequence[Side]) -> bool:
    """Whether the prices of any two overlap."""
    return bool(longs and shorts) and min(_price(long, 1) for long in longs) <= max(_price(short, -1) for short in shorts)


def _price(side: Side, sign: int) -> Fraction:
    return Fraction(sign * side.quote, side.lots)


def _part(side: Side, done: int, lots: int) -> int:
    return quote_part_floor(side.quote, done + lots, side.lots) - quote_part_floor(side.quote, done, side.lots)
