"""The walked examples A to E as scenarios: small whole numbers, a depth that trades at the mark.

A: isolated long, pool too small. B: the same at mark. C: a cross account in three markets. D: hedge mode, netted first.
E: two liquidated positions in one wave, of which the gateway refuses one pair and cuts another.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from streams.domain.events import InstructionKind, InstrumentKind, PositionSide, PriceRule, RankPolicy, Role
from streams.domain.instruments import Instrument, Pool, Tier
from streams.venue.book import Book
from streams.venue.depth import DepthSpec
from streams.venue.scenarios.scenario import USD, Mark, Opening, OpeningPosition, Scenario, ScriptedTrouble, Timed, Trouble, no_trouble

L, L2, S1, S2, S3, FUND, MAKER = 11, 12, 21, 22, 23, 31, 41
BTC, ETH, SOL = 1, 2, 3
SYMBOLS = {BTC: "BTC", ETH: "ETH", SOL: "SOL"}
ONE_WAY, LONG, SHORT = PositionSide.ONE_WAY, PositionSide.LONG, PositionSide.SHORT
_POOL, _MILLION = 1, 10**6
_AT_MARK = DepthSpec(step_ppm=0, level_lots=1_000_000, levels=1, refill_lots_per_second=1_000_000)
_MAINTENANCE = (Tier(0, 50_000, 0),)  # 5 %, one tier

Marks = list[tuple[int, list[tuple[int, int]]]]


def _play(marks: Marks, _book: Book) -> Iterator[Timed]:
    for time_us, moved in marks:
        yield time_us, [Mark(instrument, ticks, ticks) for instrument, ticks in moved]


def _example(
    name: str,
    partitions: int,
    openings: list[Opening],
    marks: Marks,
    *,
    unit: int = 1,
    price_rule: PriceRule = PriceRule.BANKRUPTCY,
    trouble: Callable[[], Trouble] = lambda: no_trouble,
) -> Scenario:
    """An example whose pool switches to adl by a refusal only: its thresholds cannot be reached. Its instruments are those that get a mark."""
    numbers = sorted({number for _, moved in marks for number, _ in moved})
    instruments = tuple(
        Instrument(
            instrument=number, symbol=SYMBOLS[number], version=1, kind=InstrumentKind.LINEAR, asset=USD, pool=_POOL, value_per_tick_lot=unit,
            max_mark_ticks=10_000, max_lots=100_000, tiers=_MAINTENANCE,
        )
        for number in numbers
    )  # fmt: skip
    pool = Pool(
        pool=_POOL, version=1, asset=USD, fund_account=FUND, policy_id=RankPolicy.BITMEX, price_rule=price_rule, score_wallet_floor=unit,
        net_notional_cap=None, adl_start_value=-(2**50), adl_stop_value=2**50, warning_ratio_ppm=0, instruction_valid_us=1_000_000,
    )  # fmt: skip
    return Scenario(
        name=name, account_partitions=partitions, start_us=1000, instruments=instruments, pools=(pool,), openings=tuple(openings),
        depth={i.instrument: _AT_MARK for i in instruments}, makers={i.instrument: MAKER for i in instruments}, script=partial(_play, marks),
        trouble=trouble,
    )  # fmt: skip


def _at(instrument: int, lots: int, cost: int, side: PositionSide = ONE_WAY) -> OpeningPosition:
    return OpeningPosition(instrument, side, lots, cost)


def _user(account: int, wallet: int, *positions: OpeningPosition) -> Opening:
    return Opening(account, Role.USER, wallet, positions)


def _isolated(account: int, bucket: int, lots: int, cost: int) -> Opening:
    return Opening(account, Role.USER, 0, (OpeningPosition(BTC, ONE_WAY, lots, cost, bucket),))


def _house(cash: int, maker: int = 1000) -> list[Opening]:
    return [Opening(FUND, Role.FUND, cash), Opening(MAKER, Role.MAKER, maker)]


def _one_market(fund_cash: int) -> list[Opening]:
    return [_isolated(L, 100, 10, 1000), _user(S1, 600, _at(BTC, -6, -600)), _user(S2, 400, _at(BTC, -4, -400)), *_house(fund_cash)]


def example_a(account_partitions: int) -> Scenario:
    """Isolated long of 10 at 100 with margin 100, fund cash 5, mark falls to 88: the fund takes 2, ADL the other 8 at the bankruptcy quote."""
    return _example("example-a", account_partitions, _one_market(5), [(1001, [(BTC, 100)]), (2000, [(BTC, 88)])])


def example_b(account_partitions: int) -> Scenario:
    """As A with ADL at the mark: a deficit of 16 is left, 1 covered, 15 socialised as 11 and 4."""
    return _example("example-b", account_partitions, _one_market(5), [(1001, [(BTC, 100)]), (2000, [(BTC, 88)])], price_rule=PriceRule.MARK)


def example_c(account_partitions: int) -> Scenario:
    """A cross account with three positions; each closes at its value less equity x its share of maintenance; the wallet ends at zero."""
    u = _MILLION
    openings = [
        _user(L, 100 * u, _at(BTC, 10, 1000 * u), _at(ETH, 20, 1000 * u), _at(SOL, -30, -600 * u)),
        _user(S1, 900 * u, _at(BTC, -10, -1000 * u), _at(ETH, -12, -600 * u)),
        _user(S2, 700 * u, _at(ETH, -8, -400 * u), _at(SOL, 12, 240 * u)),
        _user(S3, 500 * u, _at(SOL, 18, 360 * u)),
        *_house(5 * u, 1000 * u),
    ]
    marks: Marks = [(2000, [(SOL, 17)]), (2001, [(ETH, 46)]), (2002, [(BTC, 88)])]  # valued once all three are known: bankrupt at once
    return _example("example-c", account_partitions, openings, marks, unit=u)


def example_d(account_partitions: int) -> Scenario:
    """Hedge mode: long 10 and short 6 in one instrument are netted 6 against 6 first, so ADL touches 4 lots."""
    openings = [
        _user(L, 30, _at(BTC, 10, 1000, LONG), _at(BTC, -6, -570, SHORT)),
        _user(S1, 600, _at(BTC, -3, -300)),
        _user(S2, 500, _at(BTC, -2, -200)),
        _user(S3, 100, _at(BTC, 1, 100)),
        *_house(5),
    ]
    return _example("example-d", account_partitions, openings, [(2000, [(BTC, 90)])])  # its first mark: at 100 it would be liquidatable


def example_e(account_partitions: int) -> Scenario:
    """Two isolated longs bankrupt at one mark share a wave; what the gateway leaves undone is taken up at the next mark."""
    openings = [
        _isolated(L, 50, 5, 500),
        _isolated(L2, 50, 5, 500),
        _user(S1, 300, _at(BTC, -6, -600)),
        _user(S2, 400, _at(BTC, -3, -300)),
        _user(S3, 500, _at(BTC, -1, -100)),
        *_house(0),
    ]
    cuts: Mapping[tuple[InstructionKind, int, int | None], int] = {(InstructionKind.ADL, L2, S1): 0, (InstructionKind.ADL, L2, S2): 1}
    marks: Marks = [(1001, [(BTC, 100)]), (2000, [(BTC, 88)]), (3000, [(BTC, 87)])]
    return _example("example-e", account_partitions, openings, marks, trouble=partial(ScriptedTrouble, cuts))
