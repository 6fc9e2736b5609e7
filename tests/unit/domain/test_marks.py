"""What a mark does: grades, age, bounds, sequences and epochs, and the clock that one mark cannot take away."""

from dataclasses import replace

import pytest

from streams.domain.events import DeadLetterReason, Grade, InstrumentKind
from streams.domain.instruments import Instrument, Tier, Use
from streams.domain.marks import Heard, MarkTime, Standing, judge

BTC = Instrument(1, "BTC", 1, InstrumentKind.LINEAR, 1, 1, 1, 1_000, 1_000, (Tier(0, 50_000, 0),))
KNOWN = Standing(100, 0, 10, 5_000_000, int(Grade.GOOD))
SECOND = 1_000_000
NOW = 1_764_000_000 * SECOND


def heard(ticks: int = 101, *, epoch: int = 0, sequence: int = 11, time_us: int = 6_000_000, grade: Grade = Grade.GOOD) -> Heard:
    return Heard(ticks, epoch, sequence, time_us, int(grade))


def test_a_good_mark_is_applied() -> None:
    verdict = judge(BTC, KNOWN, heard(), 6_000_000)
    assert verdict.is_applied
    assert verdict.standing == Standing(101, 0, 11, 6_000_000, int(Grade.GOOD))


@pytest.mark.parametrize(("grade", "is_applied"), [(Grade.STALE, True), (Grade.OUTLIER, False), (Grade.FROZEN, False)])
def test_a_grade_is_the_instruments_and_decides_whether_the_mark_is_applied(grade: Grade, is_applied: bool) -> None:
    verdict = judge(BTC, KNOWN, heard(grade=grade), 6_000_000)
    assert verdict.is_applied == is_applied
    assert verdict.standing.ticks == (101 if is_applied else 100)
    assert verdict.standing.grade_at(BTC, 6_000_000) == grade


def test_parameters_say_what_a_grade_may_be_used_for() -> None:
    strict = replace(BTC, stale_allows=0, outlier_allows=int(Use.DETECTION))
    assert not judge(strict, KNOWN, heard(grade=Grade.STALE), 6_000_000).is_applied
    assert judge(strict, KNOWN, heard(grade=Grade.OUTLIER), 6_000_000).is_applied
    assert [BTC.allows(Grade.STALE, use) for use in (Use.DETECTION, Use.ORDER, Use.RANKING, Use.ADL)] == [True, False, True, False]
    assert all(BTC.allows(Grade.GOOD, use) for use in (Use.DETECTION, Use.ORDER, Use.RANKING, Use.ADL))
    assert not BTC.allows(Grade.UNKNOWN, Use.DETECTION)


def test_an_unknown_grade_is_refused_and_changes_nothing() -> None:
    verdict = judge(BTC, KNOWN, heard(grade=Grade.UNKNOWN), 6_000_000)
    assert verdict.refused is not None
    assert verdict.refused[0] is DeadLetterReason.UNKNOWN_SYMBOL
    assert verdict.standing == KNOWN


@pytest.mark.parametrize("ticks", [-1, 0, 1_001])
def test_a_mark_out_of_bounds_freezes_its_instrument_until_a_valid_one_comes(ticks: int) -> None:
    verdict = judge(BTC, KNOWN, heard(ticks), 6_000_000)
    assert verdict.refused is not None
    assert verdict.alarm == "mark_out_of_bounds"
    assert verdict.standing == replace(KNOWN, grade=int(Grade.FROZEN))
    assert judge(BTC, verdict.standing, heard(), 6_000_000).standing.grade == Grade.GOOD


def test_a_feed_that_counts_anew_is_told_once_and_frozen_until_it_rises_or_names_an_epoch() -> None:
    restarted = judge(BTC, KNOWN, heard(sequence=1), 6_000_000)
    assert (restarted.is_applied, restarted.alarm, restarted.standing.grade) == (False, "mark_sequence_restarted", Grade.FROZEN)
    assert judge(BTC, restarted.standing, heard(sequence=2), 6_000_000).alarm is None
    assert judge(BTC, restarted.standing, heard(sequence=11), 6_000_000).is_applied
    assert judge(BTC, restarted.standing, heard(sequence=1, epoch=1), 6_000_000).is_applied


@pytest.mark.parametrize("sequence", [9, 10])
def test_a_sequence_that_does_not_rise_at_a_later_time_freezes_the_instrument(sequence: int) -> None:
    verdict = judge(BTC, KNOWN, heard(sequence=sequence), 6_000_000)
    assert (verdict.is_applied, verdict.alarm, Grade(verdict.standing.grade)) == (False, "mark_sequence_restarted", Grade.FROZEN)


@pytest.mark.parametrize("again", [heard(sequence=10, time_us=5_000_000), heard(sequence=9, time_us=5_000_000), heard(sequence=99, epoch=-1)])
def test_a_mark_seen_before_an_older_one_and_one_of_an_older_epoch_change_nothing(again: Heard) -> None:
    verdict = judge(BTC, KNOWN, again, 6_000_000)
    assert (verdict.is_applied, verdict.alarm, verdict.refused, verdict.standing) == (False, None, None, KNOWN)


def test_a_mark_beyond_its_age_is_stale_by_the_clock() -> None:
    aging = replace(BTC, max_mark_age_us=2 * SECOND)
    assert KNOWN.grade_at(aging, 7 * SECOND) == Grade.GOOD  # of second 5
    assert KNOWN.grade_at(aging, 7 * SECOND + 1) == Grade.STALE
    assert KNOWN.grade_at(BTC, NOW) == Grade.GOOD


def test_a_halted_instrument_takes_no_mark_and_once_resumed_decides_nothing_before_one() -> None:
    halted = KNOWN.halted()
    assert judge(BTC, halted, heard(), 6_000_000).standing == halted
    assert halted.grade_at(BTC, 6_000_000) == halted.resumed().grade_at(BTC, 6_000_000) == Grade.FROZEN
    assert judge(BTC, halted.resumed(), heard(), 6_000_000).standing.grade_at(BTC, 6_000_000) == Grade.GOOD


def told(*times: int) -> tuple[list[bool], int]:
    """Which marks are taken, and the clock afterwards."""
    clock = MarkTime()
    return [clock.hear(time_us) for time_us in times], clock.us


def test_one_mark_of_the_far_future_does_not_move_the_clock() -> None:
    later = 4_102_444_800 * SECOND
    assert told(NOW, NOW + 1, later, NOW + 2) == ([True, True, False, True], NOW + 2)
    assert told(NOW, later, NOW + 1, later, NOW + 2) == ([True, False, True, False, True], NOW + 2)


def test_a_pause_costs_the_first_mark_after_it() -> None:
    hour = 3_600 * SECOND
    assert told(NOW, NOW + hour, NOW + hour + 1) == ([True, False, True], NOW + hour + 1)
    assert told(NOW, NOW + hour, NOW + 2 * hour) == ([True, False, False], NOW + hour)  # it is at least the earlier of the two


def test_the_first_mark_of_all_gives_way_to_a_second_far_behind_it() -> None:
    assert told(4_102_444_800 * SECOND, NOW, NOW + 1) == ([True, True, True], NOW + 1)
    assert told(NOW, NOW + 1, NOW - 3_600 * SECOND) == ([True, True, True], NOW + 1)
