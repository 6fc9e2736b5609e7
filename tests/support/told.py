"""A shard's task without an engine: records in, one by one or in steps, and what it says kept in order."""

from collections.abc import Iterable, Sequence
from typing import Any

from streams.bus.contract import Chunk, NewRecord, TopicPartition
from streams.engine.task import Task, TaskSpec
from streams.risk.machine import RiskMachine
from streams.wire.codec import codec
from streams.wire.kinds import stream_of
from tests.support.risk_rows import PARTITIONS


class Teller:
    """The one accounts shard of a deployment."""

    def __init__(self) -> None:
        self.machine = RiskMachine(0, 1)
        self.task = Task(TaskSpec("accounts", 0, 1, PARTITIONS, "t"), self.machine)
        self.records: list[NewRecord] = []
        self._ends: dict[TopicPartition, int] = {}

    @property
    def rows(self) -> list[tuple[str, dict[str, Any]]]:
        """(stream, row) of everything said."""
        told = []
        for record in self.records:
            stream = stream_of(record.topic, record.value)
            assert stream is not None
            told.append((stream, codec(stream).decode_row(record.value)))
        return told

    def said(self, stream: str, *fields: str) -> list[Any]:
        """Rows of a stream as tuples of the fields named; a single field bare; without fields whole."""
        rows = [row for name, row in self.rows if name == stream]
        if not fields:
            return rows
        return [row[fields[0]] if len(fields) == 1 else tuple(row[name] for name in fields) for row in rows]

    def take(self, records: Iterable[NewRecord], *, together: bool = False) -> None:
        """Take the records, each in a step of its own, or all of them in one."""
        for step in [list(records)] if together else [[record] for record in records]:
            said = self.task.step(self._chunks(step))
            self.records += [each for record in (said.records if said else ()) for each in _singly(record)]

    def restart(self) -> None:
        """Go on with a new machine from the snapshot of this one."""
        tables, self.machine = self.machine.snapshot(), RiskMachine(0, 1)
        self.machine.restore(tables)
        task = Task(self.task.spec, self.machine)
        task.restore(self.task.number, positions=self.task.positions, counts=self.task.counts, running=self.task.running)
        self.task = task

    def _chunks(self, records: Sequence[NewRecord]) -> list[Chunk]:
        chunks: dict[TopicPartition, Chunk] = {}
        for record in records:
            partition = TopicPartition(record.topic, record.partition)
            end = self._ends.get(partition, 0)
            chunk = chunks.setdefault(partition, Chunk(*partition, end, end))
            chunk.append(end, record)
            chunk.stop = self._ends[partition] = end + 1
        return list(chunks.values())

    def wallet(self, account: int) -> int:
        """The cross wallet of asset 1."""
        book = self.machine.book
        return int(book.groups.rows["wallet"][book.group_row((account, 1, 0, 0))])

    def position(self, account: int, number: int = 1) -> tuple[int, int]:
        """(lots, cost)."""
        book = self.machine.book
        row = book.positions.rows[book.position_row((account, number, 1))]
        return int(row["lots"]), int(row["cost"])


def _singly(record: Any) -> list[NewRecord]:
    return [record] if isinstance(record, NewRecord) else list(record.singly())
