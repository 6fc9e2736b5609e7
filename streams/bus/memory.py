"""The log in memory: the embedded default and the ground of every simulation.

It keeps what readers of a real log can notice: a transaction's marker takes an offset on each partition it touched, a commit is atomic,
a newer owner of a transactional id fences the older one at its next commit, positions outside the log are refused.
Everything happens at once and in the caller's thread, so nothing ever waits.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

from streams.bus.contract import (
    Chunk,
    End,
    NewRecord,
    RecordBlock,
    TopicPartition,
    Writable,
    made_topic_id,
    no_such_partition,
    outside_log,
    refuse_oversized,
)
from streams.errors import CheckFailed, Fenced


class _Log:
    """One partition: records as columns with strictly rising offsets; [first, end) also counts the markers between them."""

    __slots__ = ("end", "first", "headers", "keys", "offsets", "timestamps_ms", "values")

    def __init__(self) -> None:
        self.first = 0
        self.end = 0
        self.offsets: list[int] = []
        self.timestamps_ms: list[int] = []
        self.keys: list[bytes | None] = []
        self.values: list[bytes | None] = []
        self.headers: list[tuple[tuple[str, bytes], ...]] = []

    def append(self, record: NewRecord) -> None:
        self.offsets.append(self.end)
        self.timestamps_ms.append(record.timestamp_ms)
        self.keys.append(record.key)
        self.values.append(record.value)
        self.headers.append(record.headers)
        self.end += 1

    def extend(self, block: RecordBlock) -> None:
        self.offsets += range(self.end, self.end + len(block))
        self.timestamps_ms += block.timestamps_ms
        self.keys += block.keys
        self.values += block.values
        self.headers += [block.headers] * len(block)
        self.end += len(block)


class _Cursor:
    """A reader's place in one partition: its position, and the index of the first record at or after it."""

    __slots__ = ("index", "log", "partition", "position")

    def __init__(self, partition: TopicPartition, log: _Log) -> None:
        self.partition = partition
        self.log = log
        self.move(log.first)

    def move(self, offset: int) -> None:
        self.position = offset
        self.index = bisect_left(self.log.offsets, offset)

    def take(self, count: int) -> Chunk:
        """Up to `count` records from here on; markers at the end of the log are passed once nothing else is left."""
        log, low = self.log, self.index
        high = min(low + count, len(log.offsets))
        stop = log.end if high == len(log.offsets) else log.offsets[high - 1] + 1
        topic, partition = self.partition
        chunk = Chunk(
            topic,
            partition,
            self.position,
            stop,
            log.offsets[low:high],
            log.timestamps_ms[low:high],
            log.keys[low:high],
            log.values[low:high],
            log.headers[low:high],
        )
        self.position, self.index = stop, high
        return chunk


class MemoryReader:
    """A `Reader` of the memory bus."""

    def __init__(self, logs: Mapping[TopicPartition, _Log]) -> None:
        self._cursors = {partition: _Cursor(partition, log) for partition, log in logs.items()}
        self._order = list(self._cursors.values())

    async def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from `offset`; CheckFailed outside the log."""
        cursor = self._cursors[partition]
        if not cursor.log.first <= offset <= cursor.log.end:
            raise outside_log(partition, offset, (cursor.log.first, cursor.log.end))
        cursor.move(offset)

    async def poll(self, *, max_records: int, timeout_ms: int, partitions: Sequence[TopicPartition] | None = None) -> list[Chunk]:
        """What is readable now. `timeout_ms` is not used: nothing can arrive while the only thread waits."""
        cursors = self._order if partitions is None else [self._cursors[partition] for partition in partitions]
        chunks: list[Chunk] = []
        left = max_records
        for cursor in cursors:
            if cursor.position == cursor.log.end:
                continue
            chunk = cursor.take(left)
            chunks.append(chunk)
            left -= len(chunk.offsets)
            if left == 0:
                # The next poll begins behind this partition, so that a long one cannot starve the rest.
                turn = self._order.index(cursor) + 1
                self._order = self._order[turn:] + self._order[:turn]
                break
        return chunks

    async def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        """(first offset kept, position after everything readable now)."""
        log = self._cursors[partition].log
        return log.first, log.end

    def known_end(self, partition: TopicPartition) -> End | None:
        """The end itself: nothing is ever held back here."""
        end = self._cursors[partition].log.end
        return End(end, end)

    def unread(self) -> list[TopicPartition]:
        """Partitions that hold more than has been read of them."""
        return [cursor.partition for cursor in self._order if cursor.position != cursor.log.end]

    async def close(self) -> None:
        """There is nothing to let go of."""


class MemoryWriter:
    """A `Writer` of the memory bus."""

    def __init__(self, logs: Mapping[tuple[str, int], _Log], owners: Mapping[str, object], transactional_id: str) -> None:
        self._logs = logs
        self._owners = owners
        self._transactional_id = transactional_id

    async def commit(self, records: Sequence[Writable]) -> dict[TopicPartition, int]:
        """Write all records, then one marker on each partition touched."""
        if self._owners[self._transactional_id] is not self:
            raise Fenced(f"transactional id {self._transactional_id} has a newer owner; nothing was written: drop the state of this one")
        refuse_oversized(records)
        targets = []
        for record in records:
            log = self._logs.get((record.topic, record.partition))
            if log is None:
                raise no_such_partition(record.topic, record.partition)
            targets.append(log)
        written: dict[TopicPartition, int] = {}
        touched: dict[int, _Log] = {}
        for record, log in zip(records, targets, strict=True):
            if isinstance(record, RecordBlock):
                log.extend(record)
            else:
                log.append(record)
            written[TopicPartition(record.topic, record.partition)] = log.end
            touched[id(log)] = log
        for log in touched.values():
            log.end += 1
        return written

    async def close(self) -> None:
        """There is nothing to let go of; the id stays owned until someone else takes it, as on a broker."""


class MemoryBus:
    """A `Bus` in this process. `ids`: of the topics of a recorded log, as far as they are known; None: they are made here."""

    def __init__(self, ids: Mapping[str, str] | None = None) -> None:
        self._recorded_ids = ids
        self._made: Counter[str] = Counter()
        self._counts: dict[str, int] = {}
        self._ids: dict[str, str] = {}
        self._logs: dict[tuple[str, int], _Log] = {}
        self._owners: dict[str, object] = {}

    async def create_topics(self, partitions: Mapping[str, int]) -> None:
        """Create what does not exist; CheckFailed (and nothing created) where a stream has another partition count."""
        for topic, count in partitions.items():
            if self._counts.get(topic, count) != count:
                raise CheckFailed(
                    f"stream {topic} has {self._counts[topic]} partitions, {count} were asked for: counts are fixed when a deployment begins; "
                    "use the settings it began with, or a new deployment"
                )
        for topic, count in partitions.items():
            if topic not in self._counts:
                self._counts[topic] = count
                self._identify(topic)
                self._logs.update({(topic, index): _Log() for index in range(count)})

    async def partitions(self) -> dict[str, int]:
        """Streams and their partition counts."""
        return dict(self._counts)

    async def topic_ids(self) -> dict[str, str]:
        """Streams and the ids of their topics."""
        return dict(self._ids)

    async def reader(self, partitions: Sequence[TopicPartition]) -> MemoryReader:
        """A reader of these partitions, at the first offset kept."""
        logs = {}
        for partition in partitions:
            if partition not in self._logs:
                raise no_such_partition(*partition)
            logs[partition] = self._logs[partition]
        return MemoryReader(logs)

    async def writer(self, transactional_id: str) -> MemoryWriter:
        """A writer that now owns `transactional_id`."""
        writer = MemoryWriter(self._logs, self._owners, transactional_id)
        self._owners[transactional_id] = writer
        return writer

    async def close(self) -> None:
        """There is nothing to let go of."""

    def delete_topic(self, topic: str) -> None:
        """What an administrator can do to a topic; it may be created again."""
        for index in range(self._counts.pop(topic)):
            del self._logs[(topic, index)]
        self._ids.pop(topic, None)

    def preload(self, chunk: Chunk) -> None:
        """Append recorded records under their own offsets, gaps included. The first chunk of an empty partition also sets the first offset kept."""
        log = self._logs.get((chunk.topic, chunk.partition))
        if log is None:
            raise no_such_partition(chunk.topic, chunk.partition)
        if log.end == log.first == 0:
            log.first = log.end = chunk.start
        where = [chunk.start - 1, *chunk.offsets, chunk.stop]
        if chunk.start != log.end or any(low >= high for low, high in pairwise(where)):
            raise CheckFailed(
                f"records of {chunk.topic}[{chunk.partition}] do not continue its log: [{chunk.start}, {chunk.stop}) was offered after offset "
                f"{log.end}, or its offsets do not rise: the recording is damaged or loaded twice"
            )
        log.offsets += chunk.offsets
        log.timestamps_ms += chunk.timestamps_ms
        log.keys += chunk.keys
        log.values += chunk.values
        log.headers += chunk.headers
        log.end = chunk.stop

    def _identify(self, topic: str) -> None:
        if self._recorded_ids is None:
            self._ids[topic] = made_topic_id(topic, self._made[topic])
            self._made[topic] += 1
        elif topic in self._recorded_ids:
            self._ids[topic] = self._recorded_ids[topic]
