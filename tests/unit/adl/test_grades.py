"""A wave opens only at a mark whose grade allows it; what asks meanwhile waits."""

from streams.domain.events import Grade
from tests.support.pools_desk import Desk, instrument, mark, pool, position


def stale(**parameters: int) -> Desk:
    desk = Desk()
    desk.at(instrument(**parameters), pool())
    desk.at(desk.opening(0), mark(88))
    desk.at(mark(88, grade=Grade.STALE))
    desk.at(position(11, 4, 360, ticks=88))
    return desk


def test_no_wave_opens_at_a_stale_mark_and_one_does_at_the_next_good_one() -> None:
    desk = stale()
    assert desk.all("adl-probes") == []
    desk.at(mark(87))
    assert desk.all("adl-probes", "lots_needed") == [4]


def test_where_the_instrument_says_that_a_stale_mark_may_be_used_for_adl_it_is() -> None:
    assert stale(stale_allows=1 + 4 + 8).all("adl-probes", "lots_needed") == [4]
