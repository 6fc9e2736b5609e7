"""Safety bands: between which marks a position's group crosses no threshold, so that a mark costs what it violates.

A group's state changes only where f = equity - alpha x maintenance changes sign, for alpha 0, 1 and the warning ratio. While every mark M_i
of the group stays within d_i of where the bands were set, |f| moves by at most sum of L_i x d_i, with L_i = |lots| x value per tick and lot
x (1 + alpha x rate), the rate of the tier the band stays below the end of. Each of n positions may use (|f| - slack) / n. The slack is the
units that rounding may add: one a maintenance, one a tier floor, times alpha, and one for the sign. docs/adr/0008 tells why it is safe.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.domain.events import NULL, Grade, GroupState
from streams.risk.layout import BLOCK, BLOCKS, NEVER_HIGH, NEVER_LOW, PENDING, UNKNOWN, Bands, Tables
from streams.risk.table import EMPTY, kernel, touch
from streams.risk.valuation import classify, evaluate, maintenance_of, ppm_ceil, tier_of

_PPM: Final = 1_000_000
_SECOND_US: Final = 1_000_000
_GOOD: Final = int(Grade.GOOD)
_HEALTHY: Final = int(GroupState.HEALTHY)
_SPARED: Final = 8  # one part in so many


@kernel
def _set_band(bands: Bands, slot: int, low: int, high: int) -> None:
    """Set a slot's band. The block's extremes only ever tighten here; looking at the block sets them right again."""
    bands.low[slot], bands.high[slot] = low, high
    block = slot // BLOCK
    bands.block_low[block] = max(bands.block_low[block], low)
    bands.block_high[block] = min(bands.block_high[block], high)


@kernel
def _set_all(tables: Tables, group: int, low: int, high: int) -> None:
    """One band for every position of the group that is not flat; flat ones are never looked at."""
    p = tables.positions.rows
    row = tables.groups.rows["first_position"][group]
    while row != EMPTY:
        if p["lots"][row] != 0:
            _set_band(tables.bands, p["slot"][row], low, high)
        else:
            _set_band(tables.bands, p["slot"][row], NEVER_LOW, NEVER_HIGH)
        row = p["next_position"][row]


@kernel
def _warning_ratio(tables: Tables, group: int) -> tuple[int, int]:
    """(greatest warning ratio, number of tiers) over the group's positions that are not flat."""
    p, ins = tables.positions.rows, tables.instruments.rows
    greatest, tiers = 0, 0
    row = tables.groups.rows["first_position"][group]
    while row != EMPTY:
        if p["lots"][row] != 0:
            instrument_row = p["instrument_row"][row]
            greatest = max(greatest, ins["warning_ppm"][instrument_row])
            tiers += ins["tier_count"][instrument_row]
        row = p["next_position"][row]
    return greatest, tiers


@kernel
def _distance(base: int, rate_ppm: int, alpha_ppm: int, budget: int) -> int:
    """Ticks a mark may move when the position may use `budget` of |f|; `base` is the value of one tick."""
    if budget <= 0:
        return 0
    return budget // (base + ppm_ceil(ppm_ceil(base, rate_ppm), alpha_ppm))


@kernel
def _gap(equity: int, maintenance: int, alpha_ppm: int, count: int, tiers: int) -> int:
    """|equity - alpha x maintenance|, rounding taken off."""
    return abs(equity - ppm_ceil(maintenance, alpha_ppm)) - (ppm_ceil(2 * count + tiers, alpha_ppm) + 2)


@kernel
def _spare(tables: Tables, group: int, gap: int, part: int, alpha_ppm: int) -> int:
    """Keep one part in `part` of a healthy group's smallest gap, that of alpha, to spare for fills; how much that is. Of any other group nothing.

    A fill moves equity and one maintenance: while such moves fit what is left, no threshold is crossed, whatever the marks within the bands.
    """
    g = tables.groups.rows
    if g["state"][group] != _HEALTHY or gap <= 0:
        return 0
    g["spare"][group], g["spare_ppm"][group] = gap // part, alpha_ppm
    return gap // part


@kernel
def spare_after(tables: Tables, group: int, instrument_row: int, lots: int, change: int, quote: int) -> int:
    """What a group has to spare after a fill of `change` lots for `quote` in a position of `lots`; UNKNOWN where the group must be looked at.

    At marks in force equity moves by change x mark - quote, wherever the cost basis puts it, and maintenance by the position's own.
    """
    g, ins = tables.groups.rows, tables.instruments.rows
    alpha_ppm, lot_value = g["spare_ppm"][group], ins["mark_ticks"][instrument_row] * ins["value_per_tick_lot"][instrument_row]
    if g["spare"][group] <= 0 or lot_value == 0 or ins["warning_ppm"][instrument_row] > alpha_ppm:
        return UNKNOWN
    before, after = maintenance_of(tables, instrument_row, lots * lot_value), maintenance_of(tables, instrument_row, (lots + change) * lot_value)
    left = g["spare"][group] - abs(change * lot_value - quote) - ppm_ceil(abs(after - before), alpha_ppm) - 2
    return max(UNKNOWN, int(left))


@kernel
def reband(tables: Tables, group: int) -> int:
    """Set the bands of a group at the current marks; its state class there. A band no mark is within means: look at every mark."""
    g = tables.groups.rows
    if g["watched"][group] == 0:
        _set_all(tables, group, NEVER_LOW, NEVER_HIGH)
        return int(g["state"][group])
    equity, maintenance, count, priced = evaluate(tables, group)
    return _band(tables, group, equity, maintenance, count, priced)


@kernel
def _band(tables: Tables, group: int, equity: int, maintenance: int, count: int, priced: bool) -> int:
    """`reband` of a watched group that has just been evaluated."""
    g, p, ins = tables.groups.rows, tables.positions.rows, tables.instruments.rows
    g["spare"][group] = UNKNOWN
    warning, tiers = _warning_ratio(tables, group)
    state = classify(equity, maintenance, warning)
    if count == 0 or not priced or g["in_episode"][group] != 0 or state != g["state"][group]:
        _set_all(tables, group, NEVER_HIGH, NEVER_LOW)
        return state
    at_maintenance, at_warning = _gap(equity, maintenance, _PPM, count, tiers), _gap(equity, maintenance, warning, count, tiers)
    spare = _spare(tables, group, at_warning if warning > _PPM else at_maintenance, _SPARED, max(_PPM, warning))
    bankrupt = (_gap(equity, maintenance, 0, count, tiers) - spare) // count
    liquidatable, warned = (at_maintenance - spare) // count, (at_warning - spare) // count
    row = g["first_position"][group]
    while row != EMPTY:
        low, high = NEVER_LOW, NEVER_HIGH
        if p["lots"][row] != 0:
            instrument_row = p["instrument_row"][row]
            mark, base = ins["mark_ticks"][instrument_row], abs(p["lots"][row]) * ins["value_per_tick_lot"][instrument_row]
            tier = tier_of(tables, instrument_row, base * mark)
            rate = tables.tiers[tier, 1]
            distance = min(_distance(base, rate, 0, bankrupt), _distance(base, rate, _PPM, liquidatable))
            if warning != 0:
                distance = min(distance, _distance(base, rate, warning, warned))
            low, high = mark - distance, mark + distance
            if tier + 1 < ins["tier_from"][instrument_row] + ins["tier_count"][instrument_row]:
                high = min(high, (tables.tiers[tier + 1, 0] - 1) // base)  # beyond lies a steeper tier
        _set_band(tables.bands, p["slot"][row], low, high)
        row = p["next_position"][row]
    return state


@kernel
def settle_pending(tables: Tables) -> None:
    """Set the bands of all groups that changed since the last mark."""
    bands = tables.bands
    for n in range(bands.counts[PENDING]):
        group = bands.pending[n]
        tables.groups.rows["pending"][group] = 0
        reband(tables, group)
    bands.counts[PENDING] = 0


@kernel
def _look(tables: Tables, row: int, crossed: NDArray[np.int64], count: int) -> int:
    """Evaluate the group of a position whose band was left; list it if its state class changed. New count."""
    g = tables.groups.rows
    group = tables.positions.rows["group"][row]
    if g["watched"][group] == 0 or g["listed"][group] != 0:
        return count
    equity, maintenance, positions, priced = evaluate(tables, group)
    state = _band(tables, group, equity, maintenance, positions, priced)
    if priced and state != g["state"][group]:
        g["listed"][group] = 1
        crossed[count] = group
        return count + 1
    return count


@kernel
def is_crossing(tables: Tables, group: int) -> bool:
    """Whether a watched, priced group is in an episode, or its state class at the marks in force is not the one it was left in."""
    g = tables.groups.rows
    if g["watched"][group] == 0:
        return False
    if g["in_episode"][group] != 0:
        return True
    equity, maintenance, count, priced = evaluate(tables, group)
    warning, tiers = _warning_ratio(tables, group)
    if priced and classify(equity, maintenance, warning) != g["state"][group]:
        return True
    if priced and g["pending"][group] != 0:  # no mark passes before its bands are set: all of the gap is to spare
        strictest = max(_PPM, warning)
        _spare(tables, group, _gap(equity, maintenance, strictest, count, tiers), 1, strictest)
    return False


@kernel
def apply_mark(tables: Tables, instrument_row: int, mark_ticks: int, crossed: NDArray[np.int64]) -> int:
    """Set a mark; list the groups that hold the instrument and whose state class changed, each once, and return how many."""
    bands, ins = tables.bands, tables.instruments.rows
    ins["mark_ticks"][instrument_row] = mark_ticks
    settle_pending(tables)
    count, block = 0, ins["first_block"][instrument_row]
    while block != EMPTY:
        if mark_ticks < bands.block_low[block] or mark_ticks > bands.block_high[block]:
            count = _look_at_block(tables, block, mark_ticks, crossed, count)
        block = bands.next_block[block]
    for n in range(count):
        tables.groups.rows["listed"][crossed[n]] = 0
    return count


@kernel
def _look_at_block(tables: Tables, block: int, mark_ticks: int, crossed: NDArray[np.int64], count: int) -> int:
    bands = tables.bands
    for slot in range(block * BLOCK, (block + 1) * BLOCK):
        if (mark_ticks < bands.low[slot] or mark_ticks > bands.high[slot]) and tables.positions.rows["lots"][bands.owner[slot]] != 0:
            count = _look(tables, bands.owner[slot], crossed, count)
    low, high = NEVER_LOW, NEVER_HIGH
    for slot in range(block * BLOCK, (block + 1) * BLOCK):
        low, high = max(low, bands.low[slot]), min(high, bands.high[slot])
    bands.block_low[block], bands.block_high[block] = low, high
    return count


class MarkColumns(NamedTuple):
    """Columns of a run of marks."""

    instrument: NDArray[np.int64]
    mark_ticks: NDArray[np.int64]
    epoch: NDArray[np.int64]
    sequence: NDArray[np.int64]
    grade: NDArray[np.int64]
    event_time_us: NDArray[np.int64]


@kernel
def apply_marks(tables: Tables, marks: MarkColumns, start: int, stop: int, clock_us: int, crossed: NDArray[np.int64]) -> tuple[int, int]:
    """Apply plain marks from `start` on, until one lists groups. Returns (first row not taken, groups listed by the row before it).

    A mark is plain, and taken, when domain/marks.py would apply it and its instrument is GOOD before and after; it ends no event second, and no
    position waits for it.
    """
    ins = tables.instruments.rows
    second = clock_us // _SECOND_US
    for n in range(start, stop):
        instrument = marks.instrument[n]
        row = tables.by_id[instrument] if 0 < instrument < len(tables.by_id) else EMPTY
        if row == EMPTY or marks.event_time_us[n] // _SECOND_US > second or ins["mark_ticks"][row] == 0:
            return n, 0
        if not 0 < marks.mark_ticks[n] <= ins["max_mark_ticks"][row] or ins["waiting"][row] != 0:
            return n, 0
        if marks.grade[n] != _GOOD or ins["mark_grade"][row] != _GOOD or ins["is_halted"][row] != 0:
            return n, 0
        clock_us = max(clock_us, marks.event_time_us[n])
        age = ins["max_mark_age_us"][row]
        if age != 0 and clock_us - min(marks.event_time_us[n], ins["mark_time_us"][row]) > age:
            return n, 0
        epoch = 0 if marks.epoch[n] == NULL else marks.epoch[n]
        if epoch != ins["mark_epoch"][row] or marks.sequence[n] <= ins["mark_sequence"][row]:
            return n, 0
        count = apply_mark(tables, row, marks.mark_ticks[n], crossed)
        ins["mark_sequence"][row], ins["mark_time_us"][row] = marks.sequence[n], marks.event_time_us[n]
        touch(tables.instruments, row)
        if count:
            return n + 1, count
    return stop, 0


class BandStore:
    """The growing arrays of the bands; derived, never snapshotted."""

    def __init__(self) -> None:
        self.b = Bands._make([*(np.zeros(0, np.int64) for _ in range(7)), np.zeros(2, np.int64)])

    def reserve(self, *, positions: int, instruments: int, groups: int) -> None:
        """Make room for this many in all; every instrument may have one block that is not full."""
        blocks = positions // BLOCK + instruments + 1
        if blocks > len(self.b.next_block):
            blocks = max(blocks, 2 * len(self.b.next_block))
            slots = [_grown(array, blocks * BLOCK) for array in self.b[:3]]
            self.b = Bands._make([*slots, *(_grown(array, blocks) for array in self.b[3:6]), *self.b[6:]])
        if groups > len(self.b.pending):
            self.b = self.b._replace(pending=_grown(self.b.pending, max(groups, 2 * len(self.b.pending))))

    def clear(self) -> None:
        """Forget all slots."""
        self.b.counts[BLOCKS] = self.b.counts[PENDING] = 0


def _grown(array: NDArray[np.int64], capacity: int) -> NDArray[np.int64]:
    grown = np.zeros(capacity, np.int64)
    grown[: len(array)] = array
    return grown
