"""How instruments and money are named, and reasons as people read them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.notify.names import Names, Unit, counted, newest
from streams.notify.reasons import given_and_gained, of_execution, of_pool_state

USD = Unit("USD", 6)


def instrument(symbol: str, **changes: Any) -> dict[str, Any]:
    return {"symbol": symbol, "asset": 1, "value_per_tick_lot": 1_000_000, "version": 1, **changes}


def names(*symbols: str) -> Names:
    """Instruments 1, 2, ... under these symbols."""
    return Names(instruments={number: instrument(symbol) for number, symbol in enumerate(symbols, 1)}, pools={1: {"asset": 1}}, units={1: USD})


def test_an_instrument_is_shown_by_its_symbol_and_with_its_id_where_two_have_the_same() -> None:
    assert dict(names("LUNA", "BTC", "LUNA").symbols) == {1: "LUNA (1)", 2: "BTC", 3: "LUNA (3)"}


def test_one_without_a_symbol_or_never_announced_is_shown_by_its_id() -> None:
    assert (names("").symbol(1), names("BTC").symbol(7)) == ("1", "7")
    assert dict(names("2", "").symbols) == {1: "2 (1)", 2: "2 (2)"}  # a symbol that looks like the id of another


def test_the_newest_version_holds_and_of_equal_ones_the_later() -> None:
    rows = [instrument("old", instrument=1, version=2), instrument("late", instrument=1, version=1), instrument("new", instrument=1, version=2)]
    assert newest(rows, "instrument") == {1: rows[2]}


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0 USD"), (1, "0.000001 USD"), (-1, "-0.000001 USD"), (16_000, "0.016 USD"), (12_000_000, "12 USD"),
        (-1_234_567_890_000, "-1,234,567.89 USD"),
    ],
)  # fmt: skip
def test_money_is_written_to_the_last_unit(amount: int, text: str) -> None:
    assert USD.text(amount) == text


@given(st.lists(st.integers(-(2**80), 2**80)), st.integers(0, 8))
def test_figures_below_each_other_add_up(amounts: list[int], decimals: int) -> None:
    unit = Unit("USD", decimals)
    read = [int(unit.figure(amount).replace(",", "").replace(".", "")) for amount in (*amounts, sum(amounts))]
    assert sum(read[:-1]) == read[-1]


def test_an_asset_that_nobody_has_named_is_shown_in_settlement_units() -> None:
    assert Names().unit(3).text(1_234) == "1,234 units of asset 3"


def execution(**changes: Any) -> dict[str, Any]:
    """6 of 6 lots short, bought at 90 against a mark of 88: 540 paid for what is worth 528."""
    row = {
        "instrument": 1, "lots": 6, "position_lots": -6, "quote": -540_000_000, "mark_ticks": 88, "cost": -600_000_000, "group_wallet": 600_500_000,
        "group_equity": 672_000_000, "group_maintenance": 27_000_000, "position_maintenance": 27_000_000, "reason": "Six lots were closed.",
    }  # fmt: skip
    return {**row, **changes}


@pytest.mark.parametrize(
    ("changes", "sides"),
    [
        ({}, (12_000_000, 0)),
        ({"quote": -510_000_000}, (0, 18_000_000)),  # bought at 85
        ({"quote": -528_000_000}, (0, 0)),
        ({"position_lots": 6, "quote": 510_000_000}, (18_000_000, 0)),  # a long that sold at 85
        ({"position_lots": 6, "quote": 540_000_000}, (0, 12_000_000)),
    ],
)
def test_what_is_given_up_and_what_is_gained_are_two_figures(changes: dict[str, Any], sides: tuple[int, int]) -> None:
    assert given_and_gained(names("BTC"), execution(**changes)) == sides


def test_a_deleveraged_account_is_told_the_reason_by_symbol_and_in_its_asset() -> None:
    assert of_execution(names("BTC"), execution()) == (
        "BTC: Six lots were closed. Against the mark you gave up 12 USD. Your score came from: profit 72 USD, cost -600 USD, value -528 USD, "
        "wallet 600.5 USD, equity 672 USD, maintenance 27 USD, of which this position 27 USD, at mark 88."
    )


@pytest.mark.parametrize(("quote", "words"), [(-510_000_000, "you gained 18 USD"), (-528_000_000, "you neither gave up nor gained")])
def test_a_gain_and_nothing_are_told_as_what_they_are(quote: int, words: str) -> None:
    assert f"Against the mark {words}. " in of_execution(names("BTC"), execution(quote=quote))


def test_the_reason_of_a_state_ends_with_the_threshold_where_one_decided() -> None:
    row = {"pool": 1, "threshold": 20_500_000, "reason": "the fund's value is at or above the stop threshold"}
    assert of_pool_state(names("BTC"), row) == "the fund's value is at or above the stop threshold of 20.5 USD"
    assert of_pool_state(names("BTC"), {**row, "threshold": None, "reason": "refused"}) == "refused"
    assert of_pool_state(names("BTC"), {**row, "reason": ""}) == ""


def test_a_count_goes_with_its_noun() -> None:
    assert [counted(number, "time") for number in (0, 1, 2_000)] == ["0 times", "1 time", "2,000 times"]
