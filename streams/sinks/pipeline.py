"""The sink of a worker: reading goes on beside inserting, within bounds, and a server that is away is outlasted.

A block is sent again under its token until the server has it, however long that takes: the log keeps what was not read, so waiting loses nothing,
and giving up would only begin the same wait in another process. Reading pauses while too much waits. Nothing else in the process is held up.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from streams.bus.contract import Reader, TopicPartition
from streams.errors import Unreachable
from streams.observe.logs import logger
from streams.sinks.blocks import Block
from streams.sinks.clickhouse import ClickHouseSink, Prepared

log = logger(__name__)
T = TypeVar("T")

POLL_MS = 200
IDLE_S = 0.01  # between polls that found nothing, for a log whose polls do not wait
FLUSH_S = 1.0  # rows are sent this long after they could be read
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
SURVEY_EVERY_S = 5.0


class _Abandoned(Exception):
    """The process stops while ClickHouse is away; the next one sends the blocks of the round again."""


class Observer(Protocol):
    """Told what the sink does."""

    def on_block(self, topic: str, rows: int, skipped: int) -> None:
        """A block is in ClickHouse."""

    def on_retry(self, topic: str, problem: Unreachable, pause_s: float) -> None:
        """A block did not get an answer; it is sent again after the pause."""

    def on_survey(self, waiting: dict[str, int], oldest_ms: dict[str, int]) -> None:
        """Offsets readable and not inserted, and timestamp of the oldest record read and not inserted where there is one, by topic."""


@dataclass(frozen=True, slots=True)
class Pauses:
    """How long to wait before a block is sent again: doubling from the first to the longest."""

    first_s: float = FIRST_PAUSE_S
    longest_s: float = LONGEST_PAUSE_S

    def after(self, failures: int) -> float:
        """Before the next attempt, after so many in a row."""
        return float(min(self.first_s * 2 ** min(failures - 1, 30), self.longest_s))


@dataclass(slots=True)
class _Shared:
    """What reading and inserting tell each other."""

    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    room: asyncio.Event = field(default_factory=asyncio.Event)
    under_way: dict[TopicPartition, Block] = field(default_factory=dict)


class Waiter(Protocol):
    """Told that ClickHouse is waited for."""

    def on_waiting(self, problem: Unreachable, pause_s: float) -> None:
        """It does not answer; it is asked again after the pause."""


async def outlast(work: Callable[[], T], stop: asyncio.Event, waiter: Waiter, pauses: Pauses = Pauses()) -> T | None:
    """The result of work in a thread, tried again while it is Unreachable; None when `stop` came first."""
    failures = 0
    while True:
        try:
            return await asyncio.to_thread(work)
        except Unreachable as problem:
            failures += 1
            pause_s = pauses.after(failures)
            waiter.on_waiting(problem, pause_s)
            if await _either(stop, timeout_s=pause_s):
                return None


class SinkPipeline:
    """One sink and its reader, for the life of a worker."""

    def __init__(
        self,
        sink: ClickHouseSink,
        reader: Reader,
        observer: Observer,
        *,
        flush_s: float = FLUSH_S,
        pauses: Pauses = Pauses(),
        survey_every_s: float = SURVEY_EVERY_S,
    ) -> None:
        self._sink = sink
        self._reader = reader
        self._observer = observer
        self._flush_s = flush_s
        self._pauses = pauses
        self._survey_every_s = survey_every_s
        self._shared = _Shared()

    async def run(self, stop: asyncio.Event) -> None:
        """Sink until `stop`, then send what was read, unless the server is away. Raises what reading raises, and CheckFailed for refused rows."""
        parts = [asyncio.create_task(part(stop)) for part in (self._read, self._survey)]
        inserting = asyncio.create_task(self._insert(stop, parts))
        try:
            done, _ = await asyncio.wait([inserting, *parts], return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in (inserting, *parts):
                task.cancel()
            await asyncio.gather(inserting, *parts, return_exceptions=True)

    async def _read(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            unfinished = None
            if self._sink.is_full:
                # A block that is to be repeated must be read whole before anything can be inserted after it, whatever waits meanwhile.
                unfinished = [backlog.source for backlog in self._sink.backlogs if backlog.is_unfinished]
                if not unfinished:
                    self._shared.room.clear()
                    await _either(self._shared.room, stop)
                    continue
            if await self._sink.read(self._reader, timeout_ms=POLL_MS, partitions=unfinished):
                self._shared.arrived.set()
                await asyncio.sleep(0)  # a log in memory never waits by itself
            else:
                await asyncio.sleep(IDLE_S)

    async def _insert(self, stop: asyncio.Event, reading: Sequence["asyncio.Task[None]"]) -> None:
        with suppress(_Abandoned):
            await self._insert_until(stop)
            await asyncio.wait(reading)
            while await self._round(stop, partial=True):
                pass

    async def _insert_until(self, stop: asyncio.Event) -> None:
        due = time.monotonic() + self._flush_s
        while not stop.is_set():
            is_due = time.monotonic() >= due
            if is_due:  # short blocks once in this time at most: many small parts would keep ClickHouse merging
                due = time.monotonic() + self._flush_s
            self._shared.arrived.clear()
            if not await self._round(stop, partial=is_due or self._sink.is_full):
                await _either(self._shared.arrived, stop, timeout_s=max(due - time.monotonic(), 0))

    async def _round(self, stop: asyncio.Event, *, partial: bool) -> bool:
        """Cut, persist and insert at most one block per partition; False when there was none. Each is decoded while the one before it is sent."""
        blocks = self._sink.cut(partial=partial)
        if not blocks:
            return False
        self._shared.under_way = {block.source: block for block in blocks}
        self._shared.room.set()
        await asyncio.to_thread(self._sink.save, blocks)
        prepared = asyncio.create_task(asyncio.to_thread(self._sink.prepare, blocks[0]))
        for following in (*blocks[1:], None):
            rows = await prepared
            if following is not None:
                prepared = asyncio.create_task(asyncio.to_thread(self._sink.prepare, following))
            await self._write(rows, stop)
            del self._shared.under_way[rows.block.source]
        return True

    async def _write(self, prepared: Prepared, stop: asyncio.Event) -> None:
        """Send one block until it is there. Raises _Abandoned when `stop` comes first: nothing may be inserted, or its bounds saved, after it."""
        failures, topic = 0, prepared.block.source.topic
        while True:
            try:
                rows = await asyncio.to_thread(self._sink.write, prepared)
            except Unreachable as problem:
                failures += 1
                pause_s = self._pauses.after(failures)
                self._observer.on_retry(topic, problem, pause_s)
                if await _either(stop, timeout_s=pause_s):
                    raise _Abandoned from problem
            else:
                self._observer.on_block(topic, rows, prepared.skipped)
                return

    async def _survey(self, stop: asyncio.Event) -> None:
        """Say how far the tables are behind the log, every few seconds."""
        while not stop.is_set():
            waiting: dict[str, int] = defaultdict(int)
            for backlog in self._sink.backlogs:
                first, end = await self._reader.bounds(backlog.source)
                block = self._shared.under_way.get(backlog.source)
                done = block.offsets[0] if block is not None else backlog.place
                waiting[backlog.source.topic] += end - (first if done is None else max(done, first))
            self._observer.on_survey(dict(waiting), self._oldest())
            await _either(stop, timeout_s=self._survey_every_s)

    def _oldest(self) -> dict[str, int]:
        oldest: dict[str, int] = {}
        times = [(backlog.source.topic, backlog.oldest_ms) for backlog in self._sink.backlogs]
        times += [(source.topic, block.oldest_ms) for source, block in self._shared.under_way.items()]
        for topic, time_ms in times:
            if time_ms is not None:
                oldest[topic] = min(time_ms, oldest.get(topic, time_ms))
        return oldest


async def _either(*events: asyncio.Event, timeout_s: float | None = None) -> bool:
    """Wait for the first of the events; False when none came in time."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        done, _ = await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)
    finally:
        for wait in waits:
            wait.cancel()
