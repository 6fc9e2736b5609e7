"""The files Grafana is provisioned from: boards, data sources, the provider of boards, alert rules. What differs by place comes from its environment.

`$NAME` is a variable of Grafana's environment, `$__file{...}` the content of a file. Grafana leaves queries of alert rules as they are.
"""

from typing import Any

from streams.dashboards.boards import BOARDS
from streams.dashboards.model import FOLDER_TITLE, FOLDER_UID
from streams.dashboards.render import CLICKHOUSE, PROMETHEUS, dashboard, to_bytes
from streams.dashboards.rules import rule_group
from streams.dashboards.yaml import to_yaml

PASSWORD_FILE = "/run/secrets/grafana_clickhouse_password"
BOARDS_PATH = "/var/lib/grafana/dashboards"

Json = dict[str, Any]


def clickhouse_source(*, host: str, port: str, database: str, username: str, secure: bool) -> Json:
    """The ClickHouse data source. No row limit: one would cut tables and alert queries short without a word."""
    return {
        "name": "ClickHouse",
        "uid": CLICKHOUSE["uid"],
        "type": CLICKHOUSE["type"],
        "access": "proxy",
        "isDefault": True,
        "jsonData": {
            "host": host,
            "port": port,
            "protocol": "http",
            "secure": secure,
            "username": username,
            "defaultDatabase": database,
            "dialTimeout": "10",
            "queryTimeout": "30",
            "enableRowLimit": False,
            "validateSql": False,
        },
    }


def prometheus_source(url: str) -> Json:
    """The Prometheus data source."""
    return {
        "name": "Prometheus",
        "uid": PROMETHEUS["uid"],
        "type": PROMETHEUS["type"],
        "access": "proxy",
        "isDefault": False,
        "url": url,
        "jsonData": {"httpMethod": "POST", "timeInterval": "5s"},
    }


def _data_sources() -> Json:
    clickhouse = clickhouse_source(
        host="$BACKSTOP_CLICKHOUSE__HOST",
        port="$BACKSTOP_CLICKHOUSE__PORT",
        database="$BACKSTOP_CLICKHOUSE__DATABASE",
        username="$BACKSTOP_GRAFANA__CLICKHOUSE_USERNAME",
        secure=False,  # a variable would be text here, and the page of the data source takes any text for true
    )
    secret = {"secureJsonData": {"password": f"$__file{{{PASSWORD_FILE}}}"}}
    kept = {"orgId": 1, "editable": False}
    sources = [{**clickhouse, **secret, **kept}, {**prometheus_source("$BACKSTOP_GRAFANA__PROMETHEUS_URL"), **kept}]
    return {"apiVersion": 1, "datasources": sources}


def _provider() -> Json:
    provider = {
        "name": "backstop",
        "orgId": 1,
        "type": "file",
        "folder": FOLDER_TITLE,
        "folderUid": FOLDER_UID,
        "disableDeletion": True,
        "allowUiUpdates": False,
        "updateIntervalSeconds": 30,
        "options": {"path": BOARDS_PATH},
    }
    return {"apiVersion": 1, "providers": [provider]}


def _notification() -> Json:
    """Who hears of an alert: an example, for no two desks have the same phones."""
    page = {"uid": "backstop-page", "type": "webhook", "settings": {"url": "$BACKSTOP_ALERT_WEBHOOK", "httpMethod": "POST"}}
    mail = {"uid": "backstop-mail", "type": "email", "settings": {"addresses": "$BACKSTOP_ALERT_MAIL", "singleEmail": True}}
    points = [
        {"orgId": 1, "name": "backstop-page", "receivers": [page]},
        {"orgId": 1, "name": "backstop-mail", "receivers": [mail]},
    ]
    route = {
        "receiver": "backstop-page",
        "object_matchers": [["severity", "=", "critical"]],
        "group_wait": "0s",
        "group_interval": "1m",
        "repeat_interval": "30m",
    }
    root = {"orgId": 1, "receiver": "backstop-mail", "group_by": ["alertname"], "group_wait": "30s", "repeat_interval": "4h", "routes": [route]}
    return {"apiVersion": 1, "contactPoints": points, "policies": [root]}


def files() -> dict[str, bytes]:
    """Every file below infra/grafana by its path there."""
    boards = {f"dashboards/{board.name}.json": to_bytes(dashboard(board)) for board in BOARDS}
    comment = "Written by `backstop dashboards build`: change the code, not this file."
    rules = {"apiVersion": 1, "groups": [rule_group()]}
    example = f"{comment}\nAn example: copy it to contacts.yaml and set the two variables, or Grafana does not start."
    return {
        **boards,
        "provisioning/datasources/backstop.yaml": to_yaml(comment, _data_sources()),
        "provisioning/dashboards/backstop.yaml": to_yaml(comment, _provider()),
        "provisioning/alerting/rules.yaml": to_yaml(comment, rules),
        "provisioning/alerting/contacts.yaml.example": to_yaml(example, _notification()),
    }
