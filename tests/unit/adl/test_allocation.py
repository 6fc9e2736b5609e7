"""Two pointers: liquidated positions in their order, offsetting ones by rank, quotes that add up, and nobody below its floor."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.adl.allocation import Allocation, Giver, Left, Means, Pair, Wanted, allocate, check

RICH = 10**9
Positions = list[tuple[int, int]]


def lot_by_lot(liquidated: Positions, offered: list[int]) -> list[tuple[int, int, int]]:
    """The slow twin where nobody lacks room: every wanted lot in its order meets the next free lot in its order."""
    wanted = [number for number, (lots, _) in enumerate(liquidated) for _ in range(lots)]
    free = [number for number, lots in enumerate(offered) for _ in range(lots)]
    met = list(zip(wanted, free, strict=False))
    return [(*key, met.count(key)) for key in sorted(set(met))]


def by_trying(wanted: list[Wanted], givers: list[Giver], groups: list[Means], required: Callable[[int], int]) -> list[tuple[int, int, int, int]]:
    """The slow twin with room: each giver in its turn gives lot after lot until one more would leave its group below its floor."""
    equity, kept = [group.equity for group in groups], [group.maintenance for group in groups]
    held, free, pairs = [giver.position_lots for giver in givers], [giver.offered_lots for giver in givers], []
    for number, (lots, _, loss) in enumerate(wanted):
        done = 0
        for place, giver in enumerate(givers):

            def keeps(k: int, place: int = place, group: int = giver.group, done: int = done, loss: int = loss, lots: int = lots) -> bool:
                cost = max(0, loss * (done + k) // lots - loss * done // lots)
                return equity[group] - cost >= kept[group] - required(held[place]) + required(held[place] - k)

            k = 0
            while done + k < lots and k < free[place] and keeps(k) and keeps(k + 1):
                k += 1
            if k:
                cost = loss * (done + k) // lots - loss * done // lots
                pairs.append((number, place, k, cost))
                equity[giver.group] -= max(0, cost)
                kept[giver.group] += required(held[place] - k) - required(held[place])
                held[place], free[place], done = held[place] - k, free[place] - k, done + k
    return pairs


positions = st.lists(st.tuples(st.integers(0, 12), st.integers(-900, 900)), max_size=6)
offers = st.lists(st.integers(0, 9), max_size=8)
books = st.tuples(
    st.lists(st.tuples(st.integers(1, 12), st.integers(-900, 900), st.integers(-60, 90)), max_size=5),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 4)), max_size=8),
    st.lists(st.tuples(st.integers(-5, 120), st.integers(0, 40)), min_size=4, max_size=4),
)


def everybody(offered: list[int]) -> tuple[list[Giver], list[Means]]:
    """Givers that never lack room."""
    return [Giver(n, lots, lots) for n, lots in enumerate(offered)], [Means(RICH, 0) for _ in offered]


@given(positions, offers)
def test_pairs_are_those_of_lots_met_one_by_one(liquidated: Positions, offered: list[int]) -> None:
    found = allocate([Wanted(lots, quote, quote) for lots, quote in liquidated], *everybody(offered), None)
    assert [(pair.liquidated, pair.offsetting, pair.lots) for pair in found.pairs] == lot_by_lot(liquidated, offered)
    assert not found.passed_over


@given(positions, offers)
def test_lots_and_quotes_of_each_position_add_up_exactly(liquidated: Positions, offered: list[int]) -> None:
    found = allocate([Wanted(lots, quote, quote) for lots, quote in liquidated], *everybody(offered), None)
    for number, (lots, quote) in enumerate(liquidated):
        parts = [(p.lots, p.quote) for p in found.pairs if p.liquidated == number] + [(r.lots, r.quote) for r in found.left if r.liquidated == number]
        if lots:
            assert (sum(n for n, _ in parts), sum(q for _, q in parts)) == (lots, quote)
        else:
            assert parts == []


def test_quotes_are_differences_of_the_cumulative_quote() -> None:
    # 100 for 3 lots: floor(100/3) = 33, floor(200/3) = 66, 100.
    found = allocate([Wanted(3, 100, 0)], *everybody([1, 1]), None)
    assert [pair.quote for pair in found.pairs] == [33, 33]
    assert [(rest.lots, rest.quote) for rest in found.left] == [(1, 34)]


@given(books)
def test_down_to_zero_everybody_gives_what_lot_after_lot_would(book: tuple[list[tuple[int, ...]], ...]) -> None:
    wanted, groups = [Wanted(*piece) for piece in book[0]], [Means(*group) for group in book[2]]
    givers = [Giver(group, offered, offered + more) for group, offered, more in book[1]]
    found = allocate(wanted, givers, groups, None)
    nothing = by_trying(wanted, givers, [Means(group.equity, 0) for group in groups], lambda _: 0)
    assert [(pair.liquidated, pair.offsetting, pair.lots, pair.loss) for pair in found.pairs] == nothing


@given(books, st.integers(0, 20))
def test_down_to_maintenance_everybody_gives_what_lot_after_lot_would(book: tuple[list[tuple[int, ...]], ...], rate: int) -> None:
    wanted, groups = [Wanted(*piece) for piece in book[0]], [Means(*group) for group in book[2]]
    givers = [Giver(group, offered, offered + more) for group, offered, more in book[1]]

    def required(lots: int) -> int:
        return rate * lots + max(0, rate * (lots - 6))  # a second tier from 6 lots on, at twice the rate

    found = allocate(wanted, givers, groups, required)
    assert [(pair.liquidated, pair.offsetting, pair.lots, pair.loss) for pair in found.pairs] == by_trying(wanted, givers, groups, required)


def test_who_cannot_give_ten_lots_at_twenty_under_the_mark_gives_two_and_the_next_in_rank_the_rest() -> None:
    # Long 10 at a bankruptcy quote of 900, the mark at 70: ten lots cost a taker 900 - 700 = 200, 20 a lot. S1 has 50, S2 1,300.
    found = allocate([Wanted(10, 900, 200)], [Giver(0, 10, 10), Giver(1, 10, 10)], [Means(50, 35), Means(1_300, 35)], None)
    assert found.pairs == [Pair(0, 0, 2, 180, 40, 50), Pair(0, 1, 8, 720, 160, 1_300)]
    assert found.passed_over == {0}


def test_who_keeps_its_maintenance_is_passed_over() -> None:
    # Of 10 lots at mark 70 and 5 % S1 needs 35, of 9 lots 32 (31.5 rounded up): after one lot it has 30.
    def required(lots: int) -> int:
        return -(-lots * 70 * 5 // 100)

    found = allocate([Wanted(10, 900, 200)], [Giver(0, 10, 10), Giver(1, 10, 10)], [Means(50, 35), Means(1_300, 35)], required)
    assert found.pairs == [Pair(0, 1, 10, 900, 200, 1_265)]
    assert found.passed_over == {0}


def test_two_legs_of_one_group_are_charged_to_one_room() -> None:
    # 20 a lot: 50 bears two lots, whichever legs they come from.
    found = allocate([Wanted(9, 0, 180)], [Giver(0, 2, 2), Giver(0, 5, 5)], [Means(50, 0)], None)
    assert [(pair.offsetting, pair.lots, pair.room) for pair in found.pairs] == [(0, 2, 50)]
    assert [rest.lots for rest in found.left] == [7]


def test_a_gain_is_no_room_for_a_later_loss() -> None:
    # The first position brings 90, but its fill may not come.
    found = allocate([Wanted(3, 0, -90), Wanted(3, 0, 60)], [Giver(0, 6, 6)], [Means(25, 0)], None)
    assert [(pair.liquidated, pair.lots, pair.loss) for pair in found.pairs] == [(0, 3, -90), (1, 1, 20)]


def test_one_position_that_nobody_can_bear_does_not_block_the_others() -> None:
    found = allocate([Wanted(4, 0, 4_000), Wanted(4, 0, 40)], [Giver(0, 4, 4)], [Means(60, 0)], None)
    assert [(pair.liquidated, pair.lots) for pair in found.pairs] == [(1, 4)]
    assert found.left == [Left(0, 4, 0)]


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([Pair(0, 0, 4, 40, 20, 50)], "do not add up"),
        ([Pair(0, 0, 5, 49, 25, 50)], "do not add up"),
        ([Pair(0, 0, 5, 50, 24, 50)], "do not add up"),
        ([Pair(0, 1, 5, 50, 25, 50)], "gives 5 lots"),
        ([Pair(0, 2, 5, 50, 25, 50)], "left with less"),
        ([Pair(0, 0, 5, 50, 25, 50), Pair(0, 0, 0, 0, 0, 50)], "without lots"),
    ],
)
def test_a_decision_that_breaks_what_it_promises_does_not_leave_the_machine(pairs: list[Pair], words: str) -> None:
    givers, groups = [Giver(0, 5, 5), Giver(0, 4, 9), Giver(1, 9, 9)], [Means(50, 0), Means(24, 0)]
    with pytest.raises(AssertionError, match=words):
        check(Allocation(pairs), [Wanted(5, 50, 25)], givers, groups, None)
