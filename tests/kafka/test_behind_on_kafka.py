"""A shard that starts far behind on the real broker decides as one that was never behind."""

import asyncio
import sys
import time
from itertools import chain

import pytest

from streams.bus.contract import TopicPartition
from streams.bus.kafka import KafkaBus
from streams.bus.memory import MemoryBus
from tests.support.behind import ACCOUNTS, KEEPER, accounts_ordered, behind_spec, create, rounds, said, shard, taken
from tests.support.kafka import broker, fresh_kafka_bus

pytestmark = pytest.mark.kafka

RECORDS_BEHIND = 200_000
ROUND = 2 * len(ACCOUNTS) + 2 * (len(ACCOUNTS) // 50) + 2  # fills, marks among them, the fall and the return
WRITE = 20_000
Pairs = list[tuple[bytes | None, bytes | None]]


async def never_behind(count: int) -> tuple[int, dict[TopicPartition, Pairs]]:
    """How many records there are, and what a shard says that takes them round by round."""
    bus, total = MemoryBus(), 0
    await create(bus)
    writer, runner = await bus.writer("exchange"), await shard(bus)
    for records in rounds(count):
        total += len(records)
        await writer.commit(records)
        while await runner.turn():
            pass
    return total, await said(bus)


async def started_behind(bus: KafkaBus, count: int, total: int, *, in_order: bool = True) -> tuple[float, float, dict[TopicPartition, Pairs]]:
    """Seconds that a shard takes to catch up on the broker, in all and of this process, and what it says."""
    await create(bus)
    writer, waiting = await bus.writer("exchange"), []
    for record in chain.from_iterable(rounds(count)):
        waiting.append(record)
        if len(waiting) == WRITE:
            await writer.commit(waiting)
            waiting = []
    await writer.commit(waiting)
    runner, stop = await shard(bus, in_order=in_order), asyncio.Event()
    began, cpu = time.perf_counter(), time.process_time()
    running = asyncio.create_task(runner.run(stop))
    while not running.done() and await taken(runner) < total:
        await asyncio.sleep(0.05)
    took = time.perf_counter() - began, time.process_time() - cpu
    stop.set()
    await running
    await bus.writer(f"{behind_spec().deployment}-{behind_spec().name}")  # given once the last commit of the former owner is visible everywhere
    return *took, await said(bus)


async def test_a_shard_that_starts_far_behind_says_exactly_what_one_that_was_never_behind_said(kafka_bus: KafkaBus) -> None:
    count = RECORDS_BEHIND // ROUND + 1
    total, expected = await never_behind(count)
    assert total > RECORDS_BEHIND
    assert accounts_ordered(expected) == {KEEPER}
    _, _, found = await started_behind(kafka_bus, count, total)
    assert found == expected


async def _by_hand(records: int) -> None:
    count = records // ROUND + 1
    total, expected = await never_behind(count)
    with broker() as address:
        for in_order in (False, True):
            bus = fresh_kafka_bus(address)
            wall_s, cpu_s, found = await started_behind(bus, count, total, in_order=in_order)
            await bus.close()
            wrong = accounts_ordered(found) - {KEEPER}
            sys.stdout.write(
                f"{'in order' if in_order else 'as read'}: {total:,} records behind, caught up in {wall_s:.1f} s ({cpu_s:.1f} s of CPU), "
                f"{'equal' if found == expected else 'not equal'} to one never behind, {len(wrong)} accounts wrongly liquidated\n"
            )


if __name__ == "__main__":
    asyncio.run(_by_hand(int(sys.argv[1])))
