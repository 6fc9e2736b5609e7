"""Waves of auto-deleveraging: each as recorded, the queue that one was taken from, and what other policies would have done to the same queue.

A shadow policy is told only where the shards offered every candidate: only then is what it would have done known exactly.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from streams.domain.events import RankPolicy
from streams.domain.money import PPM, div_floor, largest_remainder
from streams.ranking.order import Candidates, rank
from streams.report.log import Log, Row
from streams.report.market import Market

PRO_RATA: Final = "PRO_RATA"
LEAST_CANDIDATES: Final = 2  # with one alone every policy does the same


@dataclass(frozen=True, slots=True)
class Rung:
    """One candidate of a wave at its place in the queue. `offered_lots` could be taken; `lots` were instructed, `executed_lots` came to pass."""

    rank: int
    account: int
    position_lots: int
    offered_lots: int
    lots: int
    executed_lots: int


@dataclass(frozen=True, slots=True)
class Wave:
    """The record of a wave, who was hit, and its queue as far as the shards offered it; `is_complete`: nobody was left out."""

    row: Row
    executions: int
    accounts_hit: int
    ladder: Sequence[Rung]
    is_complete: bool

    @property
    def policy(self) -> RankPolicy:
        """The ranking used."""
        return RankPolicy(self.row["policy_id"])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one policy does with the lots of one wave. `is_used`: it is the one that was applied.

    `largest_share_ppm`: the largest part that an account loses of its own position. `largest_part_ppm`: the largest part of the wave that one
    account bears. `gini_ppm`: inequality of those shares over all candidates, 0 when all lose the same. All in millionths, rounded down.
    """

    wave_id: int
    policy: str
    is_used: bool
    accounts_hit: int
    lots: int
    largest_share_ppm: int
    largest_part_ppm: int
    gini_ppm: int


def waves_of(log: Log, market: Market) -> list[Wave]:
    """All waves, by the event time of their end."""
    offers, planned, executed = _offers(log), _planned(log), _executed(log)
    probes = {row["wave_id"]: row for row in log.rows("adl-probes")}
    waves = []
    for row in log.rows("adl-waves"):
        wave_id, taken = row["wave_id"], executed.get(row["wave_id"], {})
        rows, is_complete = offers.get(wave_id, ([], False))
        ranked = _ranked(rows, row, probes[wave_id], market) if rows and wave_id in probes else []
        plan = planned.get(wave_id, {})
        ladder = [
            Rung(place, c["account"], c["lots"], c["offered_lots"], plan.get(_leg(c), 0), sum(taken.get(_leg(c), ())))
            for place, c in enumerate(ranked, start=1)
        ]
        waves.append(Wave(row, sum(map(len, taken.values())), len({account for account, _ in taken}), ladder, is_complete))
    return waves


def _leg(row: Mapping[str, int]) -> tuple[int, int]:
    return row["account"], row["position_side"]


def _offers(log: Log) -> dict[int, tuple[list[Row], bool]]:
    """Candidates offered by wave, and whether they are all there were."""
    rows: dict[int, list[Row]] = {}
    missing: dict[int, int] = {}
    for answer in log.rows("adl-candidates"):
        wave_id = answer["wave_id"]
        rows.setdefault(wave_id, []).extend(answer["rows"])
        missing[wave_id] = missing.get(wave_id, 0) - len(answer["rows"]) + (answer["candidates_total"] if answer["chunk"] == 0 else 0)
    return {wave_id: (offered, missing[wave_id] == 0) for wave_id, offered in rows.items()}


def _planned(log: Log) -> dict[int, dict[tuple[int, int], int]]:
    """Lots instructed, by wave and leg."""
    planned: dict[int, dict[tuple[int, int], int]] = {}
    for decision in log.rows("adl-decisions"):
        lots = planned.setdefault(decision["wave_id"], {})
        for row in decision["rows"]:
            lots[_leg(row)] = lots.get(_leg(row), 0) + row["lots"]
    return planned


def _executed(log: Log) -> dict[int, dict[tuple[int, int], list[int]]]:
    """Lots of each execution, by wave and leg."""
    executed: dict[int, dict[tuple[int, int], list[int]]] = {}
    for row in log.rows("adl-executions"):
        if row["lots"]:
            executed.setdefault(row["wave_id"], {}).setdefault(_leg(row), []).append(row["lots"])
    return executed


def _ranked(rows: Sequence[Row], wave: Row, probe: Row, market: Market, policy: RankPolicy | None = None) -> list[Row]:
    """Candidates in a policy's order, the wave's own unless another is named."""
    column = {name: np.array([row[name] for row in rows], np.int64) for name in rows[0]}
    inputs = Candidates(
        account=column["account"], position_side=column["position_side"], lots=column["lots"],
        value=column["lots"] * market.lot_value(wave["instrument"], wave["mark_ticks"]), cost=column["cost"], group_wallet=column["group_wallet"],
        group_equity=column["group_equity"], group_maintenance=column["group_maintenance"], position_maintenance=column["position_maintenance"],
    )  # fmt: skip
    return [rows[at] for at in rank(policy or RankPolicy(wave["policy_id"]), inputs, probe["score_wallet_floor"]).tolist()]


def compared(log: Log, market: Market, waves: Sequence[Wave]) -> list[Outcome]:
    """Used and shadow policies of every wave that allows it: complete, of LEAST_CANDIDATES or more, with lots instructed."""
    offers = _offers(log)
    probes = {row["wave_id"]: row for row in log.rows("adl-probes")}
    told = []
    for wave in waves:
        lots = {rung.account: rung.lots for rung in wave.ladder}
        if not wave.is_complete or len(lots) < LEAST_CANDIDATES or not any(lots.values()):
            continue
        offered = {rung.account: rung.offered_lots for rung in wave.ladder}
        positions = {rung.account: abs(rung.position_lots) for rung in wave.ladder}
        wave_id, total = wave.row["wave_id"], sum(lots.values())
        told.append(outcome(wave_id, wave.policy.name, lots, positions, is_used=True))
        told.append(outcome(wave_id, PRO_RATA, largest_remainder(total, offered), positions))
        for other in RankPolicy:
            if other not in (RankPolicy.UNKNOWN, wave.policy):
                queue = [row["account"] for row in _ranked(offers[wave_id][0], wave.row, probes[wave_id], market, other)]
                told.append(outcome(wave_id, other.name, by_rank(total, queue, offered), positions))
    return told


def by_rank(lots: int, queue: Sequence[int], offered: Mapping[int, int]) -> dict[int, int]:
    """Each whole offer before the next, until the lots are placed."""
    taken = {}
    for account in queue:
        taken[account] = min(lots, offered[account])
        lots -= taken[account]
    return taken


def outcome(wave_id: int, policy: str, lots: Mapping[int, int], positions: Mapping[int, int], *, is_used: bool = False) -> Outcome:
    """The figures of one allocation: lots by account, zeros included; `positions`: absolute lots of each."""
    total, most = sum(lots.values()), max(lots.values())
    shares = [div_floor(PPM * lots[account], positions[account]) for account in lots]
    hit = sum(taken > 0 for taken in lots.values())
    return Outcome(wave_id, policy, is_used, hit, total, max(shares), div_floor(PPM * most, total), gini_ppm(shares))


def gini_ppm(amounts: Sequence[int]) -> int:
    """The Gini coefficient: sum over i of (2 i - n - 1) x_i / (n x sum), x ascending, i from 1; millionths rounded down. 0 of nothing."""
    n = len(amounts)
    if not any(amounts):
        return 0
    return div_floor(PPM * sum((2 * i - n - 1) * x for i, x in enumerate(sorted(amounts), start=1)), n * sum(amounts))
