"""A shard's answer to a probe: who can be deleveraged, best first, until the quantity is covered twice; what is offered is reserved.

Valued at the probe's own marks, ranked by ranking/ exactly; totals count every candidate, offered or not.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from streams.domain.batch import Outputs
from streams.domain.events import MarginMode, PositionSide, RankPolicy
from streams.domain.state import StateTable
from streams.ranking.order import Candidates, rank_until
from streams.risk.book import Book
from streams.risk.reservations import Reservations
from streams.risk.valuation import measure_candidates

CHUNK_ROWS: Final = 4096  # a chunk stays below 300 KB on the wire
_FIELDS: Final = ("position", "value", "group_equity", "group_maintenance", "position_maintenance")


class Probes:
    """Probes that wait until the shard's clock reaches their time, by wave."""

    def __init__(self, book: Book, reservations: Reservations, shard: int) -> None:
        self._book, self._reservations, self._shard = book, reservations, shard
        self.waiting: StateTable[int, dict[str, Any]] = StateTable("waiting_probes", int, dict[str, Any])

    def ask(self, probe: dict[str, Any], clock_us: int, out: Outputs) -> None:
        """Answer a probe, or let it wait."""
        self.waiting[probe["wave_id"]] = probe
        self.answer_due(clock_us, probe["time_us"], out)

    def answer_due(self, clock_us: int, time_us: int, out: Outputs) -> None:
        """Answer what the clock has reached."""
        for wave_id, probe in list(self.waiting.items()):
            if clock_us >= probe["event_time_us"]:
                del self.waiting[wave_id]
                answer_probe(self._book, self._reservations, self._shard, probe, time_us, out)


def answer_probe(book: Book, reservations: Reservations, shard: int, probe: dict[str, Any], time_us: int, out: Outputs) -> None:
    """Emit `adl-candidates` for the probe, in chunks, even if there is nobody; reserve what is offered for the wave."""
    rows = _measure(book, probe)
    positions = rows["position"]
    p, g = book.positions.rows, book.groups.rows
    free = np.abs(p["lots"][positions]) - p["reserved"][positions]
    candidates = _candidates(book, rows)
    policy = RankPolicy(probe["policy_id"])
    offered = rank_until(policy, candidates, probe["score_wallet_floor"], free, 2 * probe["lots_needed"])
    columns = []
    for n in offered:
        position, group = int(positions[n]), int(p["group"][positions[n]])
        account_row = int(g["account_row"][group])
        lots = int(free[n])
        reservations.set(book.position_key(position), probe["wave_id"], lots)
        columns.append({
            "account": book.account_id(account_row), "partition": int(book.accounts.rows["partition"][account_row]),
            "position_side": int(p["side"][position]), "margin_mode": MarginMode.ISOLATED if g["instrument"][group] else MarginMode.CROSS,
            "lots": int(p["lots"][position]), "offered_lots": lots, "cost": int(p["cost"][position]), "group_wallet": int(g["wallet"][group]),
            "group_equity": int(rows["group_equity"][n]), "group_maintenance": int(rows["group_maintenance"][n]),
            "position_maintenance": int(rows["position_maintenance"][n]),
        })  # fmt: skip
    chunks = max(1, -(-len(columns) // CHUNK_ROWS))
    for chunk in range(chunks):
        out.emit("adl-candidates", {
            "wave_id": probe["wave_id"], "pool": probe["pool"], "shard": shard, "chunk": chunk, "chunks": chunks, "candidates_total": len(positions),
            "lots_total": sum(free.tolist()), "event_time_us": time_us, "rows": columns[chunk * CHUNK_ROWS : (chunk + 1) * CHUNK_ROWS],
        })  # fmt: skip


def _measure(book: Book, probe: dict[str, Any]) -> NDArray[Any]:
    """Candidates' positions with values, equity and maintenance at the probe's marks."""
    instrument_row = book.instrument_row(probe["instrument"])
    out = np.zeros(0, [(field, np.int64) for field in _FIELDS])
    if instrument_row < 0:
        return out
    marks = np.zeros(len(book.instruments), np.int64)
    for mark in probe["marks"]:
        row = book.instrument_row(mark["instrument"])
        if row >= 0:
            marks[row] = mark["mark_ticks"]
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
