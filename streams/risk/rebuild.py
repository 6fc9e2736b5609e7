"""What is derived in the book, derived again from what is kept: after a restore, and when parameters change."""

from streams.risk.layout import Tables, add_slot, cross_key, is_watched, isolated_key, link_group, link_position, make_pending, position_key
from streams.risk.table import EMPTY, ROWS, kernel, put, touch


@kernel
def make_all_pending(tables: Tables) -> None:
    """No band holds any more."""
    for group in range(tables.groups.counts[ROWS]):
        make_pending(tables, group)


@kernel
def watch_all(tables: Tables) -> None:
    """What follows from role and flags of every account."""
    a, g = tables.accounts.rows, tables.groups.rows
    for row in range(tables.accounts.counts[ROWS]):
        a["slow"][row] = not is_watched(tables, row)
        touch(tables.accounts, row)
    for row in range(tables.groups.counts[ROWS]):
        g["watched"][row] = is_watched(tables, g["account_row"][row])
        make_pending(tables, row)


@kernel
def rebuild_links(tables: Tables) -> None:
    """Indexes, chains and slots; all derived fields are zero or EMPTY before."""
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
        add_slot(tables, row)
    make_all_pending(tables)
