"""The rules between rooms, read from the syntax tree: what pure rooms may import and use, and who may put machines together."""

import ast
from collections.abc import Iterable, Iterator

import pytest

from tests.support.source import Module, modules

# Pure rooms, and the rooms of ours that each may import besides itself.
PURE: dict[str, tuple[str, ...]] = {
    "domain": (),
    "ranking": ("domain",),
    "risk": ("domain", "ranking"),
    "insurance_fund": ("domain", "ranking"),
    "adl": ("domain", "ranking"),
}
MACHINES = ("risk", "insurance_fund", "adl")
COMPOSERS = ("app", "cli", "pools", "tasks")  # files at the top of streams/
INTEGER_ROOMS = ("domain", "risk", "insurance_fund", "adl")  # ranking screens with floats and says by how much they may be wrong
PURE_LIBRARIES = {"numpy", "numba", "pyarrow", "msgspec"}
PURE_STANDARD = {
    "__future__", "abc", "bisect", "collections", "contextlib", "copy", "dataclasses", "decimal", "enum", "fractions", "functools", "hashlib",
    "heapq", "itertools", "math", "operator", "struct", "types", "typing",
}  # fmt: skip
BANNED_MODULES = {"time", "random", "uuid", "os", "asyncio", "logging", "datetime", "secrets", "threading", "pathlib", "sys", "io"}
BANNED_CALLS = {"open", "print", "input", "eval", "exec", "__import__", "hash", "id"}  # the last two differ from process to process
BANNED_ATTRIBUTES = {("np", "random"), ("numpy", "random"), ("np", "datetime64"), ("pa", "memory_map"), ("pa", "OSFile")}
SET_MAKERS = {"set", "frozenset"}
CONSUMERS = {"list", "tuple", "enumerate", "zip", "map", "filter", "iter", "next", "reversed", "dict"}  # they keep the order they are given


def pure_modules() -> list[Module]:
    return [module for module in modules("streams") if module.room in PURE]


def refuse(violations: Iterable[str], rule: str) -> None:
    found = list(violations)
    assert not found, f"{rule}:\n  " + "\n  ".join(found)


def test_pure_rooms_import_only_what_is_pure() -> None:
    def violations() -> Iterator[str]:
        for module in pure_modules():
            allowed = {f"streams.{room}" for room in (module.room, *PURE[module.room])}
            for node, name in module.imports():
                first = name.split(".")[0]
                if first == "streams" and ".".join(name.split(".")[:2]) not in allowed:
                    yield f"{module.at(node)} imports {name}; {module.room} may import {', '.join(sorted(allowed))}"
                elif first in BANNED_MODULES:
                    yield f"{module.at(node)} imports {name}: no clock, randomness, I/O, logging or threads"
                elif first not in PURE_LIBRARIES | PURE_STANDARD | {"streams"}:
                    yield f"{module.at(node)} imports {name}, which is not among the pure modules this test lists"

    refuse(violations(), "Pure rooms import only pure rooms and pure libraries")


def test_pure_rooms_read_no_clock_and_do_no_io() -> None:
    def violations() -> Iterator[str]:
        for module in pure_modules():
            for node in ast.walk(module.tree):
                match node:
                    case ast.Call(func=ast.Name(id=name)) if name in BANNED_CALLS:
                        yield f"{module.at(node)} calls {name}()"
                    case ast.Attribute(value=ast.Name(id=owner), attr=attribute) if (owner, attribute) in BANNED_ATTRIBUTES:
                        yield f"{module.at(node)} uses {owner}.{attribute}"
                    case ast.AsyncFunctionDef(name=name):
                        yield f"{module.at(node)} defines async {name}()"

    refuse(violations(), "Pure rooms are functions of their inputs")


def test_money_rooms_have_no_floats() -> None:
    def violations() -> Iterator[str]:
        for module in pure_modules():
            if module.room not in INTEGER_ROOMS:
                continue
            for node in ast.walk(module.tree):
                match node:
                    case ast.Constant(value=float(number)):
                        yield f"{module.at(node)} has the float {number}"
                    case (ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div())) as division:
                        yield f"{module.at(division)} divides with /; name the rounding (div_floor, div_ceil) or use //"
                    case ast.Call(func=ast.Name(id="float")):
                        yield f"{module.at(node)} calls float()"

    refuse(violations(), f"No float arithmetic in {', '.join(INTEGER_ROOMS)}")


def is_set(node: ast.expr, names: set[str]) -> bool:
    """Whether an expression is visibly a set: written as one, made as one, or a name bound to one."""
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id=name)):
            return name in SET_MAKERS
        case ast.BinOp(left=left, op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor(), right=right):
            return is_set(left, names) or is_set(right, names)
        case ast.Name(id=name):
            return name in names
    return False


def names_of_sets(function: ast.AST) -> set[str]:
    """Names of variables that are assigned or annotated as a set."""
    names: set[str] = set()
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if is_set(value, set()):
                names.add(name)
            case ast.AnnAssign(target=ast.Name(id=name), annotation=ast.Subscript(value=ast.Name(id="set" | "frozenset"))):
                names.add(name)
            case ast.arg(arg=name, annotation=ast.Subscript(value=ast.Name(id="set" | "frozenset"))):
                names.add(name)
    return names


def iterated(node: ast.AST) -> list[ast.expr]:
    """The expressions whose order a node takes over."""
    match node:
        case ast.For(iter=over) | ast.comprehension(iter=over) | ast.Starred(value=over):
            return [over]
        case ast.Call(func=ast.Name(id=name), args=arguments) if name in CONSUMERS:
            return arguments
        case ast.Call(func=ast.Attribute(attr="join" | "extend"), args=arguments):
            return arguments
    return []


def test_pure_rooms_iterate_over_no_set() -> None:
    def violations() -> Iterator[str]:
        for module in pure_modules():
            functions = [node for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef)]
            for scope in (module.tree, *functions):
                names = names_of_sets(scope)
                for node in ast.walk(scope):
                    yield from (f"{module.at(over)} goes through a set; sort it, or keep a dict" for over in iterated(node) if is_set(over, names))

    refuse(dict.fromkeys(violations()), "The order of a set is nobody's decision")


def test_only_composers_import_a_machine_room() -> None:
    def violations() -> Iterator[str]:
        for module in modules("streams"):
            for node, name in module.imports():
                room = name.split(".")[1] if name.startswith("streams.") else ""
                if room in MACHINES and module.room not in (room, *COMPOSERS):
                    yield f"{module.at(node)} imports {name}"

    refuse(violations(), f"Only {', '.join(f'{name}.py' for name in COMPOSERS)} put machines together")


def test_imports_are_absolute() -> None:
    relative = (f"{module.at(node)} imports {name}" for module in modules("streams") for node, name in module.imports() if name.startswith("."))
    refuse(relative, "Imports name the whole path")


@pytest.mark.parametrize(
    "source",
    [
        "for x in {1, 2}: pass",
        "a = [x for x in set(b)]",
        "seen = set()\nlist(seen)",
        "def f(seen: set[int]) -> None:\n    for x in seen: pass",
        "x = {1} | y\nfor i in x: pass",
        "print(*{1})",
    ],
)
def test_the_check_sees_a_set_being_gone_through(source: str) -> None:
    tree = ast.parse(source)
    names = names_of_sets(tree)
    assert any(is_set(over, names) for node in ast.walk(tree) for over in iterated(node))


@pytest.mark.parametrize("source", ["for x in sorted({1, 2}): pass", "seen = set()\n1 in seen", "seen = {1: 2}\nlist(seen)", "min({1, 2})"])
def test_the_check_lets_ordered_uses_of_a_set_pass(source: str) -> None:
    tree = ast.parse(source)
    names = names_of_sets(tree)
    assert not any(is_set(over, names) for node in ast.walk(tree) for over in iterated(node))
