"""What is derived in the book, derived again from what is kept: after a restore, and when parameters change."""

from streams.risk.kernels import Tables, cross_key, isolated_key, link_group, link_position, maintenance_of, position_key
from streams.risk.table import EMPTY, ROWS, kernel, put


@kernel
def value_all(tables: Tables) -> None:
    """Recompute every derived figure from kept ones: after a restore, and when parameters change."""
    p, g, ins = tables.positions.rows, tables.groups.rows, tables.instruments.rows
    for group in range(tables.groups.counts[ROWS]):
        g["equity"][group], g["maintenance"][group], g["unpriced"][group] = g["wallet"][group], 0, 0
    for row in range(tables.positions.counts[ROWS]):
        group, instrument_row, lots = p["group"][row], p["instrument_row"][row], p["lots"][row]
        mark = ins["mark_ticks"][instrument_row]
        p["value"][row], p["maintenance"][row] = p["cost"][row], 0
        if mark != 0:
            p["value"][row] = lots * mark * ins["value_per_tick_lot"][instrument_row]
            p["maintenance"][row] = maintenance_of(tables, instrument_row, p["value"][row])
        elif lots != 0:
            g["unpriced"][group] += 1
        g["equity"][group] += p["value"][row] - p["cost"][row]
        g["maintenance"][group] += p["maintenance"][row]


@kernel
def rebuild_links(tables: Tables) -> None:
    """Derive indexes and chains from kept fields: after a restore."""
    a, g, p = tables.accounts.rows, tables.groups.rows, tables.positions.rows
    for row in range(tables.accounts.counts[ROWS]):
        put(tables.account_index, a["account"][row], row)
        a["first_group"][row] = EMPTY
    for row in range(tables.groups.counts[ROWS]):
        owner, instrument = g["account_row"][row], g["instrument"][row]
        put(tables.group_index, cross_key(owner, g["asset"][row]) if instrument == 0 else isolated_key(owner, instrument, g["side"][row]), row)
        g["first_position"][row] = EMPTY
        link_group(tables, row)
    for row in range(tables.positions.counts[ROWS]):
        owner = g["account_row"][p["group"][row]]
        put(tables.position_index, position_key(owner, tables.instruments.rows["instrument"][p["instrument_row"][row]], p["side"][row]), row)
        link_position(tables, row)
