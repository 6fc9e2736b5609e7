"""Versions of a schema side by side: what an old and a new reader make of a stream in which the writer changes, and which changes are refused."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streams.cli import main
from streams.domain.events import DeadLetterReason
from streams.errors import CheckFailed, ConfigurationProblem
from streams.wire import schemas
from streams.wire.codec import Codec
from streams.wire.evolution import incompatible, reused
from streams.wire.schemas import Schema, other_versions

LONG, INT = "long", "int"


def enum(*symbols: str) -> dict[str, Any]:
    return {"type": "enum", "name": "Side", "symbols": ["UNKNOWN", *symbols], "default": "UNKNOWN"}


def version(tmp_path: Path, name: str, *fields: dict[str, Any]) -> Schema:
    """A schema of these fields behind the event time."""
    tree = {"type": "record", "name": "Trade", "fields": [{"name": "event_time_us", "type": LONG}, *fields]}
    path = tmp_path / f"{name}.avsc"
    path.write_text(json.dumps(tree))
    return schemas._read(path)


def field(name: str, kind: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


@pytest.fixture
def one(tmp_path: Path) -> Schema:
    return version(tmp_path, "trade.v1", field("lots", INT), field("side", enum("BUY")), field("old", LONG, default=7))


@pytest.fixture
def two(tmp_path: Path) -> Schema:
    """A field is wider, one is new, one is gone, and the enum has grown."""
    note = field("note", ["null", "string"], default=None)
    return version(tmp_path, "trade.v2", field("side", enum("BUY", "SELL")), field("lots", LONG), note, field("fee", LONG, default=3))


V1 = {"event_time_us": 1, "lots": 5, "side": 1, "old": 9}
V2 = {"event_time_us": 2, "lots": 6, "side": 2, "note": "late", "fee": 4}


def columns(codec: Codec, values: list[bytes]) -> dict[str, list[Any]]:
    decoded = codec.decode(values)
    assert decoded.bad == []
    assert decoded.good.tolist() == list(range(len(values)))
    return {name: list(map(int, column)) if isinstance(column, np.ndarray) else column for name, column in decoded.columns.items()}


@pytest.mark.parametrize("times", [1, 50])  # record by record, and in batches
def test_old_and_new_workers_read_a_stream_in_which_the_writer_changes(one: Schema, two: Schema, times: int) -> None:
    old, new = Codec("fills", one, [two]), Codec("fills", two, [one])
    mixed = [value for _ in range(times) for value in (*old.encode([V1]), *new.encode([V2]), *old.encode([V1]))]
    assert columns(new, mixed) == {
        "event_time_us": [1, 2, 1] * times,
        "lots": [5, 6, 5] * times,
        "side": [1, 2, 1] * times,
        "note": [None, "late", None] * times,
        "fee": [3, 4, 3] * times,
    }
    assert columns(old, mixed) == {
        "event_time_us": [1, 2, 1] * times,
        "lots": [5, 6, 5] * times,
        "side": [1, 0, 1] * times,  # a symbol that it does not know is UNKNOWN
        "old": [9, 7, 9] * times,
    }


def test_a_single_record_is_read_as_in_a_batch(one: Schema, two: Schema) -> None:
    (value,) = Codec("fills", one).encode([V1])
    assert Codec("fills", two, [one]).decode_row(value) == {"event_time_us": 1, "lots": 5, "side": 1, "note": None, "fee": 3}


def test_a_broken_record_of_another_version_is_a_dead_letter_in_its_place(one: Schema, two: Schema) -> None:
    old, new = Codec("fills", one), Codec("fills", two, [one])
    values = [*new.encode([V2]), old.encode([V1])[0][:-1], *old.encode([V1]), b"?"]
    decoded = new.decode(values)
    assert decoded.good.tolist() == [0, 2]
    assert [(at, reason) for at, reason, _ in decoded.bad] == [(1, DeadLetterReason.UNDECODABLE), (3, DeadLetterReason.UNDECODABLE)]


def test_a_version_nobody_announced_is_an_unknown_schema(one: Schema, two: Schema) -> None:
    (value,) = Codec("fills", two).encode([V2])
    decoded = Codec("fills", one).decode([value])
    assert [reason for _, reason, _ in decoded.bad] == [DeadLetterReason.UNKNOWN_SCHEMA]
    with pytest.raises(CheckFailed):
        Codec("fills", one).decode_row(value)


def test_what_is_written_is_always_the_codecs_own_version(one: Schema, two: Schema) -> None:
    assert Codec("fills", one, [two]).encode([V1]) == Codec("fills", one).encode([V1])


def test_allowed_changes_are_found_compatible_in_the_direction_they_are(one: Schema, two: Schema) -> None:
    assert incompatible(two.fields, one.fields) == []
    assert incompatible(one.fields, two.fields) == ["lots is long there and int here"]


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ([], [field("fee", LONG)], "fee is new and has no default"),
        ([field("fee", LONG)], [field("fee", "string")], "fee is long there and string here"),
        ([field("fee", LONG)], [field("fee", INT)], "fee is long there and int here"),
        ([field("fee", ["null", LONG], default=None)], [field("fee", LONG)], "fee may be null there"),
        ([field("side", enum("BUY", "SELL"))], [field("side", enum("SELL", "BUY"))], "symbols of side are reordered"),
        ([field("id", {"type": "fixed", "name": "F", "size": 8})], [field("id", {"type": "fixed", "name": "F", "size": 16})], "id has 8 bytes there"),
        (
            [field("legs", {"type": "array", "items": {"type": "record", "name": "L", "fields": [field("lots", LONG)]}}, default=[])],
            [field("legs", {"type": "array", "items": {"type": "record", "name": "L", "fields": [field("size", LONG)]}}, default=[])],
            "legs.size is new and has no default",
        ),
    ],
)
def test_other_changes_are_refused(tmp_path: Path, before: list[dict[str, Any]], after: list[dict[str, Any]], why: str) -> None:
    found = incompatible(version(tmp_path, "after", *after).fields, version(tmp_path, "before", *before).fields)
    assert len(found) == 1
    assert why in found[0]


def test_a_name_that_was_taken_away_is_never_used_again(tmp_path: Path) -> None:
    fee = field("fee", LONG, default=0)
    versions = [version(tmp_path, "t.v1", fee), version(tmp_path, "t.v2"), version(tmp_path, "t.v3", fee)]
    assert reused(versions) == ["fee was taken away before t.v3 and is used again"]
    assert reused(versions[:2]) == []


@pytest.fixture
def announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory of announced versions, and no memory of any before or after."""
    monkeypatch.setenv(schemas.ANNOUNCED, str(tmp_path))
    other_versions.cache_clear()
    yield tmp_path
    other_versions.cache_clear()


def mark_with(**more: Any) -> str:
    tree = json.loads(schemas.schema("mark").text)
    tree["fields"].append({"name": "venue", "type": LONG, "default": 0, **more})
    return json.dumps(tree)


def test_an_announced_version_is_read_before_this_code_writes_it(announced: Path) -> None:
    (announced / "mark.v2.avsc").write_text(mark_with())
    (later,) = other_versions("mark")
    row = {"event_time_us": 1, "instrument": 1, "mark_ticks": 2, "index_ticks": 3, "sequence": 4, "grade": 1, "epoch": None}
    (value,) = Codec("marks", later).encode([{**row, "venue": 9}])
    assert Codec("marks", schemas.schema("mark"), other_versions("mark")).decode_row(value) == row


def test_the_same_file_again_is_no_other_version(announced: Path) -> None:
    (announced / "mark.v1.avsc").write_text(schemas.schema("mark").text)
    assert other_versions("mark") == ()


def test_two_versions_that_no_record_could_tell_apart_are_refused(announced: Path) -> None:
    tree = json.loads(schemas.schema("mark").text)
    tree["fields"][1]["doc"] = "Another meaning."
    (announced / "mark.v1.avsc").write_text(json.dumps(tree))
    with pytest.raises(ConfigurationProblem, match="have one fingerprint"):
        other_versions("mark")
    assert main(["schemas", "check"]) == 1


def test_the_check_names_the_pair_and_the_field(announced: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (announced / "mark.v2.avsc").write_text(mark_with(default=None, type=["null", LONG]))
    tree = json.loads(mark_with())
    del tree["fields"][-1]["default"]
    (announced / "mark.v3.avsc").write_text(json.dumps(tree))
    assert main(["schemas", "check"]) == 1
    err = capfd.readouterr().err
    assert "mark.v3 cannot read mark: venue is new and has no default" in err
    assert "mark.v3 cannot read mark.v2: venue may be null there" in err


def test_the_schemas_of_this_version_pass_their_own_check(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["schemas", "check", "--json"]) == 0, capfd.readouterr().err
    document = json.loads(capfd.readouterr().out)
    assert document["problems"] == []
    assert document["locked"]["fill.avsc"]["fingerprint"] == schemas.schema("fill").fingerprint.hex()


def test_a_locked_file_that_changed_or_is_gone_fails_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for path in schemas.CHECKOUT.glob("*.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr("streams.commands.schemas.directory", lambda: tmp_path)
    assert main(["schemas", "check", "--write"]) == 0
    (tmp_path / "mark.avsc").write_text(mark_with())
    (tmp_path / "pool.avsc").unlink()
    assert main(["schemas", "check"]) == 1
    err = capfd.readouterr().err
    assert "mark.avsc is not as locked" in err
    assert "pool.avsc is locked, but is gone" in err
