"""Tables of the page, and how figures are written in them: thousands separators, units in the heading, amounts to the last unit."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from streams.notify.names import Unit
from streams.report.markup import Content, Markup, joined, tag
from streams.report.writing import MINUS, percent, whole

CENTS = 2  # digits behind the point that are as dark as the others


@dataclass(frozen=True, slots=True)
class Column:
    """A column: numbers are aligned right. `is_name`: its cells head their rows."""

    head: str
    is_number: bool = True
    is_name: bool = False
    class_: str | None = None


def name(head: str) -> Column:
    """A column that heads its rows."""
    return Column(head, is_number=False, is_name=True)


def figures(head: str) -> Column:
    """A column of numbers."""
    return Column(head)


def words(head: str, class_: str | None = None) -> Column:
    """A column of text."""
    return Column(head, is_number=False, class_=class_)


def table(
    caption: str, columns: Sequence[Column], rows: Iterable[Sequence[Content]], *, whys: Sequence[str] = (), foot: Sequence[Content] = ()
) -> Markup:
    """A table in a box that can be reached and scrolled by keyboard. `whys`: words below each row; `foot`: a last row of sums."""
    body = []
    for number, row in enumerate(rows):
        why = whys[number] if number < len(whys) else None
        body.append(_row(columns, row, "plain" if why else None))
        if why:
            body.append(tag("tr", tag("td", tag("div", why), colspan=len(columns)), class_="why"))
    head = tag("thead", tag("tr", *(tag("th", column.head, scope="col", class_="n" if column.is_number else None) for column in columns)))
    inner = tag("table", tag("caption", tag("span", caption)), head, tag("tbody", *body), tag("tfoot", _row(columns, foot, None)) if foot else None)
    return tag("div", inner, class_="scroll", tabindex=0, role="region", aria_label=caption)


def _row(columns: Sequence[Column], row: Sequence[Content], class_: str | None) -> Markup:
    cells = []
    for column, cell in zip(columns, row, strict=True):
        shown = whole(cell) if isinstance(cell, int) else cell
        of = " ".join(filter(None, ("n" if column.is_number else "", column.class_))) or None
        cells.append(tag("th", shown, scope="row", class_=of) if column.is_name else tag("td", shown, class_=of))
    return tag("tr", *cells, class_=class_)


def amount(unit: Unit, units: int, *, symbol: bool = False) -> Markup:
    """An amount to the last unit; digits beyond CENTS are lighter, none is left out."""
    before, rest = unit.parts(units)
    point = "." if rest else ""
    return joined(
        before.replace("-", MINUS),
        point,
        rest[:CENTS],
        tag("span", rest[CENTS:], class_="fine") if rest[CENTS:] else None,
        f" {unit.symbol}" if symbol else None,
    )


def with_bar(ppm: int, full_ppm: int) -> Markup:
    """A share in percent, and a bar that is full at `full_ppm`."""
    width = 48.0 * max(0, min(ppm, full_ppm)) / full_ppm
    drawn = tag("svg", tag("rect", x=0, y=1, width=width, height=8), class_="bar", viewBox="0 0 48 9", aria_hidden="true")
    return joined(percent(ppm), " ", drawn)


def none(words_: str) -> Markup:
    """What stands where there is nothing to show."""
    return tag("p", words_, class_="none")
