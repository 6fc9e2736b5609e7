"""What a board is made of: variables, rows of panels, targets, links, thresholds. How it becomes Grafana's JSON stands in `render.py`.

Every panel has a title, a unit, a description and a way on. Thresholds that a pool decides are never numbers here: they come from a query.
"""

from dataclasses import dataclass
from enum import Enum

FOLDER_UID = "backstop"
FOLDER_TITLE = "Backstop"
UID_PREFIX = "backstop-"
GRID_COLUMNS = 24


class Visual(Enum):
    """How a panel shows its rows: Grafana's name of the panel type."""

    TIME_SERIES = "timeseries"
    STATE_TIMELINE = "state-timeline"
    STAT = "stat"
    BAR_CHART = "barchart"
    TABLE = "table"


class Shape(Enum):
    """What a query answers: a time column with numbers, or a table. The values are the data source's own numbers."""

    SERIES = 0
    TABLE = 1


class Unit(Enum):
    """Units of panels, by Grafana's identifiers."""

    PLAIN = "none"  # ratios, and tables whose columns have units of their own
    NUMBER = "locale"  # counts, lots, amounts: all digits, with separators; an amount's currency stands in the legend or in a column
    PERCENT = "percent"
    RATIO = "percentunit"
    PPM = "ppm"
    SECONDS = "s"
    PER_SECOND = "cps"
    TIME = "dateTimeAsIso"


@dataclass(frozen=True, slots=True)
class Sql:
    """A ClickHouse query, indented as the code around it. `shape` must fit what it returns; series are ordered by time, words in them are labels."""

    text: str
    shape: Shape = Shape.TABLE


@dataclass(frozen=True, slots=True)
class Prom:
    """A Prometheus query; `legend` names its series from labels."""

    text: str
    legend: str
    instant: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """From `value` on, this colour; None is the lowest step."""

    value: float | None
    colour: str


@dataclass(frozen=True, slots=True)
class Threshold:
    """A column of a query whose value is a threshold: from there on, this colour."""

    column: str
    colour: str


@dataclass(frozen=True, slots=True)
class ThresholdQuery:
    """Thresholds that data decide: a query of one row, and which column sets which colour, lowest first."""

    sql: Sql
    thresholds: tuple[Threshold, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """The way on from a panel: to a board, with time range and variables carried."""

    board: str
    title: str


@dataclass(frozen=True, slots=True)
class CellLink:
    """The way on from a cell of a column: to a board, its variable set to the cell's value; `also` sets a second one from a column of the row."""

    column: str
    board: str
    variable: str
    title: str


@dataclass(frozen=True, slots=True)
class Column:
    """How one field differs from the panel: unit, colours by value, colour of its line, dashed where it is a threshold, the right-hand axis."""

    name: str
    unit: Unit | None = None
    steps: tuple[Step, ...] = ()
    colours: tuple[tuple[str, str, str], ...] = ()  # (value, text, colour)
    colour: str | None = None
    dashed: bool = False
    right_axis: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `width` in columns of 24, `height` in grid rows. `mappings` are (value, text, colour) for all its values."""

    title: str
    unit: Unit
    description: str
    visual: Visual
    targets: tuple[Sql | Prom, ...]
    links: tuple[Link, ...]
    width: int = 12
    height: int = 8
    cells: tuple[CellLink, ...] = ()
    columns: tuple[Column, ...] = ()
    steps: tuple[Step, ...] = ()
    thresholds: ThresholdQuery | None = None
    mappings: tuple[tuple[str, str, str], ...] = ()
    legend: str | None = None  # display name of a series, from its labels
    stacked: bool = False
    bars: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top of a board: value and, with a second column, text. `many` allows several and All."""

    name: str
    label: str
    sql: str
    description: str
    many: bool = True


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard; `name` is its file and, with the prefix, its uid."""

    name: str
    title: str
    description: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]
    refresh: str = "10s"

    @property
    def uid(self) -> str:
        """The uid, fixed for good: links and bookmarks hold it."""
        return UID_PREFIX + self.name

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All panels in the order of the board."""
        return tuple(panel for row in self.rows for panel in row.panels)
