"""A TOML or JSON file with the line of every key in it: what the parsers do not keep, and what a mistake is told with.

The parsers of the standard library decide what the text means. The walk here only looks for lines, in text they have already accepted.
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streams.errors import UsageProblem

Keys = tuple[str | int, ...]  # from the top of the document down: names of keys, numbers of list elements from 0
FORMATS = (".toml", ".json")
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\])*"|\'[^\'\n]*\'|#[^\n]*|\n|[\[\]{},=:.]|[^\s\[\]{},=:."\'#]+', re.DOTALL
)
_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_END = ""


@dataclass(frozen=True, slots=True)
class Source:
    """A document and the line of each of its keys. `name`: the file as it was given."""

    name: str
    value: dict[str, Any]
    lines: dict[Keys, int]

    def line(self, keys: Keys) -> int:
        """The line of a key; where it stands nowhere in the text, that of the nearest one around it."""
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return self.lines.get(keys, 1)

    def mistake(self, keys: Keys, what: str) -> UsageProblem:
        """What is wrong at a key, told with its line."""
        return UsageProblem(f"{self.name}: line {self.line(keys)}: {what}")


def read_source(path: Path) -> Source:
    """Read a file. Raises UsageProblem with the line for text that is no document."""
    if path.suffix.lower() not in FORMATS:
        raise UsageProblem(f"{path}: a scenario is a .toml or .json file; name it so")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageProblem(f"{path} cannot be read ({error.strerror}); name a file that can") from error
    return parse_source(str(path), content, is_json=path.suffix.lower() == ".json")


def parse_source(name: str, content: bytes, *, is_json: bool) -> Source:
    """The document in these bytes. Numbers with a point stay text, never a binary float."""
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageProblem(f"{name}: line {line}: the text is not UTF-8; save the file as UTF-8") from error
    value = _parsed(name, text, is_json=is_json)
    if not isinstance(value, dict):
        raise UsageProblem(f"{name}: line 1: a scenario is a table of keys, not a {type(value).__name__}; see docs/scenarios.md")
    source = Source(name, value, {})
    walk = _Walk(text, source.lines)
    walk.json_document() if is_json else walk.toml_document()
    if walk.twice:
        raise source.mistake(walk.twice, f"`{walk.twice[-1]}` is given twice; keep one")
    return source


def _parsed(name: str, text: str, *, is_json: bool) -> Any:
    try:
        if is_json:
            return json.loads(text, parse_float=str, parse_constant=str)
        return tomllib.loads(text, parse_float=str)
    except json.JSONDecodeError as error:
        raise UsageProblem(f"{name}: line {error.lineno}: {error.msg}; correct the JSON") from error
    except tomllib.TOMLDecodeError as error:
        place = _TOML_PLACE.search(str(error))
        line = int(place[1]) if place and place[1] else text.rstrip("\n").count("\n") + 1
        raise UsageProblem(f"{name}: line {line}: {_TOML_PLACE.sub('', str(error))}; correct the TOML") from error
    except RecursionError as error:
        raise UsageProblem(f"{name}: brackets are nested too deep; correct the file") from error
    except ValueError as error:  # a number of thousands of digits
        raise UsageProblem(f"{name} cannot be read ({error}); correct the file") from error


@dataclass(slots=True)
class _Walk:
    """Goes through the tokens of a valid document and notes lines. `twice`: the first key of JSON that stands twice in its object."""

    text: str
    lines: dict[Keys, int]
    twice: Keys = ()
    line: int = 1
    token: str = _END
    _tokens: Iterator[re.Match[str]] = field(init=False)
    _counted_to: int = 0

    def __post_init__(self) -> None:
        self._tokens = _TOKEN.finditer(self.text)
        self._next()

    def _next(self) -> str:
        """Go on; returns the token that was. A comment is none."""
        token, match = self.token, next(self._tokens, None)
        while match and match[0].startswith("#"):
            match = next(self._tokens, None)
        if match:
            self.line += self.text.count("\n", self._counted_to, match.start())
            self._counted_to = match.start()
        self.token = match[0] if match else _END
        return token

    def _skip_lines(self) -> None:
        while self.token == "\n":
            self._next()

    def _note(self, keys: Keys, line: int) -> None:
        for length in range(1, len(keys) + 1):
            self.lines.setdefault(keys[:length], line)

    def json_document(self) -> None:
        """One value."""
        self._skip_lines()
        self._value(())

    def toml_document(self) -> None:
        """Headers and keys, a line each."""
        table: Keys = ()
        counts: dict[Keys, int] = {}
        self._skip_lines()
        while self.token != _END:
            table = self._header(counts) if self.token == "[" else self._toml_member(table)
            self._skip_lines()

    def _header(self, counts: dict[Keys, int]) -> Keys:
        line, opening = self.line, self._next()
        is_element = self.token == opening
        if is_element:
            self._next()
        *parents, last = self._key(lambda token: token == "]")
        while self.token == "]":
            self._next()
        keys: Keys = ()
        for part in parents:
            keys = (*keys, part)
            keys = (*keys, counts[keys]) if keys in counts else keys
        keys = (*keys, last)
        if is_element:
            counts[keys] = counts.get(keys, -1) + 1
            keys = (*keys, counts[keys])
        self._note(keys, line)
        return keys

    def _toml_member(self, table: Keys) -> Keys:
        self._member(table)
        return table

    def _member(self, table: Keys) -> None:
        line = self.line
        keys = (*table, *self._key(lambda token: token in ("=", ":")))
        self._next()
        if keys in self.lines and not self.twice:
            self.twice = keys
        self._note(keys, line)
        self._skip_lines()
        self._value(keys)

    def _key(self, is_end: Callable[[str], bool]) -> list[str]:
        parts = []
        while not is_end(self.token) and self.token != _END:
            token = self._next()
            if token not in (".", "\n"):
                parts.append(_unquoted(token))
        return parts

    def _value(self, keys: Keys) -> None:
        if self.token == "[":
            self._sequence("]", keys)
        elif self.token == "{":
            self._sequence("}", keys)
        else:
            while self.token not in (",", "]", "}", "\n", _END):
                self._next()

    def _sequence(self, closing: str, keys: Keys) -> None:
        self._next()
        index = 0
        self._skip_lines()
        while self.token not in (closing, _END):
            if closing == "]":
                self._note((*keys, index), self.line)
                self._value((*keys, index))
                index += 1
            else:
                self._member(keys)
            self._skip_lines()
            if self.token == ",":
                self._next()
                self._skip_lines()
        self._next()


def _unquoted(token: str) -> str:
    if token.startswith('"'):
        try:
            return str(json.loads(token))
        except ValueError:  # an escape that only TOML knows
            return token[1:-1]
    return token.strip("'")
