"""A run of a scenario on the memory bus, recorded as a directory like the one a demo leaves, without its tables."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from streams.bus.contract import Bus, NewRecord
from streams.bus.manifest import write_manifest
from streams.bus.recording import record
from streams.commands import run_directory
from streams.commands.run_directory import Run
from streams.engine.lockstep import settle
from streams.engine.shard import RunnerOptions, ShardRunner
from streams.engine.task import TaskName, TaskSpec
from streams.tasks import machine_for
from streams.venue.scenarios.registry import build
from tests.support.pipeline import Ran, run


async def save(bus: Bus, directory: Path) -> None:
    """The log of a bus as a closed directory."""
    run_directory.prepare(directory, force=True)
    run_directory.begin(directory, Run("test", 0, 0, 2, 8, "memory", "test"))
    await record(bus, directory)
    write_manifest(directory)


def recorded_run(directory: Path, scenario: str, *, accounts: int | None = None, shards: int = 2) -> Ran:
    """Play a scenario and leave it in `directory`."""
    ran = run(build(scenario, accounts, 1, 8), shards=shards)
    asyncio.run(save(ran.bus, directory))
    return ran


async def go_on(bus: Bus, records: Sequence[NewRecord], *, shards: int = 2, account_partitions: int = 8) -> None:
    """The exchange says more after the end of a run, and every shard takes it."""
    await (await bus.writer("test-venue")).commit(records)
    names: list[tuple[TaskName, int]] = [*(("accounts", n) for n in range(shards)), ("pools", 0)]
    specs = [TaskSpec(task, shard, shards, account_partitions, "test") for task, shard in names]
    runners = [ShardRunner(bus, spec, machine_for, owner="test", options=RunnerOptions(patience_ms=None)) for spec in specs]
    for runner in runners:
        await runner.start()
    await settle(runners)
    for runner in runners:
        await runner.stop()
