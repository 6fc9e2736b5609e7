"""A log whose head was deleted: what is missing is told, what is left is used as far as it leads, and none of it is called as recorded."""

from dataclasses import replace
from pathlib import Path

import pytest

from streams.bus.contract import TopicPartition
from streams.bus.memory import MemoryBus
from streams.engine.chunks import read_all
from streams.engine.compare import DifferenceClass, Differs
from streams.engine.journal import open_chunk
from streams.engine.lockstep import LockStep
from streams.engine.verify import SNAPSHOTS, Report, read_journals, verify_bus
from streams.errors import CheckFailed, ConfigurationProblem
from tests.support.toy import UNKNOWN_INSTRUMENT, ToyVenue, fill, runner, script, spec, specs, toy_bus, toy_machine, write

JOURNAL = TopicPartition("accounts-journal", 0)


def delete_before(bus: MemoryBus, partition: TopicPartition, offset: int | None = None) -> int:
    """What retention does, or `kafka-delete-records`: the log begins at `offset` (None: at its end). Where it begins."""
    log = bus._logs[partition]
    log.first = log.end if offset is None else offset
    gone = sum(kept < log.first for kept in log.offsets)
    for column in (log.offsets, log.timestamps_ms, log.keys, log.values, log.headers):
        del column[:gone]
    return log.first


def written(bus: MemoryBus, topic: str) -> list[TopicPartition]:
    """Partitions of a topic that hold records."""
    return [TopicPartition(*partition) for partition, log in sorted(bus._logs.items()) if partition[0] == topic and log.offsets]


async def played(directory: Path | None = None) -> MemoryBus:
    bus: MemoryBus = await toy_bus()
    runners = [runner(bus, s, directory=directory, every=8) for s in specs()]
    for each in runners:
        await each.start()
    await LockStep(bus, runners, ToyVenue(script(20))).run()
    for each in runners:
        await each.stop()
    return bus


async def difference_of(bus: MemoryBus) -> tuple[DifferenceClass, str | None, str]:
    found = (await verify_bus(bus, toy_machine)).difference
    assert found is not None
    return found.kind, found.topic, found.text


async def test_verify_tells_a_journal_without_its_head_from_a_damaged_one() -> None:
    bus = await played()
    second = bus._logs[JOURNAL].offsets[3]
    delete_before(bus, JOURNAL, second)
    kind, topic, text = await difference_of(bus)
    assert (kind, topic) == (DifferenceClass.JOURNAL, "accounts-journal")
    assert "begins with step 3: the records before it were deleted" in text


async def test_verify_of_a_journal_that_was_emptied_is_no_word_of_a_task_that_never_ran() -> None:
    bus = await played()
    begins = delete_before(bus, JOURNAL)
    kind, topic, text = await difference_of(bus)
    assert (kind, topic) == (DifferenceClass.JOURNAL, "accounts-journal")
    assert f"holds no step record and begins at offset {begins}: all of them were deleted" in text


async def test_verify_names_an_input_that_begins_late() -> None:
    bus = await played()
    delete_before(bus, TopicPartition("marks", 0), 5)
    kind, topic, text = await difference_of(bus)
    assert (kind, topic) == (DifferenceClass.INPUT, "marks")
    assert "holds offsets 5 to " in text


@pytest.mark.parametrize("topic", ["account-states", "insolvencies", "instructions"])
@pytest.mark.parametrize("all_of_it", [True, False])
async def test_verify_names_an_output_that_begins_late(topic: str, all_of_it: bool) -> None:
    bus = await played()
    partitions = written(bus, topic)
    begins = [delete_before(bus, partition, None if all_of_it else 1) for partition in partitions[: None if all_of_it else 1]]
    kind, named, text = await difference_of(bus)
    assert (kind, named) == (DifferenceClass.OUTPUT, topic)
    assert any(f"the log begins at offset {offset}, what came before was deleted" in text for offset in begins)


async def test_verify_says_that_a_whole_topic_of_outputs_is_gone() -> None:
    bus = await played()
    bus.delete_topic("instructions")
    kind, topic, text = await difference_of(bus)
    assert (kind, topic) == (DifferenceClass.OUTPUT, "instructions")
    assert "records it wrote is there" in text


async def test_of_dead_letters_verify_counts_what_is_no_longer_there() -> None:
    bus: MemoryBus = await toy_bus(shard_count=1)
    for each in specs(shard_count=1):
        running = runner(bus, each)
        await running.start()
        await write(bus, [("fills", 0, fill(1, 4, 1, seq=1)), ("fills", 0, fill(2, 4, 1, seq=2, instrument=UNKNOWN_INSTRUMENT))])
        while await running.turn():
            pass
        await running.stop()
    whole = await verify_bus(bus, toy_machine)
    letters = len(await read_all(bus, TopicPartition("dead-letters", 0)))
    assert letters > 0
    assert (whole.difference, whole.deleted) == (None, 0)
    delete_before(bus, TopicPartition("dead-letters", 0))
    late = await verify_bus(bus, toy_machine)
    assert late == Report(steps=whole.steps, inputs=whole.inputs, outputs=whole.outputs - letters, deleted=letters)


async def test_a_journal_without_its_head_starts_from_a_good_snapshot(tmp_path: Path) -> None:
    bus = await played(tmp_path / SNAPSHOTS)
    records = open_chunk(await read_all(bus, JOURNAL))
    newest = [record.snapshot.step for record in records if record.snapshot is not None][-1]
    delete_before(bus, JOURNAL, bus._logs[JOURNAL].offsets[newest])
    running = runner(bus, specs()[0], directory=tmp_path / SNAPSHOTS)
    await running.start()
    assert running.origin == ("snapshot", records[-1].step - newest)
    assert running.task.machine.digest() == records[-1].state_digest
    await running.stop()


async def test_without_a_snapshot_a_journal_without_its_head_says_what_is_missing(tmp_path: Path) -> None:
    bus = await played()
    delete_before(bus, JOURNAL, bus._logs[JOURNAL].offsets[3])
    with pytest.raises(CheckFailed, match=r"accounts-0: the journal begins with step 3: the records before it were deleted.*snapshots of the worker"):
        await runner(bus, specs()[0], directory=tmp_path).start()


async def test_a_journal_without_its_head_still_refuses_another_topology(tmp_path: Path) -> None:
    bus = await played(tmp_path)
    records = open_chunk(await read_all(bus, JOURNAL))
    newest = [record.snapshot.step for record in records if record.snapshot is not None][-1]
    delete_before(bus, JOURNAL, bus._logs[JOURNAL].offsets[newest])
    with pytest.raises(ConfigurationProblem, match=r"accounts-0: snapshot .* other partitions or shards"):
        await runner(bus, replace(specs()[0], shard_count=1), directory=tmp_path).start()


async def test_a_shard_is_not_founded_again_on_a_journal_that_was_emptied() -> None:
    bus = await played()
    begins = delete_before(bus, JOURNAL)
    with pytest.raises(CheckFailed, match=rf"accounts-journal\[0\] holds no step record and begins at offset {begins}"):
        await runner(bus, specs()[0]).start()


async def test_topics_that_have_grown_change_nothing_of_what_is_verified() -> None:
    bus = await played()
    before = await verify_bus(bus, toy_machine)
    grown: MemoryBus = MemoryBus(await bus.topic_ids())
    await grown.create_topics({topic: count + 2 for topic, count in (await bus.partitions()).items()})
    grown._logs |= bus._logs
    after = await verify_bus(grown, toy_machine)
    assert before.is_same
    assert after == before
    assert [each.account_partitions for each in await read_journals(grown)] == [4, 4, 4]


async def test_a_deployment_that_has_lost_a_shards_journal_is_not_taken_for_a_smaller_one() -> None:
    bus = await played()
    bus._counts["accounts-journal"] = 1
    with pytest.raises(Differs, match="founded on"):
        await read_journals(bus)


async def test_a_founding_that_was_broken_off_leaves_a_journal_that_can_be_founded() -> None:
    bus: MemoryBus = await toy_bus(shard_count=1)
    bus._logs[JOURNAL].end = 2  # an aborted record and its marker: nothing was ever deleted
    await runner(bus, spec()).start()
    assert [record.step for record in open_chunk(await read_all(bus, JOURNAL))] == [0]
