"""Who holds which lots of a position: an episode that is being resolved, a wave that was offered them, an instruction that will take them.

Lots leave a reservation only by fill, or when their wave or instruction is over.
"""

from typing import Final

from streams.domain.events import FillKind
from streams.domain.state import StateTable
from streams.risk.book import Book, PositionKey
from streams.risk.table import EMPTY

EPISODE: Final = 0  # holder of lots handed over by an episode; waves and instructions have ids above 0
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

    def release(self, holder: int) -> list[PositionKey]:
        """End all reservations of the holder; the positions concerned."""
        positions = self.held_by(holder)
        for position in positions:
            self.set(position, holder, 0)
        return positions

    def filled(self, position: PositionKey, closed_lots: int, kind: int, instruction_id: int | None) -> None:
        """A fill closed lots: they leave the reservation of its instruction, or of the episode it resolves. Nobody holds more than there is."""
        if closed_lots == 0 or not self._by_position.get(position):
            return
        for holder in (instruction_id or EPISODE, EPISODE):
            if self.of(position, holder) and (holder != EPISODE or kind in _RESOLVING_KINDS):
                self.set(position, holder, self.of(position, holder) - closed_lots)
                break
        row = self._book.position_row(position)
        excess = int(self._book.positions.rows["reserved"][row]) - abs(int(self._book.positions.rows["lots"][row]))
        for holder in sorted(self._by_position.get(position, ())):
            if excess <= 0:
                return
            lots = self.of(position, holder)
            self.set(position, holder, lots - min(lots, excess))
            excess -= min(lots, excess)

    def free(self, position: int) -> int:
        """Absolute lots of the position row that nobody holds."""
        p = self._book.positions.rows[position]
        return max(0, abs(int(p["lots"])) - int(p["reserved"]))
