"""What goes into a machine and what comes out: rows of streams as columns, already in their one order, and rows to write.

Nothing here knows Avro, Kafka or files.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams.domain.alarms import Alarm
from streams.domain.events import NULL, DeadLetterReason

Column = NDArray[np.int64] | list[Any]
Row = Mapping[str, Any]
Raised = tuple[Alarm, dict[str, Any]]  # an alarm, and its facts
UNDECODABLE = "undecodable"  # the pseudo-stream of records no schema could read; see engine/merge.py


@dataclass(slots=True)
class Rows:
    """Rows of one stream in merged order.

    `columns`: field -> int64 array (numbers and enum codes; NULL where absent) or a list (strings, bytes, nested records as dicts).
    `time_us`: merge time of each row: the running maximum of event time in its partition, so late rows count as of now.
    `partition`, `offset`: where each row stood in the log.
    """

    stream: str
    columns: dict[str, Column]
    time_us: NDArray[np.int64]
    partition: NDArray[np.int64]
    offset: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.time_us)

    def row(self, index: int) -> dict[str, Any]:
        """One row as plain Python values; absent values are None."""
        row = {name: _plain(column[index]) for name, column in self.columns.items()}
        row["time_us"], row["partition_"], row["offset_"] = int(self.time_us[index]), int(self.partition[index]), int(self.offset[index])
        return row


def _plain(value: Any) -> Any:
    if isinstance(value, np.integer):
        return None if value == NULL else int(value)
    return value


@dataclass(slots=True)
class Batch:
    """Rows by stream, and their interleaving: `runs` are (stream, start, stop) ranges to be taken one after the other."""

    rows: dict[str, Rows]
    runs: list[tuple[str, int, int]]

    def __iter__(self) -> Iterator[tuple[str, int, dict[str, Any]]]:
        """Rows one by one in merged order: (stream, index in its Rows, row). For machines of low rate."""
        for stream, start, stop in self.runs:
            rows = self.rows[stream]
            for index in range(start, stop):
                yield stream, index, rows.row(index)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that could not be applied: it goes to dead-letters, and `account` (if known) is SUSPECT."""

    stream: str
    index: int
    reason: DeadLetterReason
    detail: str
    account: int | None


@dataclass(frozen=True, slots=True)
class ColumnRows:
    """Rows to write as columns, NULL where absent; `partition` is one for all, or one for each."""

    columns: Mapping[str, Column]
    partition: NDArray[np.int64] | int


@dataclass(slots=True)
class Outputs:
    """What a step says. Rows of one stream keep their order; `alarms` are for operators (logs and metrics), never part of the log.

    A row is a dict of the schema's fields: ints, enum codes as ints (IntEnum is fine), None, str, lists of dicts. A nullable field may be left out.
    In one step a stream gets its rows either one by one or as columns.
    """

    rows: dict[str, list[tuple[int, Row]]] = field(default_factory=dict)  # stream -> [(partition, row)]
    columns: dict[str, list[ColumnRows]] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    alarms: list[Raised] = field(default_factory=list)
    order: list[str] = field(default_factory=list)  # the stream of every row emitted one by one, for topics that carry several

    def emit(self, stream: str, row: Row, partition: int = 0) -> None:
        """Add one row to a stream."""
        self.rows.setdefault(stream, []).append((partition, row))
        self.order.append(stream)

    def emit_columns(self, stream: str, columns: Mapping[str, Column], partition: NDArray[np.int64] | int = 0) -> None:
        """Add many rows to a stream, in this order; numbers and texts only. A nullable field may be left out."""
        self.columns.setdefault(stream, []).append(ColumnRows(columns, partition))

    def refuse(self, stream: str, index: int, reason: DeadLetterReason, detail: str, account: int | None = None) -> None:
        """Refuse one input row."""
        self.refusals.append(Refusal(stream, index, reason, detail, account))

    def alarm(self, alarm: Alarm, /, **facts: Any) -> None:
        """Tell the operator."""
        self.alarms.append((alarm, facts))
