"""Conservation, shard by shard: sums of wallets, costs and lots at the end of each event second, exact beyond 64 bits."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams.domain.batch import Outputs
from streams.domain.events import GroupState
from streams.risk.book import Book
from streams.risk.keys import SUSPECT, Flow


def exact_sum(values: NDArray[np.int64]) -> int:
    """Sum of int64 values as a Python int: halves are summed apart, so nothing wraps (up to 2^31 values)."""
    return (int((values >> 32).sum()) << 32) + int((values & 0xFFFFFFFF).sum())


def emit_totals(book: Book, shard: int, event_second: int, consumed: list[dict[str, Any]], out: Outputs) -> None:
    """Emit `shard-totals` for every asset the shard knows of."""
    g = book.groups.rows
    assets = sorted({int(a) for a in np.unique(g["asset"])} | {p.asset for _, p in book.parameters.items()})
    for asset in assets:
        out.emit("shard-totals", _totals(book, shard, asset, event_second, consumed))


def _totals(book: Book, shard: int, asset: int, event_second: int, consumed: list[dict[str, Any]]) -> dict[str, Any]:
    g, p, ins, a = book.groups.rows, book.positions.rows, book.instruments.rows, book.accounts.rows
    mine = g["asset"] == asset
    flow = book.flows.get(asset) or Flow(0, 0)
    states = np.bincount(g["state"][mine], minlength=len(GroupState))
    of_asset = (ins["asset"] == asset)[p["instrument_row"]] if len(p) else np.zeros(0, bool)
    per_instrument = []
    for row in np.flatnonzero(ins["asset"] == asset):
        lots = p["lots"][p["instrument_row"] == row]
        total = {"instrument": int(ins["instrument"][row]), "lots": exact_sum(lots), "open_interest": exact_sum(lots[lots > 0])}
        per_instrument.append(total)
    return {
        "event_time_us": (event_second + 1) * 1_000_000, "shard": shard, "asset": asset, "event_second": event_second,
        "wallets": str(exact_sum(g["wallet"][mine])), "open_cost": str(exact_sum(p["cost"][of_asset])), "external": str(flow.external),
        "reconciliation": str(flow.reconciliation), "consumed": consumed, "instruments": sorted(per_instrument, key=lambda t: t["instrument"]),
        "groups_warning": int(states[GroupState.WARNING]), "groups_liquidatable": int(states[GroupState.LIQUIDATABLE]),
        "groups_bankrupt": int(states[GroupState.BANKRUPT]), "suspects": int(np.count_nonzero(a["flags"] & SUSPECT)),
    }  # fmt: skip
