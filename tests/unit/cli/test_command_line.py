"""What holds for all commands, as docs/command-line.md says it: exit codes, flags that would do nothing, the names of flags in messages."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import typer

from streams import errors
from streams.cli import app, main
from streams.cli_flags import IDLE, Checked
from streams.errors import BackstopError
from tests.support.pages import recorded_as
from tests.support.source import ROOT

PAGE = (ROOT / "docs/command-line.md").read_text(encoding="utf-8")
ROOT_COMMAND: Any = typer.main.get_command(app)
# One call for each row of the table and flag in it, in a mode that does not read the flag.
CALLS = {
    ("demo", "--bootstrap-servers"): ("demo", "-b", "kafka.example:9092"),
    ("replay", "--bootstrap-servers"): ("replay", "--bootstrap-servers", "kafka.example:9092"),
    ("verify", "--deployment"): ("verify", "--deployment", "prod"),
    ("reconcile", "--config"): ("reconcile", "--config", "prod.toml"),
    ("dlq list", "--deployment"): ("dlq", "list", "--deployment", "prod"),
    ("dlq show", "--bootstrap-servers"): ("dlq", "show", "marks/0/1", "-b", "kafka.example:9092"),
    ("dlq correct", "--deployment"): ("dlq", "correct", "marks/0/1", "--reason", "r", "--deployment", "prod"),
    ("dlq drop", "--config"): ("dlq", "drop", "marks/0/1", "--reason", "r", "--config", "prod.toml"),
    ("dlq correct", "--wait"): ("dlq", "correct", "marks/0/1", "--reason", "r", "--wait", "5"),
    ("verify", "--dir"): ("verify", "--bus", "kafka", "--dir", "run/demo"),
    ("demo", "--accounts"): ("demo", "--scenario", "example-a", "--accounts", "50"),
    ("demo", "--seed"): ("demo", "--scenario", "example-b", "--seed", "7"),
    ("venue", "--accounts"): ("venue", "--scenario", "example-a", "--accounts", "50"),
    ("worker", "--shards"): ("worker", "--roles", "sink", "--shards", "all"),
    ("worker", "--standby"): ("worker", "--roles", "views", "--standby"),
    ("worker", "--upgrade"): ("worker", "--roles", "sink", "--upgrade"),
    ("worker", "--bind"): ("worker", "--roles", "engine", "--bind", "0.0.0.0"),
    ("migrate status", "--config"): ("migrate", "status", "--dir", "run/demo", "--config", "prod.toml"),
}


@pytest.fixture(autouse=True)
def _own_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("BACKSTOP_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def refusal(capfd: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    assert main(arguments) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err.removeprefix("backstop: ").rstrip("\n")


def table(heading: str) -> list[list[str]]:
    """The rows of the first table under a heading of the page."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")]
    return rows[2:]


def command(name: str) -> Any:
    found = ROOT_COMMAND
    for word in name.split():
        found = found.commands[word]
    return found


def test_the_page_has_every_exit_code_that_there_is() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, BackstopError)]
    assert {int(code) for code, _ in table("Exit codes")} == {0, *(kind.exit_code for kind in kinds)}


def test_no_other_page_has_a_table_of_exit_codes() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    assert [page.name for page in pages if "| exit code |" in page.read_text(encoding="utf-8")] == ["command-line.md"]


def test_the_page_has_the_table_of_flags_that_are_refused() -> None:
    rows = []
    for idle in IDLE:
        flags = {parameter.name: parameter.opts[0] for parameter in command(idle.commands[0]).params}
        rows.append([", ".join(f"`{name}`" for name in idle.commands), ", ".join(f"`{flags[flag]}`" for flag in idle.flags), idle.where])
    assert table("Flags that would do nothing") == rows


def test_every_command_of_the_table_looks_at_it_and_has_its_flags() -> None:
    for idle in IDLE:
        for name in idle.commands:
            assert isinstance(command(name), Checked), name
            assert set(idle.flags) <= {parameter.name for parameter in command(name).params}, name


def test_every_row_of_the_table_is_tried_below() -> None:
    tried = {(name, flag) for name, flag in CALLS}
    for idle in IDLE:
        flags = {parameter.name: parameter.opts[0] for parameter in command(idle.commands[0]).params}
        assert tried & {(name, flags[flag]) for name in idle.commands for flag in idle.flags}, idle


@pytest.mark.parametrize(("flag", "arguments"), [(flag, call) for (_, flag), call in CALLS.items()], ids=[" ".join(key) for key in CALLS])
def test_a_flag_that_would_do_nothing_is_refused_by_its_name(capfd: pytest.CaptureFixture[str], flag: str, arguments: tuple[str, ...]) -> None:
    assert refusal(capfd, *arguments).startswith(f"{flag} has no effect ")


def test_what_comes_from_the_environment_is_left_alone(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKSTOP_KAFKA__BOOTSTRAP_SERVERS", "kafka.example:9092")
    assert "does not exist" in refusal(capfd, "verify", "--dir", "absent")


@pytest.mark.parametrize(
    ("begins", "arguments"),
    [
        ("--bootstrap-servers xyz: ", ("topics", "check", "-b", "xyz")),
        ("--deployment A_B: ", ("topics", "check", "--deployment", "A_B")),
        ("--shards is 9, but there are only 2 --account-partitions", ("topics", "create", "--shards", "9", "--account-partitions", "2")),
        ("--shards is 20, but there are only 8 BACKSTOP_ENGINE__ACCOUNT_PARTITIONS", ("demo", "--shards", "20")),
        ("--bind here: ", ("worker", "--health-port", "8080", "--bind", "here")),
        ("--url nowhere: ", ("dashboards", "diff", "--url", "nowhere")),
        ("--accounts 5: ", ("demo", "--scenario", "calm", "--accounts", "5")),
        ("--scenario x.toml: ", ("demo", "--scenario", "x.toml")),
        ("--scenario nothing: ", ("demo", "--scenario", "nothing")),
        ("--dir absent does not exist", ("verify", "--dir", "absent")),
        ("A absent does not exist", ("compare", "absent", "other")),
        ("--from: 'nowhere' is no place in a log", ("replay", "--from", "nowhere")),
        ("--to: 'never' is no place in a log", ("replay", "--to", "marks=never")),
        ("--config absent.toml: ", ("topics", "check", "--config", "absent.toml")),
        ("--log-level: ", ("worker", "--log-level", "LOUD")),
        ("--shards: ", ("worker", "--shards", "accounts/9")),
        ("--set foo: ", ("replay", "--set", "foo")),
        ("Invalid value for '--shards': ", ("demo", "--shards", "two")),
    ],
)
def test_a_message_about_a_value_begins_with_its_flag(capfd: pytest.CaptureFixture[str], begins: str, arguments: tuple[str, ...]) -> None:
    assert refusal(capfd, *arguments, code=3 if "--config" in arguments else 2).startswith(begins)


def test_a_range_outside_the_log_is_told_by_its_flag(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    recorded_as(tmp_path / "run", "example-a")
    assert refusal(capfd, "replay", "--dir", "run", "--from", "marks=999").startswith("--from: marks[0] holds offsets 0 to ")
    assert refusal(capfd, "replay", "--dir", "run", "--to", "nothing=0").startswith("--to nothing=...: there is no such stream here")
    both = refusal(capfd, "replay", "--dir", "run", "--from", "marks=2", "--to", "marks=1")
    assert re.fullmatch(r"--from is offset 2 of marks\[0\] and --to is 1, which lies before it: turn them round", both)


def test_a_wrong_setting_that_no_flag_gave_is_told_by_its_variable(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKSTOP_KAFKA__BOOTSTRAP_SERVERS", "xyz")
    told = refusal(capfd, "topics", "check", "--deployment", "prod", code=3)
    assert told.startswith("BACKSTOP_KAFKA__BOOTSTRAP_SERVERS: ")


def test_a_finished_run_is_kept_unless_it_is_given_up(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    recorded_as(tmp_path / "run", "example-a")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    for arguments in (("demo", "--scenario", "example-a"), ("record", "-b", "127.0.0.1:1")):
        told = refusal(capfd, *arguments, "--dir", "run")
        assert told == "--dir run holds a finished run: name another directory, or give that run up with --force"
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before
