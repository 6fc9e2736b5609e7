"""The ADL score of each policy: exactly, as a fraction of integers, and approximately, as a float64 key that may only screen.

Edge cases are decided here, once for both forms. A score is (numerator, denominator) with denominator >= 0; denominator 0 is an infinite
score of the numerator's sign. An insolvent group (equity <= 0) has no score: it must not be offered, and if ranked it comes after all others.
"""

from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

Score = tuple[int, int]
Columns = NDArray[np.int64]
Keys = NDArray[np.float64]

# Keys are negated scores: ascending is best first. Finite scores stay within 2^190 (three factors of 63 bits), far from these.
INFINITE_WIN: Final = -(2.0**1000)
INFINITE_LOSS: Final = 2.0**1000
INSOLVENT: Final = 2.0**1001

# A key takes at most 11 roundings (six conversions, four products, one division), each off by at most 2^-53 of itself, so two keys whose
# scores are equal differ by at most 22 x 2^-53 and a little. Keys further apart than 32 x 2^-53 of the later one are in the exact order.
SCREEN_BOUND: Final = 2.0**-48


def bitmex_score(*, value: int, cost: int, group_equity: int, group_maintenance: int, position_maintenance: int) -> Score | None:
    """Winners PnL% x EffLev, losers PnL% / EffLev, in between 0; None when the group is insolvent.

    PnL% = (V_M - cost) / |cost|; EffLev = |V_M| / (V_M - V_B), where V_B is the position's maintenance-share bankruptcy quote:
    V_M - V_B = group_equity x position_maintenance / group_maintenance. A group without maintenance backs each position with all its equity.
    Cost 0 makes PnL% infinite; a position without maintenance has infinite leverage, so a winner's score is infinite and a loser's 0.
    Where both meet, a denominator of 0 decides. Source: BitMEX, "What is Auto-Deleveraging".
    """
    if group_equity <= 0:
        return None
    profit, entry, size = value - cost, abs(cost), abs(value)
    if profit == 0:
        return 0, 1
    whole, share = (group_maintenance, position_maintenance) if group_maintenance else (1, 1)
    leveraged, margin = size * whole, group_equity * share  # EffLev = leveraged / margin
    numerator, denominator = (profit * leveraged, entry * margin) if profit > 0 else (profit * margin, entry * leveraged)
    return (numerator, denominator) if denominator else (1 if profit > 0 else -1, 0)


def binance_score(*, value: int, cost: int, group_wallet: int, group_equity: int, group_maintenance: int, score_wallet_floor: int) -> Score | None:
    """PnL% x margin ratio = max(0, UP) / max(floor, wallet) x maintenance / equity, so 0 for every loser; None when the group is insolvent.

    UP is the position's unrealised profit, wallet and ratio are the group's; `score_wallet_floor` (settlement units, positive) is the 1 of
    max(1, WB). Source: Binance FAQ 360033525471, which scores an insolvent account 0; here it is left out instead.
    """
    if group_equity <= 0:
        return None
    return max(0, value - cost) * group_maintenance, max(score_wallet_floor, group_wallet) * group_equity


@njit(cache=True, nogil=True)
def bitmex_keys(value: Columns, cost: Columns, group_equity: Columns, group_maintenance: Columns, position_maintenance: Columns) -> Any:
    """Screening keys of `bitmex_score`."""
    keys = np.empty(len(value), np.float64)
    for i in range(len(value)):
        profit = value[i] - cost[i]
        if group_equity[i] <= 0:
            keys[i] = INSOLVENT
        elif profit == 0:
            keys[i] = 0.0
        else:
            whole, share = (float(group_maintenance[i]), float(position_maintenance[i])) if group_maintenance[i] != 0 else (1.0, 1.0)
            leveraged, margin = float(abs(value[i])) * whole, float(group_equity[i]) * share
            above, below = (leveraged, margin) if profit > 0 else (margin, leveraged)
            denominator = float(abs(cost[i])) * below
            if denominator != 0.0:
                keys[i] = -(float(profit) * above) / denominator
            else:
                keys[i] = INFINITE_WIN if profit > 0 else INFINITE_LOSS
    return keys


@njit(cache=True, nogil=True)
def binance_keys(
    value: Columns, cost: Columns, group_wallet: Columns, group_equity: Columns, group_maintenance: Columns, score_wallet_floor: int
) -> Any:
    """Screening keys of `binance_score`."""
    keys = np.empty(len(value), np.float64)
    for i in range(len(value)):
        profit, wallet = max(0, value[i] - cost[i]), max(score_wallet_floor, group_wallet[i])
        key = -(float(profit) * float(group_maintenance[i])) / (float(wallet) * float(max(1, group_equity[i])))
        keys[i] = key if group_equity[i] > 0 else INSOLVENT  # computed for all: without a branch the loop is twice as fast
    return keys
