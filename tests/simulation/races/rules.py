"""The rules of deciding, each with what it is like without: for tests that the races would notice."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import numpy as np

from streams.adl import allocation
from streams.domain.events import FillKind
from streams.risk import episodes
from streams.risk.asking import Asking
from streams.risk.candidates import Probes
from streams.risk.machine import RiskMachine
from streams.risk.reservations import ASKED, Reservations
from streams.risk.waiting import Waiting
from tests.simulation.races import stage


@contextlib.contextmanager
def without_judging_when_money_moves() -> Iterator[None]:
    """Only marks bring a group before the judge."""
    with patch.object(RiskMachine, "_touched", lambda *_: None):
        yield


@contextlib.contextmanager
def without_asking_the_liquidated_side() -> Iterator[None]:
    """A position stays in its wave as it was told, whatever has become of its group."""
    figures = Probes._figures

    def stale(self: Probes, row: int, position: Any, marks: Any) -> Any:
        told = self._asking.asked[position]
        fresh = figures(self, row, position, marks)
        if fresh[0]:
            return fresh
        value = self._book.parameters_at(row).value(told.lots, int(marks[self._book.positions.rows["instrument_row"][row]]))
        return told.lots, value + 1, -1, 1

    with patch.object(Probes, "_figures", stale):
        yield


@contextlib.contextmanager
def without_telling_changes() -> Iterator[None]:
    """The pool is told of lots once, and nobody takes back what own orders or a SNAPSHOT have changed."""

    def filled(self: Reservations, position: Any, before: int, after: int, kind: int, instruction_id: int | None) -> None:
        resolving = (FillKind.LIQUIDATION, FillKind.TAKEOVER, FillKind.ADL)
        for holder in (instruction_id or ASKED, ASKED):
            if self.of(position, holder) and (holder != ASKED or kind in resolving):
                self.set(position, holder, self.of(position, holder) - max(0, abs(before) - abs(after)))
                return

    with patch.object(Reservations, "filled", filled), patch.object(Asking, "changed", lambda *_: None):
        yield


@contextlib.contextmanager
def without_waiting_for_the_next_mark() -> Iterator[None]:
    """What was given back is never judged again."""
    with patch.object(Waiting, "due", lambda *_: []):
        yield


@contextlib.contextmanager
def without_meaning_of_outcomes() -> Iterator[None]:
    """A refused order counts as one that the market did not want."""
    with patch.object(episodes, "_REFUSALS", ()):
        yield


@contextlib.contextmanager
def without_one_time_line() -> Iterator[None]:
    """A shard takes what each read brings, whatever else is known to be unread."""
    with patch.object(stage, "IN_ORDER", False):
        yield


@contextlib.contextmanager
def without_room() -> Iterator[None]:
    """A winner gives lots whatever they cost its group, and nobody checks."""
    with (
        patch.object(allocation._Purse, "most", lambda self, place, piece, done, most: most),
        patch.object(allocation, "check", lambda *_: None),
        patch.object(Probes, "_affordable", lambda self, probe, rows: np.full(len(rows), 2**40, np.int64)),
    ):
        yield


RULES: dict[str, tuple[Callable[[], contextlib.AbstractContextManager[None]], set[str]]] = {
    "judging-when-money-moves": (without_judging_when_money_moves, {"vanished", "healthy", "books"}),
    "asking-the-liquidated-side": (without_asking_the_liquidated_side, {"healthy", "gains"}),
    "telling-changes": (without_telling_changes, {"twice", "vanished", "healthy", "bounded", "stopped"}),
    "one-time-line": (without_one_time_line, {"healthy", "books", "stopped"}),
    "room": (without_room, {"ruined"}),
    "waiting-for-the-next-mark": (without_waiting_for_the_next_mark, {"vanished"}),
    "meaning-of-outcomes": (without_meaning_of_outcomes, {"escalated"}),
}
