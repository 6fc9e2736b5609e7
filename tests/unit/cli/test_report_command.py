"""`backstop report`: where the page goes, what it says of checks, and how it ends."""

import json
import shutil
from pathlib import Path

import pytest

from streams.bus.manifest import write_manifest
from streams.cli import main
from streams.report.writing import ABSENT
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


def speak(directory: Path, text: str) -> None:
    """Leave this word of the run in its directory, closed as a demo closes it."""
    (directory / "report.json").write_text(text, encoding="utf-8")
    write_manifest(directory)


def digests_of(directory: Path, capfd: pytest.CaptureFixture[str]) -> dict[str, str]:
    assert main(["replay", "--dir", str(directory), "--json"]) == 0
    replayed = json.loads(capfd.readouterr().out)
    return {name: replayed[f"{name}_digest"] for name in ("state", "output", "decision")}


def test_the_page_is_written_beside_the_log_and_its_link_is_printed(directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--dir", str(directory)]) == 0
    assert capfd.readouterr().out == f"Report: {(directory / 'report.html').resolve().as_uri()}\n"
    page = (directory / "report.html").read_text(encoding="utf-8")
    assert "<h1>example-a</h1>" in page
    assert "✓ 2 checks hold" in page
    # Example A is over within its first second, which no shard closes; the others only the run itself could say.
    assert "not looked at here: Sums over all shards, each event second; Our book equals the exchange's; Replay identical" in page


def test_the_same_log_makes_the_same_page_and_stays_as_recorded(directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--dir", str(directory)]) == 0
    first = (directory / "report.html").read_bytes()
    assert main(["report", "--dir", str(directory), "--json"]) == 0
    document = json.loads(capfd.readouterr().out.split("\n", 1)[1])
    assert {check["name"]: check["holds"] for check in document.pop("checks")} == {
        "Files as recorded": True, "Sums over all shards, each event second": None, "Every record could be read and applied": True,
        "Our book equals the exchange's": None, "Replay identical": None,
    }  # fmt: skip
    assert document == {"directory": str(directory), "report": str(directory / "report.html"), "bytes": len(first), "sound": True}
    assert (directory / "report.html").read_bytes() == first
    assert main(["verify", "--dir", str(directory)]) == 0  # the page is no part of the manifest


def test_what_the_run_said_of_itself_is_told_and_its_digests_are_held_against_the_log(directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    digests = digests_of(directory, capfd)
    speak(directory, said(digests))
    assert main(["report", "--dir", str(directory)]) == 0
    assert "✓ 8 checks hold" in (directory / "report.html").read_text(encoding="utf-8")
    speak(directory, said({**digests, "decision": "00"}))
    assert main(["report", "--dir", str(directory), "--json"]) == 1
    out, err = capfd.readouterr()
    assert "changed: decision" in err
    holding = [check["name"] for check in json.loads(out[out.index("{") :])["checks"] if check["holds"]]
    assert holding == ["Files as recorded", "Every record could be read and applied"]  # the rest was said of another log


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
    speak(directory, said(digests_of(directory, capfd), **changed))
    assert main(["report", "--dir", str(directory)]) == 1
    err = capfd.readouterr().err
    assert check in err
    assert err.count("\n") == 1
    assert "✗ 1 of 9 checks fails" in (directory / "report.html").read_text(encoding="utf-8")


def test_a_place_without_a_run_is_a_mistake_of_usage(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--dir", str(tmp_path)]) == 2
    assert "is empty" in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_recording_of_some_streams_makes_a_page_of_what_is_there(directory: Path) -> None:
    for stream in ("accounts-journal", "pools-journal", "adl-candidates", "shard-totals", "dead-letters", "instructions"):
        shutil.rmtree(directory / "log" / stream)
    write_manifest(directory)
    assert main(["report", "--dir", str(directory)]) == 0
    page = (directory / "report.html").read_text(encoding="utf-8")
    assert "The queue of the largest wave is not in this log." in page
    assert "the stream dead-letters is not in this log" in page
    assert "✓ 1 check holds" in page  # that the files are as recorded; of what is not there nothing holds
    assert "Not in this log: adl-candidates. What is told from there cannot be known here." in page


def test_a_log_without_its_decisions_says_in_every_figure_that_it_cannot_know_it(directory: Path) -> None:
    for stream in ("fills", "adl-waves", "adl-executions", "fund-ledger", "pool-states"):
        topic = "account-events" if stream == "fills" else stream
        shutil.rmtree(directory / "log" / topic)
    write_manifest(directory)
    assert main(["report", "--dir", str(directory)]) == 0
    head = (directory / "report.html").read_text(encoding="utf-8").split('class="tiles"')[1].split("</dl>")[0]
    assert head.count(f"<dd>{ABSENT}</dd>") == 7  # all but the number of records
    assert head.count("not in this log: ") == 7


def test_an_altered_directory_fails_though_its_digests_are_those_of_the_run(directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    speak(directory, said(digests_of(directory, capfd)))
    shutil.rmtree(directory / "log" / "marks")  # an input: no digest of outputs changes
    assert main(["report", "--dir", str(directory), "--json"]) == 1
    out, err = capfd.readouterr()
    assert "log/marks/0.avro is missing, the manifest names it" in err
    holds = {check["name"]: check["holds"] for check in json.loads(out[out.index("{") :])["checks"]}
    assert holds["Files as recorded"] is False
    assert holds["Replay identical"] is holds["Our book equals the exchange's"] is holds["Cash over all shards at the end"] is None


def test_of_a_run_that_was_never_closed_nothing_holds_by_its_own_word(directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    speak(directory, said(digests_of(directory, capfd)))
    (directory / "MANIFEST").unlink()
    shutil.rmtree(directory / "log" / "dead-letters")
    (directory / "report.json").unlink()
    assert main(["report", "--dir", str(directory), "--json"]) == 0
    out, _ = capfd.readouterr()
    document = json.loads(out[out.index("{\n") :])
    assert document["sound"] is None  # not one check could be looked at
    assert "Nothing could be looked at" in (directory / "report.html").read_text(encoding="utf-8")


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
