"""The desk's views of marks, open interest, conservation and the pipeline, against plain loops; and what holds for all views at once."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from streams.domain.events import Grade
from streams.sinks.migrations import migrate
from tests.support.warehouse import Warehouse, time_of, usd, warehouse

pytestmark = pytest.mark.chdb
PPM = 1_000_000
SECOND_US = 1_000_000


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with warehouse(tmp_path_factory.mktemp("desk"), "cascade") as opened:
        yield opened


def test_marks_as_they_came(desk: Warehouse) -> None:
    symbols = {row["instrument"]: row["symbol"] for row in desk.records("instruments")}
    expected = [
        (
            time_of(row["event_time_us"]), row["instrument"], symbols[row["instrument"]], row["mark_ticks"], row["index_ticks"],
            int(PPM * (row["mark_ticks"] - row["index_ticks"]) / row["index_ticks"]), Grade(row["grade"]).name, row["sequence"],
        )
        for row in desk.records("marks")
    ]  # fmt: skip
    found = desk.ask("SELECT event_time, instrument, symbol, mark_ticks, index_ticks, basis_ppm, grade, sequence FROM desk_marks")
    assert sorted(found) == sorted(expected)


def marks(desk: Warehouse, database: str, *rows: tuple[int, int, int, str]) -> None:
    """Marks of instrument 1: (second, sequence, ticks, grade)."""
    migrate(desk.client, database)
    data = [[time_of(second * SECOND_US), 1, ticks, ticks, sequence, grade, 0, sequence] for second, sequence, ticks, grade in rows]
    columns = ["event_time", "instrument", "mark_ticks", "index_ticks", "sequence", "grade", "src_partition", "src_offset"]
    desk.client.insert("marks", data, column_names=columns, database=database)


def test_marks_by_minute_count_what_is_missing(desk: Warehouse) -> None:
    rows = [(0, 1, 50, "GOOD"), (10, 2, 70, "STALE"), (30, 5, 40, "GOOD"), (59, 6, 60, "FROZEN"), (60, 9, 61, "GOOD"), (61, 10, 62, "OUTLIER")]
    marks(desk, "minutes", *rows)
    marks(desk, "minutes", *rows[:2])  # lying twice, in another part
    found = desk.ask(
        "SELECT event_time, open_ticks, high_ticks, low_ticks, close_ticks, marks, first_sequence, last_sequence, missing, stale, outliers, frozen "
        "FROM desk_mark_minutes ORDER BY event_time",
        "minutes",
    )
    assert [(row[0].replace(tzinfo=None), *row[1:]) for row in found] == [
        (time_of(0), 50, 70, 40, 60, 4, 1, 6, 2, 1, 0, 1),  # 3 and 4 are missing
        (time_of(60 * SECOND_US), 61, 62, 61, 62, 2, 9, 10, 0, 0, 1, 0),
    ]
    # Over both minutes 7 and 8 are missing too: 10 - 1 + 1 - 6.
    total = "SELECT max(last_sequence) - min(first_sequence) + 1 - sum(marks) FROM desk_mark_minutes GROUP BY instrument"
    assert desk.ask(total, "minutes") == [(4,)]


def test_open_interest_is_what_is_held_long_over_all_shards(desk: Warehouse) -> None:
    expected: dict[tuple[Any, int], int] = defaultdict(int)
    for row in desk.records("shard-totals"):
        for total in row["instruments"]:
            expected[time_of(row["event_time_us"]), total["instrument"]] += total["open_interest"]
    found = desk.ask("SELECT event_time, instrument, open_interest_lots, net_lots, shards, is_complete FROM desk_open_interest")
    assert {(row[0], row[1]): row[2] for row in found} == expected
    assert {row[3:] for row in found} == {(0, 2, 1)}  # net lots, shards, complete


def test_the_last_open_interest_is_that_of_the_book(desk: Warehouse) -> None:
    held: dict[int, int] = defaultdict(int)
    for machine in desk.runs["cascade"].risk():
        for row in range(len(machine.book.positions)):
            held[machine.book.position_key(row)[1]] += max(0, int(machine.book.positions.rows["lots"][row]))
    last = "SELECT instrument, argMax(open_interest_lots, event_time) FROM desk_open_interest GROUP BY instrument"
    assert {instrument: lots for instrument, lots in desk.ask(last) if lots} == {instrument: lots for instrument, lots in held.items() if lots}


def test_money_and_lots_sum_to_zero_in_every_second(desk: Warehouse) -> None:
    sums: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
    for row in desk.records("shard-totals"):
        for at, name in enumerate(("wallets", "open_cost", "external")):
            sums[row["event_second"]][at] += int(row[name])
    found = desk.dicts("SELECT * FROM desk_conservation")
    assert {row["event_second"]: [row["wallets_units"], row["open_cost_units"], row["external_units"]] for row in found} == sums
    assert {(row["difference"], row["lots_difference"], row["reconciliation"], row["is_complete"]) for row in found} == {(0, 0, 0, 1)}
    assert all(row["wallets"] == usd(row["wallets_units"]) for row in found)


def test_a_second_of_which_a_shard_has_not_spoken_has_no_verdict(desk: Warehouse) -> None:
    migrate(desk.client, "totals")
    genesis = [[time_of(0), "accounts", 0, 0, [{"deployment": "d", "shard_count": 2, "inputs": []}], 0, 0]]
    columns = ["event_time", "task", "shard", "step", "genesis", "src_partition", "src_offset"]
    desk.client.insert("accounts_journal", genesis, column_names=columns, database="totals")
    # Second 1: shard 0 has 7 + 5 lots long, shard 1 has 5 short; wallets 100 and 50, costs 12, from outside 138. Second 2: shard 0 alone.
    rows = [(1, 0, 100, 30, 60, 7, 7, 0), (1, 1, 50, -18, 77, -5, 0, 1), (2, 0, 100, 30, 60, 7, 7, 2)]
    data = [
        [
            time_of((second + 1) * SECOND_US),
            second,
            shard,
            1,
            wallets,
            cost,
            external,
            0,
            [{"instrument": 1, "lots": lots, "open_interest": long}],
            0,
            at,
        ]
        for second, shard, wallets, cost, external, lots, long, at in rows
    ]
    columns = ["event_time", "event_second", "shard", "asset", "wallets", "open_cost", "external", "reconciliation", "instruments"]
    desk.client.insert("shard_totals", data, column_names=[*columns, "src_partition", "src_offset"], database="totals")
    found = desk.ask("SELECT event_second, difference_units, lots_difference, is_complete FROM desk_conservation ORDER BY event_second", "totals")
    assert found == [(1, 150 - 12 - 137, 2, 1), (2, None, None, 0)]
    assert desk.ask("SELECT open_interest_lots, net_lots, is_complete FROM desk_open_interest ORDER BY event_time", "totals") == [
        (7, 2, 1),
        (7, 7, 0),
    ]


def test_steps_of_both_tasks(desk: Warehouse) -> None:
    expected = [
        (
            time_of(row["event_time_us"]), row["task"], row["shard"], row["step"], row["owner"], row["generation"],
            sum(part["count"] for part in row["slices"]), sum(part["count"] for part in row["outputs"]), row["held"], row["state_digest"].hex(),
        )
        for stream in ("accounts-journal", "pools-journal")
        for row in desk.records(stream)
    ]  # fmt: skip
    found = desk.ask("SELECT event_time, task, shard, step, owner, generation, records, outputs, held, state_digest FROM desk_steps")
    assert sorted(found) == sorted(expected)
    assert {row[1] for row in found} == {"accounts", "pools"}


def test_dead_letters(desk: Warehouse) -> None:
    migrate(desk.client, "letters")
    row = [time_of(5), "BAD_VALUE", "fills", 3, 17, "accounts", 1, None, "no such lot", 9, 0, 0]
    columns = ["event_time", "reason", "source_topic", "source_partition", "source_offset", "task", "shard", "account", "detail", "value_length"]
    desk.client.insert("dead_letters", [row], column_names=[*columns, "src_partition", "src_offset"], database="letters")
    assert desk.ask(f"SELECT {', '.join(columns)} FROM desk_dead_letters", "letters") == [tuple(row[:10])]


INSERTED = ("desk_dead_letters", "desk_steps")  # views that also say when a row was inserted


def everything(desk: Warehouse, **settings: Any) -> dict[str, list[str]]:
    """All rows of all views."""
    views = [row[0] for row in desk.ask("SELECT name FROM system.tables WHERE database = 'cascade' AND engine = 'View'")]
    rows = {view: desk.ask(f"SELECT * {'EXCEPT ingested_at' if view in INSERTED else ''} FROM {view}", **settings) for view in views}
    return {view: sorted(map(repr, found)) for view, found in rows.items()}


@pytest.fixture(scope="module")
def answers(desk: Warehouse) -> dict[str, list[str]]:
    found = everything(desk)
    assert len(found) > 15
    return found


def test_a_record_that_lies_twice_changes_no_answer(desk: Warehouse, answers: dict[str, list[str]]) -> None:
    rows = desk.ask("SELECT count() FROM fills")
    desk.load_again("cascade")
    assert desk.ask("SELECT count() FROM fills")[0][0] > rows[0][0]
    assert everything(desk) == answers
    for table in ("fills", "marks", "account_states"):  # merged, and with them their projections
        desk.client.command(f"SYSTEM START MERGES cascade.{table}")
        desk.client.command(f"OPTIMIZE TABLE cascade.{table} FINAL")
    assert desk.ask("SELECT count() FROM fills") == rows
    assert everything(desk) == answers


@pytest.mark.parametrize("name", ["final", "readonly"])
def test_what_a_reader_sets_changes_no_answer(desk: Warehouse, answers: dict[str, list[str]], name: str) -> None:
    assert everything(desk, **{name: 1}) == answers


BY_TIME = {
    "desk_marks": "marks",
    "desk_mark_minutes": "marks",
    "desk_liquidations": "fills",
    "desk_pool_statement": "fund_ledger",
    "desk_waves": "adl_waves",
    "desk_ladder": "adl_executions",
    "desk_open_interest": "shard_totals",
    "desk_conservation": "shard_totals",
    "desk_steps": "accounts_journal",
    "desk_queue_quintiles": "adl_waves",
    "desk_policy_comparison": "adl_waves",
}


def read_of(plan: str, *names: str) -> str:
    """The part of a plan that reads one of these tables or projections."""
    for part in plan.split("ReadFromMergeTree")[1:]:
        if any(part.startswith(f" ({name})") for name in names):
            return part
    raise AssertionError(f"none of {names} is read:\n{plan}")


@pytest.mark.parametrize(("view", "table"), BY_TIME.items(), ids=str)
def test_a_range_of_time_is_looked_up_and_not_filtered_afterwards(desk: Warehouse, view: str, table: str) -> None:
    sql = (
        f"EXPLAIN indexes = 1, projections = 1 SELECT * FROM {view} WHERE event_time >= '2030-01-01 00:00:00' AND event_time < '2030-01-02 00:00:00'"
    )
    plan = "\n".join(row[0] for row in desk.ask(sql))
    part = read_of(plan, f"cascade.{table}", "forced_by_time", "by_minute")
    assert "Parts: 0/" in part, plan  # no month of ours is in that range


def test_views_over_large_tables_read_what_was_prepared_for_them(desk: Warehouse) -> None:
    migrate(desk.client, "large")
    desk.client.command(
        "INSERT INTO large.fills (event_time, account, instrument, kind, src_partition, src_offset) "
        "SELECT toDateTime64(number, 6, 'UTC'), number % 100, 1, if(number % 100 = 0, 'LIQUIDATION', 'TRADE'), 0, number FROM numbers(100000)"
    )
    desk.client.command(
        "INSERT INTO large.marks (event_time, instrument, sequence, src_partition, src_offset) "
        "SELECT toDateTime64(number, 6, 'UTC'), number % 3, number, 0, number FROM numbers(100000)"
    )
    desk.client.command(
        "INSERT INTO large.account_states (event_time, account, asset, src_partition, src_offset) "
        "SELECT toDateTime64(number, 6, 'UTC'), number % 100, 1, 0, number FROM numbers(100000)"
    )
    for view, projection in (("desk_liquidations", "forced_by_time"), ("desk_mark_minutes", "by_minute"), ("desk_near_liquidation", "latest")):
        plan = desk.ask(f"EXPLAIN SELECT event_time, instrument FROM {view} WHERE event_time >= '1970-01-01 05:00:00'", "large")
        assert f"ReadFromMergeTree ({projection})" in "\n".join(row[0] for row in plan)
