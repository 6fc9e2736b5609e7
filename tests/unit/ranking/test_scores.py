"""Scores of both policies: written-out arithmetic, and the edges the docstrings decide."""

from fractions import Fraction

import pytest

from streams.domain.events import RankPolicy
from streams.ranking.order import rank
from streams.ranking.scores import binance_score, bitmex_score
from tests.support.ranking_twin import Candidate, columns


def bitmex(value: int, cost: int, equity: int, group: int, position: int) -> tuple[int, int] | None:
    return bitmex_score(value=value, cost=cost, group_equity=equity, group_maintenance=group, position_maintenance=position)


def test_a_winner_scores_profit_times_leverage() -> None:
    # 120 bought for 100; the position has 15 of 60 of the maintenance, so 80 x 15 / 60 = 20 to bankruptcy: 20 % x 120 / 20 = 1.2.
    assert Fraction(*bitmex(120, 100, 80, 60, 15) or (0, 1)) == Fraction(12, 10)


def test_a_loser_scores_loss_divided_by_leverage() -> None:
    # 80 bought for 100, 20 to bankruptcy: -20 % / (80 / 20) = -0.05.
    assert Fraction(*bitmex(80, 100, 80, 60, 15) or (0, 1)) == Fraction(-5, 100)


def test_a_short_that_gained_is_a_winner() -> None:
    # Sold for 100, worth 80 now, 20 to bankruptcy: 20 % x 80 / 20 = 0.8.
    assert Fraction(*bitmex(-80, -100, 20, 4, 4) or (0, 1)) == Fraction(8, 10)


def test_no_profit_scores_nothing() -> None:
    assert bitmex(100, 100, 5, 4, 4) == (0, 1)


def test_a_group_without_maintenance_backs_the_position_with_all_its_equity() -> None:
    assert Fraction(*bitmex(120, 100, 20, 0, 0) or (0, 1)) == Fraction(12, 10)


@pytest.mark.parametrize(("value", "sign"), [(7, 1), (-7, -1)])
def test_cost_zero_is_an_infinite_score(value: int, sign: int) -> None:
    assert bitmex(value, 0, 10, 4, 4) == (sign, 0)


def test_a_position_without_maintenance_among_others_has_infinite_leverage() -> None:
    assert bitmex(120, 100, 20, 4, 0) == (1, 0)
    loser = bitmex(80, 100, 20, 4, 0)
    assert loser is not None
    assert loser[0] == 0


def test_an_insolvent_group_has_no_score() -> None:
    assert bitmex(120, 100, 0, 4, 4) is None
    assert binance_score(value=2, cost=1, group_wallet=1, group_equity=-1, group_maintenance=1, score_wallet_floor=1) is None


def test_binance_divides_by_the_floor_when_the_wallet_is_below_it() -> None:
    # 30 / max(10, 4) x 8 / 40 = 0.6; with a wallet of 20: 30 / 20 x 8 / 40 = 0.3.
    score = {"value": 130, "cost": 100, "group_equity": 40, "group_maintenance": 8, "score_wallet_floor": 10}
    assert Fraction(*binance_score(group_wallet=4, **score) or (0, 1)) == Fraction(6, 10)
    assert Fraction(*binance_score(group_wallet=20, **score) or (0, 1)) == Fraction(3, 10)


def test_losers_of_binance_tie_and_go_by_account_then_side() -> None:
    rows = [Candidate(account, side, 1, 80, 100, 9, 9, 1, 1) for account, side in [(5, 2), (3, 3), (3, 1), (4, 2)]]
    assert rank(RankPolicy.BINANCE, columns(rows), 1).tolist() == [2, 1, 3, 0]


def test_the_whole_order_runs_from_infinite_wins_to_insolvents() -> None:
    infinite_win, winner, even, loser, infinite_loss, insolvent = (
        Candidate(1, 1, 1, value, cost, 9, equity, 4, 4)
        for value, cost, equity in [(7, 0, 5), (7, 6, 5), (6, 6, 5), (5, 6, 5), (-7, 0, 5), (7, 6, 0)]
    )
    rows = [insolvent, infinite_loss, loser, even, winner, infinite_win]
    assert rank(RankPolicy.BITMEX, columns(rows), 1).tolist() == [5, 4, 3, 2, 1, 0]


def test_a_policy_without_a_score_is_refused() -> None:
    with pytest.raises(ValueError, match="no score"):
        rank(RankPolicy.UNKNOWN, columns([]), 1)
