"""What every bus promises: in memory, simulated with all its delays, on Kafka by record batches, and on Kafka record by record."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from random import Random

import pytest

from streams.bus.contract import MAX_RECORD_BYTES, Bus, Chunk, End, NewRecord, Reader, TopicPartition
from streams.bus.faults import SimulatedBus
from streams.bus.kafka import KafkaBus
from streams.bus.memory import MemoryBus
from streams.bus.simulated import Broker
from streams.errors import CheckFailed, Fenced
from tests.support.kafka import fresh_kafka_bus

F0, F1, M0 = TopicPartition("fills", 0), TopicPartition("fills", 1), TopicPartition("marks", 0)


@pytest.fixture(params=["memory", "simulated", *(pytest.param(f"kafka by {unit}", marks=pytest.mark.kafka) for unit in ("batches", "records"))])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    made: Bus
    match request.param:
        case "memory":
            made = MemoryBus()
        case "simulated":
            made = SimulatedBus(Broker(Random(1)), Random(2))
        case kind:
            made = fresh_kafka_bus(request.getfixturevalue("kafka_broker"), record_batches=kind == "kafka by batches")
    await made.create_topics({"fills": 2, "marks": 1})
    yield made
    await made.close()


def new_id() -> str:
    return f"accounts-{uuid.uuid4().hex}"


def rec(partition: TopicPartition, value: bytes, timestamp_ms: int = 1_700_000_000_000) -> NewRecord:
    return NewRecord(partition.topic, partition.partition, timestamp_ms, b"key", value)


async def settled(reader: Reader, partition: TopicPartition, end: int) -> None:
    """Until the last stable offset is `end`: a commit becomes visible on each partition in its own time."""
    async with asyncio.timeout(20):
        while (await reader.bounds(partition))[1] < end:
            await asyncio.sleep(0.005)


async def chunks_until(reader: Reader, partition: TopicPartition, end: int, max_records: int = 1000) -> list[Chunk]:
    """Polls one partition up to the position `end`."""
    taken: list[Chunk] = []
    async with asyncio.timeout(20):
        while not taken or taken[-1].stop < end:
            taken += await reader.poll(max_records=max_records, timeout_ms=50, partitions=[partition])
    return taken


def values(chunks: Sequence[Chunk]) -> list[bytes | None]:
    return [value for chunk in chunks for value in chunk.values]


async def test_a_marker_takes_one_offset_on_each_partition_touched(bus: Bus) -> None:
    writer = await bus.writer(new_id())
    reader = await bus.reader([F0, F1, M0])
    first = await writer.commit([rec(F0, b"a"), rec(F0, b"b"), rec(F1, b"c")])
    await settled(reader, F0, 3)
    second = await writer.commit([rec(F0, b"d")])
    await settled(reader, F0, 5)
    await settled(reader, F1, 2)
    assert first == {F0: 2, F1: 1}
    assert second == {F0: 4}
    assert [await reader.bounds(partition) for partition in (F0, F1, M0)] == [(0, 5), (0, 2), (0, 0)]
    chunks = await chunks_until(reader, F0, 5)
    assert [offset for chunk in chunks for offset in chunk.offsets] == [0, 1, 3]


@pytest.mark.parametrize("max_records", [1, 2, 3, 100])
async def test_chunks_are_contiguous_and_cover_every_offset(bus: Bus, max_records: int) -> None:
    writer = await bus.writer(new_id())
    for commit in range(4):
        await writer.commit([rec(F0, b"%d-%d" % (commit, index)) for index in range(3)])
    reader = await bus.reader([F0])
    await settled(reader, F0, 16)
    chunks = await chunks_until(reader, F0, 16, max_records)
    assert chunks[0].start == 0
    assert chunks[-1].stop == 16
    assert [chunk.start for chunk in chunks[1:]] == [chunk.stop for chunk in chunks[:-1]]
    assert all(chunk.start <= offset < chunk.stop for chunk in chunks for offset in chunk.offsets)
    assert max(len(chunk) for chunk in chunks) <= max_records
    assert values(chunks) == [b"%d-%d" % (commit, index) for commit in range(4) for index in range(3)]


async def test_max_records_holds_over_all_partitions_and_starves_none(bus: Bus) -> None:
    writer = await bus.writer(new_id())
    await writer.commit([rec(partition, b"%d" % index) for partition in (F0, F1, M0) for index in range(10)])
    reader = await bus.reader([F0, F1, M0])
    for partition in (F0, F1, M0):
        await settled(reader, partition, 11)
    seen: dict[tuple[str, int], int] = {}
    async with asyncio.timeout(20):
        while sum(seen.values()) < 30:
            chunks = await reader.poll(max_records=4, timeout_ms=50)
            assert sum(len(chunk) for chunk in chunks) <= 4
            for chunk in chunks:
                seen[chunk.topic, chunk.partition] = seen.get((chunk.topic, chunk.partition), 0) + len(chunk)
    assert seen == {F0: 10, F1: 10, M0: 10}


async def test_records_keep_key_value_headers_timestamp_and_order(bus: Bus) -> None:
    year_2001 = 1_000_000_000_000
    headers = (("reason", b"\x00\xff"), ("reason", b""), ("ort", "Zürich".encode()))
    records = [
        NewRecord("fills", 0, year_2001, b"\x00\x00", b"value", headers),
        NewRecord("fills", 0, year_2001 - 5, None, b"no key"),
        NewRecord("fills", 0, 0, b"no value", None),
        NewRecord("fills", 0, 4_000_000_000_000, b"", b""),
    ]
    writer = await bus.writer(new_id())
    await writer.commit(records)
    reader = await bus.reader([F0])
    await settled(reader, F0, 5)
    got = [row for c in await chunks_until(reader, F0, 5) for row in zip(c.timestamps_ms, c.keys, c.values, c.headers, strict=True)]
    assert got == [(r.timestamp_ms, r.key, r.value, r.headers) for r in records]


async def test_a_newer_writer_of_the_id_fences_the_older_one(bus: Bus) -> None:
    name = new_id()
    older = await bus.writer(name)
    await older.commit([rec(F0, b"first")])
    newer = await bus.writer(name)
    with pytest.raises(Fenced, match=name):
        await older.commit([rec(F0, b"zombie"), rec(F1, b"zombie")])
    with pytest.raises(Fenced):
        await older.commit([rec(F1, b"zombie again")])
    end = (await newer.commit([rec(F0, b"second"), rec(F1, b"second")]))[F0] + 1
    reader = await bus.reader([F0, F1])
    await settled(reader, F0, end)
    assert values(await chunks_until(reader, F0, end)) == [b"first", b"second"]
    assert values(await chunks_until(reader, F1, 2)) == [b"second"]


async def test_writers_of_other_ids_are_not_fenced(bus: Bus) -> None:
    one, other = await bus.writer(new_id()), await bus.writer(new_id())
    await one.commit([rec(F0, b"1")])
    await other.commit([rec(F0, b"2")])
    await one.commit([rec(F0, b"3")])
    reader = await bus.reader([F0])
    await settled(reader, F0, 6)
    assert values(await chunks_until(reader, F0, 6)) == [b"1", b"2", b"3"]


async def test_an_oversized_record_is_refused_with_its_whole_commit_and_the_writer_goes_on(bus: Bus) -> None:
    writer = await bus.writer(new_id())
    largest = MAX_RECORD_BYTES - len(b"key")
    with pytest.raises(CheckFailed, match=r"marks\[0\]"):
        await writer.commit([rec(F0, b"beside it"), rec(M0, bytes(largest + 1))])
    await writer.commit([rec(F0, b"after it"), rec(M0, bytes(largest))])
    reader = await bus.reader([F0, M0])
    await settled(reader, F0, 2)
    assert values(await chunks_until(reader, F0, 2)) == [b"after it"]
    assert [len(value or b"") for value in values(await chunks_until(reader, M0, 2))] == [largest]


async def test_a_commit_of_several_megabytes_keeps_its_order(bus: Bus) -> None:
    writer = await bus.writer(new_id())
    contents = [b"%03d" % index + bytes(50_000) for index in range(60)]
    assert await writer.commit([rec(F0, content) for content in contents]) == {F0: 60}
    reader = await bus.reader([F0])
    await settled(reader, F0, 61)
    assert values(await chunks_until(reader, F0, 61)) == contents


@pytest.mark.parametrize("partition", [TopicPartition("fills", 2), TopicPartition("fills", -1), TopicPartition("nowhere", 0)])
async def test_a_partition_that_does_not_exist_is_refused(bus: Bus, partition: TopicPartition) -> None:
    with pytest.raises(CheckFailed, match=f"{partition.topic}\\[{partition.partition}\\] does not exist"):
        await bus.reader([F0, partition])
    writer = await bus.writer(new_id())
    with pytest.raises(CheckFailed, match="does not exist"):
        await writer.commit([rec(F0, b"beside it"), rec(partition, b"lost")])
    assert await writer.commit([rec(F0, b"after it")]) == {F0: 1}


async def test_an_empty_commit_writes_nothing(bus: Bus) -> None:
    writer = await bus.writer(new_id())
    assert await writer.commit([]) == {}
    reader = await bus.reader([F0])
    assert await reader.bounds(F0) == (0, 0)
    assert await reader.poll(max_records=10, timeout_ms=20) == []


async def test_seek_reads_on_from_any_offset_of_the_log(bus: Bus) -> None:
    writer = await bus.writer(new_id())
    await writer.commit([rec(F0, b"0"), rec(F0, b"1")])
    await writer.commit([rec(F0, b"3")])
    reader = await bus.reader([F0])
    await settled(reader, F0, 5)
    for offset, expected in ((3, [b"3"]), (1, [b"1", b"3"]), (2, [b"3"]), (0, [b"0", b"1", b"3"]), (4, [])):
        await reader.seek(F0, offset)
        chunks = await chunks_until(reader, F0, 5)
        assert chunks[0].start == offset
        assert values(chunks) == expected
    await reader.seek(F0, 5)
    assert await reader.poll(max_records=10, timeout_ms=20) == []


@pytest.mark.parametrize("offset", [4, 1_000])
async def test_a_position_beyond_the_log_is_refused_naming_what_is_there(bus: Bus, offset: int) -> None:
    writer = await bus.writer(new_id())
    await writer.commit([rec(F0, b"0"), rec(F0, b"1")])
    reader = await bus.reader([F0])
    await settled(reader, F0, 3)
    with pytest.raises(CheckFailed, match=f"position {offset} of fills\\[0\\].*offsets 0 to 3"):
        await reader.seek(F0, offset)


async def test_naming_partitions_leaves_the_others_unread(bus: Bus) -> None:
    writer = await bus.writer(new_id())
    await writer.commit([rec(F0, b"f0"), rec(F1, b"f1")])
    reader = await bus.reader([F0, F1])
    await settled(reader, F0, 2)
    await settled(reader, F1, 2)
    assert values(await chunks_until(reader, F1, 2)) == [b"f1"]
    assert values(await chunks_until(reader, F0, 2)) == [b"f0"]


async def test_creating_topics_again_changes_nothing(bus: Bus) -> None:
    await bus.create_topics({"fills": 2, "marks": 1})
    await bus.create_topics({"fills": 2, "pools": 1})
    assert await bus.partitions() == {"fills": 2, "marks": 1, "pools": 1}


async def test_another_partition_count_is_refused_and_nothing_is_created(bus: Bus) -> None:
    with pytest.raises(CheckFailed, match=r"fills has 2 partitions, 3 were asked for"):
        await bus.create_topics({"pools": 1, "fills": 3})
    assert await bus.partitions() == {"fills": 2, "marks": 1}


async def test_a_reader_knows_the_end_of_what_it_has_read_from_without_asking(bus: Bus) -> None:
    writer = await bus.writer(new_id())
    await writer.commit([rec(F0, b"%d" % index) for index in range(20)])
    reader = await bus.reader([F0, F1])
    await settled(reader, F0, 21)
    assert F0 in reader.unread()
    async with asyncio.timeout(20):
        while reader.known_end(F0) is None or reader.known_end(F1) is None:
            await reader.poll(max_records=1, timeout_ms=50)
    # There is more than has been read, and it is known.
    assert (reader.known_end(F0), reader.known_end(F1)) == (End(21, 21), End(0, 0))
    assert reader.unread() == [F0]
    await chunks_until(reader, F0, 21)
    assert reader.unread() == []
    await writer.commit([rec(F1, b"later")])
    async with asyncio.timeout(20):
        while reader.known_end(F1) != End(2, 2):
            await reader.poll(max_records=1, timeout_ms=50)


async def made_again(bus: Bus, topic: str, partitions: int) -> None:
    """An administrator deletes a topic and creates it again."""
    match bus:
        case MemoryBus():
            bus.delete_topic(topic)
        case SimulatedBus():
            bus._network.broker.delete(topic)
        case KafkaBus():
            await bus._admin.delete_topics([bus.topic(topic)])
            async with asyncio.timeout(20):
                while topic in await bus.partitions():
                    await asyncio.sleep(0.02)
    await bus.create_topics({topic: partitions})


async def test_every_topic_has_an_id_of_its_own_which_stays(bus: Bus) -> None:
    ids = await bus.topic_ids()
    assert ids.keys() == {"fills", "marks"}
    assert len(set(ids.values())) == 2
    assert {len(topic_id) for topic_id in ids.values()} == {22}
    await bus.create_topics({"fills": 2, "marks": 1})
    await (await bus.writer(new_id())).commit([rec(F0, b"written")])
    assert await bus.topic_ids() == ids


async def test_a_topic_made_again_under_its_name_has_another_id(bus: Bus) -> None:
    before = await bus.topic_ids()
    await made_again(bus, "marks", 1)
    after = await bus.topic_ids()
    assert after["fills"] == before["fills"]
    assert after["marks"] != before["marks"]
    reader = await bus.reader([M0])
    assert await reader.bounds(M0) == (0, 0)
