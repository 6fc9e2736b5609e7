"""A fault that somebody plants in a run shows as a lasting alarm, and the alarm ends when the fault is healed."""

import asyncio
from collections.abc import Iterator
from functools import partial
from itertools import count
from typing import Any

import pytest

from streams.bus.memory import MemoryBus
from streams.domain.events import InstrumentKind, MarginMode, PositionSide, PriceRule, RankPolicy, Role, UpdateKind
from streams.domain.instruments import Instrument, Pool, Tier
from streams.engine.lockstep import LockStep, Progress
from streams.engine.shard import RunnerOptions, ShardRunner
from streams.engine.task import TaskSpec
from streams.observe.metrics import Metrics
from streams.observe.shards import ShardObserver
from streams.tasks import machine_for
from streams.topics import TOPICS, partition_count
from streams.venue.depth import DepthSpec
from streams.venue.exchange import Exchange
from streams.venue.scenarios.scenario import Leg, Mark, Opening, Scenario, Timed, Trade

SECOND_US = 1_000_000
PARTITIONS, SECONDS, PLANTED_AT, HEALED_AT = 4, 40, 5, 20
BUYER, SELLER, FUND, MAKER = 1, 2, 31, 41
INSTRUMENT = Instrument(1, "I1", 1, InstrumentKind.LINEAR, 1, 1, 1, 10**6, 10**9, (Tier(0, 50_000, 0),))
POOL = Pool(
    1, 1, 1, FUND, RankPolicy.BITMEX, PriceRule.BANKRUPTCY, 1, None, -(2**50), 2**50, warning_ratio_ppm=0, instruction_valid_us=SECOND_US
)  # fmt: skip


def trading(_: Any) -> Iterator[Timed]:
    """Every second a trade of another size, then a mark that ends the second before."""
    for second in range(1, SECONDS):
        yield second * SECOND_US, [Mark(1, 100, 100)]
        legs = Leg(BUYER, PositionSide.ONE_WAY), Leg(SELLER, PositionSide.ONE_WAY)
        yield second * SECOND_US + 500_000, [Trade(1, second, 100, *legs)]


def scenario() -> Scenario:
    openings = tuple(
        Opening(account, role, 10**7) for account, role in ((BUYER, Role.USER), (SELLER, Role.USER), (FUND, Role.FUND), (MAKER, Role.MAKER))
    )
    return Scenario(
        name="planted", account_partitions=PARTITIONS, start_us=1_000, instruments=(INSTRUMENT,), pools=(POOL,), openings=openings,
        depth={1: DepthSpec(0, 1, 1, 0)}, makers={1: MAKER}, script=partial(trading),
    )  # fmt: skip


class OffByOne:
    """The exchange, but it tells the buyer one lot too many, once; later it states the buyer anew, as its own book has it."""

    def __init__(self, exchange: Exchange, *, heals: bool) -> None:
        self.exchange, self.heals = exchange, heals
        self.planted = self.healed = False
        self.shift = 0  # of the buyer's numbers, by the records that were put in

    def accept(self, instruction_rows: list[dict[str, Any]]) -> None:
        self.exchange.accept(instruction_rows)

    def next_records(self) -> list[Any] | None:
        records = self.exchange.next_records()
        if records is None:
            return None
        mine = [(partition, row) for stream, partition, row in records if stream == "fills" and row["account"] == BUYER]
        for partition, row in mine:
            row["account_seq"] += self.shift
            if not self.planted and row["event_time_us"] > PLANTED_AT * SECOND_US:
                row["lots"], row["price_ticks"], self.planted = row["lots"] + 1, None, True  # with a price it would contradict itself
            if self.heals and not self.healed and row["event_time_us"] > HEALED_AT * SECOND_US:
                self.healed, self.shift = True, 2
                records = [*records, *self.snapshot(partition, row)]
        return records

    def snapshot(self, partition: int, after: dict[str, Any]) -> Iterator[tuple[str, int, dict[str, Any]]]:
        lots = self.exchange.book.lots[BUYER, 1, int(PositionSide.ONE_WAY)]
        common = {
            "event_time_us": after["event_time_us"], "account": BUYER, "kind": int(UpdateKind.SNAPSHOT), "asset": 1, "parts": 2,
            "role": int(Role.USER), "instruction_id": None, "counter_account": None, "wallet_after": None, "instrument": None,
            "position_side": None, "lots": None, "cost": None, "margin_mode": None,
        }  # fmt: skip
        wallet = {"part": 0, "amount": self.exchange.book.cash[BUYER, None, None] + 100 * lots}
        held = {
            "part": 1,
            "amount": 0,
            "instrument": 1,
            "position_side": after["position_side"],
            "lots": lots,
            "cost": 100 * lots,
            "margin_mode": int(MarginMode.CROSS),
        }
        for number, part in enumerate((wallet, held), 1):
            yield "account-updates", partition, common | part | {"update_id": 10**6 + number, "account_seq": after["account_seq"] + number}


async def play(heals: bool) -> list[tuple[str, ...]]:
    """What lasts after each event time: the alarms, by name and what they are about."""
    bus, metrics, shown = MemoryBus(), Metrics(), list[tuple[str, ...]]()
    venue, ticks = OffByOne(Exchange(scenario()), heals=heals), count()
    observer = ShardObserver(metrics, clock=lambda: float(next(ticks)))
    await bus.create_topics({topic: partition_count(topic, account_partitions=PARTITIONS, shards=2) for topic in TOPICS})
    specs = [TaskSpec("accounts", 0, 2, PARTITIONS, "t"), TaskSpec("accounts", 1, 2, PARTITIONS, "t"), TaskSpec("pools", 0, 2, PARTITIONS, "t")]
    options = RunnerOptions(patience_ms=None)
    runners = [ShardRunner(bus, spec, observer.watch(machine_for), owner="t", observer=observer, options=options) for spec in specs]
    for runner in runners:
        await runner.start()
        observer.on_started(runner.spec)

    def look(_: Progress) -> None:
        samples = [sample for family in metrics.registry.collect() for sample in family.samples if sample.name == "backstop_lasting_alarms"]
        shown.append(tuple(sorted(f"{sample.labels['alarm']} {sample.labels['of']}" for sample in samples)))

    await LockStep(bus, runners, venue, on_progress=look).run()
    assert venue.planted
    return shown


@pytest.mark.parametrize("heals", [True, False])
def test_a_lot_too_many_lasts_as_an_alarm_until_the_account_is_stated_anew(heals: bool) -> None:
    shown = asyncio.run(play(heals))
    violated = [index for index, lasting in enumerate(shown) if lasting]
    assert {lasting for lasting in shown if lasting} == {("conservation_violated asset 1",)}
    # Event times: the opening, then two a second: second n's mark is number 2n - 1. The lot comes behind the mark of second 5, the seventh second
    # that has it ends with the mark of second 12. The account is stated anew behind the mark of second 20, which that of 21 shows.
    assert violated == list(range(2 * 12 - 1, 2 * 21 - 1 if heals else len(shown)))
