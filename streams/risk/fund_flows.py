"""What the pool hears of its fund: one `fund-flows` row per fill or update of the fund's account, written by the shard that owns it."""

from typing import Any

from streams.domain.batch import Outputs
from streams.domain.events import FillKind, FlowCause, PositionSide, UpdateKind
from streams.domain.instruments import Pool
from streams.risk.book import Book
from streams.risk.table import EMPTY


def fund_pool(book: Book, account: int) -> int | None:
    """The pool whose fund this account is."""
    return next((number for number, pool in book.pools.items() if pool.fund_account == account), None)


def _flow(book: Book, pool: int, account: int, asset: int, instrument: int | None) -> dict[str, Any]:
    account_row = book.account_row(account)
    position = book.position_row((account, instrument, PositionSide.ONE_WAY)) if instrument else EMPTY
    held = book.positions.rows[position] if position != EMPTY else None
    group = book.ensure_group(account_row, asset)  # a fund that was first heard of in an isolated bucket has no wallet yet; the table may grow by it
    wallet = int(book.groups.rows["wallet"][group])
    return {
        "pool": pool, "asset": asset, "account": account, "partition": int(book.accounts.rows["partition"][account_row]), "instrument": instrument,
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


def wallet_of(book: Book, account: int, asset: int) -> int:
    """Wallet of the account in this asset; 0 where it has none."""
    group = book.group_row((account, asset, 0, 0))
    return 0 if group == EMPTY else int(book.groups.rows["wallet"][group])


def found(book: Book, pool: Pool, time_us: int, out: Outputs) -> None:
    """A pool names its fund: where the account is known already, the pool hears how it stands."""
    account_row = book.account_row(pool.fund_account)
    if account_row != EMPTY and int(book.accounts.rows["seq"][account_row]):
        seq = int(book.accounts.rows["seq"][account_row])
        row = {"account": pool.fund_account, "asset": pool.asset, "update_id": 0, "account_seq": seq, "time_us": time_us}
        opening_flows(book, pool.pool, row, 0, out)


def opening_flows(book: Book, pool: int, row: dict[str, Any], before: int, out: Outputs) -> None:
    """Tell of a SNAPSHOT of the fund: by how much its wallet differs from `before`, then its inventory, flat where it held something."""
    common = {
        "cause": FlowCause.OPENING, "source_id": row["update_id"], "quote": 0, "account_seq": row["account_seq"], "event_time_us": row["time_us"],
    }  # fmt: skip
    group = book.ensure_group(book.account_row(row["account"]), row["asset"])
    cash = int(book.groups.rows["wallet"][group]) - before
    out.emit("fund-flows", {**common, "lots": 0, "cash": cash, **_flow(book, pool, row["account"], row["asset"], None)})
    for position in book.positions_of(group):
        flow = _flow(book, pool, row["account"], row["asset"], book.position_key(position)[1])
        out.emit("fund-flows", {**common, "lots": flow["lots_after"], "quote": flow["cost_after"], "cash": 0, **flow})
