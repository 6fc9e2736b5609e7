"""`backstop migrate`: tables and views of a ClickHouse server, or of a directory's embedded engine, brought to this version or compared with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from clickhouse_connect.driver.client import Client

from streams.commands.console import emit_json, say
from streams.errors import ConfigurationProblem, UsageProblem
from streams.settings import PREFIX, Settings
from streams.sinks.connection import engine_path, open_embedded, open_server
from streams.sinks.migration_files import directory, lock
from streams.sinks.migrations import Standing, State, migrate, pending, status
from streams.sinks.tables import DATABASE


class Target(NamedTuple):
    """A database to migrate, and where it is."""

    client: Client
    database: str
    place: str


def run_up(settings: Settings, at: Path | None, *, as_json: bool) -> int:
    """Apply what is pending. Raises CheckFailed where the database was migrated otherwise or refuses, Unreachable without a server."""
    with _target(settings, at, create=True) as (client, database, place):
        applied = migrate(client, database)
    if as_json:
        emit_json(
            {"place": place, "database": database, "applied": [{"number": a.number, "name": a.name, "statements": a.statements} for a in applied]}
        )
    else:
        for migration in applied:
            say(f"{migration.number:04d} {migration.name}: {migration.statements} statements")
        say(f"{place}, database {database}: {len(applied)} migrations applied")
    return 0


def run_status(settings: Settings, at: Path | None, *, as_json: bool) -> int:
    """0 when every migration of this version is applied as it stands, 1 otherwise. Migrations of a later version are no difference."""
    with _target(settings, at, create=False) as (client, database, place):
        standings = status(client, database)
    is_current = all(standing.state in (State.APPLIED, State.NEWER) for standing in standings)
    if as_json:
        emit_json({"place": place, "database": database, "current": is_current, "migrations": list(map(_document, standings))})
    else:
        for standing in standings:
            done = f"{standing.done}/{standing.statements}  {standing.applied_at or ''}".rstrip()
            say(f"{standing.number:04d} {standing.name:<24} {standing.state.value:<8} {done}")
    return 0 if is_current else 1


def run_dry_run(settings: Settings, at: Path | None, *, as_json: bool) -> int:
    """Print the statements that `up` would run, as SQL. Raises CheckFailed where `up` would refuse."""
    with _target(settings, at, create=False) as (client, database, place):
        steps = pending(client, database)
    if as_json:
        rows = [{"migration": step.migration.number, "name": step.migration.name, "statement": step.statement, "sql": step.sql} for step in steps]
        emit_json({"place": place, "database": database, "statements": rows})
    else:
        say("\n\n".join(f"-- {step.migration.file}, statement {step.statement}\n{step.sql};" for step in steps) or "-- nothing to do")
    return 0


def run_lock(*, as_json: bool) -> int:
    """Lock the files that are new; 0 when that could be done. Raises CheckFailed where a locked file has changed."""
    try:
        added = lock(directory())
    except OSError as error:
        raise UsageProblem(f"{directory()} cannot be written ({error.strerror}): run this in a checkout") from error
    if as_json:
        emit_json({"directory": str(directory()), "added": added})
    else:
        say(f"{len(added)} files locked" + "".join(f"\n{name}" for name in added))
    return 0


def _document(standing: Standing) -> dict[str, Any]:
    return {
        "number": standing.number, "name": standing.name, "state": standing.state.value, "done": standing.done, "statements": standing.statements,
        "applied_at": None if standing.applied_at is None else standing.applied_at.isoformat(),
    }  # fmt: skip


@contextmanager
def _target(settings: Settings, at: Path | None, *, create: bool) -> Iterator[Target]:
    server = settings.clickhouse
    if at is not None:
        if not create and not engine_path(at).exists():
            raise UsageProblem(f"{at} has no ClickHouse data: name another directory, or create it (`backstop migrate up --dir`)")
        target = Target(open_embedded(at), DATABASE, str(at))
    elif server.host is None:
        raise ConfigurationProblem(f"{PREFIX}CLICKHOUSE__HOST is empty: name a server, or a directory with --dir")
    else:
        client = open_server(host=server.host, port=server.port, username=server.username, password=server.secret or "", secure=server.secure)
        target = Target(client, server.database, f"{server.host}:{server.port}")
    try:
        yield target
    finally:
        target.client.close()
