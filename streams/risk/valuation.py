"""What a group is worth at the marks and what it must hold: maintenance, state class, equity. All exact in int64 (domain/money.py)."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from streams.domain.events import GroupState
from streams.domain.money import PPM
from streams.risk.layout import BLOCK, Tables
from streams.risk.table import EMPTY, kernel

_HEALTHY: Final = int(GroupState.HEALTHY)
_WARNING: Final = int(GroupState.WARNING)
_LIQUIDATABLE: Final = int(GroupState.LIQUIDATABLE)
_BANKRUPT: Final = int(GroupState.BANKRUPT)
_PPM: Final = PPM


@kernel
def ppm_ceil(amount: int, ppm: int) -> int:
    """`amount` x `ppm` millionths, rounded towards +infinity; split so that nothing exceeds amount x (ppm / 10^6) + 2^42."""
    return amount // _PPM * ppm + (amount % _PPM * ppm + _PPM - 1) // _PPM


@kernel
def tier_of(tables: Tables, instrument_row: int, notional: int) -> int:
    """Row of the tier that a notional falls into."""
    ins = tables.instruments.rows
    tier: int = ins["tier_from"][instrument_row]
    last = tier + ins["tier_count"][instrument_row] - 1
    while tier < last and notional >= tables.tiers[tier + 1, 0]:
        tier += 1
    return tier


@kernel
def maintenance_of(tables: Tables, instrument_row: int, value: int) -> int:
    """Maintenance of a signed value, rounded up."""
    notional = abs(value)
    tier = tier_of(tables, instrument_row, notional)
    return max(0, int(ppm_ceil(notional, tables.tiers[tier, 1]) - tables.tiers[tier, 2]))


@kernel
def classify(equity: int, maintenance: int, warning_ppm: int) -> int:
    """State of a group by its equity and maintenance; the warning level is maintenance x ratio, rounded up."""
    if equity < 0:
        return _BANKRUPT
    if equity < maintenance:
        return _LIQUIDATABLE
    if equity < ppm_ceil(maintenance, warning_ppm):
        return _WARNING
    return _HEALTHY


@kernel
def evaluate(tables: Tables, group: int) -> tuple[int, int, int, bool]:
    """(equity, maintenance, positions that are not flat, whether all of them have a mark) of a group at the current marks."""
    p, ins = tables.positions.rows, tables.instruments.rows
    equity, maintenance, count, priced = tables.groups.rows["wallet"][group], 0, 0, True
    row = tables.groups.rows["first_position"][group]
    while row != EMPTY:
        lots, instrument_row = p["lots"][row], p["instrument_row"][row]
        if lots != 0:
            value = lots * ins["mark_ticks"][instrument_row] * ins["value_per_tick_lot"][instrument_row]
            equity += value - p["cost"][row]
            maintenance += maintenance_of(tables, instrument_row, value)
            count += 1
            priced = priced and ins["mark_ticks"][instrument_row] != 0
        row = p["next_position"][row]
    return equity, maintenance, count, priced


@kernel
def measure_candidates(tables: Tables, instrument_row: int, sign: int, marks: NDArray[np.int64], out: NDArray[Any]) -> int:
    """Positions of one side that can be deleveraged, valued at a vector of marks (by instrument row, 0 = not in the vector).

    Fills `out` (fields of risk/candidates.py) and returns how many. Free lots only; the group must be watched, in no episode, priced and solvent.
    """
    p, g, bands = tables.positions.rows, tables.groups.rows, tables.bands
    count, block = 0, tables.instruments.rows["first_block"][instrument_row]
    while block != EMPTY:
        for slot in range(block * BLOCK, (block + 1) * BLOCK):
            row = bands.owner[slot]
            if row == EMPTY:
                break
            lots, group = p["lots"][row], p["group"][row]
            if lots * sign <= 0 or abs(lots) <= p["reserved"][row] or g["watched"][group] == 0 or g["in_episode"][group] != 0:
                continue
            count += _measure_candidate(tables, row, marks, out, count)
        block = bands.next_block[block]
    return count


@kernel
def _measure_candidate(tables: Tables, row: int, marks: NDArray[np.int64], out: NDArray[Any], place: int) -> int:
    """1 and the figures at `place` if the position's group is priced and solvent at the vector, else 0."""
    p, g, ins = tables.positions.rows, tables.groups.rows, tables.instruments.rows
    group = p["group"][row]
    equity, maintenance = g["wallet"][group], 0
    other = g["first_position"][group]
    while other != EMPTY:
        if p["lots"][other] != 0:
            instrument_row = p["instrument_row"][other]
            if marks[instrument_row] == 0:
                return 0
            value = p["lots"][other] * marks[instrument_row] * ins["value_per_tick_lot"][instrument_row]
            required = maintenance_of(tables, instrument_row, value)
            equity += value - p["cost"][other]
            maintenance += required
            if other == row:
                out["value"][place], out["position_maintenance"][place] = value, required
        other = p["next_position"][other]
    if equity <= 0:
        return 0
    out["position"][place], out["group_equity"][place], out["group_maintenance"][place] = row, equity, maintenance
    return 1
