"""Who takes how many lots of whom: liquidated positions in their order, offsetting ones by rank, one pair at a time, and nobody below its floor.

Source of the queue: BitMEX, "Auto-Deleveraging": by rank, each whole position before the next. What a pair may cost its giver is charged to the
giver's group, once over all its pairs and legs; a gain gives no room, for the fill that brings it may not come.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from streams.domain.money import quote_part_floor


class Wanted(NamedTuple):
    """A liquidated position: absolute lots, their bankruptcy quote, and what all of them cost a taker against the mark (negative: a gain)."""

    lots: int
    quote: int
    loss: int


class Giver(NamedTuple):
    """An offsetting position: number of its group, absolute lots offered, absolute lots of the whole position."""

    group: int
    offered_lots: int
    position_lots: int


class Means(NamedTuple):
    """What a giver's group has: equity less what others may still cost it, and its maintenance; settlement units."""

    equity: int
    maintenance: int


class Pair(NamedTuple):
    """Lots of liquidated position number `liquidated` that go to offsetting position number `offsetting`.

    `quote`: their bankruptcy quote; `loss`: what they cost the giver against the mark; `room`: what they might have cost at most.
    """

    liquidated: int
    offsetting: int
    lots: int
    quote: int
    loss: int
    room: int


class Left(NamedTuple):
    """What found no counterparty of liquidated position number `liquidated`; it keeps its part of the quote."""

    liquidated: int
    lots: int
    quote: int


@dataclass(slots=True)
class Allocation:
    """Pairs, what is left, and the givers that gave less than was wanted of them for want of room."""

    pairs: list[Pair] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    passed_over: set[int] = field(default_factory=set)


Requirement = Callable[[int], int]  # maintenance of so many lots of the instrument at the wave's mark


def allocate(wanted: Sequence[Wanted], givers: Sequence[Giver], groups: Sequence[Means], requirement: Requirement | None) -> Allocation:
    """Match the liquidated with the lots offered, both in their order.

    `requirement`: a giver's group keeps the maintenance of what it has left; None: it keeps zero. Quotes and losses of one liquidated position
    are differences of its cumulative ones, so that they add up exactly. Who has too little room is passed over, and the next in rank gives.
    """
    found, purse = Allocation(), _Purse(givers, groups, requirement)
    first = 0
    for number, piece in enumerate(wanted):
        done, place = 0, first
        while done < piece.lots and place < len(givers):
            most = min(piece.lots - done, purse.free[place])
            lots = purse.most(place, piece, done, most)
            if lots < most:
                found.passed_over.add(place)
            if lots:
                quote, loss = _part(piece.quote, piece, done, lots), _part(piece.loss, piece, done, lots)
                found.pairs.append(Pair(number, place, lots, quote, loss, purse.room(place)))
                purse.give(place, lots, loss)
                done += lots
            place += 1
        while first < len(givers) and not purse.free[first]:
            first += 1
        if done < piece.lots:
            found.left.append(Left(number, piece.lots - done, piece.quote - quote_part_floor(piece.quote, done, piece.lots)))
    check(found, wanted, givers, groups, requirement)
    return found


def _part(whole: int, piece: Wanted, done: int, lots: int) -> int:
    return quote_part_floor(whole, done + lots, piece.lots) - quote_part_floor(whole, done, piece.lots)


class _Purse:
    """What givers and their groups still have as the pairs are made."""

    def __init__(self, givers: Sequence[Giver], groups: Sequence[Means], requirement: Requirement | None) -> None:
        self._givers, self._requirement = givers, requirement
        self.free = [giver.offered_lots for giver in givers]
        self._position = [giver.position_lots for giver in givers]
        self._equity = [group.equity for group in groups]
        self._maintenance = [group.maintenance for group in groups]

    def room(self, place: int) -> int:
        """What the giver's group can lose as it stands."""
        group = self._givers[place].group
        return self._equity[group] - (0 if self._requirement is None else self._maintenance[group])

    def most(self, place: int, piece: Wanted, done: int, most: int) -> int:
        """The most lots, up to `most`, after which the giver's group keeps its floor.

        With k lots it holds for fewer too: the loss grows evenly with lots, and maintenance falls by less and less. So the edge is found by
        halving, and both its sides are looked at.
        """
        if not most or not self._keeps(place, piece, done, 0):
            return 0
        if self._keeps(place, piece, done, most):
            return most
        kept, broken = 0, most
        while broken - kept > 1:
            middle = (kept + broken) // 2
            if self._keeps(place, piece, done, middle):
                kept = middle
            else:
                broken = middle
        return kept

    def _keeps(self, place: int, piece: Wanted, done: int, lots: int) -> bool:
        group = self._givers[place].group
        equity = self._equity[group] - max(0, _part(piece.loss, piece, done, lots))
        return equity >= self._floor(place, lots)

    def _floor(self, place: int, lots: int) -> int:
        if self._requirement is None:
            return 0
        held = self._position[place]
        return self._maintenance[self._givers[place].group] - self._requirement(held) + self._requirement(held - lots)

    def give(self, place: int, lots: int, loss: int) -> None:
        """The giver gives these lots."""
        group = self._givers[place].group
        if self._requirement is not None:
            self._maintenance[group] = self._floor(place, lots)
        self._equity[group] -= max(0, loss)
        self._position[place] -= lots
        self.free[place] -= lots


def check(found: Allocation, wanted: Sequence[Wanted], givers: Sequence[Giver], groups: Sequence[Means], requirement: Requirement | None) -> None:
    """Stop loudly if the pairs do not add up, or take more than is offered, or leave a group of a giver below its floor.

    Recomputed from the pairs alone: a decision that breaks what it promises must not leave the machine.
    """
    lots, quotes, losses = ([0] * len(wanted) for _ in range(3))
    given, charged = [0] * len(givers), [0] * len(groups)
    for pair in found.pairs:
        lots[pair.liquidated] += pair.lots
        quotes[pair.liquidated] += pair.quote
        losses[pair.liquidated] += pair.loss
        given[pair.offsetting] += pair.lots
        charged[givers[pair.offsetting].group] += max(0, pair.loss)
    left = {rest.liquidated: rest for rest in found.left}
    for number, piece in enumerate(wanted):
        rest = left.get(number, Left(number, 0, 0))
        loss = quote_part_floor(piece.loss, lots[number], piece.lots) if piece.lots else 0
        if (lots[number] + rest.lots, quotes[number] + rest.quote) != ((piece.lots, piece.quote) if piece.lots else (0, 0)) or losses[number] != loss:
            raise AssertionError(f"the pairs of {piece} do not add up: {lots[number]} lots, quote {quotes[number]}, loss {losses[number]}, {rest}")
    if any(pair.lots <= 0 for pair in found.pairs):
        raise AssertionError(f"a pair without lots among {found.pairs}")
    kept = [group.maintenance if requirement is not None else 0 for group in groups]
    for place, giver in enumerate(givers):
        if given[place] > giver.offered_lots:
            raise AssertionError(f"{giver} gives {given[place]} lots")
        if requirement is not None and given[place]:
            kept[giver.group] += requirement(giver.position_lots - given[place]) - requirement(giver.position_lots)
    for number in dict.fromkeys(givers[pair.offsetting].group for pair in found.pairs):
        if groups[number].equity - charged[number] < kept[number]:
            raise AssertionError(f"{groups[number]} is left with less than {kept[number]} after losing {charged[number]}")
