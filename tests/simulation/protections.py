"""The engine's protections, each with what it is like without: for tests that the simulation would notice."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest.mock import patch

from streams.bus.contract import TopicPartition
from streams.bus.faults import SimulatedBus
from streams.bus.kafka_writer import KafkaWriter
from streams.engine import compare
from streams.risk.book import Book
from streams.risk.machine import RiskMachine


@contextlib.contextmanager
def without_fencing() -> Iterator[None]:
    """Every owner writes under a transactional id of its own: nobody is ever fenced, and nothing left open is aborted."""
    opened, number = SimulatedBus.writer, itertools.count()

    async def writer(self: SimulatedBus, transactional_id: str) -> KafkaWriter:
        return await opened(self, f"{transactional_id}-{next(number)}")

    with patch.object(SimulatedBus, "writer", writer):
        yield


@contextlib.contextmanager
def without_awaiting_sends() -> Iterator[None]:
    """A commit does not look at what became of its sends."""

    async def transact(self: Any, batches: Sequence[Any]) -> dict[TopicPartition, int]:
        await self._producer.begin_transaction()
        for partition, batch in batches:
            await self._producer.send_batch(batch, partition.topic, partition=partition.partition)
        await asyncio.sleep(0)
        await self._producer.commit_transaction()
        return {}

    with patch.object(KafkaWriter, "_transact", transact):
        yield


@contextlib.contextmanager
def without_input_digests() -> Iterator[None]:
    """A re-run does not compare what it reads with what the step took."""

    class Agreeing(bytes):
        def __ne__(self, other: object) -> bool:
            return False

        __hash__ = bytes.__hash__

    with patch.object(compare, "records_digest", lambda *_: Agreeing()):
        yield


@contextlib.contextmanager
def without_duplicate_detection() -> Iterator[None]:
    """Every record of an account is taken for its next one."""
    admit = RiskMachine._admit

    def every(self: Any, stream: str, index: int, row: dict[str, Any], out: Any) -> int:
        account = self.book.ensure_account(row["account"], row["partition_"])
        rows = self.book.accounts.rows
        rows["seq"][account] = min(int(rows["seq"][account]), row["account_seq"] - 1)
        return admit(self, stream, index, row, out)

    def one_by_one(self: Any, rows: Any, start: int, stop: int, out: Any) -> None:
        for index in range(start, stop):
            self._fill(rows.row(index), index, out)

    with patch.object(RiskMachine, "_admit", every), patch.object(RiskMachine, "_fills", one_by_one):
        yield


@contextlib.contextmanager
def without_reservation() -> Iterator[None]:
    """Lots that a wave or an instruction holds count as free."""
    with patch.object(Book, "set_reserved", lambda *_: None):
        yield


PROTECTIONS: dict[str, Callable[[], contextlib.AbstractContextManager[None]]] = {
    "fencing": without_fencing,
    "awaiting-sends": without_awaiting_sends,
    "input-digests": without_input_digests,
    "duplicate-detection": without_duplicate_detection,
    "reservation": without_reservation,
}
