"""What a mark does, decided once for both tasks: whether it is applied, what its instrument counts as afterwards, and what it does to the clock.

The compiled path of risk/bands.py takes only marks that are plain by these rules: applied, GOOD before and after. All others come here.
"""

from dataclasses import dataclass, replace
from typing import Final

from streams.domain.alarms import Alarm
from streams.domain.events import DeadLetterReason, Grade
from streams.domain.instruments import MAX_AHEAD_US, Instrument, Use

_GRADES: Final = frozenset(int(grade) for grade in Grade if grade != Grade.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Heard:
    """A mark as its producer sent it; an epoch that is not said is 0."""

    ticks: int
    epoch: int
    sequence: int
    time_us: int
    grade: int


@dataclass(frozen=True, slots=True)
class Standing:
    """The mark in force (no ticks before the first), and how far its instrument can be trusted by what has been heard since.

    `is_halted`: a change of its parameters was refused, so nobody knows in which unit its marks are.
    """

    ticks: int = 0
    epoch: int = 0
    sequence: int = 0
    time_us: int = 0
    grade: int = int(Grade.GOOD)
    is_halted: bool = False

    def grade_at(self, parameters: Instrument, clock_us: int) -> Grade:
        """Grade of the instrument now: a halted one is FROZEN, a GOOD mark beyond its age STALE."""
        if self.is_halted:
            return Grade.FROZEN
        age = parameters.max_mark_age_us
        if self.grade == Grade.GOOD and age and self.ticks and clock_us - self.time_us > age:
            return Grade.STALE
        return Grade(self.grade)

    def halted(self) -> "Standing":
        """Halted: no mark is applied until valid parameters come."""
        return replace(self, is_halted=True)

    def resumed(self) -> "Standing":
        """Valid parameters have come; nothing is decided until a valid mark follows."""
        return replace(self, is_halted=False, grade=int(Grade.FROZEN))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of the instrument, why the mark is refused (if it is), and the alarm it raises (if it does): once, when it freezes."""

    standing: Standing
    is_applied: bool = False
    refused: tuple[DeadLetterReason, str] | None = None
    alarm: Alarm | None = None


def judge(parameters: Instrument, known: Standing, heard: Heard, clock_us: int) -> Verdict:
    """What a mark of a known instrument does. `clock_us` is the clock after this mark."""
    if heard.grade not in _GRADES:
        return Verdict(known, refused=(DeadLetterReason.UNKNOWN_SYMBOL, "grade is UNKNOWN"))
    if known.is_halted:
        return Verdict(known)
    if known.ticks and (heard.epoch, heard.sequence) <= (known.epoch, known.sequence):
        return _seen_before(known, heard)
    if not 0 < heard.ticks <= parameters.max_mark_ticks:
        refused = DeadLetterReason.OUT_OF_BOUNDS, f"mark_ticks outside 1..{parameters.max_mark_ticks}"
        first = None if known.grade == Grade.FROZEN else Alarm.MARK_OUT_OF_BOUNDS
        return Verdict(replace(known, grade=int(Grade.FROZEN)), refused=refused, alarm=first)
    if not parameters.allows(heard.grade, Use.DETECTION):
        return Verdict(replace(known, grade=heard.grade))
    applied = Standing(heard.ticks, heard.epoch, heard.sequence, heard.time_us, heard.grade)
    if not parameters.allows(applied.grade_at(parameters, clock_us), Use.DETECTION):
        return Verdict(replace(known, grade=int(Grade.STALE)))
    return Verdict(applied, is_applied=True)


def _seen_before(known: Standing, heard: Heard) -> Verdict:
    """A sequence that does not grow: a duplicate, an older mark, or a feed that counts anew without naming a new epoch, or not at all."""
    is_restarted = heard.epoch == known.epoch and heard.sequence <= known.sequence and heard.time_us > known.time_us
    if not is_restarted or known.grade == Grade.FROZEN:
        return Verdict(known)
    return Verdict(replace(known, grade=int(Grade.FROZEN)), alarm=Alarm.MARK_SEQUENCE_RESTARTED)


@dataclass(slots=True)
class MarkTime:
    """The clock of marks. One mark alone cannot take it away: what is far ahead of all others waits for a witness.

    A mark more than the bound ahead of the clock is refused; the next one heard bears witness: at or beyond it (to the bound), the clock
    moves on to the earlier of the two; back near the clock, the first is forgotten. The very first mark has nothing to be compared with, so
    it is taken, and the second one takes its place if that is more than the bound behind it.
    """

    us: int = 0
    ahead_us: int = 0  # the mark that waits for a witness; 0: none
    is_witnessed: bool = False

    def hear(self, time_us: int, bound_us: int = MAX_AHEAD_US) -> bool:
        """Move on to a mark's time; False when it is refused."""
        if self.ahead_us and time_us >= self.ahead_us - bound_us:
            self.us, self.is_witnessed = max(self.us, min(self.ahead_us, time_us)), True
        if self.us and time_us > self.us + bound_us:
            self.ahead_us = time_us
            return False
        is_alone = bool(self.us) and not self.is_witnessed
        self.us = time_us if is_alone and time_us < self.us - bound_us else max(self.us, time_us)
        self.is_witnessed = self.is_witnessed or is_alone
        self.ahead_us = 0
        return True
