"""A calm quarter of an hour in three markets: marks wander, users trade with makers, deposit and withdraw, funding is paid. Hardly anybody is hit."""

from collections.abc import Iterator
from functools import partial
from random import Random

from streams.domain.events import MarginMode, PositionSide, UpdateKind
from streams.venue.book import Book, PositionKey, cross
from streams.venue.depth import SECOND_US
from streams.venue.scenarios.market import FIRST_USER, ROUNDING, Crowd, Market, makers_by_instrument, noisy, openings, pool
from streams.venue.scenarios.scenario import CashFlow, Event, FundingPayment, Leg, Mark, Scenario, Timed, Trade, position_key

DEFAULT_ACCOUNTS = 200
START_US = 1_750_000_000 * SECOND_US
SECONDS = 900
MARKETS = (
    Market(1, "BTC", 110_000, 1_000, weight=5, is_major=True),
    Market(2, "ETH", 25_000, 1_000, weight=3, is_major=True),
    Market(3, "SOL", 15_000, 1_000, weight=2),
)
FUND_USD_PER_ACCOUNT = 1_000
CROWD = Crowd(long_share=55, leverages=(2, 2, 3, 3, 5, 5, 10))
STEP_PPM, PULL = 300, 40  # a step of the walk, and the share (1/40) of the distance to the base price that it goes back
FUNDING_SECONDS, FUNDING_PPM = 300, 100
TRADES_A_SECOND = 3


def calm(accounts: int, seed: int, account_partitions: int) -> Scenario:
    """The scenario `calm`."""
    rng = Random(f"calm {seed}")
    fund_usd = FUND_USD_PER_ACCOUNT * accounts
    return Scenario(
        name="calm", account_partitions=account_partitions, start_us=START_US, instruments=tuple(m.instrument for m in MARKETS),
        pools=(pool(fund_usd),), openings=openings(rng, MARKETS, accounts, fund_usd=fund_usd, crowd=CROWD),
        depth={m.number: m.depth(100 * accounts, step_ppm=200, levels=40, refill_seconds=10) for m in MARKETS},
        makers=makers_by_instrument(MARKETS), script=partial(_play, seed, accounts),
    )  # fmt: skip


def _play(seed: int, accounts: int, book: Book) -> Iterator[Timed]:
    rng = Random(f"calm day {seed}")
    makers = makers_by_instrument(MARKETS)
    ticks = {m.number: m.base_ticks for m in MARKETS}
    for second in range(1, SECONDS + 1):
        events: list[Event] = []
        for market in MARKETS:
            walked = noisy(rng, ticks[market.number], STEP_PPM)
            ticks[market.number] = walked + (market.base_ticks - walked) // PULL
            events.append(Mark(market.number, ticks[market.number], noisy(rng, ticks[market.number], 50)))
        if second > 1:
            touched: dict[int, None] = {}  # one event an account and second: each looks at the book before any of them
            for _ in range(rng.randrange(TRADES_A_SECOND + 1)):
                account = FIRST_USER + rng.randrange(accounts)
                if account not in touched:
                    touched[account] = None
                    events += _do_something(rng, book, account, rng.choice(MARKETS), makers)
        yield START_US + second * SECOND_US, events
        if second % FUNDING_SECONDS == 0:
            funding: list[Event] = [FundingPayment(m.number, rng.choice((FUNDING_PPM, -FUNDING_PPM)), ROUNDING) for m in MARKETS]
            yield START_US + second * SECOND_US + SECOND_US // 2, funding


def _do_something(rng: Random, book: Book, account: int, market: Market, makers: dict[int, int]) -> list[Event]:
    """A deposit, a withdrawal of a part of what is free, or a trade with the maker."""
    equity, is_flat = book.equity(cross(account)), book.wallet_if_flat(cross(account)) is not None
    match rng.randrange(8):
        case 0:
            return [CashFlow(UpdateKind.DEPOSIT, account, 1 + rng.randrange(1_000_000_000))]
        case 1:
            free = equity // (2 if is_flat else 20)
            return [CashFlow(UpdateKind.WITHDRAWAL, account, -1 - rng.randrange(free))] if free > 0 else []
        case _:
            return _trade(rng, book, account, market, makers[market.number])


def _trade(rng: Random, book: Book, account: int, market: Market, maker: int) -> list[Event]:
    key = _key(rng, book, account, market.number)
    held, mode = book.lots.get(key, 0), book.mode(key)
    mark = book.marks[market.number]
    if held and rng.randrange(2):
        lots = -held if rng.randrange(3) == 0 else -_sign(held) * (1 + rng.randrange(abs(held)))
        return [_with_maker(market, key, lots, noisy(rng, mark, 20), mode=mode, margin=0, maker=maker)]
    direction = _sign(held) or {PositionSide.LONG: 1, PositionSide.SHORT: -1}.get(PositionSide(key[2])) or rng.choice((1, -1))
    wallet = book.wallet_if_flat(cross(account))
    if not held and wallet is not None and rng.randrange(3) == 0:
        mode = MarginMode.ISOLATED
    elif not held:
        mode = MarginMode.CROSS
    spare = (wallet or 0) if mode == MarginMode.ISOLATED else book.equity(cross(account))
    margin = spare // 20
    lots = 3 * margin // (mark * market.value_per_tick_lot)
    if lots <= 0:
        return []
    brought = margin if mode == MarginMode.ISOLATED else 0
    return [_with_maker(market, key, direction * lots, noisy(rng, mark, 20), mode=mode, margin=brought, maker=maker)]


def _key(rng: Random, book: Book, account: int, instrument: int) -> PositionKey:
    """The position the account trades: in hedge mode (it holds a leg anywhere) one of its legs, else its one position."""
    is_hedged = any(k[0] == account and k[2] != PositionSide.ONE_WAY for k in book.lots)
    return position_key(account, instrument, rng.choice((PositionSide.LONG, PositionSide.SHORT)) if is_hedged else PositionSide.ONE_WAY)


def _with_maker(market: Market, key: PositionKey, lots: int, ticks: int, *, mode: MarginMode, margin: int, maker: int) -> Trade:
    user, other = Leg(key[0], PositionSide(key[2]), mode, margin), Leg(maker, PositionSide.ONE_WAY)
    buyer, seller = (user, other) if lots > 0 else (other, user)
    return Trade(market.number, abs(lots), ticks, buyer, seller)


def _sign(lots: int) -> int:
    return (lots > 0) - (lots < 0)
