"""The simulated broker does what a real one does to its clients."""

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any

import pytest

from streams.bus.contract import NewRecord, TopicPartition
from streams.bus.faults import Hooks, NetworkOptions, SimulatedBus, SimulatedReader
from streams.bus.simulated import Broker, BrokerOptions
from streams.errors import CheckFailed, CommitUnknown, Fenced, Unreachable
from tests.simulation.loop import Loop

F0, F1, M0 = TopicPartition("fills", 0), TopicPartition("fills", 1), TopicPartition("marks", 0)
EVEN = NetworkOptions(uneven_share=0.0)


def rec(partition: TopicPartition, value: bytes) -> NewRecord:
    return NewRecord(partition.topic, partition.partition, 1, b"key", value)


def play(work: Coroutine[Any, Any, None]) -> None:
    Loop(Random(1)).run_until_complete(work)


def broker(**options: Any) -> Broker:
    made = Broker(Random(2), BrokerOptions(**options))
    made.create({"fills": 2, "marks": 1})
    return made


def bus(of: Broker, hooks: Hooks | None = None, options: NetworkOptions = EVEN) -> SimulatedBus:
    return SimulatedBus(of, Random(3), options, hooks)


async def read(reader: SimulatedReader) -> list[bytes | None]:
    found: list[bytes | None] = []
    for _ in range(20):
        for chunk in await reader.poll(max_records=1000, timeout_ms=10):
            found += chunk.values
    return found


class Wrong(Hooks):
    """Refuses batches of one partition, loses the answer, or keeps an end of a transaction on its way."""

    def __init__(self, *, refused: TopicPartition | None = None, lost: bool = False, late_s: float = 0.0) -> None:
        self.refused, self.lost, self.late_s = refused, lost, late_s

    def refuses(self, transactional_id: str, partition: TopicPartition) -> bool:
        return partition == self.refused

    def loses_answer(self, transactional_id: str) -> bool:
        return self.lost

    def delays_end(self, transactional_id: str) -> float:
        return self.late_s


def test_an_open_transaction_hides_what_others_committed_behind_it() -> None:
    async def work() -> None:
        of = broker()
        epoch = of.init("slow")
        of.add("slow", epoch, F0)
        of.produce("slow", epoch, F0, [rec(F0, b"open")])
        await (await bus(of).writer("quick")).commit([rec(F0, b"behind"), rec(M0, b"beside")])
        reader = await bus(of).reader([F0, M0])
        assert await read(reader) == [b"beside"]
        assert (await reader.bounds(F0))[1] == 0
        of.end("slow", epoch, commit=True)
        assert await read(reader) == [b"open", b"behind"]

    play(work())


def test_a_transaction_becomes_visible_partition_by_partition() -> None:
    async def work() -> None:
        of = broker(marker_ms=(1.0, 500.0))
        await (await bus(of).writer("a")).commit([rec(F0, b"0"), rec(F1, b"1"), rec(M0, b"2")])
        seen = []
        for _ in range(200):
            seen.append(sum(of.logs[partition].stable > 0 for partition in (F0, F1, M0)))
            await asyncio.sleep(0.05)
        assert {1, 2} & set(seen)
        assert seen[-1] == 3

    play(work())


def test_markers_and_aborted_records_take_offsets_and_are_never_read() -> None:
    async def work() -> None:
        of = broker()
        writer = await bus(of, Wrong(refused=M0)).writer("a")
        with pytest.raises(CheckFailed, match=r"marks\[0\]"):
            await writer.commit([rec(F0, b"aborted"), rec(M0, b"refused")])
        await (await bus(of).writer("a")).commit([rec(F0, b"kept")])
        reader = await bus(of).reader([F0, M0])
        assert await read(reader) == [b"kept"]
        assert (await reader.bounds(F0))[1] == 4

    play(work())


def test_an_older_owner_learns_at_its_next_commit_that_it_is_fenced() -> None:
    async def work() -> None:
        of = broker()
        older = await bus(of).writer("a")
        newer = await bus(of).writer("a")
        with pytest.raises(Fenced):
            await older.commit([rec(F0, b"zombie")])
        await newer.commit([rec(F0, b"owner")])
        assert await read(await bus(of).reader([F0])) == [b"owner"]

    play(work())


def test_a_transaction_that_takes_too_long_is_aborted_and_its_owner_fenced() -> None:
    async def work() -> None:
        of = broker(transaction_timeout_ms=100)
        writer = await bus(of, Wrong(late_s=0.5)).writer("a")
        with pytest.raises(Fenced):
            await writer.commit([rec(F0, b"late")])
        assert await read(await bus(of).reader([F0])) == []

    play(work())


@pytest.mark.parametrize(("hooks", "outcome"), [(Wrong(lost=True), [b"x"]), (Wrong(late_s=2.0), [])], ids=["committed", "aborted"])
def test_a_commit_without_an_answer_may_have_happened_or_not(hooks: Wrong, outcome: list[bytes]) -> None:
    async def work() -> None:
        of = broker(transaction_timeout_ms=5_000)
        writer = await bus(of, hooks).writer("a")
        with pytest.raises(CommitUnknown):
            await writer.commit([rec(F0, b"x")])
        await bus(of).writer("a")  # settles it: a newer owner aborts what is open
        assert await read(await bus(of).reader([F0])) == outcome

    play(work())


def test_a_commit_on_its_way_is_done_although_its_sender_has_given_up() -> None:
    async def work() -> None:
        of = broker(transaction_timeout_ms=5_000)
        writer = await bus(of, Wrong(late_s=2.0)).writer("a")
        with pytest.raises(CommitUnknown):
            await writer.commit([rec(F0, b"x")])
        await asyncio.sleep(3)
        assert await read(await bus(of).reader([F0])) == [b"x"]

    play(work())


def test_a_broker_that_is_down_answers_nobody_and_loses_nothing() -> None:
    async def work() -> None:
        of = broker()
        writer = await bus(of).writer("a")
        await writer.commit([rec(F0, b"before")])
        of.down_until_s = asyncio.get_running_loop().time() + 1.0
        reader_bus = bus(of)
        with pytest.raises(Unreachable):
            await reader_bus.reader([F0])
        await writer.commit([rec(F0, b"after")])
        assert await read(await reader_bus.reader([F0])) == [b"before", b"after"]

    play(work())


def test_a_truncated_log_is_noticed_and_never_skipped() -> None:
    async def work() -> None:
        of = broker()
        await (await bus(of).writer("a")).commit([rec(F0, b"%d" % n) for n in range(5)])
        reader = await bus(of).reader([F0])
        of.logs[F0].first = 3
        with pytest.raises(CheckFailed, match="outside its log"):
            await read(reader)

    play(work())


def test_chunks_are_contiguous_however_unevenly_they_come() -> None:
    async def work() -> None:
        of = broker()
        for _ in range(6):
            await (await bus(of).writer("a")).commit([rec(partition, b"x") for partition in (F0, F0, F1)])
        reader = await bus(of, options=NetworkOptions(uneven_share=0.7)).reader([F0, F1])
        ends = {F0: 0, F1: 0}
        for _ in range(300):
            for chunk in await reader.poll(max_records=3, timeout_ms=5):
                partition = TopicPartition(chunk.topic, chunk.partition)
                assert chunk.start == ends[partition]
                ends[partition] = chunk.stop
        assert ends == {F0: 18, F1: 12}

    play(work())
