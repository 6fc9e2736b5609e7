"""A world in which a shard that reads marks ahead of fills declares flat accounts bankrupt, and what a shard made of it.

In every round all accounts buy and sell again at the same price; while all are flat, the price falls to a tenth and comes back. One account
keeps what it bought at first, so the first fall makes it insolvent, and it alone.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from streams.bus.contract import Bus, Chunk, NewRecord, TopicPartition
from streams.engine.chunks import read_all
from streams.engine.shard import RunnerOptions, ShardRunner
from streams.engine.task import TaskSpec
from streams.tasks import machine_for
from streams.topics import TOPICS, partition_count
from streams.wire.codec import codec
from streams.wire.records import new_records
from tests.support.risk_rows import PARTITIONS, Desk, Record, instrument, pool

ACCOUNTS = range(100, 500)
KEEPER = 700
WALLET, LOTS, PRICE = 600, 10, 100  # bought for 1,000, worth 100 after the fall: 600 - 900 is below zero, but only for who still holds it
FILLS_BETWEEN_MARKS = 50
# Not shard-totals: they name offsets of inputs, and markers shift those with the size of the exchange's transactions.
OUTPUTS = ("instructions", "insolvencies", "account-states", "fund-flows", "adl-candidates", "dead-letters")


def rounds(count: int) -> Iterator[list[NewRecord]]:
    """The opening, then one round after the other, each in the order of event time."""
    desk = Desk(time_us=1_764_000_000_000_000)
    yield _written([instrument(), pool(), *(row for account in (*ACCOUNTS, KEEPER) for row in desk.opening(account, WALLET)), desk.mark(PRICE)])
    yield _written([desk.fill(KEEPER, LOTS, LOTS * PRICE)])
    for _ in range(count):
        rows: list[Record] = []
        for sign in (1, -1):
            for number, account in enumerate(ACCOUNTS):
                rows.append(desk.fill(account, sign * LOTS, sign * LOTS * PRICE))
                if number % FILLS_BETWEEN_MARKS == 0:
                    rows.append(desk.mark(PRICE))
        yield _written([*rows, desk.mark(PRICE // 10), desk.mark(PRICE)])


def _written(rows: Sequence[Record]) -> list[NewRecord]:
    by_stream: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for stream, row in rows:
        by_stream.setdefault(stream, []).append((row["account"] % PARTITIONS if "account" in row else 0, row))
    return [record for stream, those in by_stream.items() for record in new_records(stream, those)]


def behind_spec(deployment: str = "behind") -> TaskSpec:
    """The one accounts shard."""
    return TaskSpec("accounts", 0, 1, PARTITIONS, deployment)


async def create(bus: Bus) -> None:
    """The topics of the world."""
    await bus.create_topics({stream: partition_count(stream, account_partitions=PARTITIONS, shards=1) for stream in TOPICS})


async def shard(bus: Bus, *, in_order: bool = True) -> ShardRunner:
    """The shard, started."""
    runner = ShardRunner(bus, behind_spec(), machine_for, owner="test", options=RunnerOptions(in_order=in_order))
    await runner.start()
    return runner


async def taken(runner: ShardRunner) -> int:
    """Records taken so far."""
    return sum(runner.task.counts.values())


async def said(bus: Bus) -> dict[TopicPartition, list[tuple[bytes | None, bytes | None]]]:
    """All that the shard wrote, partition by partition, in order."""
    counts, found = await bus.partitions(), {}
    for partition in (TopicPartition(stream, number) for stream in OUTPUTS for number in range(counts[stream])):
        whole = await read_all(bus, partition)
        if len(whole):
            found[partition] = list(zip(whole.keys, whole.values, strict=True))
    return found


def accounts_ordered(written: dict[TopicPartition, list[tuple[bytes | None, bytes | None]]]) -> set[int]:
    """Accounts whose positions the shard had liquidated."""
    found = [(partition.topic, value) for partition, pairs in written.items() for _, value in pairs if partition.topic == "instructions"]
    return {codec(stream).decode_row(value)["account"] for stream, value in found}


class SharingBus:
    """A bus whose reads bring as many records of every partition, as those from a broker do."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    async def reader(self, partitions: Sequence[TopicPartition]) -> Any:
        return SharingReader(await self._bus.reader(partitions), partitions)


class SharingReader:
    """A reader of a SharingBus."""

    def __init__(self, reader: Any, partitions: Sequence[TopicPartition]) -> None:
        self._reader, self._partitions = reader, list(partitions)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    async def poll(self, *, max_records: int, timeout_ms: int, partitions: Sequence[TopicPartition] | None = None) -> list[Chunk]:
        wanted = self._partitions if partitions is None else partitions
        share = max(1, max_records // len(wanted))
        chunks: list[Chunk] = []
        for partition in wanted:
            chunks += await self._reader.poll(max_records=share, timeout_ms=timeout_ms, partitions=[partition])
        return chunks
