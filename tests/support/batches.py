"""Batches from plain rows: through the real codecs, in the one order a machine gets them in."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from streams.domain.batch import Batch, Rows
from streams.domain.events import NULL
from streams.topics import POOLS_READS, STREAMS
from streams.wire.codec import codec

Record = tuple[str, dict[str, Any]]


def batch_of(records: Sequence[Record], reads: Sequence[str] = POOLS_READS) -> Batch:
    """The rows by (event time, stream rank, tie columns, given order). A row may say where it stood with `partition_`; else 0."""
    ordered = sorted(enumerate(records), key=lambda numbered: (*_place(numbered[1], reads), numbered[0]))
    by_stream: dict[str, list[dict[str, Any]]] = {}
    runs: list[tuple[str, int, int]] = []
    for _, (stream, row) in ordered:
        rows = by_stream.setdefault(stream, [])
        if runs and runs[-1][0] == stream:
            runs[-1] = (stream, runs[-1][1], len(rows) + 1)
        else:
            runs.append((stream, len(rows), len(rows) + 1))
        rows.append(row)
    return Batch({stream: _rows(stream, rows) for stream, rows in by_stream.items()}, runs)


def _place(record: Record, reads: Sequence[str]) -> tuple[Any, ...]:
    stream, row = record
    tie = tuple(NULL if row.get(name) is None else row[name] for name in STREAMS[stream].tie)
    return row["event_time_us"], reads.index(stream), tie


def _rows(stream: str, rows: list[dict[str, Any]]) -> Rows:
    decoded = codec(stream).decode(codec(stream).encode([{k: v for k, v in row.items() if k != "partition_"} for row in rows]))
    assert not decoded.bad, decoded.bad
    times = np.array([row["event_time_us"] for row in rows], np.int64)
    partitions = np.array([row.get("partition_", 0) for row in rows], np.int64)
    return Rows(stream, decoded.columns, times, partitions, np.arange(len(rows), dtype=np.int64))
