"""Bankruptcy quotes: written-out arithmetic, rounding, and that they leave the group with exactly nothing."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from streams.domain.bankruptcy import bankruptcy_quote, bankruptcy_quotes
from streams.domain.money import MAX_VALUE

POSITIONS = st.lists(st.tuples(st.integers(-MAX_VALUE, MAX_VALUE), st.integers(0, MAX_VALUE)), min_size=1, max_size=8)
EQUITIES = st.integers(-(2**61), 2**61)


def test_an_insolvent_long_must_be_sold_above_its_value() -> None:
    # 10 lots worth 880 with 20 owed: 880 + 20.
    assert bankruptcy_quote(880, -20, 44, 44) == 900


def test_an_insolvent_short_must_be_bought_back_below_its_value() -> None:
    # Worth -880 with 20 owed: bought for 860.
    assert bankruptcy_quote(-880, -20, 44, 44) == -860


def test_a_short_of_a_deeply_insolvent_group_is_quoted_with_the_other_sign() -> None:
    assert bankruptcy_quote(-10, -30, 1, 1) == 20


def test_a_share_that_does_not_come_out_even_rounds_towards_plus_infinity() -> None:
    # 100 - 10 x 1/3 = 96.67; -100 + 10 x 1/3 = -96.67.
    assert bankruptcy_quote(100, 10, 1, 3) == 97
    assert bankruptcy_quote(-100, -10, 1, 3) == -96


def test_the_last_position_takes_what_rounding_leaves() -> None:
    # Each share of 10 is 3.33: 96.67 rounds to 97 twice, and 300 - 10 - 194 = 96 is left.
    assert bankruptcy_quotes([100, 100, 100], 10, [1, 1, 1]) == [97, 97, 96]


def test_without_maintenance_the_last_position_takes_the_whole_equity() -> None:
    assert bankruptcy_quotes([100, -50], -7, [0, 0]) == [100, -43]


def test_a_group_without_positions_has_no_quotes() -> None:
    assert bankruptcy_quotes([], 5, []) == []


@given(positions=POSITIONS, equity=EQUITIES)
def test_closing_the_group_at_its_quotes_ends_it_at_exactly_zero(positions: list[tuple[int, int]], equity: int) -> None:
    values, maintenances = [value for value, _ in positions], [maintenance for _, maintenance in positions]
    quotes = bankruptcy_quotes(values, equity, maintenances)
    # Equity is wallet + values - costs; sold at the quotes, what is left is wallet + quotes - costs = equity + quotes - values.
    assert equity + sum(quotes) - sum(values) == 0


@given(positions=POSITIONS, equity=EQUITIES)
def test_each_quote_lies_less_than_a_unit_a_position_from_the_exact_one(positions: list[tuple[int, int]], equity: int) -> None:
    values, maintenances = [value for value, _ in positions], [maintenance for _, maintenance in positions]
    if not sum(maintenances):
        return
    for index, quote in enumerate(bankruptcy_quotes(values, equity, maintenances)):
        exact = values[index] - Fraction(equity * maintenances[index], sum(maintenances))
        assert abs(quote - exact) < max(1, len(values) - 1)
