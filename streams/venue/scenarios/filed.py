"""A scenario from a file: its tables as instruments, pools, accounts, depth and a script, everything exact in settlement units, lots and ticks.

Every mistake is told with the line it stands in and with what to do about it.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from streams.domain.events import InstrumentKind, MarginMode, PositionSide, Role
from streams.domain.instruments import Instrument, Pool, maintenance_amounts, parse_instrument, parse_pool
from streams.domain.money import MAX_ACCOUNT, MAX_VALUE
from streams.venue.depth import DepthSpec
from streams.venue.scenarios.file_script import FileTrouble, play, rules_of, timeline
from streams.venue.scenarios.ledger import Ledger
from streams.venue.scenarios.places import Keys, Source, read_source
from streams.venue.scenarios.pool_keys import PARAMETERS, default_of, symbol_of, value_of
from streams.venue.scenarios.scenario import USD, Opening, OpeningPosition, Scenario, Wording
from streams.venue.scenarios.tables import AccountTable, InstrumentTable, PositionTable, read_tables
from streams.venue.scenarios.units import Number, exact, plain, share_ppm, whole

MAX_DECIMALS = 9
MAX_MARK_FACTOR = 2  # where no highest price is given: twice the highest in the file
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_START = datetime(2025, 1, 1, tzinfo=UTC)


def load(path: Path, account_partitions: int) -> Scenario:
    """The scenario in a file. Raises UsageProblem."""
    return scenario_of(read_source(path), path.name, account_partitions)


def scenario_of(source: Source, name: str, account_partitions: int) -> Scenario:
    """The scenario in a document."""
    tables = read_tables(source)
    of = Ledger(source, tables)
    if not 0 <= tables.decimals <= MAX_DECIMALS:
        raise source.mistake(("decimals",), f"{tables.decimals} decimals are impossible; give 0 to {MAX_DECIMALS}")
    of.unit = Fraction(1, 10**tables.decimals)
    start = tables.start or _START
    of.start_us = ((start if start.tzinfo else start.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1)
    _number_accounts(of)
    _number_instruments(of)
    pools = _pools(of)
    instruments = [_instrument(of, index, table) for index, table in enumerate(tables.instruments)]
    openings = [_opening(of, index, table, instruments) for index, table in enumerate(tables.accounts)]
    _check_sums(of, openings)
    return Scenario(
        name=name, account_partitions=account_partitions, start_us=of.start_us, instruments=tuple(instruments), pools=pools, openings=tuple(openings),
        depth={n: _depth(of, i, t) for i, (n, t) in enumerate(_numbered(of))}, makers={n: _maker(of, i, t) for i, (n, t) in enumerate(_numbered(of))},
        script=partial(play, timeline(of)), trouble=partial(FileTrouble, rules_of(of)), units=10**tables.decimals,
        wording=Wording(tables.about, tables.currency, {n: a for a, n in of.accounts.items()}, dict(of.lots), dict(of.ticks)),
    )  # fmt: skip


def _numbered(of: Ledger) -> list[tuple[int, InstrumentTable]]:
    return [(of.instruments[table.symbol], table) for table in of.tables.instruments]


def _number_accounts(of: Ledger) -> None:
    """Numbers as given; the others get the smallest that are free, in the order of the file."""
    taken = {table.number for table in of.tables.accounts if table.number is not None}
    free = (number for number in range(1, MAX_ACCOUNT) if number not in taken)
    for index, table in enumerate(of.tables.accounts):
        of.new(("accounts", index, "name"), of.accounts, table.name, "account")
        number = next(free) if table.number is None else table.number
        if not 0 < number < MAX_ACCOUNT or number in of.accounts.values():
            raise of.source.mistake(("accounts", index, "number"), f"number {number} is taken or impossible; give another, or none")
        of.accounts[table.name] = number


def _number_instruments(of: Ledger) -> None:
    for index, table in enumerate(of.tables.instruments):
        keys: Keys = ("instruments", index)
        of.new((*keys, "symbol"), of.instruments, table.symbol, "instrument")
        number = of.instruments[table.symbol] = index + 1
        for name, given, into in (("tick", table.tick, of.ticks), ("lot", table.lot, of.lots)):
            into[number] = of.at((*keys, name), exact, given)
            if into[number] <= 0:
                raise of.source.mistake((*keys, name), f"a {name} of {given} is impossible; give more than 0")


def _pools(of: Ledger) -> tuple[Pool, ...]:
    wallets = {table.name: (index, table) for index, table in enumerate(of.tables.accounts)}
    made: list[Pool] = []
    for index, table in enumerate(of.tables.pools):
        keys: Keys = ("pools", index)
        unknown = next((key for key in table if key not in ("name", "fund", *PARAMETERS)), None)
        if unknown is not None:
            raise of.source.mistake((*keys, unknown), f"`{unknown}` is not known here; known are {', '.join(sorted(('name', 'fund', *PARAMETERS)))}")
        name, fund = table.get("name", "main"), table.get("fund")
        if not isinstance(name, str) or not isinstance(fund, str):
            key = "name" if not isinstance(name, str) else "fund"
            raise of.source.mistake((*keys, key), f"`{key}` is missing or no text; a pool names itself and, as `fund`, the account of its fund")
        of.new((*keys, "name"), of.pools, name, "pool")
        account = of.named((*keys, "fund"), of.accounts, fund, "account")
        at, holder = wallets[fund]
        if holder.role != Role.FUND.name or account in (pool.fund_account for pool in made):
            raise of.source.mistake((*keys, "fund"), f"account {fund!r} is not the fund of this pool alone; name one of role FUND")
        of.pools[name] = number = index + 1
        cash = of.money(("accounts", at, "wallet"), holder.wallet, is_signed=True)
        made.append(_pool(of, keys, table, PoolIds(number, account, cash)))
    return tuple(made)


@dataclass(frozen=True, slots=True)
class PoolIds:
    """Number of a pool, account of its fund, and the money in it."""

    number: int
    fund_account: int
    cash: int


def _pool(of: Ledger, keys: Keys, table: dict[str, Any], ids: PoolIds) -> Pool:
    values: dict[str, Any] = {}
    for key, parameter in PARAMETERS.items():
        if key in table:
            values[parameter.name] = of.at((*keys, key), value_of, key, table[key], partial(of.money, (*keys, key), is_signed=True))
        else:
            values[parameter.name] = default_of(key, 10**of.tables.decimals, ids.cash)
    pool = Pool(pool=ids.number, version=1, asset=USD, fund_account=ids.fund_account, **values)
    refused = parse_pool(asdict(pool))
    if not isinstance(refused, Pool):
        raise of.source.mistake(keys, f"this pool would be refused: {refused[1]}; correct it")
    return pool


def _instrument(of: Ledger, index: int, table: InstrumentTable) -> Instrument:
    keys: Keys = ("instruments", index)
    number = of.instruments[table.symbol]
    worth = of.ticks[number] * of.lots[number] / of.unit
    if worth.denominator != 1:
        what = f"a tick of {table.tick} on a lot of {table.lot} is worth {plain(worth * of.unit)}, less than the smallest unit of the currency"
        raise of.source.mistake((*keys, "tick"), f"{what}; give more `decimals`, or a larger tick or lot")
    if table.max_price is None:
        max_mark = MAX_MARK_FACTOR * max([1, *(-(-price // of.ticks[number]) for price in _prices(of, table.symbol))])
    else:
        max_mark = of.positive((*keys, "max_price"), table.max_price, of.ticks[number], "ticks")
    if table.max_position is None:
        max_lots = MAX_VALUE // (max_mark * worth.numerator)
    else:
        max_lots = of.positive((*keys, "max_position"), table.max_position, of.lots[number], "lots")
    instrument = Instrument(
        instrument=number, symbol=table.symbol, version=1, kind=InstrumentKind.LINEAR, asset=USD, pool=_pool_of(of, keys, table),
        value_per_tick_lot=worth.numerator, max_mark_ticks=max_mark, max_lots=max_lots,
        tiers=maintenance_amounts(_tiers(of, (*keys, "maintenance"), table)),
    )  # fmt: skip
    refused = parse_instrument(asdict(instrument))
    if not isinstance(refused, Instrument):
        raise of.source.mistake(keys, f"this instrument would be refused: {refused[1]}; correct it")
    return instrument


def _tiers(of: Ledger, keys: Keys, table: InstrumentTable) -> list[tuple[int, int]]:
    tiers: list[tuple[int, int]] = []
    for n, given in enumerate(table.maintenance):
        tier = (of.money((*keys, n, "above"), given.above), of.at((*keys, n, "rate"), share_ppm, given.rate))
        if tier[0] <= tiers[-1][0] or tier[1] < tiers[-1][1] if tiers else tier[0]:
            raise of.source.mistake((*keys, n), "tiers begin at 0 and ascend, in `above` and in `rate`; order them")
        tiers.append(tier)
    return tiers


def _prices(of: Ledger, symbol: str) -> list[Fraction]:
    """Every price of an instrument in the file that can be read; one that cannot is told of where it is used."""
    given: list[Number | None] = [p.entry for account in of.tables.accounts for p in account.positions if p.instrument == symbol]
    for event in of.tables.events:
        given += [event.marks.get(symbol), *(trade.price for trade in event.trades if trade.instrument == symbol)]
    prices = []
    for price in given:
        try:
            prices += [] if price is None else [exact(price)]
        except ValueError:
            continue
    return prices


def _pool_of(of: Ledger, keys: Keys, table: InstrumentTable) -> int:
    if table.pool is None and len(of.pools) == 1:
        return next(iter(of.pools.values()))
    return of.named((*keys, "pool"), of.pools, table.pool or "", "pool")


def _depth(of: Ledger, index: int, table: InstrumentTable) -> DepthSpec:
    """A market without depth takes nothing."""
    keys, depth = ("instruments", index, "depth"), table.depth
    if depth is None:
        return DepthSpec(step_ppm=0, level_lots=1, levels=0, refill_lots_per_second=0)
    lot = of.lots[of.instruments[table.symbol]]
    if depth.levels < 0:
        raise of.source.mistake((*keys, "levels"), f"{depth.levels} levels are impossible; give 0 or more")
    step, refill = of.at((*keys, "step"), share_ppm, depth.step), of.at((*keys, "refill"), whole, depth.refill, lot, "lots")
    if min(step, refill) < 0:
        raise of.source.mistake(keys, "`step` or `refill` is below zero; give 0 or more")
    return DepthSpec(
        step_ppm=step, level_lots=of.positive((*keys, "size"), depth.size, lot, "lots"), levels=depth.levels, refill_lots_per_second=refill
    )


def _maker(of: Ledger, index: int, table: InstrumentTable) -> int:
    """The account behind the depth; where there is none, the pool's fund stands in for an account that never trades."""
    if table.depth is None:
        pool = of.tables.pools[_pool_of(of, ("instruments", index), table) - 1]
        return of.accounts[pool["fund"]]
    return of.named(("instruments", index, "depth", "maker"), of.accounts, table.depth.maker, "account")


def _opening(of: Ledger, index: int, table: AccountTable, instruments: list[Instrument]) -> Opening:
    keys: Keys = ("accounts", index)
    role = of.at((*keys, "role"), symbol_of, Role, table.role)
    wallet = of.money((*keys, "wallet"), table.wallet, is_signed=True)
    positions: list[OpeningPosition] = []
    for number, given in enumerate(table.positions):
        place: Keys = (*keys, "positions", number)
        position = _position(of, place, given, instruments, name=table.name)
        sides = [p.side for p in positions if p.instrument == position.instrument]
        if position.side in sides or (sides and PositionSide.ONE_WAY in (*sides, position.side)):
            raise of.source.mistake(place, f"a second position in {given.instrument}; join them, or give the sides LONG and SHORT")
        positions.append(position)
    return Opening(of.accounts[table.name], role, wallet, tuple(positions))


def _position(of: Ledger, keys: Keys, given: PositionTable, instruments: list[Instrument], *, name: str) -> OpeningPosition:
    number = of.named((*keys, "instrument"), of.instruments, given.instrument, "instrument")
    lots = of.size((*keys, "size"), given.size, number)
    side = of.at((*keys, "side"), symbol_of, PositionSide, given.side)
    of.is_hedged[of.accounts[name], number] = side != PositionSide.ONE_WAY
    if lots == 0 or abs(lots) > instruments[number - 1].max_lots:
        limit = plain(instruments[number - 1].max_lots * of.lots[number])
        raise of.source.mistake((*keys, "size"), f"a size of {given.size} is impossible; give one up to {limit}, below zero for a short")
    if (side == PositionSide.LONG and lots < 0) or (side == PositionSide.SHORT and lots > 0):
        raise of.source.mistake((*keys, "size"), f"a size of {given.size} on the side {side.name}; a long is above zero and a short below")
    if (given.entry is None) == (given.cost is None):
        raise of.source.mistake(keys, "a position has an `entry` price or a `cost`; give one of the two")
    return OpeningPosition(number, side, lots, _cost(of, keys, given, lots * of.lots[number]), _bucket(of, keys, given))


def _cost(of: Ledger, keys: Keys, given: PositionTable, size: Fraction) -> int:
    """Signed as the size."""
    if given.cost is not None:
        cost = of.money((*keys, "cost"), given.cost) * (1 if size > 0 else -1)
    else:
        price = of.at((*keys, "entry"), exact, given.entry)
        cost = of.at((*keys, "entry"), whole, price * size, of.unit, "the smallest units")
        if price < 0:
            raise of.source.mistake((*keys, "entry"), f"{given.entry} is below zero; give a price")
    if abs(cost) > MAX_VALUE:
        raise of.source.mistake(keys, f"the position is worth more than {plain(MAX_VALUE * of.unit)}; give a smaller one")
    return cost


def _bucket(of: Ledger, keys: Keys, given: PositionTable) -> int | None:
    default = MarginMode.CROSS if given.margin is None else MarginMode.ISOLATED
    mode = default if given.margin_mode is None else of.at((*keys, "margin_mode"), symbol_of, MarginMode, given.margin_mode)
    if mode != default:
        raise of.source.mistake((*keys, "margin_mode"), "an ISOLATED position has a `margin` and a CROSS one has none; correct one of the two")
    return None if given.margin is None else of.money((*keys, "margin"), given.margin)


def _check_sums(of: Ledger, openings: list[Opening]) -> None:
    """For every long there is a short."""
    for index, (number, table) in enumerate(_numbered(of)):
        size = sum((p.lots for opening in openings for p in opening.positions if p.instrument == number), 0) * of.lots[number]
        if size:
            what = f"the positions in {table.symbol} add up to {plain(size)}, and every long has its short"
            raise of.source.mistake(("instruments", index), f"{what}; let an account hold {plain(-size)} more")
