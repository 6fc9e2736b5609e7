"""What docs/clickhouse.md says of tables and views is so, its questions can be asked, and the files for a server say what they should."""

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from streams.sinks.tables import DATABASE
from streams.topics import FOREVER_MS, STREAMS, WEEK_MS
from tests.support.source import ROOT
from tests.support.warehouse import Warehouse, warehouse

PAGE = (ROOT / "docs" / "clickhouse.md").read_text(encoding="utf-8")
QUESTIONS = re.findall(r"^```sql\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
SERVER = ROOT / "infra" / "clickhouse"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with warehouse(tmp_path_factory.mktemp("desk"), "cascade") as opened:
        yield opened


def section(heading: str) -> str:
    return PAGE.split(f"\n{heading}\n")[1].split("\n## ")[0]


@pytest.mark.chdb
def test_every_view_is_listed_with_its_columns(desk: Warehouse) -> None:
    listed = dict(re.findall(r"^\| `(\w+)` \| [^|]+\? \| ([^|]+) \|$", section("## Views"), flags=re.MULTILINE))
    columns = (
        "SELECT table, arrayStringConcat(arrayMap(c -> c.2, arraySort(groupArray((position, name)))), ', ') FROM system.columns "
        "WHERE database = 'cascade' AND table IN (SELECT name FROM system.tables WHERE database = 'cascade' AND engine = 'View') GROUP BY table"
    )
    assert listed == dict(desk.ask(columns))


@pytest.mark.chdb
@pytest.mark.parametrize("question", QUESTIONS, ids=lambda sql: sql.partition("FROM ")[2].split()[0])
def test_every_question_has_an_answer(desk: Warehouse, question: str) -> None:
    assert desk.ask(question)


def test_seven_questions_are_asked() -> None:
    assert len(QUESTIONS) == 7


def test_what_is_kept_a_week_is_what_the_streams_keep_a_week() -> None:
    (row,) = re.findall(r"^\| (.+) \| a week after they were inserted \|$", section("## Tables"), flags=re.MULTILINE)
    assert re.findall(r"`(\w+)`", row) == [stream.table for stream in STREAMS.values() if stream.rows_kept_ms == WEEK_MS]
    assert {stream.rows_kept_ms for stream in STREAMS.values()} == {WEEK_MS, FOREVER_MS}


def xml(path: Path) -> ElementTree.Element:
    return ElementTree.parse(path).getroot()


def test_the_desks_user_reads_its_database_and_may_set_its_time_limit_only() -> None:
    root = xml(SERVER / "users.d" / "backstop.xml")
    profile, user = root.find("profiles/desk"), root.find("users/grafana")
    assert profile is not None
    assert user is not None
    assert profile.findtext("readonly") == "1"
    changeable = {setting.tag for setting in profile.findall("constraints/*") if setting.find("changeable_in_readonly") is not None}
    assert changeable == {"max_execution_time"}
    assert user.findtext("profile") == "desk"
    grants = [str(grant.text) for grant in user.findall("grants/query")]
    assert f"GRANT SELECT ON {DATABASE}.*" in grants
    assert all(grant.startswith("GRANT SELECT ON ") for grant in grants)
    assert {grant.removeprefix("GRANT SELECT ON ").split(".")[0] for grant in grants} == {DATABASE, "system"}
    assert user.find("access_management") is None
    access = xml(SERVER / "config.d" / "backstop.xml")
    assert access.findtext("access_control_improvements/settings_constraints_replace_previous") == "true"
