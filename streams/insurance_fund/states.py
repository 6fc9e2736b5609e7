"""State of each (pool, instrument): NORMAL, or ADL from a refused takeover or a low fund value until the stop threshold.

Start and stop thresholds differ, so that a value in between moves nothing. At most one transition per event; leaving is looked at before entering.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa

from streams.domain.batch import Outputs
from streams.domain.events import AdlState
from streams.domain.state import StateTable
from streams.insurance_fund.books import Books, PoolInstrument


class RefusedTakeover(NamedTuple):
    """What the fund has refused: a loss, settlement units, and lots, signed for the fund."""

    loss: int
    lots: int


@dataclass(frozen=True, slots=True)
class Standing:
    """The state in force. ADL is left only by a fund that could take what it has refused: `needed`, the greatest loss, and `lots`, the most lots."""

    state: AdlState
    needed: int = 0
    lots: int = 0


class AdlStates:
    """States by (pool, instrument); NORMAL until said otherwise."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.table: StateTable[PoolInstrument, Standing] = StateTable("fund_states", tuple[int, int], Standing)
        self._in_adl: dict[int, dict[int, None]] = {}
        self._moved: dict[PoolInstrument, None] = {}  # in the event under way

    def restore(self, tables: Mapping[str, pa.RecordBatch]) -> None:
        """Take over the table of a snapshot."""
        self.table.from_arrow(tables[self.table.name])
        self._in_adl, self._moved = {}, {}
        for (pool, instrument), standing in self.table.items():
            if standing.state == AdlState.ADL:
                self._in_adl.setdefault(pool, {})[instrument] = None

    def is_adl(self, pool: int, instrument: int) -> bool:
        """Whether takeovers there are refused."""
        return instrument in self._in_adl.get(pool, ())

    def refuse(self, pool: int, instrument: int, reason: str, refused: RefusedTakeover, *, now_us: int, out: Outputs) -> None:
        """The fund has refused a takeover: that is entering ADL, until it could bear that."""
        if not self.is_adl(pool, instrument):
            self.books.touched[pool] = None
            self._move(pool, instrument, AdlState.ADL, threshold=None, reason=reason, now_us=now_us, out=out)
        standing = self.table[pool, instrument]
        self.table[pool, instrument] = Standing(standing.state, max(standing.needed, refused.loss), max(standing.lots, refused.lots, key=abs))

    def _could_take(self, pool: int, instrument: int, value: int) -> bool:
        """Whether the fund, worth this much, could take what it has refused there."""
        standing, lot_value = self.table[pool, instrument], self.books.market.lot_value(instrument)
        if value < standing.needed or not standing.lots or lot_value is None:
            return value >= standing.needed
        lots, sign = abs(standing.lots), 1 if standing.lots > 0 else -1
        quote = standing.lots * lot_value + standing.needed
        return (
            self.books.lots_that_fit(pool, instrument, lots, sign=sign, lot_value=lot_value) == lots
            and self.books.lots_at_cost(pool, instrument, lots, sign=sign, quote=quote) == lots
        )

    def evaluate(self, now_us: int, out: Outputs) -> None:
        """At the end of an event: thresholds of the pools whose value may have changed, once their fund's opening balance is known."""
        touched = sorted(self.books.touched)
        self.books.touched.clear()
        for pool in touched:
            parameters = self.books.market.pools.get(pool)
            if parameters is None or not self.books.fund(pool).is_opened:
                continue
            value, in_adl = self.books.value(pool), self._in_adl.get(pool, {})
            if value >= parameters.adl_stop_value:
                reason = "the fund's value is at or above the stop threshold"  # amounts stand in fields: a reader has their decimals
                leaving = (i for i in in_adl if (pool, i) not in self._moved and self._could_take(pool, i, value))
                for instrument in sorted(leaving):
                    self._move(pool, instrument, AdlState.NORMAL, threshold=parameters.adl_stop_value, reason=reason, now_us=now_us, out=out)
            insured = self.books.market.instruments_of(pool)
            if value <= parameters.adl_start_value and len(in_adl) < len(insured):
                reason = "the fund's value is at or below the start threshold"
                for instrument in sorted(i for i in insured if i not in in_adl and (pool, i) not in self._moved):
                    self._move(pool, instrument, AdlState.ADL, threshold=parameters.adl_start_value, reason=reason, now_us=now_us, out=out)
        for pool, _ in self._moved:  # what was held back by "one transition an event" is looked at in the next one
            self.books.touched[pool] = None
        self._moved.clear()

    def _move(self, pool: int, instrument: int, state: AdlState, *, threshold: int | None, reason: str, now_us: int, out: Outputs) -> None:
        self.table[pool, instrument] = Standing(state)
        self._moved[pool, instrument] = None
        if state == AdlState.ADL:
            self._in_adl.setdefault(pool, {})[instrument] = None
        else:
            del self._in_adl[pool][instrument]
        out.emit(
            "pool-states",
            {
                "event_time_us": now_us, "pool": pool, "instrument": instrument, "state": state, "value": self.books.value(pool),
                "wallet": self.books.fund(pool).wallet, "threshold": threshold, "reason": reason,
            },
        )  # fmt: skip
