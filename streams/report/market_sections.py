"""Sections about the market and the fund: the timeline with its figures, and the liquidation tape."""

from streams.domain.events import AdlState
from streams.notify.names import Unit, counted
from streams.report.fund import Fund
from streams.report.markup import Content, Markup, joined, tag
from streams.report.model import Report
from streams.report.plots import tape_plot
from streams.report.tables import amount, figures, name, none, table, words
from streams.report.tape import Forced
from streams.report.timeline import change_text, timeline
from streams.report.writing import ABSENT, basis_points, clock, duration, exact_clock

FILLS_SHOWN = 15


def one_unit(report: Report) -> Unit | None:
    """The unit of all amounts, where there is only one."""
    assets = {int(row["asset"]) for row in report.market.instruments.values()}
    return report.market.unit(min(assets)) if len(assets) == 1 else None


def in_unit(report: Report, head: str) -> str:
    """A heading of amounts: with the unit, where it is one for all."""
    unit = one_unit(report)
    return head if unit is None else f"{head}, {unit.symbol}"


def cash(report: Report, instrument: int, units: int) -> Markup:
    """An amount in an instrument's asset; with its symbol, where assets are mixed."""
    return amount(report.market.unit_of(instrument), units, symbol=one_unit(report) is None)


def timeline_section(report: Report) -> Markup:
    """Prices, states and fund over time, then the same in figures."""
    plots = [timeline(report, fund) for fund in report.funds] or [timeline(report, None)]
    note = "Named lines are the instruments with most forced trading. Marks are those that were applied; states are those of the pools task."
    tables = [_instruments(report), *(_fund(report, fund) for fund in report.funds)]
    return joined(tag("p", note), *plots, *(tables if report.market.marks else [none("There are no marks in this log.")]))


def _instruments(report: Report) -> Markup:
    columns = [
        name("Instrument"), figures("First mark, ticks"), figures("Lowest"), figures("To lowest"), figures("To last"),
        figures("ADL entered"), figures("Time in ADL"), figures("Forced fills"), figures(in_unit(report, "Forced trading")),
        figures("Waves"), figures(in_unit(report, "Given up in ADL")), figures(in_unit(report, "Gained")),
    ]  # fmt: skip
    spans = [span for fund in report.funds for span in fund.spans if span.state == AdlState.ADL]
    rows: list[list[Content]] = []
    for number, marks in report.market.marks.items():
        fills = [fill for fill in report.tape if fill.instrument == number]
        waves = [wave.row for wave in report.waves if wave.row["instrument"] == number]
        inside = [span.end_us - span.start_us for span in spans if span.instrument == number]
        rows.append([
            report.market.symbol(number), f"{int(marks.ticks[0]):,}", f"{int(marks.ticks.min()):,}", change_text(report, number, to_lowest=True),
            change_text(report, number), f"{len(inside):,}", duration(sum(inside)) if inside else ABSENT, f"{len(fills):,}",
            cash(report, number, sum(fill.notional for fill in fills)), f"{len(waves):,}",
            *(cash(report, number, sum(wave[side] for wave in waves)) for side in ("needed_budget", "gained")),
        ])  # fmt: skip
    return table("Instruments", columns, rows)


def _fund(report: Report, fund: Fund) -> Markup:
    unit = report.market.unit(fund.asset)
    at = [
        ("Value at first", fund.opening, fund.values[0].event_time_us), ("8-hour peak at the deepest drawdown", fund.deepest.peak, None),
        ("Lowest value", fund.lowest.value, fund.lowest.event_time_us),
        ("Deepest drawdown from the 8-hour peak", fund.deepest.drawdown, fund.deepest.event_time_us),
        ("Value at last", fund.closing, fund.values[-1].event_time_us), ("Cash at last", fund.wallet, None),
        ("ADL start threshold", fund.parameters["adl_start_value"], None), ("ADL stop threshold", fund.parameters["adl_stop_value"], None),
    ]  # fmt: skip
    values = [[label, amount(unit, units), "" if time_us is None else exact_clock(time_us)] for label, units, time_us in at]
    causes = [[cause.name.lower().replace("_", " "), amount(unit, units)] for cause, units in fund.causes.items()]
    causes += [["before this log", amount(unit, fund.before)]] if fund.before else []
    total = ["cash at last", amount(unit, fund.wallet)]
    first = fund.first_entry
    entered = None if first is None else f"{report.market.symbol(first['instrument'])} at {clock(first['event_time_us'])}: {first['reason']}"
    return joined(
        tag(
            "div",
            table(f"Fund of pool {fund.pool}", [name("Figure"), figures(unit.symbol), figures("At")], values),
            table(f"Cash of pool {fund.pool} by cause, net", [name("Cause"), figures(unit.symbol)], causes, foot=total),
            class_="two",
        ),
        None if entered is None else tag("p", f"ADL was entered {counted(fund.entered(AdlState.ADL), 'time')}, first for {entered}", class_="note"),
    )


def tape_section(report: Report) -> Markup:
    """Forced fills over time, by kind, and the largest."""
    if not report.tape:
        return none("Nobody was liquidated, taken over, unwound or deleveraged: there are no forced fills in this log.")
    note = (
        "Each forced fill once, from the side of the account that was resolved (of the fund, where it unwinds). Slippage: how much worse than the "
        "mark that its instruction was decided on it was for that account, in basis points of the value at mark; negative is better than the "
        "mark. ADL and takeover go at the bankruptcy quote or the mark, as the pool says."
    )
    kinds = [
        [
            total.kind.name.lower(), f"{total.fills:,}", amount(report.market.unit(total.asset), total.notional, symbol=one_unit(report) is None),
            *(basis_points(of) for of in (total.slippage_p50_ppm, total.slippage_p95_ppm, total.slippage_worst_ppm)),
        ]
        for total in report.kinds
    ]  # fmt: skip
    columns = [
        name("Kind"), figures("Fills"), figures(in_unit(report, "Notional")), figures("Slippage p50, bp"), figures("p95, bp"),
        figures("worst, bp"),
    ]  # fmt: skip
    plots = [tape_plot(report, asset) for asset in dict.fromkeys(total.asset for total in report.kinds)]
    return joined(tag("p", note), *plots, table("Forced fills by kind", columns, kinds), _largest(report))


def _largest(report: Report) -> Markup:
    def size(fill: Forced) -> tuple[float, int, int]:
        return -report.market.unit_of(fill.instrument).rough(fill.notional), fill.event_time_us, fill.account

    columns = [
        name("Time"), words("Kind"), words("Instrument"), figures("Account"), figures("Against"), words("Side"), figures("Lots"),
        figures(in_unit(report, "Notional")), figures("Mark, ticks"), figures("Slippage, bp"),
    ]  # fmt: skip
    rows = [
        [
            exact_clock(fill.event_time_us), fill.kind.name.lower(), report.market.symbol(fill.instrument), str(fill.account),
            str(fill.counter_account),
                        "sold" if fill.lots < 0 else "bought", f"{abs(fill.lots):,}", cash(report, fill.instrument, fill.notional),
            ABSENT if fill.mark_ticks is None else f"{fill.mark_ticks:,}", basis_points(fill.slippage_ppm),
        ]
        for fill in sorted(report.tape, key=size)[:FILLS_SHOWN]
    ]  # fmt: skip
    return table(f"Largest {len(rows)} of {len(report.tape):,} forced fills", columns, rows)
