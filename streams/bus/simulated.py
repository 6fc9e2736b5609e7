"""The broker of a simulation: what a Kafka cluster does with logs and transactions, as a state machine on the running loop's clock.

Modelled is what a client can notice: an open transaction hides what lies behind it on each partition it touched; a transaction that ends gets
its markers partition by partition, each in its own time; aborted records and markers take offsets; a newer owner or a time-out bumps the epoch,
which the older owner learns at its next request; while it is down nothing is answered. Errors are those of Kafka's protocol.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from random import Random

from aiokafka.errors import ConcurrentTransactions, InvalidProducerEpoch, InvalidTxnState, MessageSizeTooLargeError

from streams.bus.contract import MAX_RECORD_BYTES, NewRecord, TopicPartition, made_topic_id

Trace = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """Times in milliseconds. A marker is written within `marker_ms` after its transaction ended, on a slow partition ten times later."""

    marker_ms: tuple[float, float] = (0.2, 4.0)
    slow_marker_share: float = 0.02
    transaction_timeout_ms: float = 1_000.0


@dataclass(eq=False, slots=True)
class Transaction:
    """One transaction: `committed` is None while it is open, and what was decided from then on."""

    transactional_id: str
    epoch: int
    number: int
    partitions: dict[TopicPartition, None] = field(default_factory=dict)
    committed: bool | None = None
    unmarked: int = 0


@dataclass(slots=True)
class _Owner:
    """What the coordinator knows of a transactional id."""

    epoch: int = -1
    transaction: Transaction | None = None  # open, or its markers are still being written
    last: tuple[int, bool] | None = None  # epoch and outcome of the last one that ended


class SimulatedLog:
    """One partition. Nothing is ever forgotten here: retention only moves `first`, so that a checker can still look."""

    def __init__(self) -> None:
        self.first = 0
        self.end = 0
        self.offsets: list[int] = []
        self.records: list[NewRecord] = []
        self.transactions: list[Transaction | None] = []
        self.open: dict[Transaction, int] = {}

    @property
    def stable(self) -> int:
        """Last stable offset: nothing at or above it is readable yet."""
        return min(self.open.values(), default=self.end)

    def append(self, record: NewRecord, transaction: Transaction | None = None) -> int:
        """Add a record; its offset."""
        offset = self.end
        self.offsets.append(offset)
        self.records.append(record)
        self.transactions.append(transaction)
        if transaction is not None:
            self.open.setdefault(transaction, offset)
        self.end += 1
        return offset

    def mark(self, transaction: Transaction) -> None:
        """Write the marker of a transaction."""
        self.open.pop(transaction, None)
        self.end += 1

    def committed(self, start: int, stop: int) -> Iterable[tuple[int, NewRecord]]:
        """Committed records of [start, stop) with their offsets; `stop` must not lie beyond what is stable."""
        for at in range(bisect_left(self.offsets, start), bisect_left(self.offsets, stop)):
            transaction = self.transactions[at]
            if transaction is None or transaction.committed:
                yield self.offsets[at], self.records[at]

    def read(self, position: int, count: int) -> tuple[int, list[tuple[int, NewRecord]]]:
        """(next position, up to `count` committed records from `position` on)."""
        stable, found = self.stable, []
        for offset, record in self.committed(position, stable):
            found.append((offset, record))
            if len(found) == count:
                return offset + 1, found
        return max(stable, position), found


class Broker:
    """Logs and the transaction coordinator. Every method is one request, taken at once; latency and loss are the network's."""

    def __init__(self, random: Random, options: BrokerOptions | None = None, *, trace: Trace = lambda _: None) -> None:
        self.options = options or BrokerOptions()
        self.counts: dict[str, int] = {}
        self.ids: dict[str, str] = {}
        self.logs: dict[TopicPartition, SimulatedLog] = {}
        self.trace = trace
        self.down_until_s = 0.0
        self._random = random
        self._owners: dict[str, _Owner] = {}
        self._transactions = 0
        self._created = 0

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Do something in the broker's own time, whoever asked for it."""
        asyncio.get_running_loop().call_later(delay_s, call, context=Context())

    @property
    def is_down(self) -> bool:
        """Whether it answers nobody just now."""
        return asyncio.get_running_loop().time() < self.down_until_s

    def create(self, partitions: dict[str, int]) -> None:
        """Create streams that do not exist."""
        for topic, count in partitions.items():
            if topic not in self.counts:
                self.counts[topic] = count
                self.ids[topic] = made_topic_id(topic, self._created)
                self._created += 1
                self.logs.update({TopicPartition(topic, index): SimulatedLog() for index in range(count)})

    def delete(self, topic: str) -> None:
        """What an administrator can do to a topic; it may be created again, under another id."""
        for index in range(self.counts.pop(topic)):
            del self.logs[TopicPartition(topic, index)]
        del self.ids[topic]

    def append(self, records: Sequence[NewRecord]) -> None:
        """Records of a producer without transactions, the exchange's own for one."""
        for record in records:
            offset = self.logs[TopicPartition(record.topic, record.partition)].append(record)
            self.trace(f"append {record.topic}/{record.partition} {offset}")

    # -- transactions -----------------------------------------------------------------------------------------------------------------

    def init(self, transactional_id: str) -> int:
        """InitProducerId: fence earlier owners, abort what they left open; the new epoch. Raises ConcurrentTransactions until that is done."""
        owner = self._owners.setdefault(transactional_id, _Owner())
        open_one = owner.transaction
        if open_one is not None:
            if open_one.committed is None:
                owner.epoch += 1
                self._end(owner, open_one, commit=False)
            raise ConcurrentTransactions
        owner.epoch += 1
        owner.last = None
        self.trace(f"init {transactional_id} {owner.epoch}")
        return owner.epoch

    def add(self, transactional_id: str, epoch: int, partition: TopicPartition) -> None:
        """AddPartitionsToTxn: the first one begins the transaction."""
        owner = self._owner(transactional_id, epoch)
        if owner.transaction is not None and owner.transaction.committed is not None:
            raise ConcurrentTransactions
        if owner.transaction is None:
            self._transactions += 1
            begun = owner.transaction = Transaction(transactional_id, epoch, self._transactions)
            self.later(self.options.transaction_timeout_ms / 1000, lambda: self._time_out(owner, begun))
        owner.transaction.partitions[partition] = None

    def produce(self, transactional_id: str, epoch: int, partition: TopicPartition, records: Sequence[NewRecord]) -> int:
        """One batch; its base offset."""
        open_one = self._owner(transactional_id, epoch).transaction
        if open_one is None or open_one.committed is not None or partition not in open_one.partitions:
            raise InvalidTxnState
        if any(len(record.key or b"") + len(record.value or b"") > MAX_RECORD_BYTES for record in records):
            raise MessageSizeTooLargeError
        log = self.logs[partition]
        base = log.end
        for record in records:
            log.append(record, open_one)
        self.trace(f"produce {transactional_id} {partition.topic}/{partition.partition} {base}+{len(records)}")
        return base

    def end(self, transactional_id: str, epoch: int, *, commit: bool) -> None:
        """EndTxn. Asked again after it was done, it agrees."""
        owner = self._owner(transactional_id, epoch)
        open_one = owner.transaction
        if open_one is None:
            if owner.last == (epoch, commit):
                return
            raise InvalidTxnState
        if open_one.committed is None:
            self._end(owner, open_one, commit=commit)
        elif open_one.committed is not commit:
            raise InvalidTxnState

    def _owner(self, transactional_id: str, epoch: int) -> _Owner:
        owner = self._owners[transactional_id]
        if epoch != owner.epoch:
            raise InvalidProducerEpoch
        return owner

    def _time_out(self, owner: _Owner, begun: Transaction) -> None:
        if owner.transaction is begun and begun.committed is None:
            self.trace(f"timeout {begun.transactional_id}")
            owner.epoch += 1
            self._end(owner, begun, commit=False)

    def _end(self, owner: _Owner, open_one: Transaction, *, commit: bool) -> None:
        """From here on the outcome is certain; readers learn of it partition by partition."""
        self.trace(f"end {open_one.transactional_id} {open_one.number} {commit}")
        open_one.committed = commit
        open_one.unmarked = len(open_one.partitions)
        low, high = self.options.marker_ms
        for partition in open_one.partitions:
            delay_ms = self._random.uniform(low, high)
            if self._random.random() < self.options.slow_marker_share:
                delay_ms *= 10
            self._mark_later(owner, open_one, partition, delay_ms / 1000)
        if not open_one.partitions:
            self._ended(owner, open_one)

    def _mark_later(self, owner: _Owner, ended: Transaction, partition: TopicPartition, delay_s: float) -> None:
        def mark() -> None:
            if self.is_down:
                self._mark_later(owner, ended, partition, self.down_until_s - asyncio.get_running_loop().time() + delay_s)
                return
            self.logs[partition].mark(ended)
            self.trace(f"mark {ended.number} {partition.topic}/{partition.partition}")
            ended.unmarked -= 1
            if ended.unmarked == 0:
                self._ended(owner, ended)

        self.later(delay_s, mark)

    def _ended(self, owner: _Owner, ended: Transaction) -> None:
        owner.last = ended.epoch, bool(ended.committed)
        owner.transaction = None
