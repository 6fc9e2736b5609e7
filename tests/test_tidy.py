"""House style as numbers: short functions, short files, everything annotated, no loose ends. The limits only ever get stricter."""

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from statistics import median, quantiles

from tests.support.source import ROOT, Module, modules

FUNCTION_LINES_MEDIAN, FUNCTION_LINES_P90, FUNCTION_LINES_MAX = 10, 35, 70
FILE_LINES_MEDIAN, FILE_LINES_MAX = 150, 400
DOCSTRING_LINES_MAX = 6
DEBT = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b(?!\(#\d+\))")
MACHINE_PATH = re.compile(r"/(work|tmp/scratch)/")  # a path that exists on one machine only

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions() -> Iterator[tuple[Module, Function]]:
    for module in modules("streams"):
        yield from ((module, node) for node in ast.walk(module.tree) if isinstance(node, Function))


def lines_of(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def listed(found: list[str]) -> str:
    return "\n  ".join(["", *found])


def test_functions_are_short() -> None:
    lengths = [lines_of(function) for _, function in functions()]
    assert median(lengths) <= FUNCTION_LINES_MEDIAN
    assert quantiles(lengths, n=10)[-1] <= FUNCTION_LINES_P90


def test_no_function_passes_the_limit() -> None:
    long = [f"{m.at(f)} {f.name}: {lines_of(f)} lines" for m, f in functions() if lines_of(f) > FUNCTION_LINES_MAX]
    assert not long, f"Functions have at most {FUNCTION_LINES_MAX} lines; take the leaves out:{listed(long)}"


def test_files_are_short() -> None:
    # Empty files and those that only say what a room is are left out: they would let the others grow.
    assert median(len(module.text.splitlines()) for module in modules("streams") if len(module.tree.body) > 1) <= FILE_LINES_MEDIAN


def test_no_file_passes_the_limit() -> None:
    lengths = {module.place: len(module.text.splitlines()) for module in modules("streams")}
    long = [f"{place}: {lines} lines" for place, lines in lengths.items() if lines > FILE_LINES_MAX]
    assert not long, f"Files have at most {FILE_LINES_MAX} lines; give the second subject its own:{listed(long)}"


def unannotated(function: Function) -> list[str]:
    """Names of the parameters without a type, and `return`. A method's first parameter needs none."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args]
    if named and named[0].arg in ("self", "cls"):
        named = named[1:]
    every = [*named, *arguments.kwonlyargs, *filter(None, (arguments.vararg, arguments.kwarg))]
    return [argument.arg for argument in every if argument.annotation is None] + ([] if function.returns else ["return"])


def test_everything_is_annotated() -> None:
    bare = [f"{m.at(f)} {f.name}: {', '.join(unannotated(f))}" for m, f in functions() if unannotated(f)]
    assert not bare, f"Every parameter and every return value has a type:{listed(bare)}"


def test_every_file_opens_by_saying_what_is_decided_there() -> None:
    wrong = []
    for module in (*modules("streams"), *modules("tests")):
        docstring = ast.get_docstring(module.tree)
        if not docstring:
            wrong.append(f"{module.place}: no docstring")
        elif len(docstring.splitlines()) > DOCSTRING_LINES_MAX:
            wrong.append(f"{module.place}: {len(docstring.splitlines())} lines")
    assert not wrong, f"Files open with a docstring of 1 to {DOCSTRING_LINES_MAX} lines:{listed(wrong)}"


def comments(module: Module) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def test_what_is_left_to_do_has_a_number() -> None:
    debt = [
        f"{module.place}:{line} {comment}"
        for module in (*modules("streams"), *modules("tests"))
        for line, comment in comments(module)
        if DEBT.search(comment)
    ]
    assert not debt, f"Write it as TODO(#123), or do it:{listed(debt)}"


def test_no_file_names_a_path_of_one_machine() -> None:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found = []
    for name in filter(None, listing.stdout.split("\0")):
        content = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b""
        if b"\0" in content:  # not text
            continue
        lines = content.decode("utf-8", "replace").splitlines()
        found += [f"{name}:{number} {line.strip()[:100]}" for number, line in enumerate(lines, start=1) if MACHINE_PATH.search(line)]
    assert not found, f"Paths are relative to the repository or come as settings:{listed(found)}"
