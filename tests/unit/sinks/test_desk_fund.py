"""The desk's views of funds and accounts, against plain loops over the records of a run."""

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from streams.domain.events import AdlState, FlowCause, GroupState, InsolvencyKind, LedgerAccount
from streams.sinks.migrations import migrate
from tests.support.warehouse import Warehouse, time_of, usd, warehouse

pytestmark = pytest.mark.chdb
HOURS_8_US = 8 * 3600 * 1_000_000


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with warehouse(tmp_path_factory.mktemp("desk"), "cascade", "example_a", "example_b") as opened:
        yield opened


def test_the_statement_is_the_ledger_line_by_line(desk: Warehouse) -> None:
    ledger = desk.runs["cascade"].rows("fund-ledger")
    assert len(ledger) > 20
    expected = [
        (
            time_of(row["event_time_us"]), row["pool"], row["entry"], FlowCause(row["cause"]).name, LedgerAccount(row["debit"]).name,
            LedgerAccount(row["credit"]).name, usd(row["amount"]), usd(row["wallet_after"]), usd(row["inventory_cost_after"]),
            usd(row["value_after"]), row["source_id"], row["instruction_id"], row["amount"], row["value_after"],
        )
        for row in sorted(ledger, key=lambda row: (row["pool"], row["entry"]))
    ]  # fmt: skip
    found = desk.ask(
        "SELECT event_time, pool, entry, cause, debit, credit, amount, wallet_after, inventory_cost_after, value_after, source_id, instruction_id, "
        "amount_units, value_after_units FROM desk_pool_statement ORDER BY pool, entry"
    )
    assert found == expected


def test_every_line_of_the_statement_moves_the_wallet_by_its_amount(desk: Warehouse) -> None:
    balance = Decimal(0)
    for debit, credit, amount, wallet in desk.ask("SELECT debit, credit, amount, wallet_after FROM desk_pool_statement ORDER BY entry"):
        balance += amount * ((debit == "CASH") - (credit == "CASH"))
        assert balance == wallet
    assert wallet == usd(desk.runs["cascade"].wallet(1))  # the fund's account in the book


def test_example_a_on_one_page(desk: Warehouse) -> None:
    # The fund opens with 5 and sells 2 lots, taken over at 90, at 88: 5 - 2 x (90 - 88) = 1. A unit is a millionth of a USD here.
    found = desk.ask(
        "SELECT cause, debit, credit, amount_units, wallet_after_units, wallet_after FROM desk_pool_statement ORDER BY entry", "example_a"
    )
    assert [row[:5] for row in found] == [("OPENING", "CASH", "CAPITAL", 5, 5), ("UNWIND", "TAKEOVER_RESULT", "CASH", 4, 1)]
    assert found[-1][5] == Decimal("0.00000100")


def peaks(values: list[tuple[int, int, int]]) -> list[int]:
    """Of (pool, time, value): the highest of the same pool within eight hours up to each, both ends included."""
    return [max(v for p, t, v in values if p == pool and time - HOURS_8_US <= t <= time) for pool, time, _ in values]


def test_the_timeline_has_every_transition_with_the_peak_of_eight_hours(desk: Warehouse) -> None:
    ran = desk.runs["cascade"]
    symbols = {row["instrument"]: row["symbol"] for row in ran.rows("instruments")}
    states = ran.rows("pool-states")
    recorded = [(row["pool"], row["event_time_us"], row["value"]) for row in states]
    recorded += [(row["pool"], row["event_time_us"], row["value_after"]) for row in ran.rows("fund-ledger")]
    highest = peaks(recorded)[: len(states)]
    assert any(peak > row["value"] for row, peak in zip(states, highest, strict=True))
    expected = [
        (
            time_of(row["event_time_us"]), row["pool"], row["instrument"], symbols[row["instrument"]], AdlState(row["state"]).name, usd(row["value"]),
            usd(row["wallet"]), None if row["threshold"] is None else usd(row["threshold"]), row["reason"], usd(peak), usd(peak - row["value"]),
        )
        for row, peak in zip(states, highest, strict=True)
    ]  # fmt: skip
    found = desk.ask(
        "SELECT event_time, pool, instrument, symbol, state, value, wallet, threshold, reason, peak_8h, drawdown FROM desk_pool_timeline"
    )
    assert found == expected


def test_the_peak_is_right_over_days_of_two_pools(desk: Warehouse) -> None:
    random = Random(8)
    rows = [(random.randint(1, 2), random.randint(0, 5 * HOURS_8_US), random.randint(-1000, 1000)) for _ in range(400)]
    rows += [(1, HOURS_8_US, 900), (1, 2 * HOURS_8_US, -900), (1, 2 * HOURS_8_US + 1, -901), (2, 0, 5), (2, 0, 7)]  # on the edges of blocks
    migrate(desk.client, "peaks")
    columns = ["event_time", "pool", "value_after", "src_partition", "src_offset"]
    desk.client.insert("fund_ledger", [[time_of(t), p, v, 0, n] for n, (p, t, v) in enumerate(rows)], column_names=columns, database="peaks")
    found = desk.ask("SELECT pool, value_units, peak_8h_units, drawdown_units FROM desk_pool_values ORDER BY place", "peaks")
    assert found == [(p, v, peak, peak - v) for (p, _, v), peak in zip(rows, peaks(rows), strict=True)]


def test_the_latest_state_of_every_group(desk: Warehouse) -> None:
    ran = desk.runs["cascade"]
    symbols = {row["instrument"]: row["symbol"] for row in ran.rows("instruments")}
    last: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in ran.rows("account-states"):
        last[row["account"], row["asset"], row["group_instrument"], row["group_side"]] = row
    expected = {
        key: (
            time_of(row["event_time_us"]), GroupState(row["state"]).name, row["episode"], usd(row["equity"]), usd(row["maintenance"]),
            float("inf") if row["maintenance"] == 0 else row["equity"] / row["maintenance"],
            symbols.get(row["instrument"], ""), row["mark_ticks"], symbols.get(row["group_instrument"], "CROSS"),
        )
        for key, row in last.items()
    }  # fmt: skip
    found = desk.ask(
        "SELECT account, asset, group_instrument, toInt8(group_side), event_time, state, episode, equity, maintenance, margin_ratio, symbol, "
        "mark_ticks, group_symbol FROM desk_account_states"
    )
    assert {tuple(row[:4]): tuple(row[4:]) for row in found} == expected
    assert len({row["episode"] for row in last.values()}) > 1


BUCKETS = [("below 0", 0), ("0 to 0.5", 50), ("0.5 to 1", 100), ("1 to 1.1", 110), ("1.1 to 1.25", 125), ("1.25 to 1.5", 150), ("1.5 to 2", 200)]


def test_groups_are_counted_by_state_and_margin_ratio(desk: Warehouse) -> None:
    counted: dict[tuple[Any, ...], list[Any]] = defaultdict(lambda: [0, 0, 0])
    for row in desk.dicts("SELECT * FROM desk_account_states"):
        equity, maintenance = row["equity_units"], row["maintenance_units"]
        bucket = next((name for name, percent in BUCKETS if 100 * equity < percent * maintenance), "2 and more")
        one = counted[row["group_symbol"], row["state"], bucket]
        one[0], one[1], one[2] = one[0] + 1, one[1] + equity, one[2] + maintenance
    found = desk.ask("SELECT symbol, state, bucket, groups, equity_units, maintenance_units, equity FROM desk_near_liquidation")
    assert {tuple(row[:3]): list(row[3:6]) for row in found} == counted
    assert all(row[6] == usd(row[4]) for row in found)


def test_a_ratio_on_the_edge_belongs_to_the_bucket_above(desk: Warehouse) -> None:
    migrate(desk.client, "edges")
    rows = [(-1, 100), (0, 100), (49, 100), (50, 100), (100, 100), (109, 100), (110, 100), (125, 100), (150, 100), (200, 100), (0, 0)]
    data = [[time_of(n), n, 1, "WARNING", equity, maintenance, 0, n] for n, (equity, maintenance) in enumerate(rows)]
    columns = ["event_time", "account", "asset", "state", "equity", "maintenance", "src_partition", "src_offset"]
    desk.client.insert("account_states", data, column_names=columns, database="edges")
    found = desk.ask("SELECT bucket, groups FROM desk_near_liquidation ORDER BY bucket_order", "edges")
    assert found == [
        ("below 0", 1), ("0 to 0.5", 2), ("0.5 to 1", 1), ("1 to 1.1", 2), ("1.1 to 1.25", 1), ("1.25 to 1.5", 1), ("1.5 to 2", 1), ("2 and more", 2)
    ]  # fmt: skip


def test_what_the_fund_and_the_winners_paid_of_a_deficit(desk: Warehouse) -> None:
    # Example B owes 16: the fund has 1, the two winners pay 11 and 4. The asset has no name there, so amounts are units.
    assert desk.runs["example_b"].rows("insolvencies", "deficit", kind=InsolvencyKind.DEFICIT) == [16, 15, 4]  # what it owes at each time
    (row,) = desk.dicts("SELECT * FROM desk_uncovered_losses", "example_b")
    assert (row["deficit"], row["covered"], row["socialised"], row["uncovered"]) == (16, 1, 15, 0)
    assert (row["asset_symbol"], row["deficit_units"], row["episodes"], row["account"]) == ("1", 16, 1, 11)


def test_parameters_in_force(desk: Warehouse) -> None:
    (pool,), (row,) = desk.runs["cascade"].rows("pools"), desk.dicts("SELECT * FROM desk_pools")
    assert (row["pool"], row["asset_symbol"], row["fund_account"], row["version"]) == (pool["pool"], "USD", pool["fund_account"], pool["version"])
    assert (row["adl_start"], row["adl_stop"]) == (usd(pool["adl_start_value"]), usd(pool["adl_stop_value"]))
    instruments = desk.runs["cascade"].rows("instruments", "instrument", "symbol", "pool")
    assert desk.ask("SELECT instrument, symbol, pool FROM desk_instruments ORDER BY instrument") == instruments
    assert desk.ask("SELECT DISTINCT asset, asset_symbol, decimals FROM desk_instruments") == [(1, "USD", 6)]


def test_the_highest_version_holds_and_a_row_written_later_does_not_undo_it(desk: Warehouse) -> None:
    migrate(desk.client, "versions")
    rows = [[time_of(1), 7, "OLD", 1, 0, 0], [time_of(2), 7, "NEW", 3, 0, 1], [time_of(3), 7, "LATE", 2, 0, 2]]
    columns = ["event_time", "instrument", "symbol", "version", "src_partition", "src_offset"]
    desk.client.insert("instruments", rows, column_names=columns, database="versions")
    assert desk.ask("SELECT symbol, version FROM desk_instruments", "versions") == [("NEW", 3)]
