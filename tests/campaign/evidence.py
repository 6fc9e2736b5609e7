"""What a campaign left in the broker's log, read by a plain consumer, and the judgement: the checkers of the simulation on the log of a real broker.

They see a log, step records and the exchange's own book. Added here is what only makes sense on a deployment: the engine's own verification, one
writing of each instruction, sums of the shards' totals, and the decisions of an undisturbed run where the exchange was in lock-step.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import aiokafka

from streams.bus.contract import NewRecord, TopicPartition
from streams.engine.snapshot import SnapshotStore
from streams.engine.task import TaskSpec
from streams.engine.verify import verify_bus
from streams.settings import Settings
from streams.tasks import machine_for
from streams.venue.exchange import Exchange
from streams.wire.codec import codec
from tests.campaign.exchange import OpenBus
from tests.simulation.checkers import check_log
from tests.simulation.fold import check_fold
from tests.simulation.journal import Journals
from tests.simulation.world import World


class ReadLog:
    """One partition as a reader of committed records sees it."""

    def __init__(self) -> None:
        self.offsets: list[int] = []
        self.records: list[NewRecord] = []
        self.stable = 0

    @property
    def end(self) -> int:
        """Nothing is under way any more."""
        return self.stable

    @property
    def open(self) -> dict[Any, int]:
        """Transactions under way."""
        return {}

    def committed(self, start: int, stop: int) -> Iterator[tuple[int, NewRecord]]:
        """Records of [start, stop) with their offsets."""
        for at in range(bisect_left(self.offsets, start), bisect_left(self.offsets, stop)):
            yield self.offsets[at], self.records[at]

    def read(self, position: int, count: int) -> tuple[int, list[tuple[int, NewRecord]]]:
        """(next position, up to `count` records from `position` on)."""
        found = list(self.committed(position, self.stable))[:count]
        return (found[-1][0] + 1 if len(found) == count else self.stable), found


async def read_log(settings: Settings, counts: dict[str, int]) -> dict[TopicPartition, ReadLog]:
    """Every record of every topic of the deployment."""
    logs = {TopicPartition(stream, number): ReadLog() for stream, count in counts.items() for number in range(count)}
    theirs = {aiokafka.TopicPartition(f"{settings.engine.deployment}.{place.topic}", place.partition): place for place in logs}
    consumer = aiokafka.AIOKafkaConsumer(
        bootstrap_servers=settings.kafka.bootstrap_servers, enable_auto_commit=False, isolation_level="read_committed", fetch_max_wait_ms=20
    )
    await consumer.start()
    try:
        consumer.assign(list(theirs))
        for partition in theirs:
            consumer.seek(partition, 0)
        ends = await consumer.end_offsets(list(theirs))
        left = [partition for partition in theirs if ends[partition] > 0]
        while left:
            for partition, messages in (await consumer.getmany(*left, timeout_ms=200, max_records=20_000)).items():
                log = logs[theirs[partition]]
                for message in messages:
                    log.offsets.append(message.offset)
                    log.records.append(NewRecord(*theirs[partition], message.timestamp, message.key, message.value, tuple(message.headers)))
            left = [partition for partition in left if await consumer.position(partition) < ends[partition]]
        for partition, place in theirs.items():
            logs[place].stable = ends[partition]
    finally:
        await consumer.stop()
    return logs


async def judged(open_bus: OpenBus, settings: Settings, specs: list[TaskSpec], exchange: Exchange, expected: list[bytes] | None) -> list[str]:
    """What is wrong, in sentences. `expected`: the decisions of an undisturbed run."""
    bus = open_bus()
    try:
        counts = await bus.partitions()
        logs = await read_log(settings, counts)
        report = await verify_bus(bus, machine_for, snapshots=SnapshotStore(settings.engine.data_dir / "snapshots"))
    finally:
        await bus.close()
    broker: Any = SimpleNamespace(logs=logs, counts=counts)
    journals = Journals(broker, settings.engine.shards)
    journals.read()
    world = cast(
        "World",
        SimpleNamespace(
            options=SimpleNamespace(sink=False),
            shards={spec.name: SimpleNamespace(spec=spec, halted=None, refusals=[]) for spec in specs},
            broker=broker,
            journals=journals,
            trader=SimpleNamespace(exchange=exchange),
            problems=[],
            fired=[],
            altered={},
            originals={},
            readings={},
            excess=False,
        ),
    )
    problems = list(check_log(world))
    problems += [] if problems else check_fold(world)
    problems += [] if report.difference is None else [f"verify: {report.difference}"]
    problems += _decisions(logs, expected)
    problems += _totals(logs, settings.engine.shards)
    return problems


def instructions(logs: dict[TopicPartition, ReadLog]) -> list[bytes]:
    """Every instruction written, in one order whatever the number of partitions."""
    return sorted(record.value or b"" for place, log in logs.items() if place.topic == "instructions" for record in log.records)


def _decisions(logs: dict[TopicPartition, ReadLog], expected: list[bytes] | None) -> Iterator[str]:
    found = instructions(logs)
    ids = Counter(codec("instructions").decode_row(value)["instruction_id"] for value in found)
    twice = [number for number, count in ids.items() if count > 1]
    if twice:
        yield f"decisions: {len(twice)} instructions were written more than once, such as {twice[0]}"
    if expected is not None and found != expected:
        missing, more = Counter(expected) - Counter(found), Counter(found) - Counter(expected)
        yield f"decisions: of {len(expected)} of an undisturbed run {missing.total()} are missing and {more.total()} others are there"


def _totals(logs: dict[TopicPartition, ReadLog], shards: int) -> Iterator[str]:
    """By the newest total of every shard wallets, less open costs, less what came from outside, come to zero."""
    newest: dict[tuple[int, int], dict[str, Any]] = {}
    for record in logs[TopicPartition("shard-totals", 0)].records:
        row = codec("shard-totals").decode_row(record.value)
        newest[row["asset"], row["shard"]] = row
    sums: dict[int, int] = defaultdict(int)
    for (asset, _), row in newest.items():
        sums[asset] += int(row["wallets"]) - int(row["open_cost"]) - int(row["external"])
    if len({shard for _, shard in newest}) != shards:
        yield f"totals: only {len(newest)} of {shards} shards have stated any"
    if any(sums.values()):
        yield f"totals: wallets less open costs less external flows by asset are {dict(sums)}, not 0"
