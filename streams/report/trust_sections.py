"""Sections about what may come and what may be wrong: groups near liquidation, the quality of marks, dead letters, losses nobody has borne."""

import itertools

from streams.domain.events import DeadLetterReason, Grade
from streams.notify.names import counted
from streams.report.accounts import BANDS, Near
from streams.report.market_sections import in_unit, one_unit
from streams.report.markup import Content, Markup, joined, tag
from streams.report.model import Report
from streams.report.plots import crowd_plot
from streams.report.tables import amount, figures, name, none, table, words
from streams.report.writing import ABSENT, basis_points, clock, duration, exact_clock, money

LETTERS_SHOWN, HEATS = 20, (0.0, 0.08, 0.3)  # a cell is warmer from these parts of the fullest on


def near_section(report: Report) -> Markup:
    """Groups below a level over time, and the map of the worst moment."""
    last = ", ".join(f"{count:,} {state.name.lower()}" for state, count in report.states.items()) or "nothing was said of any group"
    note = f"Of each solvency group the last crossing counts. At the end, by what was last said: {last}."
    if not any(sum(crowd.groups) for crowd in report.crowds) and not report.near:
        return joined(tag("p", note), none("No group stood below a level at the end of any event second."))
    plot = crowd_plot(report) if any(sum(crowd.groups) for crowd in report.crowds) else None
    return joined(tag("p", note), plot, _map(report) if report.near else None)


def _map(report: Report) -> Markup:
    bands = [f"below {BANDS[0]} %", *(f"{low // 10_000} to {high // 10_000} %" for low, high in itertools.pairwise(BANDS)), "above"]
    columns = [name("Groups"), *(figures(band) for band in bands), figures(in_unit(report, "Equity")), figures(in_unit(report, "Maintenance"))]
    grouped: dict[tuple[int, int | None], list[Near]] = {}
    for cell in report.near:
        grouped.setdefault((cell.asset, cell.instrument), []).append(cell)
    fullest = max(cell.groups for cell in report.near)
    rows: list[list[Content]] = []
    for (asset, instrument), cells in grouped.items():
        counts = dict.fromkeys(range(len(BANDS) + 1), 0) | {cell.band: cell.groups for cell in cells}
        unit, several = report.market.unit(asset), one_unit(report) is None
        sums = [amount(unit, sum(getattr(cell, of) for cell in cells), symbol=several) for of in ("equity", "maintenance")]
        label = f"cross{f' ({unit.symbol})' if several else ''}" if instrument is None else report.market.symbol(instrument)
        rows.append([label, *(_heat(count, fullest) for count in counts.values()), *sums])
    caption = f"Groups by equity / maintenance at {clock(report.worst_us)}, when most were below a level (as of each group's last crossing)"
    return table(caption, columns, rows)


def _heat(count: int, fullest: int) -> Markup:
    level = sum(count > fullest * edge for edge in HEATS)
    return tag("span", f"{count:,}" if count else "·", class_=f"heat h{level}" if level else "fine")


def quality_section(report: Report) -> Markup:
    """Marks, dead letters, suspects, deficits."""
    quality = report.quality
    deficits = [
        f"pool {pool}: {counted(count, 'deficit')} of {money(report.market.unit(report.market.pools[pool]['asset']), owed)} in all"
        for pool, count, owed in quality.deficits
        if pool in report.market.pools
    ]
    told = (
        f"Suspect accounts at the end: {quality.suspects:,}. Dead letters: {len(quality.dead_letters):,}. "
        f"Deficits of flat groups told to the pools: {'; '.join(deficits) or 'none'} "
        "(covers and socialised losses stand in the fund's cash by cause)."
    )
    return joined(tag("p", told), _letters(report), _marks(report))


def _letters(report: Report) -> Markup:
    quality = report.quality
    if not quality.dead_letters:
        return none("No dead letters: every record could be read and applied.")
    kinds = [[reason.name, stream, f"{count:,}"] for (reason, stream), count in quality.by_reason.items()]
    rows = [
        [
            exact_clock(row["event_time_us"]), DeadLetterReason(row["reason"]).name,
            f"{row['source_topic']}[{row['source_partition']}]@{row['source_offset']}",
            ABSENT if row["account"] is None else str(row["account"]), f"{row['task']}-{row['shard']}", row["detail"],
        ]
        for row in quality.dead_letters[-LETTERS_SHOWN:]
    ]  # fmt: skip
    columns = [name("Time"), words("Reason"), words("Record"), figures("Suspect account"), words("Task"), words("Detail", "wrap")]
    return joined(
        table("Dead letters by reason", [name("Reason"), words("Stream"), figures("Records")], kinds),
        table(f"Last {len(rows)} of {len(quality.dead_letters):,} dead letters", columns, rows),
    )


def _marks(report: Report) -> Markup:
    if not report.quality.marks:
        return none("There are no marks in this log.")
    columns = [
        name("Instrument"), figures("Marks"), *(figures(grade.name) for grade in Grade if grade is not Grade.UNKNOWN),
        figures("Sequence numbers missing"), figures("out of order"), figures("Longest silence"), figures("Widest basis to index, bp"),
    ]  # fmt: skip
    rows = [
        [
            report.market.symbol(of.instrument), f"{of.marks:,}", *(f"{of.grades.get(grade, 0):,}" for grade in Grade if grade is not Grade.UNKNOWN),
            f"{of.gaps:,}", f"{of.regressions:,}", ABSENT if of.longest_silence_us is None else duration(of.longest_silence_us),
            basis_points(of.widest_basis_ppm),
        ]
        for of in report.quality.marks
    ]  # fmt: skip
    return table("Marks", columns, rows)
