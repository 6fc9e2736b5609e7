"""The manifest notices every change of every file it covers, and of itself."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.bus.manifest import check_manifest, write_manifest
from streams.errors import CheckFailed, UsageProblem

FILES = {"log/fills/0.avro": b"fills of partition 0", "log/marks/0.avro": b"", "snapshots/7.arrow": bytes(range(256)), "report.json": b"{}\n"}


def recorded(directory: Path) -> Path:
    for name, content in FILES.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (directory / "clickhouse/store").mkdir(parents=True)
    (directory / "clickhouse/store/part").write_bytes(b"its own")
    write_manifest(directory)
    return directory


def test_the_manifest_lists_digest_size_and_path_and_ends_with_its_own_digest(tmp_path: Path) -> None:
    lines = (recorded(tmp_path) / "MANIFEST").read_text().splitlines(keepends=True)
    expected = [f"{hashlib.sha256(FILES[name]).hexdigest()}  {len(FILES[name])}  {name}\n" for name in sorted(FILES)]
    assert lines[:-1] == expected
    assert lines[-1] == hashlib.sha256("".join(expected).encode()).hexdigest() + "\n"


def test_an_untouched_directory_passes_and_its_files_are_listed(tmp_path: Path) -> None:
    assert check_manifest(recorded(tmp_path)) == sorted(FILES)


def test_clickhouse_may_change(tmp_path: Path) -> None:
    recorded(tmp_path)
    (tmp_path / "clickhouse/store/part").write_bytes(b"merged")
    (tmp_path / "clickhouse/new").write_bytes(b"new")
    assert check_manifest(tmp_path) == sorted(FILES)


def test_only_the_clickhouse_directory_at_the_top_is_left_out(tmp_path: Path) -> None:
    recorded(tmp_path)
    (tmp_path / "log/clickhouse").mkdir()
    (tmp_path / "log/clickhouse/x").write_bytes(b"x")
    with pytest.raises(CheckFailed, match="log/clickhouse/x is not in the manifest"):
        check_manifest(tmp_path)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    (recorded(tmp_path) / name).unlink()
    with pytest.raises(CheckFailed, match=f"{name} is missing"):
        check_manifest(tmp_path)


def test_an_unexpected_file_is_named(tmp_path: Path) -> None:
    (recorded(tmp_path) / "log/fills/1.avro").write_bytes(b"late")
    with pytest.raises(CheckFailed, match=r"log/fills/1\.avro is not in the manifest"):
        check_manifest(tmp_path)


def test_a_second_manifest_deeper_down_is_an_ordinary_file(tmp_path: Path) -> None:
    (recorded(tmp_path) / "log/MANIFEST").write_bytes(b"")
    with pytest.raises(CheckFailed, match="log/MANIFEST is not in the manifest"):
        check_manifest(tmp_path)


def test_a_link_to_a_directory_is_not_overlooked(tmp_path: Path) -> None:
    (recorded(tmp_path) / "log/elsewhere").symlink_to(tmp_path / "log/fills", target_is_directory=True)
    with pytest.raises(CheckFailed, match="log/elsewhere is not in the manifest"):
        check_manifest(tmp_path)


def test_the_first_difference_in_order_of_path_is_reported(tmp_path: Path) -> None:
    recorded(tmp_path)
    (tmp_path / "report.json").write_bytes(b"{ }")
    (tmp_path / "log/marks/0.avro").write_bytes(b"!")
    with pytest.raises(CheckFailed, match=r"log/marks/0\.avro is not as recorded: 1 bytes"):
        check_manifest(tmp_path)


def test_a_directory_without_manifest_is_no_complete_recording(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="MANIFEST cannot be read"):
        check_manifest(tmp_path)


def test_a_file_name_with_a_line_break_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a\nb").write_bytes(b"")
    with pytest.raises(UsageProblem, match="line break"):
        write_manifest(tmp_path)


@pytest.mark.parametrize("cut", [1, 64, 65, 66, 10_000])
def test_a_cut_manifest_is_damaged(tmp_path: Path, cut: int) -> None:
    path = recorded(tmp_path) / "MANIFEST"
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(CheckFailed, match="MANIFEST is damaged"):
        check_manifest(tmp_path)


@settings(max_examples=300)
@given(data=st.data())
def test_every_flipped_bit_of_every_file_is_found(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    directory = recorded(tmp_path_factory.mktemp("recorded"))
    name = data.draw(st.sampled_from(["MANIFEST", *(name for name, content in FILES.items() if content)]))
    content = bytearray((directory / name).read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    (directory / name).write_bytes(content)
    with pytest.raises(CheckFailed, match=name):
        check_manifest(directory)


@settings(max_examples=50)
@given(data=st.data(), extra=st.binary(min_size=1, max_size=80))
def test_inserted_bytes_are_found(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, extra: bytes) -> None:
    directory = recorded(tmp_path_factory.mktemp("recorded"))
    name = data.draw(st.sampled_from(["MANIFEST", *FILES]))
    content = (directory / name).read_bytes()
    position = data.draw(st.integers(0, len(content)))
    (directory / name).write_bytes(content[:position] + extra + content[position:])
    with pytest.raises(CheckFailed, match=name):
        check_manifest(directory)
