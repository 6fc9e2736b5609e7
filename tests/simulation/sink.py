"""The sink of a run: the real sink over a client that keeps rows in memory, drops blocks whose token it knows, and fails where the faults say so."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from clickhouse_connect.driver.exceptions import OperationalError

from streams.bus.contract import Bus
from streams.errors import BackstopError
from streams.sinks.bounds import BoundsFile
from streams.sinks.clickhouse import ClickHouseSink
from tests.simulation.loop import Process
from tests.simulation.options import Fault

BLOCK_ROWS = 20


class FakeClickHouse:
    """Tables as lists of (partition, offset). An insert may be refused, or done without an answer."""

    def __init__(self, faults: list[Fault], disturb: Callable[[Fault], None]) -> None:
        self.server_settings: dict[str, Any] = {}
        self.rows: dict[str, list[tuple[int, int]]] = {}
        self.tokens: dict[tuple[str, str], None] = {}  # of each table, as ClickHouse remembers them
        self.crash: Process | None = None
        self._faults, self._disturb = faults, disturb
        self._inserts = 0

    def command(self, sql: str) -> None:
        """Nothing needs one."""

    def query(self, sql: str, parameters: Any = None) -> Any:
        """The database's UUID."""
        return SimpleNamespace(result_rows=[["simulated"]])

    def insert_arrow(self, table: str, rows: Any, *, database: str, settings: dict[str, Any]) -> None:
        """Insert a block once by its token."""
        self._inserts += 1
        due = [fault for fault in self._faults if fault.nth == self._inserts]
        for fault in due:
            self._disturb(fault)
        faults = [fault.kind for fault in due]
        if "sink_down" in faults:
            raise OperationalError("connection refused")
        token = table, settings["insert_deduplication_token"]
        if token not in self.tokens:
            self.tokens[token] = None
            self.rows.setdefault(table, []).extend(zip(rows.column("src_partition").to_pylist(), rows.column("src_offset").to_pylist(), strict=True))
        if "sink_lost" in faults:
            raise OperationalError("connection reset")
        if "sink_crash" in faults and self.crash is not None:
            self.crash.kill()
            raise OperationalError("nobody hears this")


async def run_sink(bus: Bus, client: Any, directory: Path) -> None:
    """One life of the sink, and after a lost connection the next."""
    while True:
        sink = ClickHouseSink(client, BoundsFile(directory / "bounds.json"), block_rows=BLOCK_ROWS)
        try:
            sink.adopt()
            reader = await sink.open(bus)
            while True:
                for chunk in await reader.poll(max_records=500, timeout_ms=20):
                    sink.insert(chunk)
                    await asyncio.sleep(0)
                sink.flush()
                await asyncio.sleep(0.02)
        except BackstopError:
            await asyncio.sleep(0.05)
