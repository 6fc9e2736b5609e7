"""Fills compiled: plain trades of ordinary accounts in runs. Book.fill is the exact path and the twin (tests/unit/risk).

The kernel stops in front of a row it is not meant for; the exact path in Python takes that row. Products: quotes and costs below 2^52
(domain/money.py), lots below 2^31 on this path. Accounts and instruments are met at random: what a fill costs is waiting for memory. So rows are
looked up AHEAD fills at a time, each lookup independent of the one before it, and the processor waits for many at once.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.domain.events import FillKind, MarginMode, PositionSide
from streams.domain.money import MAX_ACCOUNT, MAX_GROUP_POSITIONS, MAX_VALUE, MAX_WALLET
from streams.risk.bands import is_crossing, spare_after
from streams.risk.layout import Tables, add_group, add_position, move_wallet, position_key, set_position
from streams.risk.repeats import fill_print, has_heard, remember
from streams.risk.table import EMPTY, Table, find, kernel, touch

_NULL: Final = -(2**63)
_TRADE: Final = int(FillKind.TRADE)
_CROSS: Final = int(MarginMode.CROSS)
_ISOLATED: Final = int(MarginMode.ISOLATED)
_ONE_WAY: Final = int(PositionSide.ONE_WAY)
_SHORT: Final = int(PositionSide.SHORT)
_FAST_LOTS: Final = 2**31
_MAX_VALUE: Final = MAX_VALUE
_MAX_WALLET: Final = MAX_WALLET
_MAX_ACCOUNT: Final = MAX_ACCOUNT
_MAX_POSITIONS: Final = MAX_GROUP_POSITIONS
AHEAD: Final = 128  # what so many fills touch fits a core's own cache


class FillColumns(NamedTuple):
    """Columns of a run of fills."""

    account: NDArray[np.int64]
    account_seq: NDArray[np.int64]
    instrument: NDArray[np.int64]
    position_side: NDArray[np.int64]
    margin_mode: NDArray[np.int64]
    lots: NDArray[np.int64]
    quote: NDArray[np.int64]
    margin_moved: NDArray[np.int64]
    kind: NDArray[np.int64]
    instruction_id: NDArray[np.int64]
    price_ticks: NDArray[np.int64]
    trade_id: NDArray[np.int64]
    leg: NDArray[np.int64]
    counter_account: NDArray[np.int64]
    partition: NDArray[np.int64]


class Ahead(NamedTuple):
    """Rows of the next AHEAD fills, EMPTY where there was none when they were looked up. `touched` only keeps the compiler from dropping reads."""

    account: NDArray[np.int64]
    position: NDArray[np.int64]
    touched: NDArray[np.int64]


def new_ahead() -> Ahead:
    """Room for what `apply_fills` looks up."""
    return Ahead._make([np.zeros(AHEAD, np.int64) for _ in Ahead._fields])


@kernel
def _look_ahead(tables: Tables, fills: FillColumns, start: int, stop: int, ahead: Ahead) -> None:
    """Look up the rows of these fills, and touch what applying them will read."""
    a, p, g = tables.accounts.rows, tables.positions.rows, tables.groups.rows
    for n in range(start, stop):
        is_account = 0 < fills.account[n] < _MAX_ACCOUNT
        ahead.account[n - start] = find(tables.account_index, fills.account[n]) if is_account else EMPTY
    for n in range(start, stop):
        account_row = ahead.account[n - start]
        is_key = account_row != EMPTY and 0 < fills.instrument[n] < len(tables.by_id) and _ONE_WAY <= fills.position_side[n] <= _SHORT
        key = position_key(account_row, fills.instrument[n], fills.position_side[n])
        ahead.position[n - start] = find(tables.position_index, key) if is_key else EMPTY
    for n in range(start, stop):
        row, account_row = ahead.position[n - start], ahead.account[n - start]
        group = a["first_group"][account_row] if account_row != EMPTY else EMPTY  # most accounts have one
        ahead.touched[n - start] = p["cost"][row] + p["slot"][row] if row != EMPTY else 0
        if group != EMPTY:
            ahead.touched[n - start] += g["wallet"][group] + g["spare"][group]


@kernel
def _group_of(tables: Tables, row: int, mode: int) -> int:
    """Group of a position, or EMPTY where the exact path must look (another margin mode)."""
    group = tables.positions.rows["group"][row]
    is_isolated = tables.groups.rows["instrument"][group] != 0
    return group if is_isolated == (mode == _ISOLATED) else EMPTY


@kernel
def _position_of(tables: Tables, fills: FillColumns, n: int, account_row: int) -> int:
    """Row of the position of fill n, made if it is new, and with it its group."""
    instrument_row = tables.by_id[fills.instrument[n]]
    ins, side = tables.instruments.rows, fills.position_side[n]
    instrument, asset = ins["instrument"][instrument_row], ins["asset"][instrument_row]
    row = find(tables.position_index, position_key(account_row, instrument, side))
    if row != EMPTY:  # made by a fill since it was looked up
        return row
    is_isolated = fills.margin_mode[n] == _ISOLATED
    group = add_group(tables, account_row, asset, instrument, side) if is_isolated else add_group(tables, account_row, asset, 0, 0)
    return add_position(tables, account_row, instrument_row, side, group)


@kernel
def _is_fast_fill(tables: Tables, fills: FillColumns, n: int, account_row: int) -> bool:
    """Whether row n is the next one of an ordinary known account, or one seen before, and only a plain trade well inside the bounds."""
    if account_row == EMPTY or tables.accounts.rows["slow"][account_row] != 0:
        return False
    if not 0 < fills.account_seq[n] <= tables.accounts.rows["seq"][account_row] + 1:
        return False  # something is missing, or the number is none
    if fills.partition[n] != tables.accounts.rows["partition"][account_row]:
        return False
    if fills.kind[n] != _TRADE or fills.instruction_id[n] != _NULL or fills.margin_moved[n] != 0:
        return False
    if not _ONE_WAY <= fills.position_side[n] <= _SHORT or not _CROSS <= fills.margin_mode[n] <= _ISOLATED:
        return False
    instrument = fills.instrument[n]
    if not 0 < instrument < len(tables.by_id) or tables.by_id[instrument] == EMPTY:
        return False
    if not 0 < abs(fills.lots[n]) < _FAST_LOTS or abs(fills.quote[n]) > _MAX_VALUE:
        return False
    if fills.price_ticks[n] == _NULL:
        return bool(fills.quote[n] == 0 or (fills.quote[n] < 0) == (fills.lots[n] < 0))
    return bool(_is_priced_alike(tables, fills, n))


@kernel
def _is_priced_alike(tables: Tables, fills: FillColumns, n: int) -> bool:
    """Whether the quote is lots x price x value of a tick and lot, where the instrument's bounds keep that product small; exactly told elsewhere."""
    row, ins, price = tables.by_id[fills.instrument[n]], tables.instruments.rows, fills.price_ticks[n]
    if abs(price) > ins["max_mark_ticks"][row] or abs(fills.lots[n]) > ins["max_lots"][row]:
        return False
    return bool(fills.quote[n] == fills.lots[n] * price * ins["value_per_tick_lot"][row])


@kernel
def _apply_fast_fill(tables: Tables, fills: FillColumns, n: int, row: int) -> int:
    """Apply a fast fill of a position's row; row of its group, or EMPTY where the exact path must decide instead (no money moved then)."""
    instrument_row, group = tables.by_id[fills.instrument[n]], _group_of(tables, row, fills.margin_mode[n])
    if group == EMPTY:
        return EMPTY
    g, p = tables.groups.rows, tables.positions.rows
    lots, cost, change, quote = p["lots"][row], p["cost"][row], fills.lots[n], fills.quote[n]
    if g["in_episode"][group] != 0 or p["reserved"][row] != 0 or abs(lots) >= _FAST_LOTS:
        return EMPTY
    if lots == 0 and g["open_positions"][group] >= _MAX_POSITIONS:
        return EMPTY
    if lots == 0 or (lots > 0) == (change > 0):
        if abs(lots + change) > tables.instruments.rows["max_lots"][instrument_row] or abs(cost + quote) > _MAX_VALUE:
            return EMPTY
        left = spare_after(tables, group, instrument_row, lots, change, quote)
        set_position(tables, row, lots + change, cost + quote)
        g["spare"][group] = left
        return group
    size, flow = abs(lots), abs(change)
    closing = min(size, flow)
    whole, rest = cost // size, cost % size
    released = whole * closing + (rest * closing + size - 1) // size  # cost x part, towards +infinity
    opened_quote = quote - (quote // flow * closing + quote % flow * closing // flow)  # the closing part is rounded down; 0 when nothing is opened
    cash = opened_quote - quote - released
    wallet, lots_after = g["wallet"][group] + cash, lots + change
    if abs(wallet) > _MAX_WALLET or (wallet < 0 and lots_after == 0):
        return EMPTY  # flat and below zero may be a deficit
    if abs(lots_after) > tables.instruments.rows["max_lots"][instrument_row]:
        return EMPTY
    left = spare_after(tables, group, instrument_row, lots, change, quote)
    move_wallet(tables, group, cash)
    set_position(tables, row, lots_after, opened_quote if flow > size else cost - released)
    g["spare"][group] = left
    return group


@kernel
def _print_of(fills: FillColumns, n: int) -> int:
    """Fingerprint of fill n; 0 where it says no trade id (risk/repeats.py)."""
    if fills.trade_id[n] == 0:
        return 0
    return fill_print(
        fills.account[n], fills.trade_id[n], fills.leg[n], fills.counter_account[n], fills.instrument[n], fills.position_side[n], fills.lots[n],
        fills.quote[n], fills.kind[n],
    )  # fmt: skip


@kernel
def apply_fills(tables: Tables, memory: Table, fills: FillColumns, start: int, stop: int, ahead: Ahead) -> tuple[int, int, int]:
    """Apply plain trades from `start` on, until one changes a group's state. Returns (first row not taken, duplicates passed over, group).

    The group is the one whose state the row before changed, or EMPTY. `memory`: the fingerprints of events heard.
    """
    duplicates, a = 0, tables.accounts.rows
    for n in range(start, stop):
        place = (n - start) % AHEAD
        if place == 0:
            _look_ahead(tables, fills, n, min(stop, n + AHEAD), ahead)
        account_row, row = ahead.account[place], ahead.position[place]
        if not _is_fast_fill(tables, fills, n, account_row):
            return n, duplicates, EMPTY
        if fills.account_seq[n] <= a["seq"][account_row]:
            duplicates += 1
            continue
        number = _print_of(fills, n)
        if number != 0 and has_heard(memory, number):
            return n, duplicates, EMPTY
        if row == EMPTY:
            row = _position_of(tables, fills, n, account_row)
        group = _apply_fast_fill(tables, fills, n, row)
        if group == EMPTY:
            return n, duplicates, EMPTY
        if number != 0:
            remember(memory, number)
        a["seq"][account_row] = fills.account_seq[n]
        touch(tables.accounts, account_row)
        if tables.groups.rows["spare"][group] < 0 and is_crossing(tables, group):
            return n + 1, duplicates, group
    return stop, duplicates, EMPTY
