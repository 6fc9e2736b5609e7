"""A recorded log as columns: every stream the page tells of, decoded once, partitions joined, in the order of event time, then place.

Records that no schema can read are left out: the engine has said what they were, in dead-letters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams.bus.contract import Bus
from streams.domain.batch import Column
from streams.domain.events import NULL
from streams.engine.chunks import read_stream
from streams.topics import STREAMS as ALL
from streams.wire.codec import codec

Row = dict[str, Any]
STREAMS = (
    "instruments", "pools", "marks", "fills", "instructions", "account-states", "insolvencies", "adl-candidates", "shard-totals", "adl-probes",
    "adl-decisions", "adl-waves", "adl-executions", "fund-ledger", "pool-states", "dead-letters",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Log:
    """`counts`: records of every stream of the log. `columns`: of STREAMS; int64 with NULL where absent, lists for everything else."""

    counts: Mapping[str, int]
    columns: Mapping[str, Mapping[str, Column]]

    def numbers(self, stream: str, name: str) -> NDArray[np.int64]:
        """One column of numbers or codes."""
        return np.asarray(self.columns[stream][name], np.int64)

    def rows(self, stream: str) -> list[Row]:
        """The stream's rows as plain Python values, None where absent."""
        names = list(self.columns[stream])
        columns = [_plain(self.columns[stream][name]) for name in names]
        return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]

    def span_us(self) -> tuple[int, int]:
        """First and last event time of what is told of; (0, 0) of an empty log."""
        times = [self.numbers(stream, "event_time_us") for stream in STREAMS]
        ends = [(int(column.min()), int(column.max())) for column in times if len(column)]
        return (min(first for first, _ in ends), max(last for _, last in ends)) if ends else (0, 0)


def _plain(column: Column) -> Sequence[Any]:
    if isinstance(column, list):
        return column
    values: list[int] = column.tolist()
    return [None if value == NULL else value for value in values]


async def read_log(bus: Bus) -> Log:
    """Read a whole log. Streams that a recording left out are empty."""
    present = await bus.partitions()
    counts, columns = {}, {stream: codec(stream).decode([]).columns for stream in STREAMS}
    for stream in (name for name, stream in ALL.items() if stream.topic in present):
        values = [value async for chunk in read_stream(bus, stream) for value in chunk.values]
        counts[stream] = len(values)
        if stream in STREAMS:
            columns[stream] = _ordered(codec(stream).decode(values).columns)
    return Log(counts, columns)


def _ordered(columns: Mapping[str, Column]) -> dict[str, Column]:
    order = np.argsort(np.asarray(columns["event_time_us"], np.int64), kind="stable")
    places = order.tolist()
    return {name: [column[at] for at in places] if isinstance(column, list) else column[order] for name, column in columns.items()}
