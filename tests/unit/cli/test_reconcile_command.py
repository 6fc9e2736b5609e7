"""`backstop reconcile` from outside: on a run as it was left, and after somebody has been at its tables."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.chdb
ROOT = Path(__file__).resolve().parents[3]
SPOIL = """
import sys
from pathlib import Path
from streams.sinks.connection import open_embedded
client = open_embedded(Path(sys.argv[1]))
for statement in sys.argv[2:]:
    client.command(statement, settings={"mutations_sync": 1})
client.close()
"""


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BACKSTOP_")}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT, env=environment, timeout=300, check=False)


def reconcile(directory: Path, *arguments: str, code: int) -> tuple[str, list[str]]:
    """(stdout, complaints)."""
    done = python("-m", "streams.cli", "reconcile", "--dir", str(directory), *arguments)
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr.splitlines()


def spoil(directory: Path, *statements: str) -> None:
    done = python("-c", SPOIL, str(directory), *statements)
    assert done.returncode == 0, done.stderr


def made(directory: Path) -> Path:
    done = python("-m", "streams.cli", "demo", "--scenario", "example-a", "--dir", str(directory))
    assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("run") / "demo")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A run to be spoilt. No copy: ClickHouse's files name their directory."""
    return made(tmp_path / "demo")


def streams_of(text: str) -> dict[str, dict[str, Any]]:
    return {stream["stream"]: stream for stream in json.loads(text)["streams"]}


def test_a_run_as_it_was_left_is_equal_in_every_stream(run: Path) -> None:
    out, complaints = reconcile(run, "--json", code=0)
    assert complaints == []
    document = json.loads(out)
    assert document["equal"] is True
    assert document["directory"] == str(run)
    for stream in document["streams"]:
        assert stream["rows"] == stream["records"]
        assert stream["record_digest"] == stream["row_digest"]
        assert stream["difference"] is None
    assert streams_of(out)["adl-executions"]["records"] == 2  # example A deleverages two accounts
    text, _ = reconcile(run, code=0)
    assert text.startswith(f"{run}: rows equal records. ")


def test_the_first_difference_of_every_stream_is_named_and_the_code_is_1(mine: Path) -> None:
    fills = "backstop.fills FINAL ORDER BY src_partition, src_offset LIMIT 1"
    spoil(
        mine,
        "ALTER TABLE backstop.adl_executions DELETE WHERE src_offset = (SELECT max(src_offset) FROM backstop.adl_executions)",
        "ALTER TABLE backstop.fund_ledger UPDATE amount = amount + 1 WHERE src_offset = (SELECT min(src_offset) FROM backstop.fund_ledger)",
        f"INSERT INTO backstop.fills SELECT * REPLACE (account + 1000 AS account) FROM {fills}",
        "ALTER TABLE backstop.account_updates DELETE WHERE update_id = (SELECT min(update_id) FROM backstop.account_updates)",
    )
    out, complaints = reconcile(mine, "--json", code=1)
    found = {name: stream["difference"] for name, stream in streams_of(out).items() if stream["difference"]}
    assert {name: (each["class"], each["column"]) for name, each in found.items()} == {
        "adl-executions": ("lost", None),
        "fund-ledger": ("changed", "amount"),
        "fills": ("double", "account"),
        "account-updates": ("lost", None),
    }
    assert {found[name]["topic"] for name in ("fills", "account-updates")} == {"account-events"}
    assert any("account-updates at account-events[" in line for line in complaints)  # three tables have rows of that topic
    assert int(found["fund-ledger"]["row"]) == int(found["fund-ledger"]["record"]) + 1
    assert len(complaints) == 4
    assert all(line.startswith(f"backstop: {mine}: ") for line in complaints)


def test_a_range_leaves_out_what_lies_before_and_behind_it_and_without_a_log_there_is_nothing_to_compare(mine: Path) -> None:
    spoil(mine, "ALTER TABLE backstop.marks DELETE WHERE src_offset = (SELECT max(src_offset) FROM backstop.marks)")
    out, _ = reconcile(mine, "--json", code=1)
    lost = streams_of(out)["marks"]["difference"]["offset"]
    reconcile(mine, "--to", f"marks={lost}", code=0)
    reconcile(mine, "--from", f"marks={lost}", code=1)
    shutil.rmtree(mine / "log")
    _, complaints = reconcile(mine, code=1)
    assert "holds no recorded topics: name the directory" in complaints[0]


def test_a_run_without_tables_has_nothing_to_compare(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "copy", ignore=shutil.ignore_patterns("clickhouse"))
    _, complaints = reconcile(copy, code=2)
    assert "has no ClickHouse data: load it first" in complaints[0]
