"""`backstop migrate` from outside: what it prints, leaves and returns, on a directory's embedded engine."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streams.sinks.migration_files import directory, migrations

ROOT = Path(__file__).resolve().parents[3]


def backstop(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BACKSTOP_")}
    command = [sys.executable, "-m", "streams.cli", "migrate", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=120, check=False)
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") == (1 if code > 1 else 0)
    return done


def document(*arguments: str, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(backstop(*arguments, "--json", code=code).stdout)
    return found


@pytest.mark.chdb
def test_up_makes_everything_and_a_second_time_nothing(tmp_path: Path) -> None:
    at = ("--dir", str(tmp_path / "run"))
    first = document("up", *at)
    assert [(each["number"], each["name"]) for each in first["applied"]] == [(m.number, m.name) for m in migrations()]
    assert first["database"] == "backstop"
    assert document("dry-run", *at)["statements"] == []
    assert document("up", *at)["applied"] == []
    status = document("status", *at)
    assert status["current"] is True
    assert {each["state"] for each in status["migrations"]} == {"applied"}
    assert backstop("status", *at).stdout.count("\n") == len(migrations())


@pytest.mark.chdb
def test_a_dry_run_prints_what_up_would_run_and_leaves_the_database_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "run" / "clickhouse" / "engine").mkdir(parents=True)
    at = ("--dir", str(tmp_path / "run"))
    printed = document("dry-run", *at)["statements"]
    assert len(printed) == sum(len(migration.statements("backstop")) for migration in migrations())
    assert backstop("dry-run", *at).stdout.startswith("-- 0001_streams.sql, statement 1\n")
    status = document("status", *at, code=1)  # nothing is there yet, and that is a difference
    assert {each["state"] for each in status["migrations"]} == {"pending"}


def test_without_a_server_or_a_directory_it_names_the_setting() -> None:
    assert "BACKSTOP_CLICKHOUSE__HOST" in backstop("status", code=3).stderr


def test_a_directory_without_data_has_no_status(tmp_path: Path) -> None:
    assert "has no ClickHouse data" in backstop("status", "--dir", str(tmp_path), code=2).stderr


def test_locking_again_adds_nothing_and_changes_nothing() -> None:
    before = (directory() / "lock.json").read_bytes()
    assert document("lock")["added"] == []
    assert (directory() / "lock.json").read_bytes() == before
