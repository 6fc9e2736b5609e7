"""One race: the simulated exchange, the real shards on the memory bus, each reading and stepping when chance says so; from the seed alone.

What the exchange says is in the log at once and in its order; who reads what when is chance. It answers instructions when chance says so, between
and after its own events. Beside the run stands the exchange's book at every event time, for the judge.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any
from unittest.mock import patch

from structlog.testing import capture_logs

from streams.bus.contract import Chunk
from streams.bus.memory import MemoryBus, MemoryReader
from streams.domain.alarms import Alarm
from streams.domain.events import (
    AdlWhen,
    InstructionKind,
    InstrumentKind,
    LatePolicy,
    PositionSide,
    PriceRule,
    RankPolicy,
    Role,
    RoomFloor,
    UpdateKind,
)
from streams.domain.instruments import Instrument, Pool, Tier
from streams.engine.chunks import read_stream
from streams.engine.lockstep import InstructionFeed, settle
from streams.engine.machine import Machine
from streams.engine.shard import RunnerOptions, ShardRunner
from streams.engine.snapshot import SnapshotStore
from streams.engine.task import TaskName, TaskSpec
from streams.tasks import joint_book, machine_for
from streams.topics import TOPICS, partition_count
from streams.venue.book import Book, cross
from streams.venue.depth import DepthSpec
from streams.venue.exchange import Exchange
from streams.venue.records import Record
from streams.venue.scenarios.scenario import CashFlow, Event, Leg, Mark, Opening, OpeningPosition, Scenario, Timed, Trade, wanted_lots
from streams.wire.codec import codec
from streams.wire.records import new_record
from tests.support.directories import fast_directory

ONE_WAY = PositionSide.ONE_WAY
FUND, MAKER, HOUSE, FIRST = 31, 41, 51, 100
PARTITIONS = 4
START_US = 1_000_000
STEP_US = 10_000
BASE_TICKS = {1: 1_000, 2: 400}
RATE_PPM = 50_000
JUMPS = (55, 70, 85, 92, 97, 100, 100, 103, 108, 118, 135)  # hundredths of the base price
IN_ORDER = True  # accounts shards take their inputs in the order of event time
SNAPSHOT_EVERY = (5, 10, 20, 20, 20, 20, 20, 20, 40, 10**9)  # records; with the last a shard that died runs everything again
WHOLE_POLL = MemoryReader.poll
JUDGED = ("marks", "insolvencies", "adl-probes", "adl-decisions", "adl-executions", "account-states", "instructions")  # what the checks look at
CALM_MARKS = 12  # marks that stand still at the end, so that everything can be finished
REFUSABLE = (InstructionKind.LIQUIDATE, InstructionKind.TAKEOVER, InstructionKind.ADL, InstructionKind.UNWIND, InstructionKind.COVER)


@dataclass(frozen=True, slots=True)
class Restate:
    """The exchange states an account anew by a SNAPSHOT, in the middle of everything."""

    account: int


class Racing(Exchange):
    """An exchange that answers when chance says so, and keeps its book of every event time."""

    def __init__(self, scenario: Scenario, random: Random) -> None:
        super().__init__(scenario)
        self._random = random
        self.calm_us = 0
        self.books: dict[int, tuple[dict[Any, int], dict[Any, int], dict[int, int]]] = {}  # time -> (cash, lots, marks)
        self.own_trades: list[tuple[int, int, int]] = []  # (time, account, instrument): what its owner did, or a SNAPSHOT
        self.withdrawals: list[tuple[int, int]] = []  # (time, account)
        self.outcomes: dict[tuple[int, int], tuple[int, int]] = {}  # (instruction, account) -> (time, outcome)

    @property
    def is_calm(self) -> bool:
        """Whether only the marks at the end are left, which everybody sees at once."""
        return self._recorder.time_us > self.calm_us

    def next_records(self) -> list[Record] | None:
        """As the exchange's, but a script's event may overtake answers."""
        held, self._pending = self._pending, []
        if self._random.random() < 0.6 or not held:
            self._pending, held = held, []
        said = super().next_records()
        if said is None and held:
            self._pending, held = held, []
            said = super().next_records()
        for entry in held:
            self._pending.append(entry)
        self._pending.sort()
        if said is not None:
            self._note(said)
        return said

    def _note(self, said: list[Record]) -> None:
        time_us = self._recorder.time_us
        self.books[time_us] = dict(self.book.cash), dict(self.book.lots), dict(self.book.marks)
        for stream, _, row in said:
            if (stream == "fills" and row["instruction_id"] is None) or (
                stream == "account-updates" and row["kind"] == UpdateKind.SNAPSHOT and row["instrument"] is not None and time_us > START_US
            ):
                self.own_trades.append((time_us, row["account"], row["instrument"]))
            elif stream == "account-updates" and row["kind"] == UpdateKind.WITHDRAWAL:
                self.withdrawals.append((time_us, row["account"]))
            elif stream == "instruction-results":
                self.outcomes[row["instruction_id"], row["account"]] = (time_us, row["outcome"])

    def _happen(self, event: Any) -> None:
        if not isinstance(event, Restate):
            super()._happen(event)
            return
        account = event.account
        parts: list[dict[str, Any]] = [{"amount": self.book.cash.get(cross(account), 0)}]
        for key, lots in sorted(self.book.lots.items()):
            if key[0] == account and (lots or (self.book.group(key) != cross(account) and self.book.cash.get(key, 0))):
                mode = self.book.mode(key)
                bucket = 0 if self.book.group(key) == cross(account) else self.book.cash.get(key, 0)
                parts.append({
                    "amount": bucket, "instrument": key[1], "position_side": key[2], "lots": lots, "cost": 0, "margin_mode": int(mode),
                })  # fmt: skip
        self._poster.snapshot(account, Role.USER, parts)


class Refusing:
    """A gateway that rejects, or cuts, some of what it could do; nothing of it in the calm at the end."""

    def __init__(self, random: Random, until_us: int) -> None:
        self._random, self._until_us = random, until_us

    def __call__(self, instruction: Any, time_us: int) -> int | None:
        """Draw."""
        draw, wanted = self._random.random(), wanted_lots(instruction)
        if time_us >= self._until_us or instruction["kind"] not in REFUSABLE or draw > 0.25:
            return wanted
        return None if draw < 0.15 or wanted < 2 or instruction["kind"] == InstructionKind.COVER else 1 + self._random.randrange(wanted - 1)


def scenario_of(seed: int, steps: int, accounts: int) -> Scenario:
    """A small market whose marks gap and rebound."""
    random = Random(f"races {seed}")
    numbers = (1, 2)[: random.choice((1, 2, 2))]
    instruments = tuple(
        Instrument(n, f"I{n}", 1, InstrumentKind.LINEAR, 1, 1, 10, 10**6, 10**6, (Tier(0, RATE_PPM, 0),)) for n in numbers
    )  # fmt: skip
    pool = Pool(
        1, 1, 1, FUND, random.choice((RankPolicy.BITMEX, RankPolicy.BINANCE)),
        random.choice((PriceRule.BANKRUPTCY, PriceRule.BANKRUPTCY, PriceRule.MARK)), 1, None,
        adl_start_value=0, adl_stop_value=random.choice((10_000, 10**6)), warning_ratio_ppm=random.choice((0, 1_500_000)),
        instruction_valid_us=random.choice((50 * STEP_US, 10**9)), adl_when=random.choice((AdlWhen.INSOLVENT, AdlWhen.INSOLVENT, AdlWhen.UNPLACED)),
        room_floor=random.choice((RoomFloor.ZERO, RoomFloor.MAINTENANCE)), wave_deadline_us=10**9, wave_late=LatePolicy.GIVE_UP,
        retry_pause_us=random.choice((0, STEP_US)), retry_alarm_count=5,
    )  # fmt: skip
    depth = DepthSpec(1_000, random.choice((1, 5, 50)), 4, random.choice((10, 200)))
    end_us = START_US + steps * STEP_US
    return Scenario(
        name="races", account_partitions=PARTITIONS, start_us=START_US, instruments=instruments, pools=(pool,),
        openings=_openings(random, numbers, accounts), depth=dict.fromkeys(numbers, depth), makers=dict.fromkeys(numbers, MAKER),
        script=lambda book: _play(Random(f"script {seed}"), numbers, steps, accounts, book),
        trouble=lambda: Refusing(Random(f"trouble {seed}"), end_us),
    )  # fmt: skip


def _openings(random: Random, numbers: tuple[int, ...], accounts: int) -> tuple[Opening, ...]:
    net = dict.fromkeys(numbers, 0)
    found = []
    for n in range(accounts):
        held, wallet = [], 0
        for number in numbers:
            if random.random() < 0.75:
                lots = random.choice((-1, 1)) * random.randrange(1, 40)
                cost = lots * BASE_TICKS[number] * 10
                margin = abs(cost) // random.choice((2, 5, 10, 15))
                isolated = random.random() < 0.3
                held.append(OpeningPosition(number, ONE_WAY, lots, cost, margin if isolated else None))
                wallet += 0 if isolated else margin
                net[number] += lots
        found.append(Opening(FIRST + n, Role.USER, wallet, tuple(held)))
    house = tuple(OpeningPosition(n, ONE_WAY, -lots, -lots * BASE_TICKS[n] * 10) for n, lots in sorted(net.items()) if lots)
    fund = Opening(FUND, Role.FUND, random.choice((0, 5_000, 100_000)))
    return (*found, fund, Opening(MAKER, Role.MAKER, 10**12), Opening(HOUSE, Role.PROVIDER, 10**12, house))


def _play(random: Random, numbers: tuple[int, ...], steps: int, accounts: int, book: Book) -> Iterator[Timed]:
    """One thing an event time: marks that gap and rebound, own orders, money in and out, restatements; then calm."""
    for step in range(1, steps + 1):
        draw = random.random()
        number, account = random.choice(numbers), FIRST + random.randrange(accounts)
        events: list[Any] = []
        if draw < 0.6 or len(book.marks) < len(numbers):
            missing = [n for n in numbers if n not in book.marks]
            number = missing[0] if missing else number
            ticks = BASE_TICKS[number] if missing else max(1, BASE_TICKS[number] * random.choice(JUMPS) // 100)
            events = [Mark(number, ticks, ticks)]
        elif draw < 0.8:
            events = _own_order(random, book, account, number)
        elif draw < 0.92:
            flat = book.equity(cross(account))
            amount = random.randrange(1, 20_000) if random.random() < 0.5 or flat < 2 else -random.randrange(1, flat)
            events = [CashFlow(UpdateKind.DEPOSIT if amount > 0 else UpdateKind.WITHDRAWAL, account, amount)]
        else:
            events = [Restate(account)]
        yield START_US + step * STEP_US, events
    for n in range(CALM_MARKS * len(numbers)):
        number = numbers[n % len(numbers)]
        yield START_US + (steps + 1 + n) * STEP_US, [Mark(number, book.marks[number], book.marks[number])]


def _own_order(random: Random, book: Book, account: int, number: int) -> list[Event]:
    key = (account, number, int(ONE_WAY))
    held = book.lots.get(key, 0)
    lots = random.choice((-held, -2 * held, -(held // 2), 3, -3)) or 1
    user, maker = Leg(account, ONE_WAY, book.mode(key)), Leg(MAKER, ONE_WAY)
    buyer, seller = (user, maker) if lots > 0 else (maker, user)
    return [Trade(number, abs(lots), book.marks[number], buyer, seller)]


@dataclass
class Race:
    """What a run left."""

    even: bool
    exchange: Racing
    bus: MemoryBus
    machines: dict[tuple[TaskName, int], Machine]
    differences: list[str]
    alarms: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


class _Heard:
    """Keeps the alarms."""

    def __init__(self) -> None:
        self.alarms: list[tuple[str, dict[str, Any]]] = []

    def on_step(self, stats: Any) -> None:
        """Nothing."""

    def on_idle(self, spec: TaskSpec) -> None:
        """Nothing."""

    def on_alarm(self, spec: TaskSpec, alarm: Alarm, facts: dict[str, Any]) -> None:
        """Keep it."""
        self.alarms.append((alarm, facts))


async def _in_place(work: Callable[..., Any], *args: Any, **named: Any) -> Any:
    """What would be a thread's work, done at once: nothing waits, and no race depends on which thread is faster."""
    return work(*args, **named)


def run(seed: int, *, steps: int = 60, accounts: int = 10, even: bool = False) -> Race:
    """One race. `even`: everybody reads everything at once, so that only the exchange's answers are late."""
    with fast_directory() as directory, patch.object(asyncio, "to_thread", _in_place), capture_logs():
        return asyncio.run(_run(seed, steps, accounts, even, SnapshotStore(directory)))


async def _run(seed: int, steps: int, accounts: int, even: bool, snapshots: SnapshotStore) -> Race:
    random = Random(f"race {seed}")
    scenario = scenario_of(seed, steps, accounts)
    bus, exchange, shards, heard = MemoryBus(), Racing(scenario, Random(f"exchange {seed}")), random.choice((1, 2, 4)), _Heard()
    machines: dict[tuple[TaskName, int], Machine] = {}
    exchange.calm_us = START_US + steps * STEP_US

    def factory(task: TaskName, shard: int, shard_count: int) -> Machine:
        machines[task, shard] = machine_for(task, shard, shard_count)
        return machines[task, shard]

    await bus.create_topics({s: partition_count(s, account_partitions=PARTITIONS, shards=shards) for s in TOPICS})
    names: list[tuple[TaskName, int]] = [*(("accounts", n) for n in range(shards)), ("pools", 0)]
    options = RunnerOptions(patience_ms=None, in_order=IN_ORDER, snapshot_every=random.choice(SNAPSHOT_EVERY))
    specs = [TaskSpec(task, shard, shards, PARTITIONS, "races") for task, shard in names]
    runners = [ShardRunner(bus, spec, factory, owner="race", snapshots=snapshots, observer=heard, options=options) for spec in specs]
    for runner in runners:
        await runner.start()
    if even:
        await _race(random, bus, exchange, runners, even=True)
    else:
        with patch.object(MemoryReader, "poll", _uneven(random)):
            await _race(random, bus, exchange, runners, even=False)
    race = Race(even, exchange, bus, machines, list(exchange.book.differences(*joint_book(machines.values()))), heard.alarms)
    race.rows = {stream: await _rows(bus, stream) for stream in JUDGED}
    return race


def _uneven(random: Random) -> Any:
    """A read returns some partitions, some records of each."""

    async def uneven(self: MemoryReader, *, max_records: int, timeout_ms: int, partitions: Any = None) -> list[Chunk]:
        there = list(self._cursors) if partitions is None else list(partitions)
        chosen = [partition for partition in there if random.random() < 0.6] or there
        count = min(max_records, random.choice((1, 2, 7, 10_000)))
        found: list[Chunk] = await WHOLE_POLL(self, max_records=count, timeout_ms=timeout_ms, partitions=chosen)
        return found

    return uneven


async def _race(random: Random, bus: MemoryBus, exchange: Racing, runners: list[ShardRunner], *, even: bool) -> None:
    writer, feed = await bus.writer("races-venue"), await InstructionFeed.open(bus)
    said = exchange.next_records()
    await writer.commit([new_record(stream, row, partition) for stream, partition, row in said or ()])
    speeds = [random.choice((1, 1, 3, 9)) for _ in runners]
    idle = 0
    while idle < 3:
        draw = random.random()
        if draw < 0.35:
            said = exchange.next_records()
            if said:
                await writer.commit([new_record(stream, row, partition) for stream, partition, row in said])
            if even or exchange.is_calm:
                await _drain(runners, feed, exchange)
            idle = idle + 1 if said is None and not await _drain(runners, feed, exchange) else 0
        elif draw < 0.9:
            n = random.randrange(len(runners))
            for _ in range(speeds[n]):
                await runners[n].turn()
        elif draw < 0.97:
            exchange.accept(await feed.read())
        else:
            await random.choice(runners).start()  # it died; memory is lost, the log is not
    await feed.close()
    await writer.close()


async def _drain(runners: list[ShardRunner], feed: InstructionFeed, exchange: Racing) -> bool:
    """Let everybody read to the end, nobody unevenly; whether that led to instructions."""
    with patch.object(MemoryReader, "poll", WHOLE_POLL):
        await settle(runners)
        rows = await feed.read()
    exchange.accept(rows)
    return bool(rows)


async def _rows(bus: MemoryBus, stream: str) -> list[dict[str, Any]]:
    """A stream's rows by event time, then place."""
    found = []
    async for chunk in read_stream(bus, stream):
        for offset, value in zip(chunk.offsets, chunk.values, strict=True):
            row = codec(stream).decode_row(value)
            found.append((row["event_time_us"], chunk.partition, offset, row))
    return [row for *_, row in sorted(found, key=lambda f: f[:3])]
