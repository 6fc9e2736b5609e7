"""The exchange of a run: the real simulated exchange with a small market of its own, on whose records the input faults fall.

It states its parameters, then opens its accounts, and waits each time until every shard has them; from then on it waits for nobody. Each
partition keeps its order; over partitions and topics there is none. It answers instructions idempotently by id.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from streams.bus.contract import NewRecord, TopicPartition
from streams.bus.simulated import Broker
from streams.domain.events import FillKind, PositionSide, PriceRule, RankPolicy, UpdateKind
from streams.venue.book import Book, cross
from streams.venue.exchange import Exchange
from streams.venue.scenarios import registry
from streams.venue.scenarios.market import FIRST_USER, MAKERS, Crowd, Market, makers_by_instrument, openings, pool
from streams.venue.scenarios.scenario import CashFlow, Event, Leg, Mark, Scenario, SeededTrouble, Timed, Trade
from streams.wire.records import new_record
from tests.simulation.decoding import row_of
from tests.simulation.options import INPUT_FAULTS, Fault, Options

SECOND_US = 1_000_000
START_US = 1_700_000_000 * SECOND_US
TAIL_MARKS = 6
MARKETS = (Market(1, "BTC", 100_000, 1_000, weight=3, is_major=True), Market(2, "ETH", 20_000, 1_000, weight=2))
LATE_STREAMS = ("fills", "account-updates", "marks", "instruction-results")


def scenario_of(options: Options) -> Scenario:
    """The market of a run."""
    if options.scenario != "crash":
        return registry.build(options.scenario, account_partitions=options.partitions)
    random = Random(f"market {options.seed}")
    markets = MARKETS[: random.choice((1, 2))]
    fund_usd = random.choice((50, 2_000, 20_000))
    rule, policy = random.choice((PriceRule.BANKRUPTCY, PriceRule.MARK)), random.choice((RankPolicy.BINANCE, RankPolicy.BITMEX))
    depth_usd = random.choice((20, 500, 5_000))
    return Scenario(
        name="crash",
        account_partitions=options.partitions,
        start_us=START_US,
        instruments=tuple(market.instrument for market in markets),
        pools=(pool(fund_usd, price_rule=rule, policy=policy),),
        openings=openings(random, markets, options.accounts, fund_usd=fund_usd, crowd=Crowd(long_share=random.choice((50, 70, 90)))),
        depth={market.number: market.depth(depth_usd, step_ppm=500, levels=8, refill_seconds=6) for market in markets},
        makers=makers_by_instrument(markets),
        script=lambda book: _play(Random(f"script {options.seed}"), markets, options, book),
        trouble=lambda: SeededTrouble(options.seed, rejected_ppm=50_000, partial_ppm=80_000, until_us=START_US + (options.steps + 1) * SECOND_US),
    )


def _play(random: Random, markets: tuple[Market, ...], options: Options, book: Book) -> Iterator[Timed]:
    """A fall by up to three fifths in gaps, trades and money between, then marks that stand still."""
    falls = {market.number: random.randrange(20, 60) for market in markets}
    for step in range(1, options.steps + TAIL_MARKS + 1):
        events: list[Event] = []
        for market in markets:
            done = min(step, options.steps)
            fall = market.base_ticks * falls[market.number] * done // (100 * options.steps)
            noise = random.randrange(-market.base_ticks // 100, market.base_ticks // 100) if step <= options.steps else 0
            events.append(Mark(market.number, market.base_ticks - fall + noise, market.base_ticks))
        touched = set(MAKERS)
        for _ in range(random.randrange(4) if 1 < step <= options.steps else 0):
            account = FIRST_USER + random.randrange(options.accounts)
            if account not in touched:
                touched.add(account)
                events += _act(random, book, account, random.choice(markets))
        yield START_US + step * SECOND_US, events


def _act(random: Random, book: Book, account: int, market: Market) -> list[Event]:
    match random.randrange(4):
        case 0:
            return [CashFlow(UpdateKind.DEPOSIT, account, 1 + random.randrange(200_000_000))]
        case _:
            key = (account, market.number, int(PositionSide.ONE_WAY))
            if any(k[0] == account and k[2] != PositionSide.ONE_WAY for k in book.lots) or book.equity(cross(account)) <= 0:
                return []
            lots = random.choice((1, 3, -1, -3, -(book.lots.get(key, 0) // 2) or 1))
            user, maker = (
                Leg(account, PositionSide.ONE_WAY, book.mode(key)),
                Leg(makers_by_instrument((market,))[market.number], PositionSide.ONE_WAY),
            )
            buyer, seller = (user, maker) if lots > 0 else (maker, user)
            return [Trade(market.number, abs(lots), max(1, book.marks[market.number]), buyer, seller)]


class Publisher:
    """Appends the exchange's records, each partition in its order and at its own time.

    Where the input faults say so: twice, with an earlier event time, or with garbage before them.
    """

    def __init__(self, broker: Broker, random: Random, options: Options, disturb: Callable[[Fault], None]) -> None:
        self._broker, self._random, self._options, self._disturb = broker, random, options, disturb
        self._queues: dict[TopicPartition, deque[NewRecord]] = {}
        self._busy: set[TopicPartition] = set()
        self._said = 0
        self._excess: list[Fault] = []  # due with the next fill that is nobody's instruction

    @property
    def is_idle(self) -> bool:
        """Whether everything is in the log."""
        return not self._busy

    def say(self, rows: list[tuple[str, int, dict[str, Any]]]) -> None:
        """Records of one event time."""
        for stream, partition, meant in rows:
            self._said, row = self._said + 1, meant
            faults = [fault for fault in self._options.faults if fault.nth == self._said and fault.kind in INPUT_FAULTS]
            self._excess += [fault for fault in faults if fault.kind == "excess"]
            faults = [fault for fault in faults if fault.kind != "excess"]
            if self._excess and stream == "fills" and row["kind"] == FillKind.TRADE:
                faults.append(self._excess.pop())
                row = {**row, "lots": row["lots"] + (1 if row["lots"] > 0 else -1), "price_ticks": None}  # which would contradict it
            for fault in faults:
                self._disturb(fault)
            late_us = sum(fault.extra for fault in faults if fault.kind == "late" and stream in LATE_STREAMS)
            record = new_record(stream, {**row, "event_time_us": max(0, row["event_time_us"] - late_us)}, partition)
            where = TopicPartition(record.topic, partition)
            queue = self._queues.setdefault(where, deque())
            queue.extend(self._garbage(record, fault.extra) for fault in faults if fault.kind == "garbage")
            queue.append(record)
            for fault in faults:
                if fault.kind == "duplicate":  # a batch of the producer, sent again because its answer was lost
                    queue.extend(list(queue)[-fault.extra :])
            self._drain_later(where)

    def _garbage(self, record: NewRecord, extra: int) -> NewRecord:
        value: bytes | None = record.value or b""
        match extra % 5:
            case 0:
                value = None
            case 1:
                value = b"\xc3\x01unknown!" + bytes(extra % 40)
            case 2:
                value = (record.value or b"")[:-1]
            case 3:
                value = b'{"event_time_us": 1}'
            case _:
                value = (record.value or b"") + b"\x00"
        return NewRecord(record.topic, record.partition, record.timestamp_ms, record.key if extra % 2 else None, value)

    def _drain_later(self, where: TopicPartition) -> None:
        if where not in self._busy:
            self._busy.add(where)
            self._broker.later(self._random.uniform(0.0002, self._options.latency_ms * 0.004), lambda: self._drain(where))

    def _drain(self, where: TopicPartition) -> None:
        self._busy.discard(where)
        queue = self._queues[where]
        if not self._broker.is_down and queue:
            self._broker.append([queue.popleft() for _ in range(self._random.randrange(1, len(queue) + 1))])
        if queue:
            self._drain_later(where)


class Trader:
    """Drives the exchange: says what happens, hears instructions."""

    def __init__(self, broker: Broker, random: Random, options: Options, disturb: Callable[[Fault], None]) -> None:
        self.exchange = Exchange(scenario_of(options))
        self.publisher = Publisher(broker, random, options, disturb)
        self.instructions: list[dict[str, Any]] = []
        self.is_over = False
        self._broker, self._random, self._options = broker, random, options
        self._positions = {TopicPartition("instructions", index): 0 for index in range(options.partitions)}

    def open(self) -> Iterator[None]:
        """Parameters, then accounts; whoever goes on to the next waits until the shards have the one before."""
        said = self.exchange.next_records() or []
        for streams in (("instruments", "pools"), ("account-updates",)):
            self.publisher.say([record for record in said if record[0] in streams])
            yield

    async def run(self) -> None:
        """For ever; `is_over` while there is nothing to say."""
        while True:
            self._hear()
            said = self.exchange.next_records()
            self.is_over = said is None
            if said:
                self.publisher.say(said)
            await asyncio.sleep(self._random.uniform(0.3, 1.7) * self._options.pace_ms / 1000)

    def _hear(self) -> None:
        heard = []
        for where, position in self._positions.items():
            if self._random.random() < 0.7 and not self._broker.is_down:
                self._positions[where], found = self._broker.logs[where].read(position, self._random.choice((1, 5, 100)))
                heard += [row_of("instructions", record.value) for _, record in found]
        self.instructions += heard
        self.exchange.accept(heard)

    @property
    def is_done(self) -> bool:
        """Everything said is in the log, and every instruction was heard."""
        heard = all(self._broker.logs[where].read(position, 1)[1] == [] for where, position in self._positions.items())
        return self.is_over and self.publisher.is_idle and heard
