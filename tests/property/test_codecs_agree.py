"""Three Avro libraries and our two paths: one set of bytes, one set of values, and no bytes that make reading raise."""

import io
import json
from functools import cache
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pyruhvro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.domain.batch import Column
from streams.wire import strict
from streams.wire.codec import BATCH_FROM, Codec
from streams.wire.framing import HEADER_BYTES, header
from streams.wire.schemas import schema
from tests.support.avro import NAMES, NULL, is_flat, oracle_read, oracle_write, resolved, rows, spoken, text, zigzag

FLAT = [name for name in NAMES if is_flat(name)]
few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@cache
def codec_of(name: str) -> Codec:
    return Codec(name, schema(name))


@cache
def _fastavro(name: str) -> Any:
    return fastavro.parse_schema(json.loads(text(name)))


def fastavro_write(name: str, datum: Any) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, _fastavro(name), datum)
    return stream.getvalue()


def pyruhvro_write(name: str, data: list[Any]) -> list[bytes]:
    batch = pa.RecordBatch.from_pylist(data, schema=pyruhvro.avro_to_arrow_schema(text(name)))
    (written,) = pyruhvro.serialize_record_batch(batch, text(name), 1)
    bodies: list[bytes] = written.to_pylist()
    return bodies


def as_columns(name: str, many: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Columns written out: NULL for absent numbers and codes."""
    return {field["name"]: [_cell(field["type"], row[field["name"]]) for row in many] for field in resolved(name)["fields"]}


def _cell(node: Any, value: Any) -> Any:
    if value is None and isinstance(node, list):
        branch = node[1]
        return NULL if branch in ("long", "int") or (isinstance(branch, dict) and branch["type"] == "enum") else None
    return value


def listed(columns: dict[str, Column]) -> dict[str, list[Any]]:
    return {name: list(column) if isinstance(column, list) else column.tolist() for name, column in columns.items()}


@pytest.mark.parametrize("name", NAMES)
@few
@given(data=st.data())
def test_all_libraries_write_the_same_bytes_and_read_each_others(name: str, data: st.DataObject) -> None:
    row = data.draw(rows(name))
    datum = spoken(resolved(name), row)
    body = oracle_write(name, datum)
    assert codec_of(name).encode([row]) == [header(schema(name)) + body]
    assert fastavro_write(name, datum) == body
    assert oracle_read(name, body) == datum
    assert fastavro.schemaless_reader(io.BytesIO(body), _fastavro(name), None) == datum
    assert codec_of(name).decode_row(header(schema(name)) + body) == row
    assert strict.read(schema(name).fields, body) == row
    if is_flat(name):
        assert pyruhvro_write(name, [datum]) == [body]
        assert pyruhvro.deserialize_array([body], text(name)).to_pylist() == [datum]


@pytest.mark.parametrize("name", NAMES)
@few
@given(data=st.data())
def test_many_records_and_single_records_give_the_same_columns_and_bytes(name: str, data: st.DataObject) -> None:
    codec = codec_of(name)
    some = data.draw(st.lists(rows(name), min_size=1, max_size=4))
    many = [some[at % len(some)] for at in range(BATCH_FROM + 3)]
    together = codec.encode(many)
    assert together == [codec.encode([row])[0] for row in many]
    decoded = codec.decode(together)
    assert listed(decoded.columns) == as_columns(name, many)
    for at, value in enumerate(together[: len(some)]):
        assert listed(codec.decode([value]).columns) == as_columns(name, [many[at]])
    assert codec.encode_columns(decoded.columns, len(many)) == together
    for field in schema(name).fields:
        column = decoded.columns[field.name]
        assert isinstance(column, list) or (column.dtype == np.int64 and column.flags.writeable and column.flags.c_contiguous)


def damaged(body: bytes) -> st.SearchStrategy[bytes]:
    """Cut, lengthened, flipped, replaced, and numbers spelt longer than needed or than allowed."""
    position = st.integers(0, max(0, len(body) - 1))
    long_numbers = st.sampled_from(
        [b"\x01", b"\x80\x00", b"\x80" * 9 + b"\x01", b"\xff" * 9 + b"\x01", b"\xff" * 9 + b"\x02", b"\x80" * 10 + b"\x00", zigzag(2**40)]
    )
    return st.one_of(
        position.map(lambda at: body[:at]),
        st.binary(min_size=1, max_size=12).map(lambda tail: body + tail),
        st.tuples(position, st.integers(0, 7)).map(
            lambda flip: body[: flip[0]] + bytes([(body[flip[0]] if body else 0) ^ 1 << flip[1]]) + body[flip[0] + 1 :]
        ),
        st.tuples(position, long_numbers).map(lambda swap: body[: swap[0]] + swap[1] + body[swap[0] + 1 :]),
        st.binary(max_size=60),
        st.lists(st.sampled_from([0, 1, 2, 4, 0x7F, 0x80, 0xFF]), max_size=60).map(bytes),
    )


def outcome(name: str, body: bytes) -> Any:
    try:
        return strict.read(schema(name).fields, body)
    except strict.Unreadable as refusal:
        return refusal.reason, refusal.detail


@pytest.mark.parametrize("count", [3, BATCH_FROM + 2])
@pytest.mark.parametrize("name", NAMES)
@few
@given(data=st.data())
def test_a_damaged_datum_is_judged_as_the_strict_reader_does_and_its_neighbours_survive(name: str, count: int, data: st.DataObject) -> None:
    row = data.draw(rows(name))
    (sound,) = codec_of(name).encode([row])
    body = data.draw(damaged(sound[HEADER_BYTES:]))
    expected = outcome(name, body)
    place = data.draw(st.integers(0, count - 1))
    values: list[bytes | None] = [sound] * count
    values[place] = sound[:HEADER_BYTES] + body
    decoded = codec_of(name).decode(values)
    read = [expected if at == place else row for at in range(count)]
    if isinstance(expected, tuple):
        assert decoded.bad == [(place, *expected)]
        read.pop(place)
        assert decoded.good.tolist() == [at for at in range(count) if at != place]
    else:
        assert (decoded.bad, decoded.good.tolist()) == ([], list(range(count)))
        assert oracle_read(name, body) == spoken(resolved(name), expected)
    assert listed(decoded.columns) == as_columns(name, read)


@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(
        st.none() | st.binary(max_size=40) | st.binary(max_size=40).map(lambda tail: header(schema("fill")) + tail), max_size=BATCH_FROM * 2
    )
)
def test_no_bytes_make_reading_raise(values: list[bytes | None]) -> None:
    decoded = codec_of("fill").decode(values)
    assert sorted([*decoded.good.tolist(), *(at for at, _, _ in decoded.bad)]) == list(range(len(values)))
    assert all(len(column) == len(decoded.good) for column in decoded.columns.values())


@pytest.mark.parametrize("name", FLAT)
def test_flat_schemas_are_recognised(name: str) -> None:
    assert schema(name).is_flat


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(FLAT)))
def test_schemas_with_bytes_or_nested_records_are_not_flat(name: str) -> None:
    assert not schema(name).is_flat
