"""Synthetic markets and the accounts that trade in them, from a seed: heavy-tailed sizes, leverage 2 to 50, cross and isolated, one-way and hedge.

The opening book sums to zero per instrument: makers take the other side of the users. Nobody opens near maintenance. Random integers only, no floats.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from streams.domain.events import InstrumentKind, PositionSide, PriceRule, RankPolicy, Role
from streams.domain.instruments import Instrument, Pool, Tier, maintenance_amounts
from streams.domain.money import MAX_VALUE, PPM
from streams.venue.depth import DepthSpec
from streams.venue.scenarios.scenario import UNITS_PER_USD, USD, Opening, OpeningPosition

FUND, ROUNDING = 1, 2
MAKERS = (11, 12, 13)
FIRST_USER = 101
POOL = 1
MAKER_WALLET = 2_000_000_000 * UNITS_PER_USD
MAX_MARK_FACTOR = 2  # marks up to twice the base price are accepted
LEVERAGES = (2, 3, 5, 5, 10, 10, 20, 25, 50)
WEALTH_USD, WEALTH_SPREAD = 2_000, 1_000  # wealth = 2,000 USD x 1,000 / u, u uniform in 1..1,000: a Pareto tail of exponent 1

MAJOR_TIERS = ((0, 5_000), (250_000, 10_000), (2_000_000, 25_000), (20_000_000, 50_000))  # floor in USD, rate in ppm
OTHER_TIERS = ((0, 10_000), (50_000, 20_000), (500_000, 50_000), (5_000_000, 100_000))


@dataclass(frozen=True, slots=True)
class Market:
    """One instrument as a scenario declares it. `weight`: its share of positions and of depth, relative to the others."""

    number: int
    symbol: str
    base_ticks: int
    value_per_tick_lot: int
    weight: int
    is_major: bool = False

    @property
    def instrument(self) -> Instrument:
        """Its parameters; the position limit is the largest that stays exact."""
        max_mark = MAX_MARK_FACTOR * self.base_ticks
        return Instrument(
            instrument=self.number, symbol=self.symbol, version=1, kind=InstrumentKind.LINEAR, asset=USD, pool=POOL,
            value_per_tick_lot=self.value_per_tick_lot, max_mark_ticks=max_mark, max_lots=MAX_VALUE // (max_mark * self.value_per_tick_lot),
            tiers=self.tiers,
        )  # fmt: skip

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """Maintenance tiers, continuous at the floors."""
        table = MAJOR_TIERS if self.is_major else OTHER_TIERS
        return maintenance_amounts([(floor * UNITS_PER_USD, rate) for floor, rate in table])

    @property
    def lot_value(self) -> int:
        """Value of one lot at the base price; settlement units."""
        return self.base_ticks * self.value_per_tick_lot

    def depth(self, level_usd: int, *, step_ppm: int, levels: int, refill_seconds: int) -> DepthSpec:
        """Depth of so many USD a level that comes back within `refill_seconds` when all of it is eaten."""
        level_lots = max(1, level_usd * UNITS_PER_USD // self.lot_value)
        return DepthSpec(
            step_ppm=step_ppm, level_lots=level_lots, levels=levels, refill_lots_per_second=max(1, level_lots * levels // refill_seconds)
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Crowd:
    """What kind of accounts; shares in percent."""

    long_share: int = 75
    isolated_share: int = 40
    hedge_share: int = 12
    leverages: tuple[int, ...] = LEVERAGES
    positions: tuple[int, ...] = (1, 1, 1, 2, 2, 3)


def pool(fund_usd: int, *, price_rule: PriceRule = PriceRule.BANKRUPTCY, policy: RankPolicy = RankPolicy.BINANCE) -> Pool:
    """The pool of a scenario: adl from a tenth of the opening fund down, back to normal at a half of it; inventory up to four times of it."""
    fund = fund_usd * UNITS_PER_USD
    return Pool(
        pool=POOL, version=1, asset=USD, fund_account=FUND, policy_id=policy, price_rule=price_rule, score_wallet_floor=UNITS_PER_USD,
        net_notional_cap=4 * fund, adl_start_value=fund // 10, adl_stop_value=fund // 2, warning_ratio_ppm=1_500_000, instruction_valid_us=5_000_000,
    )  # fmt: skip


def openings(rng: Random, markets: Sequence[Market], users: int, *, fund_usd: int, crowd: Crowd) -> tuple[Opening, ...]:
    """Fund, rounding account, makers and `users` accounts; zero-sum per instrument."""
    by_user = [_user(rng, FIRST_USER + n, markets, crowd) for n in range(users)]
    makers = _makers(markets, by_user)
    return (Opening(FUND, Role.FUND, fund_usd * UNITS_PER_USD), Opening(ROUNDING, Role.ROUNDING, 0), *makers, *by_user)


def _user(rng: Random, account: int, markets: Sequence[Market], crowd: Crowd) -> Opening:
    wealth = WEALTH_USD * UNITS_PER_USD * WEALTH_SPREAD // rng.randrange(1, WEALTH_SPREAD + 1)
    is_hedged = rng.randrange(100) < crowd.hedge_share
    chosen: dict[int, Market] = {}
    for market in rng.choices(markets, weights=[m.weight for m in markets], k=rng.choice(crowd.positions)):
        chosen[market.number] = market
    cross_wallet, positions = wealth // 50, []
    for number in sorted(chosen):
        margin = wealth // len(chosen)
        legs = (PositionSide.LONG, PositionSide.SHORT) if is_hedged else (PositionSide.ONE_WAY,)
        for side in legs:
            is_long = side == PositionSide.LONG or (side == PositionSide.ONE_WAY and rng.randrange(100) < crowd.long_share)
            if is_hedged and side == PositionSide.SHORT:
                margin //= 2  # the shorter leg only hedges a part
            is_isolated = rng.randrange(100) < crowd.isolated_share
            position = _position(
                rng, chosen[number], side, margin=margin, leverage=rng.choice(crowd.leverages), is_long=is_long, is_isolated=is_isolated
            )
            if position:
                positions.append(position)
            cross_wallet += 0 if position and is_isolated else margin
    return Opening(account, Role.USER, cross_wallet, tuple(positions))


def _position(
    rng: Random, market: Market, side: PositionSide, *, margin: int, leverage: int, is_long: bool, is_isolated: bool
) -> OpeningPosition | None:  # fmt: skip
    """A position of margin x leverage, halved until its margin is twice its maintenance and its entry loss; None if not one lot is left."""
    away_ppm = rng.randrange(-PPM // (8 * leverage), PPM // (8 * leverage) + 1)
    entry_ticks = market.base_ticks + market.base_ticks * away_ppm // PPM
    lots = margin * leverage // market.lot_value
    instrument = market.instrument
    while (
        lots
        and 2 * (instrument.maintenance(lots * market.lot_value) + abs(entry_ticks - market.base_ticks) * lots * market.value_per_tick_lot) > margin
    ):
        lots //= 2
    if not lots:
        return None
    signed = lots if is_long else -lots
    return OpeningPosition(market.number, side, signed, signed * entry_ticks * market.value_per_tick_lot, margin if is_isolated else None)


def _makers(markets: Sequence[Market], users: Sequence[Opening]) -> list[Opening]:
    """Makers hold what the users' positions leave open, at the base price, in almost equal parts."""
    net = {market.number: 0 for market in markets}
    for user in users:
        for p in user.positions:
            net[p.instrument] -= p.lots
    parts: list[list[OpeningPosition]] = [[] for _ in MAKERS]
    for market in markets:
        done = 0
        for n in range(len(MAKERS)):
            upto = net[market.number] * (n + 1) // len(MAKERS)
            lots, done = upto - done, upto
            if lots:
                parts[n].append(OpeningPosition(market.number, PositionSide.ONE_WAY, lots, lots * market.lot_value))
    return [Opening(account, Role.MAKER, MAKER_WALLET, tuple(p)) for account, p in zip(MAKERS, parts, strict=True)]


def makers_by_instrument(markets: Sequence[Market]) -> dict[int, int]:
    """Which maker stands behind an instrument's depth."""
    return {m.number: MAKERS[n % len(MAKERS)] for n, m in enumerate(markets)}


def noisy(rng: Random, ticks: int, noise_ppm: int) -> int:
    """A price moved by up to `noise_ppm` either way, at least one tick."""
    return max(1, ticks + ticks * rng.randrange(-noise_ppm, noise_ppm + 1) // PPM)
