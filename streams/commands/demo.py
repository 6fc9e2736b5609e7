"""`backstop demo`: a scenario through the whole pipeline. On the memory bus all of it runs here; on Kafka the engine is a worker process.

What is reported comes from the recorded log and from its replay, whichever bus carried the run. The directory is closed by its MANIFEST at last.
"""

import json
import shlex
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clickhouse_connect.driver.client import Client

from streams.bus.contract import Bus, Reader
from streams.bus.manifest import write_manifest
from streams.bus.memory import MemoryBus
from streams.bus.recording import load, record
from streams.commands import run_directory
from streams.commands.broker import present_topics, topic_counts
from streams.commands.console import Ticker, complain, emit_json, progress, run, say
from streams.commands.demo_kafka import of_its_own, run_on_kafka
from streams.commands.demo_report import Outcome, document, report_lines
from streams.commands.report import link, write_report
from streams.commands.run_directory import Run
from streams.commands.summary import summary_of
from streams.domain.alarms import Alarm
from streams.engine.digests import decision_digest, output_digest, state_digest
from streams.engine.lockstep import LockStep, Progress
from streams.engine.machine import Machine
from streams.engine.observer import StepStats
from streams.engine.replay import replay_bus
from streams.engine.shard import RunnerOptions, ShardRunner
from streams.engine.snapshot import SnapshotStore
from streams.engine.task import MachineFactory, TaskName, TaskSpec
from streams.engine.verify import read_journals
from streams.report.page import QUESTION
from streams.settings import Settings
from streams.sinks.assets import Asset, name_assets
from streams.sinks.clickhouse import ClickHouseSink
from streams.sinks.connection import bounds_file, open_embedded
from streams.tasks import machine_for
from streams.venue.exchange import Exchange
from streams.venue.scenarios.registry import build
from streams.venue.story import TellingExchange

DEPLOYMENT = "demo"  # of a run on the memory bus; on Kafka each run has a name of its own
OWNER = "demo"
SNAPSHOT_EVERY = 5_000  # records: often enough that a short run leaves some


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What to run, and where to leave it."""

    scenario: str
    accounts: int | None
    seed: int
    shards: int
    directory: Path
    bus: str
    force: bool = False


@dataclass(slots=True)
class Watch:
    """How far the run has come, shown as it goes; alarms are counted for the report."""

    tick: Ticker
    turns: int = 0
    alarms: Counter[str] = field(default_factory=Counter)

    def on_progress(self, progress: Progress) -> None:
        """One more event time is through."""
        self.turns += 1
        self.tick("running event times", done=self.turns)

    def on_step(self, stats: StepStats) -> None:
        """Nothing: progress is by event time."""

    def on_idle(self, spec: TaskSpec) -> None:
        """Nothing."""

    def on_alarm(self, spec: TaskSpec, alarm: Alarm, facts: dict[str, Any]) -> None:
        """Count it."""
        self.alarms[alarm] += 1


class Captured:
    """A factory that remembers its machines, so that their last states can be looked at."""

    def __init__(self, factory: MachineFactory) -> None:
        self._factory = factory
        self.machines: dict[tuple[TaskName, int], Machine] = {}

    def __call__(self, task: TaskName, shard: int, shard_count: int) -> Machine:
        """A new machine."""
        machine = self.machines[task, shard] = self._factory(task, shard, shard_count)
        return machine


def run_demo(options: DemoOptions, settings: Settings, *, as_json: bool) -> int:
    """0 when the run replays identically and nothing leaked, 1 otherwise. Raises UsageProblem or Unreachable before it begins."""
    run_directory.refuse_finished(options.directory, force=options.force)
    engine = settings.engine
    scenario = build(options.scenario, options.accounts, options.seed, engine.account_partitions)
    exchange = TellingExchange(scenario) if scenario.wording else Exchange(scenario)
    if options.bus == "kafka":
        run(present_topics(settings))  # an earlier run is not given up for a broker that is not there
    run_directory.prepare(options.directory, force=options.force)
    plan = Run(
        scenario=scenario.name,
        seed=options.seed,
        accounts=len(scenario.openings),
        shards=options.shards,
        account_partitions=engine.account_partitions,
        bus=options.bus,
        deployment=DEPLOYMENT,
        units=scenario.units,
        currency=scenario.wording.currency if scenario.wording else "USD",
    )
    with run_directory.unfinished(options.directory), progress() as tick:
        outcome = run(_demo(plan, options.directory, exchange, settings, Watch(tick)))
    if as_json:
        emit_json(document(outcome))
    else:
        say("\n".join([*report_lines(outcome), *_leads(options.directory)]))
    if not outcome.is_sound:
        complain(f"{options.directory}: {outcome.fault}; keep the directory and report it")
        return 1
    return 0


def _leads(directory: Path) -> list[str]:
    """Where to look next."""
    return [link(directory / run_directory.PAGE), f'Query:  backstop query --dir {shlex.quote(str(directory))} "{QUESTION}"']


async def _demo(plan: Run, directory: Path, exchange: Exchange, settings: Settings, watch: Watch) -> Outcome:
    run_directory.begin(directory, plan)
    client = open_embedded(directory)
    try:
        began = time.monotonic()
        if plan.bus == "kafka":
            own = of_its_own(settings, directory, snapshot_every=SNAPSHOT_EVERY)
            plan = await run_on_kafka(plan, directory, exchange, own, specs=task_specs, on_progress=watch.on_progress)
            watch.tick("loading the tables")
            await finish_sink(*await open_sink(client, directory, await load(directory)))
        else:
            await _run_in_memory(plan, directory, exchange, client, watch)
        name_assets(client, [Asset(asset, unit.symbol, unit.decimals) for asset, unit in plan.shown.items()])
        seconds = time.monotonic() - began
    finally:
        client.close()
    recorded = await load(directory)
    outcome = await _look_back(plan, recorded, exchange, watch)
    outcome.seconds = round(seconds, 3)
    (directory / run_directory.REPORT).write_text(json.dumps(document(outcome), indent=2) + "\n", encoding="utf-8")
    write_manifest(directory)
    watch.tick("writing the page")
    await write_report(directory, recorded, plan.shown)
    return outcome


def task_specs(plan: Run) -> list[TaskSpec]:
    """Every task shard of the run, in the order of their turns."""
    shape = (plan.shards, plan.account_partitions, plan.deployment)
    return [*(TaskSpec("accounts", shard, *shape) for shard in range(plan.shards)), TaskSpec("pools", 0, *shape)]


async def _run_in_memory(plan: Run, directory: Path, exchange: Exchange, client: Client, watch: Watch) -> None:
    bus = MemoryBus()
    await bus.create_topics(topic_counts(account_partitions=plan.account_partitions, shards=plan.shards))
    snapshots = SnapshotStore(directory / run_directory.SNAPSHOTS, keep=None)
    snapshots.directory.mkdir(exist_ok=True)
    options = RunnerOptions(snapshot_every=SNAPSHOT_EVERY, patience_ms=None)
    runners = [ShardRunner(bus, spec, machine_for, owner=OWNER, snapshots=snapshots, observer=watch, options=options) for spec in task_specs(plan)]
    sink, reader = await open_sink(client, directory, bus)
    try:
        for runner in runners:
            await runner.start()
        await LockStep(bus, runners, exchange, sink_turn=_turn_of(sink, reader), on_progress=watch.on_progress).run()
    finally:
        for runner in runners:
            await runner.stop()
    await finish_sink(sink, reader)
    watch.tick("recording")
    await record(bus, directory)


async def open_sink(client: Client, directory: Path, bus: Bus) -> tuple[ClickHouseSink, Reader]:
    """A sink of everything on the bus into the directory's tables."""
    sink = ClickHouseSink(client, bounds_file(directory))
    sink.create_tables()
    return sink, await sink.open(bus)


def _turn_of(sink: ClickHouseSink, reader: Reader) -> Callable[[], Any]:
    async def turn() -> None:
        await sink.turn(reader)

    return turn


async def finish_sink(sink: ClickHouseSink, reader: Reader) -> None:
    """Bring everything readable into the tables."""
    await sink.turn(reader)
    sink.flush()
    await reader.close()


async def _look_back(plan: Run, recorded: Bus, exchange: Exchange, watch: Watch) -> Outcome:
    """Replay what was recorded, and collect what the report says."""
    watch.tick("reading")
    machines = Captured(machine_for)
    began = time.monotonic()
    replayed = await replay_bus(recorded, machines, on_turn=lambda done, of: watch.tick("replaying turns", done=done, of=of))
    replay_seconds = time.monotonic() - began
    journals = await read_journals(recorded)
    watch.tick("counting")
    return Outcome(
        run=plan,
        summary=await summary_of(recorded),
        machines=machines.machines,
        exchange=exchange,
        turns=watch.turns,
        alarms=dict(sorted(watch.alarms.items())),
        digests={
            "state": state_digest(records[-1].state_digest for records in journals.values()),
            "output": await output_digest(recorded),
            "decision": await decision_digest(recorded),
        },
        replayed=replayed,
        replay_seconds=round(replay_seconds, 3),
    )
