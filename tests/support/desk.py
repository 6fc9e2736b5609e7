"""A plain risk desk that closes the loop with the simulated exchange: it looks into the exchange's own book and instructs.

It stands in for the pipeline where only the exchange is under test: no ranking, no shards, no reservations beyond one open instruction a position.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from streams.domain.events import CauseKind, InstructionKind, MarginMode, PositionSide, Role
from streams.domain.ids import identity
from streams.domain.money import largest_remainder, quote_part_floor
from streams.venue.book import Group, PositionKey, cross
from streams.venue.exchange import Exchange
from streams.venue.records import Record

Instruction = dict[str, Any]


def instruction(kind: InstructionKind, account: int, time_us: int, cause: int, **more: Any) -> Instruction:
    """An instruction row as the pipeline would send it; its id is a function of everything in it."""
    row: Instruction = {
        "kind": int(kind),
        "account": account,
        "partition": 0,
        "cause_kind": int(CauseKind.EPISODE),
        "cause_id": cause,
        "rung": int(kind),
        "attempt": 1,
        "policy_version": 1,
        "event_time_us": time_us,
        "valid_until_us": time_us + 5_000_000,
        **more,
    }
    if kind in (InstructionKind.COVER, InstructionKind.SOCIALISE):
        for side in ("", "counter_"):
            row[f"{side}margin_mode"] = int(MarginMode.ISOLATED if row.get(f"{side}instrument") else MarginMode.CROSS)
    row.setdefault("instruction_id", identity(*(f"{k}={v}" for k, v in sorted(row.items()))))
    return row


@dataclass
class Desk:
    """Reads records, says instructions. `sent` and `results` are kept for the tests."""

    exchange: Exchange
    sent: dict[int, Instruction] = field(default_factory=dict)
    results: list[dict[str, Any]] = field(default_factory=list)
    waiting: dict[int, dict[int, None]] = field(default_factory=dict)  # instruction -> parties that owe a result
    owner: dict[int, Group] = field(default_factory=dict)
    busy: dict[Group, int] = field(default_factory=dict)  # group in an episode -> open instructions
    winners: dict[Group, dict[int, int]] = field(default_factory=dict)  # group -> counter-account -> lots
    reserved: dict[int, tuple[int, int]] = field(default_factory=dict)  # takeover -> what the fund may lose by it, its notional
    count: int = 0

    def run(self) -> Iterator[list[Record]]:
        """Play the scenario to its end; yields the records of each event time before the desk reacts."""
        while (records := self.exchange.next_records()) is not None:
            yield records
            self.exchange.accept(self.react(records))

    def react(self, records: list[Record]) -> list[Instruction]:
        """What the desk says to the records of one event time."""
        self.out: list[Instruction] = []
        for stream, _, row in records:
            if stream == "instruction-results":
                self.result(row)
        if any(stream == "marks" for stream, _, _ in records) and len(self.exchange.book.marks) == len(self.exchange.scenario.instruments):
            self.look(records[0][2]["event_time_us"])
        return self.out

    def look(self, time_us: int) -> None:
        book, fund = self.exchange.book, self.exchange.scenario.pools[0].fund_account
        for group in [g for g, held in book.held.items() if held]:
            if group in self.busy or book.roles[group[0]] not in (Role.USER, Role.MAKER):
                continue
            equity = book.equity(group)
            if equity >= self.maintenance(group):
                continue
            self.busy[group] = 0
            self.send(group, InstructionKind.CANCEL_ORDERS, group[0], time_us)
            if equity >= 0:
                for key, quote in self.bankruptcy(group).items():
                    self.send(group, InstructionKind.LIQUIDATE, group[0], time_us, lots=-book.lots[key], quote_limit=-quote, **_position(key))
            else:
                self.resolve(group, time_us)
        for group in [g for g, count in self.busy.items() if not count]:
            self.finish(group, time_us)
        for key in [k for k in book.held.get(cross(fund), {}) if k not in self.busy]:
            self.send(cross(fund), InstructionKind.UNWIND, fund, time_us, lots=-book.lots[key], **_position(key))

    def result(self, row: dict[str, Any]) -> None:
        self.results.append(row)
        parties = self.waiting[row["instruction_id"]]
        del parties[row["account"]]
        if not parties:
            self.reserved.pop(row["instruction_id"], None)
            self.busy[self.owner[row["instruction_id"]]] -= 1

    def finish(self, group: Group, time_us: int) -> None:
        """All answers are in: flat and solvent ends it, a deficit is paid, what is left is resolved."""
        book, fund = self.exchange.book, self.exchange.scenario.pools[0].fund_account
        if book.held.get(group):
            if book.equity(group) < 0 and group != cross(fund):
                self.resolve(group, time_us)
            elif book.equity(group) >= self.maintenance(group) or group == cross(fund):
                del self.busy[group]
            else:
                for key, quote in self.bankruptcy(group).items():
                    self.send(group, InstructionKind.LIQUIDATE, group[0], time_us, lots=-book.lots[key], quote_limit=-quote, **_position(key))
        elif (deficit := -book.cash[group]) > 0 and group != cross(fund):
            cover = min(deficit, max(0, book.equity(cross(fund))))
            where = {"instrument": group[1], "position_side": group[2]}
            if cover:
                self.send(group, InstructionKind.COVER, group[0], time_us, counter_account=fund, amount=cover, **where)
            elif payers := self.winners.get(group):
                for account, amount in sorted(largest_remainder(deficit, payers).items()):
                    if amount:
                        self.send(group, InstructionKind.SOCIALISE, group[0], time_us, counter_account=account, amount=amount, **where)
        else:
            del self.busy[group]

    def resolve(self, group: Group, time_us: int) -> None:
        """Insolvent: the fund takes a position whole if its value bears the loss, else the largest opposite positions do."""
        book, fund = self.exchange.book, self.exchange.scenario.pools[0].fund_account
        for key, quote in self.bankruptcy(group).items():
            lots, loss = book.lots[key], max(0, quote - book.value(key))
            if self.can_bear(loss, abs(book.value(key))):
                self.pair(group, InstructionKind.TAKEOVER, key, time_us, lots=-lots, quote=-quote, counter=(fund, key[1], PositionSide.ONE_WAY))
                self.reserved[self.out[-1]["instruction_id"]] = (loss, abs(book.value(key)))
                continue
            done, opposite = 0, sorted((k for k, n in book.lots.items() if k[1] == key[1] and n * lots < 0), key=lambda k: (-abs(book.lots[k]), k))
            for counter in opposite:
                part = min(abs(lots) - done, abs(book.lots[counter]))
                if counter[0] != key[0] and book.roles[counter[0]] != Role.FUND and book.group(counter) not in self.busy and part:
                    fair = quote_part_floor(quote, done + part, abs(lots)) - quote_part_floor(quote, done, abs(lots))
                    self.pair(group, InstructionKind.ADL, key, time_us, lots=-part if lots > 0 else part, quote=-fair, counter=counter)
                    done += part

    def can_bear(self, loss: int, notional: int) -> bool:
        """Whether the fund's value and its cap, less what open takeovers may cost, allow one more."""
        book, pool = self.exchange.book, self.exchange.scenario.pools[0]
        fund = cross(pool.fund_account)
        value = book.equity(fund) - sum(loss for loss, _ in self.reserved.values())
        inventory = sum(abs(book.value(k)) for k in book.held.get(fund, {})) + sum(n for _, n in self.reserved.values())
        is_capped = pool.net_notional_cap is not None and inventory + notional > pool.net_notional_cap
        return loss <= value and not is_capped and value > max(0, pool.adl_start_value)

    def pair(self, group: Group, kind: InstructionKind, key: PositionKey, time_us: int, *, lots: int, quote: int, counter: PositionKey) -> None:
        if kind == InstructionKind.ADL:
            payers = self.winners.setdefault(group, {})
            payers[counter[0]] = payers.get(counter[0], 0) + abs(lots)
        self.send(
            group, kind, key[0], time_us, lots=lots, quote=quote, counter_account=counter[0], counter_position_side=int(counter[2]), **_position(key)
        )

    def send(self, group: Group, kind: InstructionKind, account: int, time_us: int, **more: Any) -> None:
        self.count += 1
        row = instruction(kind, account, time_us, self.count, **more)
        self.sent[row["instruction_id"]] = row
        self.waiting[row["instruction_id"]] = {account: None, more.get("counter_account") or account: None}
        self.owner[row["instruction_id"]] = group
        self.busy[group] = self.busy.get(group, 0) + 1
        self.out.append(row)

    def maintenance(self, group: Group) -> int:
        return sum(self.maintenances(group).values())

    def maintenances(self, group: Group) -> dict[PositionKey, int]:
        by_number = {i.instrument: i for i in self.exchange.scenario.instruments}
        return {key: by_number[key[1]].maintenance(self.exchange.book.value(key)) for key in sorted(self.exchange.book.held.get(group, {}))}

    def bankruptcy(self, group: Group) -> dict[PositionKey, int]:
        """Value less equity x share of maintenance, rounded up; the last position takes the remainder."""
        book, shares = self.exchange.book, self.maintenances(group)
        equity = book.equity(group)
        left, quotes = sum(book.value(key) for key in shares) - equity, {}
        for n, (key, share) in enumerate(shares.items(), start=1):
            quotes[key] = left if n == len(shares) else book.value(key) - equity * share // sum(shares.values())
            left -= quotes[key]
        return quotes


def _position(key: PositionKey) -> dict[str, int]:
    return {"instrument": key[1], "position_side": int(key[2])}
