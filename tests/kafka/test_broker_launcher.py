"""infra/kafka/broker.py stops only what it started, and says what is missing."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

LAUNCHER = Path(__file__).resolve().parents[2] / "infra" / "kafka" / "broker.py"


@pytest.fixture
def launcher() -> Any:
    spec = importlib.util.spec_from_file_location("launcher_under_test", LAUNCHER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_missing_java_is_named_with_what_to_install(launcher: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(launcher.BrokerProblem, match=r"`java` is not on the PATH: install a Java 17 runtime"):
        launcher.up(tmp_path / "broker")


def test_a_missing_maven_is_named_when_the_class_path_is_not_known(launcher: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(launcher, "CLASSPATH", tmp_path / "classpath.txt")
    with pytest.raises(launcher.BrokerProblem, match="`mvn` is not on the PATH"):
        launcher.classpath()


def test_a_process_that_only_has_the_pid_of_a_former_broker_is_left_alone(launcher: Any, tmp_path: Path) -> None:
    (tmp_path / "broker.json").write_text(json.dumps({"pid": os.getpid(), "bootstrap": "127.0.0.1:1"}))
    assert launcher.status(tmp_path) is None
    assert launcher.down(tmp_path) is False


def test_nothing_runs_in_an_empty_directory(tmp_path: Path) -> None:
    for action, code in (("status", 1), ("down", 0)):
        done = subprocess.run([sys.executable, str(LAUNCHER), action, "--dir", str(tmp_path)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (code, "no broker runs here\n")


@pytest.mark.kafka
def test_a_running_broker_is_found_by_its_directory(launcher: Any, kafka_broker_process: dict[str, Any]) -> None:
    directory = Path(kafka_broker_process["directory"])
    found = launcher.status(directory)
    assert found == {"pid": kafka_broker_process["pid"], "bootstrap": kafka_broker_process["bootstrap"]}
    assert launcher.up(directory) == found
