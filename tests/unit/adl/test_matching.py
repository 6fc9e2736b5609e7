"""Those in resolution on opposite sides of one instrument: as many lots as can meet, at a price that both can bear."""

from hypothesis import given
from hypothesis import strategies as st

from streams.adl.matching import Meeting, Side, meet

sides = st.lists(st.tuples(st.integers(1, 4), st.integers(-20, 120)), max_size=5)
quotes = st.lists(st.tuples(st.integers(1, 9), st.integers(-900, 900)), max_size=6)


def most_lots(longs: list[Side], shorts: list[Side]) -> int:
    """The slow twin: every lot a node, an edge where prices overlap, a largest matching by augmenting paths."""
    sellers = [long.quote // long.lots for long in longs for _ in range(long.lots)]
    buyers = [-short.quote // short.lots for short in shorts for _ in range(short.lots)]
    taken: dict[int, int] = {}

    def finds(seller: int, seen: set[int]) -> bool:
        for buyer, price in enumerate(buyers):
            if price >= sellers[seller] and buyer not in seen:
                seen.add(buyer)
                if buyer not in taken or finds(taken[buyer], seen):
                    taken[buyer] = seller
                    return True
        return False

    return sum(finds(seller, set()) for seller in range(len(sellers)))


@given(sides, sides, st.integers(1, 100))
def test_no_other_way_of_meeting_places_more_lots(longs: list[tuple[int, int]], shorts: list[tuple[int, int]], mark: int) -> None:
    # Whole prices a lot, so that no part of a quote is rounded.
    sellers = [Side(n, lots, lots * price) for n, (lots, price) in enumerate(longs)]
    buyers = [Side(100 + n, lots, -lots * price) for n, (lots, price) in enumerate(shorts)]
    assert sum(met.lots for met in meet(sellers, buyers, mark)) == most_lots(sellers, buyers)


@given(quotes, quotes, st.integers(1, 100))
def test_nobody_is_left_with_less_than_its_bankruptcy_quote(longs: list[tuple[int, int]], shorts: list[tuple[int, int]], mark: int) -> None:
    sellers = [Side(n, *side) for n, side in enumerate(longs)]
    buyers = [Side(100 + n, lots, -quote) for n, (lots, quote) in enumerate(shorts)]
    met = meet(sellers, buyers, mark)
    for number, seller in enumerate(sellers):
        mine = [m for m in met if m.long == number]
        lots = sum(m.lots for m in mine)
        assert lots <= seller.lots
        assert sum(m.quote for m in mine) >= seller.quote * lots // seller.lots
    for number, buyer in enumerate(buyers):
        mine = [m for m in met if m.short == number]
        lots = sum(m.lots for m in mine)
        assert lots <= buyer.lots
        assert sum(m.quote for m in mine) <= -(buyer.quote * lots // buyer.lots)


def test_the_price_is_the_mark_clamped_into_the_overlap() -> None:
    # Dave, long 1, must have 45,001; Carl, short 1, can pay 49,999.
    dave, carl = [Side(1, 1, 45_001)], [Side(2, 1, -49_999)]
    assert [meet(dave, carl, mark) for mark in (50_000, 47_000, 45_000)] == [[Meeting(0, 0, 1, price)] for price in (49_999, 47_000, 45_001)]


def test_prices_that_do_not_overlap_do_not_meet() -> None:
    assert meet([Side(1, 1, 50_000)], [Side(2, 1, -49_999)], 50_000) == []


def test_two_legs_of_one_account_do_not_meet() -> None:
    assert meet([Side(1, 3, 30)], [Side(1, 3, -300), Side(2, 3, -60)], 50) == [Meeting(0, 1, 3, 60)]
