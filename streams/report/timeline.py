"""The plot of the whole run over one time axis: prices against their start, each instrument's state in its pool, what the fund was worth."""

from collections.abc import Sequence
from functools import partial

from streams.domain.events import AdlState
from streams.notify.names import counted
from streams.report.canvas import TOP, Canvas, figure, path, spread, swatch, text, thinned, time_axis, value_axis
from streams.report.fund import Fund
from streams.report.markup import Markup, joined, tag
from streams.report.model import Report
from streams.report.scales import Scale, padded, round_ticks
from streams.report.writing import MINUS, clipped, clock, money, short

SHOWN = 4  # lines that stand out; the others are the crowd behind them
ROW = 12.0
PRICES_HEIGHT, FUND_HEIGHT = 250.0, 170.0


def timeline(report: Report, fund: Fund | None) -> Markup:
    """Prices, and below them the states and value of one fund."""
    named = foremost(report)
    legend = [swatch(f"s s{n}", report.market.symbol(instrument), is_line=True) for n, instrument in enumerate(named)]
    if len(report.market.marks) > len(named):
        legend.append(swatch("others", f"{len(report.market.marks) - len(named)} other instruments", is_line=True))
    if fund is not None:
        legend += [swatch("adl", "ADL: no takeovers"), swatch("value", "fund value", is_line=True), swatch("peak", "8-hour peak", is_line=True)]
        legend += [swatch(name, f"ADL {name} threshold", is_line=True) for name in limits_of(report, fund)]
        legend.append(swatch("fall", "drawdown"))
    title = "Prices" if fund is None else f"Prices, states and fund of pool {fund.pool}"
    return figure(title, _told(report, fund), partial(_draw, report, fund, named), *legend, key=f"timeline-{0 if fund is None else fund.pool}")


def foremost(report: Report) -> list[int]:
    """The instruments with most forced trading; without any, the first."""
    notional = dict.fromkeys(sorted(report.market.marks), 0)
    for fill in report.tape:
        if fill.instrument in notional:
            notional[fill.instrument] += fill.notional
    return sorted(notional, key=lambda instrument: (-notional[instrument], instrument))[:SHOWN]


def _told(report: Report, fund: Fund | None) -> str:
    falls = [f"{report.market.symbol(i)} {change_text(report, i)}" for i in sorted(report.market.marks)]
    told = f"Change of the marks from first to last: {', '.join(falls) or 'no marks'}."
    if fund is None:
        return told
    unit = report.market.unit(fund.asset)
    return (
        f"{told} The fund was worth {money(unit, fund.opening)} at first, {money(unit, fund.lowest.value)} at least, "
        f"{money(unit, fund.closing)} at last; "
        f"ADL was entered {counted(fund.entered(AdlState.ADL), 'time')}."
    )


def change_text(report: Report, instrument: int, *, to_lowest: bool = False) -> str:
    """Change of a mark against its first, in percent with one place, cut; to its lowest or to its last."""
    ticks = report.market.marks[instrument].ticks
    first, other = int(ticks[0]), int(ticks.min() if to_lowest else ticks[-1])
    tenths = abs(other - first) * 1000 // first
    sign = MINUS if other < first and tenths else "+" if tenths else ""
    return f"{sign}{tenths // 10}.{tenths % 10} %"


def _draw(report: Report, fund: Fund | None, named: Sequence[int], canvas: Canvas) -> tuple[Markup, float]:
    times = canvas.time_scale(report.start_us, report.end_us)
    prices, bottom = _prices(report, named, canvas, times)
    parts, grid_top = [prices], TOP + 14.0
    if fund is not None:
        states, bottom = _states(report, fund, canvas, times, bottom + 30)
        value, bottom = _value(report, fund, canvas, times, bottom + 34)
        parts += [states, value]
    return joined(time_axis(canvas, times, top=grid_top, bottom=bottom), *parts), bottom + 22


def _prices(report: Report, named: Sequence[int], canvas: Canvas, times: Scale) -> tuple[Markup, float]:
    top, bottom = TOP + 14.0, TOP + 14.0 + PRICES_HEIGHT
    changes = {i: 100.0 * (marks.ticks / float(marks.ticks[0]) - 1.0) for i, marks in report.market.marks.items()}
    low, high = padded(min((float(c.min()) for c in changes.values()), default=0.0), max((float(c.max()) for c in changes.values()), default=0.0))
    scale = Scale(low, high, bottom, top)
    behind, before = [], []
    for instrument, marks in report.market.marks.items():
        points = thinned((times(t), scale(c)) for t, c in zip(marks.times_us.tolist(), changes[instrument].tolist(), strict=True))
        points.append((times.end, points[-1][1]))  # the last mark stays in force
        changed = change_text(report, instrument), change_text(report, instrument, to_lowest=True)
        title = f"{report.market.symbol(instrument)}: {changed[0]} at last, {changed[1]} at the lowest"
        if instrument in named:
            before.append(path(points, f"s s{named.index(instrument)}", title))
        else:
            behind.append(path(points, "others", title))
    axis = value_axis(canvas, scale, round_ticks(low, high, 5), _signed_percent)
    labels = []
    if canvas.is_wide:
        ends = spread([scale(float(changes[i][-1])) for i in named], 13)
        labels = [text(canvas.right + 6, y + 4, clipped(report.market.symbol(i), 11), "name") for i, y in zip(named, ends, strict=True)]
    head = text(canvas.left, TOP + 4, "Mark against its first, %", "head")
    return joined(head, axis, *behind, *before, *labels), bottom


def _signed_percent(value: float) -> str:
    return f"{value:+.4g} %".replace("-", MINUS) if abs(value) > 1e-9 else "0 %"


def _states(report: Report, fund: Fund, canvas: Canvas, times: Scale, top: float) -> tuple[Markup, float]:
    rows = sorted({span.instrument for span in fund.spans})
    bottom = top + 6 + ROW * len(rows)
    parts = [text(canvas.left, top - 6, f"State in pool {fund.pool}", "head")]
    for number, instrument in enumerate(rows):
        y = top + 6 + ROW * (number + 0.5)
        parts.append(text(canvas.left - 6, y + 4, clipped(report.market.symbol(instrument), 9 if canvas.is_wide else 6), "end"))
        parts.append(tag("line", x1=canvas.left, y1=y, x2=canvas.right, y2=y, class_="normal"))
    for span in fund.spans:
        if span.state == AdlState.NORMAL:
            continue
        start, end = times(span.start_us), times(span.end_us)
        title = f"{report.market.symbol(span.instrument)} {span.state.name} {clock(span.start_us)} to {clock(span.end_us)}: {span.reason}"
        y = top + 6 + ROW * rows.index(span.instrument) + 1.5
        parts.append(tag("rect", tag("title", title), x=start, y=y, width=max(2.0, end - start), height=ROW - 3, class_="adl"))
    return joined(*parts), bottom


def _value(report: Report, fund: Fund, canvas: Canvas, times: Scale, top: float) -> tuple[Markup, float]:
    unit, bottom = report.market.unit(fund.asset), top + FUND_HEIGHT
    values = [unit.rough(v.value) for v in fund.values]
    peaks = [unit.rough(v.peak) for v in fund.values]
    moments = [times(v.event_time_us) for v in fund.values]
    limits = limits_of(report, fund)
    low, high = padded(min([0.0, *values, *limits.values()]), max([0.0, *peaks, *limits.values()]), 0.04)
    scale = Scale(low, high, bottom, top + 6)
    upper = thinned((x, scale(v)) for x, v in zip(moments, peaks, strict=True))
    lower = thinned((x, scale(v)) for x, v in zip(moments, values, strict=True))
    upper.append((times(times.high), upper[-1][1]))
    lower.append((times(times.high), lower[-1][1]))
    parts = [
        text(canvas.left, top - 6, f"Fund of pool {fund.pool}, {unit.symbol}", "head"),
        value_axis(canvas, scale, round_ticks(low, high, 4), short),
        path([*_stepped(upper), *reversed(_stepped(lower))], "fall"),
        path(
            upper, "peak", f"8-hour peak; deepest drawdown {money(unit, fund.deepest.drawdown)} at {clock(fund.deepest.event_time_us)}", is_step=True
        ),
        path(lower, "value", f"value: {money(unit, fund.opening)} at first, {money(unit, fund.closing)} at last", is_step=True),
    ]
    for name in limits:
        y, title = scale(limits[name]), f"ADL {name} threshold {money(unit, fund.parameters[f'adl_{name}_value'])}"
        parts.append(tag("line", tag("title", title), x1=canvas.left, y1=y, x2=canvas.right, y2=y, class_=name))
        if canvas.is_wide:
            parts.append(text(canvas.right + 6, y + 4, f"ADL {name}"))
    return joined(*parts), bottom


def limits_of(report: Report, fund: Fund) -> dict[str, float]:
    """The thresholds of ADL that lie near what the fund was worth; others would flatten the plot."""
    unit = report.market.unit(fund.asset)
    low, high = unit.rough(fund.lowest.value), max(unit.rough(value.peak) for value in fund.values)
    reach = 2 * (max(high, 0.0) - min(low, 0.0)) or 1.0
    limits = {name: unit.rough(fund.parameters[f"adl_{name}_value"]) for name in ("stop", "start")}
    return {name: value for name, value in limits.items() if low - reach <= value <= high + reach}


def _stepped(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Corners of a line of steps."""
    corners = [points[0]]
    for x, y in points[1:]:
        corners += [(x, corners[-1][1]), (x, y)]
    return corners
