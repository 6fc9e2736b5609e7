"""`backstop venue`: a simulated exchange beside the workers of a deployment, in real time and not in lock-step.

Event times are the time of day. Parameters are written first and waited for, since no account may come before its instruments; then the script
goes on at its rate whatever the workers do, and instructions are answered as they come. It has no memory: a deployment gets one, once.
"""

import asyncio
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from streams.bus.contract import Bus, Writer
from streams.commands.broker import kafka_bus, require_topics
from streams.commands.console import emit_json, say
from streams.engine.journal import open_chunk
from streams.engine.lockstep import InstructionFeed, venue_writer
from streams.engine.quiet import POLL_MS, POLL_RECORDS, Quiescence, refuse_used
from streams.engine.task import TaskSpec
from streams.engine.turns import Said, turn_records
from streams.observe.logs import configure_logs, logger
from streams.settings import Settings
from streams.venue.book import Book
from streams.venue.exchange import Exchange
from streams.venue.scenarios.registry import build
from streams.venue.scenarios.scenario import Scenario, Timed, Trouble
from streams.worker.engine import every_shard

log = logger(__name__)

PARAMETERS = ("instruments", "pools")
Clock = Callable[[], int]  # microseconds since the epoch


@dataclass(frozen=True, slots=True)
class VenueOptions:
    """What to play; `rate` is event times of the script a second."""

    scenario: str
    accounts: int | None
    seed: int
    rate: float


@dataclass(slots=True)
class Played:
    """What it has come to."""

    records: int = 0
    instructions: int = 0
    is_over: bool = False


def stamped(scenario: Scenario, clock_us: Clock) -> Scenario:
    """The same scenario at the time of day. Its gateway's troubles go by the time that the script means."""
    meant_us = [scenario.start_us]

    def script(book: Book) -> Iterator[Timed]:
        for time_us, events in scenario.script(book):
            meant_us[0] = time_us
            yield clock_us(), events

    def trouble() -> Trouble:
        inner = scenario.trouble()

        def at_its_time(instruction: Mapping[str, Any], time_us: int) -> int | None:
            return inner(instruction, meant_us[0])

        return at_its_time

    return replace(scenario, start_us=clock_us(), script=script, trouble=trouble)


class LiveVenue:
    """Plays one exchange over a bus. `played` may be looked at while it runs."""

    def __init__(self, bus: Bus, specs: list[TaskSpec], exchange: Exchange, rate: float) -> None:
        self.played = Played()
        self._bus = bus
        self._specs = specs
        self._exchange = exchange
        self._pause_s = 1 / rate
        self._turn = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`, be the script over or not. Raises UsageProblem where the deployment has had an exchange already."""
        await refuse_used(self._bus, self._specs)
        writer = await self._bus.writer(venue_writer(self._specs[0].deployment))
        feed = await InstructionFeed.open(self._bus)
        try:
            await self._open(writer, stop)
            await self._play(writer, feed, stop)
        finally:
            await feed.close()
            await writer.close()

    async def _open(self, writer: Writer, stop: asyncio.Event) -> None:
        said = self._exchange.next_records() or []
        parameters = [record for record in said if record[0] in PARAMETERS]
        quiescence = Quiescence(self._specs)
        journals = await self._bus.reader([spec.journal for spec in self._specs])
        try:
            quiescence.wrote(turn_records(parameters, 0))
            await self._say(writer, parameters)
            log.info("venue_waits_for_workers", shards=len(self._specs))
            while quiescence.lagging() and not stop.is_set():
                for chunk in await journals.poll(max_records=POLL_RECORDS, timeout_ms=POLL_MS):
                    for record in open_chunk(chunk):
                        quiescence.stepped(record)
        finally:
            await journals.close()
        if not stop.is_set():
            await self._say(writer, [record for record in said if record[0] not in PARAMETERS])
            log.info("venue_open", scenario=self._exchange.scenario.name, accounts=len(self._exchange.scenario.openings))

    async def _play(self, writer: Writer, feed: InstructionFeed, stop: asyncio.Event) -> None:
        clock = asyncio.get_running_loop().time
        due = clock()
        while not stop.is_set():
            heard = await feed.read(timeout_ms=0 if self._exchange.pending else POLL_MS)
            self.played.instructions += len(heard)
            self._exchange.accept(heard)
            is_due = clock() >= due and not self.played.is_over
            if not (self._exchange.pending or is_due):
                continue
            if not self._exchange.pending:
                due += self._pause_s
            said = self._exchange.next_records()
            if said:
                await self._say(writer, said)
            elif said is None:
                self.played.is_over = True
                log.info("venue_script_over", records=self.played.records)

    async def _say(self, writer: Writer, said: Said) -> None:
        await writer.commit(turn_records(said, self._turn))
        self._turn += 1
        self.played.records += len(said)


async def _run(settings: Settings, options: VenueOptions) -> tuple[Played, Exchange]:
    await require_topics(settings)
    scenario = build(options.scenario, options.accounts, options.seed, settings.engine.account_partitions)
    exchange = Exchange(stamped(scenario, lambda: time.time_ns() // 1000))
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    bus = kafka_bus(settings)
    try:
        venue = LiveVenue(bus, every_shard(settings), exchange, options.rate)
        await venue.run(stop)
    finally:
        await bus.close()
    return venue.played, exchange


def run_venue(settings: Settings, options: VenueOptions, *, as_json: bool) -> int:
    """0 after SIGTERM or SIGINT. Raises UsageProblem for an unknown scenario or a used deployment, CheckFailed without topics, Unreachable."""
    configure_logs(level="INFO")
    played, exchange = asyncio.run(_run(settings, options))
    answered = {outcome.name: count for outcome, count in exchange.answered.items() if count}
    if as_json:
        emit_json(
            {
                "scenario": options.scenario,
                "records": played.records,
                "instructions": played.instructions,
                "answered": answered,
                "script_over": played.is_over,
            }
        )
    else:
        shown = ", ".join(f"{count} {name}" for name, count in answered.items()) or "none answered"
        say(f"{options.scenario}: {played.records} records, {played.instructions} instructions ({shown})")
    return 0
