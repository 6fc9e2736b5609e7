"""Sharing the task shards between worker processes through a consumer group.

The topic `<deployment>-shards` holds nothing, but has one partition for each task shard, accounts first, then pools; being assigned it means to
run that shard. The group decides who should run what, it never makes anything safe: so a revoked shard runs on until an assignment takes it away.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import aiokafka
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from aiokafka.errors import KafkaError, TopicAlreadyExistsError

from streams.bus.kafka_connection import KafkaConfig
from streams.bus.kafka_writer import end_consumer
from streams.engine.ownership import share
from streams.engine.task import TaskSpec
from streams.errors import CheckFailed, Unreachable

VISIBLE_SECONDS = 8.0
POLL_MS = 1_000


def shards_topic(deployment: str) -> str:
    """The topic that the workers of a deployment share."""
    return f"{deployment}-shards"


async def create_shards_topic(config: KafkaConfig, count: int) -> None:
    """Create it where it is missing. Raises CheckFailed where it has another partition count, Unreachable without a broker."""
    topic = shards_topic(config.deployment)
    admin = AIOKafkaAdminClient(**config.connection(), retry_backoff_ms=20)
    try:
        async with asyncio.timeout(VISIBLE_SECONDS):
            await admin.start()
            found = await _partitions(admin, topic)
            if found == 0:
                answer = await admin.create_topics([NewTopic(topic, count, config.replication_factor)])
                for _, code, *message in answer.topic_errors:
                    if code not in (0, TopicAlreadyExistsError.errno):  # another worker may create it at the same time
                        raise CheckFailed(f"topic {topic} could not be created: error {code} {' '.join(map(str, message))}: create it yourself")
            while (found := await _partitions(admin, topic)) == 0:
                await asyncio.sleep(0.01)
    except (KafkaError, TimeoutError, OSError) as error:
        raise _unreachable(config, error) from error
    finally:
        await admin.close()
    refuse_other_count(topic, found, count)


async def shards_partitions(config: KafkaConfig) -> int:
    """How many partitions it has, 0 where it is missing. Raises Unreachable without a broker."""
    admin = AIOKafkaAdminClient(**config.connection(), retry_backoff_ms=20)
    try:
        async with asyncio.timeout(VISIBLE_SECONDS):
            await admin.start()
            return await _partitions(admin, shards_topic(config.deployment))
    except (KafkaError, TimeoutError, OSError) as error:
        raise _unreachable(config, error) from error
    finally:
        await admin.close()


def refuse_other_count(topic: str, found: int, count: int) -> None:
    """Raises CheckFailed where the topic of the shards has another partition count than there are shards."""
    if found != count:
        raise CheckFailed(f"topic {topic} has {found} partitions instead of {count}: the shards of a deployment never change; use its own settings")


def _unreachable(config: KafkaConfig, error: BaseException) -> Unreachable:
    return Unreachable(f"Kafka at {config.bootstrap_servers} did not answer ({error!r}): start it, or correct its address and credentials")


async def _partitions(admin: Any, topic: str) -> int:
    for entry in await admin.describe_topics():
        if entry["topic"] == topic:
            return len(entry["partitions"])
    return 0


class KeepingAssignor(AbstractPartitionAssignor):  # type: ignore[misc]  # aiokafka is untyped
    """Even shares in which everybody keeps what it runs: a take-over is not free. Members say what they run in their metadata."""

    name: ClassVar[str] = "backstop-keep"
    version = 0

    def __init__(self, topic: str, shards: int) -> None:
        self._topic = topic
        self._shards = shards
        self.running: list[int] = []

    def metadata(self, topics: Iterable[str]) -> Any:
        """What this member runs."""
        return ConsumerProtocolMemberMetadata(self.version, list(topics), ",".join(map(str, self.running)).encode())

    def assign(self, cluster: Any, members: Mapping[str, Any]) -> dict[str, Any]:
        """The shares of all members; asked of one of them only."""
        claims = {member: _numbers(metadata.user_data) for member, metadata in members.items()}
        return {
            member: ConsumerProtocolMemberAssignment(self.version, [(self._topic, partitions)], b"")
            for member, partitions in share(self._shards, claims).items()
        }

    def on_assignment(self, assignment: Any) -> None:
        """What this member is to run from now on."""
        self.running = sorted(partition for topic, partitions in assignment.assignment for partition in partitions if topic == self._topic)


def _numbers(user_data: bytes | None) -> list[int]:
    return [int(number) for number in (user_data or b"").decode("ascii", "replace").split(",") if number.isdecimal()]


class GroupOwnership(aiokafka.ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """`Ownership` by membership in `<deployment>-workers`."""

    def __init__(self, config: KafkaConfig, specs: Sequence[TaskSpec], *, session_timeout_ms: int) -> None:
        self._config = config
        self._specs = list(specs)
        self._session_timeout_ms = session_timeout_ms
        self._owned: list[TaskSpec] = []
        self._changed = asyncio.Event()
        self._consumer: Any = None
        self._polling: asyncio.Task[None] | None = None
        self.has_joined = False

    async def join(self) -> None:
        """Ask for a share; the first answer comes later. Raises Unreachable without a broker."""
        topic = shards_topic(self._config.deployment)
        self._consumer = await self._connect(KeepingAssignor(topic, len(self._specs)))
        self._consumer.subscribe([topic], listener=self)
        self._polling = asyncio.create_task(self._poll())

    async def _connect(self, assignor: KeepingAssignor) -> Any:
        """A started consumer of the group, which has subscribed to nothing yet."""
        await create_shards_topic(self._config, len(self._specs))
        consumer = aiokafka.AIOKafkaConsumer(
            **self._config.connection(),
            group_id=f"{self._config.deployment}-workers",
            enable_auto_commit=False,
            auto_offset_reset="latest",
            session_timeout_ms=self._session_timeout_ms,
            heartbeat_interval_ms=max(50, self._session_timeout_ms // 5),
            rebalance_timeout_ms=self._session_timeout_ms,
            partition_assignment_strategy=(assignor,),
            retry_backoff_ms=50,
        )
        self._consumer = consumer  # what began to start must be ended, too
        try:
            await consumer.start()
        except KafkaError as error:
            raise _unreachable(self._config, error) from error
        return consumer

    async def leave(self) -> None:
        """Give the share back at once, instead of when the session times out."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
        if self._consumer is not None:
            await end_consumer(self._consumer)

    def owned(self) -> Collection[TaskSpec]:
        """By the newest assignment."""
        return self._owned

    async def changed(self) -> None:
        """The next assignment. Raises CheckFailed when the group does not take this worker."""
        assert self._polling is not None
        waiting = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait([waiting, self._polling], return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if self._polling.done():
            self._polling.result()
        self._changed.clear()

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Every rebalance takes everything away first; what is really lost shows in what is assigned."""

    async def on_partitions_assigned(self, assigned: Any) -> None:
        """Run these."""
        self._owned = [self._specs[number] for number in sorted(partition.partition for partition in assigned)]
        self.has_joined = True
        self._changed.set()

    async def _poll(self) -> None:
        """A member that never polls is taken for dead, and what the group refuses is only said to one that does."""
        while True:
            try:
                await self._consumer.getmany(timeout_ms=POLL_MS)
            except KafkaError as error:
                raise CheckFailed(
                    f"group {self._config.deployment}-workers does not take this worker ({error!r}): look at its rights, or name its --shards"
                ) from error
