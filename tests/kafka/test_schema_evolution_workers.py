"""Old and new workers share the shards of one deployment while the producer of fills moves to the second version of its schema.

An old worker is the program of this checkout. A new one is the same program with the second version in its place and the first in the archive. The
checkers of the campaign judge the log; the decisions must be those of a run in memory whose producer never moves.
"""

import asyncio
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from streams.bus.contract import TopicPartition
from streams.bus.kafka import KafkaBus
from streams.commands.broker import kafka_bus
from streams.domain.batch import Row
from streams.domain.events import DeadLetterReason
from streams.engine.chunks import read_all
from streams.engine.verify import verify_bus
from streams.settings import Settings
from streams.tasks import machine_for
from streams.venue.exchange import Exchange
from streams.venue.scenarios.registry import build
from streams.venue.scenarios.scenario import Scenario
from streams.wire import kinds, schemas
from streams.wire.codec import Codec, codec
from streams.wire.schemas import other_versions
from streams.worker.engine import every_shard
from tests.campaign.evidence import judged
from tests.support.pipeline import run as run_in_memory
from tests.support.workers import PARTITIONS, SHARDS, Fleet, Worker, fleet, load, shared_deployment, topics_of

pytestmark = pytest.mark.kafka
ALL = {"accounts-0", "accounts-1", "pools-0"}
NEW_PROGRAM = (
    "import sys; from pathlib import Path; from streams.wire import kinds, schemas; schemas.CHECKOUT = Path(sys.argv.pop(1)); "
    "from streams.cli import main; sys.exit(main())"
)


@dataclass(frozen=True, slots=True)
class Versions:
    """`schemas`: the schema directory of a new worker; `announced`: what tells an old one of the second version."""

    schemas: Path
    announced: Path


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    """The second version of a fill says where it was traded, which decides nothing."""
    new, announced = tmp_path / "new", tmp_path / "announced"
    (new / schemas.ARCHIVE).mkdir(parents=True)
    announced.mkdir()
    for path in schemas.CHECKOUT.glob("*.avsc"):
        (new / path.name).write_bytes(path.read_bytes())
    tree = json.loads(schemas.schema("fill").text)
    tree["fields"].insert(3, {"name": "venue", "type": "long", "doc": "Where it was traded.", "default": 0})
    (new / schemas.ARCHIVE / "fill.v1.avsc").write_text(schemas.schema("fill").text)
    for place in (new / "fill.avsc", announced / "fill.v2.avsc"):
        place.write_text(json.dumps(tree))
    return Versions(new, announced)


@pytest.fixture
def knows_both(versions: Versions, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process, which judges the log, reads both versions; workers it starts are told of the second."""
    monkeypatch.setenv(schemas.ANNOUNCED, str(versions.announced))
    other_versions.cache_clear()
    codec.cache_clear()
    kinds._heads.cache_clear()
    yield
    other_versions.cache_clear()
    codec.cache_clear()
    kinds._heads.cache_clear()


class MovingCodec:
    """Fills as their producer writes them: of the first version until it moves, of the second from then on."""

    def __init__(self) -> None:
        self._first = Codec("fills", schemas.schema("fill"))
        self._second = Codec("fills", other_versions("fill")[0])
        self.has_moved = False
        self.written = {False: 0, True: 0}

    def of(self, stream: str) -> Any:
        """The codec that the producer uses."""
        return self if stream == "fills" else codec(stream)

    def encode(self, rows: Sequence[Row]) -> list[bytes]:
        """Framed records."""
        self.written[self.has_moved] += len(rows)
        return self._second.encode([{**row, "venue": 7} for row in rows]) if self.has_moved else self._first.encode(rows)


@pytest.fixture
def producer(knows_both: None, monkeypatch: pytest.MonkeyPatch) -> MovingCodec:
    """What the exchange in this process writes with."""
    moving = MovingCodec()
    monkeypatch.setattr("streams.wire.records.codec", moving.of)
    return moving


@pytest.fixture
def settings(kafka_broker: str, tmp_path: Path) -> Settings:
    return shared_deployment(kafka_broker, tmp_path / "data")


@pytest.fixture
async def bus(settings: Settings) -> AsyncIterator[KafkaBus]:
    async with topics_of(settings) as bus:
        yield bus


async def old(workers: Fleet) -> Worker:
    return await workers.start()


async def new(workers: Fleet, versions: Versions) -> Worker:
    return await workers.start(program=("-c", NEW_PROGRAM, str(versions.schemas)), env={schemas.ANNOUNCED: ""})


async def unaware(workers: Fleet) -> Worker:
    """An old worker that nobody has told of the second version."""
    return await workers.start(env={schemas.ANNOUNCED: ""})


async def all_run(workers: Fleet, *some: Worker) -> None:
    """Every shard runs, each of these workers has some, and nobody has what another has."""
    await workers.until(
        lambda: (
            set().union(*(worker.running() for worker in some)) == ALL
            and all(worker.running() for worker in some)
            and sum(len(worker.running()) for worker in some) == len(ALL)
        )
    )


async def end(*some: Worker) -> None:
    for worker in some:
        worker.signal(signal.SIGTERM)
    for worker in some:
        assert await worker.ended() == 0, worker.other


def undisturbed(scenario: Scenario) -> list[bytes]:
    """The decisions of a run in memory whose producer never moves."""
    ran = run_in_memory(scenario, shards=SHARDS)

    async def read() -> list[bytes]:
        chunks = [await read_all(ran.bus, TopicPartition("instructions", number)) for number in range(PARTITIONS)]
        return sorted(value or b"" for chunk in chunks for value in chunk.values)

    return asyncio.run(read())


@pytest.fixture
def scenario() -> Scenario:
    return build("cascade", 40, 1, PARTITIONS)


@pytest.fixture
def expected(scenario: Scenario, knows_both: None) -> list[bytes]:
    return undisturbed(scenario)


async def test_shards_move_between_old_and_new_workers_while_the_producer_moves_and_nothing_is_decided_otherwise(
    bus: KafkaBus, settings: Settings, versions: Versions, scenario: Scenario, expected: list[bytes], producer: MovingCodec
) -> None:
    exchange = Exchange(scenario)
    async with fleet(settings) as workers, load(bus, settings, exchange) as venue:
        first, second = await old(workers), await new(workers, versions)
        await all_run(workers, first, second)
        await venue.more(workers, 8)
        producer.has_moved = True
        await venue.more(workers, 8)
        first.signal(signal.SIGKILL)  # the new worker runs again what the old one did, fills of both versions among it
        await all_run(workers, second)
        await venue.more(workers, 5)
        third = await old(workers)
        await all_run(workers, second, third)
        await venue.more(workers, 5)
        second.signal(signal.SIGKILL)  # and the other way round
        await all_run(workers, third)
        await venue.more(workers, 3)
        producer.has_moved = False  # one of the producers goes back
        await venue.end()
        await end(third)
    assert min(producer.written.values()) > 20
    assert await judged(lambda: kafka_bus(settings), settings, every_shard(settings), exchange, expected) == []


async def dead_letters(bus: KafkaBus) -> list[dict[str, Any]]:
    chunk = await read_all(bus, TopicPartition("dead-letters", 0))
    return [codec("dead-letters").decode_row(value) for value in chunk.values]


def impatient(settings: Settings) -> Settings:
    """Shards hold back results that speak of fills which are dead letters: the pools task goes on without them when its patience is over."""
    return settings.model_copy(update={"engine": settings.engine.model_copy(update={"patience_ms": 200})})


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on this process knows the first version only."""
    monkeypatch.setenv(schemas.ANNOUNCED, "")
    other_versions.cache_clear()
    codec.cache_clear()
    kinds._heads.cache_clear()


async def test_fills_of_a_version_nobody_has_announced_are_dead_letters_and_the_shards_go_on(
    bus: KafkaBus, settings: Settings, scenario: Scenario, producer: MovingCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = impatient(settings)
    async with fleet(settings) as workers, load(bus, settings, Exchange(scenario)) as venue:
        worker = await unaware(workers)
        await venue.more(workers, 8)
        producer.has_moved = True
        await venue.more(workers, 8)
        worker.signal(signal.SIGKILL)
        again = await unaware(workers)  # recovers over the dead letters
        await all_run(workers, again)
        await venue.more(workers, 2)
        await venue.cancel()
        await end(again)
    forget(monkeypatch)
    letters = await dead_letters(bus)
    reasons = Counter(letter["reason"] for letter in letters)
    assert reasons.pop(int(DeadLetterReason.UNKNOWN_SCHEMA)) == producer.written[True] > 0
    assert reasons.keys() <= {int(DeadLetterReason.RESULT_CONTRADICTS_FILLS)}  # of instructions whose fills nobody could read
    assert all(letter["account"] is not None for letter in letters)
    assert (await verify_bus(bus, machine_for)).difference is None


async def test_who_is_told_too_late_refuses_to_run_again_what_others_refused_and_goes_on_from_their_last_snapshot(
    bus: KafkaBus, settings: Settings, scenario: Scenario, producer: MovingCodec
) -> None:
    settings = impatient(settings)
    async with fleet(settings) as workers, load(bus, settings, Exchange(scenario)) as venue:
        worker = await unaware(workers)
        await venue.more(workers, 8)
        producer.has_moved = True
        await venue.more(workers, 8)
        worker.signal(signal.SIGKILL)
        told = await old(workers)  # reads what was a dead letter then
        await workers.until(lambda: told.events("shard_failed", task="accounts"))
        failed = told.events("shard_failed", task="accounts")[0]
        assert "run again on the same input, the machine says something else" in failed["reason"]
        told.signal(signal.SIGKILL)
        await told.ended()
        again = await unaware(workers)
        await all_run(workers, again)
        await end(again)
        letters = len(await dead_letters(bus))
        told = await old(workers)
        await all_run(workers, told)
        assert {line["origin"] for line in told.events("shard_started")} == {"snapshot"}
        await venue.more(workers, 3)
        await venue.cancel()
        await end(told)
    assert len(await dead_letters(bus)) == letters > 0
