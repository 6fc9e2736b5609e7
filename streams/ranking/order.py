"""The one total order of ADL candidates: score descending, then account, then position side, ascending.

Float keys only screen: neighbours closer than their error bound are put in order by exact integers, so the order is the same on every machine.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.domain.events import RankPolicy
from streams.ranking import scores

Int64s = NDArray[np.int64]
Flags = NDArray[np.bool_]

FIRST_CUT: Final = 2048  # about how many rows the first attempt of `rank_until` puts in order; each further attempt takes GROWTH times as many
GROWTH: Final = 8
SAMPLE_STEP: Final = 64  # one key in so many is looked at to guess the key that cuts off as many rows


@dataclass(frozen=True, slots=True)
class Candidates:
    """Positions of one side of one instrument, as int64 columns of one length, at one vector of marks.

    `value`, `cost` are signed and bounded by MAX_VALUE; maintenance is not negative; money in settlement units. `account` lies below
    MAX_ACCOUNT, `position_side` is its code; an (account, position_side) appears once.
    """

    account: Int64s
    position_side: Int64s
    lots: Int64s
    value: Int64s
    cost: Int64s
    group_wallet: Int64s
    group_equity: Int64s
    group_maintenance: Int64s
    position_maintenance: Int64s

    def __len__(self) -> int:
        return len(self.account)


def rank(policy: RankPolicy, candidates: Candidates, score_wallet_floor: int) -> Int64s:
    """Row numbers of all candidates, best first (the first is deleveraged first). Insolvent groups, which must not be offered, come last."""
    ranking = _Ranking(policy, candidates, score_wallet_floor)
    return ranking.ordered(np.argsort(ranking.keys))


def rank_until(policy: RankPolicy, candidates: Candidates, score_wallet_floor: int, free_lots: Int64s, lots_wanted: int) -> Int64s:
    """The shortest prefix of `rank` whose `free_lots` (not negative, one per candidate) add up to `lots_wanted`, or all of it if they never do.

    Lots wanted lie below 2^62.
    """
    ranking = _Ranking(policy, candidates, score_wallet_floor)
    cut = FIRST_CUT
    while GROWTH * cut < len(candidates):
        sample = ranking.keys[::SAMPLE_STEP]
        end = np.partition(sample, cut // SAMPLE_STEP)[cut // SAMPLE_STEP]
        rows = np.flatnonzero(ranking.keys < end)
        order = ranking.ordered(rows[np.argsort(ranking.keys[rows])])
        unsure = end - ranking.keys[order] <= abs(end) * scores.SCREEN_BOUND  # such a row may stand behind one that was cut off
        order = order[: int(unsure.argmax())] if unsure.any() else order
        needed = _rows_to_cover(free_lots[order], lots_wanted)
        if needed is not None:
            return order[:needed]
        cut *= GROWTH
    order = ranking.ordered(np.argsort(ranking.keys))
    return order[: _rows_to_cover(free_lots[order], lots_wanted)]


def _rows_to_cover(lots: Int64s, lots_wanted: int) -> int | None:
    """How many leading rows add up to the lots wanted; None if all of them do not."""
    if lots_wanted <= 0:
        return 0
    # Capped at what is wanted, the sum cannot pass 2^63 before it has been reached.
    reached = np.cumsum(np.minimum(lots, lots_wanted)) >= lots_wanted
    return int(reached.argmax()) + 1 if reached.any() else None


class _Ranking:
    """The candidates with their screening keys (ascending is best first)."""

    def __init__(self, policy: RankPolicy, candidates: Candidates, score_wallet_floor: int) -> None:
        self.policy, self.candidates, self.floor = policy, candidates, score_wallet_floor
        c = candidates
        match policy:
            case RankPolicy.BITMEX:
                self.keys: scores.Keys = scores.bitmex_keys(c.value, c.cost, c.group_equity, c.group_maintenance, c.position_maintenance)
            case RankPolicy.BINANCE:
                self.keys = scores.binance_keys(c.value, c.cost, c.group_wallet, c.group_equity, c.group_maintenance, score_wallet_floor)
            case _:
                raise ValueError(f"no score for policy {policy!r}")

    def ordered(self, order: Int64s) -> Int64s:
        """The exact order of rows that are sorted by their keys."""
        keys = self.keys[order]
        near = keys[1:] - keys[:-1] <= np.abs(keys[1:]) * scores.SCREEN_BOUND
        if not near.any():
            return order
        before, after = np.append(False, near), np.append(near, False)
        heads = after & ~before
        constant = np.isin(keys, (scores.INFINITE_WIN, 0.0, scores.INFINITE_LOSS, scores.INSOLVENT))
        for start in np.flatnonzero(heads & constant):  # at most four runs, possibly of nearly everybody, tied exactly
            stop = start + int(np.searchsorted(keys[start:], keys[start], side="right"))
            order[start:stop] = self._by_position(order[start:stop])
        places = np.flatnonzero((before | after) & ~constant)
        if len(places):
            order[places] = self._settled(order[places], np.cumsum(heads)[places])
        return order

    def _settled(self, rows: Int64s, runs: Int64s) -> Int64s:
        """Rows of runs of near keys, in exact order; the same number in `runs` marks one run."""
        rows = rows[np.lexsort((self._position_keys(rows), runs))]
        differs = (runs[1:] == runs[:-1]) & self._differs_from_previous(rows)
        for run in np.unique(runs[1:][differs]):  # the others hold one score only
            start, stop = np.searchsorted(runs, (run, run + 1))
            rows[start:stop] = self._by_exact_score(rows[start:stop].tolist())
        return rows

    def _position_keys(self, rows: Int64s) -> NDArray[np.uint64]:
        """Account and position side in one number: accounts lie below 2^62, codes of sides below 4."""
        accounts, sides = self.candidates.account[rows].astype(np.uint64), self.candidates.position_side[rows].astype(np.uint64)
        return accounts << np.uint64(2) | sides

    def _by_position(self, rows: Int64s) -> Int64s:
        return rows[np.argsort(self._position_keys(rows))]

    def _differs_from_previous(self, rows: Int64s) -> Flags:
        """Whether a row's score inputs, reduced, are not those of the row before it: reduced inputs that agree give one score."""
        different = np.zeros(len(rows) - 1, np.bool_)
        for above, below in self._ratios(rows):
            divisor = np.gcd(above, below)
            for part in (above // divisor, below // divisor):
                different |= part[1:] != part[:-1]
        return different

    def _ratios(self, rows: Int64s) -> list[tuple[Int64s, Int64s]]:
        """Pairs of columns whose quotients make up the score; no denominator is 0 where the score is finite and not 0."""
        c = self.candidates
        profit, equity, maintenance = c.value[rows] - c.cost[rows], c.group_equity[rows], c.group_maintenance[rows]
        if self.policy is RankPolicy.BINANCE:
            return [(profit, np.maximum(c.group_wallet[rows], self.floor)), (maintenance, equity)]
        share = np.where(maintenance == 0, 1, c.position_maintenance[rows])
        return [(profit, np.abs(c.cost[rows])), (np.abs(c.value[rows]), equity), (np.maximum(maintenance, 1), share)]

    def _by_exact_score(self, rows: list[int]) -> list[int]:
        """Rows by exact score; equal ones keep their order.

        Different fractions differ by at least 1 / (d x d'), so scaled by 2^shift >= d x d' and rounded down they are still different, and
        in order: one integer per row does what cross-multiplying each pair would.
        """
        exact = [self._score(row) for row in rows]
        shift = 2 * max(denominator.bit_length() for _, denominator in exact)
        keys = {row: (-numerator << shift) // denominator for row, (numerator, denominator) in zip(rows, exact, strict=True)}
        return sorted(rows, key=keys.__getitem__)

    def _score(self, row: int) -> scores.Score:
        c = self.candidates
        value, cost, equity, maintenance = int(c.value[row]), int(c.cost[row]), int(c.group_equity[row]), int(c.group_maintenance[row])
        if self.policy is RankPolicy.BINANCE:
            score = scores.binance_score(
                value=value, cost=cost, group_wallet=int(c.group_wallet[row]), group_equity=equity, group_maintenance=maintenance,
                score_wallet_floor=self.floor,
            )  # fmt: skip
        else:
            score = scores.bitmex_score(
                value=value, cost=cost, group_equity=equity, group_maintenance=maintenance, position_maintenance=int(c.position_maintenance[row])
            )
        assert score is not None  # insolvent rows share one key, so no run of unequal keys holds them
        return score
