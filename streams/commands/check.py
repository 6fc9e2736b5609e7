"""`backstop verify` and `backstop replay`: whether a recorded run is what it was, and whether it comes to the same again."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from streams.bus.manifest import check_manifest
from streams.commands import run_directory
from streams.commands.console import complain, emit_json, progress, run, say
from streams.engine.compare import Difference, Differs
from streams.engine.replay import ReplayReport, replay
from streams.engine.verify import verify
from streams.tasks import machine_for


def difference_json(difference: Difference | None) -> dict[str, Any] | None:
    """A difference as JSON; its class first."""
    if difference is None:
        return None
    fields = asdict(difference)
    return {"class": fields.pop("kind").value, **fields}


def run_verify(directory: Path, *, as_json: bool) -> int:
    """0 when everything is as recorded, 1 with the first difference."""
    run_directory.require(directory)
    with progress() as tick:
        tick("verifying")
        report = run(verify(directory, machine_for))
    if as_json:
        counts = {"files": report.files, "steps": report.steps, "inputs": report.inputs, "outputs": report.outputs, "snapshots": report.snapshots}
        emit_json({"directory": str(directory), "same": report.is_same, "difference": difference_json(report.difference), **counts})
    elif report.is_same:
        say(
            f"{directory}: as recorded. {report.files:,} files, {report.steps:,} steps run again over {report.inputs:,} inputs, "
            f"{report.outputs:,} outputs and {report.snapshots:,} snapshots compared"
        )
    if report.difference is not None:
        complain(f"{directory} is not as recorded: {report.difference}")
    return 0 if report.is_same else 1


def run_replay(directory: Path, *, as_json: bool) -> int:
    """0 when the exchange's records lead to the same outputs and states, 1 otherwise. Raises CheckFailed for a file that is not as recorded."""
    run_directory.require(directory)
    with progress() as tick:
        tick("checking files")
        check_manifest(directory)
        tick("replaying")
        report, differences = run(_replayed(directory))
    if as_json:
        document = {"directory": str(directory), "identical": not differences}
        emit_json({**document, **replay_json(report), "differences": [difference_json(difference) for difference in differences]})
    elif not differences:
        say(
            f"{directory}: identical. {report.inputs:,} inputs in {report.turns:,} turns gave the same {report.outputs:,} outputs"
            f"{_reordered(report)}\n"
            f"  state     {report.state_digest}\n  outputs   {report.output_digest}\n  decisions {report.decision_digest}"
        )
    if differences:
        more = f" (and {len(differences) - 1} more)" if len(differences) > 1 else ""
        complain(f"{directory} does not replay: {differences[0]}{more}")
    return 1 if differences else 0


def replay_json(report: ReplayReport) -> dict[str, Any]:
    """A replay's figures as JSON, its differences aside."""
    names = ("inputs", "turns", "outputs", "state_digest", "output_digest", "decision_digest")
    reordered = [f"{partition.topic}[{partition.partition}]" for partition in report.reordered]
    return {**{name: getattr(report, name) for name in names}, "reordered": reordered}


def _reordered(report: ReplayReport) -> str:
    return f" (in {len(report.reordered)} partitions in another order: several shards write there)" if report.reordered else ""


async def _replayed(directory: Path) -> tuple[ReplayReport, Sequence[Difference]]:
    try:
        report = await replay(directory, machine_for)
    except Differs as error:
        return ReplayReport(), [error.difference]
    return report, report.differences
