"""Reports of scenarios on the memory bus, and a page read back as a tree."""

import asyncio
import json
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

from streams.bus.manifest import write_manifest
from streams.notify.names import Unit
from streams.report.model import Origin, Report, report_of
from streams.report.page import page
from streams.venue.scenarios.registry import build
from tests.support.pipeline import Ran, run
from tests.support.recorded import recorded_run


@cache
def ran(scenario: str, accounts: int | None = None) -> Ran:
    return run(build(scenario, accounts, 1, 8))


@cache
def report(scenario: str, accounts: int | None = None, *, decimals: int = 0) -> Report:
    """What the page of a scenario tells; asset 1 with so many decimals."""
    return asyncio.run(report_of(ran(scenario, accounts).bus, Origin(scenario, f"run/{scenario}"), {1: Unit("USD", decimals)}))


def tree(of: Report) -> ElementTree.Element:
    """The page as a tree; an error where it is not well-formed."""
    doctype, _, document = page(of).partition("\n")
    assert doctype == "<!DOCTYPE html>"
    return ElementTree.fromstring(document)


def told(element: ElementTree.Element) -> str:
    """All text of an element, spaces as one."""
    return " ".join("".join(element.itertext()).split())


def section(of: Report, key: str) -> ElementTree.Element:
    found = tree(of).find(f".//section[@id='{key}']")
    assert found is not None
    return found


def recorded_as(directory: Path, scenario: str, *, accounts: int | None = None) -> None:
    """A directory as a demo of the scenario leaves it, without tables and without what only the run could see."""
    recorded_run(directory, scenario, accounts=accounts)
    plan = json.loads((directory / "run.json").read_bytes())
    (directory / "run.json").write_text(json.dumps(plan | {"scenario": scenario, "deployment": "demo"}), encoding="utf-8")
    write_manifest(directory)
