"""A plain judge: the exchange's own book at every event time, and what a group is worth and must hold there. It knows none of the product's code.

A group is (account, instrument or None, side or None), as the exchange's book names it.
"""

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

from tests.simulation.races.stage import RATE_PPM, Race

Group = tuple[int, int | None, int | None]
VALUE_PER_TICK_LOT = 10


class Judge:
    """Answers at an event time: as the exchange's book stood after everything of that time."""

    def __init__(self, race: Race) -> None:
        self.books = race.exchange.books
        self.times = sorted(self.books)
        self._modes = race.exchange.book

    def at(self, time_us: int) -> int:
        """The newest time at or before this one that has a book."""
        return self.times[max(0, bisect_right(self.times, time_us) - 1)]

    def between(self, first_us: int, last_us: int) -> Iterator[int]:
        """Times with a book, from the newest at or before the first one on."""
        begin = self.at(first_us)
        return (time_us for time_us in self.times if begin <= time_us <= last_us)

    def groups(self, time_us: int) -> list[Group]:
        """Groups that hold something."""
        return sorted({self.group_of(key) for key, lots in self.books[time_us][1].items() if lots}, key=lambda g: (g[0], g[1] or 0))

    def group_of(self, key: tuple[int, int, int]) -> Group:
        """Whose money carries a position."""
        return self._modes.group(key)

    def held(self, group: Group, time_us: int) -> dict[int, int]:
        """Lots by instrument."""
        return {key[1]: lots for key, lots in self.books[time_us][1].items() if lots and self.group_of(key) == group}

    def worth(self, group: Group, time_us: int, marks: dict[int, int] | None = None) -> tuple[int, int]:
        """(equity, maintenance) at the marks in force then, or at others: cash + sum of lots x mark x 10; 5 % of each absolute value, rounded up."""
        cash, _, in_force = self.books[time_us]
        marks = in_force if marks is None else marks
        values = [lots * marks.get(number, 0) * VALUE_PER_TICK_LOT for number, lots in self.held(group, time_us).items()]
        return cash.get(group, 0) + sum(values), sum(-(-abs(value) * RATE_PPM // 10**6) for value in values)

    def is_below(self, group: Group, time_us: int, marks: dict[int, int] | None = None) -> bool:
        """Whether the group is below its maintenance; one that holds something without a mark is not judged."""
        known = self.books[time_us][2] if marks is None else marks
        if any(number not in known for number in self.held(group, time_us)):
            return False  # nobody can say
        equity, maintenance = self.worth(group, time_us, marks)
        return equity < maintenance


def group_of_row(row: dict[str, Any]) -> Group:
    """The group that an insolvency row names."""
    return row["account"], row["group_instrument"], row["group_side"]
