"""Alert rules as Grafana takes them: in a provisioning file, and over HTTP. One condition: the last value of query A passes a threshold."""

from typing import Any

from streams.dashboards.alerts import ALERTS, GROUP, INTERVAL_S, Alert, panel_number
from streams.dashboards.boards import BOARDS
from streams.dashboards.model import FOLDER_TITLE, Board
from streams.dashboards.render import target

EXPRESSION = "__expr__"
CONDITION = "C"
_BOARDS: dict[str, Board] = {board.name: board for board in BOARDS}

Json = dict[str, Any]


def _duration(seconds: int) -> str:
    """As Grafana writes it back, so that an unchanged rule compares equal."""
    minutes, rest = divmod(seconds, 60)
    return (f"{minutes}m" if minutes else "") + (f"{rest}s" if rest or not minutes else "")


def _data(alert: Alert) -> list[Json]:
    query = target(alert.query, "A")
    reduce = {"refId": "B", "type": "reduce", "expression": "A", "reducer": "last", "settings": {"mode": "dropNN"}}
    condition = {
        "refId": CONDITION,
        "type": "threshold",
        "expression": "B",
        "conditions": [{"evaluator": {"type": "gt", "params": [alert.above]}}],
    }
    expression = {"type": EXPRESSION, "uid": EXPRESSION}
    return [
        _query(query, query["datasource"]["uid"], alert.window_s),
        _query({**reduce, "datasource": expression}, EXPRESSION, 0),
        _query({**condition, "datasource": expression}, EXPRESSION, 0),
    ]


def _query(model: Json, source: str, window_s: int) -> Json:
    return {"refId": model["refId"], "datasourceUid": source, "relativeTimeRange": {"from": window_s, "to": 0}, "model": model}


def _common(alert: Alert) -> Json:
    return {
        "uid": alert.uid,
        "title": alert.title,
        "condition": CONDITION,
        "data": _data(alert),
        "noDataState": alert.no_data.value,
        "execErrState": "Error",
        "for": _duration(alert.for_s),
        "labels": {"product": "backstop", "severity": alert.severity.value},
    }


def _annotations(alert: Alert) -> Json:
    return {"summary": alert.summary, "description": alert.description, "runbook_url": alert.runbook}


def rule_group() -> Json:
    """All rules as the `groups` entry of a provisioning file."""
    rules = [
        {
            **_common(alert),
            "annotations": _annotations(alert),
            "dashboardUid": _BOARDS[alert.board].uid,
            "panelId": panel_number(_BOARDS[alert.board], alert.panel),
        }
        for alert in ALERTS
    ]
    return {"orgId": 1, "name": GROUP, "folder": FOLDER_TITLE, "interval": _duration(INTERVAL_S), "rules": rules}


def rule_document(alert: Alert, folder_uid: str) -> Json:
    """One rule as the provisioning interface of Grafana's HTTP API takes it."""
    board = _BOARDS[alert.board]
    look = {"__dashboardUid__": board.uid, "__panelId__": str(panel_number(board, alert.panel))}
    return {
        **_common(alert),
        "annotations": {**_annotations(alert), **look},
        "folderUID": folder_uid,
        "ruleGroup": GROUP,
        "orgID": 1,
    }
