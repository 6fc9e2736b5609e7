"""What becomes of lots that were offered to a wave or asked to be placed: an instruction holds them, or they are the shard's again."""

from typing import Any

from streams.domain.batch import Outputs
from streams.domain.events import WaveStatus
from streams.risk.asking import Asking
from streams.risk.book import Book
from streams.risk.episodes import Episodes
from streams.risk.keys import PositionKey
from streams.risk.reservations import ASKED, Reservations, Rooms
from streams.risk.results import Results
from streams.risk.table import EMPTY

Row = dict[str, Any]


class Placements:
    """Applies the pool's decisions and the ends of instructions to reservations, rooms and episodes."""

    def __init__(self, book: Book, reservations: Reservations, rooms: Rooms, asking: Asking, episodes: Episodes, results: Results) -> None:
        self._book, self._reservations, self._rooms = book, reservations, rooms
        self._asking, self._episodes, self._results = asking, episodes, results

    def decided(self, row: Row, out: Outputs) -> None:
        """A chunk of a decision; with the last one of a wave all that it was offered and did not take is free again."""
        wave_id, time_us = row["wave_id"], row["time_us"]
        self._asking.heard_decision()
        for allocated in row["rows"]:
            key = (allocated["account"], row["instrument"], allocated["position_side"])
            if row["status"] == WaveStatus.WITHDRAWN:
                self._withdrawn(key, wave_id, time_us, out)
            elif self._reservations.of(key, wave_id):
                self._allocated(key, wave_id, allocated)
        placed = [p for p in row["placements"] if self._book.position_row((p["account"], row["instrument"], p["position_side"])) != EMPTY]
        for placement in placed:
            self._placement(row, placement, time_us, out)
        for key in dict.fromkeys((p["account"], row["instrument"], p["position_side"]) for p in placed if p["instruction_id"] is not None):
            self.go_on(key, time_us, out)
        if row["status"] in (WaveStatus.ALLOCATED, WaveStatus.CLOSED) and row["chunk"] == row["chunks"] - 1:
            self._end_wave(wave_id, time_us, out)

    def _allocated(self, key: PositionKey, wave_id: int, allocated: Row) -> None:
        """Its fills, and its result too, may have come before the decision."""
        left, executed = self._results.left(allocated), self._results.noted(allocated)
        self._reservations.instruct(key, allocated["instruction_id"], lots=left, decided_lots=allocated["lots"] - executed, holder=wave_id)
        if left:
            group = int(self._book.positions.rows["group"][self._book.position_row(key)])
            self._rooms.reserve(self._book.group_key(group), allocated["instruction_id"], allocated["room"])

    def _withdrawn(self, key: PositionKey, wave_id: int, time_us: int, out: Outputs) -> None:
        row = self._book.position_row(key)
        if row != EMPTY and self._reservations.of(key, wave_id):
            self._reservations.set(key, wave_id, 0)
            self._rooms.reserve(self._book.group_key(int(self._book.positions.rows["group"][row])), wave_id, 0)
            self.go_on(key, time_us, out)

    def _placement(self, row: Row, placement: Row, time_us: int, out: Outputs) -> None:
        """An answer to what the pool was asked: a newer request than the one answered stays, as far as there are lots for it."""
        key = (placement["account"], row["instrument"], placement["position_side"])
        asked = self._asking.asked.get(key)
        is_newest = asked is not None and (asked.episode, asked.revision) == (placement["episode"], placement["revision"])
        if placement["instruction_id"] is None:
            if is_newest:
                self._asking.take_back(key)
                self._episodes.given_back(key, time_us, out)
            return
        left, executed = self._results.left(placement), self._results.noted(placement)
        self._reservations.instruct(key, placement["instruction_id"], lots=left, decided_lots=placement["lots"] - executed, holder=ASKED)
        if left:
            self._episodes.placed(key, placement["instruction_id"], time_us)
        if is_newest and (row["status"] != WaveStatus.PLACED or not self._reservations.of(key, ASKED)):
            self._asking.take_back(key)
        elif is_newest:
            self._asking.placed(key)
        elif asked is not None:
            self._asking.tell_anew(key, time_us, out)

    def _end_wave(self, wave_id: int, time_us: int, out: Outputs) -> None:
        self._rooms.release(wave_id)
        self._asking.offers.pop(wave_id)
        for key in self._reservations.release(wave_id):
            self.go_on(key, time_us, out)

    def left(self, positions: list[PositionKey], time_us: int, out: Outputs) -> None:
        """Positions that have left their wave, because their groups have recovered: their episodes go on as their states say."""
        for position in positions:
            self.go_on(position, time_us, out)

    def ended(self, row: Row, out: Outputs) -> None:
        """The party's result: what the instruction still held is free again."""
        self._rooms.release_of(row["instruction_id"], row["account"])
        released = [key for key in self._reservations.held_by(row["instruction_id"]) if key[0] == row["account"]]
        for key in released:
            self._reservations.set(key, row["instruction_id"], 0)
        self._episodes.result(row, row["time_us"], out)
        for key in released:
            self.go_on(key, row["time_us"], out)

    def go_on(self, position: PositionKey, time_us: int, out: Outputs) -> None:
        """The position has free lots again, or its group may go on."""
        row = self._book.position_row(position)
        if row != EMPTY:
            group = int(self._book.positions.rows["group"][row])
            if self._book.is_crossing(group):
                self._episodes.judge(group, time_us, out)
