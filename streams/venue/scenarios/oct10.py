"""10 October 2025: recorded are the times and relative sizes of the shocks of 20 coins; everything else here is synthetic and says so.

Input from the data: `t_start` and `budget_queue_usd` over the coin's total. Declared synthetic: base prices, popularity, depth and total
depth of the fall (`COINS`), the shape of the slide before a shock, the rebound. Accounts come from the seed. Liquidations, takeovers and
waves come from the pipeline.
"""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache, partial
from importlib.resources import files
from random import Random

from streams.domain.money import PPM
from streams.venue.book import Book
from streams.venue.depth import SECOND_US
from streams.venue.scenarios.market import Crowd, Market, makers_by_instrument, noisy, openings, pool
from streams.venue.scenarios.scenario import Mark, Scenario, SeededTrouble, Timed

DEFAULT_ACCOUNTS = 2_000
DATA = files("streams.venue") / "data" / "chitra-2025-10-10" / "per_shock_metrics_queue.csv"
COIN_COUNT = 20
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
START_US = (datetime(2025, 10, 10, 21, 15, 30, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
GRID_SECONDS = 660  # a mark of every coin each second, 21:15:31 to 21:26:30
REBOUND_SECOND, REBOUND_SECONDS, REBOUND_PPM = 612, 15, 100_000  # from 21:25:42 on a tenth of the fall comes back; then the marks stand still
SLIDE_US, SLIDE_PPM = 25 * SECOND_US, 700_000  # 70 % of a shock is a slide over the 25 s before it, the rest one gap
NOISE_PPM = 150
FUND_USD_PER_ACCOUNT = 140
DEPTH_USD_PER_ACCOUNT = 25  # a level, of a coin of average weight


@dataclass(frozen=True, slots=True)
class Coin:
    """Synthetic parameters of a coin; `fall_ppm`: how far it falls in all."""

    market: Market
    fall_ppm: int


def _coin(number: int, symbol: str, base_ticks: int, value_per_tick_lot: int, weight: int, fall_ppm: int) -> Coin:
    return Coin(Market(number, symbol, base_ticks, value_per_tick_lot, weight, is_major=symbol in {"BTC", "ETH", "SOL"}), fall_ppm)


# All synthetic. Base price = base_ticks x tick; tick x lot = value_per_tick_lot millionths of a USD (BTC: 1 USD x 0.001; XPL: 0.00001 USD x 10).
COINS = {
    c.market.symbol: c
    for c in (
        _coin(1, "BTC", 120_000, 1_000, 60, 140_000),
        _coin(2, "ETH", 43_000, 1_000, 45, 210_000),
        _coin(3, "SOL", 22_000, 1_000, 30, 260_000),
        _coin(4, "HYPE", 42_000, 1_000, 15, 380_000),
        _coin(5, "XPL", 75_000, 100, 12, 520_000),
        _coin(6, "FARTCOIN", 62_000, 100, 8, 600_000),
        _coin(7, "ENA", 52_000, 100, 8, 560_000),
        _coin(8, "PUMP", 54_000, 100, 8, 500_000),
        _coin(9, "AVAX", 27_500, 1_000, 7, 480_000),
        _coin(10, "XRP", 27_000, 1_000, 10, 360_000),
        _coin(11, "ASTER", 16_000, 1_000, 7, 400_000),
        _coin(12, "DOGE", 24_000, 100, 9, 420_000),
        _coin(13, "SUI", 34_000, 1_000, 7, 540_000),
        _coin(14, "EIGEN", 16_500, 1_000, 3, 500_000),
        _coin(15, "LINK", 21_500, 1_000, 6, 400_000),
        _coin(16, "WLD", 11_800, 1_000, 4, 520_000),
        _coin(17, "KBONK", 18_500, 100, 4, 450_000),
        _coin(18, "UNI", 7_700, 1_000, 4, 430_000),
        _coin(19, "PENGU", 28_000, 100, 4, 520_000),
        _coin(20, "IP", 9_800, 1_000, 3, 500_000),
    )
}


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the data says of one coin: shocks (event time, share of the coin's total, millionths), and outcomes that are only shown, in whole USD."""

    shocks: tuple[tuple[int, int], ...]
    clusters: int
    budget_usd: int
    deficit_usd: int
    residual_usd: int


@cache
def recorded() -> Mapping[str, Recorded]:
    """The COIN_COUNT coins with the largest budget, largest first. Shares are rounded so that each coin's add up to one million."""
    rows: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader(DATA.read_text(encoding="utf-8").splitlines()):
        rows.setdefault(row["coin"], []).append(row)
    totals = {coin: _total(of_coin, "budget_queue_usd") for coin, of_coin in rows.items()}
    largest = sorted(totals, key=lambda coin: (-totals[coin], coin))[:COIN_COUNT]
    return {coin: _recorded(sorted(rows[coin], key=lambda r: r["t_start"]), totals[coin]) for coin in largest}


def _total(rows: list[dict[str, str]], column: str) -> Decimal:
    return sum((Decimal(row[column]) for row in rows), Decimal(0))


def _recorded(rows: list[dict[str, str]], total: Decimal) -> Recorded:
    shocks, fallen, before = [], Decimal(0), 0
    for row in rows:
        fallen += Decimal(row["budget_queue_usd"])
        upto = int(fallen * PPM / total)
        if upto > before:
            shocks.append(((datetime.fromisoformat(row["t_start"]) - EPOCH) // timedelta(microseconds=1), upto - before))
        before = upto
    return Recorded(tuple(shocks), len(rows), int(total), int(_total(rows, "deficit_usd")), int(_total(rows, "residual_queue_usd")))


def fall_ppm(shocks: tuple[tuple[int, int], ...], time_us: int) -> int:
    """How much of a coin's whole fall has happened by a time, in millionths: a slide before each shock, then its gap."""
    fallen = 0
    for shock_us, share_ppm in shocks:
        if time_us >= shock_us:
            fallen += share_ppm
        elif time_us > shock_us - SLIDE_US:
            fallen += share_ppm * SLIDE_PPM // PPM * (time_us - shock_us + SLIDE_US) // SLIDE_US
    return fallen


def oct10(accounts: int, seed: int, account_partitions: int) -> Scenario:
    """The scenario `oct-10-2025`."""
    rng = Random(f"oct-10-2025 {seed}")
    fund_usd = FUND_USD_PER_ACCOUNT * accounts
    markets = [coin.market for coin in COINS.values()]
    average = sum(m.weight for m in markets) // len(markets)
    depth = {
        m.number: m.depth(max(100, DEPTH_USD_PER_ACCOUNT * accounts * m.weight // average), step_ppm=300, levels=25, refill_seconds=8)
        for m in markets
    }  # fmt: skip
    return Scenario(
        name="oct-10-2025", account_partitions=account_partitions, start_us=START_US, instruments=tuple(m.instrument for m in markets),
        pools=(pool(fund_usd),), openings=openings(rng, markets, accounts, fund_usd=fund_usd, crowd=Crowd()), depth=depth,
        makers=makers_by_instrument(markets), script=partial(_play, seed),
        trouble=partial(SeededTrouble, seed, rejected_ppm=20_000, partial_ppm=30_000, until_us=START_US + REBOUND_SECOND * SECOND_US),
    )  # fmt: skip


def _play(seed: int, _book: Book) -> Iterator[Timed]:
    """All coins each second; a coin that is shocked also at the very time of its shock."""
    rng = Random(f"oct-10-2025 marks {seed}")
    due: dict[int, list[str]] = {START_US + second * SECOND_US: list(COINS) for second in range(1, GRID_SECONDS + 1)}
    for symbol, coin in recorded().items():
        for time_us, _ in coin.shocks:
            due.setdefault(time_us, []).append(symbol)
    for time_us in sorted(due):
        yield time_us, [_mark(rng, symbol, time_us) for symbol in sorted(due[time_us], key=lambda s: COINS[s].market.number)]


def _mark(rng: Random, symbol: str, time_us: int) -> Mark:
    coin = COINS[symbol]
    fallen = fall_ppm(recorded()[symbol].shocks, time_us)
    since_rebound_us = time_us - START_US - REBOUND_SECOND * SECOND_US
    if since_rebound_us > 0:
        fallen -= REBOUND_PPM * min(since_rebound_us, REBOUND_SECONDS * SECOND_US) // (REBOUND_SECONDS * SECOND_US)
    ticks = coin.market.base_ticks - coin.market.base_ticks * (coin.fall_ppm * fallen // PPM) // PPM
    if since_rebound_us < 0:
        ticks = noisy(rng, ticks, NOISE_PPM)
    return Mark(coin.market.number, ticks, noisy(rng, ticks, NOISE_PPM))
