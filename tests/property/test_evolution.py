"""Any two versions that the rules allow, drawn at random: what we read across them is what avro-python3 and fastavro read."""

import io
import json
import tempfile
from pathlib import Path
from typing import Any

import avro.io
import avro.schema
import fastavro
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.domain.events import NULL
from streams.wire import schemas
from streams.wire.codec import BATCH_FROM, Codec
from streams.wire.evolution import incompatible
from streams.wire.framing import HEADER_BYTES
from streams.wire.schemas import Kind, Schema

Json = Any
SYMBOLS = ("UNKNOWN", "A", "B", "C", "D")
LEG = {"type": "record", "name": "Leg", "fields": [{"name": "lots", "type": "long"}, {"name": "note", "type": "string", "default": "-"}]}
few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

kinds = st.sampled_from(["long", "int", "string", "bytes", "enum", "nullable", "legs"])


def avro_field(number: int, kind: str, symbols: int) -> Json:
    """A field with a default, so that it may come and go."""
    name = f"f{number}"
    match kind:
        case "enum":
            enum = {"type": "enum", "name": f"E{number}", "symbols": list(SYMBOLS[:symbols]), "default": "UNKNOWN"}
            return {"name": name, "type": enum, "default": "UNKNOWN"}
        case "nullable":
            return {"name": name, "type": ["null", "long"], "default": None}
        case "legs":
            return {"name": name, "type": {"type": "array", "items": {**LEG, "name": f"Leg{number}"}}, "default": []}
        case "string":
            return {"name": name, "type": kind, "default": "none"}
        case "bytes":
            return {"name": name, "type": kind, "default": "\u00ff\u0001"}
        case _:
            return {"name": name, "type": kind, "default": number}


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Json, Json]:
    """Two versions: each has some of the same fields, in any order, enums of any length."""
    every = draw(st.lists(kinds, min_size=1, max_size=6))
    versions = []
    for _ in range(2):
        numbers = draw(st.permutations(range(len(every))))[: draw(st.integers(0, len(every)))]
        fields = [avro_field(number, every[number], draw(st.integers(2, len(SYMBOLS)))) for number in numbers]
        versions.append({"type": "record", "name": "R", "fields": [{"name": "event_time_us", "type": "long"}, *fields]})
    return versions[0], versions[1]


def parsed(tree: Json) -> Schema:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "r.avsc"
        path.write_text(json.dumps(tree))
        return schemas._read(path)


def values(kind: Json) -> st.SearchStrategy[Any]:
    """Data as other libraries take them."""
    if isinstance(kind, list):
        return st.none() | values(kind[1])
    match kind if isinstance(kind, str) else kind["type"]:
        case "long":
            return st.integers(-(2**63) + 1, 2**63 - 1)
        case "int":
            return st.integers(-(2**31), 2**31 - 1)
        case "string":
            return st.text(max_size=8)
        case "bytes":
            return st.binary(max_size=8)
        case "enum":
            return st.sampled_from(kind["symbols"])
        case "array":
            return st.lists(values(kind["items"]), max_size=3)
        case _:
            return st.fixed_dictionaries({field["name"]: values(field["type"]) for field in kind["fields"]})


def ours(fields: tuple[schemas.Field, ...], datum: Json) -> dict[str, Any]:
    """A datum of another library as a row of ours."""
    row = {}
    for field in fields:
        value = datum[field.name]
        if field.kind is Kind.ENUM:
            value = field.symbols.index(value)
        if field.kind is Kind.ARRAY:
            value = [ours(field.fields, item) for item in value]
        if isinstance(value, str) and field.kind is Kind.BYTES:
            value = value.encode("latin-1")  # a default, which Avro writes as text
        row[field.name] = value
    return row


def by_fastavro(body: bytes, writer: Json, reader: Json) -> Json:
    return fastavro.schemaless_reader(io.BytesIO(body), fastavro.parse_schema(writer), fastavro.parse_schema(reader))


def by_avro(body: bytes, writer: Json, reader: Json) -> Json | None:
    """None where it refuses a symbol that the reader does not know: it does not know defaults of enums."""
    datum_reader = avro.io.DatumReader(avro.schema.parse(json.dumps(writer)), avro.schema.parse(json.dumps(reader)))
    try:
        return datum_reader.read(avro.io.BinaryDecoder(io.BytesIO(body)))
    except avro.io.SchemaResolutionException:
        return None


@few
@given(data=st.data(), pair=pairs())
def test_a_record_of_one_version_reads_in_another_as_in_both_other_libraries(data: st.DataObject, pair: tuple[Json, Json]) -> None:
    writer, reader = pair
    theirs, here = parsed(writer), parsed(reader)
    assert incompatible(here.fields, theirs.fields) == []
    many = data.draw(st.lists(values(writer), min_size=1, max_size=4))
    written = Codec("fills", theirs).encode([ours(theirs.fields, datum) for datum in many])
    codec = Codec("fills", here, [theirs] if theirs.fingerprint != here.fingerprint else [])
    expected = [ours(here.fields, by_fastavro(value[HEADER_BYTES:], writer, reader)) for value in written]
    assert [codec.decode_row(value) for value in written] == expected
    for value, row in zip(written, expected, strict=True):
        said = by_avro(value[HEADER_BYTES:], writer, reader)
        assert said is None or ours(here.fields, said) == row
    batch = written * BATCH_FROM  # in batches as one by one
    decoded = codec.decode(batch)
    assert (decoded.bad, decoded.good.tolist()) == ([], list(range(len(batch))))
    for field in here.fields:
        column = decoded.columns[field.name]
        got = [None if field.is_whole and value == NULL else value for value in (column if isinstance(column, list) else column.tolist())]
        assert got == [row[field.name] for row in expected] * BATCH_FROM
