"""What every plot is drawn with: a drawing in a wide and a narrow form, its axes, lines thinned to what can be seen, and legends.

Kinds and series differ by pattern or dash as well as by colour; every mark has a title that says its figures.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Final

from streams.report.markup import Markup, joined, tag
from streams.report.scales import Scale, time_ticks
from streams.report.writing import clock

WIDE, NARROW = 1160, 358  # pixels; the narrow form is drawn for a telephone, not scaled down to it
TOP: Final = 8
Points = Iterable[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Canvas:
    """The room of one drawing; plots lie between `left` and `right`."""

    width: int
    left: int
    right: int

    @property
    def is_wide(self) -> bool:
        """Whether there is room for labels beside the plot."""
        return self.width == WIDE

    def time_scale(self, start_us: int, end_us: int) -> Scale:
        """Event time along the whole plot."""
        return Scale(float(start_us), float(end_us), float(self.left), float(self.right))


def figure(title: str, told: str, draw: Callable[[Canvas], tuple[Markup, float]], *legend: Markup, key: str) -> Markup:
    """A figure with its title, legend, and drawing in both forms. `told`: in words, for who cannot see it; `draw` also says how high it came."""
    forms = []
    for name, canvas in (("wide", Canvas(WIDE, 64, WIDE - 72)), ("narrow", Canvas(NARROW, 46, NARROW - 6))):
        content, height = draw(canvas)
        labels = f"{key}-{name}-t", f"{key}-{name}-d"
        forms.append(
            tag(
                "svg", tag("title", title, id=labels[0]), tag("desc", told, id=labels[1]), content, class_=f"plot {name}", role="img",
                viewBox=f"0 0 {canvas.width} {height:.0f}", aria_labelledby=" ".join(labels),
            )
        )  # fmt: skip
    return tag("figure", tag("figcaption", title), tag("ul", *legend, class_="key") if legend else None, *forms)


def swatch(class_: str, label: str, *, is_line: bool = False, is_dot: bool = False) -> Markup:
    """One entry of a legend: a box, a line or a dot."""
    if is_line:
        mark = tag("line", x1=0, y1=6, x2=26, y2=6, class_=class_)
    elif is_dot:
        mark = tag("circle", cx=8, cy=6, r=4.5, class_=class_)
    else:
        mark = tag("rect", x=0, y=1, width=16, height=10, class_=class_)
    return tag("li", tag("svg", mark, width=26 if is_line else 16, height=12, aria_hidden="true"), label)


def text(x: float, y: float, content: str, class_: str | None = None) -> Markup:
    """A label."""
    return tag("text", content, x=x, y=y, class_=class_)


def time_axis(canvas: Canvas, scale: Scale, *, top: float, bottom: float) -> Markup:
    """Grid lines of round times from top to bottom, and the times below."""
    parts = []
    for time_us in time_ticks(int(scale.low), int(scale.high), 9 if canvas.is_wide else 4):
        x = scale(time_us)
        parts.append(tag("line", x1=x, y1=top, x2=x, y2=bottom, class_="grid"))
        parts.append(text(min(max(x, canvas.left + 16), canvas.right - 10), bottom + 15, clock(time_us), "mid"))
    return joined(*parts)


def value_axis(canvas: Canvas, scale: Scale, ticks: Sequence[float], label: Callable[[float], str]) -> Markup:
    """Grid lines of values, and the values to the left."""
    parts = []
    for value in ticks:
        y = scale(value)
        parts.append(tag("line", x1=canvas.left, y1=y, x2=canvas.right, y2=y, class_="grid"))
        parts.append(text(canvas.left - 6, y + 4, label(value), "end"))
    return joined(*parts)


def path(points: Points, class_: str, title: str | None = None, *, is_step: bool = False) -> Markup:
    """A line through pixels; as steps, where a value holds until the next."""
    parts: list[str] = []
    last_y = 0.0
    for x, y in points:
        if not parts:
            parts.append(f"M{x:.1f} {y:.1f}")
        elif is_step:
            parts.append(f"H{x:.1f}" if f"{y:.1f}" == f"{last_y:.1f}" else f"H{x:.1f}V{y:.1f}")
        else:
            parts.append(f"L{x:.1f} {y:.1f}")
        last_y = y
    return tag("path", None if title is None else tag("title", title), d="".join(parts), class_=class_)


def thinned(points: Points, width: float = 1.5) -> list[tuple[float, float]]:
    """First, lowest, highest and last of each column of pixels: a line looks the same without the others."""
    kept: list[tuple[float, float]] = []
    for _, group in groupby(points, key=lambda point: int(point[0] / width)):
        column = list(group)
        heights = [y for _, y in column]
        kept += [column[at] for at in sorted({0, heights.index(min(heights)), heights.index(max(heights)), len(column) - 1})]
    return kept


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Places of labels in the same order, moved so that neighbours are at least `gap` apart."""
    order = sorted(range(len(places)), key=places.__getitem__)
    moved = list(places)
    for before, after in pairwise(order):
        moved[after] = max(moved[after], moved[before] + gap)
    return moved
