"""The book as kernels see it: tables, keys, chains, and the primitive changes every path shares.

Chains: an account's groups, a group's positions, an instrument's blocks of slots (bands.py). A change of a group's money or positions puts
the group on the pending list; its bands are set anew at the next mark.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.domain.events import GroupState, Role
from streams.risk.table import EMPTY, ROWS, Index, Table, find, kernel, put, touch

BLOCK: Final = 256  # slots of a block: a mark reads two numbers a block, so 1/128 of what it would read a slot
NEVER_LOW: Final = -(2**62)  # a band that no mark leaves
NEVER_HIGH: Final = 2**62
BLOCKS: Final = 0  # places in Bands.counts
PENDING: Final = 1
UNKNOWN: Final = -1  # of groups.spare: what the group has to spare must be measured
_HEALTHY: Final = int(GroupState.HEALTHY)
_USER: Final = int(Role.USER)
_MAKER: Final = int(Role.MAKER)


class Bands(NamedTuple):
    """Slots of positions, instrument by instrument in blocks: the marks between which a position needs no look, and the extremes of a block."""

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    owner: NDArray[np.int64]  # position row of the slot
    block_low: NDArray[np.int64]  # greatest low of the block, or more
    block_high: NDArray[np.int64]  # least high of the block, or less
    next_block: NDArray[np.int64]
    pending: NDArray[np.int64]  # group rows
    counts: NDArray[np.int64]


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
    bands: Bands


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
def is_watched(tables: Tables, account_row: int) -> bool:
    """Whether the account's groups are evaluated at all: users and makers, neither SUSPECT nor still opening."""
    a = tables.accounts.rows
    return bool(a["flags"][account_row] == 0 and (a["role"][account_row] == _USER or a["role"][account_row] == _MAKER))


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
    g["open_positions"][group] += int(p["lots"][row] != 0)


@kernel
def add_slot(tables: Tables, row: int) -> None:
    """Give a position the next slot of its instrument. Its band is left by any mark until it is set."""
    bands, ins = tables.bands, tables.instruments.rows
    instrument_row = tables.positions.rows["instrument_row"][row]
    block, used = ins["last_block"][instrument_row], ins["last_used"][instrument_row]
    if block == EMPTY or used == BLOCK:
        fresh, used = bands.counts[BLOCKS], 0
        bands.counts[BLOCKS] += 1
        bands.next_block[fresh] = EMPTY
        bands.block_low[fresh], bands.block_high[fresh] = NEVER_LOW, NEVER_HIGH
        bands.low[fresh * BLOCK : (fresh + 1) * BLOCK] = NEVER_LOW
        bands.high[fresh * BLOCK : (fresh + 1) * BLOCK] = NEVER_HIGH
        bands.owner[fresh * BLOCK : (fresh + 1) * BLOCK] = EMPTY
        if block == EMPTY:
            ins["first_block"][instrument_row] = fresh
        else:
            bands.next_block[block] = fresh
        block = fresh
        ins["last_block"][instrument_row] = block
    ins["last_used"][instrument_row] = used + 1
    slot = block * BLOCK + used
    bands.owner[slot], tables.positions.rows["slot"][row] = row, slot


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
        add_slot(tables, row)
        touch(tables.positions, row)
    return row


@kernel
def make_pending(tables: Tables, group: int) -> None:
    """The group's bands, and what it has to spare, no longer hold: bands are set anew at the next mark."""
    g, bands = tables.groups.rows, tables.bands
    g["spare"][group] = UNKNOWN
    if g["pending"][group] == 0:
        g["pending"][group] = 1
        bands.pending[bands.counts[PENDING]] = group
        bands.counts[PENDING] += 1


@kernel
def set_position(tables: Tables, row: int, lots: int, cost: int) -> None:
    """Set a position."""
    p = tables.positions.rows
    group = p["group"][row]
    tables.groups.rows["open_positions"][group] += int(lots != 0) - int(p["lots"][row] != 0)
    p["lots"][row], p["cost"][row] = lots, cost
    touch(tables.positions, row)
    make_pending(tables, group)


@kernel
def move_wallet(tables: Tables, group: int, amount: int) -> None:
    """Change a wallet."""
    tables.groups.rows["wallet"][group] += amount
    touch(tables.groups, group)
    make_pending(tables, group)
