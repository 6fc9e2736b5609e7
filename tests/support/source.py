"""The project's own Python files, parsed: what the checks of the house look at."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Module:
    """One file."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def place(self) -> str:
        """Path from the root of the repository."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def room(self) -> str:
        """The room of streams/ it stands in, or its own name if it stands at the top."""
        inside = self.path.relative_to(ROOT / "streams")
        return inside.parts[0].removesuffix(".py")

    def at(self, node: ast.stmt | ast.expr) -> str:
        """path:line of a node."""
        return f"{self.place}:{node.lineno}"

    def imports(self) -> Iterator[tuple[ast.stmt, str]]:
        """(statement, full name) of everything imported anywhere in the file; `from a import b` gives a.b."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node, name.name) for name in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from ((node, f"{'.' * node.level}{node.module or ''}.{name.name}") for name in node.names)


@cache
def modules(top: str) -> tuple[Module, ...]:
    """All Python files below a folder of the repository."""
    files = sorted((ROOT / top).rglob("*.py"))
    texts = [path.read_text(encoding="utf-8") for path in files]
    return tuple(Module(path, text, ast.parse(text)) for path, text in zip(files, texts, strict=True))
