"""Writes the input of a run: `python -m tests.bench.peers.loading held|marks BROKER DEPLOYMENT SIZE`, or from the benchmark itself."""

import asyncio
import sys

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.wire.records import new_blocks
from tests.bench.peers import inputs
from tests.bench.peers.ours import ACCOUNTS, SHARDS, open_held


async def _fills(broker: str, deployment: str, size: int) -> None:
    bus = inputs.bus_of(broker, deployment)
    await inputs.make_topics(bus, SHARDS)
    await inputs.commit_all(bus, f"{deployment}-venue", new_blocks("fills", inputs.fills(size, ACCOUNTS)))
    await bus.close()


async def _held(broker: str, deployment: str, _size: int) -> None:
    bus = inputs.bus_of(broker, deployment)
    await inputs.make_topics(bus, SHARDS)
    await open_held(bus, deployment)
    await bus.close()


async def _marks(broker: str, deployment: str, size: int) -> None:
    bus = inputs.bus_of(broker, deployment)
    await inputs.commit_all(bus, f"{deployment}-venue", inputs.small_marks(size))
    await bus.close()


async def _topics(broker: str, names: tuple[str, ...]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    await admin.create_topics([NewTopic(name, inputs.PARTITIONS, 1) for name in names])
    await admin.close()


def load(broker: str, deployment: str, size: int) -> None:
    """Fills, the same whenever SIZE is."""
    asyncio.run(_fills(broker, deployment, size))


def make_topics(broker: str, *names: str) -> None:
    """Topics of the peers."""
    asyncio.run(_topics(broker, names))


if __name__ == "__main__":
    kind, its_broker, its_deployment, its_size = sys.argv[1:]
    asyncio.run({"held": _held, "marks": _marks}[kind](its_broker, its_deployment, int(its_size)))
    sys.stdout.write("{}\n")
