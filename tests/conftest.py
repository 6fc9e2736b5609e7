"""What every test may ask for: one real broker a session, a bus of its own on it, and the hypothesis profiles."""

import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import settings

from streams.bus.kafka import KafkaBus
from tests.support.kafka import broker_launcher, fresh_kafka_bus

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(scope="session")
def kafka_broker_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """{pid, bootstrap, directory} of a broker that lives as long as the session. Without Java it fails and says what is missing; it never skips."""
    launcher = broker_launcher()
    directory = tmp_path_factory.mktemp("kafka")
    try:
        state = launcher.up(directory, die_with_parent=True)
    except launcher.BrokerProblem as problem:
        pytest.fail(str(problem), pytrace=False)
    try:
        yield {**state, "directory": str(directory)}
    finally:
        launcher.down(directory)


@pytest.fixture(scope="session")
def kafka_broker(kafka_broker_process: dict[str, Any]) -> str:
    """The broker's address."""
    return str(kafka_broker_process["bootstrap"])


@pytest.fixture
async def kafka_bus(kafka_broker: str) -> AsyncIterator[KafkaBus]:
    """A bus on the real broker, of a deployment that nobody else uses."""
    bus = fresh_kafka_bus(kafka_broker)
    yield bus
    await bus.close()
