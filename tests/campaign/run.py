"""One round of a campaign: a fresh deployment on the campaign's broker, workers, an exchange, a deck of faults; then rest, and the judgement."""

import asyncio
import json
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from streams.bus.contract import TopicPartition
from streams.bus.kafka import KafkaBus
from streams.bus.recording import record
from streams.commands.broker import kafka_bus, wanted_topics
from streams.engine.chunks import read_all
from streams.settings import EngineSettings, KafkaSettings, Settings
from streams.topics import FOREVER_MS, TOPICS
from streams.venue.exchange import Exchange
from streams.venue.scenarios.registry import build
from streams.venue.scenarios.scenario import Scenario
from streams.worker.engine import every_shard
from tests.campaign.evidence import judged
from tests.campaign.exchange import Driver
from tests.campaign.faults import KINDS, RECOVER_SECONDS, Broker, Fault, Keeper, Storm, draw
from tests.simulation.market import scenario_of
from tests.simulation.options import draw as draw_options
from tests.support.pipeline import run as run_in_memory
from tests.support.workers import fleet

ROUND_SECONDS = 900.0  # far beyond any round: the liveness of each fault is judged by itself
LONGEST_PAUSE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Round:
    """Everything about a round but the timing of processes, which no seed can fix."""

    seed: int
    number: int
    lockstep: bool
    scenario: str
    shards: int
    partitions: int
    workers: int
    standby: bool
    pace_s: float
    patience_ms: int
    snapshot_every: int
    kinds: tuple[str, ...] = KINDS

    def deck(self) -> list[Fault]:
        """Its faults."""
        return draw(random.Random(f"faults {self.seed} {self.number}"), self.kinds)

    def build(self) -> Scenario:
        """What happens at the exchange."""
        if self.scenario == "cascade":
            return build("cascade", 40, self.seed, self.partitions)
        options = draw_options(self.seed * 1_000 + self.number)
        return scenario_of(replace(options, scenario="crash", steps=120, partitions=self.partitions, accounts=30))

    def __str__(self) -> str:
        kind = "lock-step" if self.lockstep else f"open, {self.pace_s * 1000:.0f} ms a turn, patience {self.patience_ms} ms"
        return f"round {self.number} of seed {self.seed}: {self.scenario}, {kind}, {self.workers} workers{' with standbys' if self.standby else ''}"


@dataclass(slots=True)
class Verdict:
    """What came of a round."""

    round: Round
    problems: list[str] = field(default_factory=list)
    fired: list[Fault] = field(default_factory=list)
    recovered: list[tuple[str, float]] = field(default_factory=list)
    turns: int = 0
    records: int = 0
    in_doubt: int = 0
    workers: int = 0
    unreachable: int = 0  # of them ended because the broker did not answer
    seconds: float = 0.0


def draw_round(seed: int, number: int) -> Round:
    """Rounds alternate between lock-step and an open exchange."""
    dice = random.Random(f"round {seed} {number}")
    lockstep = number % 2 == 0
    return Round(
        seed=seed,
        number=number,
        lockstep=lockstep,
        scenario=dice.choice(("cascade", "crash")),
        shards=2,
        partitions=4,
        workers=dice.choice((2, 2, 3)),
        standby=dice.random() < 0.4,
        pace_s=dice.choice((0.02, 0.05, 0.1)),
        patience_ms=LONGEST_PAUSE_MS if lockstep else dice.choice((50, 500)),
        snapshot_every=dice.choice((60, 300)),
    )


async def play(plan: Round, broker: Broker, directory: Path, say: Callable[[str], None]) -> Verdict:
    """Play a round and judge it. The directory gets what the workers said and, where something is wrong, the log."""
    engine = EngineSettings(
        deployment=f"c{uuid.uuid4().hex[:10]}",
        shards=plan.shards,
        account_partitions=plan.partitions,
        data_dir=directory,
        snapshot_every=plan.snapshot_every,
        patience_ms=plan.patience_ms,
        in_turns=plan.lockstep,
        epoch=0 if plan.lockstep else None,  # its decisions, ids included, are held against those of a run in memory
        session_timeout_ms=2_000,
        fence_pause_ms=100,
    )
    settings = Settings(kafka=KafkaSettings(bootstrap_servers=broker.address), engine=engine)

    def open_bus() -> KafkaBus:
        return kafka_bus(settings)

    verdict, specs, exchange, began = Verdict(plan), every_shard(settings), Exchange(plan.build()), time.monotonic()
    await _found(settings, open_bus)
    driver = Driver(
        open_bus,
        specs,
        exchange,
        random.Random(f"pace {plan.seed} {plan.number}"),
        lockstep=plan.lockstep,
        pace_s=plan.pace_s,
        is_ahead=lambda one: one.turn > 8 + 160 * storm.share and storm.share < 1.0,
    )
    async with fleet(settings, *(("--standby",) if plan.standby else ())) as workers:
        keeper = Keeper(workers, broker, plan.workers)
        storm = Storm(settings, plan.deck(), broker, keeper, driver, say)
        await _weather(keeper, driver, storm, verdict)
        for worker in keeper.alive:
            keeper.dismiss(worker)
        for worker in workers.workers:
            await worker.ended()
        keeper.look()
        verdict.workers, verdict.unreachable = len(workers.workers), keeper.ended
    verdict.problems += [*keeper.problems, *storm.problems]
    verdict.fired, verdict.recovered = storm.fired, storm.recovered
    verdict.turns, verdict.records = driver.turn, driver.counts.written.total()
    verdict.in_doubt = driver.publisher.in_doubt
    expected = (await asyncio.to_thread(_undisturbed, plan)) if plan.lockstep else None
    verdict.problems += await judged(open_bus, settings, specs, exchange, expected)
    verdict.seconds = time.monotonic() - began
    if verdict.problems:
        await _keep(open_bus, directory / "log")
    for number, worker in enumerate(workers.workers):
        said = [*(json.dumps(line) for line in worker.lines), *(text.rstrip() for text in worker.other)]
        (directory / f"worker-{number}.log").write_text("\n".join(said) + "\n")
    return verdict


async def _found(settings: Settings, open_bus: Callable[[], KafkaBus]) -> None:
    """Create the topics, none of which forgets: scripts happen in the past, and a broker ages records by their own time."""
    bus, admin = open_bus(), AIOKafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap_servers)
    await admin.start()
    try:
        await bus.create_topics(wanted_topics(settings))
        topics = [bus.topic(topic.name) for topic in TOPICS.values() if topic.retention_ms != FOREVER_MS]
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": "-1"}) for topic in topics])
    finally:
        await admin.close()
        await bus.close()


async def _weather(keeper: Keeper, driver: Driver, storm: Storm, verdict: Verdict) -> None:
    """Until the deck is through and the exchange has nothing left, or one of them fails."""
    keeping, playing = asyncio.create_task(keeper.run()), asyncio.create_task(driver.run())
    storming = asyncio.create_task(storm.run())
    every = [keeping, playing, storming]
    try:
        async with asyncio.timeout(ROUND_SECONDS):
            await asyncio.wait([keeping, storming], return_when=asyncio.FIRST_COMPLETED)
            async with asyncio.timeout(3 * RECOVER_SECONDS):
                await asyncio.wait([keeping, playing], return_when=asyncio.FIRST_COMPLETED)
    except TimeoutError:
        verdict.problems.append(f"liveness: not at rest after the last fault: {'; '.join(driver.counts.lagging()[:3]) or 'the script goes on'}")
    finally:
        for task in every:
            task.cancel()
        results = await asyncio.gather(*every, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


def _undisturbed(plan: Round) -> list[bytes]:
    """The decisions of the same round in memory, with nothing happening to it."""
    ran = run_in_memory(plan.build(), shards=plan.shards)

    async def read() -> list[bytes]:
        chunks = [await read_all(ran.bus, TopicPartition("instructions", partition)) for partition in range(plan.partitions)]
        return sorted(value or b"" for chunk in chunks for value in chunk.values)

    return asyncio.run(read())


async def _keep(open_bus: Callable[[], KafkaBus], directory: Path) -> None:
    bus = open_bus()
    try:
        await record(bus, directory)
    finally:
        await bus.close()
