"""`backstop verify` and `backstop replay`: whether a run is what it was, and whether it comes to the same again.

Both take a recorded directory, or the topics of a deployment on Kafka as they are now.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from streams.bus.contract import Bus, TopicPartition
from streams.bus.manifest import check_manifest
from streams.bus.ranges import BEGINNING, END, Ends, resolve
from streams.bus.recording import load
from streams.commands import run_directory
from streams.commands.broker import kafka_bus
from streams.commands.console import complain, emit_json, progress, run, say
from streams.engine.compare import Difference, Differs
from streams.engine.replay import WHOLE, OnTurn, Part, ReplayReport, replay_bus
from streams.engine.snapshot import SnapshotStore
from streams.engine.verify import SNAPSHOTS, OnStep, Report, verify, verify_bus
from streams.errors import CheckFailed
from streams.settings import Settings
from streams.tasks import machine_for
from streams.topics import EXCHANGE_TOPICS


@dataclass(frozen=True, slots=True)
class Source:
    """Where a run stands: a recorded directory, or, with settings, a deployment on Kafka."""

    directory: Path
    kafka: Settings | None = None

    def __str__(self) -> str:
        return str(self.directory) if self.kafka is None else f"{self.kafka.engine.deployment} at {self.kafka.kafka.bootstrap_servers}"

    @property
    def json(self) -> dict[str, str]:
        """How a result names it."""
        return {"directory": str(self.directory)} if self.kafka is None else {"deployment": self.kafka.engine.deployment}


@asynccontextmanager
async def opened(source: Source) -> AsyncIterator[Bus]:
    """The log of a run. Raises CheckFailed for damage, also where a deployment has no topics; Unreachable without a broker."""
    if source.kafka is None:
        yield await load(source.directory)
        return
    bus = kafka_bus(source.kafka)
    try:
        if not await bus.partitions():
            raise CheckFailed(
                f"there are no topics of deployment {source.kafka.engine.deployment} at {source.kafka.kafka.bootstrap_servers}: name another"
            )
        yield bus
    finally:
        await bus.close()


def require(source: Source, given_as: str = "--dir") -> None:
    """Raises UsageProblem for a directory that is none of a run. `given_as`: flag or argument."""
    if source.kafka is None:
        run_directory.require(source.directory, given_as)


def difference_json(difference: Difference | None) -> dict[str, Any] | None:
    """A difference as JSON; its class first."""
    if difference is None:
        return None
    fields = asdict(difference)
    return {"class": fields.pop("kind").value, **fields}


def run_verify(source: Source, *, as_json: bool) -> int:
    """0 when everything is as recorded, 1 with the first difference."""
    require(source)
    with progress() as tick:
        tick("reading")
        report = run(_verified(source, lambda done, of: tick("verifying steps", done=done, of=of)))
    if as_json:
        names = ("files", "steps", "inputs", "outputs", "deleted", "snapshots")
        counts = {name: getattr(report, name) for name in names}
        emit_json({**source.json, "same": report.is_same, "difference": difference_json(report.difference), **counts})
    elif report.is_same:
        say(
            f"{source}: as recorded. {report.files:,} files, {report.steps:,} steps run again over {report.inputs:,} inputs, "
            f"{report.outputs:,} outputs and {report.snapshots:,} snapshots compared"
            + (f"; {report.deleted:,} outputs are not kept any more, as their topics' retention has it" if report.deleted else "")
        )
    if report.difference is not None:
        complain(f"{source} is not as recorded: {report.difference}")
    return 0 if report.is_same else 1


async def _verified(source: Source, on_step: OnStep) -> Report:
    if source.kafka is None:
        return await verify(source.directory, machine_for, on_step=on_step)
    snapshots = source.kafka.engine.data_dir / SNAPSHOTS
    store = SnapshotStore(snapshots, keep=None) if snapshots.is_dir() else None  # those that are here: other workers keep their own
    async with opened(source) as bus:
        return await verify_bus(bus, machine_for, snapshots=store, on_step=on_step)


async def part_of(bus: Bus, start: Ends, stop: Ends) -> Part:
    """The exchange's records between two ends."""
    if start == Ends(BEGINNING) and stop == Ends(END):
        return WHOLE
    counts = await bus.partitions()
    partitions = [TopicPartition(topic, number) for topic in EXCHANGE_TOPICS for number in range(counts.get(topic, 0))]
    until_ms = stop.default.value if stop.default.kind == "time" else None
    comparable = start == Ends(BEGINNING) and stop.is_one_moment and stop.default != BEGINNING
    return Part(await resolve(bus, partitions, start, stop), until_ms, comparable)


def run_replay(source: Source, start: Ends, stop: Ends, *, as_json: bool) -> int:
    """0 when the exchange's records lead to the same outputs and states, 1 otherwise. Raises CheckFailed for a file that is not as recorded."""
    require(source)
    with progress() as tick:
        if source.kafka is None:
            tick("checking files")
            check_manifest(source.directory)
        tick("reading")
        report, differences, part = run(_replayed(source, start, stop, lambda done, of: tick("replaying turns", done=done, of=of)))
    if as_json:
        document = {**source.json, "compared": part.is_comparable, "identical": not differences if part.is_comparable else None}
        emit_json({**document, **replay_json(report), "differences": [difference_json(difference) for difference in differences]})
    elif not differences:
        digests = ("state", report.state_digest), ("outputs", report.output_digest), ("decisions", report.decision_digest)
        say("\n".join([f"{source}: {_verdict(report, part)}", *(f"  {name:<9} {digest}" for name, digest in digests)]))
    if differences:
        more = f" (and {len(differences) - 1} more)" if len(differences) > 1 else ""
        complain(f"{source} does not replay: {differences[0]}{more}")
    return 1 if differences else 0


def _verdict(report: ReplayReport, part: Part) -> str:
    figures = f"{report.inputs:,} inputs in {report.turns:,} turns gave"
    if not part.is_comparable:
        return f"replayed, not compared: what was recorded had other causes than this part. {figures} {report.outputs:,} outputs"
    reordered = f" (in {len(report.reordered)} partitions in another order: several shards write there)" if report.reordered else ""
    return f"identical. {figures} the same {report.outputs:,} outputs{reordered}"


def replay_json(report: ReplayReport) -> dict[str, Any]:
    """A replay's figures as JSON, its differences aside."""
    names = ("inputs", "turns", "outputs", "state_digest", "output_digest", "decision_digest")
    reordered = [f"{partition.topic}[{partition.partition}]" for partition in report.reordered]
    return {**{name: getattr(report, name) for name in names}, "reordered": reordered}


async def _replayed(source: Source, start: Ends, stop: Ends, on_turn: OnTurn) -> tuple[ReplayReport, Sequence[Difference], Part]:
    async with opened(source) as bus:
        part = await part_of(bus, start, stop)
        try:
            report = await replay_bus(bus, machine_for, part, on_turn=on_turn)
        except Differs as error:
            return ReplayReport(), [error.difference], part
    return report, report.differences, part
