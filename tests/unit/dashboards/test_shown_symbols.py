"""A symbol may be listed again: instruments are told apart by id in every view, panel and alert; the symbol shown has the id where two share one."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from streams.bus.memory import MemoryBus
from streams.dashboards.alerts import ALERTS
from streams.dashboards.boards import BOARDS
from streams.dashboards.model import Sql
from streams.domain.events import Grade
from streams.sinks.bounds import BoundsFile
from streams.sinks.clickhouse import ClickHouseSink
from streams.sinks.connection import open_embedded
from streams.sinks.tables import DATABASE
from streams.topics import STREAMS
from streams.wire.records import new_records
from tests.support.grafana_macros import ALL, View, expanded, filled_in
from tests.support.risk_rows import instrument, pool
from tests.support.source import ROOT

START = datetime(2025, 10, 10, 21, 0, tzinfo=UTC)
START_US = int(START.timestamp()) * 1_000_000
STOP = START + timedelta(seconds=100)
QUERIES = {f"{board.name}: {panel.title}": each.text for board in BOARDS for panel in board.panels for each in panel.targets if isinstance(each, Sql)}
QUERIES |= {alert.name: alert.query.text for alert in ALERTS if isinstance(alert.query, Sql)}


def mark(number: int, second: int, ticks: int, sequence: int, grade: Grade = Grade.GOOD) -> dict[str, Any]:
    time_us = START_US + second * 1_000_000
    return {"event_time_us": time_us, "instrument": number, "mark_ticks": ticks, "index_ticks": ticks, "sequence": sequence, "grade": grade}


@pytest.fixture
async def tables(tmp_path: Path) -> AsyncIterator[Client]:
    """Coin 1 dies, worthless and high in its sequence, with its last mark at :59. Coin 2 is listed under its symbol at :20 and frozen from :40 on."""
    bus = MemoryBus()
    await bus.create_topics(dict.fromkeys(STREAMS, 1))
    writer = await bus.writer("exchange")
    await writer.commit(new_records("instruments", [(0, instrument(number, symbol="LUNA", event_time_us=START_US)[1]) for number in (1, 2)]))
    await writer.commit(new_records("pools", [(0, pool(event_time_us=START_US)[1])]))
    rows = [mark(1, second, 2, 90_000_000 + second) for second in range(60)]
    rows += [mark(2, second, 600_000, 1 + second, Grade.FROZEN if second >= 40 else Grade.GOOD) for second in range(20, 100)]
    await writer.commit(new_records("marks", [(0, row) for row in rows]))
    client = open_embedded(tmp_path)
    sink = ClickHouseSink(client, BoundsFile(tmp_path / "bounds.json"))
    sink.create_tables()
    reader = await sink.open(bus)
    await sink.turn(reader)
    sink.flush()
    client.database = DATABASE
    yield client
    client.close()


def ask(client: Client, sql: str, *, window_s: int = 100) -> list[Any]:
    view = View(STOP - timedelta(seconds=window_s), STOP, timedelta(seconds=2))
    return list(client.query(expanded(filled_in(sql, {"pool": [ALL], "instrument": [ALL]}), view)).result_rows)


@pytest.mark.chdb
async def test_a_frozen_market_is_not_hidden_by_the_last_mark_of_a_dead_one_of_its_name(tables: Client) -> None:
    frozen = next(alert for alert in ALERTS if alert.name == "mark-frozen")
    assert ask(tables, QUERIES["mark-frozen"], window_s=frozen.window_s) == [("LUNA (1)", 0.0), ("LUNA (2)", 1.0)]
    # Nor are prices and gaps reckoned over two coins.
    changes = ask(tables, QUERIES["market: Mark since the start of the range"])
    assert {symbol for _, symbol, _ in changes} == {"LUNA (1)", "LUNA (2)"}
    assert {change for _, _, change in changes} == {0.0}  # no mark of either has moved
    quality = {row[0]: row[1:3] for row in ask(tables, QUERIES["quality: Quality of marks"])}
    assert quality == {"LUNA (1)": (60, 0), "LUNA (2)": (80, 0)}  # marks, and none missing


@pytest.mark.parametrize("name", QUERIES)
def test_no_query_puts_rows_together_by_symbol_alone(name: str) -> None:
    keys = re.findall(r"(?:GROUP BY|PARTITION BY) ([^()\n]*)", QUERIES[name])
    alone = [key for key in keys if re.search(r"\bsymbol\b|\bInstrument\b", key) and not re.search(r"\binstrument\b", key)]
    assert alone == []


def test_no_view_puts_rows_together_by_symbol_alone() -> None:
    for path in sorted((ROOT / "infra/clickhouse/migrations").glob("*.sql")):
        for key in re.findall(r"(?:GROUP BY|PARTITION BY) ([^()\n]*)", path.read_text(encoding="utf-8")):
            assert "symbol" not in key or "instrument" in key, f"{path.name}: {key}"
