"""What befalls broker and workers: drawn from a seed, one after the other, each measured until what the exchange says next is taken by all.

Times are such that a zombie outlives its transaction (8 s) and its session (2 s), a blink only its session.
"""

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import aiokafka
from aiokafka.errors import KafkaError

from streams.bus.contract import NewRecord, TopicPartition
from streams.bus.kafka_writer import end_producer
from streams.settings import Settings
from streams.topics import ACCOUNT_EVENTS
from tests.campaign.exchange import Driver
from tests.support.workers import Fleet, Worker

UNREACHABLE = 4  # exit code of a worker whose broker does not answer
RECOVER_SECONDS = 90.0  # three processes that start at once on a busy machine of two cores take most of it
REPEATABLE = ("marks", ACCOUNT_EVENTS)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: what, how long after the one before, how long it lasts. `pick` chooses whom; the next one may come before this one is over."""

    kind: str
    after_s: float
    for_s: float
    pick: int
    overlaps: bool

    def __str__(self) -> str:
        return f"{self.kind}({self.for_s:.1f} s)"


LASTS = {
    "kill": (0.0, 0.0),
    "broker": (0.0, 1.5),
    "zombie": (9.0, 11.0),
    "blink": (3.0, 4.5),
    "freeze": (9.5, 11.0),
    "churn": (5.0, 8.0),
    "hang": (1.0, 2.0),
    "garbage": (0.0, 0.0),
    "oversized": (0.0, 0.0),
    "duplicate": (0.0, 0.0),
}
KINDS = tuple(LASTS)


def draw(dice: random.Random, kinds: tuple[str, ...]) -> list[Fault]:
    """These kinds in some order. Only what is over at once may overlap with the next: each of the others is to be seen alone."""
    order = list(kinds)
    dice.shuffle(order)
    return [Fault(kind, dice.uniform(0.3, 2.5), dice.uniform(*LASTS[kind]), dice.randrange(1 << 30), dice.random() < 0.3) for kind in order]


@dataclass
class Broker:
    """The campaign's own broker, whose process may be killed and started again on the same data and port."""

    launcher: ModuleType
    directory: Path
    address: str = ""
    down_s: float = -1e9  # when it was last killed

    async def up(self) -> None:
        """Start it, again where it was."""
        port = int(self.address.rpartition(":")[2] or 0)
        state = await asyncio.to_thread(self.launcher.up, self.directory, port=port, die_with_parent=True)
        self.address = state["bootstrap"]

    async def kill(self) -> None:
        """kill -9."""
        pid = self.launcher.status(self.directory)["pid"]
        self.down_s = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            await asyncio.to_thread(os.waitpid, pid, 0)

    async def down(self) -> None:
        """Stop it for good."""
        await asyncio.to_thread(self.launcher.down, self.directory)


class Keeper:
    """Keeps so many workers alive, as a service manager would, and judges how they end."""

    def __init__(self, fleet: Fleet, broker: Broker, wanted: int) -> None:
        self._fleet = fleet
        self._broker = broker
        self.wanted = wanted
        self.killed: set[int] = set()
        self.leaving: set[int] = set()
        self.paused: set[int] = set()  # for one that was stopped for long, too, the broker has not answered in time
        self._seen: set[int] = set()
        self.ended = 0  # because the broker did not answer
        self.problems: list[str] = []

    @property
    def alive(self) -> list[Worker]:
        """Those that run and were not told to leave."""
        return [worker for worker in self._fleet.workers if worker.process.returncode is None and worker.process.pid not in self.leaving]

    async def run(self) -> None:
        """For ever."""
        while True:
            self.look()
            for _ in range(self.wanted - len(self.alive)):
                await self._fleet.start()
            await asyncio.sleep(0.1)

    def look(self) -> None:
        """Judge those that have ended since."""
        for worker in self._fleet.workers:
            pid, code = worker.process.pid, worker.process.returncode
            if code is None or pid in self._seen:
                continue
            self._seen.add(pid)
            said = [str(line) for line in worker.lines[-4:]] + worker.other[-3:]
            if code == -signal.SIGKILL and pid in self.killed:
                continue
            if pid in self.leaving and code in (0, -signal.SIGTERM):
                continue
            if code == UNREACHABLE and (pid in self.paused or time.monotonic() - self._broker.down_s < RECOVER_SECONDS):
                self.ended += 1
                continue
            self.problems.append(f"worker: it ended by itself with code {code}: {said}")

    def kill(self, worker: Worker) -> None:
        """kill -9."""
        if worker.process.returncode is None:
            self.killed.add(worker.process.pid)
            worker.signal(signal.SIGKILL)

    def dismiss(self, worker: Worker) -> None:
        """SIGTERM."""
        if worker.process.returncode is None:
            self.leaving.add(worker.process.pid)
            worker.signal(signal.SIGTERM)


@dataclass
class Storm:
    """Brings the faults of a deck, one after the other."""

    settings: Settings
    deck: list[Fault]
    broker: Broker
    keeper: Keeper
    driver: Driver
    say: Callable[[str], None]
    fired: list[Fault] = field(default_factory=list)
    recovered: list[tuple[str, float]] = field(default_factory=list)  # kind, seconds from its end until what was said next, too, was taken
    problems: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        """How much of the deck is through."""
        return len(self.fired) / len(self.deck) if self.deck else 1.0

    async def run(self) -> None:
        """All of them."""
        watching: list[asyncio.Task[None]] = []
        try:
            for fault in self.deck:
                await asyncio.sleep(fault.after_s)
                self.say(f"  {fault} at turn {self.driver.turn}")
                await getattr(self, f"_{fault.kind}")(fault)
                self.fired.append(fault)
                watching.append(asyncio.create_task(self._recover(fault)))
                if not fault.overlaps:
                    await watching[-1]
            await asyncio.gather(*watching)
        finally:
            for task in watching:
                task.cancel()

    async def _recover(self, fault: Fault) -> None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(RECOVER_SECONDS):
                await self.driver.caught_up()
        except TimeoutError:
            self.problems.append(f"liveness: {RECOVER_SECONDS:g} s after {fault} {'; '.join(self.driver.counts.lagging()[:3])}")
        self.recovered.append((fault.kind, time.monotonic() - began))
        self.say(f"    {fault.kind}: recovered after {self.recovered[-1][1]:.1f} s, at turn {self.driver.turn}")

    async def _one(self, pick: int) -> Worker:
        while not (alive := self.keeper.alive):  # all have just missed the broker
            await asyncio.sleep(0.05)
        return alive[pick % len(alive)]

    async def _kill(self, fault: Fault) -> None:
        self.keeper.kill(await self._one(fault.pick))

    async def _broker(self, fault: Fault) -> None:
        await self.broker.kill()
        await asyncio.sleep(fault.for_s)
        await self.broker.up()

    async def _zombie(self, fault: Fault) -> None:
        await self._stop([await self._one(fault.pick)], fault.for_s)

    _blink = _zombie

    async def _freeze(self, fault: Fault) -> None:
        await self._stop(self.keeper.alive, fault.for_s)

    async def _stop(self, workers: list[Worker], for_s: float) -> None:
        for worker in workers:
            self.keeper.paused.add(worker.process.pid)
            worker.signal(signal.SIGSTOP)
        await asyncio.sleep(for_s)
        for worker in workers:
            if worker.process.returncode is None:
                worker.signal(signal.SIGCONT)

    async def _churn(self, fault: Fault) -> None:
        """Workers join and leave: the newest may be told to leave while it still joins or restores."""
        dice, until, wanted = random.Random(fault.pick), time.monotonic() + fault.for_s, self.keeper.wanted
        while time.monotonic() < until:
            self.keeper.wanted = wanted + 1
            await asyncio.sleep(dice.uniform(0.5, 2.5))
            self.keeper.wanted = wanted
            self.keeper.dismiss(await self._one(dice.choice((-1, 0))))
            await asyncio.sleep(dice.uniform(0.3, 1.5))

    def _partition(self, fault: Fault, topic: str) -> int:
        return fault.pick % self.settings.engine.account_partitions if topic == ACCOUNT_EVENTS else 0

    async def _hang(self, fault: Fault) -> None:
        """A producer writes into inputs and never ends its transaction; the coordinator aborts it, and until then nothing behind it is readable."""
        producer = aiokafka.AIOKafkaProducer(
            bootstrap_servers=self.broker.address,
            transactional_id=f"{self.settings.engine.deployment}-hang-{fault.pick}",
            transaction_timeout_ms=int(fault.for_s * 1000),
        )
        await producer.start()
        try:
            await producer.begin_transaction()
            for name in ("marks", ACCOUNT_EVENTS):
                topic = f"{self.settings.engine.deployment}.{name}"
                await producer.send_and_wait(topic, value=b"never committed", partition=self._partition(fault, name), timestamp_ms=1)
            await asyncio.sleep(fault.for_s)
        finally:
            sender = producer._sender.sender_task  # gone without a word: a stop would abort
            if sender is not None:
                sender.cancel()
            with suppress(KafkaError, asyncio.CancelledError):
                await producer.client.close()
            with suppress(KafkaError, TimeoutError, asyncio.CancelledError):
                await end_producer(producer)

    async def _garbage(self, fault: Fault) -> None:
        """Undecodable records before the next turn's own. They name no account: one would become suspect, and be decided about otherwise."""
        values = (None, b"", b"\xc3\x01unknown!" + bytes(9), b'{"event_time_us": 1}', bytes(fault.pick % 90))
        for index, value in enumerate(values):
            topic = ("marks", ACCOUNT_EVENTS)[(fault.pick + index) % 2]
            self.driver.strays.append(NewRecord(topic, self._partition(fault, topic), 1, None, value))

    async def _duplicate(self, fault: Fault) -> None:
        """The exchange's last turn once more, without its numbering."""
        self.driver.strays += [
            NewRecord(record.topic, record.partition, record.timestamp_ms, record.key, record.value)
            for record in self.driver.last
            if record.topic in REPEATABLE
        ]

    async def _oversized(self, fault: Fault) -> None:
        """A record beyond what our own writer takes, and just below what the broker takes."""
        place = TopicPartition(ACCOUNT_EVENTS, self._partition(fault, ACCOUNT_EVENTS))
        topic, address = f"{self.settings.engine.deployment}.{place.topic}", self.broker.address

        async def write() -> TopicPartition:
            producer = aiokafka.AIOKafkaProducer(bootstrap_servers=address, max_request_size=2 << 20, enable_idempotence=True)
            await producer.start()
            try:
                value = random.Random(fault.pick).randbytes(1_047_000)
                await producer.send_and_wait(topic, value=value, partition=place.partition, timestamp_ms=1)
            finally:
                await producer.stop()
            return place

        self.driver.between.append(write)
        while self.driver.between:
            await asyncio.sleep(0.05)
