"""`backstop report`: the page of a run, DIR/report.html, from its recorded log and, where there is one, what the run said of itself in report.json.

The page is derived and may be written again at any time: it is no part of the manifest.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from streams.bus.contract import Bus
from streams.bus.manifest import MANIFEST, check_manifest
from streams.bus.recording import load
from streams.commands import run_directory
from streams.commands.console import complain, emit_json, progress, run, say
from streams.commands.run_directory import Run
from streams.commands.summary import Summary, summary_of
from streams.engine.digests import decision_digest, output_digest, state_digest
from streams.engine.verify import read_journals
from streams.errors import BackstopError, CheckFailed, UsageProblem
from streams.notify.names import Unit, counted
from streams.report.model import Check, Origin, Report, report_of
from streams.report.page import page
from streams.venue.report import OCT_10, beside

OTHER_LOG = "the run said it of the log it closed, which is not this one as it is now"


def run_report(directory: Path, units: Mapping[int, Unit], *, as_json: bool) -> int:
    """Write the page. 0 when no check on it fails, 1 otherwise. Raises UsageProblem for a directory of no run, CheckFailed for damage.

    `units`: how assets are written of which the run itself says nothing.
    """
    run_directory.require(directory)
    with progress() as tick:
        tick("reading the log")
        report, path = run(_written(directory, units))
    is_sound = report.origin.is_sound
    if as_json:
        checks = [{"name": check.name, "holds": check.holds, "found": check.found} for check in report.origin.checks]
        emit_json({"directory": str(directory), "report": str(path), "bytes": path.stat().st_size, "sound": is_sound, "checks": checks})
    else:
        say(link(path))
    if is_sound is False:
        failed = next(check for check in report.origin.checks if check.holds is False)
        complain(f"{directory} is not sound: {failed.name}: {failed.found}; keep the directory and report it")
        return 1
    return 0


def link(path: Path) -> str:
    """The line that leads to the page."""
    return f"Report: {path.resolve().as_uri()}"


async def _written(directory: Path, units: Mapping[int, Unit]) -> tuple[Report, Path]:
    return await write_report(directory, await load(directory), units)


async def write_report(directory: Path, bus: Bus, units: Mapping[int, Unit]) -> tuple[Report, Path]:
    """The page of a run whose log is on this bus; it appears whole or not at all. Raises UsageProblem where it cannot be written."""
    plan = run_directory.read_run(directory)
    report = await report_of(bus, await _origin(plan, directory, bus), {**units, **plan.shown})
    path, unfinished = directory / run_directory.PAGE, directory / (run_directory.PAGE + ".unfinished")
    try:
        unfinished.write_text(page(report), encoding="utf-8")
        unfinished.replace(path)
    except KeyboardInterrupt:
        unfinished.unlink(missing_ok=True)
        raise
    except OSError as error:
        raise UsageProblem(f"{path} cannot be written ({error.strerror}): make room or name a directory that can be written") from error
    return report, path


async def _origin(plan: Run, directory: Path, bus: Bus) -> Origin:
    said = _said(directory)
    summary = await summary_of(bus)
    digests = await _digests(bus)
    try:
        facts, checks = _facts(plan, said), _checks(directory, summary, digests, said)
    except (KeyError, TypeError, AttributeError) as error:
        path = directory / run_directory.REPORT
        raise CheckFailed(f"{path} is not what a run says of itself ({type(error).__name__}: {error}); restore it or run the demo again") from error
    return Origin(
        title=plan.scenario if plan.shown else plan.deployment,
        directory=str(directory),
        facts=facts,
        checks=checks,
        digests=digests,
        recorded=beside(summary.names, summary.rows["adl-waves"], summary.rows["adl-executions"]) if plan.scenario == OCT_10 else (),
    )


def _facts(plan: Run, said: Mapping[str, Any]) -> dict[str, str]:
    facts = {"scenario": plan.scenario, "deployment": plan.deployment, "log": plan.bus, "accounts shards": str(plan.shards)}
    if said:
        facts |= {"seed": str(plan.seed), "accounts": f"{plan.accounts:,}"}
        facts |= {"run": f"{said['seconds']:.1f} s", "replay": f"{said['replay_seconds']:.1f} s"}
    return facts


def _said(directory: Path) -> dict[str, Any]:
    """What the run said of itself; nothing for a recording. Raises CheckFailed where it cannot be read."""
    path = directory / run_directory.REPORT
    if not path.exists():
        return {}
    try:
        said: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckFailed(f"{path} cannot be read ({type(error).__name__}): it is damaged; restore it or run the demo again") from error
    return said


async def _digests(bus: Bus) -> dict[str, str]:
    """Those of the log as it is now; a part of a log without journals or instructions has not all of them."""
    told = {"output": await output_digest(bus)}
    if "instructions" in await bus.partitions():
        told["decision"] = await decision_digest(bus)
    try:
        journals = await read_journals(bus)
    except BackstopError:
        return told
    return {"state": state_digest(records[-1].state_digest for records in journals.values())} | told


def _checks(directory: Path, summary: Summary, digests: Mapping[str, str], said: Mapping[str, Any]) -> list[Check]:
    """What files and log show, then what only the run could see: its last sums, the exchange's book, the replay.

    Nothing holds of what is not there: a check without its stream, or of a log that is not the one the run spoke of, was not looked at.
    """
    files = _files(directory)
    seen = [files, _sums(summary), _letters(summary)]
    if not said:
        hint = "only the run itself sees this"
        return [
            *seen,
            Check("Our book equals the exchange's", None, hint),
            Check("Replay identical", None, "run `backstop replay` on this directory"),
        ]
    changed = [name for name, digest in digests.items() if said.get(f"{name}_digest") != digest]
    same = Check("The log is the one the run closed", not changed, "digests as the run said" if not changed else f"changed: {', '.join(changed)}")
    is_of_this_log = files.holds is True and not changed
    return [*seen, same, *(check if is_of_this_log else replace(check, holds=None, found=OTHER_LOG) for check in _told(said))]


def _told(said: Mapping[str, Any]) -> list[Check]:
    """What the run itself has found."""
    lots, cash = sum(map(abs, said["positions_sum"].values())), sum(map(abs, said["cash_sum"].values()))
    return [
        _zero("Lots over all shards at the end", lots, "lots, absolute, over all instruments"),
        _zero("Cash over all shards at the end", cash, "settlement units, absolute, over all assets"),
        _zero("Our book equals the exchange's", said["book_differences"], "differences"),
        _zero("No account is suspect", said["suspect_accounts"], "accounts"),
        Check("Replay identical", said["replay_identical"], "byte for byte" if said["replay_identical"] else "the replay differs"),
    ]


def _files(directory: Path) -> Check:
    name = "Files as recorded"
    if not (directory / MANIFEST).exists():
        return Check(name, None, "there is no MANIFEST: the run was not finished, or it was taken away")
    try:
        return Check(name, True, counted(len(check_manifest(directory)), "file"))
    except CheckFailed as problem:
        return Check(name, False, str(problem))


def _sums(summary: Summary) -> Check:
    name = "Sums over all shards, each event second"
    if not summary.summed_seconds:
        return Check(name, None, "no event second is told by every shard in this log")
    return Check(name, not summary.published_violations, f"{summary.published_violations:,} of {summary.summed_seconds:,} event seconds not zero")


def _letters(summary: Summary) -> Check:
    name = "Every record could be read and applied"
    if "dead-letters" not in summary.records:
        return Check(name, None, "the stream dead-letters is not in this log")
    return _zero(name, summary.records["dead-letters"], "dead letters")


def _zero(name: str, found: int, of: str) -> Check:
    return Check(name, found == 0, f"{found:,} {of}")
