"""Rows as the exchange writes them: the one sequence of each account over all its records, trade and update ids, partitions."""

from collections.abc import Mapping
from typing import Any

from streams.domain.events import FillKind, Grade, InstrumentKind, MarginMode, Outcome, Role, UpdateKind
from streams.domain.instruments import Instrument, Pool
from streams.venue.book import Book, Group, PositionKey

Record = tuple[str, int, dict[str, Any]]  # stream, partition, row


class Recorder:
    """Collects the records of one event time. The sequences and ids live here."""

    def __init__(self, account_partitions: int) -> None:
        self._partitions = account_partitions
        self._sequence: dict[int, int] = {}
        self._mark_sequence: dict[int, int] = {}
        self._trades = self._updates = self._transfers = 0
        self._records: list[Record] = []
        self.time_us = 0

    def take(self) -> list[Record]:
        """The records since the last call."""
        records, self._records = self._records, []
        return records

    def sequence(self, account: int) -> int:
        """Last sequence given to the account; 0 before the first."""
        return self._sequence.get(account, 0)

    def next_trade(self) -> int:
        """A new trade id."""
        self._trades += 1
        return self._trades

    def next_transfer(self) -> int:
        """A new id for a pair of updates."""
        self._transfers += 1
        return self._transfers

    def _account_row(self, stream: str, account: int, row: dict[str, Any]) -> None:
        self._sequence[account] = self.sequence(account) + 1
        row.update(event_time_us=self.time_us, account=account, account_seq=self._sequence[account])
        self._records.append((stream, account % self._partitions, row))

    def instrument(self, i: Instrument) -> None:
        """Parameters of an instrument."""
        row = {
            "event_time_us": self.time_us,
            "instrument": i.instrument,
            "symbol": i.symbol,
            "version": i.version,
            "kind": int(InstrumentKind(i.kind)),
            "asset": i.asset,
            "pool": i.pool,
            "value_per_tick_lot": i.value_per_tick_lot,
            "max_mark_ticks": i.max_mark_ticks,
            "max_lots": i.max_lots,
            "tiers": [{"floor": t.floor, "rate_ppm": t.rate_ppm, "maintenance_amount": t.maintenance_amount} for t in i.tiers],
            "max_mark_age_us": i.max_mark_age_us,
            "max_ahead_us": i.max_ahead_us,
            "stale_allows": i.stale_allows,
            "outlier_allows": i.outlier_allows,
        }
        self._records.append(("instruments", 0, row))

    def pool(self, p: Pool) -> None:
        """Parameters of a pool."""
        row = {
            "event_time_us": self.time_us,
            "pool": p.pool,
            "version": p.version,
            "asset": p.asset,
            "fund_account": p.fund_account,
            "policy_id": int(p.policy_id),
            "price_rule": int(p.price_rule),
            "score_wallet_floor": p.score_wallet_floor,
            "net_notional_cap": p.net_notional_cap,
            "adl_start_value": p.adl_start_value,
            "adl_stop_value": p.adl_stop_value,
            "warning_ratio_ppm": p.warning_ratio_ppm,
            "instruction_valid_us": p.instruction_valid_us,
            "adl_when": int(p.adl_when),
            "room_floor": int(p.room_floor),
            "price_cap_ppm": p.price_cap_ppm,
            "wave_deadline_us": p.wave_deadline_us,
            "wave_late": int(p.wave_late),
            "unwind_limit_ppm": p.unwind_limit_ppm,
            "unwind_lots_max": p.unwind_lots_max,
            "fund_floor_value": p.fund_floor_value,
            "retry_pause_us": p.retry_pause_us,
            "retry_alarm_count": p.retry_alarm_count,
        }
        self._records.append(("pools", 0, row))

    def mark(self, instrument: int, mark_ticks: int, index_ticks: int, grade: Grade = Grade.GOOD) -> None:
        """A mark price, with the next sequence of its instrument."""
        self._mark_sequence[instrument] = sequence = self._mark_sequence.get(instrument, 0) + 1
        row = {
            "event_time_us": self.time_us,
            "instrument": instrument,
            "mark_ticks": mark_ticks,
            "index_ticks": index_ticks,
            "sequence": sequence,
            "grade": int(grade),
            "epoch": None,
        }
        self._records.append(("marks", 0, row))

    def update(self, group: Group, kind: UpdateKind, amount: int, **more: Any) -> None:
        """An account update of a group; `more` are further fields of the schema."""
        account, instrument, side = group
        mode = None if instrument is None else int(MarginMode.ISOLATED)
        self._updates += 1
        row = dict(_NO_UPDATE, update_id=self._updates, kind=int(kind), amount=amount, instrument=instrument, position_side=side, margin_mode=mode)
        self._account_row("account-updates", account, row | more)

    def snapshot(self, account: int, role: Role, parts: list[dict[str, Any]]) -> None:
        """The opening of an account: one part each for the wallet and the positions."""
        for number, part in enumerate(parts):
            group = (account, part.pop("instrument", None), part.pop("position_side", None))
            self.update(group, UpdateKind.SNAPSHOT, part.pop("amount"), role=int(role), part=number, parts=len(parts), **part)

    def fill(
        self,
        key: PositionKey,
        *,
        lots: int,
        quote: int,
        counter_account: int,
        common: Mapping[str, Any],
        mode: MarginMode,
        margin_moved: int,
        leg: int = 0,
    ) -> None:
        """One side of a fill; `common`: trade_id, price_ticks, kind, instruction_id."""
        account, instrument, side = key
        row = dict(
            common,
            leg=leg,
            counter_account=counter_account,
            instrument=instrument,
            position_side=side,
            margin_mode=int(mode),
            lots=lots,
            quote=quote,
            margin_moved=margin_moved,
        )
        self._account_row("fills", account, row)

    def result(self, instruction: Mapping[str, Any], account: int, outcome: Outcome, *, lots: int, quote: int, amount: int, reason: str) -> None:
        """The terminal result of an instruction for one party."""
        row = {
            "instruction_id": instruction["instruction_id"],
            "kind": int(instruction["kind"]),
            "outcome": int(outcome),
            "executed_lots": lots,
            "executed_quote": quote,
            "executed_amount": amount,
            "reason": reason,
        }
        self._account_row("instruction-results", account, row)


_NO_UPDATE: dict[str, Any] = dict.fromkeys(
    ("asset", "counter_account", "transfer_id", "instruction_id", "wallet_after", "part", "parts", "lots", "cost", "leverage", "role")
)


class Poster:
    """Books and writes: every movement goes to the book and to the records in one place, so the two cannot part."""

    def __init__(self, book: Book, recorder: Recorder, asset: int) -> None:
        self._book, self._recorder, self._asset = book, recorder, asset

    def trade(
        self,
        sides: tuple[tuple[PositionKey, int], tuple[PositionKey, int]],
        lots: int,
        quote: int,
        *,
        kind: FillKind,
        price_ticks: int | None = None,
        instruction_id: int | None = None,
    ) -> None:
        """Two sides of one fill: the first gets `lots` and `quote`, the second their opposite. A side is (position, margin it brings along).

        Both sides of one account (netting) are its legs 0 and 1.
        """
        common = {"trade_id": self._recorder.next_trade(), "price_ticks": price_ticks, "kind": int(kind), "instruction_id": instruction_id}
        (first, _), (second, _) = sides
        for number, ((key, margin), sign, counter) in enumerate(zip(sides, (1, -1), (second[0], first[0]), strict=True)):
            if margin:
                self._book.fund_bucket(key, margin)
            moved = margin + self._book.trade(key, sign * lots, sign * quote)
            self._recorder.fill(
                key,
                lots=sign * lots,
                quote=sign * quote,
                counter_account=counter,
                common=common,
                mode=self._book.mode(key),
                margin_moved=moved,
                leg=number if first[0] == second[0] else 0,
            )

    def transfer(self, receiver: Group, payer: Group, amount: int, *, kind: UpdateKind, instruction_id: int | None = None) -> None:
        """A pair of updates that moves `amount` from one group to another."""
        transfer = self._recorder.next_transfer()
        for group, other, signed in ((receiver, payer, amount), (payer, receiver, -amount)):
            self.post(group, kind, signed, counter_account=other[0], transfer_id=transfer, instruction_id=instruction_id)

    def post(self, group: Group, kind: UpdateKind, amount: int, **more: Any) -> None:
        """One update of a group's cash. States the balance afterwards where the group is flat."""
        self._book.move(group, amount)
        self._recorder.update(group, kind, amount, asset=self._asset, wallet_after=self._book.wallet_if_flat(group), **more)

    def memo(self, group: Group, kind: UpdateKind, amount: int, **more: Any) -> None:
        """An update that moves nothing."""
        self._recorder.update(group, kind, amount, asset=self._asset, **more)

    def snapshot(self, account: int, role: Role, parts: list[dict[str, Any]]) -> None:
        """An opening."""
        self._recorder.snapshot(account, role, [dict(part, asset=self._asset) for part in parts])
