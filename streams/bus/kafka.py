"""The log on Apache Kafka, through aiokafka: read_committed readers on positions set by hand, transactional writers.

Topics are `<deployment>.<stream>`. Positions are never reset by the client: one outside the log stops its reader.
A chunk's `stop` is the consumer's position, so control records and aborted ones are covered by the chunks too.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiokafka
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    CorruptRecordException,
    KafkaConnectionError,
    KafkaError,
    OffsetOutOfRangeError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
)

from streams.bus.contract import Chunk, End, TopicPartition, no_such_partition, outside_log
from streams.bus.kafka_chunks import Arrivals, chunk_of, give_batches, is_supported, share_out
from streams.bus.kafka_writer import BATCH_BYTES, KafkaWriter, end_consumer, end_producer
from streams.errors import CheckFailed, Unreachable
from streams.topics import FOREVER_MS, TOPICS

REACH_SECONDS = 8.0  # a broker that did not answer for so long counts as unreachable
AHEAD_FROM = 2_000  # records of one poll from which the next are fetched ahead
FETCH_WAIT_MS = 5  # the broker's default of 500 costs 450 ms for one wake-up
PARTITION_FETCH_BYTES = 8 << 20
LONG_MAX = str(2**63 - 1)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KafkaConfig:
    """How to reach the brokers, and whose topics to use there.

    The coordinator aborts a transaction after `transaction_timeout_ms`; the writer gives up somewhat later, when that is settled.
    """

    bootstrap_servers: str
    deployment: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = "PLAIN"
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    ssl_context: ssl.SSLContext | None = None
    replication_factor: int = 1
    transaction_timeout_ms: int = 8_000
    commit_timeout_ms: int = 10_000
    record_batches: bool = True  # read and build whole record batches; False: record by record, through aiokafka's public interface only

    @property
    def by_record_batches(self) -> bool:
        """Whether whole record batches are read and built: it was asked for, and this aiokafka is the one whose private parts are known."""
        return self.record_batches and is_supported()

    def connection(self) -> dict[str, Any]:
        """The connection arguments of every aiokafka client."""
        return {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.security_protocol,
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.sasl_username,
            "sasl_plain_password": self.sasl_password,
            "ssl_context": self.ssl_context,
        }


class _Complaints(logging.Filter):
    """Keeps what aiokafka's connection layer has to say out of the log; it becomes the reason in our own error."""

    latest = ""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        self.latest = record.getMessage()
        return False


_complaints = _Complaints()


def _listen_to_complaints() -> None:
    """Hear aiokafka's client module, also where the process logs nothing below CRITICAL; its other modules stay as quiet as they were."""
    client_log = logging.getLogger("aiokafka")  # the logger of its client module
    if _complaints not in client_log.filters:
        client_log.addFilter(_complaints)
    level = client_log.getEffectiveLevel()
    if level > logging.WARNING:
        for name in [name for name in logging.root.manager.loggerDict if name.startswith("aiokafka.")]:
            logging.getLogger(name).setLevel(level)
        client_log.setLevel(logging.WARNING)


async def _answered(config: KafkaConfig, request: Awaitable[T]) -> T:
    """The broker's answer; Unreachable, with its address, when there is none in time."""
    _complaints.latest = ""
    try:
        async with asyncio.timeout(REACH_SECONDS):
            return await request
    except (KafkaError, TimeoutError, OSError) as error:
        if isinstance(error, KafkaError) and not (error.retriable or isinstance(error, KafkaConnectionError)):
            raise CheckFailed(f"Kafka at {config.bootstrap_servers} refused a request: {error!r}; look at the rights and settings there") from error
        raise _unreachable(config, _complaints.latest or repr(error)) from error


def _unreachable(config: KafkaConfig, reason: str) -> Unreachable:
    """What a person must do about a connection that did not come about. Passwords are never in a reason."""
    address = config.bootstrap_servers
    if "SaslAuthenticationFailed" in reason or "UnsupportedSaslMechanism" in reason:
        who = f"user {config.sasl_username!r} by {config.sasl_mechanism}"
        return Unreachable(f"Kafka at {address} refused {who}: correct SASL_USERNAME, SASL_PASSWORD and SASL_MECHANISM")
    if "SSL" in reason.upper() or "CERTIFICATE" in reason.upper():
        return Unreachable(f"Kafka at {address}: no TLS connection ({reason}): correct SECURITY_PROTOCOL, SSL_CAFILE and SSL_CERTFILE")
    return Unreachable(f"Kafka at {address} did not answer ({reason}): start it, or correct its address and credentials")


class KafkaReader:
    """A `Reader` on Kafka: one consumer, in no group."""

    def __init__(self, consumer: Any, config: KafkaConfig, partitions: Mapping[TopicPartition, aiokafka.TopicPartition]) -> None:
        self._consumer = consumer
        self._config = config
        self._theirs = dict(partitions)
        self._positions: dict[TopicPartition, int] = {}
        self._arrivals: dict[TopicPartition, Arrivals] | None = None
        self._turn = 0
        self._is_held = False
        self._quiet_since = 0.0
        self.closed = False

    async def start(self) -> None:
        """Take the partitions at the first offset kept. Nothing may be awaited between assigning and seeking: the consumer would look for offsets."""
        theirs = list(self._theirs.values())
        firsts = await _answered(self._config, self._consumer.beginning_offsets(theirs))
        self._consumer.assign(theirs)
        for ours, their in self._theirs.items():
            self._consumer.seek(their, firsts[their])
            self._positions[ours] = firsts[their]
        if self._config.by_record_batches:
            give_batches(self._consumer)
            self._arrivals = {ours: Arrivals(ours, position) for ours, position in self._positions.items()}
        self._quiet_since = asyncio.get_running_loop().time()

    async def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from `offset`; CheckFailed outside the log."""
        first, end = await self.bounds(partition)
        if not first <= offset <= end:
            raise outside_log(partition, offset, (first, end))
        self._consumer.seek(self._theirs[partition], offset)
        self._positions[partition] = offset
        if self._arrivals is not None:
            self._arrivals[partition].move(offset)

    async def poll(self, *, max_records: int, timeout_ms: int, partitions: Sequence[TopicPartition] | None = None) -> list[Chunk]:
        """What is readable now. Raises CheckFailed where the log was cut below the position or is corrupt, Unreachable when the broker is gone."""
        wanted = list(self._positions) if partitions is None else list(partitions)
        try:
            if self._arrivals is None:
                chunks = await self._poll_records(wanted, max_records, timeout_ms)
            else:
                chunks = await self._poll_batches(self._arrivals, wanted, max_records, timeout_ms)
        except OffsetOutOfRangeError as error:
            raise await self._outside(error) from error
        except CorruptRecordException as error:
            raise CheckFailed(f"the log at {self._config.bootstrap_servers} is corrupt: {error}; restore the partition from a replica") from error
        except TopicAuthorizationFailedError as error:
            raise CheckFailed(
                f"Kafka at {self._config.bootstrap_servers} allows no reading of {error}: give the right (`backstop topics acls`)"
            ) from error
        await self._notice_silence(chunks)
        return chunks

    async def _poll_records(self, wanted: Sequence[TopicPartition], max_records: int, timeout_ms: int) -> list[Chunk]:
        theirs = [self._theirs[ours] for ours in wanted]
        fetched = await self._consumer.getmany(*theirs, timeout_ms=timeout_ms, max_records=max_records)
        chunks = []
        for ours, their in zip(wanted, theirs, strict=True):
            start, stop = self._positions[ours], await self._consumer.position(their)
            if start != stop:
                self._positions[ours] = stop
                chunks.append(chunk_of(ours, start, stop, fetched.get(their, [])))
        return chunks

    async def _poll_batches(
        self, arrivals: Mapping[TopicPartition, Arrivals], wanted: Sequence[TopicPartition], max_records: int, timeout_ms: int
    ) -> list[Chunk]:
        here = [arrivals[ours] for ours in wanted]
        open_for_more = [ours for ours in wanted if not arrivals[ours].is_full]
        if open_for_more:
            theirs = [self._theirs[ours] for ours in open_for_more]
            is_waiting = all(one.is_empty for one in here)
            self._fetch_on(True)
            fetched = await self._consumer.getmany(*theirs, timeout_ms=timeout_ms if is_waiting else 0)
            for ours, their in zip(open_for_more, theirs, strict=True):
                arrivals[ours].add(fetched.get(their, ()), await self._consumer.position(their))
        self._turn = (self._turn + 1) % len(here) if here else 0
        chunks = share_out([*here[self._turn :], *here[: self._turn]], max_records)
        if 0 < sum(map(len, chunks)) < AHEAD_FROM and not any(one.has_records for one in here):
            self._fetch_on(False)
        return chunks

    def _fetch_on(self, goes_on: bool) -> None:
        """Whether the consumer fetches ahead. A reader that keeps up asks anew each time: what is fetched ahead lies as long as a step takes."""
        if goes_on and self._is_held:
            self._consumer.resume(*self._theirs.values())
        elif not goes_on:
            self._consumer.pause(*self._theirs.values())
        self._is_held = not goes_on

    async def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        """(first offset kept, last stable offset). The end asked for under read_committed is the last stable offset."""
        their = self._theirs[partition]
        firsts = await _answered(self._config, self._consumer.beginning_offsets([their]))
        ends = await _answered(self._config, self._consumer.end_offsets([their]))
        return firsts[their], ends[their]

    def known_end(self, partition: TopicPartition) -> End | None:
        """What the last fetch that covered a partition said of its end; None before the first."""
        their = self._theirs[partition]
        high: int | None = self._consumer.highwater(their)
        if high is None:
            return None
        stable: int | None = self._consumer.last_stable_offset(their)
        return End(high if stable is None or stable < 0 else stable, high)

    def unread(self) -> list[TopicPartition]:
        """Partitions that are known to hold more than has been read of them, and those of whose end nothing is known."""
        stable_of, found = self._consumer.last_stable_offset, []
        for ours, their in self._theirs.items():
            position = self._positions[ours] if self._arrivals is None else self._arrivals[ours].given_to
            stable = stable_of(their)
            if stable is None or position < stable:
                end = self.known_end(ours)  # a broker may know of no last stable offset
                if end is None or position < end.stable:
                    found.append(ours)
        return found

    async def offset_at(self, partition: TopicPartition, timestamp_ms: int) -> int | None:
        """Offset of the first record with this timestamp or a later one; None when there is none."""
        their = self._theirs[partition]
        found = await _answered(self._config, self._consumer.offsets_for_times({their: timestamp_ms}))
        return None if found[their] is None else int(found[their].offset)

    async def close(self) -> None:
        """Let go of connections."""
        self.closed = True
        await end_consumer(self._consumer)

    async def _notice_silence(self, chunks: Sequence[Chunk]) -> None:
        """The consumer tries again for ever and says nothing; so ask the broker when nothing came for a while."""
        now = asyncio.get_running_loop().time()
        if chunks:
            self._quiet_since = now
        elif now - self._quiet_since > REACH_SECONDS:
            await self.bounds(next(iter(self._positions)))
            self._quiet_since = now

    async def _outside(self, error: OffsetOutOfRangeError) -> CheckFailed:
        their, offset = next(iter(error.args[0].items()))
        ours = next(ours for ours, candidate in self._theirs.items() if candidate == their)
        return outside_log(ours, offset, await self.bounds(ours))


class KafkaBus:
    """A `Bus` on Kafka: the streams of one deployment."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._prefix = f"{config.deployment}."
        self._admin: Any = None
        self._open: list[KafkaReader | KafkaWriter] = []
        _listen_to_complaints()

    def topic(self, stream: str) -> str:
        """The topic's name on the broker."""
        return self._prefix + stream

    async def create_topics(self, partitions: Mapping[str, int]) -> None:
        """Create what does not exist; CheckFailed where a stream has another partition count."""
        present = await self.partitions()
        self._refuse_other_counts(partitions, present)
        missing = {stream: count for stream, count in partitions.items() if stream not in present}
        if not missing:
            return
        answer = await _answered(self._config, self._admin.create_topics([self._new_topic(stream, count) for stream, count in missing.items()]))
        for topic, code, *message in answer.topic_errors:
            if code not in (0, TopicAlreadyExistsError.errno):  # another process may create them at the same time
                raise CheckFailed(
                    f"Kafka at {self._config.bootstrap_servers} did not create topic {topic}: error {code} {' '.join(map(str, message))}"
                )
        await _answered(self._config, self._appeared(missing))
        self._refuse_other_counts(partitions, await self.partitions())

    async def partitions(self) -> dict[str, int]:
        """Streams of this deployment and their partition counts."""
        if self._admin is None:
            admin = AIOKafkaAdminClient(**self._config.connection(), retry_backoff_ms=20)
            try:
                await _answered(self._config, admin.start())
            except BaseException:
                await admin.close()
                raise
            self._admin = admin
        topics = await _answered(self._config, self._admin.describe_topics())
        return {entry["topic"].removeprefix(self._prefix): len(entry["partitions"]) for entry in topics if entry["topic"].startswith(self._prefix)}

    async def reader(self, partitions: Sequence[TopicPartition]) -> KafkaReader:
        """A reader of these partitions with a consumer of its own, at the first offset kept."""
        counts = await self.partitions()
        for stream, index in partitions:
            if not 0 <= index < counts.get(stream, 0):
                raise no_such_partition(stream, index)
        consumer = aiokafka.AIOKafkaConsumer(
            **self._config.connection(),
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="none",
            fetch_max_wait_ms=FETCH_WAIT_MS,
            max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
            retry_backoff_ms=20,
        )
        theirs = {ours: aiokafka.TopicPartition(self.topic(ours.topic), ours.partition) for ours in map(TopicPartition._make, partitions)}
        reader = KafkaReader(consumer, self._config, theirs)
        try:
            await _answered(self._config, consumer.start())
            await reader.start()
        except BaseException:
            await reader.close()
            raise
        self._keep(reader)
        return reader

    async def writer(self, transactional_id: str) -> KafkaWriter:
        """A writer with a fresh producer: its start fences earlier owners of the id and aborts what they left open."""
        producer = aiokafka.AIOKafkaProducer(
            **self._config.connection(),
            transactional_id=transactional_id,
            transaction_timeout_ms=self._config.transaction_timeout_ms,
            retry_backoff_ms=3,  # the default 100 makes the 99th percentile of a commit 130 ms: the broker answers "not yet" while it writes markers
            max_batch_size=BATCH_BYTES,
        )
        try:
            await _answered(self._config, producer.start())
        except BaseException:
            await end_producer(producer)
            raise
        writer = KafkaWriter(
            producer, self, transactional_id, commit_timeout_ms=self._config.commit_timeout_ms, builds_batches=self._config.by_record_batches
        )
        self._keep(writer)
        return writer

    async def close(self) -> None:
        """Close every reader and writer opened here, and the admin client."""
        for user in self._open:
            await user.close()
        if self._admin is not None:
            await self._admin.close()
            self._admin = None

    def _keep(self, user: KafkaReader | KafkaWriter) -> None:
        self._open = [*(other for other in self._open if not other.closed), user]

    def _new_topic(self, stream: str, count: int) -> Any:
        known = TOPICS.get(stream)
        settings = {
            "cleanup.policy": "delete",
            "retention.ms": str(known.retention_ms if known else FOREVER_MS),
            # Event times are the record timestamps: those of a replay or a simulation may lie anywhere.
            "message.timestamp.type": "CreateTime",
            "message.timestamp.before.max.ms": LONG_MAX,
            "message.timestamp.after.max.ms": LONG_MAX,
        }
        return NewTopic(self.topic(stream), count, self._config.replication_factor, topic_configs=settings)

    async def _appeared(self, streams: Mapping[str, int]) -> None:
        """Wait until the broker's metadata shows topics just created."""
        while not streams.keys() <= (await self.partitions()).keys():
            await asyncio.sleep(0.01)

    def _refuse_other_counts(self, wanted: Mapping[str, int], present: Mapping[str, int]) -> None:
        for stream, count in wanted.items():
            if present.get(stream, count) != count:
                raise CheckFailed(
                    f"topic {self.topic(stream)} has {present[stream]} partitions, {count} were asked for: counts are fixed when a deployment "
                    "begins; use the settings it began with, or a new deployment"
                )
