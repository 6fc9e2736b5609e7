"""Published maintenance amounts, bankruptcy prices, liquidation prices and fund flows. Tests are named by the id of their example."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from streams.domain.bankruptcy import bankruptcy_quote
from streams.domain.events import InstrumentKind
from streams.domain.instruments import Instrument, Tier, maintenance_amounts
from tests.support.examples import EXAMPLES, units

MICRO = 1_000_000  # settlement units to one of the currency


def instrument(value_per_tick_lot: int, rate_ppm: int, maintenance_amount: int = 0) -> Instrument:
    """One tier: that of the price asked about."""
    tiers = (Tier(0, rate_ppm, maintenance_amount),)
    return Instrument(1, "T", 1, InstrumentKind.LINEAR, 1, 1, value_per_tick_lot, 10**9, 10**9, tiers)


def test_binance_maintenance_amount_coinm() -> None:
    example = EXAMPLES["binance-maintenance-amount-coinm"]
    given, satoshis = example["inputs"], 100_000_000
    # Only the row before is published. A first tier of 0.5 % up to 28 BTC makes its amount 28 x (2.5 - 0.5) % = 0.56, as published.
    before, tier = maintenance_amounts(
        [(0, 5_000), (28 * satoshis, units(given["mmr_prev"], MICRO)), (units(given["floor_n_btc"], satoshis), units(given["mmr_n"], MICRO))]
    )[1:]
    assert before.maintenance_amount == units(given["cum_prev_btc"], satoshis)
    assert tier.maintenance_amount == units(example["expected"]["cum_n_btc"], satoshis)


DYDX = {vector["name"]: vector for vector in EXAMPLES["dydx-v4-bankruptcy-price-vectors"]["vectors"]}


@pytest.mark.parametrize("name", DYDX)
def test_dydx_v4_bankruptcy_price_vectors(name: str) -> None:
    vector, lots_per_coin = DYDX[name], 1_000
    values, maintenances, lots = {}, {}, {}
    for coin, size, price, rate in vector["inputs"]["positions"]:
        traded = instrument(MICRO // lots_per_coin, units(rate, MICRO))
        lots[coin] = units(size, lots_per_coin)
        values[coin] = traded.value(lots[coin], int(price))
        maintenances[coin] = traded.maintenance(values[coin])
    equity, group_maintenance = units(vector["inputs"]["quote"], MICRO) + sum(values.values()), sum(maintenances.values())
    assert (equity, group_maintenance) == (units(vector["TNC"], MICRO), units(vector["TMMR"], MICRO))
    coin, closed = vector["inputs"]["close"]
    share = Fraction(-units(closed, lots_per_coin), lots[coin])
    quote = bankruptcy_quote(int(values[coin] * share), equity, int(maintenances[coin] * share), group_maintenance)
    assert quote == units(vector["expected_quote_at_bankruptcy"], MICRO)


def test_bybit_linear_bankruptcy_489() -> None:
    example = EXAMPLES["bybit-linear-bankruptcy-489"]
    given = {name: units(number, MICRO) for name, number in example["inputs"].items() if isinstance(number, Decimal)}
    size = int(example["inputs"]["size"])
    value, cost = size * given["mark"], size * given["entry"]
    equity = given["wallet_balance"] + given["position_margin"] + value - cost
    # The only position of its group takes all of the equity, whatever its maintenance.
    assert bankruptcy_quote(value, equity, 1, 1) == size * units(example["expected"]["bankruptcy_price"], MICRO)


@pytest.mark.parametrize("name", ["A", "B", "C", "D", "E"])
def test_chitra_bankruptcy_liquidation_prices(name: str) -> None:
    example = EXAMPLES["chitra-bankruptcy-liquidation-prices"]
    size, collateral, side = (units(number, MICRO) for number in example["inputs"]["positions"][name])
    lots, entry = size // MICRO * side // MICRO, units(example["inputs"]["p0"], MICRO)
    quote = bankruptcy_quote(lots * entry, collateral, 1, 1)
    price = max(Fraction(0), Fraction(quote, lots * MICRO))  # a price is published as 0 where the position cannot go bankrupt
    assert abs(price - Fraction(example["expected"]["bankruptcy"][name])) <= Fraction(example["tolerance_abs"])


@pytest.mark.parametrize("name", ["C", "D"])
def test_chitra_bankruptcy_liquidation_prices_are_where_equity_meets_maintenance(name: str) -> None:
    """Not asserted: A has none (0); B's 0.3704 needs the collateral 2/3 unrounded; E's 1.0010 is not 109/99/1.1 = 1.0009, as the formula gives."""
    example = EXAMPLES["chitra-bankruptcy-liquidation-prices"]
    size, collateral, side = (units(number, MICRO) for number in example["inputs"]["positions"][name])
    lots, traded = size // MICRO * side // MICRO, instrument(1, units(example["inputs"]["mu"], MICRO))
    wallet = collateral - traded.value(lots, units(example["inputs"]["p0"], MICRO))  # less the cost
    assert_detected_beyond(traded, lots, wallet, 0, tick=Decimal("1e-6"), example=example, price=example["expected"]["liquidation"][name])


@pytest.mark.parametrize("name", ["binance-liq-price-isolated-btc", "binance-liq-price-cross-btc", "binance-cross-liq-price-eth-long"])
def test_binance_liquidation_prices_are_where_equity_meets_maintenance(name: str) -> None:
    example = EXAMPLES[name]
    given, ticks_per_one, lots_per_coin = example["inputs"], 100, 1_000
    traded = instrument(MICRO // ticks_per_one // lots_per_coin, units(given["mmr"], MICRO), units(given["cum"], MICRO))
    lots = units(given["side"] * given["pos"], lots_per_coin)
    wallet = units(given["WB"] + given["UPNL"], MICRO) - traded.value(lots, units(given["ep"], ticks_per_one))
    others_maintenance = units(given["TMM"], MICRO)
    price = example["expected"]["liquidation_price"]
    assert_detected_beyond(traded, lots, wallet, others_maintenance, tick=Decimal("0.01"), example=example, price=price)


def assert_detected_beyond(
    traded: Instrument, lots: int, wallet_less_cost: int, others_maintenance: int, *, tick: Decimal, example: dict[str, Any], price: Decimal
) -> None:
    """Healthy on the near side of the published price, liquidatable on the far side, each as far off as the example's tolerance."""

    def is_liquidatable(at: Decimal) -> bool:
        value = traded.value(lots, int(at / tick))
        return wallet_less_cost + value < others_maintenance + traded.maintenance(value)

    towards_loss = example["tolerance_abs"] if lots < 0 else -example["tolerance_abs"]
    assert is_liquidatable(price + towards_loss)
    assert not is_liquidatable(price - towards_loss)


@pytest.mark.parametrize(("side", "lots"), [("long", 1), ("short", -1)])
def test_insurance_flow_bitorb(side: str, lots: int) -> None:
    example = EXAMPLES["insurance-flow-bitorb"]
    given = example["inputs"][side]
    # At the liquidation price the equity left is its distance from the bankruptcy price.
    equity = abs(given["liq"] - given["bankr"])
    taken_at = bankruptcy_quote(lots * int(given["liq"]), int(equity), 1, 1)
    assert taken_at == lots * given["bankr"]
    for fill in given["fills"]:
        to_fund = lots * int(fill) - taken_at  # what the position fetched against what its holder was charged for
        assert ("fund receives" if to_fund > 0 else "fund pays") == example["expected"][side][str(fill)]
