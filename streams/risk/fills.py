"""Fills compiled: plain trades of ordinary accounts in runs. Book.fill is the exact path and the twin (tests/unit/risk).

The kernel stops in front of a row it is not meant for; the exact path in Python takes that row. Products: quotes and costs below 2^52
(domain/money.py), lots below 2^31 on this path.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.domain.events import FillKind, MarginMode, PositionSide
from streams.domain.money import MAX_ACCOUNT, MAX_GROUP_POSITIONS, MAX_VALUE, MAX_WALLET
from streams.risk.bands import is_crossing, spare_after
from streams.risk.layout import Tables, add_group, add_position, move_wallet, position_key, set_position
from streams.risk.table import EMPTY, find, kernel, touch

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
    partition: NDArray[np.int64]


@kernel
def _fast_group(tables: Tables, account_row: int, instrument_row: int, side: int, mode: int) -> int:
    """Group of a fill of an ordinary account, or EMPTY where the exact path must look (another margin mode)."""
    ins = tables.instruments.rows
    row = find(tables.position_index, position_key(account_row, ins["instrument"][instrument_row], side))
    if row != EMPTY:
        group = tables.positions.rows["group"][row]
        is_isolated = tables.groups.rows["instrument"][group] != 0
        return group if is_isolated == (mode == _ISOLATED) else EMPTY
    if mode == _ISOLATED:
        return add_group(tables, account_row, ins["asset"][instrument_row], ins["instrument"][instrument_row], side)
    return add_group(tables, account_row, ins["asset"][instrument_row], 0, 0)


@kernel
def _is_fast_fill(tables: Tables, fills: FillColumns, n: int) -> bool:
    """Whether row n is the next one of an ordinary known account, or one seen before, and only a plain trade well inside the bounds."""
    if not 0 < fills.account[n] < _MAX_ACCOUNT:
        return False
    account_row = find(tables.account_index, fills.account[n])
    if account_row == EMPTY or tables.accounts.rows["slow"][account_row] != 0:
        return False
    if fills.account_seq[n] > tables.accounts.rows["seq"][account_row] + 1 or fills.partition[n] != tables.accounts.rows["partition"][account_row]:
        return False  # something is missing, or stands where it should not
    if fills.kind[n] != _TRADE or fills.instruction_id[n] != _NULL or fills.margin_moved[n] != 0:
        return False
    if not _ONE_WAY <= fills.position_side[n] <= _SHORT or not _CROSS <= fills.margin_mode[n] <= _ISOLATED:
        return False
    instrument = fills.instrument[n]
    if not 0 < instrument < len(tables.by_id) or tables.by_id[instrument] == EMPTY:
        return False
    if not 0 < abs(fills.lots[n]) < _FAST_LOTS or abs(fills.quote[n]) > _MAX_VALUE:
        return False
    return bool(fills.price_ticks[n] == _NULL or _is_priced_alike(tables, fills, n))


@kernel
def _is_priced_alike(tables: Tables, fills: FillColumns, n: int) -> bool:
    """Whether the quote is lots x price x value of a tick and lot, where the instrument's bounds keep that product small; exactly told elsewhere."""
    row, ins, price = tables.by_id[fills.instrument[n]], tables.instruments.rows, fills.price_ticks[n]
    if abs(price) > ins["max_mark_ticks"][row] or abs(fills.lots[n]) > ins["max_lots"][row]:
        return False
    return bool(fills.quote[n] == fills.lots[n] * price * ins["value_per_tick_lot"][row])


@kernel
def _apply_fast_fill(tables: Tables, fills: FillColumns, n: int) -> int:
    """Apply a fast fill; row of its group, or EMPTY where the exact path must decide instead (no money moved then)."""
    account_row, instrument_row = find(tables.account_index, fills.account[n]), tables.by_id[fills.instrument[n]]
    group = _fast_group(tables, account_row, instrument_row, fills.position_side[n], fills.margin_mode[n])
    if group == EMPTY:
        return EMPTY
    g, p = tables.groups.rows, tables.positions.rows
    row = add_position(tables, account_row, instrument_row, fills.position_side[n], group)
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
def apply_fills(tables: Tables, fills: FillColumns, start: int, stop: int) -> tuple[int, int, int]:
    """Apply plain trades from `start` on, until one changes a group's state. Returns (first row not taken, duplicates passed over, group).

    The group is the one whose state the row before changed, or EMPTY.
    """
    duplicates = 0
    for n in range(start, stop):
        if not _is_fast_fill(tables, fills, n):
            return n, duplicates, EMPTY
        a = tables.accounts.rows
        account_row = find(tables.account_index, fills.account[n])
        if fills.account_seq[n] <= a["seq"][account_row]:
            duplicates += 1
            continue
        group = _apply_fast_fill(tables, fills, n)
        if group == EMPTY:
            return n, duplicates, EMPTY
        a["seq"][account_row] = fills.account_seq[n]
        touch(tables.accounts, account_row)
        if tables.groups.rows["spare"][group] < 0 and is_crossing(tables, group):
            return n + 1, duplicates, group
    return stop, duplicates, EMPTY
