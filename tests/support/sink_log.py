"""Small logs of account events for tests of the sink, and sinks and clients that die."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from clickhouse_connect.driver.client import Client

from streams.bus.contract import Chunk, Reader, TopicPartition
from streams.bus.memory import MemoryBus
from streams.domain.events import FillKind, InstructionKind, MarginMode, Outcome, PositionSide, UpdateKind
from streams.sinks.clickhouse import ClickHouseSink
from streams.sinks.pipeline import Pauses, SinkPipeline
from streams.topics import ACCOUNT_EVENTS, TOPICS
from streams.wire.records import new_record, new_records

TIME_US = 1_760_000_000_000_000  # 2025-10-09 08:53:20 UTC
PARTITIONS = 2
QUICK = Pauses(first_s=0.001, longest_s=0.004)


def fill(number: int, **changed: Any) -> dict[str, Any]:
    row = {
        "event_time_us": TIME_US + number,
        "account": number % 7,
        "account_seq": number,
        "trade_id": number,
        "leg": 0,
        "counter_account": 99,
        "instrument": 1,
        "position_side": PositionSide.ONE_WAY,
        "margin_mode": MarginMode.CROSS,
        "lots": number - 50,
        "quote": 1_000 * number,
        "margin_moved": 0,
        "price_ticks": number if number % 2 else None,
        "kind": FillKind.TRADE,
        "instruction_id": None,
    }
    return row | changed


def update(number: int, **changed: Any) -> dict[str, Any]:
    absent = ("instrument", "position_side", "counter_account", "transfer_id", "instruction_id", "wallet_after", "part", "parts")
    row = {
        "event_time_us": TIME_US + number,
        "account": number % 7,
        "account_seq": number,
        "update_id": number,
        "kind": UpdateKind.DEPOSIT,
        "asset": 1,
        "amount": 100 * number,
        **dict.fromkeys((*absent, "lots", "cost", "margin_mode", "leverage", "role")),
    }
    return row | changed


def result(number: int, **changed: Any) -> dict[str, Any]:
    row = {
        "instruction_id": number,
        "kind": InstructionKind.LIQUIDATE,
        "account": number % 7,
        "event_time_us": TIME_US + number,
        "outcome": Outcome.FILLED,
        "executed_lots": number,
        "executed_quote": -10 * number,
        "executed_amount": 0,
        "account_seq": number,
        "reason": "",
    }
    return row | changed


ACCOUNT_ROWS = {"fills": fill, "account-updates": update, "instruction-results": result}  # in the order of their topic


async def with_events(count: int, bus: MemoryBus | None = None, per_commit: int = 6) -> MemoryBus:
    """A log whose account events are a fill, an update and a result in turn, the next three in the other partition; in transactions of a few."""
    bus = bus or await empty_log()
    writer, streams = await bus.writer("test"), list(ACCOUNT_ROWS)
    records = [new_record(streams[n % 3], ACCOUNT_ROWS[streams[n % 3]](n), n // 3 % PARTITIONS) for n in range(count)]
    for at in range(0, count, per_commit):
        await writer.commit(records[at : at + per_commit])
    return bus


async def empty_log() -> MemoryBus:
    """Every topic, and nothing in it."""
    bus = MemoryBus()
    await bus.create_topics({topic: PARTITIONS if topic == ACCOUNT_EVENTS else 1 for topic in TOPICS})
    return bus


async def with_fills(*rows: dict[str, Any], bus: MemoryBus | None = None, per_commit: int = 4) -> MemoryBus:
    """A log of fills over two partitions, in transactions of a few records, so that markers lie between them."""
    bus = bus or await empty_log()
    writer = await bus.writer("test")
    for at in range(0, len(rows), per_commit):
        await writer.commit(new_records("fills", [(row["trade_id"] % PARTITIONS, row) for row in rows[at : at + per_commit]]))
    return bus


class Ending:
    """A reader that ends the sink once there is nothing left to read."""

    def __init__(self, reader: Reader, stop: asyncio.Event) -> None:
        self._reader, self._stop = reader, stop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    async def poll(self, *, max_records: int, timeout_ms: int, partitions: Sequence[TopicPartition] | None = None) -> list[Chunk]:
        """A few records at a time."""
        chunks = await self._reader.poll(max_records=min(max_records, 7), timeout_ms=timeout_ms, partitions=partitions)
        if not chunks and partitions is None:
            self._stop.set()
        return chunks


class Silent:
    """An observer that only counts."""

    def __init__(self) -> None:
        self.blocks = 0
        self.rows = 0
        self.retries: list[float] = []
        self.surveys: list[dict[str, int]] = []

    def on_block(self, topic: str, rows: int, skipped: int) -> None:
        """One more."""
        self.blocks += 1
        self.rows += rows

    def on_retry(self, topic: str, problem: Exception, pause_s: float) -> None:
        """One more."""
        self.retries.append(pause_s)

    def on_waiting(self, problem: Exception, pause_s: float) -> None:
        """One more."""
        self.retries.append(pause_s)

    def on_survey(self, waiting: dict[str, int], oldest_ms: dict[str, int]) -> None:
        """Keep it."""
        self.surveys.append(waiting)


class Sated(Silent):
    """An observer that stops the sink once so many rows were inserted."""

    def __init__(self, stop: asyncio.Event, rows: int) -> None:
        super().__init__()
        self._stop, self._wanted = stop, rows

    def on_block(self, topic: str, rows: int, skipped: int) -> None:
        """Count, and stop."""
        super().on_block(topic, rows, skipped)
        if self.rows >= self._wanted:
            self._stop.set()


async def until_there(sink: ClickHouseSink, bus: MemoryBus, *, rows: int, flush_s: float = 0.05) -> Silent:
    """Run a sink until so many rows were inserted."""
    stop = asyncio.Event()
    observer = Sated(stop, rows)
    reader = await sink.open(bus)
    await asyncio.wait_for(SinkPipeline(sink, reader, observer, flush_s=flush_s, pauses=QUICK).run(stop), 10)
    return observer


async def through(sink: ClickHouseSink, bus: MemoryBus, observer: Silent, *, flush_s: float = 3600) -> None:
    """One life of the sink, until it has read everything."""
    stop = asyncio.Event()
    reader = cast("Reader", Ending(await sink.open(bus), stop))
    await SinkPipeline(sink, reader, observer, flush_s=flush_s, pauses=QUICK).run(stop)


class Killed(Exception):
    """The process ends here."""


class Dying:
    """A client whose process ends at its n-th insert: before the rows arrive, or after."""

    def __init__(self, client: Client, *, at: int, arrived: bool, problem: type[Exception] = Killed) -> None:
        self._client, self._left, self._arrived, self._problem = client, at, arrived, problem

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def insert_arrow(self, *args: Any, **kwargs: Any) -> None:
        """Insert, or end."""
        self._left -= 1
        if self._left or self._arrived:
            self._client.insert_arrow(*args, **kwargs)
        if not self._left:
            raise self._problem


class Mortal(ClickHouseSink):
    """A sink whose process ends at the n-th time it does a step: before it is done, or after."""

    def kill(self, step: str, *, nth: int, after: bool) -> None:
        """From now on."""
        done = getattr(self, step)

        def dying(*args: Any, **kwargs: Any) -> Any:
            nonlocal nth
            nth -= 1
            if nth < 0:
                if after:
                    done(*args, **kwargs)
                raise Killed
            return done(*args, **kwargs)

        setattr(self, step, dying)
