"""The other plots: forced trading over time, waves, the queue of one wave, policies side by side, groups in trouble over time."""

from collections.abc import Sequence
from functools import partial
from math import log10
from statistics import median

from streams.domain.events import FillKind
from streams.domain.money import PPM
from streams.notify.names import Unit, counted
from streams.report.accounts import NEAR, Crowd
from streams.report.canvas import TOP, Canvas, figure, path, swatch, text, thinned, time_axis, value_axis
from streams.report.markup import Markup, joined, tag
from streams.report.model import Report
from streams.report.scales import Scale, round_ticks
from streams.report.tape import KINDS, Forced
from streams.report.waves import Outcome, Rung, Wave
from streams.report.writing import clock, money, percent, short

RUNGS_SHOWN = 160
CROWD_CLASSES = ("s s0", "s s1", "s s3")  # of the states in NEAR


def tape_plot(report: Report, asset: int) -> Markup:
    """Forced trading of one asset by kind, in equal pieces of time."""
    fills = [fill for fill in report.tape if report.market.asset(fill.instrument) == asset]
    unit = report.market.unit(asset)
    present = [kind for kind in KINDS if any(fill.kind == kind for fill in fills)]
    told = "; ".join(
        f"{kind.name.lower()} {money(unit, sum(f.notional for f in fills if f.kind == kind))} in {sum(f.kind == kind for f in fills):,} fills"
        for kind in present
    )
    legend = [swatch(f"k k-{kind.name.lower()}", kind.name.lower()) for kind in present]
    return figure(f"Forced trading over time, {unit.symbol}", told, partial(_tape, report, fills, unit), *legend, key=f"tape-{asset}")


def _tape(report: Report, fills: Sequence[Forced], unit: Unit, canvas: Canvas) -> tuple[Markup, float]:
    top, bottom = TOP + 4.0, TOP + 184.0
    times = canvas.time_scale(report.start_us, report.end_us)
    count = 110 if canvas.is_wide else 44
    width = (times.end - times.start) / count
    piles: dict[int, dict[FillKind, list[Forced]]] = {}
    for fill in fills:
        at = min(count - 1, int((times(fill.event_time_us) - times.start) / width))
        piles.setdefault(at, {}).setdefault(fill.kind, []).append(fill)
    highest = max(sum(unit.rough(f.notional) for of in pile.values() for f in of) for pile in piles.values())
    scale = Scale(0.0, highest * 1.04 or 1.0, bottom, top)
    bars = []
    for at, pile in sorted(piles.items()):
        below = 0.0
        for kind in KINDS:
            of = pile.get(kind, [])
            size = sum(unit.rough(f.notional) for f in of)
            if size:
                start = report.start_us + (report.end_us - report.start_us) * at // count
                title = f"from {clock(start)}: {kind.name.lower()}, {len(of):,} fills, {money(unit, sum(f.notional for f in of))}"
                y = scale(below + size)
                bars.append(
                    tag("rect", tag("title", title), x=times.start + at * width, y=y, width=max(1.5, width - 1), height=max(0.6, scale(below) - y),
                        class_=f"k k-{kind.name.lower()}")
                )  # fmt: skip
            below += size
    axes = value_axis(canvas, scale, round_ticks(0.0, scale.high, 4), short)
    return joined(time_axis(canvas, times, top=top, bottom=bottom), axes, *bars), bottom + 22


def waves_plot(report: Report, asset: int) -> Markup:
    """Waves of one asset by the time they opened and what was given up in them."""
    waves = [wave for wave in report.waves if report.market.asset(wave.row["instrument"]) == asset]
    unit = report.market.unit(asset)
    told = f"{len(waves):,} waves; the most given up in one was {money(unit, max(wave.row['needed_budget'] for wave in waves))}."
    legend = [
        swatch("dot", "a wave", is_dot=True),
        swatch("ring", "not all lots needed were taken", is_dot=True),
    ]
    return figure(f"Given up by wave, {unit.symbol} (logarithmic)", told, partial(_waves, report, waves, unit), *legend, key=f"waves-{asset}")


def _waves(report: Report, waves: Sequence[Wave], unit: Unit, canvas: Canvas) -> tuple[Markup, float]:
    top, bottom = TOP + 4.0, TOP + 184.0
    times = canvas.time_scale(report.start_us, report.end_us)
    sizes = [max(0.0, log10(max(1.0, unit.rough(wave.row["needed_budget"])))) for wave in waves]
    scale = Scale(-0.2, max(1.0, *sizes) + 0.2, bottom, top)
    marks = []
    for wave, size in zip(waves, sizes, strict=True):
        row = wave.row
        is_short = row["lots_taken"] < row["lots_needed"]
        title = (
            f"{report.market.symbol(row['instrument'])} {clock(row['opened_us'])}: given up {money(unit, row['needed_budget'])}, "
            f"gained {money(unit, row['gained'])}, "
            f"{row['lots_taken']:,} of {row['lots_needed']:,} lots, {wave.accounts_hit:,} accounts"
        )
        x, y = times(row["opened_us"]), scale(size)
        marks.append(tag("circle", tag("title", title), cx=x, cy=y, r=3.5, class_="dot"))
        if is_short:
            marks.append(tag("circle", cx=x, cy=y, r=6.0, class_="ring"))
    ticks = [float(power) for power in range(int(scale.high) + 1)]
    axes = value_axis(canvas, scale, ticks, lambda power: short(10.0**power))
    return joined(time_axis(canvas, times, top=top, bottom=bottom), axes, *marks), bottom + 22


def ladder_plot(report: Report, wave: Wave) -> Markup:
    """The queue of one wave: what each candidate offered, and what was taken of it."""
    symbol, shown = report.market.symbol(wave.row["instrument"]), wave.ladder[:RUNGS_SHOWN]
    taken = [rung for rung in wave.ladder if rung.executed_lots]
    last = max((rung.rank for rung in taken), default=0)
    told = f"{len(taken):,} of {wave.row['candidates_total']:,} candidates gave lots; the last of them stood at rank {last:,}."
    legend = [swatch("offer", "lots offered"), swatch("taken", "lots taken")]
    beyond = "" if len(shown) == wave.row["candidates_total"] else f" (the first {len(shown):,} of {wave.row['candidates_total']:,})"
    return figure(f"Ladder of the largest wave, {symbol}: lots by rank, logarithmic{beyond}", told, partial(_ladder, shown), *legend, key="ladder")


def _ladder(rungs: Sequence[Rung], canvas: Canvas) -> tuple[Markup, float]:
    top, bottom = TOP + 4.0, TOP + 184.0
    scale = Scale(-0.3, log10(max(10, *(rung.offered_lots for rung in rungs))) + 0.1, bottom, top)
    places = Scale(0.5, len(rungs) + 0.5, float(canvas.left), float(canvas.right))
    width = min(36.0, (places.end - places.start) / max(1, len(rungs)))
    bars = []
    for rung in rungs:
        x, title = places(rung.rank) - width / 2, (
            f"rank {rung.rank}, account {rung.account}: {rung.executed_lots:,} taken of {rung.lots:,} instructed, {rung.offered_lots:,} offered"
        )  # fmt: skip
        offered, taken = scale(log10(max(1, rung.offered_lots))), scale(log10(max(1, rung.executed_lots)))
        gap = min(1.0, width / 5)
        bars.append(tag("rect", tag("title", title), x=x + gap, y=offered, width=width - 2 * gap, height=bottom - offered, class_="offer"))
        if rung.executed_lots:
            bars.append(tag("rect", tag("title", title), x=x + gap, y=taken, width=width - 2 * gap, height=max(1.0, bottom - taken), class_="taken"))
    ticks = [float(power) for power in range(int(scale.high) + 1)]
    ranks = [n for n in map(int, round_ticks(1.0, float(max(2, len(rungs))), 10 if canvas.is_wide else 4)) if 0 < n <= len(rungs)]
    labels = [text(places(rank), bottom + 15, f"{rank:,}", "mid") for rank in sorted({1, *ranks} - ({2} if len(rungs) > 12 else set()))]
    return joined(value_axis(canvas, scale, ticks, lambda power: short(10.0**power)), *bars, *labels), bottom + 22


def policies_plot(outcomes: Sequence[Outcome]) -> Markup:
    """How much of one position each wave takes under each policy, at most."""
    policies = list(dict.fromkeys(outcome.policy for outcome in outcomes))
    told = "; ".join(f"{policy}: median {percent(_median(outcomes, policy))}" for policy in policies)
    legend = [swatch("used", "policy used", is_dot=True), swatch("shadow", "shadow policy", is_dot=True), swatch("median", "median", is_line=True)]
    title = "Largest share of one account's position that a wave takes, one dot a wave"
    return figure(title, told, partial(_policies, outcomes, policies), *legend, key="policies")


def _median(outcomes: Sequence[Outcome], policy: str) -> int:
    return int(median(outcome.largest_share_ppm for outcome in outcomes if outcome.policy == policy))


def _policies(outcomes: Sequence[Outcome], policies: Sequence[str], canvas: Canvas) -> tuple[Markup, float]:
    row, left = 34.0, canvas.left + (30.0 if canvas.is_wide else 36.0)
    bottom = TOP + row * len(policies)
    scale = Scale(0.0, float(PPM), left, float(canvas.right))
    parts = []
    for share in range(0, PPM + 1, PPM // (10 if canvas.is_wide else 4)):
        parts.append(tag("line", x1=scale(share), y1=TOP, x2=scale(share), y2=bottom, class_="grid"))
        parts.append(text(scale(share), bottom + 15, f"{share * 100 // PPM} %", "end" if share == PPM and not canvas.is_wide else "mid"))
    for number, policy in enumerate(policies):
        middle = TOP + row * (number + 0.5)
        parts.append(text(left - 8, middle + 4, policy, "end"))
        for place, outcome in enumerate(o for o in outcomes if o.policy == policy):
            title = (
                f"wave {outcome.wave_id}: at most {percent(outcome.largest_share_ppm)} of a position, {counted(outcome.accounts_hit, 'account')} hit"
            )
            y = middle + (place * 7 % 15 - 7) * 0.9  # spread over the row, so that equal shares stay apart
            parts.append(
                tag("circle", tag("title", title), cx=scale(outcome.largest_share_ppm), cy=y, r=3.2, class_="used" if outcome.is_used else "shadow")
            )
        x = scale(_median(outcomes, policy))
        parts.append(tag("line", x1=x, y1=middle - 13, x2=x, y2=middle + 13, class_="median"))
    return joined(*parts), bottom + 22


def crowd_plot(report: Report) -> Markup:
    """Groups in trouble over time."""
    worst = max(report.crowds, key=lambda crowd: sum(crowd.groups))
    counts = ", ".join(f"{count:,} {state.name.lower()}" for state, count in zip(NEAR, worst.groups, strict=True))
    legend = [swatch(class_, state.name.lower(), is_line=True) for state, class_ in zip(NEAR, CROWD_CLASSES, strict=True)]
    told = f"Most at {clock(worst.event_time_us)}: {counts}."
    return figure("Solvency groups below a level, over time", told, partial(_crowd, report, report.crowds), *legend, key="crowd")


def _crowd(report: Report, crowds: Sequence[Crowd], canvas: Canvas) -> tuple[Markup, float]:
    top, bottom = TOP + 4.0, TOP + 154.0
    times = canvas.time_scale(report.start_us, report.end_us)
    scale = Scale(0.0, max(1.0, *(float(max(crowd.groups)) for crowd in crowds)) * 1.05, bottom, top)
    lines = []
    for number, (state, class_) in enumerate(zip(NEAR, CROWD_CLASSES, strict=True)):
        points = thinned((times(crowd.event_time_us), scale(crowd.groups[number])) for crowd in crowds)
        lines.append(path(points, class_, f"{state.name.lower()}: at most {max(crowd.groups[number] for crowd in crowds):,}", is_step=True))
    axes = value_axis(canvas, scale, round_ticks(0.0, scale.high, 4), short)
    return joined(time_axis(canvas, times, top=top, bottom=bottom), axes, *lines), bottom + 22
