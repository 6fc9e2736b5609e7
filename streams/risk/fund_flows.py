"""What the pool hears of its fund: one `fund-flows` row per fill or update of the fund's account, written by the shard that owns it."""

from collections.abc import Mapping
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


def wallets_of(book: Book, account: int) -> dict[int, int]:
    """Cross wallets of the account by asset; none of an account that is not known."""
    account_row = book.account_row(account)
    groups = [] if account_row == EMPTY else [group for group in book.groups_of(account_row) if not book.groups.rows["instrument"][group]]
    return {int(book.groups.rows["asset"][group]): int(book.groups.rows["wallet"][group]) for group in groups}


def found(book: Book, pool: Pool, time_us: int, out: Outputs) -> None:
    """A pool names its fund: where the account is known already, the pool hears how it stands."""
    account_row = book.account_row(pool.fund_account)
    if account_row != EMPTY and int(book.accounts.rows["seq"][account_row]):
        seq = int(book.accounts.rows["seq"][account_row])
        row = {"account": pool.fund_account, "update_id": 0, "account_seq": seq, "time_us": time_us}
        opening_flows(book, pool.pool, row, {}, out)


def opening_flows(book: Book, pool: int, row: dict[str, Any], before: Mapping[int, int], out: Outputs) -> None:
    """Tell of a SNAPSHOT of the fund: by how much its wallets differ from `before`, and its inventory, flat where it held something.

    Of the pool's own asset it tells in any case, of others where there was or is money or inventory: a SNAPSHOT replaces all of them at once.
    """
    account, own = row["account"], book.pools[pool].asset
    common = {
        "cause": FlowCause.OPENING, "source_id": row["update_id"], "quote": 0, "account_seq": row["account_seq"], "event_time_us": row["time_us"],
    }  # fmt: skip
    book.ensure_group(book.account_row(account), own)
    for asset, wallet in sorted(wallets_of(book, account).items()):
        group, cash = book.group_row((account, asset, 0, 0)), wallet - before.get(asset, 0)
        positions = list(book.positions_of(group))
        if asset == own or cash or wallet or positions:
            out.emit("fund-flows", {**common, "lots": 0, "cash": cash, **_flow(book, pool, account, asset, None)})
        for position in positions:
            flow = _flow(book, pool, account, asset, book.position_key(position)[1])
            out.emit("fund-flows", {**common, "lots": flow["lots_after"], "quote": flow["cost_after"], "cash": 0, **flow})
