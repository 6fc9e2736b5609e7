"""Reaching ClickHouse and asking it."""

import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from streams.errors import ConfigurationProblem, Unreachable, UsageProblem
from streams.sinks.clickhouse import ClickHouseSink
from streams.sinks.connection import bounds_file, open_embedded, open_server, query


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Client]:
    with closing(open_embedded(tmp_path)) as writable:
        ClickHouseSink(writable, bounds_file(tmp_path)).create_tables()
        with closing(open_embedded(tmp_path, read_only=True)) as opened:
            yield opened


def test_without_the_extra_the_message_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "chdb" or "chdb" in name.rpartition(".")[2]]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "chdb", None)
    with pytest.raises(ConfigurationProblem, match=r"pip install 'backstop\[embedded\]'"):
        open_embedded(tmp_path)


def test_a_server_that_does_not_answer_is_unreachable() -> None:
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(Unreachable, match=f"ClickHouse at 127.0.0.1:{port} does not answer"):
            open_server(host="127.0.0.1", port=port, username="default", password="")


@pytest.mark.chdb
class TestEmbedded:
    def test_a_directory_without_data_has_nothing_to_read(self, tmp_path: Path) -> None:
        with pytest.raises(UsageProblem, match="has no ClickHouse data: load it first"):
            open_embedded(tmp_path, read_only=True)
        assert list(tmp_path.iterdir()) == []

    def test_a_second_directory_in_one_process_is_refused(self, tmp_path: Path, reader: Client) -> None:
        assert query(reader, "SELECT 1").rows == [(1,)]
        with pytest.raises(UsageProblem, match="cannot be opened"):
            open_embedded(tmp_path / "other")

    def test_answers_have_names_and_plain_values(self, reader: Client) -> None:
        answer = query(
            reader, "SELECT toDecimal128(7, 0) AS units, toDecimal128('1.50', 2) AS price, toDateTime64(0, 6, 'UTC') AS time, NULL AS nothing"
        )
        assert answer.columns == ("units", "price", "time", "nothing")
        assert answer.rows == [(7, Decimal("1.50"), datetime(1970, 1, 1), None)]  # noqa: DTZ001

    def test_a_query_without_rows_still_names_its_columns(self, reader: Client) -> None:
        answer = query(reader, "SELECT account, lots AS size FROM fills; -- none yet")
        assert (answer.columns, answer.rows) == (("account", "size"), [])

    @pytest.mark.parametrize(
        "sql",
        [
            "INSERT INTO fills (account) VALUES (1)",
            "DROP TABLE fills",
            "TRUNCATE TABLE fills",
            "ALTER TABLE fills DELETE WHERE 1",
            "CREATE TABLE mine (a Int8) ENGINE = Memory",
            "INSERT INTO FUNCTION file('mine.csv', 'CSV') SELECT 1",
            "SELECT * FROM file('/etc/hostname', 'LineAsString')",
            "SET readonly = 0",
            "SELECT 1 SETTINGS readonly = 0",
        ],
    )
    def test_writes_are_refused(self, reader: Client, sql: str) -> None:
        with pytest.raises(UsageProblem, match="READONLY"):
            query(reader, sql)
        assert query(reader, "SELECT count() FROM fills").rows == [(0,)]

    def test_a_second_statement_is_refused_and_leaves_nothing_behind(self, reader: Client) -> None:
        with pytest.raises(UsageProblem, match="Multi-statements are not allowed"):
            query(reader, "SELECT 1; DROP TABLE fills")
        assert query(reader, "SELECT count() FROM fills").rows == [(0,)]

    def test_literals_comments_and_a_closing_semicolon_are_taken_as_written(self, reader: Client) -> None:
        sql = "-- first\nSELECT 'a;b\\'\\\\c\\n{x:String} %s é' AS `odd name` /* ; */ ; -- last"
        answer = query(reader, sql)
        assert answer.columns == ("odd name",)
        assert answer.rows == [("a;b'\\c\n{x:String} %s é",)]

    @pytest.mark.parametrize("sql", ["SHOW TABLES", "DESCRIBE TABLE fills", "EXPLAIN SELECT 1", "SHOW CREATE TABLE fills", "EXISTS TABLE fills"])
    def test_what_the_tables_are_may_be_asked(self, reader: Client, sql: str) -> None:
        answer = query(reader, sql)
        assert answer.columns
        assert answer.rows

    @pytest.mark.parametrize("sql", ["SELECT 1 INTO OUTFILE 'mine'", "select 1 into /* */ outfile 'mine'", "SELECT $$'$$ INTO\nOUTFILE 'mine'"])
    def test_files_are_not_written(self, reader: Client, sql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(UsageProblem, match="INTO OUTFILE writes a file"):
            query(reader, sql)
        assert not (tmp_path / "mine").exists()

    @pytest.mark.parametrize(
        ("sql", "message"),
        [
            ("SELECT nothing FROM fills", "UNKNOWN_IDENTIFIER"),
            ("SELEC 1", "Syntax error"),
            ("SELECT * FROM nowhere", "UNKNOWN_TABLE"),
            ("", "Empty query"),
        ],
    )
    def test_bad_sql_is_one_line_of_the_engines_words(self, reader: Client, sql: str, message: str) -> None:
        with pytest.raises(UsageProblem, match=message) as caught:
            query(reader, sql)
        assert "\n" not in str(caught.value)

    def test_a_client_that_can_write_is_not_asked(self, reader: Client, tmp_path: Path) -> None:
        with closing(open_embedded(tmp_path)) as writable, pytest.raises(UsageProblem, match="read_only=True"):
            query(writable, "SELECT 1")
