"""Runs loaded into one embedded ClickHouse, a database each: what the desk's views are asked of, beside the records they come from."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from clickhouse_connect.driver.client import Client

from streams.sinks.assets import Asset, name_assets
from streams.sinks.bounds import BoundsFile
from streams.sinks.clickhouse import ClickHouseSink
from streams.sinks.connection import open_embedded
from streams.venue.scenarios.registry import build
from tests.support.pipeline import PARTITIONS, Ran, run

USD = 1
NAMED = {"cascade": [Asset(USD, "USD", 6)], "example_a": [Asset(USD, "USD", 6)], "example_b": []}  # in example B amounts are shown in units
ACCOUNTS = {"cascade": 150}


@dataclass(frozen=True)
class Warehouse:
    """A client of the engine, and the run behind each database."""

    client: Client
    directory: Path
    runs: dict[str, Ran]
    _records: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)

    def records(self, stream: str, database: str = "cascade", **where: Any) -> list[dict[str, Any]]:
        """Rows of a stream as decoded from the log, that match."""
        if (database, stream) not in self._records:
            self._records[database, stream] = self.runs[database].rows(stream)
        return [row for row in self._records[database, stream] if all(row[name] == value for name, value in where.items())]

    def ask(self, sql: str, database: str = "cascade", **settings: Any) -> list[Any]:
        """Rows of a query whose tables are those of one database."""
        self.client.database = database
        return list(self.client.query(sql, settings=settings).result_rows)

    def dicts(self, sql: str, database: str = "cascade", **settings: Any) -> list[dict[str, Any]]:
        """The same, by column."""
        self.client.database = database
        return list(self.client.query(sql, settings=settings).named_results())

    def load_again(self, database: str) -> None:
        """Every record once more, in blocks of other bounds, as after the loss of the bounds file: each row lies there twice until it is merged."""
        for table in ("fills", "marks", "account_states"):
            self.client.command(f"SYSTEM STOP MERGES `{database}`.`{table}`")
        asyncio.run(_load(self, database, block_rows=37, bounds="again.json"))


def usd(units: int) -> Decimal:
    """Settlement units as the views show them."""
    return Decimal(units).scaleb(-6).quantize(Decimal("1e-8"))


def time_of(event_time_us: int) -> datetime:
    """An event time as the client hands it out."""
    return datetime(1970, 1, 1) + timedelta(microseconds=event_time_us)  # noqa: DTZ001


async def _load(warehouse: Warehouse, database: str, *, block_rows: int, bounds: str) -> None:
    file = BoundsFile(warehouse.directory / database / bounds)
    sink = ClickHouseSink(warehouse.client, file, database=database, block_rows=block_rows)
    sink.create_tables()
    reader = await sink.open(warehouse.runs[database].bus)
    await sink.turn(reader)
    sink.flush()
    await reader.close()


@contextmanager
def warehouse(directory: Path, *databases: str) -> Iterator[Warehouse]:
    """Play the scenarios and load each into its database."""
    runs = {name: run(build(name.replace("_", "-"), ACCOUNTS.get(name), 1, PARTITIONS)) for name in databases}
    client = open_embedded(directory)
    try:
        opened = Warehouse(client, directory, runs)
        for name in databases:
            asyncio.run(_load(opened, name, block_rows=10_000, bounds="bounds.json"))
            if NAMED[name]:
                name_assets(client, NAMED[name], database=name)
        yield opened
    finally:
        client.close()
