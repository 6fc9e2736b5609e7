"""A producer moves to the second version of a schema in the middle of a stream; the shard that reads it goes on as if nothing had happened."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.bus.contract import Chunk, NewRecord
from streams.engine.task import Step, Task, TaskSpec
from streams.risk.machine import RiskMachine
from streams.topics import STREAMS
from streams.wire import kinds, schemas
from streams.wire.codec import Codec, codec
from streams.wire.records import encode_key
from streams.wire.schemas import other_versions
from tests.support.risk_rows import Desk, Record, instrument, pool


@pytest.fixture
def second_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Codec]:
    """What a moved producer of fills writes with; announced to the shard."""
    tree = json.loads(schemas.schema("fill").text)
    tree["fields"].insert(3, {"name": "venue", "type": "long", "doc": "Where it was traded.", "default": 0})
    (tmp_path / "fill.v2.avsc").write_text(json.dumps(tree))
    monkeypatch.setenv(schemas.ANNOUNCED, str(tmp_path))
    other_versions.cache_clear()
    codec.cache_clear()
    kinds._heads.cache_clear()
    yield Codec("fills", other_versions("fill")[0])
    other_versions.cache_clear()
    codec.cache_clear()
    kinds._heads.cache_clear()


class Shard:
    """One accounts shard behind its engine."""

    def __init__(self) -> None:
        self.machine = RiskMachine(0, 1)
        self.task = Task(TaskSpec("accounts", 0, 1, 1, "test"), self.machine)
        self.ends: dict[str, int] = {}

    def take(self, records: list[NewRecord]) -> Step:
        chunks: dict[str, Chunk] = {}
        for record in records:
            end = self.ends.get(record.topic, 0)
            chunk = chunks.setdefault(record.topic, Chunk(record.topic, 0, end, end))
            chunk.append(end, record)
            self.ends[record.topic] = chunk.stop = end + 1
        step = self.task.step(list(chunks.values()))
        assert step is not None
        return step


def records(rows: list[Record], second: Codec | None = None) -> list[NewRecord]:
    """Rows as records; fills of a moved producer carry their new field."""
    made = []
    for number, (stream, row) in enumerate(rows):
        moved = second is not None and stream == "fills"
        (value,) = second.encode([{**row, "venue": number}]) if moved and second is not None else codec(stream).encode([row])
        made.append(NewRecord(STREAMS[stream].topic, 0, 0, encode_key(stream, row), value))
    return made


def test_positions_and_decisions_are_those_of_a_producer_that_never_moved(second_version: Codec) -> None:
    desk = Desk()
    opening = [instrument(), pool(), *desk.opening(1, 1_000), *desk.opening(2, 100_000)]
    before = [desk.fill(1, 1, 100) for _ in range(20)]
    during = [desk.fill(1 + number % 2, 1, 100) for number in range(40)]
    after = [desk.fill(1, 79, 7_900), desk.mark(100), desk.mark(80)]

    stayed, moved = Shard(), Shard()
    for rows in (opening, before, during, after):
        stayed.take(records(rows))
    said = [stayed.take(records([desk.mark(79)]))]

    moved.take(records(opening))
    moved.take(records(before))
    mixed = [record for number, row in enumerate(during) for record in records([row], second_version if number % 3 else None)]
    moved.take(mixed)  # producers of both versions at once
    moved.take(records(after, second_version))
    said.append(moved.take(records([stayed_mark(desk)])))

    assert moved.machine.digest() == stayed.machine.digest()
    assert said[0].state_digest == said[1].state_digest
    assert [(part.topic, part.count, part.digest) for part in said[0].outputs] == [(part.topic, part.count, part.digest) for part in said[1].outputs]


def stayed_mark(desk: Desk) -> Record:
    """The last mark once more, the same in every field."""
    desk.marks -= 1
    desk.time_us -= 1
    return desk.mark(79)


def test_the_dead_letter_of_an_unannounced_version_names_its_fingerprint(tmp_path: Path) -> None:
    desk = Desk()
    shard = Shard()
    shard.take(records([instrument(), pool(), *desk.opening(1, 1_000)]))
    tree = json.loads(schemas.schema("fill").text)
    tree["fields"].append({"name": "colour", "type": "long", "doc": "Nobody knows.", "default": 0})
    (tmp_path / "fill.v9.avsc").write_text(json.dumps(tree))
    third = schemas._read(tmp_path / "fill.v9.avsc")
    (value,) = Codec("fills", third).encode([{**desk.fill(1, 1, 100)[1], "colour": 1}])
    step = shard.take([NewRecord("account-events", 0, 0, encode_key("fills", {"account": 1}), value)])
    letters = [record for record in step.records if isinstance(record, NewRecord) and record.topic == "dead-letters"]
    (letter,) = [codec("dead-letters").decode_row(record.value) for record in letters]
    assert third.fingerprint.hex() in letter["detail"]
    assert letter["account"] == 1
