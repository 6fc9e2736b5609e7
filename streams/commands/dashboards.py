"""`backstop dashboards`: the desk in Grafana built into files, compared with a Grafana, or written to it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from streams.commands.console import emit_json, progress, say
from streams.dashboards.alerts import ALERTS, GROUP, INTERVAL_S
from streams.dashboards.boards import BOARDS
from streams.dashboards.model import FOLDER_TITLE
from streams.dashboards.provisioning import clickhouse_source, files, prometheus_source
from streams.dashboards.publisher import Change, GrafanaPublisher, Outcome, Thing, board, data_source, folder, rule, rule_interval
from streams.dashboards.render import dashboard
from streams.dashboards.rules import rule_document
from streams.errors import UsageProblem
from streams.settings import Settings


def run_build(directory: Path, *, dry_run: bool, as_json: bool) -> int:
    """Write the files that differ from what the code says. With `dry_run` none is written, and 1 says that some would be."""
    changed = [name for name, content in files().items() if not (directory / name).exists() or (directory / name).read_bytes() != content]
    if not dry_run:
        _write(directory, changed)
    if as_json:
        emit_json({"directory": str(directory), "written": not dry_run, "changed": changed, "files": len(files())})
    else:
        say("\n".join([*changed, f"{len(changed)} of {len(files())} files {'differ' if dry_run else 'written'} in {directory}"]))
    return int(dry_run and bool(changed))


def _write(directory: Path, names: list[str]) -> None:
    contents = files()
    for name in names:
        path = directory / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(contents[name])
        except OSError as problem:
            raise UsageProblem(f"{path} cannot be written ({problem.strerror}): give another directory with --dir") from problem


def things(settings: Settings) -> Iterator[Thing]:
    """All that belongs into Grafana, in an order in which nothing refers to what is not there yet."""
    grafana, clickhouse = settings.grafana, settings.clickhouse
    yield folder(grafana.folder_uid, FOLDER_TITLE)
    if clickhouse.host is not None and grafana.clickhouse_secret is not None:
        source = clickhouse_source(
            host=clickhouse.host,
            port=str(clickhouse.port),
            database=clickhouse.database,
            username=grafana.clickhouse_username,
            secure=clickhouse.secure,
        )
        yield data_source(source, {"password": grafana.clickhouse_secret})
    if grafana.prometheus_url is not None:
        yield data_source(prometheus_source(grafana.prometheus_url), {})
    yield from (board(dashboard(each), grafana.folder_uid) for each in BOARDS)
    yield from (rule(rule_document(alert, grafana.folder_uid)) for alert in ALERTS)
    yield rule_interval(grafana.folder_uid, GROUP, INTERVAL_S)


def run_publish(settings: Settings, *, dry_run: bool, as_json: bool) -> int:
    """Write what differs, or with `dry_run` say it. Always 0."""
    outcomes = _put(settings, dry=dry_run)
    _show(settings, outcomes, as_json=as_json, written=not dry_run)
    return 0


def run_diff(settings: Settings, *, as_json: bool) -> int:
    """1 when Grafana is not as the code says."""
    outcomes = _put(settings, dry=True)
    _show(settings, outcomes, as_json=as_json, written=False)
    return int(any(outcome.change is not Change.SAME for outcome in outcomes))


def _put(settings: Settings, *, dry: bool) -> list[Outcome]:
    publisher = GrafanaPublisher(settings.grafana, dry=dry)
    wanted = list(things(settings))
    outcomes = []
    with progress() as tick:
        for number, thing in enumerate(wanted, start=1):
            tick(f"{thing.kind} {thing.uid}", done=number, of=len(wanted))
            outcomes.append(publisher.put(thing))
    return outcomes


def _show(settings: Settings, outcomes: list[Outcome], *, as_json: bool, written: bool) -> None:
    changed = [outcome for outcome in outcomes if outcome.change is not Change.SAME]
    if as_json:
        emit_json({"url": settings.grafana.url, "written": written, "changed": len(changed), "things": [_json(outcome) for outcome in outcomes]})
        return
    for outcome in changed:
        say(f"{outcome.change.value:<8} {outcome.kind} {outcome.uid}")
        for place in outcome.differences:
            say(f"           {place}")
    say(f"{len(changed)} of {len(outcomes)} {'written' if written else 'differ'}; {settings.grafana.url}")


def _json(outcome: Outcome) -> dict[str, Any]:
    return {"kind": outcome.kind, "uid": outcome.uid, "change": outcome.change.value, "differences": list(outcome.differences)}
