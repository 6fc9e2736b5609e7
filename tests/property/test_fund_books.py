"""The fund over random sequences of offers, fills, covers, unwinds and flows, held against plain sums of what was said."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain.batch import Outputs
from streams.domain.events import AdlState, FlowCause, InstructionKind, LedgerAccount, Outcome, PositionSide
from streams.domain.resolution import Episode, Group, Unplaced
from streams.pools import RESULTS, PoolsMachine
from tests.support.pools_desk import FUND, FUND_PARTITION, Desk, deficit, instrument, mark, pool

UNIT, MAX_LOTS, PPM = 3, 40, 1_000_000
TAKEOVER, UNWIND, COVER = InstructionKind.TAKEOVER, InstructionKind.UNWIND, InstructionKind.COVER


def ceil(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)


@dataclass
class Sent:
    """An instruction to the fund that is out: what is set aside for it, and its lots, signed for the fund, that have not come."""

    row: dict[str, Any]
    amount: int
    lots: int = 0
    done: int = 0

    def filled(self, lots: int) -> None:
        left = self.lots - lots
        self.amount = ceil(self.amount * abs(left), abs(self.lots)) if left else 0
        self.lots, self.done = left, self.done + abs(lots)


@dataclass
class Twin:
    """One fund as sums of what was said. `out`: instructions without a result; `owed`, `covered`: debts told, and what COVERs pay of them."""

    parameters: dict[str, Any]
    marks: dict[int, int]
    cash: list[int] = field(default_factory=list)
    lots: dict[int, int] = field(default_factory=lambda: {1: 0, 2: 0})
    cost: dict[int, int] = field(default_factory=lambda: {1: 0, 2: 0})
    out: dict[int, Sent] = field(default_factory=dict)
    owed: int = 0
    covered: int = 0

    def of(self, kind: InstructionKind) -> list[Sent]:
        return [sent for sent in self.out.values() if sent.row["kind"] == kind]

    @property
    def worth(self) -> int:
        """Wallet, and inventory at mark less its cost."""
        return sum(self.cash) + sum(self.lots[n] * self.marks[n] * UNIT - self.cost[n] for n in (1, 2))

    @property
    def value(self) -> int:
        return self.worth - sum(sent.amount for sent in (*self.of(TAKEOVER), *self.of(COVER)))

    @property
    def spendable(self) -> int:
        return self.value - sum(sent.amount for sent in self.of(UNWIND))

    @property
    def bearable(self) -> int:
        floor: int = self.parameters["fund_floor_value"]
        return self.spendable - max(0, floor)

    def to_come(self, number: int) -> int:
        return self.lots[number] + sum(sent.lots for sent in self.of(TAKEOVER) if sent.row["instrument"] == number)

    def takes(self, number: int, lots: int, quote: int, *, sign: int, is_adl: bool) -> int:
        """The most of these lots that it has to take, found by trying."""
        unit, held, other = self.marks[number] * UNIT, self.to_come(number), 3 - number
        elsewhere, cap = abs(self.to_come(other)) * self.marks[other] * UNIT, self.parameters["net_notional_cap"]
        is_gain = quote <= sign * lots * unit

        def fits(k: int) -> bool:
            after = held + sign * k
            in_cap = cap is None or abs(after) * unit + elsewhere <= cap or abs(after) <= abs(held)
            in_state = is_gain or not is_adl or k <= max(0, -sign * held)
            return sign * after <= MAX_LOTS and in_cap and in_state and (is_gain or quote * k // lots - sign * k * unit <= self.bearable)

        return max((k for k in range(1, lots + 1) if fits(k)), default=0)


class Play:
    """A desk and its twin, moved together."""

    def __init__(self, seed: int, *, is_still: bool) -> None:
        self.random, self.is_still = Random(seed), is_still
        parameters = {
            "fund_floor_value": self.random.choice([-300, 0, 0, 200]), "unwind_limit_ppm": self.random.choice([0, 20_000, 100_000]),
            "unwind_lots_max": self.random.choice([None, 3]), "net_notional_cap": self.random.choice([None, 9_000]),
            "adl_start_value": self.random.choice([-(10**9), 0, 100]), "adl_stop_value": self.random.choice([150, 2_000]),
            "instruction_valid_us": 10**6,
        }  # fmt: skip
        self.desk, self.twin = Desk(), Twin(parameters, {1: self.random.randint(60, 140), 2: self.random.randint(20, 60)})
        self.offered = 0
        self.heard = 0  # rows of the desk that the twin knows
        self.states: dict[int, int] = {}
        self.desk.at(*(instrument(n, unit=UNIT, max_lots=MAX_LOTS) for n in (1, 2)), pool(**parameters))
        self.event(self.moved(FlowCause.OPENING, self.random.choice([0, 150, 1_000, 8_000])), *(mark(t, n) for n, t in self.twin.marks.items()))

    @property
    def books(self) -> Any:
        return self.desk.machine.fund.books

    def moved(self, cause: FlowCause, cash: int, *, number: int | None = None, lots: int = 0, quote: int = 0, by: int | None = None) -> Any:
        """A fund flow as the exchange says it: what closes releases its share of the cost, the rest opens at its share of the quote."""
        twin = self.twin
        if number is not None:
            held, cost = twin.lots[number], twin.cost[number]
            closing = min(abs(lots), abs(held)) if held * lots < 0 else 0
            released, part = (ceil(cost * closing, abs(held)), quote * closing // abs(lots)) if closing else (0, 0)
            cash -= part + released
            twin.lots[number], twin.cost[number] = held + lots, cost - released + quote - part
        twin.cash.append(cash)
        return "fund-flows", {
            "pool": 1, "asset": 1, "account": FUND, "partition": FUND_PARTITION, "cause": cause, "source_id": len(twin.cash), "instruction_id": by,
            "instrument": number, "lots": lots, "quote": quote, "cash": cash, "wallet_after": sum(twin.cash),
            "lots_after": twin.lots[number] if number else 0, "cost_after": twin.cost[number] if number else 0, "account_seq": len(twin.cash),
        }  # fmt: skip

    def event(self, *records: Any) -> None:
        """One event, and what it led to."""
        self.desk.at(*records)
        self.hear()

    def hear(self) -> None:
        new = self.desk.said[self.heard :]
        self.heard = len(self.desk.said)
        for stream, _, row in new:
            if stream == "pool-states":
                self.states[row["instrument"]] = row["state"]
            elif stream == "instructions":
                self.sent(row)

    def sent(self, row: dict[str, Any]) -> None:
        twin = self.twin
        match row["kind"]:
            case InstructionKind.TAKEOVER:
                loss = -row["quote"] + row["lots"] * twin.marks[row["instrument"]] * UNIT
                twin.out[row["instruction_id"]] = Sent(row, max(0, loss), -row["lots"])
            case InstructionKind.UNWIND:
                worst = ceil(abs(row["lots"]) * twin.marks[row["instrument"]] * UNIT * twin.parameters["unwind_limit_ppm"], PPM)
                twin.out[row["instruction_id"]] = Sent(row, worst, row["lots"])
                assert 0 < abs(row["lots"]) <= (twin.parameters["unwind_lots_max"] or MAX_LOTS)
            case InstructionKind.COVER:
                twin.out[row["instruction_id"]] = Sent(row, row["amount"])
                twin.covered += row["amount"]

    def offer(self) -> None:
        """Lots at a quote around their value are offered: what the fund takes is what trying finds."""
        random, number, sign, lots = self.random, self.random.choice([1, 2]), self.random.choice([-1, 1]), self.random.randint(1, 25)
        quote = sign * lots * self.twin.marks[number] * UNIT + random.choice([-1, 0, 1, 1, 1]) * random.randint(0, 900)
        is_adl = self.states.get(number) == AdlState.ADL
        expected = self.twin.takes(number, lots, quote, sign=sign, is_adl=is_adl)
        self.offered += 1
        who = Episode(Group(1, 1_000 + self.offered, 0, 0), 1)
        position = Unplaced(who, 1, 0, number, int(PositionSide.ONE_WAY), sign, lots, quote, 0, 0, 1, self.desk.time_us)
        out, machine = Outputs(), self.desk.machine
        taken, _ = machine.fund.offer(position, machine.market.marks[number], attempt=1, now_us=machine.now_us, out=out)
        self.desk.said += [(stream, partition, dict(row)) for stream, rows in out.rows.items() for partition, row in rows]
        self.hear()
        assert taken == expected
        if taken and quote > sign * lots * self.twin.marks[number] * UNIT:
            assert self.twin.bearable >= 0
        if taken < lots and quote > sign * lots * self.twin.marks[number] * UNIT:
            assert self.states[number] == AdlState.ADL

    def fill(self) -> None:
        """The exchange does a part, or the rest, of what is out; at the end it says the result."""
        if not self.twin.out:
            return
        key, sent = self.random.choice(sorted(self.twin.out.items(), key=lambda item: item[0]))
        row, draw, records = sent.row, self.random.random(), []
        if row["kind"] == COVER:
            if draw < 0.8:
                records.append(self.moved(FlowCause.COVER, -row["amount"], by=key))
                sent.done = row["amount"]
            else:
                self.twin.covered -= row["amount"]
        elif draw < 0.9 and sent.lots:
            lots = self.random.randint(1, abs(sent.lots)) * (1 if sent.lots > 0 else -1)
            records.append(self.moved(self.cause(row), 0, number=row["instrument"], lots=lots, quote=self.quote(sent, lots), by=key))
            sent.filled(lots)
            if sent.lots:
                self.event(*records)
                return
        self.event(*records, *self.results(sent))

    def cause(self, row: dict[str, Any]) -> FlowCause:
        return FlowCause.TAKEOVER if row["kind"] == TAKEOVER else FlowCause.UNWIND

    def quote(self, sent: Sent, lots: int) -> int:
        """Of a takeover what it was agreed at, by differences; of an UNWIND its limit, or the mark."""
        agreed: int = -sent.row["quote"] if sent.row["kind"] == TAKEOVER else sent.row["quote_limit"]
        done, whole = sent.done, sent.done + abs(sent.lots)
        if sent.row["kind"] == TAKEOVER:
            return agreed * (done + abs(lots)) // whole - agreed * done // whole
        at_mark = lots * self.twin.marks[sent.row["instrument"]] * UNIT
        return at_mark if self.random.random() < 0.4 else agreed * abs(lots) // whole

    def results(self, sent: Sent) -> list[Any]:
        row = sent.row
        self.twin.out.pop(row["instruction_id"])
        wanted = row["amount"] or abs(row["lots"])
        outcome = Outcome.FILLED if sent.done == wanted else Outcome.PARTIAL if sent.done else Outcome.UNFILLED
        told = {
            "instruction_id": row["instruction_id"], "kind": row["kind"], "executed_lots": 0 if row["amount"] else sent.done, "executed_quote": 0,
            "executed_amount": sent.done if row["amount"] else 0, "account_seq": 1, "reason": "", "outcome": outcome,
        }  # fmt: skip
        parties = {account: None for account in (row["account"], row["counter_account"]) if account is not None}
        return [(RESULTS, {**told, "account": account, "partition_": FUND_PARTITION if account == FUND else account % 6}) for account in parties]

    def flow(self) -> None:
        cash = self.random.randint(1, 600) if self.is_still or self.random.random() < 0.6 else -self.random.randint(1, 600)
        self.event(self.moved(FlowCause.DEPOSIT if cash > 0 else FlowCause.WITHDRAWAL, cash))

    def debt(self) -> None:
        self.offered += 1
        amount = self.random.randint(1, 500)
        self.twin.owed += amount
        self.event(deficit(5_000 + self.offered, amount))

    def mark(self) -> None:
        number = self.random.choice([1, 2])
        if not self.is_still:
            self.twin.marks[number] = max(1, self.twin.marks[number] * self.random.choice([85, 97, 100, 104, 118]) // 100)
        self.event(mark(self.twin.marks[number], number))

    def restart(self) -> None:
        tables, digest = self.desk.machine.snapshot(), self.desk.machine.digest()
        self.desk.machine = PoolsMachine(1)
        self.desk.machine.restore(tables)
        assert self.desk.machine.digest() == digest

    def step(self) -> None:
        acts = (self.offer, self.offer, self.offer, self.fill, self.fill, self.fill, self.fill, self.flow, self.debt, self.mark, self.restart)
        before = self.twin.of(UNWIND), self.twin.of(COVER)
        self.random.choice(acts)()
        self.check(unwinds=[s for s in self.twin.of(UNWIND) if s not in before[0]], covers=[s for s in self.twin.of(COVER) if s not in before[1]])

    def check(self, *, unwinds: list[Sent], covers: list[Sent]) -> None:
        twin, books, floor = self.twin, self.books, self.twin.parameters["fund_floor_value"]
        assert (books.value(1), books.spendable(1), books.bearable(1)) == (twin.value, twin.spendable, twin.bearable)
        assert twin.bearable <= twin.worth - sum(sent.amount for sent in twin.out.values()) - floor
        reserved = {key: reserve.amount for key, reserve in books.reserves.items()}
        assert {key: amount for key, amount in reserved.items() if amount} == {key: sent.amount for key, sent in twin.out.items() if sent.amount}
        if any(sent.amount for sent in unwinds):
            assert twin.spendable >= min(floor, 0 if covers else floor)
        if covers:
            assert twin.spendable >= 0
            assert twin.covered <= twin.owed
        if self.is_still:
            assert twin.worth >= min(0, floor)


@pytest.mark.parametrize("is_still", [False, True], ids=["marks move and money is taken out", "marks stand still"])
@settings(max_examples=120, deadline=None)
@given(st.integers(0, 10**9))
def test_the_fund_is_the_sum_of_what_was_said_and_spends_only_what_is_free(is_still: bool, seed: int) -> None:
    play = Play(seed, is_still=is_still)
    for _ in range(40):
        play.step()
    twin, fund = play.twin, play.books.fund(1)
    assert (fund.wallet, fund.ledger, fund.gap) == (sum(twin.cash), sum(twin.cash), 0)
    entries = play.desk.all("fund-ledger", "entry", "amount", "debit")
    assert [(n, amount if debit == LedgerAccount.CASH else -amount) for n, amount, debit in entries] == list(enumerate(filter(None, twin.cash), 1))
    assert [(play.books.holding(1, n).lots, play.books.holding(1, n).cost) for n in (1, 2)] == [(twin.lots[n], twin.cost[n]) for n in (1, 2)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9))
def test_nothing_is_reserved_once_everything_is_answered(seed: int) -> None:
    play = Play(seed, is_still=False)
    for _ in range(25):
        play.step()
    while play.twin.of(TAKEOVER) or play.twin.of(COVER):
        play.fill()
    assert {key for key, reserve in play.books.reserves.items() if reserve.amount} <= {sent.row["instruction_id"] for sent in play.twin.of(UNWIND)}
    assert play.books.value(1) == play.twin.worth
    assert [play.books.pending_lots(1, n) for n in (1, 2)] == [0, 0]
