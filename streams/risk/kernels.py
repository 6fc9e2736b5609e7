"""The compiled half of the book: fills in runs, marks over their holders, sums. Each has a plain twin (tests/property).

A kernel that meets a row it is not meant for stops in front of it and says so; the exact path in Python takes that row.
Products: values and costs below 2^52 (domain/money.py), lots below 2^31 on this path, rates at most 10^6 split from the notional.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.domain.events import FillKind, GroupState, MarginMode, PositionSide, Role
from streams.domain.money import MAX_ACCOUNT, MAX_VALUE, MAX_WALLET, PPM
from streams.risk.table import EMPTY, ROWS, Index, Table, find, kernel, put, touch

_NULL: Final = -(2**63)
_TRADE: Final = int(FillKind.TRADE)
_CROSS: Final = int(MarginMode.CROSS)
_ISOLATED: Final = int(MarginMode.ISOLATED)
_ONE_WAY: Final = int(PositionSide.ONE_WAY)
_SHORT: Final = int(PositionSide.SHORT)
_HEALTHY: Final = int(GroupState.HEALTHY)
_WARNING: Final = int(GroupState.WARNING)
_LIQUIDATABLE: Final = int(GroupState.LIQUIDATABLE)
_BANKRUPT: Final = int(GroupState.BANKRUPT)
_USER: Final = int(Role.USER)
_MAKER: Final = int(Role.MAKER)
_FAST_LOTS: Final = 2**31
_MAX_VALUE: Final = MAX_VALUE
_MAX_WALLET: Final = MAX_WALLET
_MAX_ACCOUNT: Final = MAX_ACCOUNT
_PPM: Final = PPM


class Tables(NamedTuple):
    """The book as kernels see it. `by_id` maps an instrument id to its row, EMPTY where unknown."""

    accounts: Table
    groups: Table
    positions: Table
    instruments: Table
    account_index: Index
    group_index: Index
    position_index: Index
    by_id: NDArray[np.int64]
    tiers: NDArray[np.int64]  # rows of (floor, rate_ppm, maintenance_amount); an instrument has a range of them


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
    partition: NDArray[np.int64]


@kernel
def position_key(account_row: int, instrument: int, side: int) -> int:
    """Key of a position: instrument below 2^20, side below 4."""
    return (account_row << 22) | (instrument << 2) | side


@kernel
def cross_key(account_row: int, asset: int) -> int:
    """Key of a cross group."""
    return ((account_row << 22) | asset) << 1


@kernel
def isolated_key(account_row: int, instrument: int, side: int) -> int:
    """Key of an isolated group."""
    return (position_key(account_row, instrument, side) << 1) | 1


@kernel
def maintenance_of(tables: Tables, instrument_row: int, value: int) -> int:
    """Maintenance of a signed value, rounded up; the notional is split so that no product exceeds 2^52 + 2^40."""
    notional = abs(value)
    ins = tables.instruments.rows
    tier = ins["tier_from"][instrument_row]
    last = tier + ins["tier_count"][instrument_row] - 1
    while tier < last and notional >= tables.tiers[tier + 1, 0]:
        tier += 1
    rate = tables.tiers[tier, 1]
    whole, rest = notional // _PPM, notional % _PPM
    return max(0, int(whole * rate + (rest * rate + _PPM - 1) // _PPM - tables.tiers[tier, 2]))


@kernel
def classify(equity: int, maintenance: int, warning_ppm: int) -> int:
    """State of a group by its equity and maintenance; the warning level is maintenance x ratio, rounded up."""
    if equity < 0:
        return _BANKRUPT
    if equity < maintenance:
        return _LIQUIDATABLE
    if warning_ppm == 0 or maintenance == 0:
        return _HEALTHY
    whole, rest = maintenance // _PPM, maintenance % _PPM
    if equity < whole * warning_ppm + (rest * warning_ppm + _PPM - 1) // _PPM:
        return _WARNING
    return _HEALTHY


@kernel
def is_watched(tables: Tables, account_row: int) -> bool:
    """Whether the account's groups are evaluated at all: users and makers, neither SUSPECT nor still opening."""
    a = tables.accounts.rows
    return bool(a["flags"][account_row] == 0 and (a["role"][account_row] == _USER or a["role"][account_row] == _MAKER))


@kernel
def begin_sequence(tables: Tables, account_row: int, seq: int) -> None:
    """An account first heard of by record `seq` has nothing missing below it."""
    a = tables.accounts.rows
    if a["fill_seq"][account_row] == 0 and a["update_seq"][account_row] == 0:
        a["base_seq"][account_row] = seq - 1


@kernel
def add_account(tables: Tables, account: int, partition: int) -> int:
    """Row of the account, made if it is new."""
    row = find(tables.account_index, account)
    if row == EMPTY:
        row = tables.accounts.counts[ROWS]
        tables.accounts.counts[ROWS] += 1
        put(tables.account_index, account, row)
        a = tables.accounts.rows
        a["account"][row], a["partition"][row], a["role"][row], a["first_group"][row] = account, partition, _USER, EMPTY
        touch(tables.accounts, row)
    return row


@kernel
def add_group(tables: Tables, account_row: int, asset: int, instrument: int, side: int) -> int:
    """Row of the group, made if it is new; instrument and side are 0 for a cross group."""
    key = cross_key(account_row, asset) if instrument == 0 else isolated_key(account_row, instrument, side)
    row = find(tables.group_index, key)
    if row == EMPTY:
        row = tables.groups.counts[ROWS]
        tables.groups.counts[ROWS] += 1
        put(tables.group_index, key, row)
        g = tables.groups.rows
        g["account_row"][row], g["asset"][row], g["instrument"][row], g["side"][row] = account_row, asset, instrument, side
        g["state"][row], g["first_position"][row], g["watched"][row] = _HEALTHY, EMPTY, is_watched(tables, account_row)
        link_group(tables, row)
        touch(tables.groups, row)
    return row


@kernel
def link_group(tables: Tables, row: int) -> None:
    """Put a group into its account's chain."""
    g, a = tables.groups.rows, tables.accounts.rows
    account_row = g["account_row"][row]
    g["next_group"][row], a["first_group"][account_row] = a["first_group"][account_row], row


@kernel
def link_position(tables: Tables, row: int) -> None:
    """Put a position into its group's chain."""
    p, g = tables.positions.rows, tables.groups.rows
    group = p["group"][row]
    p["next_position"][row], g["first_position"][group] = g["first_position"][group], row


@kernel
def add_position(tables: Tables, account_row: int, instrument_row: int, side: int, group: int) -> int:
    """Row of the position, made in this group if it is new."""
    key = position_key(account_row, tables.instruments.rows["instrument"][instrument_row], side)
    row = find(tables.position_index, key)
    if row == EMPTY:
        row = tables.positions.counts[ROWS]
        tables.positions.counts[ROWS] += 1
        put(tables.position_index, key, row)
        p = tables.positions.rows
        p["group"][row], p["instrument_row"][row], p["side"][row] = group, instrument_row, side
        link_position(tables, row)
        touch(tables.positions, row)
    return row


@kernel
def set_position(tables: Tables, row: int, lots: int, cost: int) -> None:
    """Set a position and carry the change into its group's equity and maintenance. Without a mark it is worth its cost."""
    p, g, ins = tables.positions.rows, tables.groups.rows, tables.instruments.rows
    group, instrument_row = p["group"][row], p["instrument_row"][row]
    mark = ins["mark_ticks"][instrument_row]
    value, maintenance = cost, 0
    if mark != 0:
        value = lots * mark * ins["value_per_tick_lot"][instrument_row]
        maintenance = maintenance_of(tables, instrument_row, value)
    else:
        g["unpriced"][group] += int(lots != 0) - int(p["lots"][row] != 0)
    g["equity"][group] += (value - cost) - (p["value"][row] - p["cost"][row])
    g["maintenance"][group] += maintenance - p["maintenance"][row]
    p["lots"][row], p["cost"][row], p["value"][row], p["maintenance"][row] = lots, cost, value, maintenance
    touch(tables.positions, row)


@kernel
def move_wallet(tables: Tables, group: int, amount: int) -> None:
    """Change a wallet, and the group's equity with it."""
    g = tables.groups.rows
    g["wallet"][group] += amount
    g["equity"][group] += amount
    touch(tables.groups, group)


@kernel
def _fast_group(tables: Tables, account_row: int, instrument_row: int, side: int, mode: int) -> int:
    """Group of a fill of an ordinary account, or EMPTY where the exact path must look (mode of the position differs)."""
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
    """Whether row n concerns only a plain trade of an ordinary known account, well inside the bounds."""
    if not 0 < fills.account[n] < _MAX_ACCOUNT:
        return False
    account_row = find(tables.account_index, fills.account[n])
    if account_row != EMPTY and tables.accounts.rows["slow"][account_row] != 0:
        return False
    if fills.kind[n] != _TRADE or fills.instruction_id[n] != _NULL or fills.margin_moved[n] != 0:
        return False
    if not _ONE_WAY <= fills.position_side[n] <= _SHORT or not _CROSS <= fills.margin_mode[n] <= _ISOLATED:
        return False
    instrument = fills.instrument[n]
    if not 0 < instrument < len(tables.by_id) or tables.by_id[instrument] == EMPTY:
        return False
    return bool(0 < abs(fills.lots[n]) < _FAST_LOTS and abs(fills.quote[n]) <= _MAX_VALUE)


@kernel
def _apply_fast_fill(tables: Tables, fills: FillColumns, n: int) -> bool:
    """Apply a fast fill; False where the exact path must decide instead (nothing changed then)."""
    account_row, instrument_row = find(tables.account_index, fills.account[n]), tables.by_id[fills.instrument[n]]
    group = _fast_group(tables, account_row, instrument_row, fills.position_side[n], fills.margin_mode[n])
    if group == EMPTY:
        return False
    g, p = tables.groups.rows, tables.positions.rows
    row = add_position(tables, account_row, instrument_row, fills.position_side[n], group)
    lots, cost, change, quote = p["lots"][row], p["cost"][row], fills.lots[n], fills.quote[n]
    if g["in_episode"][group] != 0 or p["reserved"][row] != 0 or abs(lots) >= _FAST_LOTS:
        return False
    if lots == 0 or (lots > 0) == (change > 0):
        if abs(lots + change) > tables.instruments.rows["max_lots"][instrument_row] or abs(cost + quote) > _MAX_VALUE:
            return False
        set_position(tables, row, lots + change, cost + quote)
        return True
    if abs(change) > abs(lots):
        return False
    size = abs(lots)
    whole, rest = cost // size, cost % size
    released = whole * abs(change) + (rest * abs(change) + size - 1) // size  # cost x part, towards +infinity
    wallet = g["wallet"][group] - quote - released
    if abs(wallet) > _MAX_WALLET or (wallet < 0 and lots + change == 0):
        return False  # flat and below zero may be a deficit
    move_wallet(tables, group, -quote - released)
    set_position(tables, row, lots + change, cost - released)
    return True


@kernel
def apply_fills(tables: Tables, fills: FillColumns, start: int, stop: int) -> tuple[int, int]:
    """Apply plain trades from `start` on. Returns (first row not taken, duplicates passed over)."""
    duplicates = 0
    for n in range(start, stop):
        if not _is_fast_fill(tables, fills, n):
            return n, duplicates
        a = tables.accounts.rows
        account_row = add_account(tables, fills.account[n], fills.partition[n])
        if fills.account_seq[n] <= a["fill_seq"][account_row]:
            duplicates += 1
            continue
        if not _apply_fast_fill(tables, fills, n):
            return n, duplicates
        begin_sequence(tables, account_row, fills.account_seq[n])
        a["fill_seq"][account_row] = fills.account_seq[n]
        a["applied"][account_row] += 1
        touch(tables.accounts, account_row)
    return stop, duplicates


@kernel
def apply_mark(tables: Tables, holders: NDArray[np.int64], instrument_row: int, mark_ticks: int, crossed: NDArray[np.int64]) -> int:
    """Revalue the holders of an instrument; list groups whose state class changed in `crossed`, each once, and return how many.

    A group in an episode is listed only when it gets worse: it is being resolved already.
    """
    p, g, ins = tables.positions.rows, tables.groups.rows, tables.instruments.rows
    unit, first = ins["value_per_tick_lot"][instrument_row], ins["mark_ticks"][instrument_row] == 0
    ins["mark_ticks"][instrument_row] = mark_ticks
    for row in holders:
        lots = p["lots"][row]
        if lots == 0:
            continue
        group = p["group"][row]
        value = lots * mark_ticks * unit
        maintenance = maintenance_of(tables, instrument_row, value)
        g["equity"][group] += value - p["value"][row]
        g["maintenance"][group] += maintenance - p["maintenance"][row]
        p["value"][row], p["maintenance"][row] = value, maintenance
        if first:
            g["unpriced"][group] -= 1
    count = 0
    for row in holders:
        group = p["group"][row]
        if p["lots"][row] == 0 or g["watched"][group] == 0 or g["unpriced"][group] != 0:
            continue
        state = classify(g["equity"][group], g["maintenance"][group], ins["warning_ppm"][instrument_row])
        worse = state > g["state"][group]
        if (worse or (state < g["state"][group] and g["in_episode"][group] == 0)) and g["listed"][group] == 0:
            g["listed"][group] = 1
            crossed[count] = group
            count += 1
    for n in range(count):
        g["listed"][crossed[n]] = 0
    return count


@kernel
def measure_candidates(tables: Tables, holders: NDArray[np.int64], sign: int, marks: NDArray[np.int64], out: NDArray[Any]) -> int:
    """Positions of one side that can be deleveraged, valued at a vector of marks (by instrument row, 0 = not in the vector).

    Fills `out` (fields of risk/candidates.py) and returns how many. Free lots only; the group must be watched, in no episode, priced and solvent.
    """
    p, g, ins = tables.positions.rows, tables.groups.rows, tables.instruments.rows
    count = 0
    for row in holders:
        lots, group = p["lots"][row], p["group"][row]
        if lots * sign <= 0 or abs(lots) <= p["reserved"][row] or g["watched"][group] == 0 or g["in_episode"][group] != 0:
            continue
        equity, maintenance, priced = g["wallet"][group], 0, True
        other = g["first_position"][group]
        while other != EMPTY:
            if p["lots"][other] != 0:
                instrument_row = p["instrument_row"][other]
                value = p["lots"][other] * marks[instrument_row] * ins["value_per_tick_lot"][instrument_row]
                required = maintenance_of(tables, instrument_row, value)
                equity += value - p["cost"][other]
                maintenance += required
                priced = priced and marks[instrument_row] != 0
                if other == row:
                    out["value"][count], out["position_maintenance"][count] = value, required
            other = p["next_position"][other]
        if priced and equity > 0:
            out["position"][count], out["group_equity"][count], out["group_maintenance"][count] = row, equity, maintenance
            count += 1
    return count
