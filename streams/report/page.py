"""The page: sections in the order in which a risk desk asks, one file, no script, nothing fetched. Its policy allows its own style only."""

import hashlib
from base64 import b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from streams.report.adl_sections import hits_section, policies_section, recorded_section, waves_section
from streams.report.market_sections import tape_section, timeline_section
from streams.report.markup import Markup, joined, tag
from streams.report.model import Report
from streams.report.summary import checks, tiles, verdict
from streams.report.tables import none
from streams.report.trust_sections import near_section, quality_section
from streams.report.writing import date_and_clock, duration

SECTIONS: Final[tuple[tuple[str, str, Callable[[Report], Markup | None]], ...]] = (
    ("timeline", "Prices, states and fund", timeline_section), ("tape", "Liquidation tape", tape_section), ("waves", "Waves", waves_section),
    ("policies", "Policies side by side", policies_section), ("hit", "Who was hit", hits_section), ("near", "Near liquidation", near_section),
    ("recorded", "Beside the recorded day", recorded_section), ("quality", "Data quality", quality_section),
)  # fmt: skip
QUESTION: Final = "SELECT symbol, account, lots, rank, of_n, gave_up, gained, reason FROM desk_ladder LIMIT 5"  # to begin with
SOURCES: Final[Mapping[str, tuple[str, ...]]] = {  # streams that a section is told from
    "timeline": ("instruments", "pools", "marks", "pool-states", "fund-ledger"), "tape": ("fills", "instructions"),
    "waves": ("adl-waves", "adl-executions", "adl-candidates", "adl-decisions"),
    "policies": ("adl-waves", "adl-candidates", "adl-decisions", "adl-probes"), "hit": ("adl-executions",),
    "near": ("account-states", "shard-totals"), "recorded": ("adl-waves", "adl-executions"),
    "quality": ("marks", "dead-letters", "insolvencies", "shard-totals"),
}  # fmt: skip
STYLE: Final = Path(__file__).with_name("style.css")


def page(report: Report) -> str:
    """The whole document."""
    style = STYLE.read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; style-src 'sha256-{b64encode(hashlib.sha256(style.encode()).digest()).decode()}'; base-uri 'none'; form-action 'none'"
    )
    title = f"Backstop report: {report.origin.title}"
    head = tag(
        "head", tag("meta", charset="utf-8"), tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"), tag("meta", name="referrer", content="no-referrer"),
        tag("title", title), tag("style", Markup(style)),
    )  # fmt: skip
    told = [(key, heading, _whole(report, key, section(report))) for key, heading, section in SECTIONS]
    shown = [(key, heading, content) for key, heading, content in told if content is not None]
    body = tag(
        "body", tag("a", "Skip to the report", class_="skip", href="#report"), _patterns(),
        tag(
            "div", _header(report), verdict(report), _contents([("checks", "Checks"), *((key, heading) for key, heading, _ in shown)]),
            tag("main", tiles(report), _section("checks", "Checks and digests", checks(report)), *(_section(*part) for part in shown), id="report"),
            _footer(report), class_="page",
        ),
    )  # fmt: skip
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _whole(report: Report, key: str, content: Markup | None) -> Markup | None:
    """The section, and before it what it is told from and this log does not have."""
    absent = [stream for stream in SOURCES[key] if stream not in report.counts]
    if content is None or not absent:
        return content
    return joined(none(f"Not in this log: {', '.join(absent)}. What is told from there cannot be known here."), content)


def _header(report: Report) -> Markup:
    facts = [tag("li", f"{name} ", tag("b", value)) for name, value in report.origin.facts.items()]
    span = f"{date_and_clock(report.start_us)} to {date_and_clock(report.end_us)} UTC"
    return tag(
        "header", tag("p", "Backstop run report", class_="over"), tag("h1", report.origin.title),
        tag("p", f"Event time {span} ({duration(report.end_us - report.start_us)})"), tag("ul", *facts, class_="facts"),
    )  # fmt: skip


def _contents(entries: list[tuple[str, str]]) -> Markup:
    return tag("nav", tag("ul", *(tag("li", tag("a", heading, href=f"#{key}")) for key, heading in entries)), aria_label="Sections")


def _section(key: str, heading: str, content: Markup) -> Markup:
    return tag("section", tag("h2", heading, id=f"{key}-heading"), content, id=key, aria_labelledby=f"{key}-heading")


def _footer(report: Report) -> Markup:
    where = report.origin.directory
    commands = (
        ("the run is what it was", f"backstop verify --dir {where}"),
        ("its inputs lead to the same again", f"backstop replay --dir {where}"),
        ("any other question", f'backstop query --dir {where} "{QUESTION}"'),
    )
    lines = [tag("p", f"{what}: ", tag("code", command)) for what, command in commands]
    note = (
        "Tables are exact to the last settlement unit and come from the recorded log. Plots are drawn in floating point. Account numbers are shown "
        "in full: this page is the operator's own and carries what its log carries; treat it alike."
    )
    return tag("footer", tag("p", note), *lines)


def _patterns() -> Markup:
    """Patterns beside the colours, once for all plots."""

    def pattern(key: str, fill: str, line: str, d: str) -> Markup:
        size = {"width": 6, "height": 6}
        return tag("pattern", tag("rect", **size, class_=fill), tag("path", d=d, class_=line), id=key, patternUnits="userSpaceOnUse", **size)

    return tag(
        "svg",
        tag(
            "defs", pattern("p-takeover", "b-green", "l-paper", "M-1 1L1 -1M0 6L6 0M5 7L7 5"),
            pattern("p-unwind", "b-amber", "l-edge", "M1.5 0V6"), pattern("p-adl", "b-red", "l-paper", "M0 0L6 6M-1 5L1 7M5 -1L7 1"),
        ),
        class_="defs", aria_hidden="true",
    )  # fmt: skip
