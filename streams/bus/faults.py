"""The simulated bus as a client sees it: requests to a simulated broker that take time, get lost or lose their answer.

Commits go through the very writer that Kafka gets; only aiokafka's producer under it is simulated, with its traps: it commits although a send
failed, and a request on its way arrives although nobody waits for it any more. Reads come unevenly: some partitions, some records, a little late.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any, TypeVar

from aiokafka.errors import ConcurrentTransactions, KafkaConnectionError, KafkaError, ProducerFenced, TopicAuthorizationFailedError

from streams.bus.contract import Chunk, End, NewRecord, TopicPartition, no_such_partition, outside_log
from streams.bus.kafka_writer import NOT_DATED, KafkaWriter, end_producer
from streams.bus.simulated import Broker
from streams.errors import CheckFailed, Unreachable

T = TypeVar("T")
RETRY_S = 0.003
IDLE_POLL_MS = (3.0, 40.0)


class Hooks:
    """What may go wrong where, asked by the clients at every await of a commit. This one lets everything pass."""

    async def at(self, point: str, transactional_id: str) -> None:
        """`point`: init, inited, begin, send, sent, end, ended, committed."""

    def refuses(self, transactional_id: str, partition: TopicPartition) -> bool:
        """Whether the broker refuses this batch."""
        return False

    def loses_answer(self, transactional_id: str) -> bool:
        """Whether the answer to this end of a transaction is lost."""
        return False

    def delays_end(self, transactional_id: str) -> float:
        """Seconds that this end of a transaction stays on its way longer than usual."""
        return 0.0

    def fenced(self, transactional_id: str) -> None:
        """The client has been told that its id has a newer owner."""

    def decided(self, transactional_id: str) -> None:
        """The broker has just ended the transaction; its answer is on the way."""


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """Times in milliseconds."""

    latency_ms: tuple[float, float] = (0.1, 1.5)
    reach_ms: float = 500.0
    commit_timeout_ms: int = 1_300
    uneven_share: float = 0.3  # of partitions that a fetch leaves out
    batch_records: int = 5  # a batch holds at most so many


class Network:
    """The way to the broker and back."""

    def __init__(self, broker: Broker, random: Random, options: NetworkOptions) -> None:
        self.broker, self.random, self.options = broker, random, options

    def latency_s(self) -> float:
        """One way."""
        return self.random.uniform(*self.options.latency_ms) / 1000

    async def ask(self, request: Callable[[], T], *, more_s: float = 0.0, answered: bool = True, done: Callable[[], None] | None = None) -> T:
        """One request. It arrives although its sender died; KafkaConnectionError when the broker is down as it does; no answer if not `answered`."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def arrive() -> None:
            result: T | None = None
            error: Exception | None = None
            if self.broker.is_down:
                error = KafkaConnectionError("connection lost")
            else:
                try:
                    result = request()
                except (KafkaError, CheckFailed) as problem:
                    error = problem
                if done is not None:
                    done()
            if answered or error is not None:
                self.broker.later(self.latency_s(), lambda: _tell(future, result, error))

        self.broker.later(self.latency_s() + more_s, arrive)
        return await future

    async def ask_until(self, request: Callable[[], T]) -> T:
        """Ask until there is an answer other than "not yet" or a lost connection."""
        while True:
            try:
                return await self.ask(request)
            except (ConcurrentTransactions, KafkaConnectionError):
                await asyncio.sleep(RETRY_S)

    async def reach(self, request: Callable[[], T]) -> T:
        """Ask for a limited time. Raises Unreachable."""
        try:
            async with asyncio.timeout(self.options.reach_ms / 1000):
                return await self.ask_until(request)
        except TimeoutError as error:
            raise Unreachable("the simulated broker did not answer in time: start again") from error


def _tell(future: "asyncio.Future[Any]", result: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
        future.exception()  # whoever waited may be gone


class _Batch:
    """A batch builder as aiokafka has it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.records: list[tuple[int, bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]] = []

    def append(self, *, key: bytes | None, value: bytes | None, timestamp: int, headers: Sequence[tuple[str, bytes]] = ()) -> object | None:
        if len(self.records) == self._limit:
            return None
        self.records.append((timestamp, key, value, tuple(headers)))
        return self

    def close(self) -> None:
        """Nothing follows."""

    def record_count(self) -> int:
        return len(self.records)


class SimulatedProducer:
    """aiokafka's transactional producer, as far as the writer uses it."""

    def __init__(self, network: Network, transactional_id: str, hooks: Hooks) -> None:
        self._network, self._id, self._hooks = network, transactional_id, hooks
        self._epoch = -1
        self._sends: list[asyncio.Task[Any]] = []
        self._tails: dict[TopicPartition, asyncio.Task[Any]] = {}
        self._fenced = self._stopped = False
        self._message_accumulator = SimpleNamespace(_batches={})
        self._txn_manager = SimpleNamespace(wait_for_transaction_end=lambda: None)

    async def start(self) -> None:
        """Take the transactional id over."""
        await self._hooks.at("init", self._id)
        self._epoch = await self._network.reach(lambda: self._network.broker.init(self._id))
        await self._hooks.at("inited", self._id)

    async def stop(self) -> None:
        """Let go; what is on its way stays on its way."""
        self._stopped = True
        for send in self._sends:
            send.cancel()

    def create_batch(self) -> _Batch:
        """An empty batch."""
        return _Batch(self._network.options.batch_records)

    async def begin_transaction(self) -> None:
        """Known to the client only."""
        self._refuse_fenced()
        self._sends, self._tails = [], {}
        await self._hooks.at("begin", self._id)

    async def send_batch(self, batch: _Batch, topic: str, *, partition: int) -> "asyncio.Task[Any]":
        """Send in the background, in order per partition; the outcome is in what is returned."""
        self._refuse_fenced()
        await self._hooks.at("send", self._id)
        where = TopicPartition(topic, partition)
        send = asyncio.get_running_loop().create_task(self._send(batch, where, self._tails.get(where)))
        send.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._tails[where] = send
        self._sends.append(send)
        return send

    async def commit_transaction(self) -> None:
        """Wait for the sends, however they end, and commit what there is: that is what aiokafka does."""
        await self._flush()
        await self._end(commit=True)
        await self._hooks.at("committed", self._id)

    async def abort_transaction(self) -> None:
        """Take it back."""
        await self._flush()
        await self._end(commit=False)

    async def _flush(self) -> None:
        if self._sends:
            await asyncio.wait(self._sends)
        self._refuse_fenced()

    async def _send(self, batch: _Batch, where: TopicPartition, before: "asyncio.Task[Any] | None") -> Any:
        if before is not None:
            await asyncio.wait([before])
        broker, epoch = self._network.broker, self._epoch
        records = [NewRecord(where.topic, where.partition, *record) for record in batch.records]
        await self._told(lambda: broker.add(self._id, epoch, where))
        if self._hooks.refuses(self._id, where):
            raise TopicAuthorizationFailedError(where.topic)
        base = await self._told(lambda: broker.produce(self._id, epoch, where, records))
        await self._hooks.at("sent", self._id)
        return SimpleNamespace(offset=base, timestamp=NOT_DATED)

    async def _end(self, *, commit: bool) -> None:
        await self._hooks.at("end", self._id)
        if not self._sends:
            return
        broker, epoch = self._network.broker, self._epoch
        decided = partial(self._hooks.decided, self._id)
        more_s, answered = self._hooks.delays_end(self._id), not self._hooks.loses_answer(self._id)
        while True:
            try:
                await self._network.ask(lambda: broker.end(self._id, epoch, commit=commit), more_s=more_s, answered=answered, done=decided)
                break
            except KafkaConnectionError:
                await asyncio.sleep(RETRY_S)
            except KafkaError as error:
                self._learn(error)
        await self._hooks.at("ended", self._id)

    async def _told(self, request: Callable[[], T]) -> T:
        try:
            return await self._network.ask_until(request)
        except KafkaError as error:
            self._learn(error)
            raise

    def _learn(self, error: KafkaError) -> None:
        """An old epoch is the end of this producer."""
        if type(error).__name__ in ("InvalidProducerEpoch", "InvalidTxnState"):
            self._fenced = True
            if not self._stopped:
                self._hooks.fenced(self._id)
            raise ProducerFenced from error
        raise error

    def _refuse_fenced(self) -> None:
        if self._fenced:
            raise ProducerFenced


class SimulatedReader:
    """A `Reader` of the simulated broker."""

    def __init__(self, network: Network, positions: dict[TopicPartition, int]) -> None:
        self._network, self._positions = network, positions
        self._ends: dict[TopicPartition, End] = {}
        self._turn = 0

    async def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from `offset`; CheckFailed outside the log."""
        first, end = await self.bounds(partition)
        if not first <= offset <= end:
            raise outside_log(partition, offset, (first, end))
        self._positions[partition] = offset

    async def poll(self, *, max_records: int, timeout_ms: int, partitions: Sequence[TopicPartition] | None = None) -> list[Chunk]:
        """What a fetch brings; fetched again until something came or the time is over."""
        wanted = list(self._positions) if partitions is None else list(partitions)
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_ms / 1000
        while True:
            chunks = await self._fetch(wanted, max_records)
            if chunks or loop.time() >= until:
                return chunks
            await asyncio.sleep(min(until - loop.time(), self._network.random.uniform(*IDLE_POLL_MS) / 1000))

    async def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        """(first offset kept, last stable offset)."""
        log = self._network.broker.logs[partition]
        return await self._network.reach(lambda: (log.first, log.stable))

    def known_end(self, partition: TopicPartition) -> End | None:
        """What the last fetch said of its end: also of a partition that the fetch brought nothing of."""
        return self._ends.get(partition)

    def unread(self) -> list[TopicPartition]:
        """Partitions that are known to hold more than has been read of them, and those of whose end nothing is known."""
        return [p for p, position in self._positions.items() if (end := self._ends.get(p)) is None or position < end.stable]

    async def close(self) -> None:
        """There is nothing to let go of."""

    async def _fetch(self, wanted: Sequence[TopicPartition], max_records: int) -> list[Chunk]:
        try:
            fetched = await self._network.ask(lambda: self._read(wanted, max_records))
        except KafkaConnectionError:
            return []
        chunks, ends = fetched
        self._ends |= ends
        for chunk in chunks:
            self._positions[TopicPartition(chunk.topic, chunk.partition)] = chunk.stop
        return chunks

    def _read(self, wanted: Sequence[TopicPartition], max_records: int) -> tuple[list[Chunk], dict[TopicPartition, End]]:
        random, left, chunks = self._network.random, max_records, []
        ends = {partition: End(log.stable, log.end) for partition in wanted for log in [self._network.broker.logs[partition]]}
        self._turn += 1
        for at in range(len(wanted)):
            partition = wanted[(at + self._turn) % len(wanted)]
            log, position = self._network.broker.logs[partition], self._positions[partition]
            if position < log.first:
                raise outside_log(partition, position, (log.first, log.stable))
            if position >= log.stable or left == 0 or random.random() < self._network.options.uneven_share:
                continue
            count = min(left, random.choice((1, 2, 5, 1000)))
            stop, found = log.read(position, count)
            left -= len(found)
            chunks.append(_chunk(partition, position, stop, found))
        return chunks, ends


def _chunk(partition: TopicPartition, start: int, stop: int, found: Sequence[tuple[int, NewRecord]]) -> Chunk:
    records = [record for _, record in found]
    return Chunk(
        partition.topic,
        partition.partition,
        start,
        stop,
        [offset for offset, _ in found],
        [record.timestamp_ms for record in records],
        [record.key for record in records],
        [record.value for record in records],
        [record.headers for record in records],
    )


class SimulatedBus:
    """A `Bus`: one client process's connections to the simulated broker."""

    def __init__(self, broker: Broker, random: Random, options: NetworkOptions | None = None, hooks: Hooks | None = None) -> None:
        self._network = Network(broker, random, options or NetworkOptions())
        self._hooks = hooks or Hooks()

    def topic(self, stream: str) -> str:
        """The topic's name on the broker: the stream's own."""
        return stream

    async def create_topics(self, partitions: Mapping[str, int]) -> None:
        """Create what does not exist; CheckFailed where a stream has another partition count."""
        counts = await self.partitions()
        for topic, count in partitions.items():
            if counts.get(topic, count) != count:
                raise CheckFailed(f"stream {topic} has {counts[topic]} partitions, {count} were asked for: use the counts the deployment began with")
        await self._network.reach(lambda: self._network.broker.create(dict(partitions)))

    async def partitions(self) -> dict[str, int]:
        """Streams and their partition counts."""
        return await self._network.reach(lambda: dict(self._network.broker.counts))

    async def topic_ids(self) -> dict[str, str]:
        """Streams and the ids of their topics."""
        return await self._network.reach(lambda: dict(self._network.broker.ids))

    async def reader(self, partitions: Sequence[TopicPartition]) -> SimulatedReader:
        """A reader of these partitions, at the first offset kept."""
        logs = self._network.broker.logs
        for partition in partitions:
            if partition not in logs:
                raise no_such_partition(*partition)
        return SimulatedReader(self._network, await self._network.reach(lambda: {p: logs[p].first for p in partitions}))

    async def writer(self, transactional_id: str) -> KafkaWriter:
        """A writer that now owns `transactional_id`."""
        producer = SimulatedProducer(self._network, transactional_id, self._hooks)
        try:
            await producer.start()
        except BaseException:
            await end_producer(producer)
            raise
        return KafkaWriter(producer, self, transactional_id, commit_timeout_ms=self._network.options.commit_timeout_ms)

    async def close(self) -> None:
        """There is nothing to let go of."""
