"""`backstop dashboards`: the arguments of its commands; what they do stands in `streams/commands/dashboards.py`."""
# ruff: noqa: PLC0415 - a command imports its body when it runs: help and errors of usage need no HTTP client

from pathlib import Path
from typing import Annotated

import typer

from streams.cli_options import Config, Json, settings_of

dashboards_app = typer.Typer(help="The desk in Grafana: boards, alert rules, data sources.", rich_markup_mode=None)
Url = Annotated[str | None, typer.Option("--url", help="Address of Grafana; the token comes from the settings only.")]


@dashboards_app.command("build")
def dashboards_build(
    *,
    directory: Annotated[Path, typer.Option("--dir", help="Directory of the provisioning files.")] = Path("infra/grafana"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say which files differ, and write none; exit 1 if any does.")] = False,
    as_json: Json = False,
) -> int:
    """Write boards, alert rules and data sources as the files that Grafana is provisioned from."""
    from streams.commands.dashboards import run_build

    return run_build(directory, dry_run=dry_run, as_json=as_json)


@dashboards_app.command("diff")
def dashboards_diff(*, url: Url = None, config: Config = None, as_json: Json = False) -> int:
    """Say what of a Grafana is not as the code has it; exit 1 if anything is not."""
    from streams.commands.dashboards import run_diff

    return run_diff(settings_of(config, grafana={"url": url}), as_json=as_json)


@dashboards_app.command("publish")
def dashboards_publish(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written; write nothing.")] = False,
    url: Url = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Write to a Grafana what differs: folder, data sources, boards, alert rules."""
    from streams.commands.dashboards import run_publish

    return run_publish(settings_of(config, grafana={"url": url}), dry_run=dry_run, as_json=as_json)
