"""What happens in a scenario from a file: its events as a script, and the instructions that its exchange refuses or cuts short."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from streams.domain.events import Grade, InstructionKind, MarginMode, PositionSide, UpdateKind
from streams.venue.book import Book
from streams.venue.scenarios.ledger import Ledger
from streams.venue.scenarios.places import Keys, Source
from streams.venue.scenarios.pool_keys import symbol_of
from streams.venue.scenarios.scenario import CashFlow, Event, Leg, Mark, Timed, Trade, position_key, wanted_lots
from streams.venue.scenarios.tables import EventTable, FlowTable, RejectTable, TradeTable
from streams.venue.scenarios.units import Number, duration_us


@dataclass(frozen=True, slots=True)
class FiledTrade:
    """A trade with its place in the file, for what can only be seen when it is due."""

    trade: Trade
    source: Source
    keys: Keys


Filed = tuple[int, list[Event | FiledTrade]]  # event time in microseconds, what the file says of it


def play(timed: Sequence[Filed], book: Book) -> Iterator[Timed]:
    """The script: what stands in the file. A trade in an open position is margined as that position is."""
    for time_us, events in timed:
        yield time_us, [_margined(event, book) if isinstance(event, FiledTrade) else event for event in events]


def _margined(filed: FiledTrade, book: Book) -> Trade:
    legs, trade = {}, filed.trade
    for name, leg in (("buyer", trade.buyer), ("seller", trade.seller)):
        position = position_key(leg.account, trade.instrument, leg.side)
        held = book.mode(position) if book.lots.get(position) else leg.mode
        if leg.mode == MarginMode.ISOLATED and held == MarginMode.CROSS:
            raise filed.source.mistake((*filed.keys, f"{name}_margin"), f"the position of the {name} is open and CROSS; leave its margin out")
        legs[name] = replace(leg, mode=held)
    return replace(trade, buyer=legs["buyer"], seller=legs["seller"])


def timeline(of: Ledger) -> list[Filed]:
    """The events by their times. Within one of them marks come first, then money, then trades."""
    timed: list[Filed] = []
    for index, event in enumerate(of.tables.events):
        keys: Keys = ("events", index)
        time_us = of.start_us + of.at((*keys, "at"), duration_us, event.at)
        if time_us <= (timed[-1][0] if timed else of.start_us):
            raise of.source.mistake((*keys, "at"), f"{event.at} is not after what comes before it; give times after the start that grow")
        timed.append((time_us, _events(of, keys, event)))
    return timed


def _events(of: Ledger, keys: Keys, event: EventTable) -> list[Event | FiledTrade]:
    grade = of.at((*keys, "grade"), symbol_of, Grade, event.grade)
    events: list[Event | FiledTrade] = []
    for symbol, price in event.marks.items():
        number = of.named((*keys, "marks", symbol), of.instruments, symbol, "instrument")
        mark = of.positive((*keys, "marks", symbol), price, of.ticks[number], "ticks")
        index = of.positive((*keys, "index", symbol), event.index.get(symbol, price), of.ticks[number], "ticks")
        events.append(Mark(number, mark, index, grade))
    for symbol in event.index:
        if symbol not in event.marks:
            raise of.source.mistake((*keys, "index", symbol), f"an index of {symbol} without its mark; give the mark too")
    for name, flows, kind, sign in (
        ("deposits", event.deposits, UpdateKind.DEPOSIT, 1),
        ("withdrawals", event.withdrawals, UpdateKind.WITHDRAWAL, -1),
    ):
        events += [_flow(of, (*keys, name, n), flow, kind, sign) for n, flow in enumerate(flows)]
    return [*events, *(_trade(of, (*keys, "trades", n), trade) for n, trade in enumerate(event.trades))]


def _flow(of: Ledger, keys: Keys, flow: FlowTable, kind: UpdateKind, sign: int) -> CashFlow:
    account = of.named((*keys, "account"), of.accounts, flow.account, "account")
    return CashFlow(kind, account, sign * of.positive((*keys, "amount"), flow.amount, of.unit, "the smallest units"))


def _trade(of: Ledger, keys: Keys, trade: TradeTable) -> FiledTrade:
    number = of.named((*keys, "instrument"), of.instruments, trade.instrument, "instrument")
    if trade.buyer == trade.seller:
        raise of.source.mistake((*keys, "seller"), f"{trade.buyer!r} cannot trade with itself; name two accounts")
    lots = of.positive((*keys, "size"), trade.size, of.lots[number], "lots")
    price = of.positive((*keys, "price"), trade.price, of.ticks[number], "ticks")
    filed = Trade(
        number, lots, price,
        _leg(of, keys, "buyer", trade.buyer, trade.buyer_side, trade.buyer_margin, number=number),
        _leg(of, keys, "seller", trade.seller, trade.seller_side, trade.seller_margin, number=number),
    )  # fmt: skip
    return FiledTrade(filed, of.source, keys)


def _leg(of: Ledger, keys: Keys, key: str, name: str, side: str, margin: Number | None, *, number: int) -> Leg:
    account = of.named((*keys, key), of.accounts, name, "account")
    position_side = of.at((*keys, f"{key}_side"), symbol_of, PositionSide, side)
    if of.is_hedged.setdefault((account, number), position_side != PositionSide.ONE_WAY) != (position_side != PositionSide.ONE_WAY):
        raise of.source.mistake((*keys, f"{key}_side"), f"{name!r} trades there both ONE_WAY and by sides; choose one of the two ways")
    if margin is None:
        return Leg(account, position_side)
    return Leg(account, position_side, MarginMode.ISOLATED, of.money((*keys, f"{key}_margin"), margin))


@dataclass(frozen=True, slots=True)
class Rule:
    """Instructions of these kinds, of these parties, in this time: at most so many lots go through. `times`: how often the rule holds."""

    kinds: tuple[InstructionKind, ...]
    account: int | None
    counter: int | None
    instrument: int | None
    since_us: int
    until_us: int | None
    times: int | None
    most_lots: int

    def holds(self, instruction: Mapping[str, Any], time_us: int) -> bool:
        """Whether the rule is of this instruction."""
        return (
            instruction["kind"] in self.kinds
            and self.account in (None, instruction["account"])
            and self.counter in (None, instruction["counter_account"])
            and self.instrument in (None, instruction["instrument"])
            and self.since_us <= time_us
            and (self.until_us is None or time_us < self.until_us)
            and self.times != 0
        )


def rules_of(of: Ledger) -> tuple[Rule, ...]:
    """The rejects of a file."""
    return tuple(_rule(of, ("rejects", index), given) for index, given in enumerate(of.tables.rejects))


def _rule(of: Ledger, keys: Keys, given: RejectTable) -> Rule:
    instrument = given.instrument
    if instrument is None and given.most:
        if len(of.instruments) > 1:
            raise of.source.mistake((*keys, "most"), "`most` is a size, and there are several instruments; give the `instrument` too")
        instrument = next(iter(of.instruments))
    number = None if instrument is None else of.named((*keys, "instrument"), of.instruments, instrument, "instrument")
    most = 0 if number is None else of.size((*keys, "most"), given.most, number)
    if most < 0 or (given.times is not None and given.times < 1):
        raise of.source.mistake(keys, "`most` is below zero or `times` below one; correct it")

    def party(key: str, name: str | None) -> int | None:
        return None if name is None else of.named((*keys, key), of.accounts, name, "account")

    return Rule(
        kinds=tuple(of.at((*keys, "kinds", n), symbol_of, InstructionKind, kind) for n, kind in enumerate(given.kinds)),
        account=party("account", given.account),
        counter=party("counter", given.counter),
        instrument=None if given.instrument is None else number,
        since_us=of.start_us + of.at((*keys, "since"), duration_us, given.since),
        until_us=None if given.until is None else of.start_us + of.at((*keys, "until"), duration_us, given.until),
        times=given.times,
        most_lots=most,
    )


class FileTrouble:
    """The gateway of a scenario from a file: the first rule that holds decides."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = list(rules)

    def __call__(self, instruction: Mapping[str, Any], time_us: int) -> int | None:
        """Most lots that go through; None: rejected."""
        for index, rule in enumerate(self._rules):
            if rule.holds(instruction, time_us):
                if rule.times is not None:
                    self._rules[index] = replace(rule, times=rule.times - 1)
                return min(rule.most_lots, wanted_lots(instruction)) or None
        return wanted_lots(instruction)
