"""The log on Apache Kafka, through aiokafka: read_committed readers on positions set by hand, transactional writers.

Topics are `<deployment>.<stream>`. Positions are never reset by the client: one outside the log stops its reader.
A chunk's `stop` is the consumer's position, so control records and aborted ones are covered by the chunks too.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import aiokafka
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    CorruptRecordException,
    OffsetOutOfRangeError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnsupportedCodecError,
)

from streams.bus import kafka_connection
from streams.bus.contract import Chunk, End, TopicPartition, no_such_partition, outside_log
from streams.bus.kafka_chunks import Arrivals, chunk_of, give_batches, share_out, tell_of_dates
from streams.bus.kafka_connection import KafkaConfig, answered, listen_to_complaints
from streams.bus.kafka_policy import Fault, faults_of, settings_for
from streams.bus.kafka_topics import TopicOnBroker, describe, settings_of
from streams.bus.kafka_writer import BATCH_BYTES, KafkaWriter, end_consumer, end_producer
from streams.errors import CheckFailed

AHEAD_FROM = 2_000  # records of one poll from which the next are fetched ahead
FETCH_WAIT_MS = 5  # the broker's default of 500 costs 450 ms for one wake-up
PARTITION_FETCH_BYTES = 8 << 20
BY_BROKER = 1  # a record's kind of timestamp where it is not the one sent


class KafkaReader:
    """A `Reader` on Kafka: one consumer, in no group."""

    def __init__(self, consumer: Any, config: KafkaConfig, partitions: Mapping[TopicPartition, aiokafka.TopicPartition]) -> None:
        self._consumer = consumer
        self._config = config
        self._theirs = dict(partitions)
        self._positions: dict[TopicPartition, int] = {}
        self._arrivals: dict[TopicPartition, Arrivals] | None = None
        self._dated: set[TopicPartition] = set()  # partitions told of, whose records the broker has dated
        self._turn = 0
        self._is_held = False
        self._quiet_since = 0.0
        self.closed = False

    async def start(self) -> None:
        """Take the partitions at the first offset kept. Nothing may be awaited between assigning and seeking: the consumer would look for offsets."""
        theirs = list(self._theirs.values())
        firsts = await answered(self._config, self._consumer.beginning_offsets(theirs))
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
        except UnsupportedCodecError as error:
            raise CheckFailed(
                f"the log at {self._config.bootstrap_servers} is in a codec that this version cannot read ({error}): let its producers take another"
            ) from error
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
                records = fetched.get(their, [])
                if records and records[0].timestamp_type == BY_BROKER and ours not in self._dated:
                    self._dated.add(ours)
                    tell_of_dates(ours, records[0].offset)
                chunks.append(chunk_of(ours, start, stop, records))
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
        firsts = await answered(self._config, self._consumer.beginning_offsets([their]))
        ends = await answered(self._config, self._consumer.end_offsets([their]))
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
        found = await answered(self._config, self._consumer.offsets_for_times({their: timestamp_ms}))
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
        elif now - self._quiet_since > kafka_connection.REACH_SECONDS:
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
        listen_to_complaints()

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
        replicas = self._config.replication_factor
        new = [NewTopic(self.topic(stream), count, replicas, topic_configs=settings_for(stream, replicas)) for stream, count in missing.items()]
        answer = await answered(self._config, self._admin.create_topics(new))
        for topic, code, *message in answer.topic_errors:
            if code not in (0, TopicAlreadyExistsError.errno):  # another process may create them at the same time
                raise CheckFailed(
                    f"Kafka at {self._config.bootstrap_servers} did not create topic {topic}: error {code} {' '.join(map(str, message))}"
                )
        await answered(self._config, self._appeared(missing))
        self._refuse_other_counts(partitions, await self.partitions())

    async def partitions(self) -> dict[str, int]:
        """Streams of this deployment and their partition counts."""
        return {topic.name.removeprefix(self._prefix): topic.partitions for topic in await self._described()}

    async def topic_ids(self) -> dict[str, str]:
        """Streams of this deployment and the ids of their topics, as Kafka's own tools show them; none of a broker older than 2.8."""
        return {topic.name.removeprefix(self._prefix): topic.topic_id for topic in await self._described() if topic.topic_id is not None}

    async def faults(self) -> list[Fault]:
        """What is set otherwise than it should be, on topics of ours that are there and that we may look at."""
        found = await self._described()
        settings = await answered(self._config, settings_of(self._admin, [topic.name for topic in found]))
        address, replicas = self._config.bootstrap_servers, self._config.replication_factor
        return faults_of(found, settings, prefix=self._prefix, replication_factor=replicas, address=address)

    async def _described(self) -> list[TopicOnBroker]:
        if self._admin is None:
            admin = AIOKafkaAdminClient(**self._config.connection(), retry_backoff_ms=20)
            try:
                await answered(self._config, admin.start())
            except BaseException:
                await admin.close()
                raise
            self._admin = admin
        topics = await answered(self._config, describe(self._admin))
        return [topic for topic in topics if topic.name.startswith(self._prefix)]

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
            await answered(self._config, consumer.start())
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
            await answered(self._config, producer.start())
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
