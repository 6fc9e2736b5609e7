"""How much a read asks for."""

from streams.bus.contract import Chunk
from streams.engine.pacing import FULL_READ, PATIENCE, READ_BOUNDS, Pace, is_urgent

LEAST, MOST = READ_BOUNDS


def test_without_a_target_reads_are_never_resized() -> None:
    pace = Pace(None)
    pace.stepped(records=FULL_READ, took_ms=60_000, urgent=True)
    assert pace.ask_for == FULL_READ


def test_a_step_that_takes_too_long_halves_the_next_reads_down_to_a_bound() -> None:
    pace = Pace(10)
    for _ in range(20):
        pace.stepped(records=pace.ask_for, took_ms=11, urgent=True)
    assert pace.ask_for == LEAST


def test_full_and_quick_steps_double_the_next_reads_up_to_a_bound() -> None:
    pace = Pace(10)
    for _ in range(20):
        pace.stepped(records=pace.ask_for, took_ms=4, urgent=True)
    assert pace.ask_for == MOST


def test_a_shard_that_keeps_up_is_left_as_it_is() -> None:
    pace = Pace(10)
    pace.stepped(records=3, took_ms=0, urgent=True)
    assert pace.ask_for == FULL_READ


def test_a_step_with_nothing_urgent_may_take_longer() -> None:
    urgent, patient = Pace(10), Pace(10)
    for pace, is_it in ((urgent, True), (patient, False)):
        pace.stepped(records=FULL_READ, took_ms=10 * PATIENCE // 2 - 1, urgent=is_it)
    assert urgent.ask_for == FULL_READ // 2
    assert patient.ask_for == FULL_READ * 2


def test_marks_are_urgent_and_fills_are_not() -> None:
    fills, marks = Chunk("account-events", 0, 0, 1, [0], [0], [None], [b""], [()]), Chunk("marks", 0, 0, 1, [0], [0], [None], [b""], [()])
    assert not is_urgent([fills, Chunk("marks", 0, 0, 1)])
    assert is_urgent([fills, marks])
