"""What everything is valued and shown by: instruments, pools, marks as they were applied, and how an asset's units are written."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.domain.events import Grade
from streams.notify.names import Names, Unit, newest
from streams.report.log import Log

Int64s = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Marks:
    """Marks of one instrument that were applied: neither FROZEN nor behind the sequence, by event time."""

    times_us: Int64s
    ticks: Int64s


@dataclass(frozen=True, kw_only=True)
class Market(Names):
    """Newest parameters by number, how they are named, and `marks` by instrument."""

    marks: Mapping[int, Marks]

    def mark_at(self, instrument: int, time_us: int) -> int | None:
        """The mark in force at an event time, in ticks; None before the first."""
        marks = self.marks.get(instrument)
        at = 0 if marks is None else int(np.searchsorted(marks.times_us, time_us, side="right"))
        return None if marks is None or at == 0 else int(marks.ticks[at - 1])


def market_of(log: Log, units: Mapping[int, Unit]) -> Market:
    """The market of a log."""
    numbers, sequences, epochs = (log.numbers("marks", name) for name in ("instrument", "sequence", "epoch"))
    usable = log.numbers("marks", "grade") != Grade.FROZEN
    marks = {}
    for instrument in np.unique(numbers[usable]).tolist():
        places = np.flatnonzero(usable & (numbers == instrument))
        places = places[ahead(epochs[places], sequences[places])]
        marks[instrument] = Marks(log.numbers("marks", "event_time_us")[places], log.numbers("marks", "mark_ticks")[places])
    instruments, pools = newest(log.rows("instruments"), "instrument"), newest(log.rows("pools"), "pool")
    return Market(instruments=instruments, pools=pools, marks=marks, units=units)


def ahead(epochs: Int64s, sequences: Int64s) -> NDArray[np.bool_]:
    """Which marks of one instrument, in their order, lie beyond all before them: by the run of the feed, then by its sequence."""
    beyond = np.zeros(len(epochs), bool)
    current = epochs == np.maximum.accumulate(epochs)
    for epoch in np.unique(epochs[current]):
        places = np.flatnonzero(current & (epochs == epoch))
        highest = np.maximum.accumulate(sequences[places])
        beyond[places] = np.concatenate([[True], sequences[places][1:] > highest[:-1]])
    return beyond
