"""The schema set: every `schemas/*.avsc`, parsed, canonicalised and fingerprinted by avro-python3, as a tree of fields.

Decided here: which Avro types a stream may use at all, and which schemas are flat (readable as int64 and text columns).
Not decided here: bytes; see framing, rows and batches.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Final

import avro.schema
import fastavro
from avro import schemanormalization

from streams.domain.events import NULL
from streams.errors import ConfigurationProblem

PACKAGED: Final = Path(__file__).resolve().parent.parent / "_schemas"  # where the wheel puts them
ARCHIVE: Final = "archive"
ANNOUNCED: Final = "BACKSTOP_SCHEMAS_ANNOUNCED"
_VERSION: Final = re.compile(r"([a-z_]+)\.v(\d+)\.avsc", re.ASCII)
CHECKOUT: Final = PACKAGED.parent.parent / "schemas"


class Kind(Enum):
    """Avro types in use. Floats, maps, logical types and unions other than with null are not: money is whole and fields are named."""

    LONG = "long"
    INT = "int"
    ENUM = "enum"
    STRING = "string"
    BYTES = "bytes"
    FIXED = "fixed"
    RECORD = "record"
    ARRAY = "array"


@dataclass(frozen=True, slots=True)
class Field:
    """One field.

    `is_whole`: a number or an enum, that is an int64 column and a zigzag varint on the wire; `low` and `high` bound it, inclusive.
    `fields` are those of the record, or of the array's items.
    """

    name: str
    kind: Kind
    doc: str
    nullable: bool = False
    is_whole: bool = False
    low: int = 0
    high: int = 0
    symbols: tuple[str, ...] = ()
    enum: str = ""
    size: int = 0
    fields: tuple["Field", ...] = ()
    has_default: bool = False
    default: Any = None  # as a row holds it; what a record written before the field existed has there


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """One .avsc file. `fingerprint` is the CRC-64-AVRO of the canonical form as it stands on the wire, little-endian."""

    name: str
    doc: str
    text: str
    canonical: str
    fingerprint: bytes
    parsed: Any
    fields: tuple[Field, ...]
    is_flat: bool
    symbols: Mapping[str, tuple[str, ...]]  # symbols of the enum fields at the top level


def directory() -> Path:
    """Where the schema files are: beside the installed package, or in the checkout."""
    return PACKAGED if PACKAGED.is_dir() else CHECKOUT


def schema(name: str) -> Schema:
    """The schema of `schemas/<name>.avsc`. Raises ConfigurationProblem when there is none."""
    found = schemas().get(name)
    if found is None:
        raise ConfigurationProblem(f"there is no schema {name!r} in {directory()}; it has {', '.join(schemas())}. Reinstall, or restore the file.")
    return found


def by_fingerprint(fingerprint: bytes) -> Schema | None:
    """The schema with this fingerprint, if it is one of ours."""
    return _fingerprints().get(fingerprint)


@cache
def other_versions(name: str) -> tuple[Schema, ...]:
    """Versions of a schema besides the one this code reads and writes, oldest first: earlier ones, and later ones announced before they are written.

    They are `<name>.v<number>.avsc` in `schemas/archive`, and in the directory that BACKSTOP_SCHEMAS_ANNOUNCED names. Raises ConfigurationProblem
    for a broken file, and where two versions could not be told apart.
    """
    found: dict[int, Schema] = {}
    for source in (directory() / ARCHIVE, *map(Path, filter(None, [os.environ.get(ANNOUNCED)]))):
        for path in source.glob(f"{name}.v*.avsc"):
            if match := _VERSION.fullmatch(path.name):
                found[int(match[2])] = _read(path)
    current = schemas()[name]
    versions = [found[number] for number in sorted(found)]
    for version in versions:
        if version.fingerprint == current.fingerprint and version.text != current.text:
            raise ConfigurationProblem(
                f"{version.name} and {name} differ, but have one fingerprint: docs and defaults are no part of it. Give the new one another field."
            )
    return tuple(version for version in versions if version.fingerprint != current.fingerprint)


@cache
def schemas() -> dict[str, Schema]:
    """All schemas by name."""
    return load(directory())


@cache
def _fingerprints() -> dict[bytes, Schema]:
    return {each.fingerprint: each for each in schemas().values()}


def load(source: Path) -> dict[str, Schema]:
    """Read every .avsc of a directory. Raises ConfigurationProblem for a broken file, an empty directory or two files with one fingerprint."""
    loaded = {path.stem: _read(path) for path in sorted(source.glob("*.avsc"))}
    if not loaded:
        raise ConfigurationProblem(f"no schema files in {source}. Reinstall the package, or run in a complete checkout.")
    names: dict[bytes, str] = {}
    for each in loaded.values():
        other = names.setdefault(each.fingerprint, each.name)
        if other != each.name:
            raise ConfigurationProblem(
                f"schemas {other} and {each.name} in {source} have one fingerprint: a record could not be told apart. Rename one record."
            )
    return loaded


def _read(path: Path) -> Schema:
    try:
        text = path.read_text(encoding="utf-8")
        tree = avro.schema.parse(text)
        canonical = schemanormalization.ToParsingCanonicalForm(tree)
        fields = _fields(tree)
        return Schema(
            name=path.stem,
            doc=tree.doc or "",
            text=text,
            canonical=canonical,
            fingerprint=schemanormalization.Fingerprint(canonical, "CRC-64-AVRO"),
            parsed=fastavro.parse_schema(json.loads(text)),
            fields=fields,
            is_flat=all(field.is_whole or field.kind is Kind.STRING for field in fields),
            symbols={field.name: field.symbols for field in fields if field.symbols},
        )
    # avro-python3 answers a broken schema with whatever its code trips over: KeyError, TypeError, AttributeError, its own classes.
    except Exception as error:
        raise ConfigurationProblem(f"schema file {path} cannot be used: {type(error).__name__}: {error}. Restore or correct the file.") from error


def _fields(record: Any) -> tuple[Field, ...]:
    if record.type != avro.schema.RECORD:
        raise TypeError(f"a stream's schema is a record, not {record.type!r}")
    return tuple(_with_default(_field(each.name, each.doc or "", each.type), each) for each in record.fields)


def _with_default(field: Field, parsed: Any) -> Field:
    """Avro writes a default as JSON: an enum's as its symbol, bytes as text of code points up to 255."""
    if not parsed.has_default:
        return field
    value = parsed.default
    if field.kind is Kind.ENUM and value is not None:
        value = field.symbols.index(value)
    if field.kind in (Kind.BYTES, Kind.FIXED) and value is not None:
        value = value.encode("latin-1")
    return replace(field, has_default=True, default=value)


def _field(name: str, doc: str, kind: Any) -> Field:
    nullable = kind.type == avro.schema.UNION
    if nullable:
        branches = kind.schemas
        if len(branches) != 2 or branches[0].type != avro.schema.NULL:
            raise TypeError(f"field {name!r}: the only unions in use are [null, type]")
        kind = branches[1]
    match Kind(kind.type):
        case Kind.LONG:
            # The wire could hold NULL; a column could not tell it from an absent value.
            return Field(name, Kind.LONG, doc, nullable, is_whole=True, low=NULL + 1, high=2**63 - 1)
        case Kind.INT:
            return Field(name, Kind.INT, doc, nullable, is_whole=True, low=-(2**31), high=2**31 - 1)
        case Kind.ENUM:
            symbols = tuple(kind.symbols)
            return Field(name, Kind.ENUM, doc, nullable, is_whole=True, high=len(symbols) - 1, symbols=symbols, enum=kind.name)
        case Kind.FIXED:
            return Field(name, Kind.FIXED, doc, nullable, size=kind.size)
        case Kind.RECORD:
            return Field(name, Kind.RECORD, doc, nullable, fields=_fields(kind))
        case Kind.ARRAY:
            return Field(name, Kind.ARRAY, doc, nullable, fields=_fields(kind.items))
        case plain:
            return Field(name, plain, doc, nullable)


def wire_form(fields: tuple[Field, ...]) -> dict[str, Any]:
    """An Avro schema with the same bytes in which every whole number and enum is a `long`.

    Codecs then hand out codes instead of symbols, and never cut a number that does not fit an `int` (pyruhvro would); bounds are ours to check.
    """
    return _record_form(fields, [0])


def _record_form(fields: tuple[Field, ...], serial: list[int]) -> dict[str, Any]:
    serial[0] += 1
    return {"type": "record", "name": f"R{serial[0]}", "fields": [{"name": field.name, "type": _type_form(field, serial)} for field in fields]}


def _type_form(field: Field, serial: list[int]) -> Any:
    form: Any
    match field.kind:
        case Kind.LONG | Kind.INT | Kind.ENUM:
            form = "long"
        case Kind.FIXED:
            serial[0] += 1
            form = {"type": "fixed", "name": f"F{serial[0]}", "size": field.size}
        case Kind.RECORD:
            form = _record_form(field.fields, serial)
        case Kind.ARRAY:
            form = {"type": "array", "items": _record_form(field.fields, serial)}
        case plain:
            form = plain.value
    return ["null", form] if field.nullable else form
