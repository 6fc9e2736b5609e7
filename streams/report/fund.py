"""The insurance pools over time: what each fund was worth, its 8-hour peak and fall from it, its cash by cause, and each instrument's state."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from streams.domain.events import AdlState, FlowCause, LedgerAccount
from streams.notify.reasons import of_pool_state
from streams.report.log import Log, Row
from streams.report.market import Market

WINDOW_US: Final = 8 * 3_600 * 1_000_000


@dataclass(frozen=True, slots=True)
class Value:
    """What a fund was worth when something was said of it; `peak` is the largest of the 8 hours up to then, `drawdown` the fall from it."""

    event_time_us: int
    value: int
    peak: int

    @property
    def drawdown(self) -> int:
        """Settlement units; not negative."""
        return self.peak - self.value


@dataclass(frozen=True, slots=True)
class Span:
    """One instrument in one state, from an event time to another."""

    instrument: int
    state: AdlState
    start_us: int
    end_us: int
    reason: str


@dataclass(frozen=True, slots=True)
class Fund:
    """One pool's fund. `causes`: net cash by cause. `entries`: times an instrument entered each state. Money in settlement units of `asset`."""

    pool: int
    asset: int
    parameters: Mapping[str, Any]
    values: list[Value]
    spans: list[Span]
    causes: Mapping[FlowCause, int]
    wallet: int
    first_entry: Row | None

    @property
    def before(self) -> int:
        """Cash from before the log: what its causes leave open; 0 of a whole log."""
        return self.wallet - sum(self.causes.values())

    @property
    def opening(self) -> int:
        """Value when it was first known."""
        return self.values[0].value

    @property
    def closing(self) -> int:
        """Value at the end."""
        return self.values[-1].value

    @property
    def lowest(self) -> Value:
        """The least it was worth."""
        return min(self.values, key=lambda value: value.value)

    @property
    def deepest(self) -> Value:
        """The deepest fall from the 8-hour peak."""
        return max(self.values, key=lambda value: value.drawdown)

    def entered(self, state: AdlState) -> int:
        """How many times an instrument came into a state."""
        return sum(span.state == state and span.reason != "" for span in self.spans)


def funds_of(log: Log, market: Market, end_us: int) -> list[Fund]:
    """Every pool of which something is known, by number."""
    ledger, states = log.rows("fund-ledger"), log.rows("pool-states")
    told = []
    for pool, parameters in market.pools.items():
        lines = [row for row in ledger if row["pool"] == pool]
        changes = [{**row, "reason": of_pool_state(market, row)} for row in states if row["pool"] == pool]
        if not lines and not changes:
            continue
        seen = [(row["event_time_us"], row["value_after"]) for row in lines] + [(row["event_time_us"], row["value"]) for row in changes]
        insured = [number for number, row in market.instruments.items() if row["pool"] == pool]
        entered = next((row for row in changes if row["state"] == AdlState.ADL), None)
        told.append(
            Fund(
                pool=pool, asset=parameters["asset"], parameters=parameters, values=values_of(sorted(seen, key=lambda point: point[0])),
                spans=spans_of(changes, insured, parameters["event_time_us"], end_us), causes=_causes(lines),
                wallet=lines[-1]["wallet_after"] if lines else changes[-1]["wallet"], first_entry=entered,
            )
        )  # fmt: skip
    return told


def values_of(points: Iterable[tuple[int, int]]) -> list[Value]:
    """(event time, value) in order of time, each with the largest value of the 8 hours that end with it, both ends included."""
    window: deque[tuple[int, int]] = deque()  # values that may still become the largest: falling from left to right
    told = []
    for time_us, value in points:
        while window and window[-1][1] <= value:
            window.pop()
        window.append((time_us, value))
        while window[0][0] < time_us - WINDOW_US:
            window.popleft()
        told.append(Value(time_us, value, window[0][1]))
    return told


def spans_of(changes: Iterable[Row], insured: Iterable[int], start_us: int, end_us: int) -> list[Span]:
    """The states of each instrument from the start to the end; NORMAL until something else is said."""
    by_instrument: dict[int, list[Row]] = {instrument: [] for instrument in insured}
    for row in changes:
        by_instrument.setdefault(row["instrument"], []).append(row)
    spans = []
    for instrument, rows in by_instrument.items():
        state, since, reason = AdlState.NORMAL, start_us, ""
        for row in rows:
            spans.append(Span(instrument, state, since, row["event_time_us"], reason))
            state, since, reason = AdlState(row["state"]), row["event_time_us"], row["reason"] or "no reason given"
        spans.append(Span(instrument, state, since, end_us, reason))
    return spans


def _causes(lines: Iterable[Row]) -> dict[FlowCause, int]:
    """Net cash by cause."""
    causes: dict[FlowCause, int] = {}
    for row in lines:
        into = (row["debit"] == LedgerAccount.CASH) - (row["credit"] == LedgerAccount.CASH)
        causes[FlowCause(row["cause"])] = causes.get(FlowCause(row["cause"]), 0) + into * row["amount"]
    return dict(sorted(causes.items()))
