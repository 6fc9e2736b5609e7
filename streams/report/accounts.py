"""Accounts: who was deleveraged and what they gave up, and how near to liquidation the others stand by what was last said of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from streams.domain.events import GroupState
from streams.domain.money import PPM, div_floor
from streams.notify.reasons import given_and_gained
from streams.report.log import Log, Row
from streams.report.market import Market

# Upper ends of the bands of equity / maintenance, in millionths, exclusive; below the first is bankrupt, below 1,000,000 liquidatable.
BANDS: Final = (0, 250_000, 500_000, 750_000, 1_000_000, 1_100_000, 1_250_000, 1_500_000)
NEAR: Final = (GroupState.WARNING, GroupState.LIQUIDATABLE, GroupState.BANKRUPT)


@dataclass(frozen=True, slots=True)
class Execution:
    """One deleveraging as recorded, with what the account gave up and what it gained against the mark: one of the two is 0.

    `haircut_ppm` as in the record of its wave.
    """

    row: Row
    gave_up: int
    gained: int
    haircut_ppm: int


@dataclass(frozen=True, slots=True)
class Hit:
    """One account in one asset: its executions, the dearest first. Money in settlement units."""

    account: int
    asset: int
    executions: Sequence[Execution]

    @property
    def gave_up(self) -> int:
        """What it lost against the marks, where it lost; what it gained elsewhere is not taken off."""
        return sum(execution.gave_up for execution in self.executions)

    @property
    def gained(self) -> int:
        """What it gained against the marks, where it gained."""
        return sum(execution.gained for execution in self.executions)

    @property
    def notional(self) -> int:
        """What was closed, at the prices it was closed at."""
        return sum(abs(execution.row["quote"]) for execution in self.executions)

    @property
    def haircut_ppm(self) -> int:
        """The largest."""
        return max(execution.haircut_ppm for execution in self.executions)


@dataclass(frozen=True, slots=True)
class Near:
    """Groups of one instrument, or cross groups (None), in one band of equity / maintenance when they last crossed a level."""

    asset: int
    instrument: int | None
    band: int  # index into BANDS; len(BANDS): at or above the last
    groups: int
    equity: int
    maintenance: int


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many groups stood in each state of NEAR at the end of an event second, over all shards."""

    event_time_us: int
    groups: tuple[int, int, int]


def executions_of(log: Log, market: Market) -> list[Execution]:
    """Deleveragings of which lots were executed, by event time."""
    return [_execution(row, market) for row in log.rows("adl-executions") if row["lots"]]


def _execution(row: Row, market: Market) -> Execution:
    gave_up, gained = given_and_gained(market, row)
    profit = row["position_lots"] * market.lot_value(row["instrument"], row["mark_ticks"]) - row["cost"]
    haircut = div_floor(PPM * gave_up * abs(row["position_lots"]), profit * row["lots"]) if profit > 0 else 0
    return Execution(row, gave_up, gained, haircut)


def hits_of(executions: Iterable[Execution], market: Market) -> list[Hit]:
    """Accounts by what they gave up, most first."""
    grouped: dict[tuple[int, int], list[Execution]] = {}
    for execution in executions:
        grouped.setdefault((execution.row["account"], market.asset(execution.row["instrument"])), []).append(execution)
    hits = [Hit(*key, sorted(of, key=lambda e: (-e.gave_up, e.row["instruction_id"]))) for key, of in grouped.items()]
    return sorted(hits, key=lambda hit: (hit.asset, -hit.gave_up, hit.account))


def latest_states(states: Iterable[Row], until_us: int) -> list[Row]:
    """What was last said of each solvency group before an event time; `states` in order of time."""
    names = ("account", "asset", "group_instrument", "group_side")
    return list({tuple(row[name] for name in names): row for row in states if row["event_time_us"] < until_us}.values())


def near_of(states: Iterable[Row]) -> list[Near]:
    """The map: groups that were last said to be in a state of NEAR, by asset, instrument (cross first) and band."""
    cells: dict[tuple[int, int | None, int], list[Row]] = {}
    for row in states:
        if row["state"] in NEAR:
            cells.setdefault((row["asset"], row["group_instrument"], band_of(row["equity"], row["maintenance"])), []).append(row)
    return [
        Near(*key, len(rows), sum(row["equity"] for row in rows), sum(row["maintenance"] for row in rows))
        for key, rows in sorted(cells.items(), key=lambda cell: (cell[0][0], cell[0][1] or 0, cell[0][2]))
    ]


def band_of(equity: int, maintenance: int) -> int:
    """Which band a group is in. Without maintenance: the last, or with negative equity the first."""
    return next((n for n, end in enumerate(BANDS) if equity * PPM < end * maintenance or (end == 0 and equity < 0)), len(BANDS))


def crowds_of(log: Log) -> list[Crowd]:
    """Groups by state over time; a shard that says nothing stands where it stood."""
    last: dict[tuple[int, int], tuple[int, int, int]] = {}
    told: dict[int, Crowd] = {}
    for row in log.rows("shard-totals"):
        last[row["shard"], row["asset"]] = (row["groups_warning"], row["groups_liquidatable"], row["groups_bankrupt"])
        warning, liquidatable, bankrupt = (sum(counts) for counts in zip(*last.values(), strict=True))
        told[row["event_second"]] = Crowd((row["event_second"] + 1) * 1_000_000, (warning, liquidatable, bankrupt))
    return list(told.values())


def counted(states: Iterable[Row]) -> Mapping[GroupState, int]:
    """Groups by the state that was last said."""
    counts: dict[GroupState, int] = {}
    for row in states:
        counts[GroupState(row["state"])] = counts.get(GroupState(row["state"]), 0) + 1
    return dict(sorted(counts.items()))
