"""How many dead letters an event-minute may bring before somebody must look: a broken producer shows here long before its accounts are missed."""

from streams.domain.batch import Outputs

MINUTE_US = 60_000_000


class DeadLetterLimit:
    """Counts by event-minute and shard, so that a replay counts as the day itself did."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._minutes: dict[tuple[str, int], int] = {}
        self._counts: dict[tuple[str, int], int] = {}

    def add(self, task: str, shard: int, *, event_time_us: int, count: int) -> tuple[int, bool]:
        """Count dead letters of a step; (those of its minute so far, whether the limit was passed just now: once a minute)."""
        key, minute = (task, shard), event_time_us // MINUTE_US
        if self._minutes.get(key) != minute:
            self._minutes[key], self._counts[key] = minute, 0
        before = self._counts[key]
        self._counts[key] = before + count
        return self._counts[key], before <= self._limit < self._counts[key]


def dead_letters_of(outputs: Outputs, undecodable: int) -> int:
    """Dead letters of a step: refused rows of its batch, rows that had waited, records no schema could read."""
    return len(outputs.refusals) + len(outputs.rows.get("dead-letters", ())) + undecodable
