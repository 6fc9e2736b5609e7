"""The exchange's own book: cash and lots, margin buckets, sums, comparison."""

import pytest

from streams.domain.events import MarginMode, PositionSide
from streams.errors import CheckFailed
from streams.venue.book import Book, cross

LONG_10 = (11, 1, int(PositionSide.ONE_WAY))
SHORT_10 = (21, 1, int(PositionSide.ONE_WAY))


def book_of_example_a() -> Book:
    """L: isolated long 10 at 100 with bucket 100, cross wallet 7. S: cross short 10 at 100, wallet 600."""
    book = Book(value_per_tick_lot={1: 1}, marks={1: 100})
    book.set_mode(LONG_10, MarginMode.ISOLATED)
    book.open(cross(11), 7)
    book.open(LONG_10, 100 - 1000)
    book.open(cross(21), 600 + 1000)
    book.trade(LONG_10, 10, 0)
    book.trade(SHORT_10, -10, 0)
    return book


def test_cash_is_wallet_less_open_cost_and_equity_adds_the_value() -> None:
    book = book_of_example_a()
    book.marks[1] = 88
    assert book.equity(LONG_10) == 100 + 10 * 88 - 1000
    assert book.equity(cross(21)) == 600 - 10 * 88 + 1000


def test_the_fill_that_makes_an_isolated_position_flat_returns_its_bucket_with_the_result() -> None:
    book = book_of_example_a()
    returned = book.trade(LONG_10, -10, -950)  # sold at 95: 100 + 950 - 1,000 = 50 left
    book.trade(SHORT_10, 10, 950)
    assert returned == -50
    assert (book.cash[LONG_10], book.cash[cross(11)]) == (0, 57)
    book.check()


def test_a_partial_close_leaves_the_bucket_where_it_is() -> None:
    book = book_of_example_a()
    assert book.trade(LONG_10, -4, -380) == 0
    assert book.cash[cross(11)] == 7


def test_a_bucket_that_ends_at_zero_returns_nothing() -> None:
    book = book_of_example_a()
    assert book.trade(LONG_10, -10, -900) == 0  # the bankruptcy quote: 100 + 900 - 1,000 = 0
    assert book.cash[LONG_10] == 0


def test_a_negative_remainder_stays_in_the_isolated_group_as_its_deficit() -> None:
    book = book_of_example_a()
    assert book.trade(LONG_10, -10, -884) == 0  # example B: 180 + 704
    assert (book.cash[LONG_10], book.cash[cross(11)]) == (-16, 7)


def test_the_wallet_is_known_only_of_a_flat_group() -> None:
    book = book_of_example_a()
    assert book.wallet_if_flat(LONG_10) is None
    assert book.wallet_if_flat(cross(11)) == 7


def test_the_margin_mode_of_an_open_position_cannot_change() -> None:
    book = book_of_example_a()
    with pytest.raises(CheckFailed, match="margin mode"):
        book.set_mode(LONG_10, MarginMode.CROSS)


def test_the_check_names_lots_and_cash_that_do_not_sum_to_zero() -> None:
    book = book_of_example_a()
    book.trade(SHORT_10, 3, 5)
    with pytest.raises(CheckFailed, match=r"\{1: 3\} and cash -5"):
        book.check()


def test_differences_name_positions_and_cash_and_take_absent_for_zero() -> None:
    book = book_of_example_a()
    same = {LONG_10: 10, SHORT_10: -10, (99, 1, 1): 0}
    cash = {cross(11): 7, LONG_10: -900, cross(21): 1600}
    assert book.differences(same, cash) == []
    assert book.differences({**same, LONG_10: 9}, {**cash, cross(21): 1599}) == [
        "position account 11 instrument 1 ONE_WAY: exchange 10 lots, ours 9",
        "cash of account 21: exchange 1600, ours 1599",
    ]
