"""A standby runs what the owner journals, notices what differs, and hands its state over."""

import asyncio
from typing import Any

import pytest

from streams.bus.memory import MemoryBus
from streams.engine.journal import read_tail
from streams.engine.standby import Standby
from tests.support.toy import ToyAccounts, fill, mark, runner, spec, toy_bus, toy_machine, write

Alarms = list[tuple[str, str]]


def standby(bus: MemoryBus, alarms: Alarms, factory: Any = toy_machine) -> Standby:
    return Standby(bus, spec(), factory, snapshots=None, patience_ms=None, alarm=lambda _, name, facts: alarms.append((name, facts["reason"])))


async def play(bus: MemoryBus, running: Any, first: int, count: int) -> None:
    for number in range(first, first + count):
        await write(bus, [("fills", 0, fill(number, 4, 1, seq=number)), ("marks", 0, mark(number, number))])
        while await running.turn():
            pass


async def until_step(follower: Standby, step: int) -> None:
    async with asyncio.timeout(60):
        while follower.step != step and follower.problem is None:
            await asyncio.sleep(0.001)


async def test_it_follows_every_step_and_its_state_is_the_owners() -> None:
    bus, alarms, stop = await toy_bus(shard_count=1), Alarms(), asyncio.Event()
    owner, follower = runner(bus, spec()), standby(bus, alarms)
    await owner.start()
    await play(bus, owner, 1, 3)
    following = asyncio.create_task(follower.follow(stop))
    await until_step(follower, 3)
    await play(bus, owner, 4, 3)
    await until_step(follower, 6)
    assert follower.reran == 3
    stop.set()
    await following
    await play(bus, owner, 7, 2)  # what came after its stop is run when it is taken over
    tail = await read_tail(bus, spec())
    assert tail is not None
    state = await follower.hand_over(tail)
    assert state is not None
    assert (state.task.number, state.reran) == (8, 2)
    assert state.task.machine.digest() == owner.task.machine.digest()
    assert state.task.positions == owner.task.positions
    assert await follower.hand_over(tail) is None  # once is all
    assert alarms == []


async def test_where_a_newer_owner_has_gone_on_behind_the_takers_back_nothing_is_handed_over_and_nothing_differs() -> None:
    bus, alarms, stop = await toy_bus(shard_count=1), Alarms(), asyncio.Event()
    owner, follower = runner(bus, spec()), standby(bus, alarms)
    await owner.start()
    await play(bus, owner, 1, 3)
    following = asyncio.create_task(follower.follow(stop))
    await until_step(follower, 3)
    stop.set()
    await following
    await play(bus, owner, 4, 1)
    seen_by_taker = await read_tail(bus, spec())
    await play(bus, owner, 5, 1)  # the newer owner
    assert seen_by_taker is not None
    assert await follower.hand_over(seen_by_taker) is None
    assert alarms == []
    assert follower.problem is None


async def test_it_never_writes_and_never_fences() -> None:
    bus, stop = await toy_bus(shard_count=1), asyncio.Event()
    owner, follower = runner(bus, spec()), standby(bus, [])
    await owner.start()
    following = asyncio.create_task(follower.follow(stop))
    await play(bus, owner, 1, 3)
    await until_step(follower, 3)
    await play(bus, owner, 4, 1)  # the owner is not disturbed
    stop.set()
    await following
    assert owner.task.number == 4


@pytest.mark.parametrize("rules", [{"surcharge": 1}, {"secret": 1}], ids=["outputs", "state"])
async def test_a_difference_raises_an_alarm_and_it_hands_nothing_over(rules: dict[str, int]) -> None:
    bus, alarms = await toy_bus(shard_count=1), Alarms()
    owner = runner(bus, spec())
    await owner.start()
    await play(bus, owner, 1, 1)
    stop = asyncio.Event()

    def other(*_: Any) -> ToyAccounts:
        machine = ToyAccounts(surcharge=0)
        machine.after_first = dict(rules)  # type: ignore[attr-defined]
        step = machine.step

        def changed(batch: Any) -> Any:
            said = step(batch)
            machine.surcharge, machine.state["secret"] = rules.get("surcharge", 0), machine.state["secret"]
            if int(machine.clock_us) > 1:
                machine.state["secret"] = rules.get("secret", 0)
            return said

        machine.step = changed  # type: ignore[method-assign]
        return machine

    follower = standby(bus, alarms, other)
    following = asyncio.create_task(follower.follow(stop))
    await until_step(follower, 1)
    assert follower.problem is None
    await play(bus, owner, 2, 1)
    await following  # it ends by itself
    ((name, reason),) = alarms
    assert name == "standby_differs"
    assert "step 2" in reason
    tail = await read_tail(bus, spec())
    assert tail is not None
    assert await follower.hand_over(tail) is None
    again = runner(bus, spec())
    await again.start()  # without it, the shard recovers as ever
    assert again.task.number == 2


async def test_a_standby_of_a_shard_that_nobody_has_run_yet_waits_and_can_be_stopped() -> None:
    bus, stop = await toy_bus(shard_count=1), asyncio.Event()
    follower = standby(bus, [])
    stop.set()
    await follower.follow(stop)
    assert follower.step is None
    owner = runner(bus, spec())
    await owner.start()
    tail = await read_tail(bus, spec())
    assert tail is not None
    assert await follower.hand_over(tail) is None
