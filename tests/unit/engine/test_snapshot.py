"""Snapshot files, and the chunks that slices are read again as."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from streams.bus.contract import TopicPartition
from streams.engine.chunks import SliceReader, cut, join, read_all
from streams.engine.gate import Fact, PoolsGate
from streams.engine.snapshot import SnapshotStore, pack, read_snapshot, restore, tables_of, unpack
from streams.engine.task import Task
from streams.errors import CheckFailed
from tests.support.toy import ToyAccounts, ToyPools, fill, mark, spec, toy_bus, write

TABLES = {
    "a": pa.record_batch({"x": [1, 2, 3]}),
    "b": pa.record_batch({"s": ["one"], "b": [b"\x00"]}),
    "empty": pa.record_batch({"x": pa.array([], pa.int64())}),
}


def test_tables_read_back_as_they_were() -> None:
    assert unpack(pack(TABLES)) == TABLES


def test_the_same_tables_give_the_same_bytes() -> None:
    assert pack(TABLES) == pack(dict(reversed(TABLES.items())))


def test_a_snapshot_is_named_by_task_shard_step_and_digest(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path / "new", keep=None)
    ref = store.write(spec(), 12, bytes.fromhex("00112233445566778899aabbccddeeff"), TABLES)
    (path,) = (tmp_path / "new").iterdir()
    assert path.name == "accounts-0-12-0011223344556677.arrow"
    (file,) = store.files(spec())
    assert read_snapshot(file, ref) == TABLES


def test_snapshots_of_other_shards_are_not_taken_for_ones_own(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path, keep=None)
    for each in (spec(shard=1, shard_count=12), spec(shard=11, shard_count=12), spec("pools", 0, 12)):
        store.write(each, 5, bytes(16), TABLES)
    assert [file.path.name for file in store.files(spec(shard=1, shard_count=12))] == ["accounts-1-5-0000000000000000.arrow"]


def test_the_newest_come_first_and_only_those_before_a_listed_one_go(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path, keep=2)
    for step in (9, 10, 100):
        store.write(spec(), step, bytes(16), TABLES)
    assert [file.step for file in store.files(spec())] == [100, 10, 9]
    assert store.kept([8, 9, 10]) == [9, 10]  # 100 has been written, and nobody has listed it
    store.forget_before(spec(), 10)
    assert [file.step for file in store.files(spec())] == [100, 10]


def test_a_damaged_or_missing_file_is_refused(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path)
    ref = store.write(spec(), 5, bytes(16), TABLES)
    (file,) = store.files(spec())
    with pytest.raises(CheckFailed, match="is damaged"):
        read_snapshot(file, replace(ref, file_sha256=bytes(32)))
    file.path.unlink()
    with pytest.raises(CheckFailed, match="cannot be read"):
        read_snapshot(file, ref)


async def test_a_task_and_its_gate_are_restored_whole() -> None:
    bus = await toy_bus(shard_count=1)
    await write(bus, [("fills", 1, fill(7, 4, 2)), ("marks", 0, mark(9))])
    task, gate = Task(spec(), ToyAccounts()), PoolsGate(spec("pools"), None)
    task.step([await read_all(bus, TopicPartition("account-events", 1)), await read_all(bus, TopicPartition("marks", 0))])
    gate.restore([Fact("announced", -1, "fund-flows", 0, 6), Fact("clock", 0, "", 0, 8)])
    again, gate_again = Task(spec(), ToyAccounts()), PoolsGate(spec("pools"), None)
    restore(again, gate_again, 1, unpack(pack(tables_of(task, gate))))
    assert again.machine.digest() == task.machine.digest()
    assert (again.number, again.positions, again.counts, again.running) == (task.number, task.positions, task.counts, task.running)
    assert sorted(gate_again.facts()) == sorted(gate.facts())


def test_a_machine_may_not_name_a_table_as_the_engine_does() -> None:
    class Bold(ToyPools):
        def snapshot(self) -> dict[str, pa.RecordBatch]:
            return {"engine": TABLES["a"]}

    with pytest.raises(AssertionError, match="engine"):
        tables_of(Task(spec("pools"), Bold()), None)


async def test_slices_are_read_again_exactly_whatever_their_bounds() -> None:
    bus = await toy_bus(shard_count=1)
    for time_us in range(1, 8):  # a record and a marker each: records at even offsets
        await write(bus, [("marks", 0, mark(time_us, time_us))])
    marks = TopicPartition("marks", 0)
    slices = await SliceReader.open(bus, [marks])
    bounds = [(0, 3), (3, 4), (4, 9), (10, 13), (2, 5)]
    assert [(await slices.take(marks, low, high)).offsets for low, high in bounds] == [[0, 2], [], [4, 6, 8], [10, 12], [2, 4]]
    with pytest.raises(CheckFailed, match=r"marks\[0\] ends at offset 14, but a step took up to 20"):
        await slices.take(marks, 12, 20)


async def test_a_chunk_cut_and_joined_again_is_the_same() -> None:
    bus = await toy_bus(shard_count=1)
    await write(bus, [("marks", 0, mark(time_us, time_us)) for time_us in range(1, 8)])
    whole = await read_all(bus, TopicPartition("marks", 0))
    for offset in range(whole.start, whole.stop + 1):
        head, tail = cut(whole, offset)
        assert (head.stop, len(head) + len(tail)) == (offset, 7)
        assert join([head, tail]) == whole
    with pytest.raises(CheckFailed, match="a read ended at offset 3, the next began at 4"):
        join([cut(whole, 3)[0], cut(whole, 4)[1]])
