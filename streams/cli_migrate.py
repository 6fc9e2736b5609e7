"""`backstop migrate`: the arguments of its commands; what they do stands in `streams/commands/migrate.py`."""
# ruff: noqa: PLC0415 - a command imports its body when it runs: help and errors of usage need no ClickHouse

from pathlib import Path
from typing import Annotated

import typer

from streams.cli_flags import Checked
from streams.cli_options import Config, Json, settings_of

migrate_app = typer.Typer(help="Tables and views in ClickHouse: bring a database to this version, or compare it.", rich_markup_mode=None)
At = Annotated[Path | None, typer.Option("--dir", help="The embedded engine of this directory; left out, the server of the settings.")]


@migrate_app.command("up", cls=Checked)
def migrate_up(*, directory: At = None, config: Config = None, as_json: Json = False) -> int:
    """Apply the migrations that are pending."""
    from streams.commands.migrate import run_up

    return run_up(settings_of(config), directory, as_json=as_json)


@migrate_app.command("status", cls=Checked)
def migrate_status(*, directory: At = None, config: Config = None, as_json: Json = False) -> int:
    """List the migrations and how they stand; exit code 1 unless all are applied."""
    from streams.commands.migrate import run_status

    return run_status(settings_of(config), directory, as_json=as_json)


@migrate_app.command("dry-run", cls=Checked)
def migrate_dry_run(*, directory: At = None, config: Config = None, as_json: Json = False) -> int:
    """Print the SQL that `up` would run; change nothing."""
    from streams.commands.migrate import run_dry_run

    return run_dry_run(settings_of(config), directory, as_json=as_json)


@migrate_app.command("lock")
def migrate_lock(*, as_json: Json = False) -> int:
    """Lock new migration files of a checkout by their SHA-256; from then on they never change."""
    from streams.commands.migrate import run_lock

    return run_lock(as_json=as_json)
