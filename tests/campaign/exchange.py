"""The exchange of a campaign: says what happens whatever becomes of broker and workers, and counts who has taken what.

In lock-step it waits after each event time until every shard has taken everything; else it goes on at a pace of its own and hears instructions as
they come. Nothing it says is lost or said twice: after a commit without an answer it looks into the log. Step records are read by the checkers'
own decoding.
"""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from aiokafka.errors import KafkaError

from streams.bus.contract import Chunk, NewRecord, TopicPartition
from streams.bus.kafka import KafkaBus
from streams.engine.lockstep import venue_writer
from streams.engine.task import TaskSpec
from streams.engine.turns import TURN_HEADER, Said, turn_records
from streams.errors import CommitUnknown, Fenced, Unreachable
from streams.topics import JOURNALS
from streams.venue.exchange import Exchange
from streams.wire.codec import codec
from tests.simulation.journal import decode

TROUBLE = (Unreachable, CommitUnknown, Fenced, KafkaError, OSError, TimeoutError)
OpenBus = Callable[[], KafkaBus]
INSTRUCTIONS = "instructions"
AHEAD_SECONDS = 0.4  # between two event times while the faults are behind the script
BEGIN = ("instruments", "pools")


class Tail:
    """Reads partitions on and on; where the broker goes away it opens them again and goes on where it was."""

    def __init__(self, open_bus: OpenBus, partitions: Sequence[TopicPartition]) -> None:
        self._open_bus = open_bus
        self._positions = dict.fromkeys(partitions, 0)
        self._bus: KafkaBus | None = None
        self._reader: Any = None

    async def read(self, *, timeout_ms: int = 20) -> list[Chunk]:
        """What has come since; nothing while the broker is away."""
        try:
            if self._reader is None:
                self._bus = self._open_bus()
                self._reader = await self._bus.reader(list(self._positions))
                for partition, position in self._positions.items():
                    await self._reader.seek(partition, position)
            chunks: list[Chunk] = await self._reader.poll(max_records=10_000, timeout_ms=timeout_ms)
        except TROUBLE:
            await self.close()
            await asyncio.sleep(0.2)
            return []
        for chunk in chunks:
            self._positions[TopicPartition(chunk.topic, chunk.partition)] = chunk.stop
        return chunks

    async def close(self) -> None:
        """Let go of the connections."""
        bus, self._bus, self._reader = self._bus, None, None
        if bus is not None:
            with suppress(*TROUBLE):
                await bus.close()


class Publisher:
    """Writes each turn exactly once."""

    def __init__(self, open_bus: OpenBus, deployment: str) -> None:
        self._open_bus = open_bus
        self._id = venue_writer(deployment)
        self._bus: KafkaBus | None = None
        self._writer: Any = None
        self._ends: dict[TopicPartition, int] = {}
        self.in_doubt = 0

    async def say(self, turn: int, records: Sequence[NewRecord]) -> None:
        """Until it is in the log, once."""
        asked = False
        while True:
            try:
                if self._writer is None:
                    self._bus = self._open_bus()
                    self._writer = await self._bus.writer(self._id)  # settles what the one before left open
                    if asked and await self._is_there(self._bus, turn, records):
                        return
                asked = True
                self._ends.update(await self._writer.commit(records))
                return
            except TROUBLE:
                self.in_doubt += asked
                await self.close()
                await asyncio.sleep(0.2)

    async def _is_there(self, bus: KafkaBus, turn: int, records: Sequence[NewRecord]) -> bool:
        named = next(record for record in records if record.headers)
        where = TopicPartition(named.topic, named.partition)
        reader = await bus.reader([where])
        try:
            start, stop = self._ends.get(where, 0), (await reader.bounds(where))[1]
            await reader.seek(where, start)
            while start < stop:
                for chunk in await reader.poll(max_records=1_000, timeout_ms=100):
                    start = chunk.stop
                    if any(dict(headers).get(TURN_HEADER) == str(turn).encode() for headers in chunk.headers):
                        return True
            return False
        finally:
            await reader.close()

    async def close(self) -> None:
        """Let go of the connections."""
        bus, self._bus, self._writer = self._bus, None, None
        if bus is not None:
            with suppress(*TROUBLE):
                await bus.close()


class Counts:
    """Records written to each partition, and taken by each shard."""

    def __init__(self, specs: Sequence[TaskSpec]) -> None:
        self._inputs = {spec.name: [place for place in spec.inputs() if place.topic != JOURNALS["accounts"]] for spec in specs}
        self._taken: dict[str, Counter[TopicPartition]] = {spec.name: Counter() for spec in specs}
        self.written: Counter[TopicPartition] = Counter()

    def stepped(self, value: bytes) -> None:
        """A step record, each once."""
        step = decode(value)
        taken = self._taken[f"{step['task']}-{step['shard']}"]
        for part in step["slices"]:
            taken[TopicPartition(part["topic"], part["partition"])] += part["count"]
        for part in step["outputs"]:
            self.written[TopicPartition(part["topic"], part["partition"])] += part["count"]

    def lagging(self, written: Counter[TopicPartition] | None = None) -> list[str]:
        """Who has not taken what has been written: now, or by the time of an earlier copy of `written`."""
        goal = self.written if written is None else written
        return [
            f"{name} has taken {self._taken[name][place]} of {goal[place]} records of {place.topic}[{place.partition}]"
            for name, places in self._inputs.items()
            for place in places
            if self._taken[name][place] < goal[place]
        ]


class Driver:
    """Plays a scenario's exchange over a deployment. `played` is how far the script has come, in turns."""

    def __init__(
        self,
        open_bus: OpenBus,
        specs: Sequence[TaskSpec],
        exchange: Exchange,
        draw: random.Random,
        *,
        lockstep: bool,
        pace_s: float,
        is_ahead: Callable[["Driver"], bool],
    ) -> None:
        self._specs = specs
        self._exchange = exchange
        self._lockstep = lockstep
        self._pace_s = pace_s
        self._draw = draw
        self._is_ahead = is_ahead
        self.publisher = Publisher(open_bus, specs[0].deployment)
        places = [TopicPartition(INSTRUCTIONS, index) for index in range(specs[0].account_partitions)]
        self._tail = Tail(open_bus, [*(spec.journal for spec in specs), *places])
        self._said: Counter[TopicPartition] = Counter()
        self._heard: list[dict[str, Any]] = []
        self._instructions = 0
        self.counts = Counts(specs)
        self.turn = 0
        self.is_over = False
        self.event_time_us = 0
        self.between: deque[Callable[[], Awaitable[TopicPartition]]] = deque()  # writes one more record somewhere, before the next turn
        self.strays: deque[NewRecord] = deque()  # go with the next turn
        self.last: list[NewRecord] = []

    async def run(self) -> None:
        """Until the script is over, everything is taken and every instruction answered."""
        pumping = asyncio.create_task(self._pump())
        try:
            playing = asyncio.create_task(self._play())
            await asyncio.wait([pumping, playing], return_when=asyncio.FIRST_COMPLETED)
            if pumping.done():
                pumping.result()
            await playing
        finally:
            pumping.cancel()
            playing.cancel()
            await asyncio.gather(pumping, playing, return_exceptions=True)
            await self._tail.close()
            await self.publisher.close()

    async def _play(self) -> None:
        for said in self._opening():
            await self._say(said)
            await self.quiet()
        while True:
            said_or_none = self._exchange.next_records()
            if said_or_none:
                await self._say(said_or_none)
            if said_or_none is None or self._lockstep:
                await self.quiet()
            over = said_or_none is None and not self._heard
            heard, self._heard = sorted(self._heard, key=lambda row: row["instruction_id"]), []
            self._exchange.accept(heard)
            if over:
                self.is_over = True
                return
            await self._wait()

    def _opening(self) -> list[Said]:
        """In lock-step the first event time as it is; else parameters first, then accounts."""
        said = self._exchange.next_records() or []
        return [said] if self._lockstep else [[row for row in said if row[0] in BEGIN], [row for row in said if row[0] not in BEGIN]]

    async def _wait(self) -> None:
        if self._is_ahead(self):
            await asyncio.sleep(AHEAD_SECONDS)
        elif not self._lockstep:
            await asyncio.sleep(self._draw.uniform(0.3, 1.7) * self._pace_s)

    async def _say(self, said: Said) -> None:
        while self.between:
            place = await self.between.popleft()()
            self._said[place] += 1
            self.counts.written[place] += 1
        strays = [self.strays.popleft() for _ in range(len(self.strays))]
        self._said.update(TopicPartition(stray.topic, stray.partition) for stray in strays)
        records = [*strays, *turn_records(said, self.turn, self._said if self._lockstep else None)]
        await self.publisher.say(self.turn, records)
        self.counts.written.update(TopicPartition(record.topic, record.partition) for record in records)
        self.last = [record for record in records if record.headers]
        self.turn += 1
        self.event_time_us = max(row["event_time_us"] for _, _, row in said)

    async def quiet(self) -> None:
        """Until everything written has been taken, and every instruction written has been heard."""
        while self.counts.lagging() or self._instructions < sum(n for place, n in self.counts.written.items() if place.topic == INSTRUCTIONS):
            await asyncio.sleep(0.005)

    async def caught_up(self) -> None:
        """Until everything that will have been written after the next turn has been taken; after the last turn, everything."""
        turn = self.turn
        while self.turn == turn and not self.is_over:
            await asyncio.sleep(0.01)
        goal = self.counts.written.copy()
        while self.counts.lagging(goal):
            await asyncio.sleep(0.01)

    async def _pump(self) -> None:
        while True:
            for chunk in await self._tail.read():
                for value in chunk.values:
                    assert value is not None
                    if chunk.topic == INSTRUCTIONS:
                        self._heard.append(codec(INSTRUCTIONS).decode_row(value))
                        self._instructions += 1
                    else:
                        self.counts.stepped(value)
