"""Avro by other means than the code under test: rows drawn from the .avsc files, avro-python3 as oracle, the fingerprint bit by bit."""

import io
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import avro.io
import avro.schema
from hypothesis import strategies as st

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
NAMES = sorted(path.stem for path in SCHEMAS.glob("*.avsc"))
NULL = -(2**63)
Json = Any


@cache
def text(name: str) -> str:
    return (SCHEMAS / f"{name}.avsc").read_text(encoding="utf-8")


@cache
def resolved(name: str) -> Json:
    """The schema file as JSON, names of types replaced by what they name."""
    return _resolve(json.loads(text(name)), {})


def _resolve(node: Json, named: dict[str, Json]) -> Json:
    if isinstance(node, str):
        return named.get(node, node)
    if isinstance(node, list):
        return [_resolve(branch, named) for branch in node]
    if node["type"] == "record":
        node = {**node, "fields": [{**field, "type": _resolve(field["type"], named)} for field in node["fields"]]}
    elif node["type"] == "array":
        node = {**node, "items": _resolve(node["items"], named)}
    if "name" in node:
        named[node["name"]] = node
    return node


def enums(node: Json) -> Iterator[Json]:
    """Every enum of a resolved schema."""
    if isinstance(node, list):
        for branch in node:
            yield from enums(branch)
    elif isinstance(node, dict):
        if node["type"] == "enum":
            yield node
        for field in node.get("fields", ()):
            yield from enums(field["type"])
        yield from enums(node.get("items", ()) or [])


def is_flat(name: str) -> bool:
    """Whether the schema holds only long, int, string, enum and these or null."""
    kinds = [branch for field in resolved(name)["fields"] for branch in (field["type"] if isinstance(field["type"], list) else [field["type"]])]
    return all(kind in ("null", "long", "int", "string") or (isinstance(kind, dict) and kind["type"] == "enum") for kind in kinds)


def values(node: Json) -> st.SearchStrategy[Any]:
    """Values of a resolved type as our rows hold them: enums as codes."""
    if isinstance(node, list):
        return st.none() | values(node[1])
    match node if isinstance(node, str) else node["type"]:
        case "long":
            return st.integers(NULL + 1, 2**63 - 1)
        case "int":
            return st.integers(-(2**31), 2**31 - 1)
        case "string":
            return st.text(max_size=20)
        case "bytes":
            return st.binary(max_size=40)
        case "fixed":
            return st.binary(min_size=node["size"], max_size=node["size"])
        case "enum":
            return st.integers(0, len(node["symbols"]) - 1)
        case "array":
            return st.lists(values(node["items"]), max_size=3)
        case "record":
            return st.fixed_dictionaries({field["name"]: values(field["type"]) for field in node["fields"]})
    raise AssertionError(f"no values for {node!r}")


def rows(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Rows of a schema."""
    return values(resolved(name))


def spoken(node: Json, value: Any) -> Any:
    """A row as other Avro libraries take it: enum codes become symbols."""
    if value is None:
        return None
    if isinstance(node, list):
        return spoken(node[1], value)
    match node if isinstance(node, str) else node["type"]:
        case "enum":
            return node["symbols"][value]
        case "array":
            return [spoken(node["items"], item) for item in value]
        case "record":
            return {field["name"]: spoken(field["type"], value[field["name"]]) for field in node["fields"]}
    return value


@cache
def _oracle(name: str) -> Any:
    return avro.schema.parse(text(name))


def oracle_write(name: str, datum: Any) -> bytes:
    """The datum's bytes by avro-python3."""
    stream = io.BytesIO()
    avro.io.DatumWriter(_oracle(name)).write(datum, avro.io.BinaryEncoder(stream))
    return stream.getvalue()


def oracle_read(name: str, body: bytes) -> Any:
    """The datum by avro-python3."""
    return avro.io.DatumReader(_oracle(name)).read(avro.io.BinaryDecoder(io.BytesIO(body)))


EMPTY = 0xC15D213AA4D7A795


def crc_64_avro(data: bytes) -> int:
    """The fingerprint of the Avro specification, section "Schema Fingerprints", bit by bit."""
    crc = EMPTY
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (EMPTY if crc & 1 else 0)
    return crc


def zigzag(number: int) -> bytes:
    """A whole number as the Avro specification writes it: zigzag, then seven bits a byte, lowest first."""
    rest = 2 * number if number >= 0 else -2 * number - 1
    out = bytearray()
    while rest >= 128:
        out.append(rest % 128 + 128)
        rest //= 128
    out.append(rest)
    return bytes(out)
