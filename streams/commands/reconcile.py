"""`backstop reconcile`: whether ClickHouse holds exactly what the log does, for any range: a recorded directory, or a deployment and its server."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from clickhouse_connect.driver.client import Client

from streams.bus.contract import TopicPartition
from streams.bus.ranges import END, Ends, resolve
from streams.commands.check import Source, opened, require
from streams.commands.console import Ticker, complain, emit_json, progress, run, say
from streams.errors import UsageProblem
from streams.sinks.connection import engine_path, open_embedded, server_client
from streams.sinks.reconcile import Difference, Reconciliation, StreamReport
from streams.sinks.tables import DATABASE
from streams.topics import STREAMS


def run_reconcile(source: Source, start: Ends, stop: Ends, *, as_json: bool) -> int:
    """0 when rows equal records, 1 with the first difference of every stream that has one."""
    require(source)
    with progress() as tick, _database(source) as (client, database):
        reports = run(_reconciled(source, client, database, start, stop, tick))
    differences = [report.difference for report in reports if report.difference is not None]
    if as_json:
        emit_json({**source.json, "equal": not differences, "streams": [_json(report) for report in reports]})
    elif not differences:
        say(_summary(source, reports))
    for difference in differences:
        complain(f"{source}: {difference}")
    return 1 if differences else 0


@contextmanager
def _database(source: Source) -> Iterator[tuple[Client, str]]:
    if source.kafka is None:
        if not engine_path(source.directory).exists():
            raise UsageProblem(f"{source.directory} has no ClickHouse data: load it first, or name another directory")
        client, database = open_embedded(source.directory), DATABASE
    else:
        client, database = server_client(source.kafka.clickhouse), source.kafka.clickhouse.database
    try:
        yield client, database
    finally:
        client.close()


async def _reconciled(source: Source, client: Client, database: str, start: Ends, stop: Ends, tick: Ticker) -> list[StreamReport]:
    async with opened(source) as bus:
        counts = await bus.partitions()
        reconciliation = Reconciliation(bus, client, database)
        reports: list[StreamReport] = []
        streams = [(stream.name, stream.topic) for stream in STREAMS.values() if stream.topic in counts]
        for stream, topic in streams:
            tick("reconciling streams", done=len(reports), of=len(streams))
            partitions = [TopicPartition(topic, number) for number in range(counts[topic])]
            ranges = await resolve(bus, partitions, start, stop)
            reports.append(await reconciliation.stream(stream, ranges, to_end=all(stop.of(partition) == END for partition in partitions)))
        return reports


def _json(report: StreamReport) -> dict[str, Any]:
    counts = {"stream": report.stream, "records": report.records, "rows": report.rows, "skipped": report.skipped}
    return {**counts, "record_digest": report.record_digest, "row_digest": report.row_digest, "difference": _difference_json(report.difference)}


def _difference_json(difference: Difference | None) -> dict[str, Any] | None:
    if difference is None:
        return None
    fields = asdict(difference)
    del fields["stream"]  # the report around it names it
    return {"class": fields.pop("kind").value, **fields}


def _summary(source: Source, reports: list[StreamReport]) -> str:
    records, skipped = sum(report.records for report in reports), sum(report.skipped for report in reports)
    unread = f", {skipped:,} that cannot be read and have none" if skipped else ""
    lines = [f"{source}: rows equal records. {records:,} records in {len(reports)} streams{unread}"]
    lines += [f"  {report.stream:<20} {report.rows:>12,}  {report.row_digest}" for report in reports if report.records]
    return "\n".join(lines)
