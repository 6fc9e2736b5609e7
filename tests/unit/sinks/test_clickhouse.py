"""The sink against a real engine: every record once, whatever happens between two steps of the protocol."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from clickhouse_connect.driver.client import Client

from streams.bus.contract import Chunk, Reader, TopicPartition
from streams.bus.memory import MemoryBus
from streams.errors import CheckFailed
from streams.sinks.blocks import Bounds
from streams.sinks.clickhouse import ClickHouseSink
from streams.sinks.connection import Answer, bounds_file, open_embedded, query
from streams.sinks.pipeline import SinkPipeline
from streams.sinks.tables import table
from streams.topics import STREAMS
from streams.wire.codec import codec
from streams.wire.schemas import Field, Kind, schema
from tests.support.sink_log import PARTITIONS, TIME_US, Dying, Ending, Killed, Silent, fill, with_fills

pytestmark = pytest.mark.chdb


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    opened = open_embedded(tmp_path)
    yield opened
    opened.close()


def sink(directory: Path, client: Client | Dying, block_rows: int = 10, *, everything: bool = False) -> ClickHouseSink:
    """A sink whose database has the one table that most logs here fill, or all that there are."""
    opened = ClickHouseSink(cast("Client", client), bounds_file(directory), block_rows=block_rows)
    if everything:
        opened.create_tables()
    else:
        client.command("CREATE DATABASE IF NOT EXISTS backstop")
        client.command(table("fills").create_sql("backstop"))
        opened.adopt()
    return opened


async def loaded(directory: Path, client: Client | Dying, bus: MemoryBus, block_rows: int = 10) -> int:
    """One run of the sink from where the last one ended; returns rows inserted or inserted again."""
    one = sink(directory, client, block_rows)
    reader = await one.open(bus)
    return await one.turn(reader) + one.flush()


def counted(client: Client) -> tuple[int, int, int]:
    """Rows as they lie, distinct source coordinates, sum of trade ids."""
    found = client.query("SELECT count(), uniqExact(src_partition, src_offset), toInt64(sum(trade_id)) FROM backstop.fills").result_rows[0]
    return found[0], found[1], found[2]


def asked(directory: Path, sql: str) -> Answer:
    """What a reader of the directory is told."""
    with closing(open_embedded(directory, read_only=True)) as reader:
        return query(reader, sql)


EVERYTHING = (100, 100, 4950)  # fills 0 to 99: 0 + 1 + ... + 99 = 4,950


async def test_every_record_is_there_once(tmp_path: Path, client: Client) -> None:
    bus = await with_fills(*map(fill, range(100)))
    assert await loaded(tmp_path, client, bus) == 100
    assert counted(client) == EVERYTHING


async def test_running_the_sink_again_changes_nothing(tmp_path: Path, client: Client) -> None:
    bus = await with_fills(*map(fill, range(100)))
    await loaded(tmp_path, client, bus)
    before = client.query("SELECT * FROM backstop.fills ORDER BY src_partition, src_offset").result_rows
    assert await loaded(tmp_path, client, bus) == 20  # the last block of each partition goes in again under its old token
    assert client.query("SELECT * FROM backstop.fills ORDER BY src_partition, src_offset").result_rows == before


async def test_the_sink_goes_on_where_it_ended(tmp_path: Path, client: Client) -> None:
    bus = await with_fills(*map(fill, range(33)))
    await loaded(tmp_path, client, bus)
    await with_fills(*map(fill, range(33, 100)), bus=bus)
    await loaded(tmp_path, client, bus, block_rows=7)
    assert counted(client) == EVERYTHING


@pytest.mark.parametrize("arrived", [False, True], ids=["before the insert", "after the insert"])
@pytest.mark.parametrize("at", range(1, 11))
async def test_a_crash_at_any_insert_loses_nothing_and_doubles_nothing(tmp_path: Path, client: Client, at: int, arrived: bool) -> None:
    bus = await with_fills(*map(fill, range(100)))
    with pytest.raises(Killed):
        await loaded(tmp_path, Dying(client, at=at, arrived=arrived), bus)
    await loaded(tmp_path, client, bus, block_rows=13)  # other blocks from here on: only the ones in doubt keep their bounds
    assert counted(client) == EVERYTHING


async def test_a_crash_while_recovering_from_a_crash_is_a_crash_like_any_other(tmp_path: Path, client: Client) -> None:
    bus = await with_fills(*map(fill, range(100)))
    for at, arrived in ((3, False), (1, True), (2, False), (2, True)):
        with pytest.raises(Killed):
            await loaded(tmp_path, Dying(client, at=at, arrived=arrived), bus)
    await loaded(tmp_path, client, bus)
    assert counted(client) == EVERYTHING


async def test_bounds_are_on_disk_before_the_insert(tmp_path: Path, client: Client) -> None:
    bus = await with_fills(*map(fill, range(100)))
    with pytest.raises(Killed):
        await loaded(tmp_path, Dying(client, at=1, arrived=False), bus)
    assert counted(client)[0] == 0
    target = client.query("SELECT toString(uuid) FROM system.databases WHERE name = 'backstop'").result_rows[0][0]
    # Transactions of four are two fills and a marker to each partition, so records take offsets 0 1 3 4 6 7 9 10 12 13.
    assert bounds_file(tmp_path).load(target) == {TopicPartition("account-events", 0): Bounds(0, 13)}


async def test_without_bounds_rows_come_twice_and_readers_see_them_once(tmp_path: Path, client: Client) -> None:
    bus = await with_fills(*map(fill, range(100)))
    await loaded(tmp_path, client, bus)
    (tmp_path / "clickhouse" / "bounds.json").unlink()
    client.command("SYSTEM STOP MERGES backstop.fills")
    await loaded(tmp_path, client, bus, block_rows=9)
    assert counted(client) == (200, 100, 2 * 4950)  # as they lie, unmerged
    assert asked(tmp_path, "SELECT count(), sum(trade_id) FROM fills").rows == [(100, 4950)]


async def test_sums_beyond_63_bits_are_exact(tmp_path: Path, client: Client) -> None:
    largest = 2**63 - 1
    bus = await with_fills(*(fill(number, quote=largest, lots=-largest) for number in range(5)))
    await loaded(tmp_path, client, bus)
    answer = asked(tmp_path, "SELECT sum(quote) AS quotes, sum(lots) AS lots FROM fills")
    assert answer.columns == ("quotes", "lots")
    assert answer.rows == [(46_116_860_184_273_879_035, -46_116_860_184_273_879_035)]  # 5 x 9,223,372,036,854,775,807


async def test_records_that_no_schema_reads_are_counted_and_skipped(tmp_path: Path, client: Client) -> None:
    one = sink(tmp_path, client)
    good = codec("fills").encode([fill(number) for number in range(2)])
    values = [good[0], b"\xc3\x01noise", good[1], None]
    one.insert(Chunk("account-events", 0, 0, 4, [0, 1, 2, 3], [0] * 4, [None] * 4, values))
    assert one.flush() == 2
    assert (one.counts["account-events"].rows, one.counts["account-events"].skipped) == (2, 2)
    assert client.query("SELECT src_offset FROM backstop.fills ORDER BY src_offset").result_rows == [(0,), (2,)]


async def test_an_event_time_that_no_calendar_holds_does_not_stop_the_sink(tmp_path: Path, client: Client) -> None:
    bus = await with_fills(fill(0), fill(1, event_time_us=2**62), fill(2, event_time_us=-(2**62)))
    assert await loaded(tmp_path, client, bus) == 3
    times = client.query("SELECT toString(event_time) FROM backstop.fills ORDER BY event_time").result_rows
    assert times == [("1900-01-01 00:00:00.000000",), ("2025-10-09 08:53:20.000000",), ("2299-12-31 23:59:59.999999",)]


async def test_a_block_of_many_months_goes_in_as_one(tmp_path: Path, client: Client) -> None:
    month_us = 31 * 86_400_000_000
    bus = await with_fills(*(fill(number, event_time_us=number * month_us) for number in range(260)))
    assert await loaded(tmp_path, client, bus, block_rows=200) == 260
    assert counted(client)[:2] == (260, 260)


async def test_what_retention_took_from_a_block_in_doubt_is_not_missed(tmp_path: Path, client: Client) -> None:
    bus = await with_fills(*map(fill, range(100)))
    await loaded(tmp_path, client, bus)
    sources = [TopicPartition("account-events", number) for number in range(PARTITIONS)]
    kept = MemoryBus()
    await kept.create_topics(await bus.partitions())
    for source in sources:
        reader = await bus.reader([source])
        await reader.seek(source, 70)  # the last block of ten begins at offset 60: 25 transactions of two fills and a marker end at 75
        for chunk in await reader.poll(max_records=100, timeout_ms=0):
            kept.preload(chunk)
    await with_fills(*map(fill, range(100, 104)), bus=kept)
    await loaded(tmp_path, client, kept)
    assert asked(tmp_path, "SELECT count(), sum(trade_id) FROM fills").rows == [(104, 4950 + 100 + 101 + 102 + 103)]


async def test_stopping_a_running_sink_leaves_nothing_behind(tmp_path: Path, client: Client) -> None:
    bus = await with_fills(*map(fill, range(100)))
    one = sink(tmp_path, client, block_rows=1_000)
    stop = asyncio.Event()
    reader = cast("Reader", Ending(await one.open(bus), stop))
    await SinkPipeline(one, reader, Silent(), flush_s=3600).run(stop)
    assert counted(client) == EVERYTHING
    assert one.counts["account-events"].blocks == PARTITIONS  # one short block each, when it was stopped


async def test_a_shorter_log_is_refused(tmp_path: Path, client: Client) -> None:
    await loaded(tmp_path, client, await with_fills(*map(fill, range(100))))
    with pytest.raises(CheckFailed, match=r"account-events\[0\] up to offset \d+, but the log ends at \d+. It is another log"):
        await loaded(tmp_path, client, await with_fills(*map(fill, range(10))))


async def test_another_database_is_not_taken_for_the_one_that_was_loaded(tmp_path: Path, client: Client) -> None:
    bus = await with_fills(*map(fill, range(10)))
    await loaded(tmp_path, client, bus)
    client.command("DROP DATABASE backstop")
    with pytest.raises(CheckFailed, match="is of another ClickHouse database"):
        await loaded(tmp_path, client, bus)


async def test_a_refused_insert_names_the_block(tmp_path: Path, client: Client) -> None:
    bus = await with_fills(*map(fill, range(10)))
    one = sink(tmp_path, client)
    client.command("ALTER TABLE backstop.fills DROP COLUMN margin_moved")
    await one.turn(await one.open(bus))
    with pytest.raises(CheckFailed, match=r"ClickHouse refused account-events\[0\] offsets 0 to \d+ in fills: .*margin_moved"):
        one.flush()


def example(fields: tuple[Field, ...], number: int) -> dict[str, Any]:
    """A row that fills every field: numbers and codes from `number`, optional fields present when it is odd."""
    return {field.name: None if field.nullable and number % 2 == 0 else _value(field, number) for field in fields}


def _value(field: Field, number: int) -> Any:
    match field.kind:
        case Kind.ENUM:
            return number % len(field.symbols)
        case Kind.STRING:
            return str(10**30 + number) if "decimal integer" in field.doc else f"{field.name} {number} 'é"
        case Kind.BYTES:
            return bytes([255, number])
        case Kind.FIXED:
            return bytes([number]) * field.size
        case Kind.RECORD:
            return example(field.fields, number)
        case Kind.ARRAY:
            return [example(field.fields, at) for at in range(number)]
        case _:
            return TIME_US + number if field.name == "event_time_us" else number


def shown(field: Field, value: Any) -> Any:
    """What ClickHouse shows of a value, by reading the schema: symbols, hexadecimal digits, lists of records."""
    if field.kind in (Kind.RECORD, Kind.ARRAY):
        items = [] if value is None else value if field.kind is Kind.ARRAY else [value]
        return [dict(shown_within(inner, item[inner.name]) for inner in field.fields) for item in items]
    if value is None:
        return None
    match field.kind:
        case Kind.ENUM:
            return field.symbols[value]
        case Kind.BYTES | Kind.FIXED:
            return value.hex()
        case Kind.STRING:
            return int(value) if "decimal integer" in field.doc else value
    return value


def shown_within(field: Field, value: Any) -> tuple[str, Any]:
    """Name and value of a field of a nested record; its event time is a time there too."""
    if field.name == "event_time_us":
        return "event_time", datetime(1970, 1, 1) + timedelta(microseconds=value)  # noqa: DTZ001
    return field.name, shown(field, value)


@pytest.mark.parametrize("stream", STREAMS)
def test_every_field_of_every_stream_can_be_read_back(tmp_path: Path, client: Client, stream: str) -> None:
    declared = STREAMS[stream]
    fields = schema(declared.schema).fields
    rows = [example(fields, number) for number in range(4)]
    one = sink(tmp_path, client, everything=True)
    one.insert(Chunk(declared.topic, 1, 5, 9, [5, 6, 7, 8], [0] * 4, [None] * 4, list(codec(stream).encode(rows))))
    assert one.flush() == 4
    names = ["toUnixTimestamp64Micro(event_time)" if field.name == "event_time_us" else f"`{field.name}`" for field in fields]
    answer = asked(tmp_path, f"SELECT src_topic, src_partition, src_offset, {', '.join(names)} FROM {declared.table} ORDER BY src_offset")
    expected = [(declared.topic, 1, 5 + number, *(shown(field, row[field.name]) for field in fields)) for number, row in enumerate(rows)]
    assert answer.rows == expected
