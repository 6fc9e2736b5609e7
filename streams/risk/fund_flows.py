"""What the pool hears of its fund: one `fund-flows` row per fill or update of the fund's account, written by the shard that owns it."""

from typing import Any

from streams.domain.batch import Outputs
from streams.domain.events import FillKind, FlowCause, PositionSide, UpdateKind
from streams.risk.book import Book
from streams.risk.table import EMPTY


def fund_pool(book: Book, account: int) -> int | None:
    """The pool whose fund this account is."""
    return next((number for number, pool in book.pools.items() if pool.fund_account == account), None)


def _flow(book: Book, pool: int, account: int, asset: int, instrument: int | None) -> dict[str, Any]:
    account_row = book.account_row(account)
    position = book.position_row((account, instrument, PositionSide.ONE_WAY)) if instrument else EMPTY
    held = book.positions.rows[position] if position != EMPTY else None
    wallet = int(book.groups.rows["wallet"][book.ensure_group(account_row, asset)])
    return {
        "pool": pool, "account": account, "partition": int(book.accounts.rows["partition"][account_row]), "instrument": instrument,
        "wallet_after": wallet,
        "lots_after": int(held["lots"]) if held is not None else 0, "cost_after": int(held["cost"]) if held is not None else 0,
    }  # fmt: skip


def fill_flow(book: Book, pool: int, row: dict[str, Any], cash: int, out: Outputs) -> None:
    """Tell of a fill of the fund."""
    asset = book.parameters[row["instrument"]].asset
    flow = {
        "cause": FlowCause[FillKind(row["kind"]).name] if FillKind(row["kind"]).name in FlowCause.__members__ else FlowCause.OTHER,
        "source_id": row["trade_id"], "instruction_id": row["instruction_id"], "lots": row["lots"], "quote": row["quote"], "cash": cash,
        "account_seq": row["account_seq"], "event_time_us": row["time_us"], **_flow(book, pool, row["account"], asset, row["instrument"]),
    }  # fmt: skip
    out.emit("fund-flows", flow)


def update_flow(book: Book, pool: int, row: dict[str, Any], out: Outputs) -> None:
    """Tell of an update of the fund's wallet."""
    name = UpdateKind(row["kind"]).name
    flow = {
        "cause": FlowCause[name] if name in FlowCause.__members__ else FlowCause.OTHER, "source_id": row["update_id"],
        "instruction_id": row["instruction_id"], "lots": 0, "quote": 0, "cash": row["amount"], "account_seq": row["account_seq"],
        "event_time_us": row["time_us"], **_flow(book, pool, row["account"], row["asset"], None),
    }  # fmt: skip
    out.emit("fund-flows", flow)


def opening_flows(book: Book, pool: int, row: dict[str, Any], out: Outputs) -> None:
    """Tell of the fund's opening: its wallet, then each position of its inventory."""
    common = {
        "cause": FlowCause.OPENING, "source_id": row["update_id"], "quote": 0, "account_seq": row["account_seq"], "event_time_us": row["time_us"],
    }  # fmt: skip
    group = book.ensure_group(book.account_row(row["account"]), row["asset"])
    cash = int(book.groups.rows["wallet"][group])
    out.emit("fund-flows", {**common, "lots": 0, "cash": cash, **_flow(book, pool, row["account"], row["asset"], None)})
    for position in book.held(group):
        flow = _flow(book, pool, row["account"], row["asset"], book.position_key(position)[1])
        out.emit("fund-flows", {**common, "lots": flow["lots_after"], "quote": flow["cost_after"], "cash": 0, **flow})
