"""`backstop report`: where the page goes, what it says of checks, and how it ends."""

import json
import shutil
from pathlib import Path

import pytest

from streams.cli import main
from tests.support.pages import recorded_as


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    recorded_as(tmp_path / "run", "example-a")
    return tmp_path / "run"


def said(digests: dict[str, str], **changed: object) -> str:
    """What a sound run says of itself."""
    sound: dict[str, object] = {
        "positions_sum": {"BTC": 0}, "cash_sum": {"1": 0}, "book_differences": 0, "suspect_accounts": 0, "replay_identical": True, "seconds": 1.5,
        "replay_seconds": 0.5,
    }  # fmt: skip
    return json.dumps({**sound, **{f"{name}_digest": digest for name, digest in digests.items()}, **changed})


def digests_of(directory: Path, capfd: pytest.CaptureFixture[str]) -> dict[str, str]:
    assert main(["replay", "--dir", str(directory), "--json"]) == 0
    replayed = json.loads(capfd.readouterr().out)
    return {name: replayed[f"{name}_digest"] for name in ("state", "output", "decision")}


def test_the_page_is_written_beside_the_log_and_its_link_is_printed(directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--dir", str(directory)]) == 0
    assert capfd.readouterr().out == f"Report: {(directory / 'report.html').resolve().as_uri()}\n"
    page = (directory / "report.html").read_text(encoding="utf-8")
    assert "<h1>example-a</h1>" in page
    assert "not looked at here: Our book equals the exchange's; Replay identical" in page  # only the run itself could say


def test_the_same_log_makes_the_same_page_and_stays_as_recorded(directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--dir", str(directory)]) == 0
    first = (directory / "report.html").read_bytes()
    assert main(["report", "--dir", str(directory), "--json"]) == 0
    document = json.loads(capfd.readouterr().out.split("\n", 1)[1])
    assert document == {"directory": str(directory), "report": str(directory / "report.html"), "bytes": len(first), "sound": True}
    assert (directory / "report.html").read_bytes() == first
    assert main(["verify", "--dir", str(directory)]) == 0  # the page is no part of the manifest


def test_what_the_run_said_of_itself_is_told_and_its_digests_are_held_against_the_log(directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    digests = digests_of(directory, capfd)
    (directory / "report.json").write_text(said(digests), encoding="utf-8")
    assert main(["report", "--dir", str(directory)]) == 0
    assert "✓ 8 checks hold" in (directory / "report.html").read_text(encoding="utf-8")
    (directory / "report.json").write_text(said({**digests, "decision": "00"}), encoding="utf-8")
    assert main(["report", "--dir", str(directory)]) == 1
    assert "changed: decision" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("changed", "check"),
    [
        ({"replay_identical": False}, "Replay identical"),
        ({"positions_sum": {"BTC": -1, "ETH": 1}}, "Lots over all shards at the end"),
        ({"cash_sum": {"1": 7}}, "Cash over all shards at the end"),
        ({"book_differences": 2}, "Our book equals the exchange's"),
        ({"suspect_accounts": 1}, "No account is suspect"),
    ],
)
def test_a_check_that_fails_is_said_on_the_page_and_ends_with_1(
    directory: Path, capfd: pytest.CaptureFixture[str], changed: dict[str, object], check: str
) -> None:
    (directory / "report.json").write_text(said(digests_of(directory, capfd), **changed), encoding="utf-8")
    assert main(["report", "--dir", str(directory)]) == 1
    err = capfd.readouterr().err
    assert check in err
    assert err.count("\n") == 1
    assert "✗ 1 of 8 checks fails" in (directory / "report.html").read_text(encoding="utf-8")


def test_a_place_without_a_run_is_a_mistake_of_usage(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--dir", str(tmp_path)]) == 2
    assert "is empty" in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_recording_of_some_streams_makes_a_page_of_what_is_there(directory: Path) -> None:
    for stream in ("accounts-journal", "pools-journal", "adl-candidates", "shard-totals", "dead-letters", "instructions"):
        shutil.rmtree(directory / "log" / stream)
    assert main(["report", "--dir", str(directory)]) == 0
    assert "The queue of the largest wave is not in this log." in (directory / "report.html").read_text(encoding="utf-8")


def test_damage_is_named_and_leaves_no_half_a_page(directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (directory / "log" / "marks" / "0.avro").write_bytes(b"not a log")
    assert main(["report", "--dir", str(directory)]) == 1
    assert "0.avro" in capfd.readouterr().err
    assert not list(directory.glob("report.html*"))


@pytest.mark.parametrize("content", ["{", '{"seconds": 1}', "[1]"])
def test_a_damaged_word_of_the_run_is_named(directory: Path, capfd: pytest.CaptureFixture[str], content: str) -> None:
    (directory / "report.json").write_text(content, encoding="utf-8")
    assert main(["report", "--dir", str(directory)]) == 1
    assert "report.json" in capfd.readouterr().err
