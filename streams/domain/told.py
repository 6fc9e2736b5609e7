"""How far numbers may go that accounts shards tell the pools task: no shard says anything beyond, so what does was written by somebody else.

Bounds are on absolute values. With them every sum that the pools task keeps, and all that it says, stays within 64 bits.
"""

from collections.abc import Mapping
from typing import Any, Final

from streams.domain.events import DeadLetterReason
from streams.domain.money import MAX_LOTS, MAX_VALUE, MAX_WALLET

MAX_SUM: Final = 2**61  # equity and maintenance of a group, quotes and debts
MAX_COUNT: Final = 2**53
MAX_POSITION: Final = 16 * MAX_VALUE  # a position at the highest mark; its instrument's max_mark_ticks may have been raised since it was opened

_STANDS: Final = {
    "lots": MAX_LOTS, "bankruptcy_quote": MAX_SUM, "equity": MAX_SUM, "maintenance": MAX_SUM, "revision": MAX_COUNT, "episode": MAX_COUNT,
}  # fmt: skip
_BOUNDS: Final[Mapping[str, Mapping[str, int]]] = {
    "fund-flows": {
        "lots": MAX_LOTS, "quote": MAX_VALUE, "cash": 2 * MAX_WALLET, "wallet_after": MAX_WALLET, "lots_after": MAX_LOTS, "cost_after": MAX_VALUE,
    },
    "insolvencies": {**_STANDS, "deficit": MAX_SUM, "marks_seen": MAX_COUNT, "decisions_heard": MAX_COUNT},
    "pool-results": {"executed_lots": MAX_LOTS, "executed_quote": MAX_SUM, "executed_amount": MAX_SUM},
    "adl-candidates": {"candidates_total": MAX_COUNT, "lots_total": MAX_SUM},
}  # fmt: skip
_BOUNDS_OF_ITEMS: Final[Mapping[str, Mapping[str, Mapping[str, int]]]] = {
    "adl-candidates": {
        "rows": {
            "lots": MAX_LOTS, "offered_lots": MAX_LOTS, "cost": MAX_VALUE, "group_wallet": MAX_WALLET, "group_equity": MAX_SUM,
            "group_maintenance": MAX_SUM, "position_maintenance": MAX_SUM, "room_reserved": MAX_SUM,
        },
        "positions": _STANDS,
    },
}  # fmt: skip


def told_refusal(stream: str, row: Mapping[str, Any]) -> tuple[DeadLetterReason, str] | None:
    """Why a row of a stream of the shards cannot be taken, if it cannot."""
    odd = _beyond(row, _BOUNDS.get(stream, {}))
    for name, bounds in _BOUNDS_OF_ITEMS.get(stream, {}).items():
        odd = odd or next((found for item in row[name] if (found := _beyond(item, bounds))), None)
    return (DeadLetterReason.OUT_OF_BOUNDS, f"{odd} is out of bounds") if odd else None


def _beyond(row: Mapping[str, Any], bounds: Mapping[str, int]) -> str | None:
    return next((name for name, most in bounds.items() if abs(row[name]) > most), None)
