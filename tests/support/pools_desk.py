"""A desk for the pools machine: rows in field terms, an exchange that answers as told, and the fund's own book to make its flows from."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from streams.domain.batch import Outputs
from streams.domain.events import (
    AdlWhen,
    AnswerKind,
    FlowCause,
    Grade,
    InsolvencyKind,
    InstructionKind,
    InstrumentKind,
    LatePolicy,
    MarginMode,
    Outcome,
    PositionSide,
    PriceRule,
    RankPolicy,
    RoomFloor,
)
from streams.domain.money import div_ceil
from streams.pools import RESULTS, PoolsMachine
from streams.wire.codec import codec
from tests.support.batches import Record, batch_of

FUND, FUND_PARTITION, MAKER = 31, 4, 41
ONE_WAY, LONG, SHORT = PositionSide.ONE_WAY, PositionSide.LONG, PositionSide.SHORT


def instrument(number: int = 1, *, unit: int = 1, **more: Any) -> Record:
    """A linear instrument of pool 1; one tier of 5 %."""
    row = {
        "event_time_us": 1, "instrument": number, "symbol": f"I{number}", "version": 1, "kind": InstrumentKind.LINEAR, "asset": 1, "pool": 1,
        "value_per_tick_lot": unit, "max_mark_ticks": 10**6, "max_lots": 10**6,
        "tiers": [{"floor": 0, "rate_ppm": 50_000, "maintenance_amount": 0}],
    }  # fmt: skip
    return "instruments", {**row, **more}


def pool(**more: Any) -> Record:
    """Pool 1: thresholds out of reach, no cap, instructions valid for a second."""
    row = {
        "event_time_us": 1, "pool": 1, "version": 1, "asset": 1, "fund_account": FUND, "policy_id": RankPolicy.BITMEX,
        "price_rule": PriceRule.BANKRUPTCY, "score_wallet_floor": 1, "net_notional_cap": None, "adl_start_value": -(10**12),
        "adl_stop_value": 10**12, "warning_ratio_ppm": 0, "instruction_valid_us": 1_000_000,
        "adl_when": AdlWhen.INSOLVENT, "room_floor": RoomFloor.ZERO, "price_cap_ppm": None, "wave_deadline_us": 1_000_000,
        "wave_late": LatePolicy.GIVE_UP,
        "unwind_limit_ppm": 0, "unwind_lots_max": None, "fund_floor_value": 0, "retry_pause_us": 0, "retry_alarm_count": 5,
    }  # fmt: skip
    return "pools", {**row, **more}


def mark(ticks: int, number: int = 1, *, sequence: int | None = None, grade: Grade = Grade.GOOD) -> Record:
    """A mark; its sequence is its time unless told."""
    return "marks", {"instrument": number, "mark_ticks": ticks, "index_ticks": ticks, "sequence": sequence, "grade": grade}


def insolvency(kind: InsolvencyKind, account: int, **more: Any) -> Record:
    """An insolvency of the account's cross group, episode 1, unless told. A desk numbers the revisions and counts the marks."""
    row = {
        "kind": kind, "pool": 1, "account": account, "partition": account % 6, "asset": 1, "group_instrument": None, "group_side": None,
        "episode": 1, "revision": None, "instrument": None, "position_side": None, "lots": 0, "bankruptcy_quote": 0, "deficit": 0,
        "equity": 0, "maintenance": 0, "marks_seen": None, "decisions_heard": None,
    }  # fmt: skip
    return "insolvencies", {**row, **more}


def position(account: int, lots: int, quote: int, *, ticks: int, number: int = 1, **more: Any) -> Record:
    """A position to be placed, of a group whose only one it is at a mark of `ticks`; `quote` is signed as its value."""
    fields = {
        "instrument": number, "position_side": ONE_WAY, "lots": lots, "bankruptcy_quote": quote, "mark_ticks": ticks, "mark_sequence": 1,
        "equity": lots * ticks - quote, "maintenance": abs(lots * ticks - quote) + 1,
    }  # fmt: skip
    return insolvency(InsolvencyKind.POSITION, account, **(fields | more))


def deficit(account: int, amount: int, **more: Any) -> Record:
    """A flat group owes this much."""
    return insolvency(InsolvencyKind.DEFICIT, account, deficit=amount, **more)


def closed(account: int, **more: Any) -> Record:
    """The episode is over."""
    return insolvency(InsolvencyKind.CLOSED, account, **more)


def candidate(account: int, lots: int, cost: int, wallet: int, equity: int, **more: Any) -> dict[str, Any]:
    """A candidate, all of it free; maintenance 1 for position and group unless told, so that its share is the whole."""
    row = {
        "account": account, "partition": account % 6, "position_side": ONE_WAY, "margin_mode": MarginMode.CROSS, "lots": lots,
        "offered_lots": abs(lots), "cost": cost, "group_wallet": wallet, "group_equity": equity, "group_maintenance": 1, "position_maintenance": 1,
        "room_reserved": 0,
    }  # fmt: skip
    return {**row, **more}


@dataclass
class Desk:
    """Feeds one machine and keeps what it says. Every output row is encoded: a row that its schema refuses fails the test."""

    shards: int = 1
    machine: PoolsMachine = field(init=False)
    said: list[tuple[str, int, dict[str, Any]]] = field(default_factory=list)
    alarms: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    time_us: int = 1_000
    wallet: int = 0
    lots: dict[int, int] = field(default_factory=dict)
    cost: dict[int, int] = field(default_factory=dict)
    flows: int = 0
    revision: int = 0
    marks_seen: int = 0
    fed: list[Record] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.machine = PoolsMachine(self.shards)

    def at(self, *records: Record, time_us: int | None = None) -> Outputs:
        """One event, a tick after the last one unless told."""
        self.time_us = self.time_us + 1 if time_us is None else time_us
        timed = [(stream, {**row, "event_time_us": self.time_us}) for stream, row in records]
        for stream, row in timed:
            if stream == "marks" and row["sequence"] is None:
                row["sequence"] = self.time_us
        self.marks_seen += sum(stream == "marks" for stream, _ in timed)
        for stream, row in timed:
            if stream == "insolvencies":
                self.revision += 1
                row["revision"] = self.revision if row["revision"] is None else row["revision"]
                row["marks_seen"] = self.marks_seen if row["marks_seen"] is None else row["marks_seen"]
                row["decisions_heard"] = len(self.all("adl-decisions")) if row["decisions_heard"] is None else row["decisions_heard"]
        self.fed += timed
        out = self.machine.step(batch_of(timed))
        for stream, rows in out.rows.items():
            codec(stream).encode([row for _, row in rows])
            self.said += [(stream, partition, dict(row)) for partition, row in rows]
        self.alarms += out.alarms
        return out

    def all(self, stream: str, *fields: str, **where: Any) -> list[Any]:
        """Rows said in a stream that match, in order, as tuples of the fields named; a single field bare; without fields whole."""
        rows = [row for s, _, row in self.said if s == stream and all(row.get(k) == v for k, v in where.items())]
        if not fields:
            return rows
        return [row[fields[0]] if len(fields) == 1 else tuple(row[name] for name in fields) for row in rows]

    def sent(self, kind: InstructionKind, *fields: str) -> list[Any]:
        """Instructions of a kind."""
        return self.all("instructions", *fields, kind=kind)

    def opening(self, cash: int) -> Record:
        """The fund's SNAPSHOT."""
        return self.flow(FlowCause.OPENING, cash=cash)

    def flow(self, cause: FlowCause, *, lots: int = 0, quote: int = 0, cash: int = 0, number: int = 1, instruction_id: int | None = None) -> Record:
        """A movement of the fund's account, kept in its book: a closing fill moves released cost and quote to the wallet."""
        held, cost = self.lots.get(number, 0), self.cost.get(number, 0)
        if held * lots < 0:
            assert abs(lots) <= abs(held)
            released = div_ceil(cost * abs(lots), abs(held))
            cash -= quote + released
            cost -= released
        else:
            cost += quote
        self.wallet, self.lots[number], self.cost[number] = self.wallet + cash, held + lots, cost
        self.flows += 1
        row = {
            "pool": 1, "asset": 1, "account": FUND, "partition": FUND_PARTITION, "cause": cause, "source_id": self.flows,
            "instruction_id": instruction_id,
            "instrument": number if lots else None, "lots": lots, "quote": quote, "cash": cash, "wallet_after": self.wallet,
            "lots_after": held + lots, "cost_after": cost, "account_seq": self.flows,
        }  # fmt: skip
        return "fund-flows", row

    def answers(self, sent: dict[str, Any], executed: int | None = None, *, ticks: int | None = None) -> list[Record]:
        """The exchange's answer to an instruction: fund flows and one result a party. All of it is executed unless told.

        An UNWIND is filled at `ticks`; the part of a quote that goes with fewer lots is its floor by value.
        """
        whole = abs(sent["lots"] or sent["amount"] or 0)
        done = whole if executed is None else executed
        sign = 1 if (sent["lots"] or 0) > 0 else -1
        is_payment = sent["amount"] is not None
        quote = 0 if sent["quote"] is None or is_payment else -(-sent["quote"] * done // whole)
        flows = []
        if sent["kind"] == InstructionKind.UNWIND and done:
            assert ticks is not None
            quote = sign * done * ticks
            flows = [self.flow(FlowCause.UNWIND, lots=sign * done, quote=quote, number=sent["instrument"], instruction_id=sent["instruction_id"])]
        elif sent["kind"] == InstructionKind.TAKEOVER and done:
            fields = {"lots": -sign * done, "quote": -quote, "number": sent["instrument"], "instruction_id": sent["instruction_id"]}
            flows = [self.flow(FlowCause.TAKEOVER, **fields)]
        elif sent["kind"] == InstructionKind.COVER and done:
            flows = [self.flow(FlowCause.COVER, cash=-done, instruction_id=sent["instruction_id"])]
        result = {
            "instruction_id": sent["instruction_id"], "kind": sent["kind"], "executed_lots": 0 if is_payment else done,
            "executed_quote": quote, "executed_amount": done if is_payment else 0, "account_seq": 1, "reason": "",
            "outcome": Outcome.FILLED if done == whole else Outcome.PARTIAL if done else Outcome.REJECTED,
        }  # fmt: skip
        parties = {account: None for account in (sent["account"], sent["counter_account"]) if account is not None}
        partitions = {FUND: FUND_PARTITION}
        results = [(RESULTS, {**result, "account": a, "partition_": partitions.get(a, a % 6)}) for a in parties]
        return [*flows, *results]

    def last(self, kind: InstructionKind) -> dict[str, Any]:
        """The last instruction of a kind."""
        row: dict[str, Any] = self.sent(kind)[-1]
        return row

    def offers(
        self, rows: Sequence[dict[str, Any]], *, shard: int = 0, chunk: int = 0, chunks: int = 1, wave_id: int | None = None,
        stand: Sequence[dict[str, Any]] | None = None,
    ) -> Record:  # fmt: skip
        """A shard's answer to the last probe: these candidates are all it has.

        In its chunk 0 shard 0 owns every position that asked, and they stand as they were told, unless `stand` says how.
        """
        probe = wave_id if wave_id is not None else self.all("adl-probes", "wave_id")[-1]
        if stand is None:
            stand = self.standing(probe) if (shard, chunk) == (0, 0) else []
        row = {
            "kind": AnswerKind.ANSWER, "wave_id": probe, "pool": 1, "shard": shard, "chunk": chunk, "chunks": chunks, "candidates_total": len(rows),
            "lots_total": sum(row["offered_lots"] for row in rows), "rows": list(rows), "positions": list(stand),
        }  # fmt: skip
        return "adl-candidates", row

    def standing(self, wave_id: int) -> list[dict[str, Any]]:
        """The positions that a probe names, as they were told: less what was placed directly since."""
        (probe,) = self.all("adl-probes", wave_id=wave_id)
        here = [row for stream, row in self.fed if stream == "insolvencies" and row["instrument"] == probe["instrument"]]
        told = {(row["account"], row["revision"]): row for row in here}
        placed: dict[tuple[int, int], int] = {}
        for decision in self.all("adl-decisions", wave_id=0, instrument=probe["instrument"]):
            for row in decision["placements"]:
                key = row["account"], row["revision"]
                placed[key] = placed.get(key, 0) + row["lots"]
        return [_stands(named, told[key], placed.get(key, 0)) for named in probe["positions"] if (key := (named["account"], named["revision"]))]

    def withdraws(self, rows: Sequence[dict[str, Any]], *, shard: int = 0, wave_id: int | None = None) -> Record:
        """A shard asks candidates of a probe, the last one unless told, back."""
        stream, row = self.offers([{**row, "offered_lots": 0} for row in rows], shard=shard, stand=[], wave_id=wave_id)
        return stream, {**row, "kind": AnswerKind.WITHDRAWN, "candidates_total": 0, "lots_total": 0}

    def placements(self, *fields: str) -> list[Any]:
        """What was decided of positions, in order, as tuples of the fields named."""
        rows = [placement for decision in self.all("adl-decisions") for placement in decision["placements"]]
        return [tuple(row[name] for name in fields) for row in rows]


def _stands(named: dict[str, Any], told: dict[str, Any], placed: int) -> dict[str, Any]:
    lots, quote = abs(told["lots"]), told["bankruptcy_quote"]
    left = (lots - placed) * (1 if told["lots"] > 0 else -1)
    return {**named, "lots": left, "bankruptcy_quote": quote - quote * placed // lots, "equity": told["equity"], "maintenance": told["maintenance"]}
