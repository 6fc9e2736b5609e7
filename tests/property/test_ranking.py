"""The ranking against its twin of Fractions, on random rows and on rows made to lie within each other's rounding error."""

from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain.events import RankPolicy
from streams.domain.money import MAX_ACCOUNT, MAX_VALUE, MAX_WALLET
from streams.ranking import order
from streams.ranking.order import rank, rank_until
from tests.support.ranking_twin import Candidate, columns, twin_order

POLICIES = st.sampled_from([RankPolicy.BITMEX, RankPolicy.BINANCE])
Draw = Callable[[st.SearchStrategy[int]], int]


@st.composite
def small_rows(draw: Draw) -> Candidate:
    """Tiny numbers: many exact ties, zeros everywhere, insolvent groups, proportional rows."""
    small, signed = st.integers(0, 3), st.integers(-3, 3)
    position = draw(small)
    return Candidate(0, 1, 1, draw(signed), draw(signed), draw(signed), draw(signed), position + draw(small), position)


@st.composite
def wide_rows(draw: Draw) -> Candidate:
    """Anything the bounds admit."""
    position = draw(st.integers(0, MAX_VALUE))
    group = position + draw(st.integers(0, MAX_VALUE * 500))
    return Candidate(
        0,
        2,
        1,
        draw(st.integers(-MAX_VALUE, MAX_VALUE)),
        draw(st.integers(-MAX_VALUE, MAX_VALUE)),
        draw(st.integers(-MAX_WALLET, MAX_WALLET)),
        draw(st.integers(-(2**62), 2**62)),
        group,
        position,
    )


@st.composite
def close_rows(draw: Draw) -> Candidate:
    """Scores a few units in 2^50 apart, some of them equal: floats cannot tell them from each other."""
    near = st.integers(-2, 2)
    sign, factor = draw(st.sampled_from([-1, 1])), draw(st.sampled_from([1, 2]))
    value, cost = sign * (2**50 + draw(near)), sign * (2**49 + draw(near)) * draw(st.sampled_from([1, 1, 1, 3]))
    return Candidate(
        0, 3, 1, factor * value, factor * cost, factor * 2**48 + draw(near), factor * 2**55 + draw(near), 2**52 + draw(near), 2**47 + draw(near)
    )


@st.composite
def books(draw: Callable[..., list[Candidate]], max_size: int = 40) -> list[Candidate]:
    """Rows of one kind or mixed, under accounts in no order; accounts of hedge mode may appear with both legs."""
    rows = draw(st.lists(st.one_of(small_rows(), wide_rows(), close_rows()), max_size=max_size) | st.lists(close_rows(), max_size=max_size))
    keys = draw(
        st.lists(
            st.tuples(st.integers(1, 60) | st.integers(1, MAX_ACCOUNT - 1), st.integers(1, 3)), min_size=len(rows), max_size=len(rows), unique=True
        )
    )
    return [row._replace(account=key[0], position_side=key[1]) for row, key in zip(rows, keys, strict=True)]


@settings(max_examples=300)
@given(policy=POLICIES, rows=books(), floor=st.integers(1, 3) | st.integers(1, MAX_WALLET))
def test_rank_is_the_sort_by_exact_fractions(policy: RankPolicy, rows: list[Candidate], floor: int) -> None:
    assert rank(policy, columns(rows), floor).tolist() == twin_order(policy, rows, floor)


@given(policy=POLICIES, rows=books(), order_of_arrival=st.randoms(use_true_random=False))
def test_rank_does_not_depend_on_the_order_of_the_rows(policy: RankPolicy, rows: list[Candidate], order_of_arrival: Random) -> None:
    shuffled = rows.copy()
    order_of_arrival.shuffle(shuffled)
    assert [rows[i] for i in rank(policy, columns(rows), 1)] == [shuffled[i] for i in rank(policy, columns(shuffled), 1)]


@settings(max_examples=200)
@given(policy=POLICIES, rows=books(max_size=120), data=st.data())
def test_rank_until_is_the_shortest_prefix_that_covers_the_lots(policy: RankPolicy, rows: list[Candidate], data: st.DataObject) -> None:
    free = data.draw(st.lists(st.integers(0, 5) | st.integers(0, MAX_VALUE), min_size=len(rows), max_size=len(rows)))
    wanted = data.draw(st.integers(0, 20) | st.integers(0, 2**60))
    expected: list[int] = []
    covered = 0
    for row in twin_order(policy, rows, 1):
        if covered >= wanted:
            break
        expected.append(row)
        covered += free[row]
    with pytest.MonkeyPatch.context() as small_cuts:
        small_cuts.setattr(order, "FIRST_CUT", 4)
        small_cuts.setattr(order, "GROWTH", 3)
        small_cuts.setattr(order, "SAMPLE_STEP", 2)
        assert rank_until(policy, columns(rows), 1, np.array(free, np.int64), wanted).tolist() == expected


@pytest.mark.parametrize("policy", [RankPolicy.BITMEX, RankPolicy.BINANCE])
def test_a_large_book_with_many_ties_is_cut_off_where_the_whole_order_would_be(policy: RankPolicy) -> None:
    rng = np.random.default_rng(7)
    rows = [
        Candidate(int(a), 2, 1, v * 1000, c * 1000, w, w + 3, 4 + m, 4)
        for a, v, c, w, m in zip(rng.permutation(20_000) + 1, *rng.integers(1, [[40], [40], [9], [5]], (4, 20_000)).tolist(), strict=True)
    ]
    expected = twin_order(policy, rows, 2)
    assert rank(policy, columns(rows), 2).tolist() == expected
    for wanted in (1, 700, 5_000, 19_000):
        assert rank_until(policy, columns(rows), 2, np.ones(20_000, np.int64), wanted).tolist() == expected[:wanted]


@pytest.mark.parametrize("policy", [RankPolicy.BITMEX, RankPolicy.BINANCE])
def test_floats_that_order_close_scores_wrongly_are_put_right(policy: RankPolicy) -> None:
    """Ratios of 50-bit numbers that differ in their last bits: among 2,000 of them plain float keys have neighbours the wrong way round."""
    rng = np.random.default_rng(11)
    big, noise = 2**50, rng.integers(-20, 20, (2_000, 6)).tolist()
    rows = [
        Candidate(account, 2, 1, 3 * big + n[0], big + n[1], big + n[2], 4 * big + n[3], big + n[4], big + n[5])
        for account, n in enumerate(noise, start=1)
    ]
    assert rank(policy, columns(rows), 1).tolist() == twin_order(policy, rows, 1)
