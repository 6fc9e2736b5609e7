"""Rows against records: what was lost, doubled, changed or put in is found and named, wherever it lies."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from streams.bus.contract import NewRecord, TopicPartition
from streams.bus.memory import MemoryBus
from streams.errors import CheckFailed
from streams.sinks.bounds import BoundsFile
from streams.sinks.clickhouse import ClickHouseSink
from streams.sinks.connection import open_embedded
from streams.sinks.reconcile import Difference, Fault, Reconciliation, StreamReport
from streams.sinks.tables import table
from tests.support.sink_log import Silent, fill, through, with_fills

pytestmark = pytest.mark.chdb

DATABASE = "reconciled"
# Transactions of four are two fills and a marker to each of two partitions: records take offsets 0 1, 3 4, 6 7, ..., and 2, 5, 8 ... are markers.
EVEN, ODD = TopicPartition("account-events", 0), TopicPartition("account-events", 1)
FILLS = ("fills", "account-events")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    opened = open_embedded(tmp_path_factory.mktemp("engine"))
    yield opened
    opened.close()


class Loaded:
    """A log of fills and the table that was loaded from it, to be spoilt."""

    def __init__(self, bus: MemoryBus, client: Client) -> None:
        self.bus, self.client = bus, client

    def sql(self, statement: str) -> None:
        self.client.command(statement.replace("fills", f"{DATABASE}.fills"), settings={"mutations_sync": 1})

    async def report(self, *, ranges: dict[TopicPartition, tuple[int, int]] | None = None, page_records: int = 7) -> StreamReport:
        whole = ranges is None
        if ranges is None:
            reader = await self.bus.reader([EVEN, ODD])
            ranges = {partition: await reader.bounds(partition) for partition in (EVEN, ODD)}
        return await Reconciliation(self.bus, self.client, DATABASE, page_records=page_records).stream("fills", ranges, to_end=whole)

    async def difference(self, **options: Any) -> Difference | None:
        return (await self.report(**options)).difference


@pytest.fixture
async def loaded(tmp_path: Path, engine: Client) -> Loaded:
    bus = await with_fills(*map(fill, range(100)))
    engine.command(f"DROP DATABASE IF EXISTS {DATABASE} SYNC")
    engine.command(f"CREATE DATABASE {DATABASE}")
    engine.command(table("fills").create_sql(DATABASE))
    one = ClickHouseSink(engine, BoundsFile(tmp_path / "bounds.json"), database=DATABASE, block_rows=11)
    one.adopt()
    await through(one, bus, Silent())
    return Loaded(bus, engine)


async def test_what_was_loaded_is_equal_and_digests_do_not_depend_on_pages(loaded: Loaded) -> None:
    reports = [await loaded.report(page_records=size) for size in (1, 7, 1000)]
    for report in reports:
        assert (report.records, report.rows, report.skipped, report.difference) == (100, 100, 0, None)
        assert report.record_digest == report.row_digest
    assert len({report.row_digest for report in reports}) == 1


async def test_a_lost_row_is_named(loaded: Loaded) -> None:
    loaded.sql("ALTER TABLE fills DELETE WHERE trade_id = 42")  # the 22nd record of partition 0, behind ten markers
    assert await loaded.difference() == Difference(Fault.LOST, *FILLS, 0, 31)
    assert str(await loaded.difference()) == "fills at account-events[0] offset 31: the record has no row"


@pytest.mark.parametrize(("column", "before", "after"), [("quote", "42000", "42001"), ("lots", "-8", "-7"), ("margin_moved", "0", "1")])
async def test_an_amount_changed_by_one_unit_is_named_with_both_values(loaded: Loaded, column: str, before: str, after: str) -> None:
    loaded.sql(f"ALTER TABLE fills UPDATE {column} = {column} + 1 WHERE trade_id = 42")
    report = await loaded.report()
    assert report.difference == Difference(Fault.CHANGED, *FILLS, 0, 31, column, before, after)
    assert report.record_digest != report.row_digest


@pytest.mark.parametrize(
    ("change", "column", "record", "row"),
    [
        ("price_ticks = NULL WHERE trade_id = 41", "price_ticks", "41", "None"),
        ("price_ticks = 0 WHERE trade_id = 42", "price_ticks", "None", "0"),
        ("kind = 'ADL' WHERE trade_id = 41", "kind", "1", "6"),
    ],
)
async def test_any_other_changed_column_is_named(loaded: Loaded, change: str, column: str, record: str, row: str) -> None:
    loaded.sql(f"ALTER TABLE fills UPDATE {change}")
    found = await loaded.difference()
    assert found is not None
    assert (found.kind, found.column, found.record, found.row) == (Fault.CHANGED, column, record, row)


async def test_a_row_inserted_again_as_it_is_is_one_row_to_every_reader_and_no_difference(loaded: Loaded) -> None:
    loaded.sql("INSERT INTO fills SELECT * FROM fills WHERE trade_id = 42")
    assert await loaded.difference() is None


@pytest.mark.parametrize(
    ("column", "one", "other"), [("account", "0", "1"), ("event_time", "2025-10-09 08:53:20.000042+00:00", "2025-10-09 08:53:20.000043+00:00")]
)
async def test_a_double_that_final_shows_is_named(loaded: Loaded, column: str, one: str, other: str) -> None:
    """The key of a table has the account and the time before the coordinates, so a double with another of them is never merged away."""
    step = "1" if column == "account" else "toIntervalMicrosecond(1)"
    loaded.sql(f"INSERT INTO fills SELECT * REPLACE ({column} + {step} AS {column}) FROM fills WHERE trade_id = 42")
    found = await loaded.difference()
    assert found is not None
    assert (found.kind, found.offset, found.column) == (Fault.DOUBLE, 31, column)
    assert {found.record, found.row} == {one, other}


@pytest.mark.parametrize("offset", [2, 74, 75, 10**9], ids=["on a marker", "on the last marker", "behind the log", "far behind it"])
async def test_a_record_inserted_again_under_other_coordinates_is_a_stray_row(loaded: Loaded, offset: int) -> None:
    loaded.sql(f"INSERT INTO fills SELECT * REPLACE ({offset} AS src_offset) FROM fills WHERE trade_id = 42")
    assert await loaded.difference() == Difference(Fault.STRAY, *FILLS, 0, offset)  # 50 records and 25 markers take offsets 0 to 74


@pytest.mark.parametrize(
    ("replaced", "expected"),
    [
        ("2 AS src_partition", Difference(Fault.STRAY, *FILLS, 2, 31)),
        ("'marks' AS src_topic, account + 1 AS account", Difference(Fault.DOUBLE, *FILLS, 0, 31, "account", "0", "1")),
        ("'marks' AS src_topic", Difference(Fault.STRAY, "fills", "marks", 0, 31)),
    ],
)
async def test_a_row_of_no_partition_or_of_another_topic_is_named(loaded: Loaded, replaced: str, expected: Difference) -> None:
    loaded.sql(f"INSERT INTO fills SELECT * REPLACE ({replaced}) FROM fills WHERE trade_id = 42")
    found = await loaded.difference()
    assert found is not None
    assert (found.kind, found.stream, found.topic, found.partition, found.offset) == (
        expected.kind, expected.stream, expected.topic, expected.partition, expected.offset,
    )  # fmt: skip


async def test_the_difference_with_the_lowest_offset_is_the_first(loaded: Loaded) -> None:
    loaded.sql("ALTER TABLE fills DELETE WHERE trade_id IN (44, 80)")
    loaded.sql("ALTER TABLE fills UPDATE quote = quote + 1 WHERE trade_id IN (42, 82)")
    for size in (1, 7, 1000):
        found = await loaded.difference(page_records=size)
        assert found is not None
        assert (found.kind, found.offset) == (Fault.CHANGED, 31)


async def test_a_range_sees_its_own_rows_only(loaded: Loaded) -> None:
    loaded.sql("ALTER TABLE fills DELETE WHERE trade_id = 42")
    assert await loaded.difference(ranges={EVEN: (0, 31)}) is None
    assert await loaded.difference(ranges={EVEN: (32, 75)}) is None
    assert await loaded.difference(ranges={EVEN: (31, 32)}) == Difference(Fault.LOST, *FILLS, 0, 31)
    report = await loaded.report(ranges={EVEN: (0, 12), ODD: (3, 6)})
    assert (report.records, report.rows) == (8 + 2, 8 + 2)


async def test_a_record_that_cannot_be_read_is_accounted_for_and_must_have_no_row(loaded: Loaded, tmp_path: Path) -> None:
    writer = await loaded.bus.writer("noise")
    await writer.commit([NewRecord("account-events", 0, 0, None, b"noise"), NewRecord("account-events", 0, 0, None, None)])  # offsets 75 and 76
    report = await loaded.report()
    assert (report.records, report.rows, report.skipped, report.difference) == (102, 100, 2, None)
    loaded.sql("INSERT INTO fills SELECT * REPLACE (75 AS src_offset) FROM fills WHERE trade_id = 42")
    assert await loaded.difference() == Difference(Fault.STRAY, *FILLS, 0, 75)


async def test_records_that_are_not_loaded_yet_are_lost_rows(loaded: Loaded) -> None:
    await with_fills(fill(100), bus=loaded.bus)
    assert await loaded.difference() == Difference(Fault.LOST, *FILLS, 0, 75)


async def test_without_tables_the_message_says_what_to_do(loaded: Loaded) -> None:
    loaded.sql("DROP TABLE fills SYNC")
    with pytest.raises(CheckFailed, match=r"cannot show its tables: .*UNKNOWN_TABLE.*Load them first"):
        await loaded.report()
