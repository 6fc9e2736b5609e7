"""Instruments and pools: maintenance by tier, and what is refused at the door."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.events import AdlWhen, DeadLetterReason, InstrumentKind, LatePolicy, PriceRule, RankPolicy, RoomFloor
from streams.domain.instruments import Instrument, Pool, Tier, maintenance_amounts, parse_instrument, parse_pool
from streams.domain.money import MAX_LOTS, MAX_VALUE, PPM

INSTRUMENT: dict[str, Any] = {
    "instrument": 1, "symbol": "BTC", "version": 1, "kind": InstrumentKind.LINEAR, "asset": 1, "pool": 1, "value_per_tick_lot": 10,
    "max_mark_ticks": 1_000_000, "max_lots": 1_000_000,
    "tiers": [{"floor": 0, "rate_ppm": 4_000, "maintenance_amount": 0}, {"floor": 50_000, "rate_ppm": 5_000, "maintenance_amount": 50}],
}  # fmt: skip
POOL: dict[str, Any] = {
    "pool": 1, "version": 1, "asset": 1, "fund_account": 31, "policy_id": RankPolicy.BITMEX, "price_rule": PriceRule.BANKRUPTCY,
    "score_wallet_floor": 1, "net_notional_cap": None, "adl_start_value": 0, "adl_stop_value": 5, "warning_ratio_ppm": 0, "instruction_valid_us": 1,
    "adl_when": AdlWhen.UNPLACED, "room_floor": RoomFloor.MAINTENANCE, "price_cap_ppm": 7, "wave_deadline_us": 2, "wave_late": LatePolicy.LEAVE_OUT,
    "unwind_limit_ppm": 3, "unwind_lots_max": 4, "fund_floor_value": -5, "retry_pause_us": 6, "retry_alarm_count": 8,
}  # fmt: skip


def instrument(tiers: tuple[Tier, ...]) -> Instrument:
    return Instrument(1, "BTC", 1, InstrumentKind.LINEAR, 1, 1, 10, 1_000_000, 1_000_000, tiers)


@st.composite
def tier_tables(draw: Any) -> list[tuple[int, int]]:
    """(floor, rate) rows as venues print them: floors ascend, and so do rates."""
    floors = draw(st.lists(st.integers(1, MAX_VALUE), max_size=9, unique=True).map(sorted))
    rates = sorted(draw(st.lists(st.integers(1, PPM), min_size=len(floors) + 1, max_size=len(floors) + 1, unique=True)))
    return list(zip([0, *floors], rates, strict=True))


def exact_maintenance(table: list[tuple[int, int]], notional: int) -> Fraction:
    """Each slice of the notional at the rate of its own tier: no amounts at all."""
    ceilings = [floor for floor, _ in table[1:]] + [notional]
    return sum(
        (Fraction(max(0, min(notional, ceiling) - floor) * rate, PPM) for (floor, rate), ceiling in zip(table, ceilings, strict=True)), Fraction(0)
    )


def test_the_value_of_a_position_is_lots_by_ticks_by_unit() -> None:
    assert instrument((Tier(0, 5_000, 0),)).value(-3, 880) == -3 * 880 * 10


def test_maintenance_rounds_up_and_does_not_see_the_sign() -> None:
    # 1,001 x 0.5 % = 5.005.
    assert [instrument((Tier(0, 5_000, 0),)).maintenance(value) for value in (1_001, -1_001, 0)] == [6, 6, 0]


def test_a_floor_belongs_to_the_tier_above_it() -> None:
    # 49,999 x 0.4 % = 199.996; 50,000 x 0.5 % - 50 = 200; 60,000 x 0.5 % - 50 = 250.
    tiers = instrument((Tier(0, 4_000, 0), Tier(50_000, 5_000, 50)))
    assert [tiers.maintenance(value) for value in (49_999, 50_000, 60_000)] == [200, 200, 250]


def test_maintenance_is_never_negative() -> None:
    assert instrument((Tier(0, 5_000, 1_000),)).maintenance(100) == 0


def test_amounts_follow_the_recursion() -> None:
    # 50,000 x (0.5 - 0.4) % = 50; then 250,000 x (1.0 - 0.5) % = 1,250, and the 50 before it.
    assert maintenance_amounts([(0, 4_000), (50_000, 5_000), (250_000, 10_000)]) == (
        Tier(0, 4_000, 0), Tier(50_000, 5_000, 50), Tier(250_000, 10_000, 1_300),
    )  # fmt: skip


@given(table=tier_tables(), data=st.data())
def test_maintenance_is_the_sum_of_the_slices_rounded_against_the_account(table: list[tuple[int, int]], data: st.DataObject) -> None:
    made = instrument(maintenance_amounts(table))
    near_floors = [max(0, floor + step) for floor, _ in table for step in (-1, 0, 1)]
    notional = data.draw(st.integers(0, MAX_VALUE) | st.sampled_from(near_floors))
    assert 0 <= made.maintenance(notional) - exact_maintenance(table, notional) < 2


@given(table=tier_tables(), data=st.data())
def test_maintenance_never_falls_by_more_than_its_rounding_as_notional_rises(table: list[tuple[int, int]], data: st.DataObject) -> None:
    made = instrument(maintenance_amounts(table))
    lower, upper = sorted((data.draw(st.integers(0, MAX_VALUE)), data.draw(st.integers(0, MAX_VALUE))))
    assert made.maintenance(lower) <= made.maintenance(upper) + 1
    for floor, _ in table[1:]:
        assert abs(made.maintenance(floor) - made.maintenance(floor - 1)) <= 2


def test_a_good_instrument_is_taken_as_it_is() -> None:
    parsed = parse_instrument(INSTRUMENT)
    assert parsed == Instrument(
        instrument=1, symbol="BTC", version=1, kind=InstrumentKind.LINEAR, asset=1, pool=1, value_per_tick_lot=10, max_mark_ticks=1_000_000,
        max_lots=1_000_000, tiers=(Tier(0, 4_000, 0), Tier(50_000, 5_000, 50)),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": InstrumentKind.INVERSE}, DeadLetterReason.BAD_VALUE),
        ({"kind": InstrumentKind.QUANTO}, DeadLetterReason.BAD_VALUE),
        ({"kind": InstrumentKind.UNKNOWN}, DeadLetterReason.UNKNOWN_SYMBOL),
        ({"instrument": 0}, DeadLetterReason.OUT_OF_BOUNDS),
        ({"instrument": 2**20}, DeadLetterReason.OUT_OF_BOUNDS),
        ({"value_per_tick_lot": 0}, DeadLetterReason.OUT_OF_BOUNDS),
        ({"max_mark_ticks": -1}, DeadLetterReason.OUT_OF_BOUNDS),
        ({"max_lots": MAX_LOTS + 1, "max_mark_ticks": 1, "value_per_tick_lot": 1}, DeadLetterReason.OUT_OF_BOUNDS),
        ({"max_lots": 2**31, "max_mark_ticks": 2**21, "value_per_tick_lot": 2}, DeadLetterReason.OUT_OF_BOUNDS),
        ({"tiers": []}, DeadLetterReason.BAD_VALUE),
        ({"tiers": [{"floor": 1, "rate_ppm": 1, "maintenance_amount": 0}]}, DeadLetterReason.BAD_VALUE),
        ({"tiers": [{"floor": 0, "rate_ppm": 1, "maintenance_amount": 0}] * 2}, DeadLetterReason.BAD_VALUE),
        ({"tiers": [{"floor": 0, "rate_ppm": 0, "maintenance_amount": 0}]}, DeadLetterReason.OUT_OF_BOUNDS),
        ({"tiers": [{"floor": 0, "rate_ppm": PPM + 1, "maintenance_amount": 0}]}, DeadLetterReason.OUT_OF_BOUNDS),
        ({"tiers": [{"floor": 0, "rate_ppm": 1, "maintenance_amount": -1}]}, DeadLetterReason.OUT_OF_BOUNDS),
    ],
)
def test_an_instrument_that_cannot_be_valued_is_refused_with_its_reason(change: dict[str, Any], reason: DeadLetterReason) -> None:
    parsed = parse_instrument(INSTRUMENT | change)
    assert isinstance(parsed, tuple)
    assert parsed[0] is reason


def test_the_largest_instrument_the_bounds_admit_is_taken() -> None:
    assert isinstance(parse_instrument(INSTRUMENT | {"max_lots": 2**31, "max_mark_ticks": 2**21, "value_per_tick_lot": 1}), Instrument)


def test_a_good_pool_is_taken_as_it_is() -> None:
    assert parse_pool(POOL) == Pool(
        pool=1, version=1, asset=1, fund_account=31, policy_id=RankPolicy.BITMEX, price_rule=PriceRule.BANKRUPTCY, score_wallet_floor=1,
        net_notional_cap=None, adl_start_value=0, adl_stop_value=5, warning_ratio_ppm=0, instruction_valid_us=1,
        adl_when=AdlWhen.UNPLACED, room_floor=RoomFloor.MAINTENANCE, price_cap_ppm=7, wave_deadline_us=2, wave_late=LatePolicy.LEAVE_OUT,
        unwind_limit_ppm=3, unwind_lots_max=4, fund_floor_value=-5, retry_pause_us=6, retry_alarm_count=8,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"policy_id": RankPolicy.UNKNOWN}, DeadLetterReason.BAD_VALUE),
        ({"price_rule": PriceRule.UNKNOWN}, DeadLetterReason.BAD_VALUE),
        ({"adl_start_value": 5}, DeadLetterReason.BAD_VALUE),
        ({"score_wallet_floor": 0}, DeadLetterReason.OUT_OF_BOUNDS),
        ({"instruction_valid_us": 0}, DeadLetterReason.OUT_OF_BOUNDS),
        ({"adl_when": AdlWhen.UNKNOWN}, DeadLetterReason.BAD_VALUE),
        ({"room_floor": RoomFloor.UNKNOWN}, DeadLetterReason.BAD_VALUE),
        ({"wave_late": LatePolicy.UNKNOWN}, DeadLetterReason.BAD_VALUE),
        ({"wave_deadline_us": 0}, DeadLetterReason.OUT_OF_BOUNDS),
        ({"unwind_limit_ppm": 1_000_001}, DeadLetterReason.OUT_OF_BOUNDS),
        ({"retry_alarm_count": 0}, DeadLetterReason.OUT_OF_BOUNDS),
        ({"price_cap_ppm": -1}, DeadLetterReason.OUT_OF_BOUNDS),
        ({"warning_ratio_ppm": -1}, DeadLetterReason.OUT_OF_BOUNDS),
    ],
)
def test_a_pool_without_sense_is_refused_with_its_reason(change: dict[str, Any], reason: DeadLetterReason) -> None:
    parsed = parse_pool(POOL | change)
    assert isinstance(parsed, tuple)
    assert parsed[0] is reason
