"""Depth of the simulated exchange: prices, limits, refill."""

from hypothesis import given
from hypothesis import strategies as st

from streams.venue.depth import Depth, DepthSpec, Taken

SECOND = 1_000_000
SPEC = DepthSpec(step_ppm=10_000, level_lots=10, levels=3, refill_lots_per_second=5)  # 1 % of the mark a level


def test_a_seller_eats_level_after_level_below_the_mark() -> None:
    taken = Depth(SPEC, 2).take(lots=-25, mark_ticks=1000, time_us=0, limit=None)
    assert taken == [Taken(-10, 990, -10 * 990 * 2), Taken(-10, 980, -10 * 980 * 2), Taken(-5, 970, -5 * 970 * 2)]


def test_a_buyer_pays_more_and_gets_no_more_than_there_is() -> None:
    taken = Depth(SPEC, 1).take(lots=50, mark_ticks=1000, time_us=0, limit=None)
    assert [(t.lots, t.price_ticks) for t in taken] == [(10, 1010), (10, 1020), (10, 1030)]


def test_what_was_eaten_comes_back_with_event_time() -> None:
    depth = Depth(SPEC, 1)
    depth.take(lots=-12, mark_ticks=1000, time_us=0, limit=None)
    assert depth.eaten_lots(-1, SECOND // 10) == 12  # half a lot is not a lot
    assert depth.eaten_lots(-1, SECOND) == 7
    assert depth.eaten_lots(-1, 10 * SECOND) == 0
    assert depth.eaten_lots(1, 0) == 0  # the other side was never touched


def test_asking_often_does_not_slow_the_refill_down() -> None:
    depth = Depth(SPEC, 1)
    depth.take(lots=-12, mark_ticks=1000, time_us=0, limit=None)
    for step in range(1, 21):
        depth.eaten_lots(-1, step * SECOND // 20)
    assert depth.eaten_lots(-1, SECOND) == 7


def test_a_limit_stops_in_the_middle_of_a_level() -> None:
    # Sell 20 for 19,780 at least: 10 bring 9,900, k more at 980 must keep 9,900 + 980 k >= 989 (10 + k): k <= 10/9.
    taken = Depth(SPEC, 1).take(lots=-20, mark_ticks=1000, time_us=0, limit=(-19_780, 20))
    assert [(t.lots, t.price_ticks) for t in taken] == [(-10, 990), (-1, 980)]


def test_a_short_whose_bankruptcy_quote_asks_for_money_finds_nobody() -> None:
    assert Depth(SPEC, 1).take(lots=5, mark_ticks=1000, time_us=0, limit=(-1, 5)) == []


@given(
    lots=st.integers(1, 200),
    is_buy=st.booleans(),
    mark=st.integers(1, 5_000),
    per_lot=st.integers(-100, 10_000),
    extra=st.integers(-3, 3),
    eaten=st.integers(0, 20),
    level=st.integers(1, 15),
    step=st.integers(0, 300_000),
)
def test_depth_never_fills_beyond_the_limit_and_takes_all_that_fits(
    lots: int, is_buy: bool, mark: int, per_lot: int, extra: int, eaten: int, level: int, step: int
) -> None:
    sign, unit = (1 if is_buy else -1), 3
    limit = sign * per_lot * lots * unit + extra
    spec = DepthSpec(step_ppm=step, level_lots=level, levels=4, refill_lots_per_second=1)

    def prices(skip: int) -> list[int]:
        """Twin: the price of every single lot of the ladder, best first."""
        ladder = [mark + sign * (mark * step * (n + 1) // 1_000_000) for n in range(4) for _ in range(level)]
        return [p for p in ladder[skip:] if p > 0]

    depth = Depth(spec, unit)
    if eaten:
        depth.take(lots=sign * eaten, mark_ticks=mark, time_us=0, limit=None)
    gone = depth.eaten_lots(sign, 0)
    best, paid, expected = 0, 0, 0
    for k, price in enumerate(prices(gone)[:lots], start=1):
        paid += sign * price * unit
        if paid <= limit * k // lots:
            best, expected = k, paid
    taken = depth.take(lots=sign * lots, mark_ticks=mark, time_us=0, limit=(limit, lots))
    assert (sum(abs(t.lots) for t in taken), sum(t.quote for t in taken)) == (best, expected)
    assert all(t.quote == t.lots * t.price_ticks * unit for t in taken)
    assert depth.eaten_lots(sign, 0) == gone + best
