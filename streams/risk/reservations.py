"""Who holds which lots of a position: the pool that was asked to place them, a wave that was offered them, an instruction that will take them.

Lots leave a reservation only by fill, or when their wave or instruction is over, or when they are no longer there: nobody holds more than a
position has, and nobody holds lots of the side that a position has left.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.domain.events import FillKind
from streams.domain.state import StateTable
from streams.risk.book import Book
from streams.risk.keys import PositionKey
from streams.risk.table import EMPTY

ASKED: Final = 0  # holder of lots that the pool was asked to place; waves and instructions have ids above 0
ReservationKey = tuple[int, int, int, int]  # position key and holder
_RESOLVING_KINDS: Final = (FillKind.LIQUIDATION, FillKind.TAKEOVER, FillKind.ADL, FillKind.PROVIDER)


class Reservations:
    """Reserved lots by position and holder; the sum stands on the position's row for the kernels."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self.lots: StateTable[ReservationKey, int] = StateTable("reservations", ReservationKey, int)
        self._by_holder: dict[int, dict[PositionKey, None]] = {}  # derived
        self._by_position: dict[PositionKey, dict[int, None]] = {}  # derived

    def reindex(self) -> None:
        """Derive the indexes again, after a restore."""
        self._by_holder, self._by_position = {}, {}
        for account, instrument, side, holder in self.lots:
            self._index((account, instrument, side), holder)

    def _index(self, position: PositionKey, holder: int) -> None:
        self._by_holder.setdefault(holder, {})[position] = None
        self._by_position.setdefault(position, {})[holder] = None

    def of(self, position: PositionKey, holder: int) -> int:
        """Lots that the holder has of the position."""
        return self.lots.get((*position, holder)) or 0

    def held_by(self, holder: int) -> list[PositionKey]:
        """Positions of which the holder has lots, ascending."""
        return sorted(self._by_holder.get(holder, ()))

    def holders(self, position: PositionKey) -> list[int]:
        """Who has lots of the position, ascending."""
        return sorted(self._by_position.get(position, ()))

    def set(self, position: PositionKey, holder: int, lots: int) -> None:
        """Give the holder exactly so many lots of the position; none ends the reservation."""
        key = (*position, holder)
        if lots > 0:
            self.lots[key] = lots
            self._index(position, holder)
        elif key in self.lots:
            del self.lots[key]
            del self._by_holder[holder][position]
            del self._by_position[position][holder]
            if not self._by_holder[holder]:
                del self._by_holder[holder]
        row = self._book.position_row(position)
        if row != EMPTY:
            self._book.set_reserved(row, sum(self.of(position, h) for h in self._by_position.get(position, ())))

    def instruct(self, position: PositionKey, instruction_id: int, *, lots: int, decided_lots: int, holder: int) -> None:
        """An instruction holds what it may still take of the lots that the pool or a wave had; `decided_lots` have left that holder for it."""
        self.set(position, holder, self.of(position, holder) - decided_lots)
        row = self._book.position_row(position)
        there = abs(int(self._book.positions.rows["lots"][row])) if row != EMPTY else 0
        others = sum(self.of(position, h) for h in self.holders(position) if h not in (holder, instruction_id))
        self.set(position, instruction_id, min(lots, max(0, there - others)))
        self.set(position, holder, min(self.of(position, holder), max(0, there - others - self.of(position, instruction_id))))

    def release(self, holder: int) -> list[PositionKey]:
        """End all reservations of the holder; the positions concerned."""
        positions = self.held_by(holder)
        for position in positions:
            self.set(position, holder, 0)
        return positions

    def filled(self, position: PositionKey, before: int, after: int, kind: int, instruction_id: int | None) -> None:
        """A fill moved the position from `before` to `after` lots: what it closed leaves the reservation of its instruction, or what the pool has."""
        holders = self.holders(position)
        if not holders or (abs(after) >= abs(before) and before * after > 0):
            return
        if before * after <= 0:
            self.clear(position)
            return
        closed_lots = abs(before) - abs(after)
        for holder in (instruction_id or ASKED, ASKED):
            if self.of(position, holder) and (holder != ASKED or kind in _RESOLVING_KINDS):
                self.set(position, holder, self.of(position, holder) - closed_lots)
                break
        self.fit(position)

    def clear(self, position: PositionKey) -> None:
        """What was reserved is not there any more."""
        for holder in self.holders(position):
            self.set(position, holder, 0)

    def fit(self, position: PositionKey) -> None:
        """Nobody holds more than there is: offers and requests give way before instructions that are out."""
        row = self._book.position_row(position)
        if row == EMPTY:
            return
        excess = int(self._book.positions.rows["reserved"][row]) - abs(int(self._book.positions.rows["lots"][row]))
        for holder in self.holders(position):
            if excess <= 0:
                return
            lots = self.of(position, holder)
            self.set(position, holder, lots - min(lots, excess))
            excess -= min(lots, excess)

    def free(self, position: int) -> int:
        """Absolute lots of the position row that nobody holds."""
        p = self._book.positions.rows[position]
        return max(0, abs(int(p["lots"])) - int(p["reserved"]))


class Rooms:
    """What offers and instructions may still cost a solvency group, by group and holder; settlement units. Charged once, whoever charges."""

    def __init__(self) -> None:
        self.table: StateTable[tuple[int, int, int, int, int], int] = StateTable("rooms", tuple[int, int, int, int, int], int)
        self._of_group: dict[tuple[int, int, int, int], dict[int, None]] = {}
        self._of_holder: dict[int, dict[tuple[int, int, int, int], None]] = {}

    def reindex(self) -> None:
        """Derive the indexes again, after a restore."""
        self._of_group, self._of_holder = {}, {}
        for account, asset, instrument, side, holder in self.table:
            self._index((account, asset, instrument, side), holder)

    def _index(self, group: tuple[int, int, int, int], holder: int) -> None:
        self._of_group.setdefault(group, {})[holder] = None
        self._of_holder.setdefault(holder, {})[group] = None

    def of(self, group: tuple[int, int, int, int], holder: int) -> int:
        """What this holder may cost the group."""
        return self.table.get((*group, holder)) or 0

    def reserved(self, group: tuple[int, int, int, int]) -> int:
        """What all holders together may cost the group."""
        return sum(self.table[(*group, holder)] for holder in self._of_group.get(group, ()))

    def reserved_of(self, book: Book, groups: NDArray[np.int64]) -> NDArray[np.int64]:
        """`reserved` of group rows."""
        amounts = np.zeros(len(groups), np.int64)
        if self._of_group:
            by_row = {book.group_row(group): self.reserved(group) for group in self._of_group}
            for n, row in enumerate(groups.tolist()):
                amounts[n] = by_row.get(row, 0)
        return amounts

    def reserve(self, group: tuple[int, int, int, int], holder: int, amount: int) -> None:
        """The holder may cost the group so much, in place of what it might before."""
        self._end(group, holder)
        if amount > 0:
            self.table[(*group, holder)] = amount
            self._index(group, holder)

    def release(self, holder: int) -> None:
        """The wave or instruction is over."""
        for group in list(self._of_holder.get(holder, ())):
            self._end(group, holder)

    def release_of(self, holder: int, account: int) -> None:
        """The instruction is over for this account."""
        for group in [group for group in self._of_holder.get(holder, ()) if group[0] == account]:
            self._end(group, holder)

    def _end(self, group: tuple[int, int, int, int], holder: int) -> None:
        if self.table.pop((*group, holder)) is None:
            return
        for index, name, member in ((self._of_group, group, holder), (self._of_holder, holder, group)):
            members: dict = index[name]  # type: ignore[index,type-arg]
            del members[member]
            if not members:
                del index[name]  # type: ignore[arg-type]
