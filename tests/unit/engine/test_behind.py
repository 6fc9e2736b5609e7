"""A shard that starts behind decides as one that was never behind."""

from typing import Any

from streams.bus.memory import MemoryBus
from streams.engine.shard import ShardRunner
from tests.support.behind import KEEPER, SharingBus, accounts_ordered, create, rounds, said, shard

ROUNDS = 15  # of 800 fills and 18 marks: more than two reads of 5,000 records bring
Said = dict[Any, Any]


async def turned(runner: ShardRunner) -> None:
    while await runner.turn():
        pass


async def never_behind() -> Said:
    bus = MemoryBus()
    await create(bus)
    writer, runner = await bus.writer("exchange"), await shard(bus)
    for records in rounds(ROUNDS):
        await writer.commit(records)
        await turned(runner)
    return await said(bus)


async def started_behind(*, in_order: bool) -> Said:
    bus = MemoryBus()
    await create(bus)
    writer = await bus.writer("exchange")
    for records in rounds(ROUNDS):
        await writer.commit(records)
    await turned(await shard(SharingBus(bus), in_order=in_order))
    return await said(bus)


async def test_a_shard_that_starts_behind_says_exactly_what_one_that_was_never_behind_said() -> None:
    expected = await never_behind()
    assert accounts_ordered(expected) == {KEEPER}
    assert await started_behind(in_order=True) == expected


async def test_without_the_order_of_event_time_flat_accounts_are_declared_bankrupt() -> None:
    assert accounts_ordered(await started_behind(in_order=False)) > {KEEPER}
