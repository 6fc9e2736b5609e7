"""What happened to each account of a small scenario, in words: what it traded against its will, with whom and at what price, and what it ends with.

Heard from the exchange's own records as they leave it, so that it is told without the pipeline's word; only the states are the pipeline's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from streams.domain.events import FillKind, GroupState, Role, UpdateKind
from streams.venue.exchange import Exchange
from streams.venue.records import Record
from streams.venue.scenarios.scenario import Scenario, Wording
from streams.venue.scenarios.units import plain

Row = Mapping[str, Any]
SHOWN = 20  # accounts; of more, only those are told of to whom something happened


@dataclass(slots=True)
class _Fill:
    """Fills of one instruction between the same two, as one. `marked`: their value at the marks of their moments, signed as the lots."""

    time_us: int
    row: Row
    lots: int = 0
    quote: int = 0
    marked: int = 0


@dataclass(slots=True)
class _Heard:
    """What the records of a run said of its accounts. Fills by account, kind, instruction or trade, counter-account, instrument and side."""

    fills: dict[tuple[Any, ...], _Fill] = field(default_factory=dict)
    updates: list[Row] = field(default_factory=list)


class TellingExchange(Exchange):
    """An exchange that remembers what befell its accounts."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self._heard = _Heard()
        self._closed: dict[int, int] = {}  # instruction -> the account that it was meant against

    def accept(self, instructions: Sequence[Row]) -> None:
        """Take instructions, and remember whose position each closes."""
        self._closed |= {given["instruction_id"]: given["account"] for given in instructions}
        super().accept(instructions)

    def next_records(self) -> list[Record] | None:
        """The records of the next event time, heard on their way out."""
        records = super().next_records()
        for _, _, row in records or ():
            if "trade_id" in row:
                self._hear_fill(row)
            elif "update_id" in row:
                self._heard.updates.append(row)
        return records

    def _hear_fill(self, row: Row) -> None:
        key = (
            row["account"], row["kind"], row["instruction_id"] or -row["trade_id"], row["counter_account"], row["instrument"], row["position_side"]
        )  # fmt: skip
        fill = self._heard.fills.setdefault(key, _Fill(row["event_time_us"], row))
        mark = self.book.marks.get(row["instrument"], 0)
        fill.lots += row["lots"]
        fill.quote += row["quote"]
        fill.marked += row["lots"] * mark * self.book.value_per_tick_lot[row["instrument"]]

    def told(self, states: Iterable[Row]) -> dict[str, list[str]]:
        """What happened to each account, by name, what it ends with last. Empty where the scenario has no wording.

        `states`: rows of `account-states`.
        """
        wording = self.scenario.wording
        if wording is None:
            return {}
        said: dict[int, list[tuple[int, str]]] = {opening.account: [] for opening in self.scenario.openings}
        speaker = _Speaker(self, wording, self._closed)
        for fill in self._heard.fills.values():
            said[fill.row["account"]].append((fill.time_us, speaker.fill(fill)))
        for row in self._heard.updates:
            said[row["account"]] += speaker.update(row)
        for row in states:  # after what led to them at the same time
            said[row["account"]] += speaker.state(row)
        return {
            wording.accounts[account]: [
                *(f"{self._time(time_us)}  {text}" for time_us, text in sorted(lines, key=lambda line: line[0])),
                f"at the end  {speaker.end(account)}",
            ]
            for account, lines in said.items()
        }

    def story(self, states: Iterable[Row]) -> list[str]:
        """The same as lines of plain text, without those of many to whom nothing happened."""
        told, wording = self.told(states), self.scenario.wording
        if wording is None:
            return []
        shown = {name: said for name, said in told.items() if len(said) > 1 or len(told) <= SHOWN}
        numbers = {name: number for number, name in wording.accounts.items()}
        lines = ["What happened to each account", *([f"  {wording.about}"] if wording.about else [])]
        for name, said in shown.items():
            lines += [f"  {name}, account {numbers[name]}", *(f"    {text}" for text in said)]
        quiet = len(told) - len(shown)
        return [*lines, *([f"  {quiet:,} others, to whom nothing happened"] if quiet else [])]

    def _time(self, time_us: int) -> str:
        seconds, micros = divmod(time_us - self.scenario.start_us, 1_000_000)
        return f"{seconds:,}.{micros:06d} s"


@dataclass(frozen=True, slots=True)
class _Speaker:
    """Puts facts into words."""

    exchange: Exchange
    wording: Wording
    closed: Mapping[int, int]

    def money(self, amount: int) -> str:
        """An amount, to the last unit."""
        return f"{plain(Fraction(amount, self.exchange.scenario.units))} {self.wording.currency}"

    def size(self, instrument: int, lots: int) -> str:
        """So much of an instrument, without its sign."""
        return f"{plain(abs(lots) * self.wording.lots[instrument])} {self.exchange.scenario.symbols[instrument]}"

    def price(self, instrument: int, lots: int, quote: int) -> str:
        """The price of a fill."""
        ticks = Fraction(quote, lots * self.exchange.book.value_per_tick_lot[instrument])
        return plain(ticks * self.wording.ticks[instrument])

    def state(self, row: Row) -> list[tuple[int, str]]:
        """A state that a group has entered, where it says that somebody is in trouble or no longer."""
        where = "" if row["group_instrument"] is None else f" of its isolated {self.exchange.scenario.symbols[row['group_instrument']]}"
        money = f"equity{where} {self.money(row['equity'])}, maintenance {self.money(row['maintenance'])}"
        words = {
            GroupState.WARNING: f"near maintenance: {money}",
            GroupState.LIQUIDATABLE: f"below maintenance, to be liquidated: {money}",
            GroupState.BANKRUPT: f"cannot be saved by the market any more: {money}",
            GroupState.HEALTHY: f"healthy: {money}",
            GroupState.SUSPECT: "not known exactly: nothing is decided about it",
        }
        return [(row["event_time_us"], words[row["state"]])] if row["state"] in words else []

    def fill(self, fill: _Fill) -> str:
        """A fill as its account sees it."""
        row, instrument = fill.row, fill.row["instrument"]
        other = self.wording.accounts[row["counter_account"]]
        is_fund = self.exchange.book.roles[row["account"]] == Role.FUND
        size, price = self.size(instrument, fill.lots), self.price(instrument, fill.lots, fill.quote)
        traded = f"{'bought' if fill.lots > 0 else 'sold'} {size} at {price}"
        against = f"{'from' if fill.lots > 0 else 'to'} {other}"
        match FillKind(row["kind"]):
            case FillKind.TAKEOVER:
                return f"took {size} over from {other} at {price}" if is_fund else f"the fund took its {size} over at {price}"
            case FillKind.ADL:
                return self._deleveraged(fill, f"{traded} {against}")
            case FillKind.NETTING:
                return f"{traded}, netted with its own other side"
            case FillKind.LIQUIDATION:
                return f"{traded} {against}: liquidation"
            case FillKind.UNWIND:
                return f"{traded} {against}: the fund gets rid of what it took over"
            case _:
                return f"{traded} {against}"

    def _deleveraged(self, fill: _Fill, traded: str) -> str:
        """The counterparty gained; the liquidated side was closed."""
        given_up = fill.quote - fill.marked
        if self.closed.get(fill.row["instruction_id"]) == fill.row["account"]:
            return f"{traded}: closed by deleveraging"
        what = f"gave up {self.money(given_up)}" if given_up >= 0 else f"gained {self.money(-given_up)}"
        return f"{traded}: was deleveraged, and against the mark {what}"

    def update(self, row: Row) -> list[tuple[int, str]]:
        """Money that moved without a fill."""
        other = "" if row["counter_account"] is None else self.wording.accounts[row["counter_account"]]
        amount = self.money(abs(row["amount"]))
        match UpdateKind(row["kind"]):
            case UpdateKind.COVER | UpdateKind.SOCIALISED:
                text = f"{other} paid {amount} of its debt" if row["amount"] > 0 else f"paid {amount} of the debt of {other}"
            case UpdateKind.DEPOSIT:
                text = f"deposited {amount}"
            case UpdateKind.WITHDRAWAL:
                text = f"withdrew {amount}"
            case _:
                return []
        return [(row["event_time_us"], text)]

    def end(self, account: int) -> str:
        """What is left at the last marks."""
        book = self.exchange.book
        mine = {key: lots for key, lots in sorted(book.lots.items()) if key[0] == account and lots}
        held = ", ".join(f"{'long' if lots > 0 else 'short'} {self.size(key[1], lots)}" for key, lots in mine.items()) or "no position"
        if any(key[1] not in book.marks for key in mine):
            return f"{held}, not valued without a mark"
        return f"{self.money(sum(book.equity(group) for group in book.cash if group[0] == account))} at the last marks, {held}"
