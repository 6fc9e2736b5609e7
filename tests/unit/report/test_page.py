"""The page: well-formed, nothing in it that a log could smuggle in, words where there is nothing to plot, readable without a mouse."""

import asyncio
import base64
import hashlib
import re
from dataclasses import replace
from decimal import Decimal

import pytest

from streams.bus.memory import MemoryBus
from streams.domain.events import DeadLetterReason
from streams.notify.names import Unit
from streams.report.accounts import hits_of
from streams.report.markup import Markup, joined, tag
from streams.report.model import Check, Origin, Report, report_of
from streams.report.page import STYLE, page
from streams.report.tape import totals
from streams.report.writing import MINUS
from tests.support.pages import report, section, told, tree

HOSTILE = "<script>alert(1)</script>\"'&\x00\x1b]]><img src=x onerror=y>"
SCENARIOS = [*((f"example-{letter}", None) for letter in "abcde"), ("cascade", 60), ("calm", 10)]


def empty() -> Report:
    return asyncio.run(report_of(MemoryBus(), Origin("nothing", "run/nothing"), {}))


def test_what_is_not_markup_is_escaped() -> None:
    assert tag("p", HOSTILE) == "<p>&lt;script&gt;alert(1)&lt;/script&gt;\"'&amp;\ufffd\ufffd]]&gt;&lt;img src=x onerror=y&gt;</p>"
    assert tag("a", "x", title='"><b>') == '<a title="&quot;&gt;&lt;b&gt;">x</a>'
    assert tag("p", "BTC\u202eHTE") == "<p>BTC\ufffdHTE</p>"  # the rest would be read from right to left
    assert joined(tag("b", 1_000), " & ", None) == "<b>1000</b> &amp; "
    assert isinstance(joined("x"), Markup)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario[0])
def test_pages_are_well_formed_and_fetch_nothing(scenario: tuple[str, int | None]) -> None:
    of = report(*scenario)
    root, text = tree(of), page(of)
    assert "<script" not in text
    assert not re.search(r"https?://|@import|url\((?!#)", text)
    assert not [element for element in root.iter() if {"src", "style", "onclick"} & element.attrib.keys()]
    assert {element.attrib["href"][:1] for element in root.iter() if "href" in element.attrib} == {"#"}
    assert len(text.encode()) < 2_000_000


def test_the_policy_of_the_page_allows_its_own_style_and_nothing_else() -> None:
    (policy,) = [e.attrib["content"] for e in tree(report("example-a")).iter("meta") if e.attrib.get("http-equiv") == "Content-Security-Policy"]
    (style,) = [e.text or "" for e in tree(report("example-a")).iter("style")]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def hostile() -> Report:
    """Example A, with whatever a log may carry as text replaced."""
    of = report("example-a")
    instruments = {number: {**row, "symbol": HOSTILE} for number, row in of.market.instruments.items()}
    hits = [replace(hit, executions=[replace(e, row={**e.row, "reason": HOSTILE}) for e in hit.executions]) for hit in of.hits]
    letter = {
        "event_time_us": 2_000, "reason": int(DeadLetterReason.BAD_VALUE), "source_topic": HOSTILE, "source_partition": 0, "source_offset": 7,
        "account": None, "task": HOSTILE, "shard": 0, "detail": HOSTILE,
    }  # fmt: skip
    funds = [replace(fund, spans=[replace(span, reason=span.reason and HOSTILE) for span in fund.spans]) for fund in of.funds]
    quality = replace(of.quality, dead_letters=[letter], by_reason={(DeadLetterReason.BAD_VALUE, HOSTILE): 1})
    origin = Origin(HOSTILE, HOSTILE, {HOSTILE: HOSTILE}, [Check(HOSTILE, False, HOSTILE)], {HOSTILE: HOSTILE})
    return replace(of, origin=origin, market=replace(of.market, instruments=instruments), hits=hits, quality=quality, funds=funds)


def test_hostile_texts_of_a_log_are_shown_and_do_nothing() -> None:
    of = hostile()
    root = tree(of)
    assert not list(root.iter("script"))
    assert not list(root.iter("img"))
    assert told(root).count("<script>alert(1)</script>") > 10
    assert {element.tag for element in root.iter()} == {element.tag for element in tree(replace(of, origin=report("example-a").origin)).iter()}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario[0])
def test_every_table_can_be_reached_by_keyboard_and_says_what_it_is(scenario: tuple[str, int | None]) -> None:
    root = tree(report(*scenario))
    boxes = [element for element in root.iter("div") if element.attrib.get("class") == "scroll"]
    assert len(boxes) == len(list(root.iter("table")))
    for box in boxes:
        assert (box.attrib["tabindex"], box.attrib["role"]) == ("0", "region")
        (caption,) = box.iter("caption")
        assert told(caption) == " ".join(box.attrib["aria-label"].split())
        assert all(head.attrib["scope"] == "col" for head in box.findall("./table/thead/tr/th"))
        assert all(head.attrib["scope"] == "row" for head in box.findall("./table/tbody/tr/th"))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario[0])
def test_every_plot_has_a_title_and_words_for_who_cannot_see_it(scenario: tuple[str, int | None]) -> None:
    root = tree(report(*scenario))
    ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    assert len(ids) == len(set(ids))
    plots = [element for element in root.iter("svg") if element.attrib.get("role") == "img"]
    assert plots
    for plot in plots:
        labels = plot.attrib["aria-labelledby"].split()
        assert [child.attrib["id"] for child in plot if child.tag in ("title", "desc")] == labels
        assert all(told(child) for child in plot if child.tag in ("title", "desc"))
    assert {e.attrib.get("aria-hidden") for e in root.iter("svg") if e.attrib.get("role") != "img"} == {"true"}


def test_every_section_is_in_the_contents() -> None:
    root = tree(report("cascade", 60))
    links = [link.attrib["href"] for link in root.findall(".//nav//a")]
    assert links == [f"#{of.attrib['id']}" for of in root.iter("section")]


def test_example_a_is_told_in_its_own_figures() -> None:
    of = report("example-a")
    assert "16.6 %" in told(section(of, "waves"))
    assert "BTC: 6 of your 6 lots (short) were closed at the bankruptcy quote" in told(section(of, "hit"))
    assert "Against the mark you gave up 12 USD." in told(section(of, "hit"))  # (90 - 88) x 6
    assert "takeover of 8 of 10 lots refused" in told(section(of, "timeline"))


def test_amounts_in_tables_keep_every_digit() -> None:
    text = told(section(report("example-c", decimals=6), "waves"))
    assert "2.987013" in text
    assert "2.060606" in text


def test_amounts_of_several_assets_are_never_added_up_and_carry_their_symbols() -> None:
    of = report("example-c")
    instruments = {number: {**row, "asset": 2 if number == 3 else 1} for number, row in of.market.instruments.items()}
    market = replace(of.market, instruments=instruments, units={1: Unit("USD", 6), 2: Unit("EUR", 2)})
    hits, kinds = hits_of(of.executions, market), totals(of.tape, market)
    mixed = replace(of, market=market, hits=hits, kinds=kinds)
    # SOL alone settles in EUR: 28 lots gave up 2,060,606 units; ETH 2,987,013 of 1e-6 USD
    tiles = told(next(e for e in tree(mixed).iter("dl")))
    assert "2.987013 USD" in tiles
    assert "20,606.06 EUR" in tiles
    assert "20,606.06 EUR" in told(section(mixed, "waves"))
    assert [kind.asset for kind in kinds] == [1, 1, 1, 2, 2, 2]
    assert len(section(mixed, "tape").findall(".//figure")) == 2


def test_a_calm_run_says_in_words_that_nothing_happened() -> None:
    of = report("calm", 10)
    assert "there are no forced fills" in told(section(of, "tape"))
    assert told(section(of, "waves")).endswith("nobody was deleveraged.")
    assert told(section(of, "policies")).endswith("nobody was deleveraged.")
    assert told(section(of, "hit")).endswith("No account was deleveraged.")
    assert "No dead letters" in told(section(of, "quality"))


@pytest.mark.parametrize("scenario", ["example-a", "cascade"])
def test_the_lines_of_a_fund_add_up_to_its_cash_at_last_as_they_are_printed(scenario: str) -> None:
    of = report(scenario, 60 if scenario == "cascade" else None, decimals=6)
    (statement,) = [t for t in section(of, "timeline").iter("table") if told(t).startswith("Cash of pool")]
    *lines, last = [[told(cell) for cell in row] for row in statement.iter("tr")][1:]  # without the heading
    read = [Decimal(amount.replace(",", "").replace(MINUS, "-")) for _, amount in (*lines, last)]
    assert (len(lines) > 1, last[0]) == (True, "cash at last")
    assert sum(read[:-1]) == read[-1]


def test_a_log_without_anything_makes_a_page_too() -> None:
    of = empty()
    assert "There are no marks in this log." in told(section(of, "timeline"))
    assert tree(of).find(".//section[@id='recorded']") is None


@pytest.mark.parametrize(
    ("holds", "head", "class_"),
    [(True, "✓ 1 check holds", "verdict"), (None, "Nothing could be looked at", "verdict broken"), (False, "✗ 1 of 1 check fails", "verdict broken")],
)
def test_the_verdict_is_said_in_words_and_not_by_colour_alone(holds: bool | None, head: str, class_: str) -> None:
    of = replace(empty(), origin=Origin("x", "run/x", checks=[Check("Replay identical", holds, "found")]))
    (verdict,) = [element for element in tree(of).iter("p") if element.attrib.get("class", "").startswith("verdict")]
    assert (told(verdict).startswith(head), verdict.attrib["class"]) == (True, class_)
    assert holds is True or "Replay identical" in told(verdict)


def colours() -> list[dict[str, str]]:
    """The named colours of the light and of the dark form."""
    return [dict(re.findall(r"--(\w+): (#[0-9a-f]+);", block)) for block in re.findall(r":root \{(.*?)\}", STYLE.read_text(), flags=re.DOTALL)]


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[n : n + 2], 16) / 255 for n in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast ratio, WCAG 2.2."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_texts_and_lines_can_be_told_from_the_paper_in_both_forms() -> None:
    light, dark = colours()
    for form in (light, dark):
        for ink in ("ink", "soft", "good", "bad", "blue"):
            assert contrast(form[ink], form["paper"]) >= 4.5, ink  # text: 1.4.3
            assert contrast(form[ink], form["sheet"]) >= 4.5, ink
        for mark in ("blue", "green", "red", "pink", "line", "focus"):
            assert contrast(form[mark], form["paper"]) >= 3, mark  # graphics: 1.4.11; amber is drawn with dark lines on it
