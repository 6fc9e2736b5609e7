"""Bringing a database to this version's tables and views: what was run stands in its table `schema_migrations`.

A run that breaks off goes on where it stopped. What was applied must be what the files say, and nothing is applied out of order.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from itertools import groupby
from typing import Final, NamedTuple

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from streams.errors import CheckFailed
from streams.sinks.connection import first_line, passes, unreachable
from streams.sinks.migration_files import Migration, migrations
from streams.sinks.migration_lock import WAIT_S, held

TABLE: Final = "schema_migrations"
_CREATE: Final = """CREATE TABLE IF NOT EXISTS `{database}`.`schema_migrations`
(
    `migration` UInt32 COMMENT 'Number of the migration.',
    `statement` UInt32 COMMENT 'Number of its last statement that was run, from 1.',
    `statements` UInt32 COMMENT 'How many it has.',
    `name` String COMMENT 'Its name.',
    `sha256` String COMMENT 'SHA-256 of its file.',
    `applied_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When it was noted, by the server.'
)
ENGINE = MergeTree
ORDER BY (migration, statement)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"""
_DONE: Final = """SELECT migration, any(name), any(sha256), uniqExact(sha256), max(statement), any(statements), max(applied_at)
FROM `{database}`.`schema_migrations` GROUP BY migration ORDER BY migration"""


class State(Enum):
    """How a migration stands in a database. NEWER: applied by a later version, which this one knows nothing of."""

    APPLIED = "applied"
    PARTIAL = "partial"
    PENDING = "pending"
    CHANGED = "changed"
    NEWER = "newer"


@dataclass(frozen=True, slots=True)
class Standing:
    """A migration and how it stands. `done` of `statements` were run, the last one at `applied_at`."""

    number: int
    name: str
    state: State
    done: int
    statements: int
    applied_at: datetime | None


@dataclass(frozen=True, slots=True)
class Applied:
    """A migration that was applied now, with the number of statements that were run for it."""

    number: int
    name: str
    statements: int


class Pending(NamedTuple):
    """A statement that is still to be run, by its number within its migration, from 1."""

    migration: Migration
    statement: int
    sql: str


class _Done(NamedTuple):
    name: str
    sha256: str
    contents: int
    statement: int
    statements: int
    applied_at: datetime


def status(client: Client, database: str, *, files: Sequence[Migration] | None = None) -> list[Standing]:
    """How every migration stands, those of later versions included. A database that does not exist has none."""
    with _answering(database):
        done = _done(client, database)
    known = migrations() if files is None else files
    found = []
    for migration in known:
        count = len(migration.statements(database))
        was = done.pop(migration.number, None)
        if was is None:
            found.append(Standing(migration.number, migration.name, State.PENDING, 0, count, None))
            continue
        is_changed = was.contents > 1 or was.sha256 != migration.sha256
        state = State.CHANGED if is_changed else State.APPLIED if was.statement >= count else State.PARTIAL
        found.append(Standing(migration.number, migration.name, state, was.statement, count, was.applied_at))
    newer = (Standing(number, was.name, State.NEWER, was.statement, was.statements, was.applied_at) for number, was in done.items())
    return [*found, *newer]


def pending(client: Client, database: str, *, files: Sequence[Migration] | None = None) -> list[Pending]:
    """The statements that `migrate` would run.

    Raises CheckFailed where a migration was applied with another content, or one is missing before an applied one.
    """
    known = migrations() if files is None else files
    standings = {standing.number: standing for standing in status(client, database, files=known)}
    last = max((number for number, standing in standings.items() if standing.state is not State.PENDING), default=0)
    found = []
    for migration in known:
        standing = standings[migration.number]
        if standing.state is State.CHANGED:
            raise CheckFailed(
                f"database {database} was migrated with another content of {migration.file}: restore the file; changes are new migrations"
            )
        if standing.done < standing.statements and migration.number < last:
            raise CheckFailed(
                f"database {database} has migration {last:04d} but not {migration.file} whole: it was changed by hand; load a new database"
            )
        found += [Pending(migration, number, sql) for number, sql in enumerate(migration.statements(database), start=1) if number > standing.done]
    return found


def migrate(client: Client, database: str, *, files: Sequence[Migration] | None = None, wait_s: float = WAIT_S) -> list[Applied]:
    """Create the database if need be, and run what is pending. Returns what was applied, in order; nothing where all is as it should be.

    Raises CheckFailed as `pending` does, when ClickHouse refuses a statement, and when another runner is at it for longer than `wait_s`;
    Unreachable when the server does not answer.
    """
    if not pending(client, database, files=files):
        return []
    with _answering(database):
        client.command(f"CREATE DATABASE IF NOT EXISTS `{database}`")
        client.command(_CREATE.replace("{database}", database))
        with held(client, database, wait_s=wait_s) as renew:
            steps = pending(client, database, files=files)  # again: another runner may have been at it
            return [_apply(client, database, list(of_one), renew) for _, of_one in groupby(steps, key=lambda step: step.migration.number)]


def _apply(client: Client, database: str, steps: Sequence[Pending], renew: Callable[[], None]) -> Applied:
    """Run what is left of one migration, and note how far it came, be it by an error; a crash before the note makes all of it run again."""
    migration, done = steps[0].migration, 0
    try:
        for step in steps:
            _run(client, database, step)
            done = step.statement
            renew()
    finally:
        if done:
            client.command(
                f"INSERT INTO `{database}`.`{TABLE}` (migration, statement, statements, name, sha256) SETTINGS async_insert = 0 "
                f"VALUES ({migration.number}, {done}, {len(migration.statements(database))}, '{migration.name}', '{migration.sha256}')"
            )
    return Applied(migration.number, migration.name, len(steps))


def _run(client: Client, database: str, step: Pending) -> None:
    try:
        client.command(step.sql)
    except DatabaseError as problem:
        if passes(problem):
            raise
        raise CheckFailed(
            f"ClickHouse refused statement {step.statement} of {step.migration.file} in database {database}: {first_line(problem)}. "
            "Correct its rights or version and migrate again; what was run stays"
        ) from problem


def _done(client: Client, database: str) -> dict[int, _Done]:
    there = client.query(
        "SELECT count() FROM system.tables WHERE database = {database:String} AND name = {name:String}",
        parameters={"database": database, "name": TABLE},
    ).result_rows
    if not there[0][0]:
        return {}
    rows = client.query(_DONE.replace("{database}", database)).result_rows
    return {row[0]: _Done(*row[1:]) for row in rows}


@contextmanager
def _answering(database: str) -> Iterator[None]:
    try:
        yield
    except DatabaseError as problem:
        if passes(problem):
            raise unreachable(problem) from problem
        raise CheckFailed(f"ClickHouse refused to migrate database {database}: {first_line(problem)}. Correct its rights or version") from problem
