"""A recorded directory holds the log as it was: offsets, gaps and bounds included; damage is named, never guessed around."""

from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.bus.contract import Chunk, NewRecord, TopicPartition
from streams.bus.memory import MemoryBus
from streams.bus.recording import load, record
from streams.errors import CheckFailed

COUNTS = {"fills": 2, "marks": 1}
PARTITIONS = [TopicPartition(topic, index) for topic, count in COUNTS.items() for index in range(count)]

record_st = st.builds(
    NewRecord,
    topic=st.just("marks"),
    partition=st.just(0),
    timestamp_ms=st.integers(0, 2**62),
    key=st.none() | st.binary(max_size=9),
    value=st.none() | st.binary(max_size=40),
    headers=st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5)), max_size=3).map(tuple),
)
commit_st = st.lists(
    st.tuples(st.sampled_from(PARTITIONS), record_st).map(lambda p: NewRecord(*p[0], p[1].timestamp_ms, p[1].key, p[1].value, p[1].headers)),
    max_size=6,
)


async def bus_of(commits: list[list[NewRecord]]) -> MemoryBus:
    bus = MemoryBus()
    await bus.create_topics(COUNTS)
    writer = await bus.writer("test")
    for commit in commits:
        await writer.commit(commit)
    return bus


async def contents(bus: MemoryBus) -> list[tuple[Any, ...]]:
    """Everything a reader can see of each partition."""
    counts = await bus.partitions()
    seen = []
    for partition in (TopicPartition(topic, index) for topic in sorted(counts) for index in range(counts[topic])):
        reader = await bus.reader([partition])
        chunks = await reader.poll(max_records=10**9, timeout_ms=0)
        rows = [(c.start, c.stop, c.offsets, c.timestamps_ms, c.keys, c.values, c.headers) for c in chunks]
        seen.append((partition, await reader.bounds(partition), rows))
    return seen


def three_fills() -> list[list[NewRecord]]:
    return [[NewRecord("fills", 0, 1_000 + index, b"key", b"value %d" % index, (("h", b"x"),))] for index in range(3)]


@given(commits=st.lists(commit_st, max_size=8))
async def test_a_loaded_recording_reads_as_the_log_did(tmp_path_factory: pytest.TempPathFactory, commits: list[list[NewRecord]]) -> None:
    bus = await bus_of(commits)
    directory = tmp_path_factory.mktemp("recording")
    counts = await record(bus, directory)
    assert counts == {topic: sum(r.topic == topic for commit in commits for r in commit) for topic in COUNTS}
    assert await contents(await load(directory)) == await contents(bus)


async def test_the_marker_after_the_last_record_is_kept(tmp_path: Path) -> None:
    await record(await bus_of(three_fills()), tmp_path)
    reader = await (await load(tmp_path)).reader([TopicPartition("fills", 0)])
    assert await reader.bounds(TopicPartition("fills", 0)) == (0, 6)
    (chunk,) = await reader.poll(max_records=10, timeout_ms=0)
    assert (chunk.offsets, chunk.stop) == ([0, 2, 4], 6)


async def test_a_log_whose_beginning_was_deleted_keeps_its_first_offset(tmp_path: Path) -> None:
    bus = MemoryBus()
    await bus.create_topics({"fills": 1})
    bus.preload(Chunk("fills", 0, 100, 110, [101, 105], [1, 2], [None, b"k"], [b"a", b"b"], [(), ()]))
    await record(bus, tmp_path)
    assert await contents(await load(tmp_path)) == await contents(bus)


async def test_many_records_come_back_over_several_blocks(tmp_path: Path) -> None:
    bus = await bus_of([[NewRecord("fills", 1, index, b"k%d" % index, bytes(index % 50)) for index in range(25_000)]])
    assert await record(bus, tmp_path, topics=["fills"]) == {"fills": 25_000}
    loaded = await load(tmp_path)
    assert await contents(loaded) == (await contents(bus))[:2]
    assert await loaded.partitions() == {"fills": 2}


async def test_the_same_log_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        await record(await bus_of(three_fills()), tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.avro"))
    assert [str(path) for path in files] == ["log/fills/0.avro", "log/fills/1.avro", "log/marks/0.avro"]
    assert all((tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes() for path in files)


async def test_any_avro_reader_can_read_the_files(tmp_path: Path) -> None:
    await record(await bus_of(three_fills()), tmp_path)
    with (tmp_path / "log/fills/0.avro").open("rb") as file:
        rows = list(fastavro.reader(file))
    assert rows[1] == {"offset": 2, "timestamp_ms": 1_001, "key": b"key", "value": b"value 1", "headers": [{"name": "h", "value": b"x"}]}


async def test_recording_again_replaces_the_files(tmp_path: Path) -> None:
    await record(await bus_of(three_fills()), tmp_path)
    await record(await bus_of(three_fills()[:1]), tmp_path)
    reader = await (await load(tmp_path)).reader([TopicPartition("fills", 0)])
    assert await reader.bounds(TopicPartition("fills", 0)) == (0, 2)


async def test_a_stream_that_does_not_exist_is_not_recorded(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="topic pools does not exist"):
        await record(await bus_of([]), tmp_path, topics=["pools"])


async def test_a_directory_without_a_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="holds no recorded topics"):
        await load(tmp_path)


async def test_a_missing_partition_is_named(tmp_path: Path) -> None:
    await record(await bus_of(three_fills()), tmp_path)
    (tmp_path / "log/fills/0.avro").unlink()
    with pytest.raises(CheckFailed, match=r"fills/0\.avro is missing"):
        await load(tmp_path)


async def test_a_cut_file_is_named_with_the_record_that_is_unreadable(tmp_path: Path) -> None:
    await record(await bus_of(three_fills()), tmp_path)
    path = tmp_path / "log/fills/0.avro"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(CheckFailed, match=r"fills/0\.avro, record \d: unreadable"):
        await load(tmp_path)


async def test_a_file_that_is_no_container_is_named(tmp_path: Path) -> None:
    await record(await bus_of(three_fills()), tmp_path)
    (tmp_path / "log/fills/0.avro").write_bytes(b"not Avro")
    with pytest.raises(CheckFailed, match=r"fills/0\.avro: its header is damaged"):
        await load(tmp_path)


async def test_records_of_another_schema_are_refused(tmp_path: Path) -> None:
    await record(await bus_of(three_fills()), tmp_path)
    other = {"type": "record", "name": "Other", "fields": [{"name": "offset", "type": "long"}]}
    metadata = {"backstop.first_offset": "0", "backstop.end_offset": "1"}
    with (tmp_path / "log/fills/0.avro").open("wb") as file:
        fastavro.writer(file, other, [{"offset": 0}], metadata=metadata)
    with pytest.raises(CheckFailed, match="not envelopes"):
        await load(tmp_path)


@given(data=st.data())
async def test_a_flipped_bit_either_loads_or_is_named_but_never_breaks_the_loader(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("flipped")
    await record(await bus_of(three_fills()), directory)
    path = directory / "log/fills/0.avro"
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    try:
        await load(directory)
    except CheckFailed as failure:
        assert str(path) in str(failure) or "fills[0]" in str(failure)  # noqa: PT017


async def test_a_recorded_range_keeps_its_offsets_and_says_its_bounds(tmp_path: Path) -> None:
    bus = await bus_of(three_fills())  # records at 0, 2 and 4, markers between them
    await record(bus, tmp_path, ["fills"], ranges={TopicPartition("fills", 0): (2, 5)})
    loaded = await load(tmp_path)
    reader = await loaded.reader([TopicPartition("fills", 0)])
    assert await reader.bounds(TopicPartition("fills", 0)) == (2, 5)
    assert [chunk.offsets for chunk in await reader.poll(max_records=9, timeout_ms=0)] == [[2, 4]]
