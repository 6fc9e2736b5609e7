"""The file of bounds."""

from pathlib import Path

import pytest

from streams.bus.contract import TopicPartition
from streams.errors import CheckFailed
from streams.sinks.blocks import Bounds
from streams.sinks.bounds import BoundsFile

EVENTS, MARKS = TopicPartition("account-events", 3), TopicPartition("marks", 0)


def test_without_a_file_nothing_was_inserted(tmp_path: Path) -> None:
    assert BoundsFile(tmp_path / "clickhouse" / "bounds.json").load("one") == {}


def test_a_later_process_finds_the_last_block_of_every_partition(tmp_path: Path) -> None:
    path = tmp_path / "clickhouse" / "bounds.json"
    writer = BoundsFile(path)
    writer.load("one")
    writer.save({EVENTS: Bounds(0, 9), MARKS: Bounds(0, 4)})
    writer.save({EVENTS: Bounds(11, 19)})
    assert BoundsFile(path).load("one") == {EVENTS: Bounds(11, 19), MARKS: Bounds(0, 4)}


def test_the_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "bounds.json"
    file = BoundsFile(path)
    file.load("one")
    file.save({EVENTS: Bounds(0, 9)})
    assert path.read_text() == '{"format":1,"target":"one","blocks":[["account-events",3,0,9]]}'
    assert [entry.name for entry in tmp_path.iterdir()] == ["bounds.json"]


def test_bounds_of_another_database_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bounds.json"
    file = BoundsFile(path)
    file.load("one")
    file.save({EVENTS: Bounds(0, 9)})
    with pytest.raises(CheckFailed, match=r"is of another ClickHouse database \(one\) than the one to load \(two\)"):
        BoundsFile(path).load("two")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", b'{"format":1,"target":"one"}', b'{"format":1,"target":"one","blocks":[["account-events",3,0]]}']
)
def test_a_damaged_file_is_refused_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bounds.json"
    path.write_bytes(content)
    with pytest.raises(CheckFailed, match=r"cannot be read .* Remove it to load everything again"):
        BoundsFile(path).load("one")
