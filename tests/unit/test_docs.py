"""What the documentation says exists, exists: streams, links, paths, tests, commands and verbs. Its figures and sentences are for reviewers."""

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from streams.cli import app
from streams.topics import ACCOUNTS_READS, FOREVER_MS, POOLS_READS, STREAMS, WEEK_MS
from tests.support.source import ROOT, modules

TOP = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
PAGES = [ROOT / name for name in TOP] + sorted((ROOT / "docs").rglob("*.md"))
PATH = re.compile(r"(?:streams|tests|schemas|infra|docs|typings)/[\w./*\[\]-]*|\.ci/run|(?:pyproject\.toml|requirements\.lock|LICENSE|Makefile)$")
SHORT_PATH = re.compile(r"`([a-z_]+/(?:[\w/]+\.py)?)`")  # in the README's way of one fill, below streams/
KEPT = {FOREVER_MS: "for ever", WEEK_MS: "a week"}


def prose(page: Path) -> str:
    """The page without fenced blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def named(page: Path) -> str:
    """How failures name the page."""
    return page.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    """What can be linked to in a page: its headings, as a forge spells them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", prose(page))


def spans(page: Path) -> list[str]:
    return re.findall(r"`([^`\n]+)`", prose(page))


@cache
def functions_of(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        if link.startswith("https://"):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken, f"{named(page)} links to what is not there"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_path_and_test_that_is_named_exists(page: Path) -> None:
    wrong = []
    for span in spans(page):
        place, _, test = span.partition("::")
        if not PATH.fullmatch(place):
            continue
        found = sorted(ROOT.glob(place.rstrip("/")))
        if not found or (test and test not in functions_of(found[0])):
            wrong.append(span)
    assert not wrong, f"{named(page)} names what is not there"


def test_the_way_of_a_fill_names_files_that_exist() -> None:
    way = (ROOT / "README.md").read_text(encoding="utf-8").split("## The way of one fill")[1].split("\n## ")[0]
    files = [name for name in SHORT_PATH.findall(way) if not name.startswith(("streams/", "schemas/"))]
    assert "risk/book.py" in files
    assert [name for name in files if not (ROOT / "streams" / name).exists()] == []


def test_every_room_is_on_the_map() -> None:
    rooms = {f"streams/{path.parent.name}" for path in (ROOT / "streams").glob("*/__init__.py")}
    assert set(re.findall(r"^\| `(streams/\w+)` \|", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)) == rooms


def test_the_table_of_streams_is_that_of_the_code() -> None:
    section = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").split("\n## Streams")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("| `")]
    assert [row[0].strip("`") for row in rows] == list(STREAMS)
    for (name, schema, topic, key, partitions, writer, readers, kept), stream in zip(rows, STREAMS.values(), strict=True):
        stated = (schema, topic.strip("`"), key, partitions, writer, kept)
        assert stated == (stream.schema, stream.topic, stream.key, stream.partitioning.value, stream.written_by, KEPT[stream.retention_ms]), name
        tasks = {reader.strip() for reader in readers.split(",")} & {"accounts", "pools"}
        assert tasks == {task for task, reads in (("accounts", ACCOUNTS_READS), ("pools", POOLS_READS)) if stream.topic in reads}, name


def test_every_page_that_the_code_refers_to_exists() -> None:
    named_by = {page: module.place for module in modules("streams") for page in re.findall(r"docs/[\w/-]+\.md", module.text)}
    assert named_by
    assert {page: place for page, place in named_by.items() if not (ROOT / page).exists()} == {}


def test_glossary_terms_are_sorted_and_unique() -> None:
    terms = re.findall(r"^### (.+)$", (ROOT / "docs/glossary.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert terms == sorted(set(terms))


def examples(page: Path, command: str) -> Iterator[list[str]]:
    """Words of the lines in fenced blocks, and of the spans, that call a command."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for line in (*"\n".join(blocks).splitlines(), *spans(page)):
        if re.match(rf"(\.venv/bin/)?{command} [a-z]", line):
            yield shlex.split(line, comments=True)[1:]


def problem_of(words: list[str]) -> str | None:
    """What the command line does not know of these words."""
    command: Any = typer.main.get_command(app)
    while words and getattr(command, "commands", None):
        if words[0] not in command.commands:
            return f"no command {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    known = {option for parameter in command.params for option in parameter.opts}
    unknown = [word for word in words if re.match(r"--?[a-z]", word) and word not in known]
    return f"no option {unknown[0]}" if unknown else None


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_that_are_shown_exist(page: Path) -> None:
    assert [(words, problem) for words in examples(page, "backstop") if (problem := problem_of(words))] == []


def test_every_command_has_an_example_in_the_readme() -> None:
    shown = {" ".join(words[: 2 if words[0] == "topics" else 1]) for words in examples(ROOT / "README.md", "backstop")}
    assert shown >= {"demo", "verify", "replay", "query", "worker", "topics create", "topics check"}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_verbs_that_are_shown_exist(page: Path) -> None:
    verbs = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert [words[0] for words in examples(page, "make") if words[0] not in verbs] == []
