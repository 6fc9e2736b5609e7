"""Whatever is wrong with arguments, directories or settings: one line on stderr, the right exit code, never a traceback."""

import os
from pathlib import Path

import pytest

from streams import cli
from streams.cli import main


@pytest.fixture(autouse=True)
def _own_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("BACKSTOP_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def refusal(capfd: pytest.CaptureFixture[str], *arguments: str, code: int) -> str:
    assert main(arguments) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("backstop: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize(
    "arguments",
    [
        ("no-such-command",),
        ("demo", "--no-such-flag"),
        ("demo", "--shards", "0"),
        ("demo", "--shards", "two"),
        ("demo", "--accounts", "-5"),
        ("demo", "--bus", "carrier-pigeon"),
        ("demo", "--scenario", "no-such-scenario"),
        ("demo", "--seed"),
        ("demo", "surplus"),
        ("query",),
        ("topics",),
        ("topics", "delete"),
        ("worker", "--roles", "king"),
        ("worker", "--shards", "accounts"),
        ("worker", "--shards", "accounts/9"),
        ("worker", "--shards", "pools/1"),
        ("worker", "--shards", "marks/0"),
        ("worker", "--metrics-port", "99999"),
        ("worker", "--log-level", "LOUD"),
    ],
)
def test_wrong_arguments_are_usage_errors(capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    refusal(capfd, *arguments, code=2)


@pytest.mark.parametrize("command", [("verify",), ("replay",), ("query", "SELECT 1")])
def test_a_missing_directory_is_a_usage_error(capfd: pytest.CaptureFixture[str], tmp_path: Path, command: tuple[str, ...]) -> None:
    assert "does not exist" in refusal(capfd, *command, "--dir", str(tmp_path / "absent"), code=2)


@pytest.mark.parametrize("command", [("verify",), ("replay",), ("query", "SELECT 1")])
def test_an_empty_directory_is_a_usage_error(capfd: pytest.CaptureFixture[str], tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "empty").mkdir()
    assert "is empty" in refusal(capfd, *command, "--dir", str(tmp_path / "empty"), code=2)


@pytest.mark.parametrize("command", [("verify",), ("replay",), ("query", "SELECT 1"), ("demo", "--accounts", "10")])
def test_a_directory_of_something_else_is_a_usage_error_and_stays_as_it_was(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, command: tuple[str, ...]
) -> None:
    other = tmp_path / "photos"
    other.mkdir()
    (other / "a.jpg").write_text("a")
    assert "no Backstop run" in refusal(capfd, *command, "--dir", str(other), code=2)
    assert [path.name for path in other.iterdir()] == ["a.jpg"]


@pytest.mark.parametrize("command", [("verify",), ("replay",), ("query", "SELECT 1"), ("demo",)])
def test_a_file_in_place_of_a_directory_is_a_usage_error(capfd: pytest.CaptureFixture[str], tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "file").write_text("")
    assert "is not a directory" in refusal(capfd, *command, "--dir", str(tmp_path / "file"), code=2)


def test_a_wrong_setting_is_a_configuration_error_that_names_it(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKSTOP_ENGINE__PATIENCE_MS", "soon")
    assert "BACKSTOP_ENGINE__PATIENCE_MS" in refusal(capfd, "topics", "check", code=3)


def test_a_missing_config_file_is_a_configuration_error(capfd: pytest.CaptureFixture[str]) -> None:
    assert "absent.toml" in refusal(capfd, "topics", "check", "--config", "absent.toml", code=3)


@pytest.mark.parametrize("command", [("topics", "check"), ("topics", "create"), ("worker",), ("demo", "--bus", "kafka", "--accounts", "10")])
def test_an_unreachable_broker_is_named(capfd: pytest.CaptureFixture[str], command: tuple[str, ...]) -> None:
    assert "127.0.0.1:1" in refusal(capfd, *command, "-b", "127.0.0.1:1", code=4)


def test_an_unexpected_error_is_one_line_that_asks_for_a_report(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "settings_of", lambda *_, **__: 1 / 0)
    assert "please report" in refusal(capfd, "topics", "check", code=1)


def test_a_traceback_is_shown_only_when_asked_for(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "settings_of", lambda *_, **__: 1 / 0)
    monkeypatch.setenv("BACKSTOP_DEBUG", "1")
    assert main(["topics", "check"]) == 1
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_an_interrupt_ends_with_130(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "settings_of", interrupted)
    assert "interrupted" in refusal(capfd, "topics", "check", code=130)


def test_the_version_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capfd.readouterr().out == "backstop 0.1.0\n"


@pytest.mark.parametrize("arguments", [(), ("--help",), ("demo", "--help"), ("topics", "--help")])
def test_help_goes_to_stdout(capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    assert main(arguments) == 0
    out, err = capfd.readouterr()
    assert "Usage: backstop" in out
    assert err == ""
