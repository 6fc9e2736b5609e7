"""Vectors of other projects' tests that are arithmetic: bankruptcy quotes, maintenance, what a fund gains or pays, prices of liquidation.

Which of them come out differently here, because our rule is another by decision, stands in OTHER_RULES with the reason.
"""

from decimal import ROUND_CEILING, Decimal
from typing import Any

import pytest

from streams.domain.bankruptcy import bankruptcy_quote
from streams.domain.events import DeadLetterReason, InstrumentKind
from streams.domain.instruments import Instrument, Tier, parse_instrument
from streams.domain.money import MAX_VALUE, mul_ppm_ceil
from tests.support.vectors import BANKRUPTCIES, FUND_DELTAS, MAINTENANCES, PLAYED, ROWS, VECTORS

MICRO = 1_000_000

OTHER_RULES = {
    "dydx-can-adl-final-settlement": "no market is settled finally here; an instrument ends by the exchange's own trades",
    "dydx-sort-liquidations": "orders go out by event time, rung and account; no block of them is sorted by distance from the mark",
    "vega-network-disposal-fraction": "an UNWIND is of lots, not of a share of what is left every so many seconds",
    "vega-network-disposal-strategy-change": "as above: parameters of a pool change with its next version, but there is no fraction to change",
}


def micro(text: Any) -> int:
    scaled = Decimal(str(text)) * MICRO
    assert scaled == int(scaled)
    return int(scaled)


def instrument(value_per_tick_lot: int, rate_ppm: int) -> Instrument:
    return Instrument(1, "T", 1, InstrumentKind.LINEAR, 1, 1, value_per_tick_lot, 10**9, 10**9, (Tier(0, rate_ppm, 0),))


def test_every_vector_is_tested_or_differs_by_decision() -> None:
    tested = [*BANKRUPTCIES, *FUND_DELTAS, *MAINTENANCES, *ROWS, *PLAYED, *OTHER_RULES]
    assert sorted(tested) == sorted(VECTORS)
    assert len(VECTORS) == 71


@pytest.mark.parametrize("name", BANKRUPTCIES)
def test_a_bankruptcy_quote_is_the_value_less_the_share_of_the_equity_rounded_up(name: str) -> None:
    given = VECTORS[name]["inputs"]
    values, maintenances, sizes = {}, {}, {}
    for coin, size in given["positions"]:
        sizes[coin] = Decimal(size)
        values[coin] = micro(Decimal(size) * given["price_usd"][coin])
        maintenances[coin] = mul_ppm_ceil(abs(values[coin]), given["mmr_ppm"])
    equity = micro(given["quote_usd"]) + sum(values.values())
    coin, closed = given["close"]
    value = micro(-Decimal(closed) * given["price_usd"][coin])  # of the part that is closed
    quote = bankruptcy_quote(value, equity, mul_ppm_ceil(abs(value), given["mmr_ppm"]), sum(maintenances.values()))
    assert quote == VECTORS[name]["expected"]["quote_quantums"]


@pytest.mark.parametrize("name", FUND_DELTAS)
def test_what_a_fill_leaves_above_the_bankruptcy_quote_or_lacks_to_it(name: str) -> None:
    """The shortfall is the fund's here too. A surplus, of which dYdX's fund takes a fee, stays with the account: fees are the exchange's."""
    given = VECTORS[name]["inputs"]
    value, fetched = micro(Decimal(given["size_btc"]) * given["oracle"]), micro(Decimal(given["size_btc"]) * given["fill_price"])
    surplus = fetched - bankruptcy_quote(value, micro(given["quote_usd"]) + value, 1, 1)
    fee = fetched * given["max_fee_ppm"] // MICRO
    assert min(fee, surplus) == VECTORS[name]["expected"]["fund_delta_quantums"]


@pytest.mark.parametrize("name", [name for name in MAINTENANCES if VECTORS[name]["inputs"]["notional_quantums"] is not None])
def test_maintenance_is_the_share_of_the_notional_rounded_up(name: str) -> None:
    given = VECTORS[name]["inputs"]
    traded = instrument(1, given["maintenance_rate_ppm"])
    assert traded.maintenance(given["notional_quantums"]) == VECTORS[name]["expected"]["maintenance_quantums"]


def test_maintenance_of_the_largest_numbers_is_exact_and_such_numbers_are_refused_at_the_door() -> None:
    given, most = VECTORS["dydx-mm-max-uint"]["inputs"], 2**64 - 1
    assert given["price"] == given["base_quantums"] == most
    # Exponent -1: the notional is price x size / 10, so its 100 ppm are 10 ppm of the product.
    assert given["price_exponent"] == -1
    assert mul_ppm_ceil(most * most, given["maintenance_rate_ppm"] // 10) == VECTORS["dydx-mm-max-uint"]["expected"]["maintenance_quantums"]
    assert most > MAX_VALUE


def test_a_rate_of_zero_which_is_legal_at_dydx_is_refused_here() -> None:
    """Without maintenance a group would have nothing to share its equity by."""
    row = {
        "kind": InstrumentKind.LINEAR, "instrument": 1, "symbol": "T", "version": 1, "asset": 1, "pool": 1, "value_per_tick_lot": 1,
        "max_mark_ticks": 1, "max_lots": 1, "tiers": [{"floor": 0, "rate_ppm": 0, "maintenance_amount": 0}],
    }  # fmt: skip
    refused = parse_instrument(row)
    assert isinstance(refused, tuple)
    assert refused[0] == DeadLetterReason.OUT_OF_BOUNDS


def test_a_real_position_row_of_delta_has_the_bankruptcy_price_of_the_formula() -> None:
    vector, per_one = VECTORS["delta-linear-bankruptcy-sample"], 10**11
    given = {key: Decimal(number) for key, number in vector["inputs"].items()}
    value, cost, margin = (int(x * per_one) for x in (given["mark"] * given["quantity"], given["entry"] * given["quantity"], given["margin"]))
    quote = bankruptcy_quote(value, margin + value - cost, 1, 1)
    assert Decimal(quote) / per_one / given["quantity"] == Decimal(vector["expected"]["bankruptcy_price"])


def test_a_real_position_row_of_phemex_is_liquidated_below_its_price() -> None:
    vector = VECTORS["phemex-cross-liquidation-sample"]
    given, published = {key: Decimal(number) for key, number in vector["inputs"].items()}, int(vector["expected"]["liquidation_price"])
    # 44,783.79 / (1 - 0.005) = 45,008.83..., and the row shows the next tick of 1
    assert (given["bankruptcy_price"] / (1 - given["mmr"])).to_integral_value(ROUND_CEILING) == published
    traded, lots = instrument(MICRO // 100, int(given["mmr"] * MICRO)), 1  # one lot is 0.01

    def is_liquidatable(price: int) -> bool:
        value = traded.value(lots, price)
        return value - int(given["bankruptcy_price"] * given["quantity"] * MICRO) < traded.maintenance(value)

    assert is_liquidatable(published - 1)
    assert not is_liquidatable(published)
