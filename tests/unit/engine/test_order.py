"""When an accounts shard may take what it has read."""

import pytest

from streams.bus.contract import Chunk, TopicPartition
from streams.domain.batch import Row
from streams.engine import order
from streams.engine.order import LEAP_US, TimeGate
from streams.topics import STREAMS
from tests.support.toy import fill, mark, record, spec

HOUR = LEAP_US
KINDS = {"fills": lambda time_us: fill(time_us, 4, 1), "marks": mark}


class Reading:
    """A gate, what has been read into it, and what is known of the ends. Times are microseconds, at least one."""

    def __init__(self, patience_ms: int | None = None, running: dict[TopicPartition, int] | None = None) -> None:
        task = spec()
        self.positions = dict.fromkeys(task.inputs(), 0)
        self.ends = dict(self.positions)
        self.gate = TimeGate(task, patience_ms, {} if running is None else running)

    def holds(self, stream: str, unread: int, partition: int = 0) -> None:
        """The partition is known to have so many records beyond those read."""
        where = TopicPartition(STREAMS[stream].topic, partition)
        self.ends[where] = self.positions[where] + unread

    def reads(self, stream: str, *times_us: int | bytes, partition: int = 0, more: int = 0) -> None:
        """Records come; `more` are known to stand behind them. Bytes stand for a value that no schema reads."""
        where = TopicPartition(STREAMS[stream].topic, partition)
        start = self.positions[where]
        chunk = Chunk(*where, start, start + len(times_us))
        for offset, time in enumerate(times_us, start):
            row: Row = KINDS[stream](time if isinstance(time, int) else 1)
            made = record(stream, row, partition)
            chunk.append(offset, made if isinstance(time, int) else type(made)(*where, 0, made.key, time))
        self.positions[where] = chunk.stop
        self.holds(stream, more, partition)
        self.gate.push([chunk])

    def takes(self, now_ms: int = 0) -> dict[str, list[int]]:
        """How the offsets are that may be taken, by `stream/partition`."""
        taken = self.gate.take([partition for partition, end in self.ends.items() if self.positions[partition] < end], now_ms)
        offsets: dict[str, list[int]] = {}
        for chunk in taken:
            if len(chunk):
                offsets.setdefault(f"{chunk.topic}/{chunk.partition}", []).extend(chunk.offsets)
        return offsets


def test_a_shard_that_is_up_to_date_takes_everything_at_once() -> None:
    reading = Reading()
    reading.reads("marks", 50, 60)
    reading.reads("fills", 10)
    assert reading.takes() == {"marks/0": [0, 1], "account-events/0": [0]}
    assert reading.gate.waiting == 0


def test_marks_wait_for_fills_that_are_known_to_be_unread() -> None:
    reading = Reading()
    reading.holds("fills", 100)
    reading.reads("marks", 50, 60)
    assert reading.takes() == {}
    reading.reads("fills", 10, 20, more=98)
    assert reading.takes() == {"account-events/0": [0, 1]}
    reading.reads("fills", 55, more=97)
    assert reading.takes() == {"marks/0": [0], "account-events/0": [2]}
    assert reading.gate.waiting == 1


def test_what_was_held_back_goes_when_the_other_has_been_read_to_its_end() -> None:
    reading = Reading()
    reading.holds("fills", 1)
    reading.reads("marks", 50, 60)
    assert reading.takes() == {}
    reading.reads("fills", 10)
    assert reading.takes() == {"marks/0": [0, 1], "account-events/0": [0]}


def test_at_one_time_the_rank_of_the_streams_decides() -> None:
    reading = Reading()
    reading.reads("marks", 10, 50, more=1)
    reading.reads("fills", 50, 51, more=1)
    # Fills come before marks: what may still come of the fills at 51 comes behind the mark at 50, what may come of the marks behind the fill at 50.
    assert reading.takes() == {"marks/0": [0, 1], "account-events/0": [0]}


def test_at_one_time_and_rank_the_partition_decides() -> None:
    reading = Reading()
    reading.reads("fills", 50, partition=0, more=1)
    reading.reads("fills", 50, partition=1, more=1)
    assert reading.takes() == {"account-events/0": [0]}  # one more of partition 0 at 50 would come before that of partition 1


def test_a_partition_from_which_all_has_been_taken_counts_as_far_as_it_had_come() -> None:
    reading = Reading(running={TopicPartition("account-events", 0): 40, TopicPartition("marks", 0): 45})
    reading.holds("fills", 1)
    reading.reads("marks", 39, 41)
    assert reading.takes() == {}  # a late mark counts as of 45
    reading.reads("fills", 46, more=5)
    assert reading.takes() == {"marks/0": [0, 1], "account-events/0": [0]}


def test_a_late_record_counts_as_of_now() -> None:
    reading = Reading()
    reading.reads("fills", 10, 50, 20, more=1)
    reading.reads("marks", 30, 60, more=1)
    assert reading.takes() == {"account-events/0": [0, 1, 2], "marks/0": [0]}


def test_a_record_without_a_time_that_could_be_read_says_nothing_of_time() -> None:
    reading = Reading()
    reading.reads("fills", 10, b"stray", more=1)
    reading.reads("marks", 30)
    assert reading.takes() == {"account-events/0": [0, 1]}


def test_a_time_of_the_far_future_lets_nothing_pass_and_holds_nothing_back() -> None:
    reading = Reading()
    reading.reads("fills", 10, 20 + 30 * HOUR, more=2)
    reading.reads("marks", 15, 40)
    assert reading.takes() == {"account-events/0": [0]}  # nothing has confirmed it: marks later than 10 wait
    reading.reads("fills", 20, 30, more=1)
    assert reading.takes() == {"account-events/0": [1, 2, 3], "marks/0": [0]}
    reading.reads("fills", 50)
    assert reading.takes() == {"account-events/0": [4], "marks/0": [1]}


def test_a_partition_whose_last_time_taken_is_of_the_far_future_is_still_waited_for() -> None:
    reading = Reading(running={TopicPartition("account-events", 0): 99 * HOUR, TopicPartition("marks", 0): 45})
    reading.holds("fills", 1)
    reading.reads("marks", 50)
    assert reading.takes() == {}
    reading.reads("fills", 48, more=1)
    assert reading.takes() == {"account-events/0": [0]}


def test_a_parameter_of_next_month_waits_until_everything_before_it_has_been_taken() -> None:
    reading = Reading()
    reading.reads("marks", 10, 10 + 700 * HOUR)
    reading.reads("fills", 20, more=1)
    assert reading.takes() == {"account-events/0": [0], "marks/0": [0]}
    reading.reads("fills", 30)
    assert reading.takes() == {"account-events/0": [1], "marks/0": [1]}


def test_when_the_patience_is_over_the_others_go_on_and_an_alarm_says_without_whom() -> None:
    reading = Reading(patience_ms=100)
    reading.holds("fills", 5, partition=2)
    reading.reads("marks", 50)
    assert [reading.takes(1_000), reading.takes(1_099)] == [{}, {}]
    assert reading.gate.alarms() == []
    assert reading.takes(1_100) == {"marks/0": [0]}
    assert reading.gate.alarms() == [("went_on_without_partitions", {"partitions": ["account-events[2]"], "waited_ms": 100})]


def test_one_without_whom_the_others_went_on_is_waited_for_again_once_it_has_given_something() -> None:
    reading = Reading(patience_ms=100)
    reading.holds("fills", 5)
    reading.reads("marks", 50)
    reading.takes(0)
    assert reading.takes(100) == {"marks/0": [0]}
    reading.reads("marks", 60)
    assert reading.takes(200) == {"marks/0": [1]}
    reading.reads("fills", 61, more=4)
    reading.reads("marks", 62)
    assert reading.takes(300) == {"account-events/0": [0]}
    assert len(reading.gate.alarms()) == 1


def test_without_patience_it_waits_for_ever() -> None:
    reading = Reading(patience_ms=None)
    reading.holds("fills", 5)
    reading.reads("marks", 50)
    assert [reading.takes(now_ms) for now_ms in (0, 10**9)] == [{}, {}]


def test_partitions_that_hold_their_share_are_not_read_on_but_the_one_waited_for_is(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = spec().inputs()
    monkeypatch.setattr(order, "HOLDS_RECORDS", 2 * len(inputs))
    reading = Reading()
    assert reading.gate.wanted() is None
    reading.holds("fills", 9)
    reading.reads("marks", 50, 60, 70)
    assert reading.takes() == {}
    assert set(reading.gate.wanted() or ()) == set(inputs) - {TopicPartition("marks", 0)}
    assert reading.gate.room == 2 * len(inputs) - 3
    reading.reads("fills", 10, 10 + 2 * HOUR, more=7)
    assert reading.takes() == {"account-events/0": [0]}


def test_markers_that_were_passed_are_passed_on() -> None:
    reading = Reading()
    reading.gate.push([Chunk("marks", 0, 0, 1)])
    assert [(chunk.start, chunk.stop) for chunk in reading.gate.take([], 0)] == [(0, 1)]
