"""Instruments, margin tiers and pools: parameters that arrive as events, so that a replay sees what the live run saw.

Only linear instruments are valued; INVERSE and QUANTO have their place in `InstrumentKind` and are refused until they are valued exactly.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntFlag
from itertools import pairwise
from typing import Any, Final

from streams.domain.events import AdlWhen, DeadLetterReason, Grade, InstrumentKind, LatePolicy, PriceRule, RankPolicy, RoomFloor
from streams.domain.money import MAX_ACCOUNT, MAX_INSTRUMENT, MAX_LOTS, MAX_VALUE, MAX_WALLET, MAX_WARNING_PPM, PPM, mul_ppm_ceil

MAX_VERSION: Final = 2**62
MAX_ID: Final = 2**20  # pools and assets
MAX_TIERS: Final = 256
DAY_US: Final = 86_400_000_000  # no duration of a parameter is longer
MIN_AHEAD_US: Final = 1_000_000  # a clock that counts in seconds cannot tell less
MAX_AHEAD_US: Final = 60_000_000  # how far ahead of the clock a mark may be, unless its instrument says otherwise


class Use(IntFlag):
    """What a mark of some grade may be used for; the bits of `stale_allows` and `outlier_allows`."""

    NOTHING = 0
    DETECTION = 1  # it is applied: groups are valued at it, their states told
    ORDER = 2  # liquidation orders and handing over
    RANKING = 4  # ADL scores
    ADL = 8  # waves


ALL_USES: Final = Use.DETECTION | Use.ORDER | Use.RANKING | Use.ADL
STALE_ALLOWS: Final = Use.DETECTION | Use.RANKING  # an old price says where one stands, but nobody trades at it
OUTLIER_ALLOWS: Final = Use.NOTHING


@dataclass(frozen=True, slots=True)
class Tier:
    """A margin tier: from `floor` on maintenance is notional x `rate_ppm` - `maintenance_amount`.

    Source: Binance, "Leverage and Margin of USDⓈ-M Futures".
    """

    floor: int
    rate_ppm: int
    maintenance_amount: int


@dataclass(frozen=True, slots=True)
class Instrument:
    """Parameters of one instrument. Value of lots at a mark = lots x ticks x `value_per_tick_lot`, exact in settlement units."""

    instrument: int
    symbol: str
    version: int
    kind: InstrumentKind
    asset: int
    pool: int
    value_per_tick_lot: int
    max_mark_ticks: int
    max_lots: int
    tiers: tuple[Tier, ...]
    max_mark_age_us: int = 0  # a mark older than this by the clock is STALE; 0: no limit
    max_ahead_us: int = MAX_AHEAD_US
    stale_allows: int = int(STALE_ALLOWS)
    outlier_allows: int = int(OUTLIER_ALLOWS)

    def allows(self, grade: int, use: Use) -> bool:
        """Whether a mark of this grade may be used so: GOOD for everything, FROZEN and what is unknown for nothing."""
        of_grade = {Grade.GOOD: int(ALL_USES), Grade.STALE: self.stale_allows, Grade.OUTLIER: self.outlier_allows}
        return bool(of_grade.get(Grade(grade), 0) & use)

    def value(self, lots: int, mark_ticks: int) -> int:
        """Signed value of a position; settlement units."""
        return lots * mark_ticks * self.value_per_tick_lot

    def maintenance(self, value: int) -> int:
        """Maintenance margin of a position of this signed value, rounded up; settlement units."""
        notional = abs(value)
        tier = next(t for t in reversed(self.tiers) if notional >= t.floor)
        return max(0, mul_ppm_ceil(notional, tier.rate_ppm) - tier.maintenance_amount)


def maintenance_amounts(floors_and_rates: list[tuple[int, int]]) -> tuple[Tier, ...]:
    """Tiers with the amounts that make maintenance continuous at the floors, rounded down (against the account).

    cum_1 = 0; cum_n = floor_n x (rate_n - rate_(n-1)) + cum_(n-1). Source: Binance, leverage and margin of futures.
    """
    tiers: list[Tier] = []
    exact = previous_rate = 0  # the amount in millionths of a settlement unit, so that rounding does not pile up
    for floor, rate in floors_and_rates:
        exact += floor * (rate - previous_rate) if tiers else 0
        tiers.append(Tier(floor, rate, exact // PPM))
        previous_rate = rate
    return tuple(tiers)


def parse_instrument(row: Mapping[str, Any]) -> Instrument | tuple[DeadLetterReason, str]:
    """An instrument event as an Instrument, or why it is refused."""
    tiers = tuple(Tier(t["floor"], t["rate_ppm"], t["maintenance_amount"]) for t in row["tiers"])
    if row["kind"] == InstrumentKind.UNKNOWN:
        return DeadLetterReason.UNKNOWN_SYMBOL, "kind is UNKNOWN"
    if row["kind"] != InstrumentKind.LINEAR:
        return DeadLetterReason.BAD_VALUE, "only LINEAR instruments are valued"
    if not 0 < row["instrument"] < MAX_INSTRUMENT:
        return DeadLetterReason.OUT_OF_BOUNDS, f"instrument id outside 1..{MAX_INSTRUMENT - 1}"
    if not (0 <= row["version"] < MAX_VERSION and 0 < row["asset"] < MAX_ID and 0 < row["pool"] < MAX_ID):
        return DeadLetterReason.OUT_OF_BOUNDS, "version, asset or pool out of bounds"
    units, ticks, lots = row["value_per_tick_lot"], row["max_mark_ticks"], row["max_lots"]
    if min(units, ticks, lots) <= 0 or lots > MAX_LOTS or units * ticks * lots > MAX_VALUE:
        return DeadLetterReason.OUT_OF_BOUNDS, f"value_per_tick_lot x max_mark_ticks x max_lots must lie in 1..{MAX_VALUE}"
    if len(tiers) > MAX_TIERS or any(t.floor > MAX_WALLET for t in tiers):
        return DeadLetterReason.OUT_OF_BOUNDS, f"at most {MAX_TIERS} tiers, with floors up to {MAX_WALLET}"
    if not tiers or tiers[0].floor != 0 or any(a.floor >= b.floor for a, b in pairwise(tiers)):
        return DeadLetterReason.BAD_VALUE, "tiers must start at floor 0 and ascend"
    if any(not 0 < t.rate_ppm <= PPM or not 0 <= t.maintenance_amount <= MAX_VALUE for t in tiers):
        return DeadLetterReason.OUT_OF_BOUNDS, f"tier rates must lie in 1..{PPM} ppm and amounts in 0..{MAX_VALUE}"
    exact = maintenance_amounts([(t.floor, t.rate_ppm) for t in tiers])
    is_continuous = all(abs(t.maintenance_amount - e.maintenance_amount) <= 1 for t, e in zip(tiers, exact, strict=True))
    if not is_continuous or any(a.rate_ppm > b.rate_ppm for a, b in pairwise(tiers)):
        return DeadLetterReason.BAD_VALUE, "tier rates must ascend, and amounts make maintenance continuous at the floors to one unit"
    marks = _mark_rules(row)
    if isinstance(marks, tuple):
        return marks
    return Instrument(
        instrument=row["instrument"], symbol=row["symbol"], version=row["version"], kind=InstrumentKind(row["kind"]), asset=row["asset"],
        pool=row["pool"], value_per_tick_lot=units, max_mark_ticks=ticks, max_lots=lots, tiers=tiers,
        **marks,
    )  # fmt: skip


def _mark_rules(row: Mapping[str, Any]) -> dict[str, int] | tuple[DeadLetterReason, str]:
    """What the parameters say of marks, where they say anything."""
    said = {name: row[name] for name in ("max_mark_age_us", "max_ahead_us", "stale_allows", "outlier_allows") if row.get(name) is not None}
    if not 0 <= said.get("max_mark_age_us", 0) <= DAY_US or not MIN_AHEAD_US <= said.get("max_ahead_us", MAX_AHEAD_US) <= DAY_US:
        return DeadLetterReason.OUT_OF_BOUNDS, f"max_mark_age_us: 0..{DAY_US}; max_ahead_us: {MIN_AHEAD_US}..{DAY_US}"
    if any(not 0 <= said.get(name, 0) <= ALL_USES for name in ("stale_allows", "outlier_allows")):
        return DeadLetterReason.OUT_OF_BOUNDS, f"stale_allows, outlier_allows: bits of detection, order, ranking and ADL, 0..{int(ALL_USES)}"
    return said


def change_refusal(known: Instrument | None, new: Instrument) -> tuple[DeadLetterReason, str] | None:
    """Why a newer version cannot follow the one in force, if it cannot."""
    if known is not None and (known.value_per_tick_lot, known.asset, known.pool) != (new.value_per_tick_lot, new.asset, new.pool):
        return DeadLetterReason.BAD_VALUE, "value_per_tick_lot, asset and pool of an instrument never change: list another instrument"
    return None


@dataclass(frozen=True, slots=True)
class Pool:
    """Parameters of one insurance pool."""

    pool: int
    version: int
    asset: int
    fund_account: int
    policy_id: RankPolicy
    price_rule: PriceRule
    score_wallet_floor: int
    net_notional_cap: int | None
    adl_start_value: int
    adl_stop_value: int
    warning_ratio_ppm: int
    instruction_valid_us: int
    adl_when: AdlWhen = AdlWhen.INSOLVENT
    room_floor: RoomFloor = RoomFloor.ZERO
    price_cap_ppm: int | None = None
    wave_deadline_us: int = 1_000_000
    wave_late: LatePolicy = LatePolicy.GIVE_UP
    unwind_limit_ppm: int = 50_000
    unwind_lots_max: int | None = None
    fund_floor_value: int = 0
    retry_pause_us: int = 100_000
    retry_alarm_count: int = 5


def parse_pool(row: Mapping[str, Any]) -> Pool | tuple[DeadLetterReason, str]:
    """A pool event as a Pool, or why it is refused."""
    if row["policy_id"] == RankPolicy.UNKNOWN or row["price_rule"] == PriceRule.UNKNOWN:
        return DeadLetterReason.BAD_VALUE, "policy_id and price_rule must be known"
    if not (0 <= row["version"] < MAX_VERSION and 0 < row["asset"] < MAX_ID and 0 < row["pool"] < MAX_ID and 0 < row["fund_account"] < MAX_ACCOUNT):
        return DeadLetterReason.OUT_OF_BOUNDS, "version, pool, asset or fund_account out of bounds"
    amounts = row["adl_start_value"], row["adl_stop_value"], row["score_wallet_floor"], row["net_notional_cap"] or 0
    if any(abs(amount) > MAX_WALLET for amount in amounts) or row["instruction_valid_us"] > DAY_US or (row["net_notional_cap"] or 0) < 0:
        return DeadLetterReason.OUT_OF_BOUNDS, f"amounts of a pool lie within {MAX_WALLET}, instruction_valid_us within {DAY_US}"
    if row["adl_start_value"] >= row["adl_stop_value"]:
        return DeadLetterReason.BAD_VALUE, "adl_start_value must lie below adl_stop_value"
    if row["score_wallet_floor"] <= 0 or row["instruction_valid_us"] <= 0 or not 0 <= row["warning_ratio_ppm"] <= MAX_WARNING_PPM:
        return (
            DeadLetterReason.OUT_OF_BOUNDS,
            f"score_wallet_floor, instruction_valid_us: positive; warning_ratio_ppm: 0..{MAX_WARNING_PPM}",
        )
    if row["adl_when"] == AdlWhen.UNKNOWN or row["room_floor"] == RoomFloor.UNKNOWN or row["wave_late"] == LatePolicy.UNKNOWN:
        return DeadLetterReason.BAD_VALUE, "adl_when, room_floor and wave_late must be known"
    refused = _out_of_bounds(row)
    if refused:
        return refused
    return Pool(
        pool=row["pool"], version=row["version"], asset=row["asset"], fund_account=row["fund_account"], policy_id=RankPolicy(row["policy_id"]),
        price_rule=PriceRule(row["price_rule"]), score_wallet_floor=row["score_wallet_floor"], net_notional_cap=row["net_notional_cap"],
        adl_start_value=row["adl_start_value"], adl_stop_value=row["adl_stop_value"], warning_ratio_ppm=row["warning_ratio_ppm"],
        instruction_valid_us=row["instruction_valid_us"], adl_when=AdlWhen(row["adl_when"]), room_floor=RoomFloor(row["room_floor"]),
        price_cap_ppm=row["price_cap_ppm"], wave_deadline_us=row["wave_deadline_us"], wave_late=LatePolicy(row["wave_late"]),
        unwind_limit_ppm=row["unwind_limit_ppm"], unwind_lots_max=row["unwind_lots_max"], fund_floor_value=row["fund_floor_value"],
        retry_pause_us=row["retry_pause_us"], retry_alarm_count=row["retry_alarm_count"],
    )  # fmt: skip


def fund_refusal(known: Iterable[Pool], new: Pool) -> tuple[DeadLetterReason, str] | None:
    """Why a pool cannot have this fund, if it cannot: its account is its own, or one wallet would be counted for two pools; and it stays."""
    for pool in known:
        if pool.pool != new.pool and pool.fund_account == new.fund_account:
            return DeadLetterReason.BAD_VALUE, f"account {new.fund_account} is the fund of pool {pool.pool}: each pool has a fund account of its own"
        if pool.pool == new.pool and (pool.fund_account, pool.asset) != (new.fund_account, new.asset):
            return DeadLetterReason.BAD_VALUE, "fund_account and asset of a pool never change: name another pool, and move the money there"
    return None


_DAY_US = 86_400_000_000
_POOL_BOUNDS = {
    "wave_deadline_us": (1, _DAY_US), "unwind_limit_ppm": (0, PPM), "fund_floor_value": (-MAX_VALUE, MAX_VALUE),
    "retry_pause_us": (0, _DAY_US), "retry_alarm_count": (1, 10_000), "price_cap_ppm": (0, PPM), "unwind_lots_max": (1, MAX_LOTS),
}  # fmt: skip


def _out_of_bounds(row: Mapping[str, Any]) -> tuple[DeadLetterReason, str] | None:
    for field, (least, most) in _POOL_BOUNDS.items():
        if row[field] is not None and not least <= row[field] <= most:
            return DeadLetterReason.OUT_OF_BOUNDS, f"{field} must lie in {least}..{most}"
    return None
