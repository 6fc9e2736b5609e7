"""A task's step: slices, outputs, dead letters."""

import hashlib
import struct
from typing import Any

import pytest

from streams.bus.contract import Chunk, NewRecord, TopicPartition
from streams.domain.batch import Outputs
from streams.domain.events import DeadLetterReason, WaveStatus
from streams.engine.task import DEAD_LETTER_BYTES, Step, Task
from streams.errors import CheckFailed, ImpossibleState
from streams.wire.codec import codec
from streams.wire.kinds import stream_of
from tests.support.toy import IMPOSSIBLE_LOTS, UNKNOWN_INSTRUMENT, ToyAccounts, fill, mark, record, spec, toy_machine


def chunk(topic: str, partition: int, start: int, *records: NewRecord, stop: int | None = None) -> Chunk:
    offsets = list(range(start, start + len(records)))
    return Chunk(
        topic,
        partition,
        start,
        start + len(records) if stop is None else stop,
        offsets,
        [r.timestamp_ms for r in records],
        [r.key for r in records],
        [r.value for r in records],
        [() for _ in records],
    )


def fills(partition: int, start: int, *rows: Any, stop: int | None = None) -> Chunk:
    return chunk("account-events", partition, start, *(record("fills", row, partition) for row in rows), stop=stop)


def task(**shape: int) -> Task:
    return Task(spec(**shape), ToyAccounts())  # type: ignore[arg-type]


def stepped(step: Step | None) -> Step:
    assert step is not None
    return step


def letters(step: Step) -> list[dict[str, Any]]:
    return [codec("dead-letters").decode_row(r.value) for r in step.records if isinstance(r, NewRecord) and r.topic == "dead-letters"]


def test_a_shard_reads_its_own_account_partitions_and_all_of_the_rest() -> None:
    read = spec(shard=1, shard_count=2).inputs()
    assert [p for p in read if p.topic == "account-events"] == [("account-events", 1), ("account-events", 3)]
    assert [p for p in read if p.topic == "marks"] == [("marks", 0)]
    assert read[0].topic == "instruments"
    assert read[-1].topic == "adl-rounds"


def test_the_pools_task_reads_every_accounts_journal_beside_its_streams() -> None:
    read = spec("pools", 0, 3).inputs()
    assert [p for p in read if p.topic in ("pool-results", "account-events")] == [("pool-results", 0)]
    assert read[-3:] == [("accounts-journal", 0), ("accounts-journal", 1), ("accounts-journal", 2)]


def test_nothing_read_is_no_step() -> None:
    running = task()
    assert running.step([]) is None
    assert running.step([fills(0, 0, stop=3)]) is None
    assert running.number == 0


def test_slices_touch_even_where_markers_lie_between() -> None:
    running = task()
    first = stepped(running.step([fills(0, 0, fill(1, 4, 1))]))
    assert running.step([fills(0, 1, stop=2)]) is None
    second = stepped(running.step([fills(0, 2, fill(2, 4, 1), fill(3, 4, 1), stop=5)]))
    assert [(s.start, s.stop, s.count) for s in (*first.slices, *second.slices)] == [(0, 1, 1), (1, 5, 2)]


def test_a_gap_in_what_was_read_is_refused() -> None:
    running = task()
    running.step([fills(0, 0, fill(1, 4, 1))])
    with pytest.raises(CheckFailed, match=r"account-events\[0\] was read up to offset 1, the next records begin at 2"):
        running.step([fills(0, 2, fill(1, 4, 1))])


def test_slices_stand_in_reading_order_with_the_digest_of_the_raw_records() -> None:
    second, first = record("marks", mark(1)), record("fills", fill(1, 4, 1))
    step = stepped(task().step([chunk("marks", 0, 0, second), chunk("account-events", 2, 0, first)]))
    assert [s.topic for s in step.slices] == ["account-events", "marks"]
    assert first.key is not None
    assert first.value is not None
    raw = struct.pack(">qI", 0, 8) + first.key + struct.pack(">I", len(first.value)) + first.value
    assert step.slices[0].digest == hashlib.sha256(raw).digest()


def test_outputs_carry_the_name_of_their_step_and_stand_in_the_order_of_streams() -> None:
    running = task()
    running.step([fills(0, 0, fill(1, 4, 1))])
    step = stepped(running.step([fills(0, 1, fill(2, 4, -5)), chunk("marks", 0, 0, record("marks", mark(3)))]))
    assert [r.topic for r in step.records] == ["account-states", "insolvencies"]
    assert {r.headers for r in step.records} == {(("step", b"accounts/0/2"),)}
    assert [(o.topic, o.partition, o.count) for o in step.outputs] == [("account-states", 0, 1), ("insolvencies", 0, 1)]
    assert step.event_time_us == 3


def test_an_undecodable_record_becomes_a_dead_letter_and_the_machine_hears_of_it() -> None:
    running = task()
    value = b"x" * 5000
    step = stepped(running.step([chunk("account-events", 1, 0, NewRecord("account-events", 1, 12, struct.pack(">q", 33), value))]))
    (letter,) = letters(step)
    assert letter["account"] == 33
    assert letter["value"] == value[:DEAD_LETTER_BYTES]
    assert letter["value_length"] == 5000
    assert (letter["source_topic"], letter["source_partition"], letter["source_offset"], letter["task"], letter["shard"]) == (
        "account-events",
        1,
        0,
        "accounts",
        0,
    )
    assert running.machine.state["suspects"] == [33]  # type: ignore[attr-defined]


def test_a_refused_row_becomes_a_dead_letter_with_the_record_it_came_from() -> None:
    good, bad = record("fills", fill(1, 4, 1), 1), record("fills", fill(2, 5, 1, instrument=UNKNOWN_INSTRUMENT), 1)
    step = stepped(task().step([chunk("account-events", 1, 0, good, bad)]))
    (letter,) = letters(step)
    assert (letter["source_offset"], letter["reason"], letter["account"]) == (1, DeadLetterReason.UNKNOWN_INSTRUMENT, 5)
    assert (letter["key"], letter["value"], letter["event_time_us"]) == (bad.key, bad.value, 2)


def test_one_task_alone_reports_an_undecodable_record_that_several_read() -> None:
    broken = chunk("marks", 0, 0, NewRecord("marks", 0, 12, None, None))
    pools = spec("pools", 0, 2)
    said = [Task(s, toy_machine(s.task, s.shard, 2)).step([broken]) for s in (spec(shard_count=2), spec(shard=1, shard_count=2), pools)]
    assert [len(letters(stepped(step))) for step in said] == [1, 0, 0]


def test_a_state_the_rules_exclude_stops_the_task_and_names_the_step() -> None:
    with pytest.raises(ImpossibleState, match=r"accounts-0: step 1 reached a state that the rules exclude \(lots that cannot be\)"):
        task().step([fills(0, 0, fill(1, 4, IMPOSSIBLE_LOTS))])


def test_accounts_journals_are_journaled_but_not_given_to_the_pools_machine() -> None:
    running = Task(spec("pools"), toy_machine("pools", 0, 1))
    journal = chunk("accounts-journal", 0, 0, NewRecord("accounts-journal", 0, 0, None, b"whatever"))
    alone = stepped(running.step([journal]))
    assert ([s.topic for s in alone.slices], alone.taken, alone.records) == (["accounts-journal"], 0, [])
    running = Task(spec("pools"), toy_machine("pools", 0, 1))
    step = stepped(running.step([journal, chunk("marks", 0, 0, record("marks", mark(3)))]))
    assert [s.topic for s in step.slices] == ["marks", "accounts-journal"]
    assert step.taken == 1
    assert running.positions[TopicPartition("accounts-journal", 0)] == 1


def test_streams_that_share_a_topic_leave_in_the_order_in_which_they_were_said() -> None:
    class Teller(ToyAccounts):
        def mark(self, row: dict[str, Any], out: Outputs) -> None:
            decision = {
                "pool": 1, "instrument": 1, "side": 3, "status": WaveStatus.CLOSED, "chunk": 0, "chunks": 1, "event_time_us": 1,
                "placements": [], "rows": [],
            }  # fmt: skip
            probe = {
                "pool": 1, "instrument": 1, "side": 3, "lots_needed": 1, "policy_id": 1, "policy_version": 1, "score_wallet_floor": 1,
                "shard_count": 1, "event_time_us": 1, "positions": [], "loss_per_lot": 0, "marks": [],
            }  # fmt: skip
            for number, (stream, said) in enumerate([("adl-probes", probe), ("adl-decisions", decision), ("adl-probes", probe)]):
                out.emit(stream, {**said, "wave_id": number})

    step = stepped(Task(spec(), Teller()).step([chunk("marks", 0, 0, record("marks", mark(3)))]))
    assert [record.topic for record in step.records] == ["adl-rounds"] * 3
    told = [stream_of("adl-rounds", record.value) for record in step.records if isinstance(record, NewRecord)]
    assert told == ["adl-probes", "adl-decisions", "adl-probes"]
