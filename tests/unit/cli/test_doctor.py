"""`doctor`: where each setting comes from, what is never shown, and how unreachable services end it."""

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from streams.cli import main


@pytest.fixture(autouse=True)
def _own_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("BACKSTOP_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def nobody() -> str:
    """An address where nothing listens."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{closed.getsockname()[1]}"


def doctor(capfd: pytest.CaptureFixture[str], *arguments: str, code: int) -> tuple[dict[str, Any], str]:
    assert main(["doctor", "--json", *arguments]) == code
    out, err = capfd.readouterr()
    return json.loads(out), err


def test_an_unreachable_broker_is_exit_code_4_and_one_line(capfd: pytest.CaptureFixture[str], nobody: str) -> None:
    document, err = doctor(capfd, "-b", nobody, code=4)
    assert [(each["service"], each["ok"], each["exit_code"]) for each in document["services"]] == [("kafka", False, 4), ("clickhouse", True, 0)]
    assert document["ok"] is False
    assert nobody in err
    assert err.count("\n") == 1


def test_every_setting_is_listed_with_its_origin(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nobody: str
) -> None:
    (tmp_path / "backstop.toml").write_text("[engine]\nshards = 1\npatience_ms = 7\n")
    (tmp_path / ".env").write_text("BACKSTOP_ENGINE__PATIENCE_MS=8\nBACKSTOP_ENGINE__DEPLOYMENT=from-file\n")
    monkeypatch.setenv("BACKSTOP_ENGINE__DEPLOYMENT", "from-environment")
    document, err = doctor(capfd, "-b", nobody, "--config", "backstop.toml", code=4)
    settings = {each["name"].removeprefix("BACKSTOP_"): (each["value"], each["origin"], each["shadowed"]) for each in document["settings"]}
    assert settings["KAFKA__BOOTSTRAP_SERVERS"] == (nobody, "flag", [])
    assert settings["ENGINE__DEPLOYMENT"] == ("from-environment", "environment", [".env"])
    assert settings["ENGINE__PATIENCE_MS"] == ("8", ".env", ["--config backstop.toml"])
    assert settings["ENGINE__SHARDS"] == ("1", "--config backstop.toml", [])
    assert settings["ENGINE__ACCOUNT_PARTITIONS"] == ("8", "default", [])
    assert "BACKSTOP_ENGINE__DEPLOYMENT is set in more than one place: environment holds, .env has no effect" in err


def test_a_secret_is_masked_wherever_it_comes_from(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nobody: str
) -> None:
    (tmp_path / "secret").write_text("from-a-file-5e1f")
    monkeypatch.setenv("BACKSTOP_KAFKA__SECURITY_PROTOCOL", "SASL_PLAINTEXT")
    monkeypatch.setenv("BACKSTOP_KAFKA__ALLOW_PLAINTEXT", "true")
    monkeypatch.setenv("BACKSTOP_KAFKA__SASL_MECHANISM", "PLAIN")
    monkeypatch.setenv("BACKSTOP_KAFKA__SASL_USERNAME", "risk")
    monkeypatch.setenv("BACKSTOP_KAFKA__SASL_PASSWORD_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("BACKSTOP_CLICKHOUSE__PASSWORD", "in-the-environment-77aa")
    monkeypatch.setenv("BACKSTOP_CLICKHOUSE__ALLOW_PLAINTEXT", "true")
    for arguments in (["doctor", "-b", nobody], ["doctor", "-b", nobody, "--json"]):
        assert main(arguments) == 4
        out, err = capfd.readouterr()
        assert "********" in out
        assert "5e1f" not in out + err
        assert "77aa" not in out + err


def test_an_unreachable_clickhouse_is_exit_code_4(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, nobody: str) -> None:
    host, port = nobody.split(":")
    monkeypatch.setenv("BACKSTOP_CLICKHOUSE__HOST", host)
    monkeypatch.setenv("BACKSTOP_CLICKHOUSE__PORT", port)
    document, err = doctor(capfd, "-b", nobody, code=4)
    assert [(each["service"], each["exit_code"]) for each in document["services"]] == [("kafka", 4), ("clickhouse", 4)]
    assert sum(line.startswith("backstop: ") for line in err.splitlines()) == 2
