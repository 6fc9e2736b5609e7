"""A shard's answer to a probe: how the positions to be placed stand, and who can take them, best first, until the quantity is covered twice.

Both sides are valued at the probe's own marks, candidates ranked by ranking/ exactly; what is offered is reserved, lots and room. Totals count
every candidate, offered or not.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from streams.domain.bankruptcy import bankruptcy_quotes
from streams.domain.batch import Outputs
from streams.domain.episodes import margin_mode
from streams.domain.events import AnswerKind, DeadLetterReason, PositionSide, RankPolicy, RoomFloor
from streams.domain.instruments import Use
from streams.domain.money import MAX_LOTS, MAX_VALUE, MAX_WALLET, quote_part_ceil
from streams.domain.state import StateTable
from streams.ranking.order import Candidates, rank_until
from streams.risk.asking import Asking
from streams.risk.book import Book
from streams.risk.keys import PositionKey, Refused
from streams.risk.reservations import ASKED, Reservations, Rooms
from streams.risk.table import EMPTY
from streams.risk.valuation import measure_candidates

CHUNK_ROWS: Final = 4096  # a chunk stays below 300 KB on the wire
_MAX_NEEDED: Final = 2**61  # lots of all positions of a wave; twice as many are still a whole number of 64 bits
_FIELDS: Final = ("position", "value", "group_equity", "group_maintenance", "position_maintenance")


class Probes:
    """Probes that wait until the shard's clock reaches their time, by wave; how the positions to be placed stand, and who can take them."""

    def __init__(self, book: Book, reservations: Reservations, rooms: Rooms, asking: Asking, shard: int) -> None:
        self._book, self._reservations, self._rooms, self._asking, self._shard = book, reservations, rooms, asking, shard
        self.waiting: StateTable[int, dict[str, Any]] = StateTable("waiting_probes", int, dict[str, Any])

    def ask(self, probe: dict[str, Any], index: int, clock_us: int, out: Outputs) -> list[PositionKey]:
        """Answer a probe, or let it wait, or refuse it. Positions that left the wave, because their group has recovered."""
        refused = self._refusal(probe)
        if refused:
            out.refuse("adl-probes", index, *refused, None)
            return []
        self.waiting[probe["wave_id"]] = probe
        return self.answer_due(clock_us, probe["time_us"], out)

    def _refusal(self, probe: dict[str, Any]) -> Refused | None:
        """Why a probe cannot be answered, if it cannot: no pools task sends such."""
        if probe["policy_id"] == RankPolicy.UNKNOWN or probe["side"] not in (PositionSide.LONG, PositionSide.SHORT):
            return DeadLetterReason.UNKNOWN_SYMBOL, "a probe of unknown policy or side"
        bounds = ("lots_needed", _MAX_NEEDED), ("score_wallet_floor", MAX_WALLET), ("loss_per_lot", MAX_WALLET)
        if odd := [name for name, most in bounds if abs(probe[name]) > most]:
            return DeadLetterReason.OUT_OF_BOUNDS, f"{odd[0]} of a probe is out of bounds"
        known = {instrument: parameters.max_mark_ticks for instrument, parameters in self._book.parameters.items()}
        if any(not 0 <= mark["mark_ticks"] <= known.get(mark["instrument"], MAX_VALUE) for mark in probe["marks"]):
            return DeadLetterReason.OUT_OF_BOUNDS, "a mark of a probe is out of bounds"
        return None

    def answer_due(self, clock_us: int, time_us: int, out: Outputs) -> list[PositionKey]:
        """Answer what the clock has reached. Positions that left their wave."""
        left = []
        for wave_id, probe in list(self.waiting.items()):
            if clock_us >= probe["event_time_us"]:
                del self.waiting[wave_id]
                left += self._answer(probe, time_us, out)
        return left

    def _answer(self, probe: dict[str, Any], time_us: int, out: Outputs) -> list[PositionKey]:
        """Emit `adl-candidates`, in chunks, even if there is nobody; reserve what is offered for the wave."""
        marks = _vector(self._book, probe)
        positions, left = self._stand(probe, marks)
        rows = _measure(self._book, probe, _rankable(self._book, marks))
        offered, free = self._choose(probe, rows)
        columns = [self._offer(probe, rows[n], int(free[n])) for n in offered]
        if columns:
            self._asking.offers[probe["wave_id"]] = probe["pool"]
        chunks = max(1, -(-len(columns) // CHUNK_ROWS))
        for chunk in range(chunks):
            out.emit("adl-candidates", {
                "kind": AnswerKind.ANSWER, "wave_id": probe["wave_id"], "pool": probe["pool"], "shard": self._shard, "chunk": chunk,
                "chunks": chunks, "candidates_total": len(rows), "lots_total": sum(free.tolist()), "event_time_us": time_us,
                "rows": columns[chunk * CHUNK_ROWS : (chunk + 1) * CHUNK_ROWS], "positions": positions if chunk == 0 else [],
            })  # fmt: skip
        return left

    # -- those to be placed ---------------------------------------------------------------------------------------------------------------

    def _stand(self, probe: dict[str, Any], marks: NDArray[np.int64]) -> tuple[list[dict[str, Any]], list[PositionKey]]:
        """Answers for the positions named that are this shard's, at the probe's marks; and those of them that have left the wave."""
        answers, left = [], []
        for named in probe["positions"]:
            position = (named["account"], probe["instrument"], named["position_side"])
            row = self._book.position_row(position)
            if row == EMPTY:
                continue
            asked = self._asking.asked.get(position)
            stands = asked is not None and (asked.episode, asked.revision) == (named["episode"], named["revision"])
            figures = self._figures(row, position, marks) if stands else (0, 0, 0, 0)
            if stands and not figures[0]:
                self._asking.take_back(position)
                left.append(position)
            answers.append({**named, **dict(zip(("lots", "bankruptcy_quote", "equity", "maintenance"), figures, strict=True))})
        return answers, left

    def _figures(self, row: int, position: PositionKey, marks: NDArray[np.int64]) -> tuple[int, int, int, int]:
        """(signed lots to be placed, their quote, equity, maintenance) at the vector; lots 0 when the group is well again there or here."""
        group = int(self._book.positions.rows["group"][row])
        lots, signed = self._reservations.of(position, ASKED), int(self._book.positions.rows["lots"][row])
        equity_now, _, now = self._book.measure(group)
        equity, values, maintenance = self._book.measure(group, marks)
        required = sum(maintenance.values())
        is_priced = all(marks[int(self._book.positions.rows["instrument_row"][r])] for r in values)
        is_well = equity >= required or equity_now >= sum(now.values()) or not int(self._book.groups.rows["watched"][group])
        if not lots or not is_priced or is_well:
            return 0, 0, 0, 0
        quotes = dict(zip(values, bankruptcy_quotes(list(values.values()), equity, list(maintenance.values())), strict=True))
        return lots if signed > 0 else -lots, quote_part_ceil(quotes[row], lots, abs(signed)), equity, required

    # -- those who can take them ----------------------------------------------------------------------------------------------------------

    def _choose(self, probe: dict[str, Any], rows: NDArray[Any]) -> tuple[list[int], NDArray[np.int64]]:
        """Places of those offered, best first, and everybody's free lots. Who has no room is not offered: nobody may be made insolvent."""
        p = self._book.positions.rows
        free = np.abs(p["lots"][rows["position"]]) - p["reserved"][rows["position"]]
        useful = np.minimum(free, self._affordable(probe, rows))
        policy, floor = RankPolicy(probe["policy_id"]), probe["score_wallet_floor"]
        order = rank_until(policy, _candidates(self._book, rows), floor, useful, 2 * probe["lots_needed"])
        return [int(n) for n in order if useful[n] > 0], free

    def _affordable(self, probe: dict[str, Any], rows: NDArray[Any]) -> NDArray[np.int64]:
        """Lots that each one's room bears at the largest loss a lot that the probe expects."""
        loss = probe["loss_per_lot"]
        if loss <= 0:
            return np.full(len(rows), MAX_LOTS, np.int64)
        groups = self._book.positions.rows["group"][rows["position"]]
        reserved = self._rooms.reserved_of(self._book, groups)
        affordable: NDArray[np.int64] = np.maximum(0, rows["group_equity"] - reserved) // loss
        return affordable

    def _offer(self, probe: dict[str, Any], figures: Any, lots: int) -> dict[str, Any]:
        p, g = self._book.positions.rows, self._book.groups.rows
        position, wave_id = int(figures["position"]), probe["wave_id"]
        group = int(p["group"][position])
        account_row = int(g["account_row"][group])
        reserved = self._reserve_room(probe, group, int(figures["group_equity"]), lots)
        self._reservations.set(self._book.position_key(position), wave_id, lots)
        return {
            "account": self._book.account_id(account_row), "partition": int(self._book.accounts.rows["partition"][account_row]),
            "position_side": int(p["side"][position]), "margin_mode": margin_mode(int(g["instrument"][group])),
            "lots": int(p["lots"][position]), "offered_lots": lots, "cost": int(p["cost"][position]), "group_wallet": int(g["wallet"][group]),
            "group_equity": int(figures["group_equity"]), "group_maintenance": int(figures["group_maintenance"]),
            "position_maintenance": int(figures["position_maintenance"]), "room_reserved": reserved,
        }  # fmt: skip

    def _reserve_room(self, probe: dict[str, Any], group: int, equity: int, lots: int) -> int:
        """Set room aside for the wave, once for all legs of the group; what of its equity is not for this wave.

        Twice what the lots are expected to cost, and half of what there is at least: the rest is for waves of other instruments. Where the pool
        leaves a group its maintenance, all of it, for that is one figure of the whole group.
        """
        key, wave_id = self._book.group_key(group), probe["wave_id"]
        own = self._rooms.of(key, wave_id)
        if own:
            return equity - own
        available = max(0, equity - self._rooms.reserved(key))
        pool = self._book.pools.get(probe["pool"])
        keeps_all = pool is not None and pool.room_floor == RoomFloor.MAINTENANCE
        room = available if keeps_all else min(available, max(2 * lots * max(0, probe["loss_per_lot"]), (available + 1) // 2))
        self._rooms.reserve(key, wave_id, room)
        return equity - room


def _vector(book: Book, probe: dict[str, Any]) -> NDArray[np.int64]:
    """The probe's marks by instrument row; 0 where it has none."""
    marks = np.zeros(len(book.instruments), np.int64)
    for mark in probe["marks"]:
        row = book.instrument_row(mark["instrument"])
        if row >= 0:
            marks[row] = mark["mark_ticks"]
    return marks


def _rankable(book: Book, marks: NDArray[np.int64]) -> NDArray[np.int64]:
    """The marks by which candidates may be ranked: 0, as for no mark at all, where the grade of the instrument does not allow it."""
    rankable = marks.copy()
    for instrument in book.parameters:
        if not book.allows(instrument, Use.RANKING):
            rankable[book.instrument_row(instrument)] = 0
    return rankable


def _measure(book: Book, probe: dict[str, Any], marks: NDArray[np.int64]) -> NDArray[Any]:
    """Candidates' positions with values, equity and maintenance at the probe's marks."""
    instrument_row = book.instrument_row(probe["instrument"])
    out = np.zeros(0, [(field, np.int64) for field in _FIELDS])
    if instrument_row < 0:
        return out
    out = np.zeros(np.count_nonzero(book.positions.rows["instrument_row"] == instrument_row), out.dtype)
    sign = 1 if probe["side"] == PositionSide.LONG else -1
    return out[: measure_candidates(book.tables(), instrument_row, sign, marks, out)]


def _candidates(book: Book, rows: NDArray[Any]) -> Candidates:
    p, g = book.positions.rows, book.groups.rows
    positions = rows["position"]
    groups = p["group"][positions]
    return Candidates(
        account=book.accounts.rows["account"][g["account_row"][groups]], position_side=p["side"][positions], lots=p["lots"][positions],
        value=rows["value"].copy(), cost=p["cost"][positions], group_wallet=g["wallet"][groups], group_equity=rows["group_equity"].copy(),
        group_maintenance=rows["group_maintenance"].copy(), position_maintenance=rows["position_maintenance"].copy(),
    )  # fmt: skip
