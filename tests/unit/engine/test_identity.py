"""A topic made again under its name is not the log that the journal's offsets are of."""

import asyncio
import hashlib
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest

from streams.bus.contract import Bus, NewRecord, TopicPartition
from streams.bus.memory import MemoryBus
from streams.bus.recording import load
from streams.bus.recording import record as record_log
from streams.engine.chunks import read_all
from streams.engine.compare import DifferenceClass
from streams.engine.identity import AnotherTopic, what_to_do
from streams.engine.journal import StepRecord, open_chunk, open_record
from streams.engine.standby import Standby
from streams.engine.verify import verify_bus
from streams.topics import TOPICS
from streams.wire.schemas import other_versions
from tests.support.toy import runner, script, spec, specs, toy_bus, toy_machine, write

JOURNAL = TopicPartition("accounts-journal", 0)
# By hand from the table of streams: what an accounts shard reads, and what it writes.
ACCOUNTS_TOPICS = {
    *("instruments", "pools", "account-events", "corrections", "marks", "adl-rounds"),
    *("account-states", "insolvencies", "fund-flows", "pool-results", "adl-candidates", "shard-totals"),
    *("instructions", "dead-letters", "accounts-journal"),
}


class Silent:
    """A bus that says no ids, as a broker does that is older than they are."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    async def topic_ids(self) -> dict[str, str]:
        return {}


async def steps(bus: Bus) -> list[StepRecord]:
    return open_chunk(await read_all(bus, JOURNAL))


async def run(bus: Bus, events: int = 6, *, seen: Bus | None = None, directory: Path | None = None) -> None:
    """Take a shard over, let it take some events, and stop it gracefully."""
    running = runner(seen or bus, spec(), directory=directory)
    await running.start()
    for said in script(events):
        await write(bus, said)
        while await running.turn():
            pass
    await running.leave_snapshot()
    await running.stop()


async def make_again(bus: MemoryBus, topic: str) -> tuple[str, str]:
    """The topic's id before and after; it is filled beyond what any position can be."""
    before = (await bus.topic_ids())[topic]
    count = (await bus.partitions())[topic]
    bus.delete_topic(topic)
    await bus.create_topics({topic: count})
    await (await bus.writer("someone")).commit([NewRecord(topic, 0, 1, None, b"x") for _ in range(200) if topic != JOURNAL.topic])
    return before, (await bus.topic_ids())[topic]


def test_a_shard_stands_on_what_it_reads_and_what_it_writes() -> None:
    assert set(spec().topics()) == ACCOUNTS_TOPICS
    pools = set(spec("pools").topics())
    assert {"insolvencies", "accounts-journal", "pools-journal", "adl-rounds", "instructions", "fund-ledger"} <= pools
    assert pools & {"account-events", "corrections", "account-states", "notifications"} == set()
    assert set(spec().topics()) | pools == TOPICS.keys() - {"notifications"}


async def test_the_ids_stand_in_the_genesis_and_wherever_a_snapshot_is_listed(tmp_path: Path) -> None:
    bus: MemoryBus = await toy_bus(shard_count=1)
    await run(bus, directory=tmp_path)
    ids = {topic: topic_id for topic, topic_id in (await bus.topic_ids()).items() if topic in ACCOUNTS_TOPICS}
    records = await steps(bus)
    assert [dict(record.topics) == ids for record in records] == [record.step == 0 or record.snapshot is not None for record in records]
    assert any(record.snapshot for record in records)
    assert any(not record.topics for record in records)


@pytest.mark.parametrize("topic", sorted(ACCOUNTS_TOPICS - {"accounts-journal"}))
@pytest.mark.parametrize("with_snapshots", [True, False])
async def test_a_topic_made_again_while_the_shard_was_down_stops_its_start(topic: str, with_snapshots: bool, tmp_path: Path) -> None:
    bus: MemoryBus = await toy_bus(shard_count=1)
    directory = tmp_path if with_snapshots else None
    await run(bus, directory=directory)
    journaled = len(await steps(bus))
    then, now = await make_again(bus, topic)
    with pytest.raises(AnotherTopic, match=rf"accounts-0: topic toy.{topic} is another one .* id was {then}, now it is {now}\. .*new deployment"):
        await runner(bus, spec(), directory=directory).start()
    assert len(await steps(bus)) == journaled


async def test_a_topic_of_others_made_again_is_nothing_to_a_shard() -> None:
    bus: MemoryBus = await toy_bus(shard_count=1)
    await run(bus)
    await make_again(bus, "notifications")
    await make_again(bus, "fund-ledger")
    await run(bus)


async def test_a_journal_made_again_is_noticed_by_the_pools_shard_that_reads_it() -> None:
    bus: MemoryBus = await toy_bus(shard_count=1)
    await run(bus)
    pools = runner(bus, spec("pools"))
    await pools.start()
    await pools.stop()
    await make_again(bus, "accounts-journal")
    with pytest.raises(AnotherTopic, match=r"pools-0: topic toy.accounts-journal"):
        await runner(bus, spec("pools")).start()


async def test_a_topic_made_again_under_a_running_shard_ends_it_at_the_next_look() -> None:
    bus: MemoryBus = await toy_bus(shard_count=1)
    running = runner(bus, spec())
    await running.start()
    assert await running.look_at_topics() == {}
    await make_again(bus, "marks")
    with pytest.raises(AnotherTopic, match=r"toy\.marks") as found:
        await running.look_at_topics()
    running.end_with(found.value)
    with pytest.raises(AnotherTopic, match=r"toy\.marks"):
        await running.turn()


async def test_a_shard_that_runs_hears_which_of_its_topics_have_grown() -> None:
    bus: MemoryBus = await toy_bus(shard_count=1)
    running = runner(bus, spec())
    await running.start()
    bus._counts |= {"account-events": 6, "adl-executions": 2}  # the second is none of its topics
    assert await running.look_at_topics() == {"account-events": (4, 6)}
    assert "write to partitions 0 to 3 only" in what_to_do("account-events", 4, 6)


@pytest.mark.parametrize("with_snapshots", [True, False])
async def test_a_journal_older_than_the_ids_notes_them_at_its_first_start_and_holds_to_them(with_snapshots: bool, tmp_path: Path) -> None:
    bus: MemoryBus = await toy_bus(shard_count=1)
    directory = tmp_path if with_snapshots else None
    await run(bus, seen=Silent(bus), directory=directory)
    old = await steps(bus)
    assert [record.topics for record in old] == [()] * len(old)
    await run(bus, 0, directory=directory)
    note = (await steps(bus))[len(old)]
    assert note.is_note
    assert note.state_digest == old[-1].state_digest
    assert {topic for topic, _ in note.topics} == ACCOUNTS_TOPICS
    noted = len(await steps(bus))
    await run(bus, 0, directory=directory)
    assert len(await steps(bus)) == noted  # once
    await make_again(bus, "marks")
    with pytest.raises(AnotherTopic, match=r"toy\.marks"):
        await runner(bus, spec(), directory=directory).start()


async def test_what_a_bus_does_not_say_is_not_judged() -> None:
    bus: MemoryBus = await toy_bus(shard_count=1)
    await run(bus)
    await run(bus, 0, seen=Silent(bus))


async def test_a_standby_of_a_shard_whose_topic_was_made_again_is_of_no_use() -> None:
    bus: MemoryBus = await toy_bus(shard_count=1)
    await run(bus)
    await make_again(bus, "marks")
    alarms: list[tuple[str, dict[str, Any]]] = []
    standby = Standby(bus, spec(), toy_machine, snapshots=None, patience_ms=None, alarm=lambda _, name, facts: alarms.append((name, facts)))
    await standby.follow(asyncio.Event())
    ((name, facts),) = alarms
    assert name == "standby_differs"
    assert "topic toy.marks is another one" in facts["reason"]


async def test_verify_names_the_topic_before_it_compares_anything() -> None:
    bus: MemoryBus = await toy_bus(shard_count=1)
    for each in specs(shard_count=1):
        running = runner(bus, each)
        await running.start()
        await running.stop()
    assert (await verify_bus(bus, toy_machine)).is_same
    await make_again(bus, "marks")
    difference = (await verify_bus(bus, toy_machine)).difference
    assert difference is not None
    assert difference.kind is DifferenceClass.JOURNAL
    assert "topic toy.marks is another one" in difference.text


async def test_a_recording_keeps_the_ids_and_one_without_them_says_none(tmp_path: Path) -> None:
    bus: MemoryBus = await toy_bus(shard_count=1)
    await make_again(bus, "marks")  # an id that no new bus would give
    await record_log(bus, tmp_path / "with")
    assert await (await load(tmp_path / "with")).topic_ids() == await bus.topic_ids()
    await record_log(Silent(bus), tmp_path / "without")
    assert await (await load(tmp_path / "without")).topic_ids() == {}


async def test_a_step_record_of_the_version_without_ids_is_read() -> None:
    bus: MemoryBus = await toy_bus(shard_count=1)
    await run(bus, 1)
    (before, *_) = other_versions("step_record")
    newer = (await steps(bus))[0]
    row: dict[str, Any] = {
        "task": "accounts",
        "shard": 0,
        "step": 0,
        "machine_version": newer.machine_version,
        "owner": "old",
        "generation": 1,
        "event_time_us": 0,
        "slices": [],
        "outputs": [],
        "state_digest": newer.state_digest,
        "snapshot": None,
        "genesis": {"deployment": "toy", "shard_count": 1, "inputs": [{"topic": "marks", "partitions": 1}]},
        "upgrade": None,
        "held": 0,
        "previous_hash": bytes(32),
        "own_hash": bytes(32),
    }
    stream = BytesIO()
    fastavro.schemaless_writer(stream, before.parsed, row)
    unsealed = b"\xc3\x01" + before.fingerprint + stream.getvalue()
    record = open_record(JOURNAL, 0, unsealed[:-32] + hashlib.sha256(unsealed).digest())
    assert (record.owner, record.topics) == ("old", ())
    assert record.genesis is not None
    assert record.genesis.inputs == (("marks", 1),)
