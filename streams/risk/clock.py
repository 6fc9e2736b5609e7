"""The shard's clock, and how far it has read the exchange's streams. No marks, no time: only `marks` move the clock (domain/marks.py)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams.domain.batch import Rows
from streams.domain.instruments import MAX_AHEAD_US
from streams.domain.marks import MarkTime
from streams.domain.state import StateTable
from streams.risk.table import kernel

SECOND_US = 1_000_000
UNREAD = -1


@kernel
def _last_offsets(partition: NDArray[np.int64], offset: NDArray[np.int64], last: NDArray[np.int64]) -> None:
    """The greatest offset of every partition that has a row, into `last`."""
    for n in range(len(partition)):
        last[partition[n]] = max(last[partition[n]], offset[n])


class Clock:
    """The time of marks, the event second it is in, and the offset after the last record applied, by partition."""

    def __init__(self) -> None:
        self.time = MarkTime()
        self.second = 0
        self.now_us = 0  # running maximum of all rows' times: what is decided on a late row is decided now
        self.decisions_heard = 0  # records of decisions given to the machine
        self.marks_seen = 0  # records of marks given to the machine: who has been given as many knows the same marks
        self.consumed: StateTable[tuple[str, int], int] = StateTable("consumed", tuple[str, int], int)

    def now(self, time_us: int) -> int:
        """The time at which a row of this time is applied."""
        self.now_us = max(self.now_us, time_us)
        return self.now_us

    @property
    def us(self) -> int:
        """The time; microseconds."""
        return self.time.us

    def hear(self, time_us: int, bound_us: int = MAX_AHEAD_US) -> bool:
        """Move on to a mark's time, the event second left as it is; False when the mark is too far ahead."""
        return self.time.hear(time_us, bound_us)

    def next_second(self) -> int | None:
        """Move on to the second that the time is in; the one that is over by it, if one is."""
        before, self.second = self.second, self.us // SECOND_US
        return self.second - 1 if 0 < before < self.second else None

    def read(self, topic: str, rows: Rows, start: int, stop: int) -> None:
        """Note how far a run of rows has read each of its topic's partitions."""
        partitions = rows.partition[start:stop]
        last = np.full(int(partitions.max()) + 1, UNREAD, np.int64)
        _last_offsets(partitions, rows.offset[start:stop], last)
        for partition in np.flatnonzero(last != UNREAD).tolist():
            self.consumed[topic, partition] = int(last[partition]) + 1

    def read_until(self) -> list[dict[str, Any]]:
        """As `shard-totals` states it."""
        return [{"topic": topic, "partition": partition, "to": to} for (topic, partition), to in self.consumed.items()]
