"""When the pools task may take what has arrived."""

from typing import Any

from streams.bus.contract import Chunk, TopicPartition
from streams.engine.gate import JOURNALS_HOLD, PoolsGate
from streams.engine.journal import StepRecord, seal
from streams.engine.task import Output, Slice, Step
from tests.support.toy import spec

SHARDS = 2


class Desk:
    """A gate and the offsets of what has been pushed into it."""

    def __init__(self, patience_ms: int | None = None) -> None:
        self.gate = PoolsGate(spec("pools", 0, SHARDS), patience_ms)
        self.offsets: dict[TopicPartition, int] = {}

    def arrives(self, stream: str, *times_ms: int, partition: int = 0, now_ms: int = 0) -> None:
        start = self.offsets.get(TopicPartition(stream, partition), 0)
        self.offsets[TopicPartition(stream, partition)] = stop = start + len(times_ms)
        chunk = Chunk(stream, partition, start, stop, list(range(start, stop)), list(times_ms), [None] * len(times_ms), [b""] * len(times_ms))
        chunk.headers = [()] * len(times_ms)
        self.gate.push([chunk], now_ms)

    def stepped(self, shard: int, clock_ms: int, took: dict[str, int], wrote: dict[str, int] | None = None) -> Chunk:
        """A step record of a shard: clock, counts taken and written; `stream/partition` or just `stream`."""
        record = StepRecord(
            task="accounts",
            shard=shard,
            step=1,
            machine_version=1,
            owner="",
            generation=1,
            event_time_us=clock_ms * 1000,
            slices=tuple(Slice(*place(name), 0, count, count, bytes(32)) for name, count in took.items()),
            outputs=tuple(Output(*place(name), count, bytes(32)) for name, count in (wrote or {}).items()),
            state_digest=bytes(16),
            held=0,
            previous_hash=bytes(32),
        )
        sealed, _ = seal(record)
        partition = TopicPartition("accounts-journal", shard)
        start = self.offsets.get(partition, 0)
        self.offsets[partition] = start + 1
        chunk = Chunk(*partition, start, start + 1, [start], [sealed.timestamp_ms], [sealed.key], [sealed.value], [()])
        self.gate.push([chunk], 0)
        return chunk

    def takes(self, now_ms: int = 0) -> dict[str, list[int]]:
        """What is taken: stream -> times."""
        taken: dict[str, list[int]] = {}
        for chunk in self.gate.take(now_ms):
            if chunk.topic != "accounts-journal":
                taken.setdefault(chunk.topic, []).extend(chunk.timestamps_ms)
        return taken


def place(name: str) -> tuple[str, int]:
    stream, _, partition = name.partition("/")
    return stream, int(partition or 0)


def said(outputs: dict[str, int]) -> Step:
    return Step(1, [], [], [Output(*place(name), count, bytes(32)) for name, count in outputs.items()], 0, b"", 0, [])


def test_a_mark_waits_until_every_shard_has_consumed_it() -> None:
    desk = Desk()
    desk.arrives("marks", 10)
    assert desk.takes() == {}
    desk.stepped(0, 10, {"marks": 1})
    assert desk.takes() == {}
    desk.stepped(1, 10, {"marks": 1})
    assert desk.takes() == {"marks": [10]}


def test_it_waits_for_what_the_shards_have_announced() -> None:
    desk = Desk()
    desk.arrives("marks", 10)
    desk.stepped(0, 10, {"marks": 1}, {"insolvencies": 2, "account-states/3": 5})
    desk.stepped(1, 10, {"marks": 1})
    desk.arrives("insolvencies", 10)
    assert desk.takes() == {}
    desk.arrives("insolvencies", 10)
    assert desk.takes() == {"marks": [10], "insolvencies": [10, 10]}


def test_it_waits_for_what_the_shards_have_consumed_of_streams_both_read() -> None:
    desk = Desk()
    desk.arrives("marks", 10)
    desk.stepped(0, 11, {"marks": 2})
    desk.stepped(1, 11, {"marks": 2})
    assert desk.takes() == {}
    desk.arrives("marks", 11)
    assert desk.takes() == {"marks": [10, 11]}


def test_what_lies_before_every_clock_is_taken_while_shards_work_on() -> None:
    desk = Desk()
    desk.arrives("marks", 10, 20, 30)
    desk.stepped(0, 30, {"marks": 3}, {"fund-flows": 1})
    desk.stepped(1, 20, {"marks": 2})
    desk.arrives("fund-flows", 10)
    assert desk.takes() == {"marks": [10], "fund-flows": [10]}
    assert desk.takes() == {}
    assert desk.gate.waiting == 2


def test_it_waits_for_the_answers_to_what_it_has_said_itself() -> None:
    desk = Desk()
    desk.gate.said(said({"adl-rounds": 1}))
    desk.arrives("adl-candidates", 10)
    desk.stepped(0, 10, {"adl-rounds": 1}, {"adl-candidates": 1})
    assert desk.takes() == {}
    desk.stepped(1, 10, {"adl-rounds": 1}, {"adl-candidates": 1})
    assert desk.takes() == {}
    desk.arrives("adl-candidates", 10)
    assert desk.takes() == {"adl-candidates": [10, 10]}


def test_when_patience_is_over_everything_is_taken_and_the_late_are_named() -> None:
    desk = Desk(patience_ms=50)
    desk.arrives("marks", 10, now_ms=1000)
    desk.stepped(0, 10, {"marks": 1})
    assert desk.takes(1049) == {}
    assert desk.takes(1050) == {"marks": [10]}
    assert desk.gate.alarms() == [("pools_went_on_without_shards", {"late": [1], "waited_ms": 50})]
    assert desk.gate.alarms() == []


def test_without_patience_it_waits_for_ever() -> None:
    desk = Desk(patience_ms=None)
    desk.arrives("marks", 10)
    assert desk.takes(10**12) == {}


def test_journal_records_alone_are_not_taken_and_go_with_the_next_step() -> None:
    desk = Desk()
    first, second = desk.stepped(0, 10, {}), desk.stepped(1, 10, {})
    assert desk.gate.take(0) == []
    desk.arrives("fund-flows", 10)
    assert desk.gate.take(0)[1:] == [first, second]


def test_slices_of_one_partition_continue_each_other() -> None:
    desk = Desk()
    desk.arrives("marks", 10, 20)
    desk.arrives("marks", 30)
    desk.stepped(0, 20, {"marks": 2})
    desk.stepped(1, 20, {"marks": 2})
    bounds = [(c.start, c.stop) for c in desk.gate.take(0) if c.topic == "marks"]
    desk.stepped(0, 30, {"marks": 1})
    desk.stepped(1, 30, {"marks": 1})
    bounds += [(c.start, c.stop) for c in desk.gate.take(0) if c.topic == "marks"]
    assert bounds == [(0, 1), (1, 3)]


def test_a_restored_gate_knows_all_but_what_was_waiting() -> None:
    desk = Desk()
    desk.arrives("marks", 10, 20, 30)
    desk.stepped(0, 30, {"marks": 3})
    desk.stepped(1, 20, {"marks": 2}, {"insolvencies": 1})
    desk.arrives("insolvencies", 10)
    assert desk.takes() == {"marks": [10], "insolvencies": [10]}
    again = Desk()
    again.gate.restore(desk.gate.facts())
    again.offsets = {**desk.offsets, TopicPartition("marks", 0): 1}
    again.arrives("marks", 20, 30)
    assert sorted(again.gate.facts()) == sorted(desk.gate.facts())
    assert again.takes() == {}
    again.stepped(1, 31, {"marks": 1})
    assert again.takes() == {"marks": [20, 30]}


def test_running_journaled_steps_again_leads_to_the_same_knowledge() -> None:
    desk: Any = Desk()
    desk.arrives("marks", 10)
    desk.stepped(0, 10, {"marks": 1}, {"insolvencies": 1})
    desk.stepped(1, 10, {"marks": 1})
    desk.arrives("insolvencies", 10)
    taken = desk.gate.take(0)
    step = said({"adl-rounds": 1, "instructions/2": 4})
    desk.gate.said(step)
    again = PoolsGate(spec("pools", 0, SHARDS), None)
    again.replayed(taken, step)
    assert sorted(again.facts()) == sorted(desk.gate.facts())


def test_a_snapshot_keeps_nothing_of_step_records_that_no_step_has_taken_yet() -> None:
    desk, restored = Desk(), Desk()
    desk.arrives("marks", 10)
    desk.stepped(0, 10, {"marks": 1}, {"insolvencies": 1})
    restored.gate.restore(desk.gate.facts())
    assert [fact.value for fact in restored.gate.facts() if fact.kind == "clock"] == [0, 0]
    assert all(fact.value == 0 for fact in restored.gate.facts())
    # The journal is read again from where it was taken up to, and then both know the same.
    restored.arrives("marks", 10)
    restored.stepped(0, 10, {"marks": 1}, {"insolvencies": 1})
    for each in (desk, restored):
        each.arrives("insolvencies", 10)
        each.stepped(0, 20, {"account-events/0": 1})
        each.stepped(1, 20, {"marks": 1})
    assert restored.takes() == desk.takes() == {"marks": [10], "insolvencies": [10]}


def test_where_not_all_can_be_held_it_wants_what_has_been_announced_and_not_arrived() -> None:
    desk = Desk()
    journals = [TopicPartition("accounts-journal", 0), TopicPartition("accounts-journal", 1)]
    assert desk.gate.wanted() == journals
    desk.arrives("marks", 10)
    desk.stepped(0, 20, {"marks": 3}, {"insolvencies": 2})
    assert desk.gate.wanted() == [TopicPartition("insolvencies", 0), TopicPartition("marks", 0)]
    desk.arrives("insolvencies", 10, 11)
    desk.arrives("marks", 11, 12)
    assert desk.gate.wanted() == journals


def test_going_on_without_a_shard_again_and_again_is_said_once() -> None:
    desk = Desk(patience_ms=50)
    for step in range(100):
        desk.arrives("marks", 10 + step, now_ms=1_000 + 100 * step)
        assert desk.takes(1_050 + 100 * step) == {"marks": [10 + step]}
    assert [facts["late"] for _, facts in desk.gate.alarms()] == [[0, 1]]
    assert desk.gate.spell.look(11_000) == (2, 9_950)


def test_journals_that_nothing_goes_with_are_taken_alone_once_they_fill_the_gate() -> None:
    """Shards that say steps where no mark ever comes must not fill the memory of the pools task."""
    desk = Desk(patience_ms=None)
    size = len(desk.stepped(0, 1, {}).values[0] or b"")
    until_full = -(-JOURNALS_HOLD // size) - 1  # of which one has come
    for number in range(until_full - 1):
        desk.stepped(number % SHARDS, 1, {})
        assert desk.gate.take(0) == []
    desk.stepped(0, 1, {})
    taken = desk.gate.take(0)
    assert {chunk.topic for chunk in taken} == {"accounts-journal"}
    assert sum(map(len, taken)) == until_full + 1
    assert desk.gate.take(0) == []


def test_a_gate_that_took_journals_alone_knows_what_they_said() -> None:
    desk, alone = Desk(patience_ms=None), Desk(patience_ms=None)
    for each in (desk, alone):
        each.arrives("marks", 10)
        each.stepped(0, 10, {"marks": 1}, {"insolvencies": 1})
    for _ in range(JOURNALS_HOLD // 100):
        alone.stepped(0, 11, {})
        desk.stepped(0, 11, {})
        taken = alone.gate.take(0)
        if taken:
            break
    assert {chunk.topic for chunk in taken} == {"accounts-journal"}
    again = Desk(patience_ms=None)
    again.gate.restore(alone.gate.facts())
    again.offsets = {**alone.offsets, TopicPartition("marks", 0): 0}
    again.arrives("marks", 10)
    for each in (desk, alone, again):
        each.stepped(1, 10, {"marks": 1})
        assert each.takes() == {}
        each.arrives("insolvencies", 10)
        assert each.takes() == {"marks": [10], "insolvencies": [10]}


def test_a_turn_that_is_expected_is_waited_for() -> None:
    desk = Desk(patience_ms=None)
    desk.arrives("marks", 10)
    desk.gate.expect({TopicPartition("marks", 0): 2, TopicPartition("account-events", 10**9): 1, TopicPartition("no-such-topic", 0): 1})
    for shard in range(SHARDS):
        desk.stepped(shard, 10, {"marks": 1})
    assert desk.takes() == {}
    desk.arrives("marks", 11)
    assert desk.takes() == {}
    for shard in range(SHARDS):
        desk.stepped(shard, 11, {"marks": 1})
    assert desk.takes() == {"marks": [10, 11]}
