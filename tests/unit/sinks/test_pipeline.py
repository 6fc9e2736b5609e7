"""The sink of a worker: killed at any step, throttled by a slow server, and outlasting one that is away."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from streams.bus.contract import Reader
from streams.errors import CheckFailed, Unreachable
from streams.sinks.bounds import BoundsFile
from streams.sinks.clickhouse import ClickHouseSink
from streams.sinks.connection import open_embedded
from streams.sinks.pipeline import SinkPipeline, outlast
from streams.sinks.tables import table
from tests.support.sink_log import QUICK, Ending, Killed, Mortal, Silent, fill, through, until_there, with_fills


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    opened = open_embedded(tmp_path_factory.mktemp("engine"))
    yield opened
    opened.close()


@pytest.mark.chdb
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", ["cut", "save", "prepare", "write"])
async def test_a_sink_killed_at_any_step_changes_no_query_result(tmp_path: Path, engine: Client, step: str, after: bool) -> None:
    """A database for every life, in which the sink dies once, a little later each time; the next sink goes on."""
    bus = await with_fills(*map(fill, range(20)))
    nth, killed = 0, True
    while killed:
        database, bounds = f"life_{step}_{after}_{nth}", BoundsFile(tmp_path / f"{nth}.json")
        engine.command(f"CREATE DATABASE {database}")
        engine.command(table("fills").create_sql(database))
        one = Mortal(engine, bounds, database=database, block_rows=3)
        one.adopt()
        one.kill(step, nth=nth, after=after)
        try:
            await through(one, bus, Silent())
            killed = False
        except Killed:
            following = ClickHouseSink(engine, bounds, database=database, block_rows=4)
            following.adopt()
            await through(following, bus, Silent())
        found = engine.query(f"SELECT count(), uniqExact(src_partition, src_offset), toInt64(sum(trade_id)) FROM {database}.fills").result_rows
        assert found == [(20, 20, 190)], f"{step} number {nth}"  # 0 + 1 + ... + 19 = 190
        engine.command(f"DROP DATABASE {database}")
        nth += 1
    assert nth > 3  # the step is done several times in a run, and each was the last one of a life


class Deaf:
    """A client that keeps the tokens of inserts, and fails as often as it is told."""

    def __init__(self, *failures: Exception) -> None:
        self.server_settings: dict[str, Any] = {}
        self.failures = list(failures)
        self.tokens: list[str] = []
        self.rows = 0
        self.gate = threading.Event()
        self.gate.set()

    def command(self, sql: str, **_: Any) -> Any:
        """Nothing to make."""
        return ""

    def query(self, sql: str, **_: Any) -> Any:
        """Nothing is known."""

        class Result:
            result_rows = ((str(0),),)

        return Result()

    def insert_arrow(self, table: str, rows: Any, *, database: str, settings: dict[str, Any]) -> None:
        """Take it, or fail."""
        self.gate.wait(30)
        self.tokens.append(settings["insert_deduplication_token"])
        if self.failures:
            raise self.failures.pop(0)
        self.rows += len(rows)


def fed(client: Deaf, directory: Path, **options: Any) -> ClickHouseSink:
    sink = ClickHouseSink(cast("Client", client), BoundsFile(directory / "bounds.json"), **options)
    sink.adopt()
    return sink


@pytest.mark.parametrize(
    "problem",
    [
        OperationalError("connection refused"),
        DatabaseError("too many parts", code=252),
        DatabaseError("memory limit", code=241),
        DatabaseError("HTTP driver received HTTP status 502"),
    ],
)
async def test_the_same_block_is_sent_until_it_is_there_with_capped_pauses(tmp_path: Path, problem: Exception) -> None:
    client = Deaf(*[problem] * 5)
    observer = await until_there(fed(client, tmp_path), await with_fills(*map(fill, range(10))), rows=10, flush_s=0)
    assert client.tokens[:6] == client.tokens[:1] * 6  # five failures, then it is taken
    assert client.tokens.count(client.tokens[0]) == 6
    assert observer.retries == [0.001, 0.002, 0.004, 0.004, 0.004]
    assert client.rows == 10


async def test_refused_rows_end_the_sink(tmp_path: Path) -> None:
    client = Deaf(DatabaseError("no such column", code=16))
    with pytest.raises(CheckFailed, match=r"ClickHouse refused account-events\[0\] offsets 0 to \d+ in fills: no such column"):
        await through(fed(client, tmp_path), await with_fills(*map(fill, range(10))), Silent())


async def test_a_stop_while_the_server_is_away_leaves_the_block_in_doubt_to_the_next_sink(tmp_path: Path) -> None:
    bus = await with_fills(*map(fill, range(10)))
    stop, client = asyncio.Event(), Deaf(*[OperationalError("gone")] * 1000)

    class Stopping(Silent):
        def on_retry(self, topic: str, problem: Exception, pause_s: float) -> None:
            stop.set()

    one = fed(client, tmp_path)
    await SinkPipeline(one, await one.open(bus), Stopping(), flush_s=0).run(stop)
    assert len(client.tokens) == 1
    assert client.rows == 0

    following = Deaf()
    two = fed(following, tmp_path)
    await through(two, bus, Silent())
    assert following.tokens[0] == client.tokens[0]
    assert following.rows == 10


async def test_reading_pauses_while_a_slow_server_is_behind_and_goes_on_after(tmp_path: Path) -> None:
    """1,000 records, at most 50 read ahead of what is being inserted: memory is bounded by the limit, one poll and one round."""
    bus = await with_fills(*map(fill, range(1000)), per_commit=100)
    client = Deaf()
    client.gate.clear()
    one = fed(client, tmp_path, block_rows=10, pending_rows=50)
    stop = asyncio.Event()
    reader = cast("Reader", Ending(await one.open(bus), stop))
    running = asyncio.create_task(SinkPipeline(one, reader, Silent(), flush_s=3600).run(stop))
    most = 0
    for _ in range(2000):  # turns of the event loop: far more than reading everything takes
        await asyncio.sleep(0)
        most = max(most, sum(map(len, one.backlogs)))
    assert one.is_full
    assert most <= 50 + 7  # Ending reads 7 at a time
    client.gate.set()
    await running
    assert client.rows == 1000


async def test_a_block_to_be_repeated_is_read_whole_even_beyond_the_limit(tmp_path: Path) -> None:
    bus = await with_fills(*map(fill, range(200)), per_commit=100)
    first = Deaf()
    await through(fed(first, tmp_path, block_rows=100), bus, Silent())
    again = Deaf()
    two = fed(again, tmp_path, block_rows=10, pending_rows=20)
    await through(two, bus, Silent())
    assert sorted(again.tokens) == sorted(first.tokens)  # 100 records each, though only 20 may wait


async def test_the_survey_says_what_is_not_in_the_tables(tmp_path: Path) -> None:
    bus = await with_fills(*map(fill, range(10)), per_commit=10)
    client, observer, stop = Deaf(), Silent(), asyncio.Event()
    one = fed(client, tmp_path)

    class Surveyed(Silent):
        def on_survey(self, waiting: dict[str, int], oldest_ms: dict[str, int]) -> None:
            observer.on_survey(waiting, oldest_ms)
            if not waiting["account-events"]:
                stop.set()

    await asyncio.wait_for(SinkPipeline(one, await one.open(bus), Surveyed(), flush_s=0, survey_every_s=0.01).run(stop), 30)
    assert observer.surveys[0]["account-events"] == 12  # 5 records and a marker on each partition
    assert client.rows == 10


async def test_outlasting_gives_the_result_when_the_server_has_come_back() -> None:
    problems = [Unreachable("gone")] * 3

    def work() -> str:
        if problems:
            raise problems.pop()
        return "here"

    observer = Silent()
    assert await outlast(work, asyncio.Event(), observer, QUICK) == "here"
    assert observer.retries == [0.001, 0.002, 0.004]


async def test_outlasting_ends_with_a_stop() -> None:
    stop = asyncio.Event()

    def work() -> str:
        raise Unreachable("gone")

    class Stopping(Silent):
        def on_waiting(self, problem: Exception, pause_s: float) -> None:
            stop.set()

    assert await outlast(work, stop, Stopping()) is None
