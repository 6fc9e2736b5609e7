"""Boards, alert rules and provisioning files as documents: the committed bytes, and what Grafana and a reader may rely on in them."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.cli import main
from streams.dashboards.alerts import ALERTS, panel_number
from streams.dashboards.boards import BOARDS
from streams.dashboards.model import GRID_COLUMNS, Board, Panel, Prom, Row, Shape, Sql, Step, Unit, Visual
from streams.dashboards.provisioning import files
from streams.dashboards.render import dashboard, to_bytes
from streams.dashboards.rules import rule_document
from streams.dashboards.yaml import to_yaml
from streams.observe.metrics import PREFIX, TABLE, Kind
from tests.support.grafana_macros import View, expanded
from tests.support.source import ROOT

FILES = ROOT / "infra" / "grafana"
DOCUMENTS = {board.name: dashboard(board) for board in BOARDS}
ANCHORS = {
    name: name for name in ("pool-warning", "pool-adl", "sums-not-zero", "digest-mismatch", "lag", "dead-letters", "mark-frozen", "sink-behind")
} | {"sums-not-zero": "conservation_violated"}  # which the workers say, too
SUFFIXES = {Kind.COUNTER: ("_total",), Kind.GAUGE: ("",), Kind.HISTOGRAM: ("_bucket", "_sum", "_count")}
VIEW = View(datetime(2025, 10, 10, tzinfo=UTC), datetime(2025, 10, 11, tzinfo=UTC))


def panels() -> Iterator[tuple[Board, Panel]]:
    yield from ((board, panel) for board in BOARDS for panel in board.panels)


def every_sql() -> Iterator[tuple[str, str]]:
    """(where, SQL) of all panels, thresholds, variables and alert rules."""
    for name, document in DOCUMENTS.items():
        for panel in document["panels"]:
            yield from ((f"{name}: {panel['title']}", target["rawSql"]) for target in panel.get("targets", ()) if "rawSql" in target)
        yield from ((f"{name}: ${variable['name']}", variable["query"]["rawSql"]) for variable in document["templating"]["list"])
    for alert in ALERTS:
        if isinstance(alert.query, Sql):
            yield alert.name, alert.query.text


def queries() -> Iterator[tuple[str, Sql | Prom]]:
    yield from ((f"{board.name}: {panel.title}", query) for board, panel in panels() for query in panel.targets)
    yield from ((alert.name, alert.query) for alert in ALERTS)


def test_the_committed_files_are_those_of_the_code() -> None:
    found = {path.relative_to(FILES).as_posix(): path.read_bytes() for path in FILES.rglob("*") if path.is_file()}
    assert found == files(), "run `backstop dashboards build`"


def test_build_writes_what_differs_and_a_dry_one_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    build = ["dashboards", "build", "--dir", str(tmp_path / "grafana")]
    assert main([*build, "--dry-run"]) == 1
    assert not (tmp_path / "grafana").exists()
    assert main(build) == 0
    assert main([*build, "--dry-run"]) == 0
    (tmp_path / "grafana/dashboards/adl.json").write_text("{}")
    capfd.readouterr()
    assert main([*build, "--dry-run", "--json"]) == 1
    assert json.loads(capfd.readouterr().out)["changed"] == ["dashboards/adl.json"]
    assert main(build) == 0
    assert (tmp_path / "grafana/dashboards/adl.json").read_bytes() == files()["dashboards/adl.json"]


def test_boards_are_told_apart_for_good() -> None:
    uids = [board.uid for board in BOARDS]
    assert uids == [f"backstop-{name}" for name in ("market", "liquidations", "fund", "adl", "account", "pipeline", "quality")]
    assert all(len(uid) <= 40 for uid in uids)  # Grafana's limit
    assert len({board.title for board in BOARDS}) == len(BOARDS)


def test_every_panel_says_what_it_shows_in_which_unit_and_where_to_go_on() -> None:
    for board, panel in panels():
        where = f"{board.name}: {panel.title}"
        assert panel.title, where
        assert panel.description.endswith("."), where
        assert isinstance(panel.unit, Unit), where
        assert panel.targets, where
        assert panel.links, where


def test_panels_of_a_board_have_titles_or_headings_of_their_own() -> None:
    for board in BOARDS:
        places = [(row.title, panel.title) for row in board.rows for panel in row.panels]
        assert len(set(places)) == len(places)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_panels_lie_on_the_grid_and_do_not_overlap(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DOCUMENTS[name]["panels"]:
        x, y, width, height = (panel["gridPos"][key] for key in "xywh")
        assert x + width <= GRID_COLUMNS
        cells = {(column, line) for column in range(x, x + width) for line in range(y, y + height)}
        assert not taken & cells, panel["title"]
        taken |= cells


@pytest.mark.parametrize("name", DOCUMENTS)
def test_panels_are_numbered_in_order(name: str) -> None:
    panels_of_board = DOCUMENTS[name]["panels"]
    assert [panel["id"] for panel in panels_of_board] == list(range(1, len(panels_of_board) + 1))
    board = next(board for board in BOARDS if board.name == name)
    assert all(panel_number(board, panel["title"]) <= panel["id"] for panel in panels_of_board if panel["type"] != "row")


def links(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for panel in document["panels"]:
        yield from ((panel["title"], link["url"]) for link in panel.get("links", ()))
        for override in panel.get("fieldConfig", {}).get("overrides", ()):
            for each in override["properties"]:
                if each["id"] == "links":
                    yield from ((panel["title"], link["url"]) for link in each["value"])


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_to_a_board_and_carry_the_time_range_and_what_was_chosen(name: str) -> None:
    variables = {board.uid: {variable.name for variable in board.variables} for board in BOARDS}
    for title, url in links(DOCUMENTS[name]):
        found = re.fullmatch(r"/d/([\w-]+)\?\$\{__url_time_range\}&(?:\$\{__all_variables\}|var-(\w+)=\$\{__value\.raw\})", url)
        assert found, (title, url)
        assert found[1] in variables, (title, url)
        assert found[2] is None or found[2] in variables[found[1]], (title, url)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_queries_use_only_variables_of_their_board(name: str) -> None:
    document = DOCUMENTS[name]
    known = {variable["name"] for variable in document["templating"]["list"]}
    for panel in document["panels"]:
        for target in panel.get("targets", ()):
            used = set(re.findall(r"\$\{(\w+)", target.get("rawSql", ""))) | set(re.findall(r"\$(?!__)(\w+)", target.get("rawSql", "")))
            assert used <= known, panel["title"]


def test_variables_reach_sql_quoted_and_all_of_them_through_the_macro() -> None:
    for where, sql in every_sql():
        assert not re.search(r"\$\{\w+\}", sql), f"{where}: unquoted"
        for name in re.findall(r"(?<!\(), \$(\w+)\)", sql):
            assert f"${{{name}:singlequote}}" in sql, where


def test_queries_keep_to_what_the_data_source_can_do() -> None:
    for where, sql in every_sql():
        assert "FORMAT" not in sql.upper().split(), f"{where}: a FORMAT clause is refused"
        assert not sql.rstrip().endswith(";"), where
        assert re.match(r"(SELECT|WITH)\b", sql.strip()), f"{where}: the user may only read"
        assert "$__" not in expanded(re.sub(r"\$__conditionalAll", "", sql), VIEW), f"{where}: an unknown macro"


def test_time_series_are_ordered_by_time() -> None:
    for where, query in queries():
        if isinstance(query, Sql) and query.shape is Shape.SERIES:
            assert re.search(r"\bAS time\b", query.text), where
            assert re.search(r"ORDER BY time\b[^)]*$", query.text), f"{where}: Grafana refuses series that are not in order"


def test_targets_are_of_the_data_sources_form() -> None:
    for document in DOCUMENTS.values():
        for panel in document["panels"]:
            for target in panel.get("targets", ()):
                if target["datasource"]["uid"] == "clickhouse":
                    assert target["datasource"]["type"] == "grafana-clickhouse-datasource"
                    assert (target["editorType"], target["pluginVersion"]) == ("sql", "4.20.0")
                    assert (target["format"], target["queryType"]) in ((0, "timeseries"), (1, "table"))
                else:
                    assert target["datasource"] == {"type": "prometheus", "uid": "prometheus"}


def test_every_metric_that_is_shown_or_watched_exists() -> None:
    known = {PREFIX + metric.name + suffix for metric in TABLE for suffix in SUFFIXES[metric.kind]}
    used = {(where, name) for where, query in queries() if isinstance(query, Prom) for name in re.findall(rf"\b{PREFIX}\w+", query.text)}
    assert used
    assert {(where, name) for where, name in used if name not in known} == set()


def test_labels_that_are_grouped_by_exist() -> None:
    labels = {PREFIX + metric.name: set(metric.labels) for metric in TABLE}
    for where, query in queries():
        if isinstance(query, Prom):
            asked = {label for group in re.findall(r"by \(([\w, ]+)\)", query.text) for label in group.split(", ")} | set(
                re.findall(r"{{(\w+)}}", query.legend)
            )
            names = [re.sub(r"_(total|bucket)$", "", name) for name in re.findall(rf"\b{PREFIX}\w+", query.text)]
            assert all(asked <= labels[name] | {"le"} for name in names), where


def test_the_colour_of_a_fund_changes_at_its_own_thresholds() -> None:
    panel = next(panel for panel in DOCUMENTS["fund"]["panels"] if panel["title"] == "Value")
    transformation = panel["transformations"][0]
    assert transformation["id"] == "configFromData"
    columns = [
        (each["fieldName"], each["handlerKey"], each["handlerArguments"]["threshold"]["color"]) for each in transformation["options"]["mappings"]
    ]
    assert columns == [("lowest", "threshold1", "red"), ("adl_start", "threshold1", "orange"), ("adl_stop", "threshold1", "green")]
    query = next(target for target in panel["targets"] if target["refId"] == transformation["options"]["configRefId"])
    assert "FROM desk_pools" in query["rawSql"]


def test_alert_rules_are_those_of_the_runbook() -> None:
    assert [alert.name for alert in ALERTS] == list(ANCHORS)
    for alert in ALERTS:
        document = rule_document(alert, "backstop")
        assert document["annotations"]["runbook_url"] == f"docs/runbook.md#{ANCHORS[alert.name]}"
        assert document["labels"]["severity"] in ("warning", "critical")
        assert document["noDataState"] in ("OK", "NoData", "Alerting")
        assert document["condition"] == "C"
        assert [query["refId"] for query in document["data"]] == ["A", "B", "C"]


def test_the_runbook_has_an_entry_for_every_alert() -> None:
    headings = re.findall(r"^#+ (.+)$", (ROOT / "docs/runbook.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert set(ANCHORS.values()) <= {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_an_alert_shows_the_panel_to_look_at_first() -> None:
    rules = yaml.safe_load(files()["provisioning/alerting/rules.yaml"])["groups"][0]["rules"]
    for alert, rule in zip(ALERTS, rules, strict=True):
        panel = DOCUMENTS[alert.board]["panels"][rule["panelId"] - 1]
        assert (rule["dashboardUid"], panel["title"]) == (f"backstop-{alert.board}", alert.panel)


def test_the_rules_in_the_file_are_those_that_are_published() -> None:
    rules = yaml.safe_load(files()["provisioning/alerting/rules.yaml"])["groups"][0]["rules"]
    for alert, rule in zip(ALERTS, rules, strict=True):
        published = rule_document(alert, "backstop")
        assert {key: published[key] for key in ("uid", "title", "for", "data", "labels")} == {
            key: rule[key] for key in ("uid", "title", "for", "data", "labels")
        }


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_the_page_on_dashboards_has_a_line_for_every_panel(board: Board) -> None:
    section = (ROOT / "docs/dashboards.md").read_text(encoding="utf-8").split(f"\n## {board.title}\n")[1].split("\n## ")[0]
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in section.splitlines() if line.startswith("| ")][2:]
    assert rows == [(panel.title, panel.description) for panel in board.panels]


def test_the_page_on_dashboards_lists_the_alerts() -> None:
    section = (ROOT / "docs/dashboards.md").read_text(encoding="utf-8").split("\n## Alerts\n")[1].split("\n## ")[0]
    assert re.findall(r"^\| `([\w-]+)`: ([^|]+?) \| (\w+) ", section, flags=re.MULTILINE) == [
        (alert.name, alert.title, alert.severity.value) for alert in ALERTS
    ]


def test_no_secret_stands_in_a_file() -> None:
    source = yaml.safe_load(files()["provisioning/datasources/backstop.yaml"])["datasources"][0]
    assert source["uid"] == "clickhouse"
    assert source["secureJsonData"] == {"password": "$__file{/run/secrets/grafana_clickhouse_password}"}
    assert source["jsonData"]["enableRowLimit"] is False


def test_yaml_is_read_as_it_was_meant() -> None:
    document = {"a": 'x: "y" # $z', "b": ["yes", 1, 1.5, True, None, []], "c": {}, "d": [{"e": [[1, "2"]], "f": "one\n  two\nthree"}], "g": "no"}
    assert yaml.safe_load(to_yaml("of a test", document)) == document


def test_a_small_board_becomes_this_document() -> None:
    panel = Panel(
        "T", Unit.SECONDS, "D.", Visual.STAT, (Prom("x", "y", instant=True),), (), steps=(Step(None, "green"), Step(1, "red")), width=4, height=3
    )
    document = dashboard(Board("b", "B", "d", (), (Row("R", (panel,)),)))
    assert (document["uid"], document["templating"], document["panels"][0]["type"]) == ("backstop-b", {"list": []}, "row")
    shown = document["panels"][1]
    assert shown["gridPos"] == {"x": 0, "y": 1, "w": 4, "h": 3}
    assert shown["fieldConfig"]["defaults"]["unit"] == "s"
    assert shown["fieldConfig"]["defaults"]["thresholds"] == {
        "mode": "absolute",
        "steps": [{"value": None, "color": "green"}, {"value": 1, "color": "red"}],
    }
    assert json.loads(to_bytes(document)) == document
