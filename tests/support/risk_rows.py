"""Rows for a risk machine, in field terms, and a desk that feeds them: every test states only what it is about."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from streams.domain.batch import Batch, Outputs, Rows
from streams.domain.events import (
    AdlWhen,
    FillKind,
    Grade,
    InstrumentKind,
    LatePolicy,
    MarginMode,
    PositionSide,
    PriceRule,
    RankPolicy,
    Role,
    RoomFloor,
    UpdateKind,
)
from streams.risk.machine import RiskMachine
from streams.wire.codec import codec

PARTITIONS = 8
Record = tuple[str, dict[str, Any]]


def batch_from(records: Sequence[Record], first_offset: int = 0) -> Batch:
    """A batch of rows in the given order, through the real codecs."""
    by_stream: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    runs: list[tuple[str, int, int]] = []
    for place, (stream, row) in enumerate(records):
        rows = by_stream.setdefault(stream, [])
        if runs and runs[-1][0] == stream:
            runs[-1] = (stream, runs[-1][1], len(rows) + 1)
        else:
            runs.append((stream, len(rows), len(rows) + 1))
        rows.append((first_offset + place, row))
    return Batch({stream: _rows(stream, rows) for stream, rows in by_stream.items()}, runs)


def _rows(stream: str, rows: list[tuple[int, dict[str, Any]]]) -> Rows:
    values = [row for _, row in rows]
    decoded = codec(stream).decode(codec(stream).encode(values))
    assert not decoded.bad, decoded.bad
    partitions = [row.get("account", 0) % PARTITIONS for row in values]
    times = [row["event_time_us"] for row in values]
    return Rows(stream, decoded.columns, np.array(times, np.int64), np.array(partitions, np.int64), np.array([o for o, _ in rows], np.int64))


def instrument(number: int = 1, *, unit: int = 1, rates: Sequence[tuple[int, int, int]] = ((0, 50_000, 0),), **more: Any) -> Record:
    """A linear instrument; one tier of 5 % unless told."""
    tiers = [{"floor": f, "rate_ppm": r, "maintenance_amount": a} for f, r, a in rates]
    row = {
        "event_time_us": 1,
        "instrument": number,
        "symbol": f"I{number}",
        "version": 1,
        "kind": InstrumentKind.LINEAR,
        "asset": 1,
        "pool": 1,
        "value_per_tick_lot": unit,
        "max_mark_ticks": 10**6,
        "max_lots": 10**6,
        "tiers": tiers,
    }
    return "instruments", {**row, **more}


def pool(**more: Any) -> Record:
    """A pool whose fund is account 31."""
    row = {
        "event_time_us": 1,
        "pool": 1,
        "version": 1,
        "asset": 1,
        "fund_account": 31,
        "policy_id": RankPolicy.BITMEX,
        "price_rule": PriceRule.BANKRUPTCY,
        "score_wallet_floor": 1,
        "net_notional_cap": None,
        "adl_start_value": -(2**50),
        "adl_stop_value": 2**50,
        "warning_ratio_ppm": 0,
        "instruction_valid_us": 1_000_000,
        "adl_when": AdlWhen.INSOLVENT,
        "room_floor": RoomFloor.ZERO,
        "price_cap_ppm": None,
        "wave_deadline_us": 1_000_000,
        "wave_late": LatePolicy.GIVE_UP,
        "unwind_limit_ppm": 50_000,
        "unwind_lots_max": None,
        "fund_floor_value": 0,
        "retry_pause_us": 0,
        "retry_alarm_count": 5,
    }
    return "pools", {**row, **more}


@dataclass
class Desk:
    """Feeds one risk machine and keeps what it says. Sequences, offsets and times grow by themselves."""

    machine: RiskMachine = field(default_factory=lambda: RiskMachine(0, 1))
    time_us: int = 1_000
    said: list[Outputs] = field(default_factory=list)
    seqs: dict[int, int] = field(default_factory=dict)
    marks: int = 0
    offset: int = 0
    _unopened: list[Record] = field(default_factory=list)

    def feed(self, *records: Record) -> Outputs:
        """One step with these records; before it, accounts first spoken of otherwise than by a SNAPSHOT are opened flat."""
        opened, self._unopened = self._unopened, []
        if opened:
            self.machine.step(batch_from(opened, self.offset))
            self.offset += len(opened)
        out = self.machine.step(batch_from(records, self.offset))
        self.offset += len(records)
        self.said.append(out)
        return out

    def rows(self, stream: str, out: Outputs | None = None) -> list[dict[str, Any]]:
        """Rows of a stream said so far (or in one step)."""
        return [dict(row) for o in ([out] if out else self.said) for _, row in o.rows.get(stream, ())]

    def seq(self, account: int) -> int:
        """The account's next sequence number."""
        self.seqs[account] = self.seqs.get(account, 0) + 1
        return self.seqs[account]

    def _open(self, account: int) -> None:
        """The account is spoken of: it has an opening, if it has none yet."""
        if account not in self.seqs and account > 0:
            self._unopened += self.opening(account, 0)

    def now(self) -> int:
        """The next event time."""
        self.time_us += 1
        return self.time_us

    def mark(self, ticks: int, number: int = 1, **more: Any) -> Record:
        """A mark."""
        self.marks += 1
        row = {
            "event_time_us": self.now(),
            "instrument": number,
            "mark_ticks": ticks,
            "index_ticks": ticks,
            "sequence": self.marks,
            "grade": Grade.GOOD,
        }
        return "marks", {**row, **more}

    def fill(self, account: int, lots: int, quote: int, number: int = 1, **more: Any) -> Record:
        """One side of a fill."""
        self._open(account)
        row = {
            "event_time_us": self.now(),
            "account": account,
            "account_seq": self.seq(account),
            "trade_id": self.time_us,
            "leg": 0,
            "counter_account": 99,
            "instrument": number,
            "position_side": PositionSide.ONE_WAY,
            "margin_mode": MarginMode.CROSS,
            "lots": lots,
            "quote": quote,
            "margin_moved": 0,
            "kind": FillKind.TRADE,
        }
        return "fills", {**row, **more}

    def update(self, account: int, kind: UpdateKind, amount: int, **more: Any) -> Record:
        """An account update."""
        if kind != UpdateKind.SNAPSHOT:
            self._open(account)
        row = {
            "event_time_us": self.now(),
            "account": account,
            "account_seq": self.seq(account),
            "update_id": self.time_us,
            "kind": kind,
            "asset": 1,
            "amount": amount,
        }
        return "account-updates", {**row, **more}

    def opening(self, account: int, wallet: int, *positions: tuple[int, int, int], role: Role = Role.USER, isolated: bool = False) -> list[Record]:
        """A SNAPSHOT: a cross wallet and positions (instrument, lots, cost); isolated: the wallet is the one position's bucket."""
        parts: list[dict[str, Any]] = [] if isolated else [{"amount": wallet}]
        for number, lots, cost in positions:
            mode = MarginMode.ISOLATED if isolated else MarginMode.CROSS
            parts.append(
                {
                    "amount": wallet if isolated else 0,
                    "instrument": number,
                    "position_side": PositionSide.ONE_WAY,
                    "lots": lots,
                    "cost": cost,
                    "margin_mode": mode,
                }
            )
        rows = []
        for n, part in enumerate(parts):
            rows.append(self.update(account, UpdateKind.SNAPSHOT, part.pop("amount"), part=n, parts=len(parts), role=role, **part))
        return rows

    def wallet(self, account: int, number: int = 0, side: int = 0) -> int:
        """Wallet of a group."""
        book = self.machine.book
        return int(book.groups.rows["wallet"][book.group_row((account, 1, number, side))])

    def position(self, account: int, number: int = 1, side: PositionSide = PositionSide.ONE_WAY) -> tuple[int, int]:
        """(lots, cost) of a position."""
        book = self.machine.book
        row = book.positions.rows[book.position_row((account, number, side))]
        return int(row["lots"]), int(row["cost"])
