"""The publisher against a Grafana that creates, changes, refuses, answers nothing, fails and comes back."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from streams.cli import main
from streams.dashboards.alerts import ALERTS, INTERVAL_S
from streams.dashboards.boards import BOARDS
from streams.dashboards.publisher import ATTEMPTS, FIRST_PAUSE_S, WRITES, Change, GrafanaPublisher, board, data_source, differences, folder
from streams.errors import CheckFailed, ConfigurationProblem, Unreachable
from streams.settings import GrafanaSettings
from tests.support.grafana_stub import NOTHING, TOKEN, Grafana, serving

BOARD = {"uid": "backstop-x", "title": "X", "panels": [{"id": 1, "title": "one"}]}


@pytest.fixture
def grafana() -> Grafana:
    return Grafana(folders={"backstop": {"uid": "backstop", "title": "Backstop", "version": 1}})


@pytest.fixture
def url(grafana: Grafana) -> Iterator[str]:
    with serving(grafana) as address:
        yield address


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def publisher(url: str, pauses: list[float]) -> GrafanaPublisher:
    return GrafanaPublisher(GrafanaSettings(url=url, token=SecretStr(TOKEN)), pause=pauses.append)


def test_a_board_is_created_then_left_alone_then_changed(grafana: Grafana, publisher: GrafanaPublisher) -> None:
    assert publisher.put(board(BOARD, "backstop")).change is Change.CREATED
    assert publisher.put(board(BOARD, "backstop")).change is Change.SAME
    changed = publisher.put(board({**BOARD, "title": "Y"}, "backstop"))
    assert (changed.change, changed.differences) == (Change.UPDATED, ("dashboard.title",))
    assert grafana.writes == [("POST", "/api/dashboards/db")] * 2  # the unchanged board was not written
    assert grafana.boards["backstop-x"]["dashboard"]["version"] == 2


def test_a_board_in_another_folder_is_moved(grafana: Grafana, publisher: GrafanaPublisher) -> None:
    grafana.folders["other"] = {"uid": "other", "title": "Other", "version": 1}
    publisher.put(board(BOARD, "other"))
    assert publisher.put(board(BOARD, "backstop")).differences == ("meta.folderUid",)
    assert grafana.boards["backstop-x"]["meta"]["folderUid"] == "backstop"


def test_a_write_against_an_old_version_is_compared_again_and_goes_through(grafana: Grafana, publisher: GrafanaPublisher) -> None:
    publisher.put(board(BOARD, "backstop"))
    grafana.meddle = ["backstop-x"]
    outcome = publisher.put(board({**BOARD, "title": "Y"}, "backstop"))
    assert outcome.change is Change.UPDATED
    assert grafana.boards["backstop-x"]["dashboard"]["title"] == "Y"
    assert grafana.boards["backstop-x"]["dashboard"]["version"] == 3  # created, meddled with, ours


def test_a_conflict_that_does_not_end_is_reported(grafana: Grafana, publisher: GrafanaPublisher) -> None:
    publisher.put(board(BOARD, "backstop"))
    grafana.meddle = ["backstop-x"] * WRITES
    with pytest.raises(CheckFailed, match="somebody else"):
        publisher.put(board({**BOARD, "title": "Y"}, "backstop"))


def test_a_board_that_grafana_reads_from_files_is_not_fought_over(grafana: Grafana, publisher: GrafanaPublisher) -> None:
    grafana.boards["backstop-x"] = {"dashboard": BOARD, "meta": {"provisioned": True, "folderUid": "backstop"}}
    assert publisher.put(board(BOARD, "backstop")).change is Change.SAME
    with pytest.raises(CheckFailed, match="from files"):
        publisher.put(board({**BOARD, "title": "Y"}, "backstop"))


def test_a_folder_is_renamed_against_its_version(grafana: Grafana, publisher: GrafanaPublisher) -> None:
    assert publisher.put(folder("backstop", "Risk")).differences == ("title",)
    assert grafana.folders["backstop"]["title"] == "Risk"


def test_an_answer_without_a_body_is_an_answer(grafana: Grafana, publisher: GrafanaPublisher) -> None:
    grafana.faults = [None, (204, NOTHING)]
    assert publisher.put(folder("other", "Other")).change is Change.CREATED


def test_a_failing_grafana_is_asked_again_after_growing_pauses(grafana: Grafana, publisher: GrafanaPublisher, pauses: list[float]) -> None:
    grafana.faults = [(503, {"message": "starting"}), (502, b"<html>"), None]
    assert publisher.put(folder("backstop", "Backstop")).change is Change.SAME
    assert pauses == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S]


def test_a_write_whose_answer_was_lost_is_not_made_twice(grafana: Grafana, publisher: GrafanaPublisher) -> None:
    grafana.lose = 1
    assert publisher.put(folder("other", "Other")).change is Change.SAME  # sent again it conflicts, and a second look finds it there
    assert grafana.writes == [("POST", "/api/folders")] * 2
    assert grafana.folders["other"]["version"] == 1


def test_a_grafana_that_stays_down_is_unreachable(grafana: Grafana, publisher: GrafanaPublisher, pauses: list[float]) -> None:
    grafana.faults = [(500, {"message": "no"})] * ATTEMPTS
    with pytest.raises(Unreachable, match="does not answer GET /folders/backstop"):
        publisher.put(folder("backstop", "Backstop"))
    assert len(pauses) == ATTEMPTS - 1


def test_nobody_at_the_address_is_unreachable() -> None:
    with serving(Grafana()) as gone:
        pass
    publisher = GrafanaPublisher(GrafanaSettings(url=gone, token=SecretStr(TOKEN)), pause=lambda _: None)
    with pytest.raises(Unreachable, match="does not answer"):
        publisher.put(folder("backstop", "Backstop"))


def test_something_else_at_the_address_is_told_from_a_grafana(grafana: Grafana, publisher: GrafanaPublisher) -> None:
    grafana.faults = [(200, b"<html>a shop</html>")]
    with pytest.raises(Unreachable, match="is it the address of Grafana"):
        publisher.put(folder("backstop", "Backstop"))


def test_a_grafana_below_a_path_is_asked_there(grafana: Grafana, url: str) -> None:
    below = GrafanaPublisher(GrafanaSettings(url=f"{url}/desk/", token=SecretStr(TOKEN)), dry=True)
    below.put(folder("backstop", "Backstop"))
    assert grafana.asked == [("GET", "/desk/api/folders/backstop")]


def test_a_wrong_token_and_a_weak_one_are_configuration(grafana: Grafana, url: str, publisher: GrafanaPublisher) -> None:
    wrong = GrafanaPublisher(GrafanaSettings(url=url, token=SecretStr("glsa_old")))
    with pytest.raises(ConfigurationProblem, match="does not accept the token"):
        wrong.put(folder("backstop", "Backstop"))
    grafana.faults = [None, (403, {"message": "no"})]
    with pytest.raises(ConfigurationProblem, match="may not POST /folders"):
        publisher.put(folder("other", "Other"))


def test_a_refused_document_is_a_failed_check(publisher: GrafanaPublisher) -> None:
    with pytest.raises(CheckFailed, match="folder not found"):
        publisher.put(board(BOARD, "nowhere"))


def test_a_data_source_goes_by_uid_and_its_secret_along_with_a_write(grafana: Grafana, publisher: GrafanaPublisher) -> None:
    wanted = {"uid": "clickhouse", "name": "ClickHouse", "type": "t", "access": "proxy", "jsonData": {"host": "a"}}
    assert publisher.put(data_source(wanted, {"password": "p"})).change is Change.CREATED
    assert publisher.put(data_source(wanted, {"password": "p"})).change is Change.SAME
    moved = {**wanted, "jsonData": {"host": "b"}}
    assert publisher.put(data_source(moved, {"password": "q"})).differences == ("jsonData.host",)
    assert [body["secureJsonData"] for body in grafana.bodies if body] == [{"password": "p"}, {"password": "q"}]
    assert all("/uid/" in path or path == "/api/datasources" for _, path in grafana.asked)


def test_a_dry_publisher_writes_nothing(grafana: Grafana, url: str) -> None:
    dry = GrafanaPublisher(GrafanaSettings(url=url, token=SecretStr(TOKEN)), dry=True)
    assert dry.put(board(BOARD, "backstop")).change is Change.CREATED
    assert grafana.writes == []


@pytest.mark.parametrize(
    ("wanted", "found", "places"),
    [
        ({"a": 1}, {"a": 1, "added": 2}, []),
        ({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 3}]}}, ["a.b[1].c"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a"]),
        ({"a": None}, {}, []),
        ({"a": None}, {"a": 0}, ["a"]),
        ({"a": 1}, {}, ["a"]),
    ],
)
def test_what_grafana_adds_is_no_difference(wanted: Any, found: Any, places: list[str]) -> None:
    assert list(differences(wanted, found)) == places


@pytest.mark.parametrize("url", ["http://grafana:3000", "http://10.0.0.7:3000"])
def test_a_token_does_not_travel_in_the_clear(url: str) -> None:
    with pytest.raises(ValidationError, match="without TLS"):
        GrafanaSettings(url=url, token=SecretStr("t"))
    GrafanaSettings(url=url, token=SecretStr("t"), allow_plaintext=True)
    GrafanaSettings(url=url)  # no token, nothing to cover


@pytest.mark.parametrize("url", ["https://grafana:3000/desk", "http://localhost:3000", "http://127.0.0.5:3000", "http://[::1]:3000"])
def test_a_token_may_go_to_this_machine_or_over_tls(url: str) -> None:
    assert GrafanaSettings(url=url, token=SecretStr("t")).secret == "t"


@pytest.mark.parametrize("url", ["grafana:3000", "ftp://grafana", "https://user:word@grafana"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        GrafanaSettings(url=url)


def test_a_token_comes_from_a_file_but_not_from_two_places(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("glsa_f\n")
    assert GrafanaSettings(url="https://g", token_file=file).secret == "glsa_f"
    with pytest.raises(ValidationError, match="keep one"):
        GrafanaSettings(url="https://g", token=SecretStr("t"), token_file=file)


@pytest.fixture
def environment(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BACKSTOP_GRAFANA__URL", url)
    monkeypatch.setenv("BACKSTOP_GRAFANA__TOKEN", TOKEN)
    monkeypatch.setenv("BACKSTOP_GRAFANA__PROMETHEUS_URL", "http://prometheus:9090")
    monkeypatch.setenv("BACKSTOP_GRAFANA__CLICKHOUSE_PASSWORD", "reader")
    monkeypatch.setenv("BACKSTOP_CLICKHOUSE__HOST", "clickhouse")


@pytest.mark.usefixtures("environment")
def test_publishing_twice_writes_once_and_diff_agrees(grafana: Grafana, capfd: pytest.CaptureFixture[str]) -> None:
    grafana.folders.clear()
    assert main(["dashboards", "diff", "--json"]) == 1
    assert main(["dashboards", "publish", "--dry-run"]) == 0
    assert grafana.writes == []
    capfd.readouterr()
    assert main(["dashboards", "publish", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    # folder, two data sources, boards, rules, the group's interval; only the group was there already, with another interval
    assert document["changed"] == len(document["things"]) == 1 + 2 + len(BOARDS) + len(ALERTS) + 1
    assert [thing["change"] for thing in document["things"]].count("updated") == 1
    assert grafana.intervals == {"backstop": INTERVAL_S}
    writes = len(grafana.writes)
    assert main(["dashboards", "publish"]) == 0
    assert main(["dashboards", "diff"]) == 0
    assert len(grafana.writes) == writes
    assert "reader" not in capfd.readouterr().out


@pytest.mark.usefixtures("environment")
def test_diff_names_the_place_that_somebody_changed(grafana: Grafana, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["dashboards", "publish"]) == 0
    grafana.boards["backstop-fund"]["dashboard"]["panels"][1]["title"] = "Worth"
    capfd.readouterr()
    assert main(["dashboards", "diff"]) == 1
    assert capfd.readouterr().out.splitlines()[:2] == ["updated  dashboard backstop-fund", "           dashboard.panels[1].title"]
