"""Lock-step with tasks that run by themselves."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from streams.bus.contract import Chunk, TopicPartition
from streams.engine.digests import decision_digest
from streams.engine.journal import StepRecord, seal
from streams.engine.lockstep import LockStep, settle
from streams.engine.quiet import Lag, Quiescence, RemoteLockStep
from streams.engine.replay import replay_bus
from streams.engine.task import Output, Slice
from streams.engine.turns import TURN_HEADER, TurnHold, counts_named, turn_of, turn_records
from streams.errors import Unreachable, UsageProblem
from tests.support.toy import RaggedBus, ToyVenue, fill, mark, record, runner, script, spec, specs, toy_bus, toy_machine, write


def step_record(task: str, took: dict[tuple[str, int], int], wrote: dict[tuple[str, int], int] | None = None) -> StepRecord:
    return StepRecord(
        task=task,
        shard=0,
        step=1,
        machine_version=1,
        owner="",
        generation=1,
        event_time_us=0,
        slices=tuple(Slice(*place, 0, count, count, bytes(32)) for place, count in took.items()),
        outputs=tuple(Output(*place, count, bytes(32)) for place, count in (wrote or {}).items()),
        state_digest=bytes(16),
        held=0,
        previous_hash=bytes(32),
    )


def test_it_is_quiet_when_all_that_was_written_has_been_taken() -> None:
    quiescence = Quiescence([spec(), spec("pools")])
    assert quiescence.lagging() == []
    quiescence.wrote([record("fills", fill(1, 4, 1), 0), record("marks", mark(1))])
    marks = TopicPartition("marks", 0)
    assert quiescence.lagging() == [
        Lag("accounts", 0, TopicPartition("account-events", 0), 1, 0),
        Lag("accounts", 0, marks, 1, 0),
        Lag("pools", 0, marks, 1, 0),
    ]
    quiescence.stepped(step_record("accounts", {("account-events", 0): 1, ("marks", 0): 1}, {("insolvencies", 0): 2, ("account-states", 0): 1}))
    assert quiescence.lagging() == [Lag("pools", 0, marks, 1, 0), Lag("pools", 0, TopicPartition("insolvencies", 0), 2, 0)]
    quiescence.stepped(step_record("pools", {("marks", 0): 1, ("insolvencies", 0): 2}, {("instructions", 2): 3}))
    assert quiescence.lagging() == []
    assert quiescence.written("instructions") == 3


async def remote(seed: int | None, events: Any) -> Any:
    """A run with every task on its own; `seed` of a ragged bus."""
    bus = await toy_bus()
    seen: Any = bus if seed is None else RaggedBus(bus, seed)
    runners = [runner(seen, s, in_turns=True) for s in specs()]
    for each in runners:
        await each.start()
    stop = asyncio.Event()
    running = [asyncio.create_task(each.run(stop)) for each in runners]
    await RemoteLockStep(seen, specs(), ToyVenue(events)).run()
    stop.set()
    await asyncio.gather(*running)
    return bus


@pytest.mark.parametrize("seed", [None, 1, 2, 3, 4])
async def test_decisions_are_those_of_the_driver_in_one_thread(seed: int | None) -> None:
    expected = await toy_bus()
    runners = [runner(expected, s) for s in specs()]
    for each in runners:
        await each.start()
    await LockStep(expected, runners, ToyVenue(script(30))).run()
    bus = await remote(seed, script(30))
    assert await decision_digest(bus) == await decision_digest(expected)
    report = await replay_bus(bus, toy_machine)
    assert report.differences == []
    assert report.decision_digest == await decision_digest(expected)


async def test_a_task_that_does_not_run_is_named() -> None:
    bus = await toy_bus(shard_count=1)
    now = iter(range(1000))
    driver = RemoteLockStep(bus, specs(1), ToyVenue([[("marks", 0, mark(1))]]), timeout_s=5, clock=lambda: next(now))
    with pytest.raises(Unreachable, match=r"accounts-0 has taken 0 of 1 records of marks\[0\]; pools-0 has taken 0 of 1"):
        await driver.run()


async def test_an_exchange_that_is_already_there_is_refused() -> None:
    bus = await toy_bus(shard_count=1)
    await write(bus, [("marks", 0, mark(1))])
    with pytest.raises(UsageProblem, match=r"marks\[0\] has records already"):
        await RemoteLockStep(bus, specs(1), ToyVenue([])).run()


def turn_chunks() -> dict[str, Chunk]:
    """One turn of three records on two partitions, as chunks."""
    from collections import Counter

    written = Counter({TopicPartition("account-events", 0): 4})
    records = turn_records([("fills", 0, fill(1, 4, 1)), ("fills", 0, fill(1, 4, 2)), ("marks", 0, mark(1))], 7, written)
    chunks = {}
    for topic in ("account-events", "marks"):
        mine = [r for r in records if r.topic == topic]
        count = len(mine)
        chunks[topic] = Chunk(topic, 0, 0, count, list(range(count)), [0] * count, [None] * count, [r.value for r in mine], [r.headers for r in mine])
    return chunks


def test_every_record_of_a_turn_says_how_many_there_are() -> None:
    chunks = turn_chunks()
    expected = {TopicPartition("account-events", 0): 6, TopicPartition("marks", 0): 1}
    assert counts_named([chunks["account-events"]]) == counts_named([chunks["marks"]]) == expected


def test_a_turn_is_taken_whole() -> None:
    chunks, hold = turn_chunks(), TurnHold()
    taken = {TopicPartition("account-events", 0): 4, TopicPartition("marks", 0): 0}
    assert hold.take([chunks["marks"]], taken) == []
    assert hold.take([], taken) == []
    assert hold.take([chunks["account-events"]], taken) == [chunks["marks"], chunks["account-events"]]
    assert hold.take([], taken) == []


def test_partitions_of_other_shards_are_not_waited_for() -> None:
    chunks, hold = turn_chunks(), TurnHold()
    assert hold.take([chunks["marks"]], {TopicPartition("marks", 0): 0}) == [chunks["marks"]]


def test_records_that_name_no_counts_are_taken_at_once() -> None:
    plain = Chunk("marks", 0, 0, 1, [0], [0], [None], [b""], [()])
    assert TurnHold().take([plain], {TopicPartition("marks", 0): 0}) == [plain]
    assert seal(step_record("accounts", {}))[0].headers == ()


@pytest.mark.parametrize(
    "headers",
    [
        (("counts", b"account-events/0=99"), ("turn", b"1")),
        (("turn", b"1"), ("counts", b"marks/0=99,account-events/0=99,no-such-topic/7=1")),
        (("counts", b"\xff"), ("turn", b"")),
        (("counts", b"marks/" + b"1" * 5_000 + b"=1"), ("turn", b"1" * 5_000)),
        (("counts", b""), ("counts", b"marks/0=2")),
    ],
)
async def test_headers_of_those_names_are_nothing_to_a_shard_that_is_not_told_to_take_turns(headers: tuple[tuple[str, bytes], ...]) -> None:
    bus = await toy_bus(shard_count=1)
    runners = [runner(bus, each) for each in specs(1)]
    for each in runners:
        await each.start()
    plain = [record("fills", fill(1, 4, 1)), record("marks", mark(1))]
    await (await bus.writer("exchange")).commit([replace(each, headers=headers) for each in plain])
    await settle(runners)
    assert [each.task.counts[TopicPartition("marks", 0)] for each in runners] == [1, 1]
    assert [each.waiting for each in runners] == [0, 0]


def test_what_is_not_written_as_a_turn_or_a_count_names_none() -> None:
    for odd in (b"", b"-1", b"1.0", b" 1", "²".encode(), b"1" * 16, b"1" * 5_000):
        assert turn_of(((TURN_HEADER, odd),)) is None
        chunk = Chunk("marks", 0, 0, 1, [0], [0], [None], [b""], [(("counts", b"marks/0=" + odd),)])
        assert counts_named([chunk]) == {}
    assert turn_of(((TURN_HEADER, b"12"),)) == 12
    assert turn_of(()) is None
