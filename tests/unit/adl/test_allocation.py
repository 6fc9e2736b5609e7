"""Two pointers: liquidated positions in their order, offsetting ones by rank, quotes that add up."""

from hypothesis import given
from hypothesis import strategies as st

from streams.adl.allocation import allocate


def lot_by_lot(liquidated: list[tuple[int, int]], offered: list[int]) -> list[tuple[int, int, int]]:
    """The slow twin: every wanted lot in its order meets the next free lot in its order."""
    wanted = [number for number, (lots, _) in enumerate(liquidated) for _ in range(lots)]
    free = [number for number, lots in enumerate(offered) for _ in range(lots)]
    met = list(zip(wanted, free, strict=False))
    return [(*key, met.count(key)) for key in sorted(set(met))]


positions = st.lists(st.tuples(st.integers(0, 12), st.integers(-900, 900)), max_size=6)
offers = st.lists(st.integers(0, 9), max_size=8)


@given(positions, offers)
def test_pairs_are_those_of_lots_met_one_by_one(liquidated: list[tuple[int, int]], offered: list[int]) -> None:
    pairs, _ = allocate(liquidated, offered)
    assert [(pair.liquidated, pair.offsetting, pair.lots) for pair in pairs] == lot_by_lot(liquidated, offered)


@given(positions, offers)
def test_lots_and_quotes_of_each_position_add_up_exactly(liquidated: list[tuple[int, int]], offered: list[int]) -> None:
    pairs, left = allocate(liquidated, offered)
    for number, (lots, quote) in enumerate(liquidated):
        parts = [(p.lots, p.quote) for p in pairs if p.liquidated == number] + [(p.lots, p.quote) for p in left if p.liquidated == number]
        if lots:
            assert (sum(n for n, _ in parts), sum(q for _, q in parts)) == (lots, quote)
        else:
            assert parts == []


def test_quotes_are_differences_of_the_cumulative_quote() -> None:
    # 100 for 3 lots: floor(100/3) = 33, floor(200/3) = 66, 100.
    pairs, left = allocate([(3, 100)], [1, 1])
    assert [pair.quote for pair in pairs] == [33, 33]
    assert [(rest.lots, rest.quote) for rest in left] == [(1, 34)]
