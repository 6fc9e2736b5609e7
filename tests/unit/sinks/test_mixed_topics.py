"""A topic of several streams in the tables of each: every record once and at its own offset, whatever happens between two inserts of a block."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import OperationalError

from streams.bus.contract import NewRecord, TopicPartition
from streams.bus.memory import MemoryBus
from streams.sinks.bounds import BoundsFile
from streams.sinks.clickhouse import ClickHouseSink
from streams.sinks.connection import open_embedded
from streams.sinks.reconcile import Difference, Fault, Reconciliation, StreamReport
from streams.sinks.tables import table
from streams.topics import ACCOUNT_EVENTS, STREAMS
from streams.wire.codec import codec
from tests.support.sink_log import ACCOUNT_ROWS, PARTITIONS, Dying, Killed, Silent, fill, result, through, until_there, update, with_events

pytestmark = pytest.mark.chdb

DATABASE = "mixed"
# 36 records: a fill, an update and a result in turn, in transactions of three records and a marker to each of the two partitions. So a partition has
# fills at 0 4 8 12 16 20, updates at 1 5 9 ..., results at 2 6 10 ..., and markers at 3 7 11 15 19 23.
FILLS, UPDATES, RESULTS = ([place + 4 * turn for turn in range(6)] for place in range(3))
OFFSETS = {"fills": FILLS, "account-updates": UPDATES, "instruction-results": RESULTS}
IDS = {"fills": "trade_id", "account-updates": "update_id", "instruction-results": "instruction_id"}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    opened = open_embedded(tmp_path_factory.mktemp("engine"))
    yield opened
    opened.close()


@pytest.fixture
def client(engine: Client) -> Client:
    """The module's engine with the three tables, empty."""
    engine.command(f"DROP DATABASE IF EXISTS {DATABASE} SYNC")
    engine.command(f"CREATE DATABASE {DATABASE}")
    for stream in ACCOUNT_ROWS:
        engine.command(table(stream).create_sql(DATABASE))
    return engine


def sink(client: Client | Dying, directory: Path, block_rows: int = 7) -> ClickHouseSink:
    opened = ClickHouseSink(cast("Client", client), BoundsFile(directory / "bounds.json"), database=DATABASE, block_rows=block_rows)
    opened.adopt()
    return opened


def rows(client: Client, stream: str) -> list[tuple[int, int, int]]:
    """(partition, offset, id) of each row as it lies, no FINAL."""
    sql = f"SELECT src_partition, src_offset, {IDS[stream]} FROM {DATABASE}.{STREAMS[stream].table} ORDER BY ALL"
    return [(row[0], row[1], row[2]) for row in client.query(sql).result_rows]


def expected(stream: str) -> list[tuple[int, int, int]]:
    """By the layout of the log: turn t of partition p holds records 6t + 3p, +1 and +2."""
    place = list(OFFSETS).index(stream)
    return [(number, OFFSETS[stream][turn], 6 * turn + 3 * number + place) for number in range(PARTITIONS) for turn in range(6)]


def assert_every_record_once(client: Client) -> None:
    for stream in ACCOUNT_ROWS:
        assert rows(client, stream) == expected(stream), stream


async def test_a_mixed_partition_lands_in_three_tables_each_record_at_its_offset(tmp_path: Path, client: Client) -> None:
    await through(sink(client, tmp_path), await with_events(36), Silent())
    assert_every_record_once(client)
    topics = " UNION ALL ".join(f"SELECT src_topic FROM {DATABASE}.{STREAMS[stream].table}" for stream in ACCOUNT_ROWS)
    assert client.query(f"SELECT DISTINCT src_topic FROM ({topics})").result_rows == [(ACCOUNT_EVENTS,)]


@pytest.mark.parametrize("arrived", [False, True], ids=["before the insert", "after the insert"])
@pytest.mark.parametrize("at", range(1, 13))  # two partitions, two rounds, three inserts a block
async def test_a_crash_between_the_inserts_of_a_block_loses_nothing_and_doubles_nothing(
    tmp_path: Path, client: Client, at: int, arrived: bool
) -> None:
    bus = await with_events(36)
    with pytest.raises(Killed):
        await through(sink(Dying(client, at=at, arrived=arrived), tmp_path, block_rows=9), bus, Silent())
    await through(sink(client, tmp_path, block_rows=5), bus, Silent())  # other blocks from here on: only those in doubt keep their bounds
    assert_every_record_once(client)


async def test_a_block_of_which_one_insert_got_no_answer_is_sent_again_and_nothing_of_it_doubles(tmp_path: Path, client: Client) -> None:
    one = sink(Dying(client, at=2, arrived=True, problem=OperationalError), tmp_path)
    observer = await until_there(one, await with_events(36), rows=36)
    assert observer.retries == [0.001]
    assert observer.rows == 36
    assert_every_record_once(client)


async def test_a_record_of_no_stream_is_skipped_once(tmp_path: Path, client: Client) -> None:
    bus = await with_events(36)
    writer = await bus.writer("noise")
    mark = codec("marks").encode([{**dict.fromkeys((f.name for f in codec("marks").schema.fields), 0), "epoch": None}])[0]
    await writer.commit([NewRecord(ACCOUNT_EVENTS, 0, 0, None, value) for value in (b"\xc3\x01noise", mark, None)])
    one, observer = sink(client, tmp_path, block_rows=100), Silent()
    await through(one, bus, observer)
    counts = one.counts[ACCOUNT_EVENTS]
    assert (counts.rows, counts.skipped, observer.rows) == (36, 3, 36)
    assert_every_record_once(client)
    assert [(await report(bus, client, stream)).skipped for stream in ACCOUNT_ROWS] == [3, 0, 0]


async def test_a_record_that_its_schema_cannot_read_is_skipped_once(tmp_path: Path, client: Client) -> None:
    bus = await with_events(36)
    writer = await bus.writer("noise")
    await writer.commit([NewRecord(ACCOUNT_EVENTS, 1, 0, None, codec("instruction-results").encode([result(36)])[0][:-1])])
    one = sink(client, tmp_path, block_rows=100)
    await through(one, bus, Silent())
    assert (one.counts[ACCOUNT_EVENTS].rows, one.counts[ACCOUNT_EVENTS].skipped) == (36, 1)
    assert_every_record_once(client)
    assert [(await report(bus, client, stream)).skipped for stream in ACCOUNT_ROWS] == [0, 0, 1]


async def report(bus: MemoryBus, client: Client, stream: str, page_records: int = 5) -> StreamReport:
    partitions = [TopicPartition(ACCOUNT_EVENTS, number) for number in range(PARTITIONS)]
    reader = await bus.reader(partitions)
    ranges = {partition: await reader.bounds(partition) for partition in partitions}
    return await Reconciliation(bus, client, DATABASE, page_records=page_records).stream(stream, ranges, to_end=True)


async def differences(bus: MemoryBus, client: Client) -> dict[str, str]:
    """What is wrong, by stream."""
    reports = [await report(bus, client, stream) for stream in ACCOUNT_ROWS]
    return {each.stream: str(each.difference) for each in reports if each.difference is not None}


@pytest.fixture
async def bus(tmp_path: Path, client: Client) -> MemoryBus:
    """A log of 36 that is loaded."""
    log = await with_events(36)
    await through(sink(client, tmp_path), log, Silent())
    return log


async def test_reconciling_a_mixed_topic_tells_each_stream_apart(bus: MemoryBus, client: Client) -> None:
    for stream in ACCOUNT_ROWS:
        reports = [await report(bus, client, stream, size) for size in (1, 5, 100)]
        for one in reports:
            assert (one.stream, one.records, one.rows, one.skipped, one.difference) == (stream, 12, 12, 0, None)
            assert one.record_digest == one.row_digest
        assert len({one.row_digest for one in reports}) == 1


async def test_a_lost_row_of_one_stream_is_no_difference_of_another(bus: MemoryBus, client: Client) -> None:
    alter(client, "account_updates DELETE WHERE update_id = 16")  # turn 2 of partition 1
    assert await differences(bus, client) == {"account-updates": "account-updates at account-events[1] offset 9: the record has no row"}


async def test_a_changed_row_of_one_stream_is_no_difference_of_another(bus: MemoryBus, client: Client) -> None:
    alter(client, "instruction_results UPDATE executed_quote = executed_quote + 1 WHERE instruction_id = 14")
    said = "instruction-results at account-events[0] offset 10: executed_quote is -140 in the record and -139 in the row"
    assert await differences(bus, client) == {"instruction-results": said}


@pytest.mark.parametrize("offset", [9, 11, 24], ids=["at the offset of an update", "on a marker", "behind the log"])
async def test_a_row_at_an_offset_that_its_stream_has_no_record_of_is_stray(bus: MemoryBus, client: Client, offset: int) -> None:
    client.command(f"INSERT INTO {DATABASE}.fills SELECT * REPLACE ({offset} AS src_offset) FROM {DATABASE}.fills WHERE trade_id = 12")
    assert (await report(bus, client, "fills")).difference == Difference(Fault.STRAY, "fills", ACCOUNT_EVENTS, 0, offset)
    assert list(await differences(bus, client)) == ["fills"]


async def test_a_row_that_names_the_stream_where_its_topic_should_be_is_stray(bus: MemoryBus, client: Client) -> None:
    alter(client, "fills UPDATE src_topic = 'fills' WHERE trade_id = 12")
    assert await differences(bus, client) == {"fills": "fills[0] offset 8: the row has no record"}


def alter(client: Client, change: str) -> None:
    client.command(f"ALTER TABLE {DATABASE}.{change}", settings={"mutations_sync": 1})


def test_the_rows_of_these_logs_are_ones_that_their_schemas_hold() -> None:
    for stream, row in (("fills", fill(1)), ("account-updates", update(1)), ("instruction-results", result(1))):
        assert len(codec(stream).decode(codec(stream).encode([row])).good) == 1
