"""How ClickHouse is reached: the engine embedded in this process, or a server; and how it is asked without being changed.

One process holds one embedded engine; several clients of it may be open at a time.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, Error, OperationalError

from streams.errors import ConfigurationProblem, Unreachable, UsageProblem
from streams.settings import ClickHouseSettings
from streams.sinks.bounds import BoundsFile
from streams.sinks.tables import DATABASE

# Reads see every record once, merged or not. A row's month is a function of the row, so months need no merging with each other.
READ_SETTINGS: dict[str, Any] = {"final": 1, "do_not_merge_across_partitions_select_final": 1, "readonly": 1}
CONNECT_TIMEOUT_S = 5
ANSWER_TIMEOUT_S = 60  # of one insert or query; an insert that takes longer is sent again under the same token
# ClickHouse's error codes of what ends by itself: time-outs, too much at once, no memory, disk, parts or keeper for now, a body or answer cut short.
PASSING_CODES = frozenset({33, 159, 202, 203, 209, 210, 236, 241, 242, 243, 252, 319, 394, 425, 999})


@dataclass(frozen=True, slots=True)
class Answer:
    """Result of a query; `types` in ClickHouse's words. Integral decimals are ints, times are UTC."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    types: tuple[str, ...] = ()


def engine_path(directory: Path) -> Path:
    """Where a deployment's directory keeps the embedded engine's files."""
    return directory / "clickhouse" / "engine"


def bounds_file(directory: Path) -> BoundsFile:
    """The bounds beside them."""
    return BoundsFile(directory / "clickhouse" / "bounds.json")


def open_embedded(directory: Path, *, read_only: bool = False, database: str = DATABASE) -> Client:
    """A client of the engine embedded in this process, with its data under `directory`; `read_only` ones are for `query`.

    Raises ConfigurationProblem without the extra, UsageProblem where there is nothing to read or the engine cannot have the directory.
    """
    path = engine_path(directory)
    if read_only and not path.exists():
        raise UsageProblem(f"{directory} has no ClickHouse data: load it first, or name another directory")
    path.mkdir(parents=True, exist_ok=True)
    try:
        client = clickhouse_connect.get_client(interface="chdb", path=str(path))
    except ImportError as problem:
        raise ConfigurationProblem("the embedded ClickHouse is not installed: pip install 'backstop[embedded]', or name a server") from problem
    except DatabaseError as problem:
        raise UsageProblem(f"{path} cannot be opened: {first_line(problem)}. Close what holds it, or this process's other engine") from problem
    return _made_read_only(client, database) if read_only else client


def open_server(
    *, host: str, port: int, username: str, password: str, secure: bool = False, read_only: bool = False, database: str = DATABASE
) -> Client:
    """A client of a server's HTTP interface; `read_only` ones are for `query`.

    Raises Unreachable when the server does not answer, ConfigurationProblem when it refuses the user.
    """
    try:
        client = clickhouse_connect.get_client(
            host=host,
            port=port,
            username=username,
            password=password,
            secure=secure,
            connect_timeout=CONNECT_TIMEOUT_S,
            send_receive_timeout=ANSWER_TIMEOUT_S,
            autogenerate_session_id=False,  # a session would forbid two calls at a time
        )
    except DatabaseError as problem:
        if lost(problem):
            raise Unreachable(f"ClickHouse at {host}:{port} does not answer: {first_line(problem)}. Start it, or correct its address") from problem
        raise ConfigurationProblem(f"ClickHouse at {host}:{port} refuses us: {first_line(problem)}. Correct user, password or rights") from problem
    return _made_read_only(client, database) if read_only else client


def server_client(server: ClickHouseSettings, *, read_only: bool = False) -> Client:
    """A client of the server that the settings name; errors as of `open_server`. Raises ConfigurationProblem when they name none."""
    if server.host is None:
        raise ConfigurationProblem("BACKSTOP_CLICKHOUSE__HOST is not set: name the ClickHouse server")
    return open_server(
        host=server.host,
        port=server.port,
        username=server.username,
        password=server.secret or "",
        secure=server.secure,
        read_only=read_only,
        database=server.database,
    )


def _made_read_only(client: Client, database: str) -> Client:
    """Confine a client to reading: the engine itself refuses the rest, and refuses to lift it."""
    found = client.query("SELECT count() FROM system.databases WHERE name = {name:String}", parameters={"name": database})
    if not found.result_rows[0][0]:
        client.close()
        raise UsageProblem(f"ClickHouse has no database {database}: load it first, or name another")
    client.database = database
    for name, value in READ_SETTINGS.items():
        client.set_client_setting(name, value)
    return client


def query(client: Client, sql: str) -> Answer:
    """Ask one question of a read-only client.

    Raises UsageProblem with the first line of what ClickHouse says about the SQL, writes included, and Unreachable when it says nothing.
    """
    if client.get_client_setting("readonly") != "1":
        raise UsageProblem("this ClickHouse client can write: open one with read_only=True to ask")
    if re.search(r"\boutfile\b", sql, flags=re.IGNORECASE):  # the embedded engine writes it even when read-only; a false alarm costs a word
        raise UsageProblem("INTO OUTFILE writes a file, and queries only read: redirect the output instead")
    # The parser first: it refuses a second statement, of which the embedded engine would run the first and keep its result for the next query.
    statement = _asked(client, "SELECT formatQuerySingleLine({sql:String})", {"sql": sql}).rows[0][0]
    answer = _asked(client, sql)
    if answer.columns:
        return answer
    # The embedded engine says nothing at all of a result without rows.
    names = _asked(client, f"DESCRIBE TABLE ({statement})") if statement.startswith(("SELECT", "WITH")) else answer
    return Answer(tuple(row[0] for row in names.rows), [], tuple(row[1] for row in names.rows))


def _asked(client: Client, sql: str, parameters: dict[str, str] | None = None) -> Answer:
    try:
        result = client.query(sql, parameters=parameters)
        rows = result.result_rows
    except Error as problem:
        if lost(problem):
            raise unreachable(problem) from problem
        raise UsageProblem(first_line(problem).partition(": In scope SELECT formatQuery")[0]) from problem
    return Answer(tuple(result.column_names), [tuple(map(_plain, row)) for row in rows], tuple(kind.name for kind in result.column_types))


def first_line(problem: Exception) -> str:
    """The first line of ClickHouse's message."""
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0].rstrip(". ")


def lost(problem: Exception) -> bool:
    """Whether the server did not answer at all, so that its answer has no code."""
    return isinstance(problem, OperationalError) and problem.code is None


def passes(problem: Exception) -> bool:
    """Whether the same request may succeed later: no answer at all, one that says so, or a proxy's word for a server that is away."""
    is_proxy = isinstance(problem, DatabaseError) and problem.code is None and "HTTP status 5" in str(problem)
    return is_proxy or lost(problem) or (isinstance(problem, DatabaseError) and problem.code in PASSING_CODES)


def unreachable(problem: Exception) -> Unreachable:
    """The connection was lost."""
    return Unreachable(f"ClickHouse did not answer: {first_line(problem)}. Start it, or correct its address")


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, Decimal) and value.as_tuple().exponent == 0 else value
