"""Every query of every board and alert rule against the tables a demo of 10 October 2025 leaves, asked as the data source asks, by a reader."""

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from streams.dashboards.alerts import ALERTS
from streams.dashboards.boards import BOARDS
from streams.dashboards.model import Shape, Sql, Visual
from streams.dashboards.render import dashboard
from streams.sinks.connection import open_embedded
from streams.sinks.tables import DATABASE
from tests.support.grafana_macros import ALL, Choice, View, expanded, filled_in
from tests.support.source import ROOT

pytestmark = pytest.mark.chdb

ACCOUNTS = 40  # the fewest, in tens, with which there is a takeover, waves and accounts on both sides of them
DAY = View(datetime(2025, 10, 10, 21, 15, tzinfo=UTC), datetime(2025, 10, 10, 21, 30, tzinfo=UTC), timedelta(seconds=2))
WIDE = View(datetime(2025, 10, 10, tzinfo=UTC), datetime(2025, 10, 11, tzinfo=UTC), timedelta(minutes=2))
NUMBER = re.compile(r"^(Nullable\()?(U?Int(8|16|32|64)|Float(32|64)|Decimal\()")
READABLE = re.compile(rf"{NUMBER.pattern}|^(LowCardinality\(|Nullable\()*String\)*$|^DateTime")  # others come out as JSON
EXACT_IN_A_BROWSER = 2**53
PANELS = [(board.name, number) for board in BOARDS for number, panel in enumerate(board.panels) if any(isinstance(t, Sql) for t in panel.targets)]
DOCUMENTS = {board.name: dashboard(board) for board in BOARDS}


@dataclass(frozen=True, slots=True)
class Rows:
    """An answer with its column types."""

    names: Sequence[str]
    types: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def column(self, name: str) -> list[Any]:
        return [row[self.names.index(name)] for row in self.rows]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client with the rights of the data source's user, on the tables of a demo."""
    directory = tmp_path_factory.mktemp("desk") / "run"
    command = [sys.executable, "-m", "streams.cli", "demo", "--accounts", str(ACCOUNTS), "--dir", str(directory), "--json"]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT, timeout=300)
    client = open_embedded(Path(directory))
    client.database = DATABASE
    client.set_client_setting("readonly", 1)
    yield client
    client.close()


def ask(client: Client, sql: str, view: View) -> Rows:
    result = client.query(expanded(sql, view))
    return Rows(result.column_names, [each.name for each in result.column_types], result.result_rows)


@pytest.fixture(scope="module")
def chosen(reader: Client) -> dict[str, dict[str, Choice]]:
    """Variables of each board as a person finds them: All where that is possible, else the first that is offered."""
    picked: dict[str, dict[str, Choice]] = {}
    for name, document in DOCUMENTS.items():
        here = picked.setdefault(name, {})
        for variable in document["templating"]["list"]:
            offered = ask(reader, filled_in(variable["query"]["rawSql"], here), DAY)
            assert offered.rows, f"{name}: ${variable['name']} offers nothing"
            assert set(offered.types) <= {"String", "LowCardinality(String)"}
            here[variable["name"]] = [ALL] if variable["multi"] else offered.rows[0][0]
    return picked


def answers(client: Client, board: str, number: int, here: dict[str, Choice], view: View = DAY) -> Iterator[tuple[dict[str, Any], Rows]]:
    panel = [panel for panel in DOCUMENTS[board]["panels"] if panel["type"] != "row"][number]
    for target in panel["targets"]:
        if "rawSql" in target:
            yield target, ask(client, filled_in(target["rawSql"], here), view)


def title(value: Any) -> str:
    return value if isinstance(value, str) else next(b for b in BOARDS if b.name == value[0]).panels[value[1]].title


def named(place: tuple[str, int]) -> str:
    return f"{place[0]}-{title(place).lower().replace(' ', '-')}"


@pytest.mark.parametrize("place", PANELS, ids=named)
def test_a_panel_shows_data_of_the_type_it_needs(place: tuple[str, int], reader: Client, chosen: dict[str, dict[str, Choice]]) -> None:
    board, number = place
    panel = next(each for each in BOARDS if each.name == board).panels[number]
    for target, answer in answers(reader, board, number, chosen[board]):
        assert answer.rows, "no data"
        assert [kind for kind in answer.types if not READABLE.match(kind)] == []
        if target["format"] == Shape.SERIES.value:
            check_series(answer)
        elif panel.visual is Visual.STAT:
            check_number(answer)
        else:
            check_table(answer, panel.visual)


def check_series(answer: Rows) -> None:
    """As the backend makes series of rows: one time, in order, no time twice for one label; numbers beside it; words are labels."""
    times = [name for name, kind in zip(answer.names, answer.types, strict=True) if kind.startswith("DateTime")]
    assert times == ["time"]
    assert answer.column("time") == sorted(answer.column("time"))
    kinds = dict(zip(answer.names, answer.types, strict=True))
    numbers = [name for name, kind in kinds.items() if NUMBER.match(kind)]
    labels = [name for name, kind in kinds.items() if "String" in kind]
    assert numbers
    assert set(numbers) | set(labels) | {"time"} == set(kinds)
    keys = list(zip(*(answer.column(name) for name in ("time", *labels)), strict=True))
    assert len(set(keys)) == len(keys), "a moment has two values"


def check_number(answer: Rows) -> None:
    assert len(answer.rows) == 1
    assert all(NUMBER.match(kind) for kind in answer.types)
    assert all(value is not None for value in answer.rows[0])


def check_table(answer: Rows, visual: Visual) -> None:
    if visual is Visual.BAR_CHART:
        assert "String" in answer.types[0]
        assert all(NUMBER.match(kind) for kind in answer.types[1:])
        return
    for name, kind in zip(answer.names, answer.types, strict=True):
        # The data source makes a float of a Decimal, and a browser one of an integer: what must be exact is text.
        assert not kind.startswith(("Decimal", "Nullable(Decimal")), f"{name}: an amount that is not text"
        if "Int64" in kind:
            assert all(abs(value or 0) < EXACT_IN_A_BROWSER for value in answer.column(name)), f"{name}: an id that is not text"


@pytest.mark.parametrize("place", PANELS, ids=named)
def test_a_panel_shows_data_over_a_whole_day_too(place: tuple[str, int], reader: Client, chosen: dict[str, dict[str, Choice]]) -> None:
    assert all(answer.rows for _, answer in answers(reader, place[0], place[1], chosen[place[0]], WIDE))


def test_no_panel_is_without_data(reader: Client, chosen: dict[str, dict[str, Choice]]) -> None:
    empty = [named(place) for place in PANELS if not all(answer.rows for _, answer in answers(reader, place[0], place[1], chosen[place[0]]))]
    assert empty == []


def test_choosing_one_instrument_leaves_only_its_rows(reader: Client, chosen: dict[str, dict[str, Choice]]) -> None:
    one = ask(reader, "SELECT toString(instrument) AS id, symbol FROM desk_instruments WHERE symbol = 'ETH'", DAY).rows[0]
    number = next(number for number, panel in enumerate(BOARDS[1].panels) if panel.title == "Liquidation tape")
    ((_, tape),) = answers(reader, "liquidations", number, {**chosen["liquidations"], "instrument": [one[0]]})
    assert set(tape.column("Instrument")) == {"ETH"}
    ((_, nothing),) = answers(reader, "liquidations", number, {**chosen["liquidations"], "pool": ["999"]})
    assert nothing.rows == []


def test_amounts_in_the_statement_add_up_to_the_last_digit(reader: Client, chosen: dict[str, dict[str, Choice]]) -> None:
    # Each line's wallet is the wallet of the line before it, plus what came in or less what went out. As text, so nothing was rounded.
    number = next(number for number, panel in enumerate(BOARDS[2].panels) if panel.title == "Statement")
    ((_, statement),) = answers(reader, "fund", number, chosen["fund"])
    lines = list(zip(*(statement.column(name) for name in ("Entry", "Debit", "Amount", "Wallet")), strict=True))[::-1]
    assert int(lines[0][0]) == 1
    wallet = Decimal(0)
    for _, debit, amount, after in lines:
        wallet += Decimal(amount) if debit == "CASH" else -Decimal(amount)
        assert wallet == Decimal(after)


def test_rows_of_every_topic_are_as_many_as_step_records_say(reader: Client, chosen: dict[str, dict[str, Choice]]) -> None:
    board = next(board for board in BOARDS if board.name == "quality")
    number = next(number for number, panel in enumerate(board.panels) if panel.title == "Rows against step records")
    ((_, counted),) = answers(reader, "quality", number, chosen["quality"])
    assert set(counted.column("Difference")) == {0}
    by_topic = dict(zip(counted.column("Topic"), counted.column("Rows"), strict=True))
    probes, decisions = ask(reader, "SELECT (SELECT count() FROM adl_probes FINAL), (SELECT count() FROM adl_decisions FINAL)", DAY).rows[0]
    assert by_topic["adl-rounds"] == probes + decisions > 0
    assert by_topic["pool-results"] > 0


@pytest.mark.parametrize("alert", [alert for alert in ALERTS if isinstance(alert.query, Sql)], ids=lambda alert: alert.name)
def test_an_alert_query_answers_with_numbers_and_labels(alert: Any, reader: Client) -> None:
    answer = ask(reader, alert.query.text, DAY)
    assert answer.rows
    numbers = [kind for kind in answer.types if NUMBER.match(kind)]
    assert numbers == ["Float64"]
    assert all("String" in kind for kind in answer.types if kind not in numbers)
    assert len({tuple(value for value in row if isinstance(value, str)) for row in answer.rows}) == len(answer.rows)


def test_alerts_see_the_cascade_and_nothing_that_was_not_there(reader: Client) -> None:
    fires = {
        alert.name: any(value > alert.above for row in ask(reader, alert.query.text, DAY).rows for value in row if isinstance(value, float))
        for alert in ALERTS
        if isinstance(alert.query, Sql)
    }
    assert fires == {
        "pool-warning": True,
        "pool-adl": True,
        "sums-not-zero": False,
        "digest-mismatch": False,
        "dead-letters": False,
        "mark-frozen": False,
    }


def test_the_reader_cannot_write(reader: Client) -> None:
    with pytest.raises(DatabaseError, match="readonly"):
        reader.command("INSERT INTO assets (asset, symbol, decimals) VALUES (2, 'X', 0)")
