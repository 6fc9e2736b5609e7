"""The same demo through a real broker and a worker process decides the same as in memory, and its recording holds."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.kafka, pytest.mark.chdb]
ROOT = Path(__file__).resolve().parents[2]


def backstop(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "streams.cli", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.mark.parametrize("scenario", ["example-a", "example-e"])
def test_kafka_and_memory_decide_the_same(kafka_broker: str, tmp_path: Path, scenario: str) -> None:
    memory = backstop("demo", "--scenario", scenario, "--dir", str(tmp_path / "memory"))
    kafka = backstop("demo", "--scenario", scenario, "--dir", str(tmp_path / "kafka"), "--bus", "kafka", "-b", kafka_broker)
    for name in ("decision_digest", "events_in", "fund_balances", "pool_states", "adl_executions", "positions_sum", "cash_sum", "replay_identical"):
        assert kafka[name] == memory[name], name
    assert kafka["deployment"] != memory["deployment"]
    assert backstop("verify", "--dir", str(tmp_path / "kafka"))["same"] is True
    assert backstop("replay", "--dir", str(tmp_path / "kafka"))["decision_digest"] == memory["decision_digest"]
