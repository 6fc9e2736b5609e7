"""Published ADL scores and queues. Tests are named by the id of their example."""

from fractions import Fraction

import numpy as np
import pytest

from streams.domain.events import PositionSide, RankPolicy
from streams.domain.money import quote_part_floor
from streams.ranking.lights import LIGHTS, lights
from streams.ranking.order import Candidates, rank, rank_until
from streams.ranking.scores import binance_score
from tests.support.examples import EXAMPLES, units
from tests.support.ranking_twin import Candidate, columns

CENTS = 100


def test_binance_leverage_pnl_score() -> None:
    example = EXAMPLES["binance-leverage-pnl-score"]
    profit, wallet = (units(example["inputs"][name], CENTS) for name in ("unrealized_profit", "wallet_balance"))
    ratio = Fraction(example["inputs"]["margin_ratio"])

    def score(margin_ratio: Fraction) -> Fraction:
        exact = binance_score(
            value=profit, cost=0, group_wallet=wallet, group_equity=margin_ratio.denominator, group_maintenance=margin_ratio.numerator,
            score_wallet_floor=1 * CENTS,
        )  # fmt: skip
        assert exact is not None
        return Fraction(*exact)

    expected, tolerance = example["expected"], Fraction(example["tolerance_abs"])
    assert abs(score(Fraction(1)) - Fraction(expected["pnl_percent"])) <= tolerance
    assert abs(score(ratio) - Fraction(expected["leverage_pnl"])) <= tolerance


def six_longs() -> Candidates:
    """The six positions under scores that are the published ordinals: profit 100 %, leverage = ordinal (value 60 over equity 60 / ordinal)."""
    return columns(
        [
            Candidate(int(p["account"]), PositionSide.LONG, int(p["qty"]), 60, 30, 0, 60 // int(p["pnl_rank_score"]), 1, 1)
            for p in EXAMPLES["bitmex-adl-queue-6-longs"]["inputs"]["positions"]
        ]
    )


def test_bitmex_adl_queue_6_longs_order_and_lights() -> None:
    expected, longs = EXAMPLES["bitmex-adl-queue-6-longs"]["expected"], six_longs()
    order = rank(RankPolicy.BITMEX, longs, 1)
    accounts, lots = longs.account[order].tolist(), longs.lots[order]
    assert accounts == expected["order"]
    lit = [lights(cumulative, int(lots.sum())) for cumulative in np.cumsum(lots).tolist()]
    # The published column has 20 % at the front: all five lights.
    percent = {str(account): (LIGHTS + 1 - light) * 20 for account, light in zip(accounts, lit, strict=True)}
    assert percent == expected["percentile_bucket_pct"]


def test_bitmex_adl_queue_6_longs_allocation() -> None:
    example, longs = EXAMPLES["bitmex-adl-queue-6-longs"], six_longs()
    wanted, price = int(example["inputs"]["liquidated"]["qty"]), int(example["inputs"]["liquidated"]["bankruptcy_price_usd"])
    fills, taken = [], 0
    for row in rank_until(RankPolicy.BITMEX, longs, 1, longs.lots, wanted).tolist():
        lots = min(int(longs.lots[row]), wanted - taken)
        quote = quote_part_floor(wanted * price, taken + lots, wanted) - quote_part_floor(wanted * price, taken, wanted)
        fills.append({"account": int(longs.account[row]), "qty": lots, "price": Fraction(quote, lots), "remaining": int(longs.lots[row]) - lots})
        taken += lots
    assert fills == example["expected"]["fills"]


def seven_longs() -> Candidates:
    """The seven positions: value = cost x (1 + PnL%), equity = value / leverage, all of it this position's."""
    rows, cost = [], 10**12
    for p in EXAMPLES["delta-adl-7-longs"]["inputs"]["positions"]:
        value = int(cost * (100 + p["pnl_pct"]) / 100)
        rows.append(Candidate(int(p["account"]), PositionSide.LONG, int(p["qty"]), value, cost, 0, int(value / p["lev"]), 1, 1))
    return columns(rows)


def test_delta_adl_7_longs_order_of_the_winners() -> None:
    """Nothing is asserted of the losers 1, 6 and 7: their published order is not that of the page's own formula."""
    published = EXAMPLES["delta-adl-7-longs"]["expected"]["published_rank_number_high_is_first"]
    winners = sorted((account for account in published if int(account) not in (1, 6, 7)), key=lambda account: -published[account])
    longs = seven_longs()
    assert longs.account[rank(RankPolicy.BITMEX, longs, 1)].tolist()[: len(winners)] == [int(account) for account in winners]


@pytest.mark.parametrize(("case", "wanted"), [("case1_short_15", 15), ("case2_short_40", 40)])
def test_delta_adl_7_longs_allocation(case: str, wanted: int) -> None:
    longs, taken = seven_longs(), 0
    fills = []
    for row in rank_until(RankPolicy.BITMEX, longs, 1, longs.lots, wanted).tolist():
        lots = min(int(longs.lots[row]), wanted - taken)
        fills.append({"account": int(longs.account[row]), "qty": lots})
        taken += lots
    assert fills == EXAMPLES["delta-adl-7-longs"]["expected"][case]
