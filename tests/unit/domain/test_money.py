"""Rounding directions and the sharing of amounts in whole units."""

from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.money import (
    MAX_GROUP_POSITIONS,
    MAX_VALUE,
    MAX_WALLET,
    capped_largest_remainder,
    div_ceil,
    div_floor,
    largest_remainder,
    mul_ppm_ceil,
    quote_part_floor,
)

AMOUNTS = st.integers(0, 2**60)
WEIGHTS = st.dictionaries(st.integers(1, 50), st.integers(0, 2**52), min_size=1, max_size=12).filter(lambda weights: any(weights.values()))


@pytest.mark.parametrize(("numerator", "down", "up"), [(7, 3, 4), (-7, -4, -3), (6, 3, 3), (-6, -3, -3), (0, 0, 0)])
def test_a_negative_quotient_rounds_by_value_not_by_magnitude(numerator: int, down: int, up: int) -> None:
    assert (div_floor(numerator, 2), div_ceil(numerator, 2)) == (down, up)


@given(numerator=st.integers(), denominator=st.integers(1, 2**70))
def test_the_quotients_are_the_exact_one_rounded(numerator: int, denominator: int) -> None:
    exact = Fraction(numerator, denominator)
    assert (div_floor(numerator, denominator), div_ceil(numerator, denominator)) == (floor(exact), ceil(exact))


@pytest.mark.parametrize(("amount", "ppm", "expected"), [(1_000_001, 25_000, 25_001), (1_000_000, 25_000, 25_000), (-1_000_001, 25_000, -25_000)])
def test_a_share_in_millionths_rounds_up(amount: int, ppm: int, expected: int) -> None:
    assert mul_ppm_ceil(amount, ppm) == expected


def test_parts_of_a_quote_are_differences_that_add_up() -> None:
    # 100 over 3 lots: floor(33.3) = 33, floor(66.7) = 66, 100.
    assert [quote_part_floor(100, lots, 3) for lots in (0, 1, 2, 3)] == [0, 33, 66, 100]
    assert [quote_part_floor(-100, lots, 3) for lots in (0, 1, 2, 3)] == [0, -34, -67, -100]


def test_left_over_units_go_to_the_largest_remainders() -> None:
    # 15 by 6 : 2 is 11.25 and 3.75: the unit left over goes to the second.
    assert largest_remainder(15, {21: 6, 22: 2}) == {21: 11, 22: 4}


def test_equal_remainders_go_to_the_smallest_id() -> None:
    assert largest_remainder(2, {9: 1, 4: 1, 7: 1}) == {9: 0, 4: 1, 7: 1}


@given(amount=AMOUNTS, weights=WEIGHTS)
def test_shares_add_up_and_lie_within_a_unit_of_the_exact_ones(amount: int, weights: dict[int, int]) -> None:
    shares = largest_remainder(amount, weights)
    assert sum(shares.values()) == amount
    for key, share in shares.items():
        assert abs(share - Fraction(amount * weights[key], sum(weights.values()))) < 1


@given(amount=AMOUNTS, weights=WEIGHTS)
def test_shares_do_not_depend_on_the_order_of_the_weights(amount: int, weights: dict[int, int]) -> None:
    assert largest_remainder(amount, weights) == largest_remainder(amount, dict(reversed(weights.items())))


def test_what_a_capped_payer_cannot_take_is_shared_among_the_rest() -> None:
    # 30 in three equal shares is 10 each; the first can take 4, so 26 are left for two: 13 each.
    assert capped_largest_remainder(30, {1: 1, 2: 1, 3: 1}, {1: 4, 2: 20, 3: 20}) == {1: 4, 2: 13, 3: 13}


def test_a_second_round_may_cap_others() -> None:
    # 30: 10 each; the first is full at 4, then 13 each; the second is full at 12, the third takes 14.
    assert capped_largest_remainder(30, {1: 1, 2: 1, 3: 1}, {1: 4, 2: 12, 3: 20}) == {1: 4, 2: 12, 3: 14}


def test_caps_that_do_not_suffice_are_all_taken() -> None:
    assert capped_largest_remainder(30, {1: 5, 2: 1}, {1: 4, 2: 12}) == {1: 4, 2: 12}


def test_nobody_without_weight_pays() -> None:
    assert capped_largest_remainder(10, {1: 0, 2: 3}, {1: 9, 2: 4}) == {1: 0, 2: 4}


@given(amount=AMOUNTS, weights=WEIGHTS, data=st.data())
def test_capped_shares_add_up_to_what_the_caps_admit(amount: int, weights: dict[int, int], data: st.DataObject) -> None:
    caps = {key: data.draw(st.integers(0, 20) | AMOUNTS) for key in weights}
    shares = capped_largest_remainder(amount, weights, caps)
    assert all(0 <= shares[key] <= caps[key] for key in weights)
    assert sum(shares.values()) == min(amount, sum(caps[key] for key in weights if weights[key]))


def test_the_equity_of_the_largest_group_does_not_wrap() -> None:
    # Wallet plus the unrealised profit (value - cost, each up to MAX_VALUE) of as many positions as a group may hold.
    assert MAX_WALLET + MAX_GROUP_POSITIONS * 2 * MAX_VALUE < 2**63
