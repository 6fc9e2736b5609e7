"""The checks' own reading of records: fastavro and the files in `schemas/`, nothing of the product's codecs.

An enum is read as the number that stands on the wire; the numbers' meanings are the symbols of the schema file. A value that does not name its
schema by the right fingerprint, or that is not used up to its last byte, is no record.
"""

import json
import os
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

from streams.topics import STREAMS, TOPICS

MARKER = b"\xc3\x01"
HEADER = len(MARKER) + 8  # and the fingerprint, CRC-64-AVRO, little-endian
ANNOUNCED = "BACKSTOP_SCHEMAS_ANNOUNCED"  # names the directory of versions to come
SCHEMAS = Path(__file__).parents[2] / "schemas"
Row = dict[str, Any]
Told = tuple[str, Row]  # a stream and a row of it


@cache
def _file(path: Path) -> Any:
    return json.loads(path.read_text())


@cache
def _versions(name: str, announced: str) -> dict[bytes, Path]:
    """The files of a schema, by the ten bytes before every record of theirs: the one in force, earlier ones, and those that were announced."""
    others = [path for where in (SCHEMAS / "archive", *map(Path, filter(None, [announced]))) for path in sorted(where.glob(f"{name}.v*.avsc"))]
    return {_head(path): path for path in (*others, SCHEMAS / f"{name}.avsc")}


def head(name: str) -> bytes:
    """The ten bytes before every record of the version in force."""
    return _head(SCHEMAS / f"{name}.avsc")


@cache
def _head(path: Path) -> bytes:
    return MARKER + bytes.fromhex(fingerprint(to_parsing_canonical_form(_file(path)), "CRC-64-AVRO"))


@cache
def _reader(path: Path) -> tuple[Any, dict[str, int]]:
    """The schema with every enum as the `int` that it is on the wire, and how many symbols each enum of the outermost record has."""
    sizes: dict[str, int] = {}
    plain = _plain(_file(path), sizes)
    counts = {field["name"]: sizes[kind] for field in _file(path)["fields"] if (kind := _enum_of(field["type"])) in sizes}
    return fastavro.parse_schema(plain), counts


def _plain(part: Any, sizes: dict[str, int]) -> Any:
    if isinstance(part, list):
        return [_plain(each, sizes) for each in part]
    if isinstance(part, str):
        return "int" if part in sizes else part
    if part.get("type") == "enum":
        sizes[part["name"]] = len(part["symbols"])
        return "int"
    changed = {name: _plain(part[name], sizes) for name in ("type", "items") if name in part and not _is_plain_word(part[name])}
    if "fields" in part:
        changed["fields"] = [_plain(each, sizes) for each in part["fields"]]
    if isinstance(part.get("type"), str) and part["type"] in sizes:
        changed["type"] = "int"
    return {**part, **changed}


def _is_plain_word(part: Any) -> bool:
    return part in ("record", "array", "fixed", "string", "long", "int", "bytes")


def _enum_of(kind: Any) -> str:
    """Name of the enum that a field has, alone or beside null."""
    for part in kind if isinstance(kind, list) else [kind]:
        if isinstance(part, dict) and part.get("type") == "enum":
            return str(part["name"])
        if isinstance(part, str) and part != "null":
            return part
    return ""


@cache
def symbols(name: str, field: str) -> tuple[str, ...]:
    """Symbols of an enum field of the outermost record, by their numbers."""
    kind = next(each["type"] for each in _file(SCHEMAS / f"{name}.avsc")["fields"] if each["name"] == field)
    return tuple(next(part for part in (kind if isinstance(kind, list) else [kind]) if isinstance(part, dict))["symbols"])


def read_as(name: str, value: bytes | None) -> Row | None:
    """The record of a schema file; None where the value is not one."""
    path = None if value is None else _versions(name, os.environ.get(ANNOUNCED, "")).get(value[:HEADER])
    if value is None or path is None:
        return None
    body = BytesIO(value[HEADER:])
    parsed, counts = _reader(path)
    try:
        row: Any = fastavro.schemaless_reader(body, parsed)
    except (EOFError, ValueError, IndexError, UnicodeDecodeError):
        return None
    if body.read(1) or any(row[field] is not None and not 0 <= row[field] < count for field, count in counts.items()):
        return None
    return dict(row)


def read(topic: str, value: bytes | None) -> Told | None:
    """A record's stream and row: of whichever of the topic's streams reads it; None where none does."""
    for stream in TOPICS[topic].streams:
        row = read_as(STREAMS[stream].schema, value)
        if row is not None:
            return stream, row
    return None


def row_of(stream: str, value: bytes | None) -> Row:
    """The row of a record that must be one of this stream."""
    row = read_as(STREAMS[stream].schema, value)
    assert row is not None, f"a record of {stream} that {STREAMS[stream].schema}.avsc does not read"
    return row
