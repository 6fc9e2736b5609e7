"""Migrations: what they come to is what the schemas want, released ones do not change, and the runner gets there whatever interrupts it."""

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import OperationalError

from streams.errors import CheckFailed, ConfigurationProblem, Unreachable
from streams.sinks import migration_files, migration_lock
from streams.sinks.connection import open_embedded
from streams.sinks.migration_files import Migration, directory, load, lock, migrations, read
from streams.sinks.migrations import State, migrate, pending, status
from streams.sinks.tables import table
from streams.topics import STREAMS

DATABASE = "backstop"


def files(root: Path, *texts: str) -> tuple[Migration, ...]:
    """Migrations of these texts, locked as they are."""
    root.mkdir(exist_ok=True)
    for number, text in enumerate(texts, start=1):
        (root / f"{number:04d}_step.sql").write_text(text)
    (root / "lock.json").write_text(json.dumps({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in root.glob("*.sql")}))
    return load(root)


def create(name: str) -> str:
    return f"CREATE TABLE IF NOT EXISTS `{{database}}`.`{name}` (a Int64) ENGINE = MergeTree ORDER BY a;\n"


class TestFiles:
    def test_every_file_is_locked_and_numbered_without_holes(self) -> None:
        found = read(directory())
        assert [migration.number for migration in found] == list(range(1, len(found) + 1))
        assert migration_files.locked(directory()) == {migration.file: migration.sha256 for migration in found}

    def test_every_statement_may_be_run_twice(self) -> None:
        # A crash between a statement and the note of it makes the next run repeat it.
        repeatable = (
            "CREATE TABLE IF NOT EXISTS ", "CREATE OR REPLACE VIEW ", "ADD COLUMN IF NOT EXISTS ", "ADD PROJECTION IF NOT EXISTS ",
            "ADD INDEX IF NOT EXISTS ", "MODIFY SETTING ", "MODIFY COLUMN ", "DROP COLUMN IF EXISTS ", "MODIFY TTL ", "MATERIALIZE PROJECTION ",
            "RENAME COLUMN IF EXISTS ", "COMMENT COLUMN ",
        )  # fmt: skip
        for migration in migrations():
            for sql in migration.statements(DATABASE):
                first = " ".join(line for line in sql.splitlines() if not line.startswith("--"))
                assert any(form in first[:120] for form in repeatable), f"{migration.file}: {first[:80]}"

    def test_every_object_is_named_with_its_database(self) -> None:
        for migration in migrations():
            for sql in migration.statements("elsewhere"):
                assert "`elsewhere`.`" in sql
                assert "{database}" not in sql
                assert "backstop" not in sql

    def test_a_locked_file_that_changed_is_refused(self, tmp_path: Path) -> None:
        files(tmp_path, create("one"))
        (tmp_path / "0001_step.sql").write_text(create("two"))
        with pytest.raises(CheckFailed, match=r"0001_step.sql is not as locked: a released migration never changes"):
            load(tmp_path)
        with pytest.raises(CheckFailed, match="not as locked"):
            lock(tmp_path)

    def test_a_locked_file_that_is_gone_is_refused(self, tmp_path: Path) -> None:
        files(tmp_path, create("one"), create("two"))
        (tmp_path / "0002_step.sql").unlink()
        with pytest.raises(CheckFailed, match=r"0002_step.sql is gone"):
            load(tmp_path)

    def test_locking_adds_what_is_new(self, tmp_path: Path) -> None:
        files(tmp_path, create("one"))
        (tmp_path / "0002_more.sql").write_text(create("two"))
        assert [migration.number for migration in load(tmp_path)] == [1, 2]  # not locked yet is no difference
        assert lock(tmp_path) == ["0002_more.sql"]
        assert lock(tmp_path) == []

    @pytest.mark.parametrize(
        ("name", "message"), [("3_short.sql", "not named like a migration"), ("0003_hole.sql", "number them without holes"), ("", "no migrations in")]
    )
    def test_a_broken_set_is_a_configuration_problem(self, tmp_path: Path, name: str, message: str) -> None:
        if name:
            (tmp_path / name).write_text(create("one"))
        with pytest.raises(ConfigurationProblem, match=message):
            read(tmp_path)

    def test_a_statement_ends_with_a_semicolon_at_the_end_of_a_line(self) -> None:
        text = "-- first; and more\nCREATE TABLE x (a Int64 COMMENT 'lots; units')\nENGINE = Memory;\n\nSELECT 1;  \nSELECT 'x;y'"
        assert Migration(1, "one", "", text).statements("d") == [
            "-- first; and more\nCREATE TABLE x (a Int64 COMMENT 'lots; units')\nENGINE = Memory",
            "SELECT 1",
            "SELECT 'x;y'",
        ]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    opened = open_embedded(tmp_path / "run")
    yield opened
    opened.close()


def columns(client: Client, database: str, name: str) -> list[Any]:
    """All that a column is, in order."""
    sql = (
        "SELECT position, name, type, default_kind, default_expression, comment, compression_codec FROM system.columns "
        "WHERE database = {database:String} AND table = {name:String} ORDER BY position"
    )
    return list(client.query(sql, parameters={"database": database, "name": name}).result_rows)


def storage(client: Client, database: str, name: str) -> tuple[Any, ...]:
    """Engine, keys, TTL and settings of a table; what only migrations add (projections and their setting) is left out."""
    sql = (
        "SELECT engine, partition_key, sorting_key, primary_key, engine_full FROM system.tables "
        "WHERE database = {database:String} AND name = {name:String}"
    )
    *keys, full = client.query(sql, parameters={"database": database, "name": name}).result_rows[0]
    return *keys, full.replace(", deduplicate_merge_projection_mode = 'rebuild'", "")


def tables_of(client: Client, database: str) -> set[str]:
    return {
        row[0] for row in client.query("SELECT name FROM system.tables WHERE database = {name:String}", parameters={"name": database}).result_rows
    }


@pytest.mark.chdb
class TestSchema:
    def test_all_migrations_together_give_the_tables_that_the_schemas_want(self, client: Client) -> None:
        migrate(client, DATABASE)
        client.command("CREATE DATABASE wanted")
        for stream in STREAMS:
            client.command(table(stream).create_sql("wanted"))
            name = STREAMS[stream].table
            remedy = f"{name} is not what its schema and streams/sinks/tables.py want: add a migration that changes it"
            assert columns(client, DATABASE, name) == columns(client, "wanted", name), remedy
            assert storage(client, DATABASE, name) == storage(client, "wanted", name), remedy
        others = tables_of(client, DATABASE) - {stream.table for stream in STREAMS.values()}
        views = {row[0] for row in client.query("SELECT name FROM system.tables WHERE database = 'backstop' AND engine = 'View'").result_rows}
        assert others - views == {"assets", "schema_migrations"}

    def test_a_schema_change_without_a_migration_is_noticed(self, client: Client) -> None:
        migrate(client, DATABASE)
        client.command("CREATE DATABASE wanted")
        client.command(table("marks").create_sql("wanted").replace("`sequence` Int64 COMMENT 'Grows", "`sequence` Int32 COMMENT 'Grows"))
        assert columns(client, DATABASE, "marks") != columns(client, "wanted", "marks")

    def test_results_that_were_loaded_before_their_sequence_had_its_name_keep_it(self, client: Client) -> None:
        migrate(client, DATABASE, files=migrations()[:10])
        columns = "instruction_id, account, event_time, last_account_seq, src_partition, src_offset"
        client.command(f"INSERT INTO backstop.instruction_results ({columns}) VALUES (7, 3, '2025-10-10 21:15:00', 42, 0, 5)")
        migrate(client, DATABASE)
        assert client.query("SELECT instruction_id, account_seq, src_offset FROM backstop.instruction_results").result_rows == [(7, 42, 5)]

    def test_rows_go_a_week_after_they_were_inserted_where_the_stream_keeps_a_week(self, client: Client) -> None:
        migrate(client, DATABASE)
        found = client.query(
            "SELECT name, create_table_query FROM system.tables WHERE database = 'backstop' AND engine LIKE '%MergeTree'"
        ).result_rows
        aging = {name: "toIntervalSecond(604800)" in sql and "toDateTime(ingested_at)" in sql for name, sql in found if " TTL " in sql}
        assert aging == {"dead_letters": True, "notifications": True}  # 7 x 24 x 3,600 s

    def test_an_old_day_that_is_loaded_now_stays_and_what_was_loaded_long_ago_goes(self, client: Client) -> None:
        migrate(client, DATABASE)
        client.command(
            "INSERT INTO backstop.dead_letters (event_time, source_topic, ingested_at, src_partition, src_offset) VALUES "
            "('2025-10-10 21:15:00', 'fills', now64(3), 0, 0), ('2025-10-10 21:15:00', 'fills', now64(3) - toIntervalDay(8), 0, 1)"
        )
        client.command("OPTIMIZE TABLE backstop.dead_letters FINAL")
        assert client.query("SELECT src_offset FROM backstop.dead_letters").result_rows == [(0,)]


@pytest.mark.chdb
class TestRunner:
    def test_a_second_run_has_nothing_to_do(self, client: Client, tmp_path: Path) -> None:
        own = files(tmp_path / "sql", create("one") + create("two"), create("three"))
        assert [(a.number, a.name, a.statements) for a in migrate(client, DATABASE, files=own)] == [(1, "step", 2), (2, "step", 1)]
        assert migrate(client, DATABASE, files=own) == []
        assert tables_of(client, DATABASE) == {"one", "two", "three", "schema_migrations"}

    @pytest.mark.parametrize("at", range(1, 9))
    @pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
    def test_a_run_that_breaks_off_anywhere_is_finished_by_the_next(self, client: Client, tmp_path: Path, at: int, is_done: bool) -> None:
        own = files(tmp_path / "sql", create("one") + create("two"), create("three"))
        with pytest.raises((_Gone, Unreachable)):
            migrate(_Dying(client, at, is_done), DATABASE, files=own)  # type: ignore[arg-type]
        client.command(f"DROP TABLE IF EXISTS {DATABASE}.schema_migrations_lock")  # its holder died; a test does not wait until that is sure
        migrate(client, DATABASE, files=own)
        assert tables_of(client, DATABASE) == {"one", "two", "three", "schema_migrations"}
        assert {standing.state for standing in status(client, DATABASE, files=own)} == {State.APPLIED}

    def test_a_dry_run_and_a_status_change_nothing(self, client: Client, tmp_path: Path) -> None:
        own = files(tmp_path / "sql", create("one"), create("two"))
        assert [(step.migration.number, step.statement) for step in pending(client, DATABASE, files=own)] == [(1, 1), (2, 1)]
        assert pending(client, DATABASE, files=own)[0].sql == "CREATE TABLE IF NOT EXISTS `backstop`.`one` (a Int64) ENGINE = MergeTree ORDER BY a"
        assert [standing.state for standing in status(client, DATABASE, files=own)] == [State.PENDING] * 2
        assert client.query("SELECT count() FROM system.databases WHERE name = 'backstop'").result_rows == [(0,)]

    def test_a_half_applied_one_says_how_far_it_is(self, client: Client, tmp_path: Path) -> None:
        whole = files(tmp_path / "sql", create("one") + "CREATE TABLE IF NOT EXISTS `{database}`.`two` (a Nothing) ENGINE = NoSuch;\n")
        with pytest.raises(CheckFailed, match=r"ClickHouse refused statement 2 of 0001_step.sql in database backstop: .*what was run stays"):
            migrate(client, DATABASE, files=whole)
        (standing,) = status(client, DATABASE, files=whole)
        assert (standing.state, standing.done, standing.statements) == (State.PARTIAL, 1, 2)
        assert "schema_migrations_lock" not in tables_of(client, DATABASE)

    def test_what_was_applied_with_another_content_is_refused(self, client: Client, tmp_path: Path) -> None:
        migrate(client, DATABASE, files=files(tmp_path / "sql", create("one")))
        other = files(tmp_path / "sql", create("two"))
        assert [standing.state for standing in status(client, DATABASE, files=other)] == [State.CHANGED]
        with pytest.raises(CheckFailed, match=r"migrated with another content of 0001_step.sql: restore the file"):
            migrate(client, DATABASE, files=other)
        assert "two" not in tables_of(client, DATABASE)

    def test_a_migration_missing_before_an_applied_one_is_refused(self, client: Client, tmp_path: Path) -> None:
        own = files(tmp_path / "sql", create("one"), create("two"))
        migrate(client, DATABASE, files=own)
        client.command("ALTER TABLE backstop.schema_migrations DELETE WHERE migration = 1 SETTINGS mutations_sync = 1")
        with pytest.raises(CheckFailed, match=r"has migration 0002 but not 0001_step.sql whole"):
            migrate(client, DATABASE, files=own)

    def test_migrations_of_a_later_version_are_left_alone(self, client: Client, tmp_path: Path) -> None:
        own = files(tmp_path / "sql", create("one"), create("two"))
        migrate(client, DATABASE, files=own)
        assert migrate(client, DATABASE, files=own[:1]) == []
        assert [standing.state for standing in status(client, DATABASE, files=own[:1])] == [State.APPLIED, State.NEWER]

    def test_two_databases_of_one_server_do_not_know_of_each_other(self, client: Client, tmp_path: Path) -> None:
        own = files(tmp_path / "sql", create("one"))
        migrate(client, "first", files=own)
        assert len(migrate(client, "second", files=own)) == 1


@pytest.mark.chdb
class TestLock:
    def test_a_second_runner_waits_and_then_says_who_is_at_it(self, client: Client, tmp_path: Path) -> None:
        own = files(tmp_path / "sql", create("one"))
        client.command(f"CREATE DATABASE {DATABASE}")
        with (
            migration_lock.held(client, DATABASE),
            pytest.raises(CheckFailed, match=r"database backstop is being migrated by \S+:\d+, last heard of \d+ s ago"),
        ):
            migrate(client, DATABASE, files=own, wait_s=0)
        assert len(migrate(client, DATABASE, files=own, wait_s=0)) == 1

    def test_of_two_runners_at_once_one_does_everything(self, client: Client, tmp_path: Path) -> None:
        own = files(tmp_path / "sql", *(create(f"t{number}") for number in range(5)))
        results: list[int] = []
        with_client = [open_embedded(tmp_path / "run") for _ in range(2)]
        runners = [threading.Thread(target=lambda c=c: results.append(len(migrate(c, DATABASE, files=own)))) for c in with_client]
        for runner in runners:
            runner.start()
        for runner in runners:
            runner.join()
        for each in with_client:
            each.close()
        assert sorted(results) == [0, 5]
        assert client.query("SELECT count(), uniqExact(migration) FROM backstop.schema_migrations").result_rows == [(5, 5)]

    def test_a_lock_of_a_dead_runner_is_taken_away(self, client: Client) -> None:
        client.command(f"CREATE DATABASE {DATABASE}")
        client.command(f"CREATE TABLE {DATABASE}.schema_migrations_lock (nothing UInt8) ENGINE = Memory COMMENT 'elsewhere:1 0'")
        with pytest.raises(CheckFailed, match="migrated by elsewhere:1"), migration_lock.held(client, DATABASE, wait_s=0):
            pass
        with migration_lock.held(client, DATABASE, wait_s=0, stale_s=0):
            assert len(tables_of(client, DATABASE)) == 2  # ours, and the dead one until ours ends
        assert tables_of(client, DATABASE) == set()


class _Gone(Exception):
    """The process ends here."""


class _Dying:
    """A client whose process ends at its n-th change: before it reached the engine, or after."""

    def __init__(self, client: Client, at: int, is_done: bool) -> None:
        self._client, self._left, self._is_done = client, at, is_done

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def command(self, sql: str, *args: Any, **kwargs: Any) -> Any:
        return self._change(self._client.command, sql, *args, **kwargs)

    def insert(self, *args: Any, **kwargs: Any) -> Any:
        return self._change(self._client.insert, *args, **kwargs)

    def _change(self, call: Any, *args: Any, **kwargs: Any) -> Any:
        if self._left < 1:
            raise OperationalError("the connection is gone")  # what the clean-up of a dead process meets
        self._left -= 1
        if self._left:
            return call(*args, **kwargs)
        if self._is_done:
            call(*args, **kwargs)
        raise _Gone
