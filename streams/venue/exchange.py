"""The simulated exchange: hands out the records of one event time after the other and answers instructions, each at an event time of its own.

Decided here: the order of answers, what each kind of instruction does to the book, and its terminal results. No I/O, no clock;
the same scenario and the same instructions give the same records.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any

from streams.domain.events import FillKind, InstructionKind, MarginMode, Outcome, PositionSide, UpdateKind
from streams.domain.money import PPM, div_ceil, quote_part_floor
from streams.venue.book import Book, Group, PositionKey, cross
from streams.venue.depth import Depth
from streams.venue.records import Poster, Record, Recorder
from streams.venue.scenarios.scenario import USD, CashFlow, Event, FundingPayment, Leg, Mark, Scenario, Trade, position_key, wanted_lots

Instruction = Mapping[str, Any]
_FILL_KIND = {
    InstructionKind.NET: FillKind.NETTING, InstructionKind.LIQUIDATE: FillKind.LIQUIDATION, InstructionKind.TAKEOVER: FillKind.TAKEOVER,
    InstructionKind.ADL: FillKind.ADL, InstructionKind.UNWIND: FillKind.UNWIND,
}  # fmt: skip


_ABSENT: dict[str, Any] = dict.fromkeys(
    (
        "pool", "instrument", "position_side", "lots", "quote_limit", "quote", "counter_account", "counter_instrument", "counter_position_side",
        "counter_partition", "amount", "mark_ticks", "mark_sequence", "asset", "margin_mode", "counter_margin_mode",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """What was done. `quote` is signed for the instruction's account."""

    outcome: Outcome
    lots: int = 0
    quote: int = 0
    amount: int = 0
    reason: str = ""


class Exchange:
    """The venue interface: `next_records` and `accept`. `book` is its own, `answered` counts instructions by outcome."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario, self.book, self.answered = scenario, Book(), dict.fromkeys(Outcome, 0)
        self._recorder = Recorder(scenario.account_partitions)
        self._poster = Poster(self.book, self._recorder, USD)
        self._depth = {i.instrument: Depth(scenario.depth[i.instrument], i.value_per_tick_lot) for i in scenario.instruments}
        self._trouble, self._script, self._opened = scenario.trouble(), scenario.script(self.book), False
        self._pending: list[tuple[tuple[int, ...], dict[str, Any]]] = []
        self._seen: set[int] = set()

    @property
    def pending(self) -> int:
        """Instructions that wait for their answer: the next records are the answer to one of them."""
        return len(self._pending)

    def accept(self, instructions: Sequence[Instruction]) -> None:
        """Take instructions. One seen before is dropped: an instruction is executed at most once."""
        for given in instructions:
            if given["instruction_id"] not in self._seen:
                self._seen.add(given["instruction_id"])
                full = {**_ABSENT, **given}
                heappush(self._pending, (_priority(full), full))

    def next_records(self) -> list[Record] | None:
        """The records of the next event time: one answer if an instruction waits, else the script's next; None at the end."""
        recorder = self._recorder
        if not self._opened:
            recorder.time_us, self._opened = self.scenario.start_us, True
            self._open()
        elif self._pending:
            recorder.time_us += 1
            self._answer(heappop(self._pending)[1])
        else:
            timed = next(self._script, None)
            if timed is None:
                return None
            recorder.time_us = max(timed[0], recorder.time_us + 1)  # answers may have run past the time the script meant
            for event in timed[1]:
                self._happen(event)
        return recorder.take()

    def _open(self) -> None:
        for instrument in self.scenario.instruments:
            self.book.value_per_tick_lot[instrument.instrument] = instrument.value_per_tick_lot
            self._recorder.instrument(instrument)
        for pool in self.scenario.pools:
            self._recorder.pool(pool)
        for opening in self.scenario.openings:
            self.book.roles[opening.account] = opening.role
            self.book.open(cross(opening.account), opening.wallet)
            parts: list[dict[str, Any]] = [{"amount": opening.wallet}]
            for p in opening.positions:
                key = position_key(opening.account, p.instrument, p.side)
                self.book.set_mode(key, p.mode)
                self.book.open(self.book.group(key), (p.bucket or 0) - p.cost)
                self.book.trade(key, p.lots, 0)
                parts.append(
                    {
                        "amount": p.bucket or 0,
                        "instrument": p.instrument,
                        "position_side": int(p.side),
                        "lots": p.lots,
                        "cost": p.cost,
                        "margin_mode": int(p.mode),
                    }
                )
            self._poster.snapshot(opening.account, opening.role, parts)

    def _happen(self, event: Event) -> None:
        match event:
            case Mark():
                self.book.marks[event.instrument] = event.mark_ticks
                self._recorder.mark(event.instrument, event.mark_ticks, event.index_ticks, event.grade)
            case Trade():
                self._trade(event)
            case CashFlow():
                self.book.external += event.amount
                self._poster.post(cross(event.account), event.kind, event.amount)
            case FundingPayment():
                self._funding(event)

    def _trade(self, trade: Trade) -> None:
        def side(leg: Leg) -> tuple[PositionKey, int]:
            key = position_key(leg.account, trade.instrument, leg.side)
            self.book.set_mode(key, leg.mode)
            return key, leg.margin

        quote = trade.lots * trade.price_ticks * self.book.value_per_tick_lot[trade.instrument]
        self._poster.trade((side(trade.buyer), side(trade.seller)), trade.lots, quote, kind=trade.kind, price_ticks=trade.price_ticks)

    def _funding(self, event: FundingPayment) -> None:
        """Each position pays value x rate, rounded up (against the account)."""
        for key in sorted(k for k, lots in self.book.lots.items() if lots and k[1] == event.instrument):
            paid = div_ceil(self.book.value(key) * event.rate_ppm, PPM)
            if paid:
                self._poster.transfer(cross(event.through), self.book.group(key), paid, kind=UpdateKind.FUNDING)

    def _answer(self, given: dict[str, Any]) -> None:
        kind = InstructionKind(given["kind"])
        allowed = self._trouble(given, self._recorder.time_us)
        if self._recorder.time_us > given["valid_until_us"]:
            answer = Answer(Outcome.EXPIRED, reason="arrived after valid_until")
        elif allowed is None:
            answer = Answer(Outcome.REJECTED, reason="rejected by the gateway")
        elif kind == InstructionKind.CANCEL_ORDERS:
            answer = Answer(Outcome.FILLED)
        elif kind in (InstructionKind.COVER, InstructionKind.SOCIALISE):
            answer = self._pay(given, kind)
        elif kind in _FILL_KIND:
            answer = self._close(given, kind, allowed)
        else:
            answer = Answer(Outcome.REJECTED, reason=f"{kind.name} is not offered here")
        self.answered[answer.outcome] += 1
        for account in sorted({given["account"]: None, given["counter_account"] or given["account"]: None}):
            self._recorder.result(
                given, account, answer.outcome, lots=answer.lots, quote=answer.quote, amount=answer.amount, reason=answer.reason
            )  # fmt: skip

    def _pay(self, given: Instruction, kind: InstructionKind) -> Answer:
        receiver, payer = _group_of(given), _group_of(given, "counter_")
        update = UpdateKind.COVER if kind == InstructionKind.COVER else UpdateKind.SOCIALISED
        self._poster.transfer(receiver, payer, given["amount"], kind=update, instruction_id=given["instruction_id"])
        if kind == InstructionKind.SOCIALISE:
            self._poster.memo(payer, UpdateKind.CLAIM, given["amount"], counter_account=receiver[0], instruction_id=given["instruction_id"])
        return Answer(Outcome.FILLED, amount=given["amount"])

    def _close(self, given: Instruction, kind: InstructionKind, allowed: int) -> Answer:
        """Close lots of a position: never more than it holds, nor more than the other side's where that closes too."""
        wanted, sign = wanted_lots(given), 1 if given["lots"] > 0 else -1
        key = position_key(given["account"], given["instrument"], given["position_side"])
        holds = max(0, -sign * self.book.lots.get(key, 0))
        counter = None
        if kind in (InstructionKind.NET, InstructionKind.TAKEOVER, InstructionKind.ADL):
            counter = position_key(given["counter_account"], given["instrument"], given["counter_position_side"])
            if kind != InstructionKind.TAKEOVER:
                holds = min(holds, max(0, sign * self.book.lots.get(counter, 0)))
        lots = min(wanted, allowed, holds)
        if lots == 0:
            return Answer(Outcome.REJECTED, reason="nothing left of the position")
        if counter:
            quote = quote_part_floor(given["quote"], lots, wanted)
            self._poster.trade(((key, 0), (counter, 0)), sign * lots, quote, kind=_FILL_KIND[kind], instruction_id=given["instruction_id"])
            done = lots
        else:
            done, quote = self._at_market(given, key, sign * lots, _FILL_KIND[kind])
        if done == wanted:
            return Answer(Outcome.FILLED, done, quote)
        reason = "not enough depth within the limit" if done < lots else "cut by the gateway" if lots == allowed else "clamped to the position"
        return Answer(Outcome.PARTIAL if done else Outcome.UNFILLED, done, quote, reason=reason)

    def _at_market(self, given: Instruction, key: PositionKey, lots: int, kind: FillKind) -> tuple[int, int]:
        """Immediate or cancel against the maker's depth, one fill a price level. Returns absolute lots and signed quote."""
        instrument = key[1]
        limit = None if given["quote_limit"] is None else (given["quote_limit"], wanted_lots(given))
        maker = position_key(self.scenario.makers[instrument], instrument, PositionSide.ONE_WAY)
        mark = self.book.marks.get(instrument)
        if maker[0] == key[0] or mark is None:
            return 0, 0  # a maker's own orders are no depth for it, and without a mark there is none
        taken = self._depth[instrument].take(lots=lots, mark_ticks=mark, time_us=self._recorder.time_us, limit=limit)
        for t in taken:
            self._poster.trade(
                ((key, 0), (maker, 0)), t.lots, t.quote, kind=kind, price_ticks=t.price_ticks, instruction_id=given["instruction_id"]
            )  # fmt: skip
        return sum(abs(t.lots) for t in taken), sum(t.quote for t in taken)


def _group_of(given: Instruction, prefix: str = "") -> Group:
    """The solvency group whose money an instruction moves."""
    account, instrument, side = (given[f"{prefix}{name}"] for name in ("account", "instrument", "position_side"))
    return (account, instrument, side) if given[f"{prefix}margin_mode"] == MarginMode.ISOLATED else cross(account)


def _priority(given: Instruction) -> tuple[int, ...]:
    """The gateway's order: event time, rung, account, instrument, position side, counter-account; the id makes it total."""
    return (
        given["event_time_us"], given["rung"], given["account"], given["instrument"] or 0, given["position_side"] or 0,
        given["counter_account"] or 0, given["instruction_id"],
    )  # fmt: skip
