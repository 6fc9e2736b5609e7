"""A worker that dies or stops anywhere in the middle of healing leaves nothing undone and does nothing twice."""

from pathlib import Path
from typing import Any

import pytest

from streams.bus.contract import Bus, NewRecord
from streams.bus.memory import MemoryBus
from streams.engine.shard import ShardRunner
from streams.tasks import machine_for
from tests.support.healing import everything as story_of_everything
from tests.support.risk_rows import PARTITIONS
from tests.support.toy import everything, runner, spec, toy_bus

OUTPUTS = ("account-states", "dead-letters", "fund-flows", "instructions", "insolvencies")
STORY = story_of_everything().said


async def new_bus() -> MemoryBus:
    bus: MemoryBus = await toy_bus(shard_count=1, account_partitions=PARTITIONS)
    return bus


async def started(bus: Bus, directory: Path) -> ShardRunner:
    running = runner(bus, spec(account_partitions=PARTITIONS), machine_for, directory=directory, every=5)
    await running.start()
    return running


async def say(bus: Bus, running: ShardRunner, record: NewRecord) -> None:
    """The exchange, or an operator, says one thing, and the shard takes it."""
    writer = await bus.writer("w")
    await writer.commit([record])
    while await running.turn():
        pass


async def result(bus: Bus, running: ShardRunner) -> tuple[Any, bytes]:
    return await everything(bus, *OUTPUTS), running.task.machine.digest()


@pytest.mark.parametrize("how", ["stops", "dies"])
async def test_a_shard_that_goes_on_after_every_record_ends_as_one_that_never_stopped(tmp_path: Path, how: str) -> None:
    bus = await new_bus()
    running = await started(bus, tmp_path / "whole")
    for record in STORY:
        await say(bus, running, record)
    whole = await result(bus, running)
    again = await new_bus()
    running = await started(again, tmp_path / "cut")
    for record in STORY:
        await say(again, running, record)
        if how == "stops":
            await running.stop()
        running = await started(again, tmp_path / "cut")
    assert await result(again, running) == whole
