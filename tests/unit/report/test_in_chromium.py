"""The page in a real browser, as wide as a desk's screen and as a telephone: no complaint, nothing wider than the window, all of it reachable."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.report.page import page
from tests.support.browser import Browser, chromium, opened
from tests.support.pages import report

pytestmark = pytest.mark.chromium
SCENARIOS = {"cascade": 60, "example-a": None, "calm": 10}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as process:
        yield process


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("pages")
    paths = {}
    for name, accounts in SCENARIOS.items():
        paths[name] = directory / f"{name}.html"
        paths[name].write_text(page(report(name, accounts, decimals=6)), encoding="utf-8")
    return paths


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 768, 390])
@pytest.mark.parametrize("name", SCENARIOS)
def test_nothing_is_complained_of_and_nothing_is_wider_than_the_window(
    browser: Browser, pages: dict[str, Path], name: str, width: int, dark: bool
) -> None:
    shown = opened(browser, pages[name], width, dark=dark)
    assert shown.evaluate("document.documentElement.clientWidth") == width
    assert shown.evaluate("document.documentElement.scrollWidth") == width
    assert shown.evaluate("document.styleSheets.length") == 1  # the page's policy lets its own style through
    assert shown.complaints() == []
    paper = shown.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(20, 23, 26)" if dark else "rgb(255, 255, 255)")


@pytest.mark.parametrize(("width", "form"), [(1280, "wide"), (390, "narrow")])
def test_each_plot_is_drawn_once_in_the_form_that_fits(browser: Browser, pages: dict[str, Path], width: int, form: str) -> None:
    shown = opened(browser, pages["cascade"], width)
    visible = "[...document.querySelectorAll('svg.plot')].filter(p => p.getBoundingClientRect().width > 0)"
    assert shown.evaluate(f"{visible}.length") == shown.evaluate("document.querySelectorAll('figure').length") > 0
    assert shown.evaluate(f"{visible}.every(p => p.classList.contains('{form}'))")
    letters = f"Math.min(...{visible}.flatMap(p => [...p.querySelectorAll('text')].map(t => t.getBoundingClientRect().height)))"
    assert shown.evaluate(letters) >= 10  # pixels: no label is scaled down to where it cannot be read


def test_links_and_tables_are_reached_by_tab(browser: Browser, pages: dict[str, Path]) -> None:
    shown = opened(browser, pages["example-a"], 1280)
    wanted = shown.evaluate("document.querySelectorAll('a[href], summary, [tabindex]').length")
    seen = set()
    for _ in range(wanted):
        shown.press("Tab")
        seen.add(shown.evaluate("(() => { const e = document.activeElement; return e.tagName + (e.getAttribute('aria-label') ?? e.textContent) })()"))
    assert len(seen) == wanted
    assert {kind for kind in ("A", "DIV", "SUMMARY") if any(name.startswith(kind) for name in seen)} == {"A", "DIV", "SUMMARY"}
