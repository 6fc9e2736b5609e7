"""`make bench-sinks`: rows a second from the log into the embedded engine, from event to queryable, and every dashboard query on 50 M fills.

The last line is one JSON object; the rest becomes docs/benchmarks-sinks.md. `python -m tests.bench.bench_sinks [million fills]`.
"""

import asyncio
import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
from clickhouse_connect.driver.client import Client

from streams.bus.contract import Chunk, NewRecord
from streams.bus.memory import MemoryBus
from streams.dashboards.alerts import ALERTS
from streams.dashboards.model import Sql
from streams.sinks.bounds import BoundsFile
from streams.sinks.clickhouse import ClickHouseSink
from streams.sinks.connection import open_embedded
from streams.sinks.pipeline import SinkPipeline
from streams.sinks.tables import DATABASE
from streams.topics import TOPICS, partition_count
from tests.bench.bench_engine import PARTITIONS, fill_records
from tests.bench.machine import describe_machine
from tests.support.grafana_macros import ALL, Choice, View, expanded, filled_in
from tests.support.sink_log import Sated, Silent
from tests.support.source import ROOT

PAGE = ROOT / "docs" / "benchmarks-sinks.md"
CATCH_UP_ROWS = 2_000_000
RATE = 20_000  # events a second for freshness
RATE_SECONDS = 20
BEAT_S = 0.05
MILLION_FILLS = 50
FORCED_EVERY = 1_000  # one fill in so many was forced
CRASH = View(datetime(2025, 10, 10, 21, 15, tzinfo=UTC), datetime(2025, 10, 10, 21, 30, tzinfo=UTC), timedelta(seconds=2))
SIX_HOURS = View(datetime(2025, 10, 10, 16, tzinfo=UTC), datetime(2025, 10, 10, 22, tzinfo=UTC), timedelta(seconds=30))
DAY_START_US = 1_760_054_400_000_000  # 2025-10-10 00:00 UTC
DAY_US = 86_400_000_000
CATCH_UPS = 5
REPEATS = 3


@dataclass(frozen=True, slots=True)
class Timed:
    """One query of a panel or variable: median of the repeats, after one run that warms."""

    name: str
    window: str
    milliseconds: float
    rows: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything measured."""

    rows_per_s: list[float]
    freshness_s: dict[str, float]
    queries: list[Timed]
    fills: int
    loads: dict[str, float]


def progress(text: str) -> None:
    """What is going on, to stderr."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text} (load {os.getloadavg()[0]:.1f})\n")


def by_partition(records: list[NewRecord]) -> list[Chunk]:
    """Records as one chunk a partition."""
    chunks = [Chunk("account-events", number, 0, 0) for number in range(PARTITIONS)]
    for record in records:
        chunks[record.partition].append(len(chunks[record.partition]), record)
    for chunk in chunks:
        chunk.stop = len(chunk)
        chunk.headers = [()] * len(chunk)
    return chunks


async def log_of(chunks: list[Chunk]) -> MemoryBus:
    """A log that holds them, and nothing else of any stream."""
    bus = MemoryBus()
    await bus.create_topics({stream: partition_count(stream, account_partitions=PARTITIONS, shards=1) for stream in TOPICS})
    for chunk in chunks:
        bus.preload(chunk)
    return bus


def fresh_sink(client: Client, directory: Path, database: str) -> ClickHouseSink:
    """A sink into an empty database."""
    client.command(f"DROP DATABASE IF EXISTS {database} SYNC")
    (bounds := directory / f"{database}.json").unlink(missing_ok=True)
    sink = ClickHouseSink(client, BoundsFile(bounds), database=database)
    sink.create_tables()
    return sink


async def catch_up(client: Client, directory: Path, chunks: list[Chunk], run: int) -> float:
    """Rows a second from a log that is there already, until the last row can be queried."""
    rows, database = sum(map(len, chunks)), f"catch_up_{run}"
    sink, bus, stop = fresh_sink(client, directory, database), await log_of(chunks), asyncio.Event()
    reader = await sink.open(bus)
    gc.collect()
    began = time.perf_counter()
    await SinkPipeline(sink, reader, Sated(stop, rows)).run(stop)
    took = time.perf_counter() - began
    found = client.query(f"SELECT count(), uniqExact(src_partition, src_offset) FROM {database}.fills").result_rows[0]
    assert tuple(found) == (rows, rows), found
    client.command(f"DROP DATABASE {database} SYNC")
    return rows / took


async def freshness(client: Client, prober: Client, directory: Path) -> dict[str, float]:
    """Seconds from the commit of an event to the answer of a query that sees it, at a steady rate."""
    sink, bus, stop = fresh_sink(client, directory, "fresh"), await log_of([]), asyncio.Event()
    records, produced = fill_records(RATE * RATE_SECONDS), [[0.0] * 0 for _ in range(PARTITIONS)]
    seen: list[list[float]] = [[] for _ in range(PARTITIONS)]
    running = asyncio.create_task(SinkPipeline(sink, await sink.open(bus), Silent()).run(stop))
    probing = asyncio.create_task(_probe(prober, produced, seen, stop))
    writer, batch = await bus.writer("bench"), int(RATE * BEAT_S)
    began = time.perf_counter()
    for beat, at in enumerate(range(0, len(records), batch)):
        await asyncio.sleep(max(began + beat * BEAT_S - time.perf_counter(), 0))
        part = records[at : at + batch]
        ends = await writer.commit(part)
        now = time.perf_counter()
        for source, end in ends.items():
            times = produced[source.partition]
            times += [now] * (end - len(times))
    while any(len(there) < len(times) for there, times in zip(seen, produced, strict=True)):
        await asyncio.sleep(BEAT_S)
    stop.set()
    await asyncio.gather(running, probing)
    waits = np.concatenate([np.array(there[: len(times)]) - np.array(times) for there, times in zip(seen, produced, strict=True)])
    client.command("DROP DATABASE fresh SYNC")
    return {"p50": float(np.quantile(waits, 0.5)), "p99": float(np.quantile(waits, 0.99)), "max": float(waits.max()), "events": len(records)}


async def _probe(prober: Client, produced: list[list[float]], seen: list[list[float]], stop: asyncio.Event) -> None:
    """Ask again and again how far each partition can be queried; an offset was seen when the first answer that covers it was there."""
    while not stop.is_set():
        rows = (await asyncio.to_thread(prober.query, "SELECT src_partition, max(src_offset) FROM fresh.fills GROUP BY src_partition")).result_rows
        now = time.perf_counter()
        for partition, last in rows:
            seen[partition] += [now] * (last + 1 - len(seen[partition]))
        for partition, times in enumerate(produced):  # the last marker is no record and will never be a row
            if len(times) - len(seen[partition]) == 1:
                seen[partition].append(now)
        await asyncio.sleep(BEAT_S)


FILLS = f"""INSERT INTO {DATABASE}.fills
(src_partition, src_offset, event_time, account, account_seq, trade_id, leg, counter_account, instrument, position_side, margin_mode, lots, quote,
 margin_moved, price_ticks, kind, instruction_id)
SELECT number % {PARTITIONS}, 100000000 + intDiv(number, {PARTITIONS}),
  fromUnixTimestamp64Micro({DAY_START_US} + intDiv(number * {DAY_US}, {{total}})), 1000000 + cityHash64(number) % 50000, intDiv(number, 50000),
  1000000000 + intDiv(number, 2), 0, 1000000 + cityHash64(number, 1) % 50000,
  1 + cityHash64(number, 2) % 20, 'ONE_WAY', 'CROSS', toInt64(cityHash64(number, 3) % 200) - 100 AS signed, signed * 1000000, 0,
  90000 + cityHash64(number, 4) % 2000, if(number % {FORCED_EVERY} = 0, 'LIQUIDATION', 'TRADE'),
  if(number % {FORCED_EVERY} = 0, toNullable(-1 - toInt64(number)), NULL)
FROM numbers({{first}}, {{count}})"""
INSTRUCTIONS = f"""INSERT INTO {DATABASE}.instructions
(src_partition, src_offset, event_time, account, instruction_id, kind, instrument, position_side, mark_ticks)
SELECT number % {PARTITIONS}, 100000000 + number, fromUnixTimestamp64Micro({DAY_START_US} + intDiv(number * {FORCED_EVERY} * {DAY_US}, {{total}})),
  1000000 + cityHash64(number * {FORCED_EVERY}) % 50000, -1 - toInt64(number * {FORCED_EVERY}), 'LIQUIDATE',
  1 + cityHash64(number * {FORCED_EVERY}, 2) % 20, 'ONE_WAY', 91000
FROM numbers(intDiv({{total}}, {FORCED_EVERY}))"""
MARKS = f"""INSERT INTO {DATABASE}.marks (src_partition, src_offset, event_time, instrument, mark_ticks, index_ticks, sequence)
SELECT 0, 100000000 + number, fromUnixTimestamp64Micro({DAY_START_US} + intDiv(number, 20) * 1000000), 1001 + number % 20, 90000 + number % 997,
  90000 + number % 991, intDiv(number, 20)
FROM numbers(20 * 86400)"""


def grow(client: Client, total: int) -> None:
    """A day of trading around the demo's quarter of an hour: fills, one in a thousand forced, with their instructions, and a mark a second."""
    settings = {"max_insert_threads": 2, "max_insert_block_size": 1_000_000, "min_insert_block_size_rows": 1_000_000, "max_memory_usage": 0}
    step = 5_000_000
    for first in range(0, total, step):
        client.command(FILLS.format(first=first, count=min(step, total - first), total=total), settings=settings)
        progress(f"{first + step:,} fills")
    client.command(INSTRUCTIONS.format(total=total), settings=settings)
    client.command(MARKS, settings=settings)
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline and client.query("SELECT count() FROM system.merges").result_rows[0][0]:
        time.sleep(1)


def boards() -> Iterator[tuple[str, dict[str, Any]]]:
    """The dashboards, by name."""
    for path in sorted((ROOT / "infra" / "grafana" / "dashboards").glob("*.json")):
        yield path.stem, json.loads(path.read_bytes())


def statements(client: Client) -> Iterator[tuple[str, str]]:
    """(name, SQL with the variables filled in) of every variable and panel: All where that is possible, else the first that is offered."""
    for name, document in boards():
        chosen: dict[str, Choice] = {}
        for variable in document["templating"]["list"]:
            sql = filled_in(variable["query"]["rawSql"], chosen)
            yield f"{name}: ${variable['name']}", sql
            offered = client.query(expanded(sql, CRASH)).result_rows
            chosen[variable["name"]] = [ALL] if variable["multi"] else offered[0][0]
        for panel in document["panels"]:
            targets = [target for target in panel.get("targets", ()) if "rawSql" in target]
            for number, target in enumerate(targets):
                yield f"{name}: {panel['title']}" + (f" ({number + 1})" if len(targets) > 1 else ""), filled_in(target["rawSql"], chosen)


def alerts() -> Iterator[tuple[str, str]]:
    """The queries of the alert rules that ask ClickHouse."""
    for alert in ALERTS:
        if isinstance(alert.query, Sql):
            yield f"alert: {alert.title}", dedent(alert.query.text)


def measure_queries(client: Client) -> list[Timed]:
    """Every query over the quarter of an hour of the crash and over six hours around it, slowest first."""
    timed = []
    for name, sql in (*statements(client), *alerts()):
        for window, view in (("15 minutes", CRASH), ("6 hours", SIX_HOURS)):
            statement, took, rows = expanded(sql, view), [], 0
            for repeat in range(REPEATS + 1):
                began = time.perf_counter()
                rows = len(client.query(statement).result_rows)
                if repeat or time.perf_counter() - began > 2:  # one that takes seconds is slow whether warm or not
                    took.append(time.perf_counter() - began)
                if sum(took) > 2:
                    break
            timed.append(Timed(name, window, sorted(took)[len(took) // 2] * 1000, rows))
    return sorted(timed, key=lambda each: -each.milliseconds)


def measure(directory: Path, million: int) -> Figures:
    """All of it, in one engine."""
    loads = {"before": os.getloadavg()[0]}
    progress("demo")
    command = [sys.executable, "-m", "streams.cli", "demo", "--accounts", "40", "--dir", str(directory / "run"), "--json"]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    with closing(open_embedded(directory / "run")) as client, closing(open_embedded(directory / "run")) as other:
        chunks = by_partition(fill_records(CATCH_UP_ROWS))
        asyncio.run(catch_up(client, directory, by_partition(fill_records(50_000)), 0))  # compiles
        loads["catch-up"] = os.getloadavg()[0]
        rates = []
        for run in range(CATCH_UPS):
            rates.append(asyncio.run(catch_up(client, directory, chunks, run)))
            progress(f"catch-up {rates[-1]:,.0f} rows/s")
        loads["freshness"] = os.getloadavg()[0]
        fresh = asyncio.run(freshness(client, other, directory))
        progress(f"freshness p99 {fresh['p99']:.2f} s")
        grow(client, million * 1_000_000)
        loads["queries"] = os.getloadavg()[0]
        client.database = DATABASE
        client.set_client_setting("readonly", 1)
        queries = measure_queries(client)
        fills = client.query("SELECT count() FROM fills").result_rows[0][0]
    return Figures(sorted(rates), fresh, queries, fills, loads)


def page(figures: Figures, took_s: float) -> str:
    """docs/benchmarks-sinks.md."""
    loads = ", ".join(f"{what} {load:.1f}" for what, load in figures.loads.items())
    slow = [each for each in figures.queries if each.milliseconds >= 200]
    middle, every = figures.rows_per_s[len(figures.rows_per_s) // 2], ", ".join(f"{rate:,.0f}" for rate in figures.rows_per_s)
    caught_up = f"{CATCH_UP_ROWS:,} fills in {PARTITIONS} partitions, read, decoded and inserted with fsync; median of {CATCH_UPS}: {every}"
    lines = [
        "# Benchmarks of the tables",
        "",
        "Written by `make bench-sinks`. All of it is one process: the log in memory, the sink, and ClickHouse embedded.",
        "",
        f"- machine: {describe_machine()}",
        f"- load average: {loads}",
        f"- date: {datetime.now(tz=UTC).date().isoformat()}",
        f"- took: {took_s / 60:.1f} minutes",
        "",
        "| figure | value | conditions |",
        "| --- | ---: | --- |",
        f"| rows a second, catching up | {middle:,.0f} | {caught_up} |",
        f"| event to queryable, p50 | {figures.freshness_s['p50']:.2f} s | {RATE:,} events/s for {RATE_SECONDS} s; until a query's answer shows it |",
        f"| event to queryable, p99 | {figures.freshness_s['p99']:.2f} s | the same |",
        f"| event to queryable, longest | {figures.freshness_s['max']:.2f} s | the same |",
        f"| slowest dashboard query | {figures.queries[0].milliseconds:,.0f} ms | {figures.queries[0].name}, {figures.queries[0].window} |",
        f"| dashboard queries of 200 ms and more | {len(slow)} of {len(figures.queries)} | each over two time ranges |",
        "",
        "## Dashboard queries",
        "",
        f"Every panel, variable and alert rule, as the data source sends it, on {figures.fills:,} fills of one day (one in {FORCED_EVERY:,} forced,",
        "with its instruction), a mark a second for 20 instruments, and a demo of 10 October 2025 among them. Two time ranges: the quarter of an",
        f"hour of the crash, and six hours around it. Median of {REPEATS} after one run that warms. The 25 slowest:",
        "",
        "| query | time range | ms | rows |",
        "| --- | --- | ---: | ---: |",
        *(f"| {each.name} | {each.window} | {each.milliseconds:,.0f} | {each.rows:,} |" for each in figures.queries[:25]),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, write the page, and end with the JSON line."""
    million = int(sys.argv[1]) if len(sys.argv) > 1 else MILLION_FILLS
    began, directory = time.perf_counter(), Path(tempfile.mkdtemp(prefix="bench-sinks-", dir=ROOT / "run" if (ROOT / "run").is_dir() else None))
    try:
        figures = measure(directory, million)
    finally:
        shutil.rmtree(directory)
    text = page(figures, time.perf_counter() - began)
    if million == MILLION_FILLS:
        PAGE.write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    slowest = figures.queries[0]
    result = {
        "rows_per_s": round(figures.rows_per_s[len(figures.rows_per_s) // 2]),
        "freshness_p99_s": round(figures.freshness_s["p99"], 3),
        "slowest_query_ms": round(slowest.milliseconds, 1),
        "slowest_query": f"{slowest.name}, {slowest.window}",
        "queries": len(figures.queries),
        "queries_of_200_ms_and_more": sum(each.milliseconds >= 200 for each in figures.queries),
        "fills": figures.fills,
        "load_average": figures.loads["catch-up"],
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
