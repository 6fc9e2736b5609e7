"""The benchmark's machine: fills to positions, one output a fill, on the real engine. Its one stream exists in processes that import this only."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streams.domain.batch import Batch, Outputs
from streams.domain.state import combine
from streams.engine.task import TaskName
from streams.risk.table import EMPTY, ROWS, Index, RowIndex, RowTable, Table, find, kernel, put, touch
from streams.topics import STREAMS, TOPICS, WEEK_MS, Partitioning, Stream, Topic
from streams.wire import schemas

STREAM: Final = "bench-positions"
SCHEMA: Final = Path(__file__).parent / "bench_position.avsc"
STREAMS[STREAM] = Stream(STREAM, SCHEMA.stem, "account", Partitioning.ACCOUNT, "accounts", WEEK_MS)
TOPICS[STREAM] = Topic(STREAM, (STREAM,), "account", Partitioning.ACCOUNT, "accounts", WEEK_MS)
schemas.schemas()[SCHEMA.stem] = schemas._read(SCHEMA)

Ints = NDArray[np.int64]


@kernel
def _toward_zero(amount: int, part: int, of: int) -> int:
    """amount x part / of, rounded towards zero."""
    product = abs(amount) * abs(part)
    size = product // abs(of)
    return size if ((amount < 0) != (part < 0)) == (of < 0) else -size


@kernel
def _apply(table: Table, index: Index, account: Ints, instrument: Ints, change: Ints, quote: Ints, out: Ints) -> None:
    """Average cost; `out` takes (lots, cost, realised) after each fill."""
    rows = table.rows
    for n in range(len(account)):
        key = (account[n] << 12) | instrument[n]
        row = find(index, key)
        if row == EMPTY:
            row = table.counts[ROWS]
            table.counts[ROWS] += 1
            put(index, key, row)
            rows["account"][row], rows["instrument"][row] = account[n], instrument[n]
        lots, cost, realised = rows["lots"][row], rows["cost"][row], rows["realised"][row]
        if lots == 0 or (lots > 0) == (change[n] > 0):
            cost += quote[n]
        elif abs(change[n]) <= abs(lots):
            released = _toward_zero(cost, -change[n], lots)
            cost, realised = cost - released, realised - quote[n] - released
        else:
            closing = _toward_zero(quote[n], -lots, change[n])
            cost, realised = quote[n] - closing, realised - closing - cost
        lots += change[n]
        rows["lots"][row], rows["cost"][row], rows["realised"][row] = lots, cost, realised
        out[0, n], out[1, n], out[2, n] = lots, cost, realised
        touch(table, row)


class Positions:
    """See engine/machine.py for the contract."""

    version = 1
    clock_us = 0
    held = 0

    def __init__(self) -> None:
        self._table = RowTable("positions", ("account", "instrument", "lots", "cost", "realised"), (), salt=1)
        self._index = RowIndex()

    def step(self, batch: Batch) -> Outputs:
        """One output a fill."""
        said = Outputs()
        rows = batch.rows.get("fills")
        if rows is None:
            return said
        count = len(rows)
        self._table.reserve(count)
        self._index.reserve(len(self._table) + count)
        account, instrument, lots, quote = (np.asarray(rows.columns[name]) for name in ("account", "instrument", "lots", "quote"))
        out = np.empty((3, count), np.int64)
        _apply(self._table.t, self._index.i, account, instrument, lots, quote, out)
        columns = {
            "event_time_us": rows.columns["event_time_us"],
            "account": account,
            "instrument": instrument,
            "lots": out[0],
            "cost": out[1],
            "realised": out[2],
            "trade_id": rows.columns["trade_id"],
        }
        said.emit_columns(STREAM, columns, rows.partition)
        return said

    def found(self, epoch: int) -> None:
        """It gives no ids."""

    def digest(self) -> bytes:
        """Of all positions."""
        return combine([self._table], {"version": self.version})

    def snapshot(self) -> dict[str, pa.RecordBatch]:
        """All positions."""
        return {self._table.name: self._table.to_arrow()}

    def restore(self, tables: Mapping[str, pa.RecordBatch]) -> None:
        """Take over all positions."""
        self._table.from_arrow(tables[self._table.name])
        self._index.clear()
        self._index.reserve(len(self._table))
        for row, (account, instrument) in enumerate(self._table.rows[["account", "instrument"]].tolist()):
            put(self._index.i, (account << 12) | instrument, row)


def positions(_task: TaskName, _shard: int, _shard_count: int) -> Positions:
    """A machine factory."""
    return Positions()
