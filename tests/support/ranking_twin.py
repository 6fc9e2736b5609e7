"""The slow obvious twin of the ranking: every score a Fraction, every order Python's own sort."""

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from streams.domain.events import RankPolicy
from streams.ranking.order import Candidates


class Candidate(NamedTuple):
    """One row of `Candidates`."""

    account: int
    position_side: int
    lots: int
    value: int
    cost: int
    group_wallet: int
    group_equity: int
    group_maintenance: int
    position_maintenance: int


def columns(rows: Sequence[Candidate]) -> Candidates:
    """Rows as columns."""
    table = np.array(rows, np.int64).reshape(len(rows), len(Candidate._fields))
    return Candidates(*(np.ascontiguousarray(table[:, i]) for i in range(len(Candidate._fields))))


def twin_order(policy: RankPolicy, rows: Sequence[Candidate], score_wallet_floor: int) -> list[int]:
    """Row numbers, best first: solvent before insolvent, higher score first, then account, then position side."""

    def key(index: int) -> tuple[bool, int, Fraction, int, int]:
        row = rows[index]
        if row.group_equity <= 0:
            return True, 0, Fraction(0), row.account, row.position_side
        infinite, score = _bitmex(row) if policy is RankPolicy.BITMEX else (0, _binance(row, score_wallet_floor))
        return False, -infinite, -score, row.account, row.position_side

    return sorted(range(len(rows)), key=key)


def _binance(row: Candidate, floor: int) -> Fraction:
    return Fraction(max(0, row.value - row.cost), max(floor, row.group_wallet)) * Fraction(row.group_maintenance, row.group_equity)


def _bitmex(row: Candidate) -> tuple[int, Fraction]:
    """(sign if the score is infinite, else 0; the score if it is finite)."""
    profit = row.value - row.cost
    if profit == 0:
        return 0, Fraction(0)
    to_bankruptcy = Fraction(row.group_equity)
    if row.group_maintenance:
        to_bankruptcy = to_bankruptcy * row.position_maintenance / row.group_maintenance
    above, below = (abs(row.value), to_bankruptcy) if profit > 0 else (to_bankruptcy, abs(row.value))
    if row.cost == 0 or below == 0:
        return (1 if profit > 0 else -1), Fraction(0)
    return 0, Fraction(profit, abs(row.cost)) * above / below
