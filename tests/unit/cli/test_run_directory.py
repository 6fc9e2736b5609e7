"""What counts as the directory of a run, and how an earlier run makes room."""

from pathlib import Path

import pytest

from streams.commands.run_directory import RUN, Run, begin, prepare, read_run, require, unfinished
from streams.errors import CheckFailed, Interrupted, UsageProblem

A_RUN = Run(scenario="example-a", seed=1, accounts=5, shards=2, account_partitions=8, bus="memory", deployment="demo")


def test_a_new_directory_is_made_with_those_above_it(tmp_path: Path) -> None:
    prepare(tmp_path / "a" / "b", force=False)
    assert (tmp_path / "a" / "b").is_dir()


def test_an_earlier_run_is_removed_and_what_is_not_part_of_it_stays(tmp_path: Path) -> None:
    begin(tmp_path, A_RUN)
    (tmp_path / "log" / "marks").mkdir(parents=True)
    (tmp_path / "log" / "marks" / "0.avro").write_bytes(b"old")
    (tmp_path / "MANIFEST").write_text("old")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageProblem, match="holds a finished run: name another directory, or give that run up with --force"):
        prepare(tmp_path, force=False)
    assert (tmp_path / "log" / "marks" / "0.avro").read_bytes() == b"old"
    prepare(tmp_path, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_interrupted_run_makes_room_too(tmp_path: Path) -> None:
    begin(tmp_path, A_RUN)
    prepare(tmp_path, force=False)
    assert list(tmp_path.iterdir()) == []


def test_a_link_inside_an_earlier_run_is_removed_but_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "keep").write_text("")
    run = tmp_path / "run"
    run.mkdir()
    begin(run, A_RUN)
    (run / "log").symlink_to(tmp_path / "elsewhere")
    prepare(run, force=False)
    assert (tmp_path / "elsewhere" / "keep").exists()


def test_a_run_is_read_as_it_was_begun(tmp_path: Path) -> None:
    begin(tmp_path, A_RUN)
    require(tmp_path)
    assert read_run(tmp_path) == A_RUN


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"scenario": "x"}', b"\xff\xfe"])
def test_a_damaged_run_file_is_a_failed_check(tmp_path: Path, content: bytes) -> None:
    (tmp_path / RUN).write_bytes(content)
    with pytest.raises(CheckFailed, match=r"run\.json"):
        read_run(tmp_path)


def test_a_run_without_its_run_file_is_damage_and_not_usage(tmp_path: Path) -> None:
    (tmp_path / "MANIFEST").write_text("")
    require(tmp_path)
    with pytest.raises(CheckFailed, match="missing"):
        read_run(tmp_path)


def test_a_directory_that_cannot_be_made_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageProblem):
        prepare(tmp_path / "file" / "below", force=False)


def test_an_interrupt_says_that_the_run_is_unfinished_and_only_then(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), unfinished(tmp_path):
        raise KeyboardInterrupt  # nothing was begun
    begin(tmp_path, A_RUN)
    with pytest.raises(Interrupted, match="holds an unfinished run"), unfinished(tmp_path):
        raise KeyboardInterrupt
    (tmp_path / "MANIFEST").write_text("")
    with pytest.raises(KeyboardInterrupt), unfinished(tmp_path):
        raise KeyboardInterrupt  # only the page was still to be written
