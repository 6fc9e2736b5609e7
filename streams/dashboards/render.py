"""A board as Grafana's classic dashboard JSON: the same board gives the same bytes. Panels flow left to right; ids follow the order of the board."""

import json
from collections.abc import Iterator
from inspect import cleandoc
from typing import Any

from streams.dashboards.model import (
    FOLDER_UID,
    GRID_COLUMNS,
    UID_PREFIX,
    Board,
    CellLink,
    Column,
    Link,
    Panel,
    Prom,
    Shape,
    Sql,
    Step,
    ThresholdQuery,
    Variable,
    Visual,
)

SCHEMA_VERSION = 41  # the newest classic one that Grafana 12 and 13 both read without a migration
PLUGIN_VERSION = "4.20.0"
CLICKHOUSE = {"type": "grafana-clickhouse-datasource", "uid": "clickhouse"}
PROMETHEUS = {"type": "prometheus", "uid": "prometheus"}
CARRIED = "${__url_time_range}&${__all_variables}"
THRESHOLD_REF = "T"

Json = dict[str, Any]


def to_bytes(document: Json) -> bytes:
    """A document as its file holds it."""
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def dashboard(board: Board) -> Json:
    """The board as Grafana loads it."""
    return {
        "uid": board.uid,
        "title": board.title,
        "description": board.description,
        "tags": [FOLDER_UID],
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "graphTooltip": 1,
        "refresh": board.refresh,
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "utc",
        "links": [
            {
                "type": "dashboards",
                "title": "Boards",
                "tags": [FOLDER_UID],
                "asDropdown": True,
                "includeVars": True,
                "keepTime": True,
                "targetBlank": False,
            }
        ],
        "annotations": {"list": []},
        "templating": {"list": [_variable(variable) for variable in board.variables]},
        "panels": list(_laid_out(board)),
    }


def _variable(variable: Variable) -> Json:
    return {
        "type": "query",
        "name": variable.name,
        "label": variable.label,
        "description": variable.description,
        "datasource": CLICKHOUSE,
        "query": {"refId": "var", "queryType": "sql", "editorType": "sql", "rawSql": cleandoc(variable.sql)},
        "definition": cleandoc(variable.sql),
        "current": {"text": ["All"], "value": ["$__all"]} if variable.many else {},
        "multi": variable.many,
        "includeAll": variable.many,
        "allowCustomValue": True,
        "options": [],
        "refresh": 2,  # whenever the time range changes
        "sort": 0,
        "hide": 0,
        "regex": "",
    }


def _laid_out(board: Board) -> Iterator[Json]:
    """Headings and panels with their places; a line of panels is as high as its highest."""
    number, y = 0, 0
    for row in board.rows:
        number += 1
        yield {"type": "row", "id": number, "title": row.title, "collapsed": False, "panels": [], "gridPos": _place(0, y, GRID_COLUMNS, 1)}
        x, y, high = 0, y + 1, 0
        for panel in row.panels:
            if x + panel.width > GRID_COLUMNS:
                x, y, high = 0, y + high, 0
            number += 1
            yield _panel(panel, number, _place(x, y, panel.width, panel.height))
            x, high = x + panel.width, max(high, panel.height)
        y += high


def _place(x: int, y: int, width: int, height: int) -> Json:
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(panel: Panel, number: int, place: Json) -> Json:
    targets = [target(query, chr(ord("A") + index)) for index, query in enumerate(panel.targets)]
    document: Json = {
        "type": panel.visual.value,
        "id": number,
        "title": panel.title,
        "description": panel.description,
        "datasource": targets[0]["datasource"],
        "gridPos": place,
        "links": [_link(link) for link in panel.links],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": [*map(_column, panel.columns), *map(_cell_link, panel.cells)]},
        "options": OPTIONS[panel.visual](panel),
        "targets": targets,
    }
    if panel.thresholds is not None:
        document["targets"].append(target(panel.thresholds.sql, THRESHOLD_REF))
        document["transformations"] = [_from_query(panel.thresholds)]
    return document


def target(query: Sql | Prom, ref: str) -> Json:
    """One query of a panel or an alert rule as Grafana holds it."""
    match query:
        case Sql():
            return {
                "refId": ref,
                "datasource": CLICKHOUSE,
                "editorType": "sql",
                "format": query.shape.value,
                "queryType": "timeseries" if query.shape is Shape.SERIES else "table",
                "rawSql": cleandoc(query.text),
                "pluginVersion": PLUGIN_VERSION,
            }
        case Prom():
            return {
                "refId": ref,
                "datasource": PROMETHEUS,
                "editorMode": "code",
                "expr": query.text,
                "legendFormat": query.legend,
                "range": not query.instant,
                "instant": query.instant,
            }


def _link(link: Link) -> Json:
    return {"title": link.title, "url": f"/d/{UID_PREFIX}{link.board}?{CARRIED}", "targetBlank": False}


def _cell_link(cell: CellLink) -> Json:
    # A variable that the link sets is not carried as well: a board's own filter for it would be there twice.
    url = f"/d/{UID_PREFIX}{cell.board}?${{__url_time_range}}&var-{cell.variable}=${{__value.raw}}"
    return _override(cell.column, [("links", [{"title": cell.title, "url": url, "targetBlank": False}])])


def _override(name: str, properties: list[tuple[str, Any]]) -> Json:
    return {"matcher": {"id": "byName", "options": name}, "properties": [{"id": key, "value": value} for key, value in properties]}


def _column(column: Column) -> Json:
    properties: list[tuple[str, Any]] = []
    if column.unit is not None:
        properties.append(("unit", column.unit.value))
    if column.steps:
        properties += [("thresholds", _absolute(column.steps)), ("custom.cellOptions", {"type": "color-text"})]
    if column.colours:
        properties += [("mappings", _mappings(column.colours)), ("custom.cellOptions", {"type": "color-text"})]
    if column.colour is not None:
        properties.append(("color", {"mode": "fixed", "fixedColor": column.colour}))
    if column.dashed:
        properties += [("custom.lineStyle", {"fill": "dash", "dash": [10, 10]}), ("custom.fillOpacity", 0)]
    if column.right_axis:
        properties.append(("custom.axisPlacement", "right"))
    return _override(column.name, properties)


def _defaults(panel: Panel) -> Json:
    steps = panel.steps or (Step(None, "text" if panel.visual is Visual.STAT else "green"),)
    coloured = bool(panel.steps or panel.thresholds) and panel.visual in (Visual.STAT, Visual.BAR_CHART)
    defaults: Json = {
        "unit": panel.unit.value,
        "color": {"mode": "thresholds" if coloured else "palette-classic"},
        "thresholds": _absolute(steps),
        "mappings": _mappings(panel.mappings),
        "noValue": "none",  # nothing to count, or nothing to divide by
        "custom": _custom(panel),
    }
    if panel.legend is not None:
        defaults["displayName"] = panel.legend
    return defaults


def _custom(panel: Panel) -> Json:
    match panel.visual:
        case Visual.TIME_SERIES:
            return {
                "drawStyle": "bars" if panel.bars else "line",
                "lineWidth": 1,
                "fillOpacity": 60 if panel.bars else 8,
                "showPoints": "never",
                "spanNulls": True,
                "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
                "thresholdsStyle": {"mode": "dashed" if panel.steps else "off"},
            }
        case Visual.STATE_TIMELINE:
            return {"lineWidth": 0, "fillOpacity": 80, "spanNulls": True}
        case Visual.TABLE:
            return {"align": "auto", "filterable": True}
        case Visual.BAR_CHART:
            return {"lineWidth": 1, "fillOpacity": 80}
        case Visual.STAT:
            return {}


def _absolute(steps: tuple[Step, ...]) -> Json:
    return {"mode": "absolute", "steps": [{"value": step.value, "color": step.colour} for step in steps]}


def _mappings(values: tuple[tuple[str, str, str], ...]) -> list[Json]:
    if not values:
        return []
    options = {value: {"text": text, "color": colour, "index": index} for index, (value, text, colour) in enumerate(values)}
    return [{"type": "value", "options": options}]


def _from_query(query: ThresholdQuery) -> Json:
    """Thresholds of the panel's numbers from the row of their query; Grafana reads the columns in their order."""
    mappings = [
        {"fieldName": each.column, "handlerKey": "threshold1", "reducerId": "lastNotNull", "handlerArguments": {"threshold": {"color": each.colour}}}
        for each in query.thresholds
    ]
    return {"id": "configFromData", "options": {"configRefId": THRESHOLD_REF, "mappings": mappings}}


def _graph(_: Panel) -> Json:
    return {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}, "tooltip": {"mode": "multi", "sort": "desc"}}


def _states(_: Panel) -> Json:
    return {"showValue": "auto", "rowHeight": 0.9, "mergeValues": True, "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom"}}


def _stat(panel: Panel) -> Json:
    reduced = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    coloured = bool(panel.steps or panel.thresholds or panel.mappings)
    return {"reduceOptions": reduced, "colorMode": "background" if coloured else "value", "graphMode": "none", "textMode": "auto"}


def _bars(panel: Panel) -> Json:
    return {"orientation": "horizontal", "showValue": "auto", "stacking": "normal" if panel.stacked else "none", "legend": {"showLegend": True}}


def _table(_: Panel) -> Json:
    return {"showHeader": True, "cellHeight": "sm", "enablePagination": True}


OPTIONS = {
    Visual.TIME_SERIES: _graph,
    Visual.STATE_TIMELINE: _states,
    Visual.STAT: _stat,
    Visual.BAR_CHART: _bars,
    Visual.TABLE: _table,
}
