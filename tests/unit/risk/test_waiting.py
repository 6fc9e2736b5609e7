"""How long a position pauses after orders that nobody was asked about."""

from streams.domain.batch import Outputs
from streams.risk.waiting import Waiting
from tests.support.risk_rows import Desk, instrument, pool

POSITION = (1, 1, 1)  # account, instrument, side
SECOND_US = 1_000_000


def refused(waiting: Waiting, time_us: int) -> int:
    """When the position is due after one more refusal at this time; how many alarms that raised is looked at elsewhere."""
    waiting.refused(POSITION, time_us, pause_us=SECOND_US, alarm_count=3, out=Outputs())
    (entry,) = (wait for _, wait in waiting.table.items())
    return entry.not_before_us


def waits() -> Waiting:
    desk = Desk()
    desk.feed(instrument(), pool())
    return Waiting(desk.machine.book)


def test_orders_to_eight_winners_that_expire_together_are_one_refusal() -> None:
    waiting = waits()
    assert {refused(waiting, 10 * SECOND_US) for _ in range(8)} == {11 * SECOND_US}
    assert waiting.due(1, 11 * SECOND_US) == [POSITION]


def test_each_round_that_is_refused_doubles_the_pause() -> None:
    waiting = waits()
    assert refused(waiting, 10 * SECOND_US) == 11 * SECOND_US
    assert waiting.due(1, 11 * SECOND_US) == [POSITION]
    assert refused(waiting, 20 * SECOND_US) == 22 * SECOND_US
    assert refused(waiting, 20 * SECOND_US) == 22 * SECOND_US
    assert waiting.due(1, 22 * SECOND_US) == [POSITION]
    assert refused(waiting, 30 * SECOND_US) == 34 * SECOND_US


def test_the_alarm_of_a_count_is_raised_once() -> None:
    waiting, out = waits(), Outputs()
    for time_us in (10 * SECOND_US, 20 * SECOND_US, 30 * SECOND_US, 30 * SECOND_US):
        waiting.due(1, time_us)
        waiting.refused(POSITION, time_us, pause_us=SECOND_US, alarm_count=3, out=out)
    assert [facts["refusals"] for _, facts in out.alarms] == [3]
