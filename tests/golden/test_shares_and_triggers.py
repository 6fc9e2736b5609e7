"""Published shares of a loss, maintenance by leverage, and the trigger of deleveraging; which examples have no counterpart here, and why.

Tests are named by the id of their example.
"""

from decimal import Decimal

import pytest

from streams.domain.events import AdlState, InstrumentKind
from streams.domain.instruments import Instrument, Tier
from streams.domain.money import PPM, capped_largest_remainder, div_ceil, largest_remainder
from tests.support.cases import FUND, play
from tests.support.examples import EXAMPLES, units

MICRO = 1_000_000

NOT_HERE = {
    "hyperliquid-2025-10-10-policy-objectives": "an objective over data files that are not shipped; no policy here is chosen by it",
    "delta-inverse-liq-bankruptcy": "inverse contracts are refused until they are valued exactly",
    "deribit-pm-offsetting-futures-contingency": "margins are of tiers by notional; there is no portfolio margin",
    "binance-mark-price-funding-basis": "marks are the exchange's and come in; none is computed from an index and funding",
    "vega-position-resolution-vwap": "a distressed position closes at its own quote or what the market gives it, not at a common average",
}


def test_every_example_is_tested_or_has_no_counterpart_here() -> None:
    assert set(NOT_HERE) <= set(EXAMPLES)
    assert len(EXAMPLES) == 20


def test_chitra_queue_vs_prorata_shares_by_endowment() -> None:
    """In tenths: 7.5 over endowments 8, 4 and 0.5, nobody above its own. Who has none pays nothing."""
    given, expected = EXAMPLES["chitra-queue-vs-prorata"]["inputs"], EXAMPLES["chitra-queue-vs-prorata"]["expected"]
    endowments = {account: units(w, 10) for account, w in enumerate(given["endowment_w"])}
    budget = units(given["deficit"] * given["theta"], 10)
    assert budget == units(expected["budget"], 10)
    shares = capped_largest_remainder(budget, endowments, endowments)
    assert list(shares.values()) == [units(seized, 10) for seized in expected["pro_rata"]["seized"]]
    after = [units(equity, 10) - share for equity, share in zip(given["equity"], shares.values(), strict=True)]
    assert after == [units(equity, 10) for equity in expected["pro_rata"]["equity_after"]]


def test_drift_social_loss_per_base() -> None:
    """Drift rounds up per unit of either side, so it takes a little more than the loss; ours are shares of the same weights that add up to it."""
    example = EXAMPLES["drift-social-loss-per-base"]
    given, expected = example["inputs"], example["expected"]
    loss, sides = units(given["loss_quote"], MICRO), {1: int(given["base_long"]), 2: int(given["base_short"])}
    per_base = div_ceil(loss, sum(sides.values()))
    assert per_base == units(expected["cumulative_funding_rate_delta_quote_per_base"], MICRO)
    assert per_base * 1_000 == expected["raw_1e9"]
    shares = largest_remainder(loss, sides)
    assert sum(shares.values()) == loss
    assert all(0 <= sides[side] * per_base - shares[side] <= sides[side] for side in sides)


@pytest.mark.parametrize("place", range(5))
def test_hyperliquid_maintenance_margin(place: int) -> None:
    """Half of the initial margin at the largest leverage: 1 / (2 x leverage), in millionths rounded up."""
    example = EXAMPLES["hyperliquid-maintenance-margin"]
    rate_ppm = div_ceil(PPM, 2 * int(example["inputs"]["max_leverage"][place]))
    traded = Instrument(1, "T", 1, InstrumentKind.LINEAR, 1, 1, 1, 10**9, 10**9, (Tier(0, rate_ppm, 0),))
    of_a_hundred = Decimal(traded.maintenance(traded.value(100, MICRO))) / MICRO
    assert of_a_hundred.quantize(Decimal("0.01")) == example["expected"]["maintenance_margin_pct"][place]


def test_bybit_adl_trigger_ex2() -> None:
    """A fall of the fund by the threshold's share triggers, the boundary included: -0.3 of 2,000,000 is a start value of 1,400,000 here."""
    example = EXAMPLES["bybit-adl-trigger-ex2"]
    given = example["inputs"]
    highest, lost = int(given["max_balance_8h"]), int(given["later_loss"])
    start = highest * (1 + given["insurancePnlRatio"])
    assert -Decimal(lost) / highest == example["expected"]["pnlRatio"] == given["insurancePnlRatio"]
    marks = {"marks": {"BTC": 100}}
    for loss, triggered in ((lost - 1, False), (lost, example["expected"]["triggered"])):
        events = [{"at": 1, **marks}, {"at": 2, **marks, "withdrawals": [{"account": FUND, "amount": loss}]}, {"at": 3, **marks}]
        case = play({}, {"BTC": 100}, fund_usd=str(highest), pool={"adl_start_value": str(start), "adl_stop_value": str(highest + 1)}, events=events)
        assert bool(case.ran.rows("pool-states", "pool", state=AdlState.ADL)) is triggered
