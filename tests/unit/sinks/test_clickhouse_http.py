"""The sink through the network path of its client: a server over the embedded engine, and everything that can befall a request."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import StreamFailureError

from streams.errors import ConfigurationProblem, Unreachable
from streams.sinks.clickhouse import ClickHouseSink
from streams.sinks.connection import bounds_file, open_server, query
from streams.sinks.pipeline import SinkPipeline
from streams.sinks.tables import table
from tests.support.clickhouse_http import ClickHouseServer, Fault, FaultKind, clickhouse_server
from tests.support.sink_log import QUICK, Killed, Mortal, Sated, Silent, fill, through, until_there, with_fills

pytestmark = pytest.mark.chdb

EVERYTHING = [(100, 100, 4950)]  # fills 0 to 99: 0 + 1 + ... + 99 = 4,950


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    with clickhouse_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def server(shared: ClickHouseServer) -> Iterator[ClickHouseServer]:
    """The module's server with an empty database and no faults."""
    shared.arm()
    with closing(open_server(**shared.address)) as client:
        client.command("DROP DATABASE IF EXISTS backstop SYNC")
    yield shared
    shared.arm()


@pytest.fixture
def client(server: ClickHouseServer) -> Iterator[Client]:
    with closing(open_server(**server.address)) as opened:
        yield opened


def sink(client: Client, directory: Path) -> ClickHouseSink:
    """A sink whose database has the one table that these logs fill."""
    client.command("CREATE DATABASE IF NOT EXISTS backstop")
    client.command(table("fills").create_sql("backstop"))
    opened = ClickHouseSink(client, bounds_file(directory), block_rows=10)
    opened.adopt()
    return opened


def found(server: ClickHouseServer) -> list[tuple[int, ...]]:
    """Rows as they lie, distinct source coordinates, sum of trade ids: no FINAL."""
    with closing(open_server(**server.address)) as client:
        rows = client.query("SELECT count(), uniqExact(src_partition, src_offset), toInt64(sum(trade_id)) FROM backstop.fills").result_rows
        return [tuple(row) for row in rows]


async def test_rows_arrive_through_the_network(server: ClickHouseServer, client: Client, tmp_path: Path) -> None:
    bus = await with_fills(*map(fill, range(100)))
    one = ClickHouseSink(client, bounds_file(tmp_path), block_rows=10)
    one.create_tables()
    await until_there(one, bus, rows=100)
    assert found(server) == EVERYTHING
    assert server.inserts >= 10


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.NO_ANSWER, times=4),
        Fault(FaultKind.CUT_ANSWER, times=4),
        Fault(FaultKind.CUT_REQUEST, times=4),
        Fault(FaultKind.ERROR, times=3, code=241),
        Fault(FaultKind.ERROR, times=3, code=252),
        Fault(FaultKind.PROXY, times=3, code=502),
        Fault(FaultKind.PROXY, times=3, code=503),
        Fault(FaultKind.SLOW, times=2, seconds=0.1),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.code}",
)
async def test_no_fault_of_the_network_loses_or_doubles_a_row(server: ClickHouseServer, client: Client, tmp_path: Path, fault: Fault) -> None:
    bus = await with_fills(*map(fill, range(100)))
    one = sink(client, tmp_path)
    server.arm(fault)
    await until_there(one, bus, rows=100)
    assert found(server) == EVERYTHING


async def test_a_mixture_of_faults_and_deaths_changes_no_query_result(server: ClickHouseServer, client: Client, tmp_path: Path) -> None:
    bus = await with_fills(*map(fill, range(100)))
    sink(client, tmp_path)
    for nth, kind in ((1, FaultKind.NO_ANSWER), (4, FaultKind.CUT_REQUEST), (0, FaultKind.CUT_ANSWER)):
        server.arm(Fault(kind, times=2), Fault(FaultKind.ERROR, code=159), Fault(kind))
        mortal = Mortal(client, bounds_file(tmp_path), block_rows=5)
        mortal.adopt()
        mortal.kill("write", nth=nth, after=True)
        with pytest.raises(Killed):
            await until_there(mortal, bus, rows=1000)
    server.arm()
    await through(sink(client, tmp_path), bus, Silent())
    assert found(server) == EVERYTHING


async def test_a_server_that_goes_away_and_comes_back_with_its_data_is_outlasted(tmp_path: Path) -> None:
    bus = await with_fills(*map(fill, range(50)))
    with clickhouse_server(tmp_path / "data") as server, closing(open_server(**server.address)) as client:
        one = sink(client, tmp_path)
        stop = asyncio.Event()
        retried = asyncio.Event()

        class Restarting(Sated):
            def on_retry(self, topic: str, problem: Exception, pause_s: float) -> None:
                super().on_retry(topic, problem, pause_s)
                retried.set()

        observer = Restarting(stop, 100)
        reader = await one.open(bus)
        running = asyncio.create_task(SinkPipeline(one, reader, observer, flush_s=0.01, pauses=QUICK).run(stop))
        while observer.rows < 50:
            await asyncio.sleep(0)
        server.kill()
        await with_fills(*map(fill, range(50, 100)), bus=bus)
        await retried.wait()  # connections are refused
        server.start()
        await asyncio.wait_for(running, 60)
        assert found(server) == EVERYTHING


async def test_a_server_that_is_not_there_is_unreachable_and_a_wrong_password_is_not(server: ClickHouseServer, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationProblem, match="refuses us"):
        open_server(**{**server.address, "password": "wrong"})
    with clickhouse_server(tmp_path / "data") as other:
        address = other.address
    with pytest.raises(Unreachable, match="does not answer"):
        open_server(**address)


async def test_queries_are_answered_and_refused_as_by_the_embedded_engine(server: ClickHouseServer, client: Client, tmp_path: Path) -> None:
    await until_there(sink(client, tmp_path), await with_fills(*map(fill, range(100))), rows=100)
    with closing(open_server(**server.address, read_only=True)) as reader:
        assert query(reader, "SELECT count(), sum(trade_id) FROM fills").rows == [(100, 4950)]


async def test_an_exception_in_the_middle_of_an_answer_is_an_error_and_not_a_short_answer(server: ClickHouseServer, client: Client) -> None:
    sql = "SELECT number FROM numbers(300000)"
    with client.query_row_block_stream(sql) as blocks:
        assert sum(map(len, blocks)) == 300_000
    for fault, message in ((FaultKind.MID_STREAM, "MEMORY_LIMIT_EXCEEDED"), (FaultKind.CUT_ANSWER, "closed by server")):
        server.arm(Fault(fault, "numbers"))
        with pytest.raises(StreamFailureError, match=message), client.query_row_block_stream(sql) as blocks:
            sum(map(len, blocks))


async def test_a_waiting_sink_says_so_and_counts_its_retries(server: ClickHouseServer, client: Client, tmp_path: Path) -> None:
    bus = await with_fills(*map(fill, range(10)))
    one = sink(client, tmp_path)
    server.arm(Fault(FaultKind.CUT_REQUEST, times=3))
    observer: Silent = await until_there(one, bus, rows=10)
    assert observer.retries[:3] == [0.001, 0.002, 0.004]
