"""One falling market: the mark slides and gaps down by two fifths, recovers a little, then stands still until everything is finished."""

from collections.abc import Iterator
from functools import partial
from random import Random

from streams.domain.money import PPM
from streams.venue.book import Book
from streams.venue.depth import SECOND_US
from streams.venue.scenarios.market import Crowd, Market, makers_by_instrument, noisy, openings, pool
from streams.venue.scenarios.scenario import Mark, Scenario, SeededTrouble, Timed

DEFAULT_ACCOUNTS = 200
START_US = 1_760_000_000 * SECOND_US
MARKET = Market(1, "BTC", 120_000, 1_000, weight=1, is_major=True)
FALL_SECONDS, TAIL_SECONDS = 120, 30
FALL_PPM, RECOVERY_PPM = 400_000, 60_000
GAPS = {30: 10, 60: 15, 90: 20}  # second -> parts of a hundred of the fall that come at once; the rest slides
FUND_USD_PER_ACCOUNT = 100
DEPTH_USD_PER_ACCOUNT = 300  # a level


def cascade(accounts: int, seed: int, account_partitions: int) -> Scenario:
    """The scenario `cascade`."""
    rng = Random(f"cascade {seed}")
    fund_usd = FUND_USD_PER_ACCOUNT * accounts
    end_us = START_US + FALL_SECONDS * SECOND_US
    return Scenario(
        name="cascade", account_partitions=account_partitions, start_us=START_US, instruments=(MARKET.instrument,), pools=(pool(fund_usd),),
        openings=openings(rng, (MARKET,), accounts, fund_usd=fund_usd, crowd=Crowd(long_share=85)),
        depth={MARKET.number: MARKET.depth(DEPTH_USD_PER_ACCOUNT * accounts, step_ppm=300, levels=20, refill_seconds=5)},
        makers=makers_by_instrument((MARKET,)), script=partial(_play, seed),
        trouble=partial(SeededTrouble, seed, rejected_ppm=20_000, partial_ppm=30_000, until_us=end_us),
    )  # fmt: skip


def _play(seed: int, _book: Book) -> Iterator[Timed]:
    rng = Random(f"cascade marks {seed}")
    fallen = 0  # parts of a hundred times the seconds that slide
    sliding = FALL_SECONDS - len(GAPS)
    slide = 100 - sum(GAPS.values())
    for second in range(1, FALL_SECONDS + TAIL_SECONDS + 1):
        if second <= FALL_SECONDS:
            fallen += GAPS[second] * sliding if second in GAPS else slide
        fall_ppm = FALL_PPM * fallen // (100 * sliding)
        if second > FALL_SECONDS:
            fall_ppm -= RECOVERY_PPM * min(10, second - FALL_SECONDS) // 10
        ticks = MARKET.base_ticks - MARKET.base_ticks * fall_ppm // PPM
        mark = noisy(rng, ticks, 100) if second <= FALL_SECONDS else ticks
        yield START_US + second * SECOND_US, [Mark(MARKET.number, mark, noisy(rng, mark, 50))]
