"""The engine on the real broker: lock-step with tasks on their own, verify, replay, and a change of owner."""

import asyncio
from pathlib import Path

import pytest

from streams.bus.kafka import KafkaBus
from streams.engine.digests import decision_digest
from streams.engine.lockstep import LockStep
from streams.engine.quiet import RemoteLockStep
from streams.engine.replay import replay_bus
from streams.engine.shard import ShardRunner
from streams.engine.verify import verify_bus
from streams.errors import Fenced
from tests.support.toy import ToyVenue, everything, fill, runner, script, spec, specs, toy_bus, toy_machine, write

pytestmark = pytest.mark.kafka


async def one_step(shard: ShardRunner) -> None:
    while not await shard.turn():
        pass


async def test_decisions_on_kafka_are_those_of_the_memory_bus(kafka_bus: KafkaBus, tmp_path: Path) -> None:
    expected = await toy_bus()
    runners = [runner(expected, each) for each in specs()]
    for each in runners:
        await each.start()
    await LockStep(expected, runners, ToyVenue(script())).run()

    await toy_bus(kafka_bus)
    runners = [runner(kafka_bus, each, directory=tmp_path, in_turns=True) for each in specs()]
    for each in runners:
        await each.start()
    stop = asyncio.Event()
    running = [asyncio.create_task(each.run(stop)) for each in runners]
    await RemoteLockStep(kafka_bus, specs(), ToyVenue(script())).run()
    stop.set()
    await asyncio.gather(*running)

    assert await decision_digest(kafka_bus) == await decision_digest(expected)
    assert (await verify_bus(kafka_bus, toy_machine)).difference is None
    report = await replay_bus(kafka_bus, toy_machine)
    assert report.differences == []
    assert report.decision_digest == await decision_digest(expected)


async def test_a_newer_owner_goes_on_exactly_where_the_older_one_was_fenced(kafka_bus: KafkaBus) -> None:
    await toy_bus(kafka_bus, shard_count=1)
    older, newer = runner(kafka_bus, spec()), runner(kafka_bus, spec())
    await older.start()
    await write(kafka_bus, [("fills", 0, fill(1, 4, 1))])
    await one_step(older)
    await newer.start()
    await write(kafka_bus, [("fills", 0, fill(2, 4, 2))])
    with pytest.raises(Fenced):
        await one_step(older)
    await one_step(newer)
    assert newer.task.machine.state["lots"] == {"4": [3, 0]}  # type: ignore[attr-defined]
    assert len(await everything(kafka_bus, "account-states")) == 2
    await newer.stop()
