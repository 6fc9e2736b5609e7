"""The schema files: fingerprints, enums, documentation, and what happens to broken ones."""

import json
from enum import IntEnum
from pathlib import Path

import fastavro
import pytest
from avro import schemanormalization

from streams.domain import events
from streams.errors import ConfigurationProblem
from streams.topics import STREAMS
from streams.wire import schemas
from streams.wire.schemas import by_fingerprint, load, schema
from tests.support.avro import NAMES, Json, crc_64_avro, enums, resolved, text

MARK_CANONICAL = (
    '{"name":"backstop.Mark","type":"record","fields":[{"name":"event_time_us","type":"long"},{"name":"instrument","type":"int"},'
    '{"name":"mark_ticks","type":"long"},{"name":"index_ticks","type":"long"},{"name":"sequence","type":"long"},'
    '{"name":"grade","type":{"name":"backstop.Grade","type":"enum","symbols":["UNKNOWN","GOOD","STALE","OUTLIER","FROZEN"]}},'
    '{"name":"epoch","type":["null","long"]}]}'
)


# Published with Avro: share/test/data/schema-tests.txt and the tests of its Java and Ruby libraries.
@pytest.mark.parametrize(
    ("canonical", "fingerprint"),
    [('"int"', 0x7275D51A3F395C8F), ('"long"', 0xD054E14493F41DB7), ('"string"', 0x8F014872634503C7), ('"null"', 0x63DD24E7CC258F8A)],
)
def test_the_published_fingerprints_stand_little_endian(canonical: str, fingerprint: int) -> None:
    assert crc_64_avro(canonical.encode()) == fingerprint
    assert schemanormalization.Fingerprint(canonical, "CRC-64-AVRO") == fingerprint.to_bytes(8, "little")


def test_the_fingerprint_of_a_mark_is_that_of_its_canonical_form_written_out() -> None:
    assert schema("mark").canonical == MARK_CANONICAL
    assert schema("mark").fingerprint == crc_64_avro(MARK_CANONICAL.encode()).to_bytes(8, "little")


@pytest.mark.parametrize("name", NAMES)
def test_avro_python3_and_fastavro_agree_on_the_fingerprint(name: str) -> None:
    canonical = fastavro.schema.to_parsing_canonical_form(json.loads(text(name)))
    assert schema(name).canonical == canonical
    assert schema(name).fingerprint.hex() == fastavro.schema.fingerprint(canonical, "CRC-64-AVRO")
    assert schema(name).fingerprint == crc_64_avro(canonical.encode()).to_bytes(8, "little")


@pytest.mark.parametrize("name", NAMES)
def test_every_schema_is_found_by_its_fingerprint(name: str) -> None:
    assert by_fingerprint(schema(name).fingerprint) is schema(name)


def test_every_stream_has_a_schema() -> None:
    assert {stream.schema for stream in STREAMS.values()} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_enums_have_the_symbols_of_the_domain_in_their_order(name: str) -> None:
    for enum in enums(resolved(name)):
        domain = getattr(events, enum["name"])
        assert [(member.name, member.value) for member in domain] == [(symbol, code) for code, symbol in enumerate(enum["symbols"])]
        assert enum["default"] == "UNKNOWN" == enum["symbols"][0]


def test_every_enum_of_the_domain_travels_in_some_schema() -> None:
    ours = {each.__name__ for each in vars(events).values() if isinstance(each, type) and issubclass(each, IntEnum) and each is not IntEnum}
    assert ours == {enum["name"] for name in NAMES for enum in enums(resolved(name))}


def undocumented(node: Json, path: str) -> list[str]:
    """Records, enums and fields without a doc."""
    if isinstance(node, list):
        return [each for branch in node for each in undocumented(branch, path)]
    if isinstance(node, str):
        return []
    found = [] if node.get("doc") or node["type"] in ("array", "fixed") else [path]
    for field in node.get("fields", ()):
        found += ([] if field.get("doc") else [f"{path}.{field['name']}"]) + undocumented(field["type"], f"{path}.{field['name']}")
    return found + undocumented(node.get("items", []), path)


@pytest.mark.parametrize("name", NAMES)
def test_every_field_is_documented(name: str) -> None:
    assert undocumented(resolved(name), name) == []
    assert all(field.doc for field in schema(name).fields)


@pytest.mark.parametrize("name", NAMES)
def test_a_nullable_field_defaults_to_null(name: str) -> None:
    for field in resolved(name)["fields"]:
        assert not isinstance(field["type"], list) or field["default"] is None


def test_fields_carry_bounds_symbols_and_nesting() -> None:
    update = {field.name: field for field in schema("account_update").fields}
    assert (update["asset"].low, update["asset"].high) == (-(2**31), 2**31 - 1)
    assert (update["amount"].low, update["amount"].high) == (-(2**63) + 1, 2**63 - 1)
    assert (update["role"].nullable, update["role"].enum, update["role"].high) == (True, "Role", 6)
    assert schema("mark").symbols == {"grade": ("UNKNOWN", "GOOD", "STALE", "OUTLIER", "FROZEN")}
    assert [field.name for field in schema("adl_probe").fields[-1].fields] == ["instrument", "mark_ticks", "sequence"]


def record(fields: str) -> str:
    return '{"type": "record", "name": "A", "fields": [' + fields + "]}"


@pytest.mark.parametrize(
    "broken",
    [
        "{",
        "7",
        "[]",
        '"long"',
        '{"type": "record"}',
        '{"type": "record", "name": "A", "fields": 7}',
        record('{"name": "x"}'),
        record('{"name": "x", "type": "nope"}'),
        record('{"name": "x", "type": "double"}'),
        record('{"name": "x", "type": {"type": "map", "values": "long"}}'),
        record('{"name": "x", "type": ["long", "null"]}'),
        record('{"name": "x", "type": ["null", "long", "int"]}'),
        record('{"name": "x", "type": {"type": "array", "items": "long"}}'),
        record('{"name": "x", "type": {"type": "enum", "name": "E", "symbols": ["A", "A"]}}'),
    ],
)
def test_a_broken_schema_file_is_a_problem_of_configuration_that_names_it(tmp_path: Path, broken: str) -> None:
    (tmp_path / "bad.avsc").write_text(broken)
    with pytest.raises(ConfigurationProblem, match=r"bad\.avsc cannot be used"):
        load(tmp_path)


def test_two_files_with_one_fingerprint_are_refused(tmp_path: Path) -> None:
    # Docs and defaults are no part of the canonical form.
    (tmp_path / "one.avsc").write_text(record('{"name": "x", "type": "long"}'))
    (tmp_path / "two.avsc").write_text(record('{"name": "x", "type": "long", "doc": "Another."}'))
    with pytest.raises(ConfigurationProblem, match="one and two"):
        load(tmp_path)


def test_an_empty_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationProblem, match="no schema files"):
        load(tmp_path)


def test_an_unknown_name_is_a_problem_of_configuration() -> None:
    with pytest.raises(ConfigurationProblem, match="no schema 'nope'"):
        schema("nope")


def test_installed_schemas_go_before_those_of_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas, "PACKAGED", tmp_path / "absent")
    assert schemas.directory() == schemas.CHECKOUT
    monkeypatch.setattr(schemas, "PACKAGED", tmp_path)
    assert schemas.directory() == tmp_path
