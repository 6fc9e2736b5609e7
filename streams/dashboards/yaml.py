"""Provisioning files as YAML: mappings, lists, words, numbers. Words are double-quoted, as JSON spells them; text of several lines stands as a block.

The subset is written and never read here, so that it needs no library and its bytes depend on no library's version.
"""

import json
from collections.abc import Iterator
from typing import Any


def to_yaml(comment: str, document: dict[str, Any]) -> bytes:
    """A whole file: what it is for, then the document."""
    return "\n".join([*(f"# {line}" for line in comment.splitlines()), *_lines(document), ""]).encode()


def _lines(node: Any, indent: str = "") -> Iterator[str]:
    match node:
        case dict() if node:
            for key, value in node.items():
                yield from _entry(f"{indent}{key}:", value, indent + "  ")
        case list() if node:
            for value in node:
                first, *rest = _lines(value, indent + "  ")
                yield f"{indent}- {first.removeprefix(indent + '  ')}"
                yield from rest
        case _:
            yield indent + _scalar(node)


def _entry(head: str, value: Any, indent: str) -> Iterator[str]:
    match value:
        case dict() | list() if value:
            yield head
            yield from _lines(value, indent)
        case str() if "\n" in value:
            yield f"{head} |-"
            yield from (f"{indent}{line}".rstrip() for line in value.splitlines())
        case _:
            yield f"{head} {_scalar(value)}"


def _scalar(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)  # also true, null, numbers, {} and []
