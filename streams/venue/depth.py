"""The order book of the simulated exchange, reduced to depth: levels at equal distances around the mark, eaten by fills, refilled by event time.

Decided here: which prices an immediate-or-cancel order gets, and how much of it fits its limit. Integers only.
"""

from dataclasses import dataclass

from streams.domain.money import PPM, div_floor

SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class DepthSpec:
    """Level n of a side (from 1) stands n x `step_ppm` of the mark away from it and holds `level_lots`; there are `levels` of them.

    `refill_lots_per_second` come back per side, nearest level last eaten first, as event time passes.
    """

    step_ppm: int
    level_lots: int
    levels: int
    refill_lots_per_second: int


@dataclass(frozen=True, slots=True)
class Taken:
    """Lots taken at one price. `quote` is signed as `lots`; settlement units."""

    lots: int
    price_ticks: int
    quote: int


@dataclass(slots=True)
class _Side:
    eaten_lots: int = 0
    since_us: int = 0


class Depth:
    """Depth of one instrument."""

    def __init__(self, spec: DepthSpec, value_per_tick_lot: int) -> None:
        self._spec, self._unit = spec, value_per_tick_lot
        self._sides = {1: _Side(), -1: _Side()}

    def eaten_lots(self, sign: int, time_us: int) -> int:
        """Lots gone from the side that buyers (+1) or sellers (-1) take from."""
        side, refill = self._sides[sign], self._spec.refill_lots_per_second
        back = (time_us - side.since_us) * refill // SECOND_US
        if back >= side.eaten_lots:
            side.eaten_lots, side.since_us = 0, time_us
        elif back > 0:  # only the time that whole lots took is used up
            side.eaten_lots -= back
            side.since_us += back * SECOND_US // refill
        return side.eaten_lots

    def take(self, *, lots: int, mark_ticks: int, time_us: int, limit: tuple[int, int] | None) -> list[Taken]:
        """Take up to `lots` (signed) from the levels, best price first, and remember what was eaten.

        `limit` = (quote, of_lots): the cumulative signed quote of k lots may not exceed quote x k / of_lots: pay at most, receive at least.
        The quote is convex in k, so what fits is a first part of the order.
        """
        sign = 1 if lots > 0 else -1
        eaten, left, done, paid = self.eaten_lots(sign, time_us), abs(lots), 0, 0
        fills: list[Taken] = []
        for level in range(eaten // self._spec.level_lots, self._spec.levels):
            price = mark_ticks + sign * (mark_ticks * self._spec.step_ppm * (level + 1) // PPM)
            room = (level + 1) * self._spec.level_lots - eaten - done
            count = min(left, room)
            if limit:
                count = min(count, _fitting(sign * price * self._unit, done=done, paid=paid, limit=limit))
            if price <= 0 or count <= 0:
                break
            quote = sign * count * price * self._unit
            fills.append(Taken(sign * count, price, quote))
            done, paid, left = done + count, paid + quote, left - count
            if not left or count < room:
                break
        self._sides[sign].eaten_lots = eaten + done
        return fills


def _fitting(price: int, *, done: int, paid: int, limit: tuple[int, int]) -> int:
    """Most lots j at `price` (signed, settlement units a lot) with (paid + j x price) x of_lots <= quote x (done + j)."""
    quote, of_lots = limit
    excess = price * of_lots - quote  # what one more lot costs above the limit, times of_lots
    if excess <= 0:
        return of_lots
    return div_floor(quote * done - paid * of_lots, excess)
