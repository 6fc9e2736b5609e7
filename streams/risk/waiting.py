"""Positions of an episode that wait for the next mark of their own instrument: refused or given back, they are judged again then, not before.

Nothing is tried again because another instrument moved. After a refusal (nobody was asked) the pause grows from attempt to attempt.
"""

from dataclasses import dataclass, replace
from typing import Final

from streams.domain.alarms import Alarm
from streams.domain.batch import Outputs
from streams.domain.retries import pause_after
from streams.domain.state import StateTable
from streams.risk.book import Book
from streams.risk.keys import PositionKey

WaitKey = tuple[int, int, int]  # instrument, account, side: a mark asks by instrument


@dataclass(frozen=True, slots=True)
class Wait:
    """`is_waiting` (0 or 1): for a mark at or after `not_before_us`. `refusals`: in a row, of orders that nobody was asked about.

    `unwanted`: what the market did not want at one mark is offered at the next one before it is ordered again, so that those in distress on both
    sides stand before the pool together. NOT_UNWANTED, OFFER_FIRST at the next mark, or OFFERED at this one already.
    """

    is_waiting: int
    not_before_us: int
    refusals: int
    unwanted: int = 0


NOT_UNWANTED: Final = 0
OFFER_FIRST: Final = 1
OFFERED: Final = 2
_NOTHING: Final = Wait(0, 0, 0)


class Waiting:
    """Waits by position. The number of positions that wait stands on the instrument's row for the kernels."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self.table: StateTable[WaitKey, Wait] = StateTable("waiting_positions", WaitKey, Wait)
        self._of_instrument: dict[int, dict[WaitKey, None]] = {}  # derived

    def reindex(self) -> None:
        """Derive the index again, after a restore."""
        self._of_instrument = {}
        for key, wait in self.table.items():
            if wait.is_waiting:
                self._note(key, on=True)

    def _note(self, key: WaitKey, *, on: bool) -> None:
        keys = self._of_instrument.setdefault(key[0], {})
        if on:
            keys[key] = None
        else:
            keys.pop(key, None)
        self._book.instruments.rows["waiting"][self._book.instrument_row(key[0])] = len(keys)

    def is_waiting(self, position: PositionKey) -> bool:
        """Whether the position waits for a mark."""
        wait = self.table.get(_key(position))
        return wait is not None and wait.is_waiting == 1

    def wait(self, position: PositionKey, time_us: int) -> None:
        """It is judged again at the next mark of its instrument."""
        known = self.table.get(_key(position)) or _NOTHING
        unwanted = OFFER_FIRST if known.unwanted else NOT_UNWANTED
        self._set(position, Wait(1, max(known.not_before_us, time_us), known.refusals, unwanted))

    def unwanted(self, position: PositionKey) -> int:
        """What is to be done about a position that the market did not want."""
        known = self.table.get(_key(position))
        return NOT_UNWANTED if known is None else known.unwanted

    def set_unwanted(self, position: PositionKey, unwanted: int) -> None:
        """The market did not want it, or it has been offered at this mark."""
        self._set(position, replace(self.table.get(_key(position)) or _NOTHING, unwanted=unwanted))

    def refused(self, position: PositionKey, time_us: int, *, pause_us: int, alarm_count: int, out: Outputs) -> None:
        """Nobody was asked: a longer pause each time, and an alarm when that has gone on too long.

        Orders that go out side by side, one to each winner, are one time: what is refused while the position waits already makes it no longer.
        """
        known = self.table.get(_key(position)) or _NOTHING
        is_new = not (known.is_waiting and known.refusals)
        refusals = known.refusals + is_new
        self._set(position, Wait(1, time_us + pause_after(refusals, pause_us), refusals, known.unwanted))
        if is_new and refusals % alarm_count == 0:
            out.alarm(Alarm.ORDERS_REFUSED, account=position[0], instrument=position[1], refusals=refusals)

    def answered(self, position: PositionKey) -> None:
        """The market was asked: refusals are counted anew."""
        known = self.table.get(_key(position))
        if known is not None:
            self._set(position, Wait(known.is_waiting, 0, 0, known.unwanted))

    def _set(self, position: PositionKey, wait: Wait) -> None:
        key = _key(position)
        if wait == _NOTHING:
            self.table.pop(key)
        else:
            self.table[key] = wait
        self._note(key, on=wait.is_waiting == 1)

    def due(self, instrument: int, time_us: int) -> list[PositionKey]:
        """Positions whose mark has come; they no longer wait."""
        due = [key for key in sorted(self._of_instrument.get(instrument, ())) if self.table[key].not_before_us <= time_us]
        for key in due:
            wait = self.table[key]
            self._set((key[1], key[0], key[2]), Wait(0, wait.not_before_us if wait.refusals else 0, wait.refusals, wait.unwanted))
        return [(account, number, side) for number, account, side in due]

    def forget(self, position: PositionKey) -> None:
        """Its episode is over."""
        if _key(position) in self.table:
            self._set(position, _NOTHING)


def _key(position: PositionKey) -> WaitKey:
    return position[1], position[0], position[2]
