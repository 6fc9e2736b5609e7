"""A real broker for tests and benchmarks, and buses on it."""

import importlib.util
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from streams.bus.kafka import KafkaBus
from streams.bus.kafka_connection import KafkaConfig

LAUNCHER = Path(__file__).resolve().parents[2] / "infra" / "kafka" / "broker.py"


def broker_launcher() -> ModuleType:
    """infra/kafka/broker.py, which is no package, as a module."""
    spec = importlib.util.spec_from_file_location("kafka_broker_launcher", LAUNCHER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def broker() -> Iterator[str]:
    """Address of a broker of its own, gone at the end."""
    launcher = broker_launcher()
    with tempfile.TemporaryDirectory() as directory:
        try:
            yield str(launcher.up(Path(directory), die_with_parent=True)["bootstrap"])
        finally:
            launcher.down(Path(directory))


def fresh_kafka_bus(address: str, **settings: Any) -> KafkaBus:
    """A bus on the broker at `address`, of a deployment that nobody else uses."""
    return KafkaBus(KafkaConfig(bootstrap_servers=address, deployment=f"t{uuid.uuid4().hex[:12]}", **settings))
