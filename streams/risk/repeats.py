"""Events that come again under a new number: a fill or account update whose like was applied shortly before.

What makes two fills one is all of what they say but number and time: account, trade id, leg, other account, instrument, side, lots, quote and kind.
The two legs of a trade, or two trades of one order, differ in one of them. The memory is a table of fingerprints that later ones overwrite, so it
is of bounded size and forgets: the last thousand events of a shard are found 94 times in 100, the last hundred 99 times. An id of 0 is none.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa

from streams.domain.events import NULL, DeadLetterReason, UpdateKind
from streams.risk.keys import Refused
from streams.risk.table import ROWS, RowTable, Table, kernel, mix, touch

PLACES: Final = 2**14
_AGAIN: Final = "sent again under a new number: an event with the same {} has been applied to this account under a lower one"
AGAIN: Final[Mapping[str, Refused]] = {
    "fills": (DeadLetterReason.BAD_VALUE, _AGAIN.format("trade id, leg, other account, lots and quote")),
    "account-updates": (DeadLetterReason.BAD_VALUE, _AGAIN.format("update id, kind and amount")),
}
_ODD: Final = tuple(
    np.uint64(number)
    for number in (
        0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F, 0xE7037ED1A0B428DB,
    )
)  # fmt: skip
_FREE: Final = 0
_OF: Final = {
    "fills": ("account", "trade_id", "leg", "counter_account", "instrument", "position_side", "lots", "quote", "kind"),
    "account-updates": ("account", "update_id", "kind", "asset", "amount", "instrument", "position_side", "counter_account", "transfer_id"),
}


@kernel
def fill_print(
    account: int, trade_id: int, leg: int, counter_account: int, instrument: int, position_side: int, lots: int, quote: int, kind: int
) -> int:
    """A number from 1 to 2^62 that tells one fill of an account from all others, but for luck."""
    kinds = ((instrument * 16 + kind) * 8 + position_side) * 4 + leg
    state = np.uint64(account) * _ODD[0] + np.uint64(trade_id) * _ODD[1] + np.uint64(counter_account) * _ODD[2]
    state += np.uint64(kinds) * _ODD[3] + np.uint64(lots) * _ODD[4] + np.uint64(quote) * _ODD[5]
    return int(np.int64(mix(state, np.uint64(0)) >> np.uint64(2))) + 1


@kernel
def has_heard(memory: Table, number: int) -> bool:
    """Whether the last event at the fingerprint's place is this one."""
    return bool(memory.rows["fingerprint"][number & (PLACES - 1)] == number)


@kernel
def remember(memory: Table, number: int) -> None:
    """Put a fingerprint at its place."""
    place = number & (PLACES - 1)
    memory.rows["fingerprint"][place] = number
    touch(memory, place)


class Fingerprints(RowTable):
    """The memory: fingerprints at the places that their lowest bits name. Only those that are there go into a snapshot."""

    def __init__(self) -> None:
        super().__init__("events_heard", ("fingerprint",), (), salt=5)
        self.reserve(PLACES)
        self.t.counts[ROWS] = PLACES

    def to_arrow(self) -> pa.RecordBatch:
        """The fingerprints, by place."""
        prints = self.rows["fingerprint"]
        return pa.RecordBatch.from_arrays([pa.array(prints[prints != _FREE])], names=["fingerprint"])

    def from_arrow(self, batch: pa.RecordBatch) -> None:
        """Replace all."""
        self.__init__()  # type: ignore[misc]
        prints = batch.column("fingerprint").to_numpy()
        places = prints & (PLACES - 1)
        self.rows["fingerprint"][places] = prints
        for place in places.tolist():
            touch(self.t, place)


class Repeats:
    """Which events have been heard before."""

    def __init__(self) -> None:
        self.heard = Fingerprints()

    def refusal(self, stream: str, row: Mapping[str, Any]) -> Refused | None:
        """Why an event is refused as one that was applied before, if it is; else it is remembered."""
        number = fingerprint(stream, row)
        if number == _FREE:
            return None
        if has_heard(self.heard.t, number):
            return AGAIN[stream]
        remember(self.heard.t, number)
        return None

    def forget(self, stream: str, row: Mapping[str, Any]) -> None:
        """The event was not applied: the same may come again."""
        number = fingerprint(stream, row)
        if number != _FREE and has_heard(self.heard.t, number):
            remember(self.heard.t, (number & (PLACES - 1)) + PLACES)  # a number of this place that stands for no event


def fingerprint(stream: str, row: Mapping[str, Any]) -> int:
    """What is remembered of an event; 0, which is nothing, where it says no id, or is a SNAPSHOT, which may come as often as it likes."""
    fields = _OF.get(stream)
    if fields is None or not row[fields[1]] or (stream == "account-updates" and row["kind"] == UpdateKind.SNAPSHOT):
        return _FREE
    values = [np.int64(NULL if row[name] is None else row[name]) for name in fields]
    with np.errstate(over="ignore"):
        if stream == "fills":
            return int(fill_print(*values))  # type: ignore[arg-type]  # int64, as the kernel has them
        state = np.uint64(2)
        for value in values:
            state = np.uint64(mix(state, np.uint64(value)))  # from compiled code comes a plain int
    return int(state >> np.uint64(2)) + 1
