"""Lights and percentiles: bounds, rounding, ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.ranking.lights import lights, percentile_accounts_ppm, percentile_lots_ppm


@pytest.mark.parametrize(("cumulative", "lit"), [(1, 5), (20, 5), (21, 4), (40, 4), (41, 3), (60, 3), (61, 2), (80, 2), (81, 1), (100, 1)])
def test_each_fifth_of_the_lots_is_one_light(cumulative: int, lit: int) -> None:
    assert lights(cumulative, 100) == lit


def test_lights_stay_between_one_and_five() -> None:
    assert (lights(0, 100), lights(101, 100)) == (5, 1)


def test_the_first_stands_at_a_million_in_both_percentiles() -> None:
    assert (percentile_accounts_ppm(1, 3), percentile_lots_ppm(0, 3)) == (1_000_000, 1_000_000)


def test_percentiles_round_down() -> None:
    # Two of three accounts are not ahead of the second: 666,666.67. One of three lots is not ahead: 333,333.33.
    assert (percentile_accounts_ppm(2, 3), percentile_lots_ppm(2, 3)) == (666_666, 333_333)


@given(sizes=st.lists(st.integers(1, 2**52), min_size=1, max_size=30))
def test_lights_and_percentiles_never_rise_along_the_queue(sizes: list[int]) -> None:
    total, ahead = sum(sizes), 0
    told = []
    for place, size in enumerate(sizes, start=1):
        told.append((lights(ahead + size, total), percentile_accounts_ppm(place, len(sizes)), percentile_lots_ppm(ahead, total)))
        ahead += size
    for column in zip(*told, strict=True):
        assert list(column) == sorted(column, reverse=True)
