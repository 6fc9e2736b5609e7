"""Marks as a shard takes them: plain ones in compiled runs, until one changes a group's state; the others one by one, by domain/marks.py."""

from collections.abc import Callable
from typing import Any

import numpy as np

from streams.domain.alarms import Alarm
from streams.domain.batch import Outputs, Rows
from streams.domain.events import DeadLetterReason
from streams.domain.instruments import MAX_AHEAD_US, Instrument, Use
from streams.domain.marks import Heard, judge
from streams.risk.bands import MarkColumns
from streams.risk.book import Book
from streams.risk.candidates import Probes
from streams.risk.clock import Clock
from streams.risk.episodes import Episodes
from streams.risk.placements import Placements

SecondOver = Callable[[int, dict[str, Any], Outputs], None]  # (event second that is over, row of the mark that ended it, outputs)


class Marks:
    """Applies marks to the book; what follows from them goes through episodes, probes and placements."""

    def __init__(self, book: Book, clock: Clock, episodes: Episodes, probes: Probes, placements: Placements, second_over: SecondOver) -> None:
        self._book, self._clock, self._episodes, self._probes = book, clock, episodes, probes
        self._placements, self._second_over = placements, second_over

    def take(self, rows: Rows, start: int, stop: int, out: Outputs) -> None:
        """Plain marks compiled, until one changes a group's state; the rest one by one."""
        columns = MarkColumns._make([np.asarray(rows.columns[name]) for name in MarkColumns._fields])
        while start < stop:
            is_exact = len(self._probes.waiting) > 0 or not self._clock.time.is_witnessed
            taken, crossed = (start, []) if is_exact else self._book.apply_marks(columns, start, stop)
            if taken > start:
                self._clock.marks_seen += taken - start
                self._clock.hear(newest := int(columns.event_time_us[start:taken].max()))
                self._clock.now(newest)
                self._clock.read("marks", rows, start, taken)
            for group in crossed:
                self._episodes.judge(group, self._clock.now_us, out, instrument=int(columns.instrument[taken - 1]))
            if taken < stop and not crossed:
                self._mark(rows.row(taken), taken, out)
                taken += 1
            start = taken

    def _mark(self, row: dict[str, Any], index: int, out: Outputs) -> None:
        self._clock.marks_seen += 1
        number = row["instrument"]
        parameters = self._book.parameters.get(number)
        bound_us = parameters.max_ahead_us if parameters else MAX_AHEAD_US
        is_heard = self._clock.hear(row["event_time_us"], bound_us)
        self._tick(row, out)
        row["time_us"] = self._clock.now(min(row["time_us"], self._clock.us))
        if not is_heard:
            out.refuse("marks", index, DeadLetterReason.OUT_OF_BOUNDS, f"more than {bound_us} us ahead of the clock of marks")
            out.alarm(Alarm.MARK_AHEAD_OF_TIME, instrument=number, event_time_us=row["event_time_us"])
        elif parameters is None:
            out.refuse("marks", index, DeadLetterReason.UNKNOWN_INSTRUMENT, f"instrument {number} is not known")
        else:
            self._judge(row, index, parameters, out)
        self._placements.left(self._probes.answer_due(self._clock.us, row["time_us"], out), row["time_us"], out)

    def _judge(self, row: dict[str, Any], index: int, parameters: Instrument, out: Outputs) -> None:
        """Do what domain/marks.py says of the mark. Where it is the first that may be decided on, what waited goes on."""
        number, time_us = row["instrument"], row["time_us"]
        known, went_on = self._book.standing(number), self._book.allows(number, Use.ORDER)
        heard = Heard(row["mark_ticks"], row["epoch"] or 0, row["sequence"], row["event_time_us"], row["grade"])
        verdict = judge(parameters, known, heard, self._clock.us)
        if verdict.alarm is not None:
            out.alarm(verdict.alarm, instrument=number)
        if verdict.refused is not None:
            out.refuse("marks", index, *verdict.refused)
        if verdict.standing != known:
            self._book.stand(number, verdict.standing)
        if verdict.is_applied:
            for group in self._book.apply_mark(self._book.instrument_row(number), heard.ticks):
                self._episodes.judge(group, time_us, out, instrument=number)
            self._episodes.marked(number, time_us, out)
            if known.ticks == 0 or not went_on:
                self.resume(number, time_us, out)

    def _tick(self, row: dict[str, Any], out: Outputs) -> None:
        """Move on to the second that the time is in."""
        ended = self._clock.next_second()
        if ended is not None:
            self._second_over(ended, row, out)
        self._clock.consumed["marks", row["partition_"]] = row["offset_"] + 1

    def resume(self, instrument: int, time_us: int, out: Outputs) -> None:
        """What waited for the instrument goes on."""
        self._episodes.marked(instrument, time_us, out)
        for group in dict.fromkeys(int(self._book.positions.rows["group"][p]) for p in self._book.holders(self._book.instrument_row(instrument))):
            if self._book.is_crossing(group):
                self._episodes.judge(group, time_us, out)
