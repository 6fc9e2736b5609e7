"""One runner of migrations at a time in a database: the lock is a table, because creating one is atomic and every ClickHouse can do it.

Its comment names the holder, who renews it now and then between statements. A lock that nobody has renewed for STALE_S belongs to a dead runner
and is taken away: it is renamed to a name made of its own id, so that of two runners who found it dead one fails.
"""

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from streams.errors import CheckFailed

TABLE: Final = "schema_migrations_lock"
STALE_S: Final = 900  # longer than any statement may take before its answer is given up
RENEW_S: Final = 30
WAIT_S: Final = 60.0
_PAUSE_S: Final = 0.5
_ALREADY_EXISTS: Final = 57
_UNKNOWN_TABLE: Final = 60


@contextmanager
def held(client: Client, database: str, *, wait_s: float = WAIT_S, stale_s: float = STALE_S) -> Iterator[Callable[[], None]]:
    """Hold the lock in the block; yields what renews it. Raises CheckFailed when another runner holds it for all of `wait_s`."""
    name, owner = f"`{database}`.`{TABLE}`", f"{socket.gethostname()}:{os.getpid()}"
    taken = _acquire(client, database, owner, wait_s, stale_s)
    renewed = time.monotonic()

    def renew() -> None:
        nonlocal renewed
        if time.monotonic() - renewed >= RENEW_S:
            client.command(f"ALTER TABLE {name} MODIFY COMMENT '{owner} {time.time_ns()}'")
            renewed = time.monotonic()

    try:
        yield renew
    finally:
        for table in (name, *taken):
            client.command(f"DROP TABLE IF EXISTS {table} SYNC")


def _acquire(client: Client, database: str, owner: str, wait_s: float, stale_s: float) -> list[str]:
    """Create the lock table; returns the names of the dead locks that were put aside, to be dropped when this one is."""
    deadline, aside = time.monotonic() + wait_s, []
    while not _created(client, f"CREATE TABLE `{database}`.`{TABLE}` (nothing UInt8) ENGINE = Memory COMMENT '{owner} {time.time_ns()}'"):
        found = client.query(
            "SELECT toString(uuid), comment, dateDiff('second', metadata_modification_time, now()) FROM system.tables "
            "WHERE database = {database:String} AND name = {name:String}",
            parameters={"database": database, "name": TABLE},
        ).result_rows
        if not found:
            continue
        uuid, comment, age_s = found[0]
        if age_s >= stale_s:
            dead = f"`{database}`.`{TABLE}_{uuid}`"
            if _created(client, f"RENAME TABLE `{database}`.`{TABLE}` TO {dead}"):
                aside.append(dead)
        elif time.monotonic() >= deadline:
            raise CheckFailed(
                f"database {database} is being migrated by {comment.partition(' ')[0]}, last heard of {age_s} s ago: wait for it; "
                f"if it has died, its lock ends {stale_s:.0f} s after that"
            )
        else:
            time.sleep(_PAUSE_S)
    return aside


def _created(client: Client, statement: str) -> bool:
    """Run what fails where somebody else was first."""
    try:
        client.command(statement)
    except DatabaseError as problem:
        if problem.code in (_ALREADY_EXISTS, _UNKNOWN_TABLE):
            return False
        raise
    return True
