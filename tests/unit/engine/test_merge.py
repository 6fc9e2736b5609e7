"""The one order of a step."""

from collections.abc import Callable

import pytest

from streams.bus.contract import Chunk, NewRecord, TopicPartition
from streams.domain.batch import UNDECODABLE, Batch, Row
from streams.domain.events import NULL, DeadLetterReason, InsolvencyKind, InstructionKind, Outcome, UpdateKind
from streams.engine.merge import merge
from streams.topics import ACCOUNT_EVENTS, ACCOUNTS_READS, POOLS_READS, STREAMS
from streams.wire.records import ACCOUNT
from tests.support.toy import fill, insolvency, mark, record


def deposit(time_us: int, account: int) -> tuple[str, Row]:
    row = {"event_time_us": time_us, "account": account, "account_seq": 1, "update_id": 1, "kind": UpdateKind.DEPOSIT, "asset": 1, "amount": 5}
    return "account-updates", row


def result(time_us: int, account: int) -> tuple[str, Row]:
    row = {
        "event_time_us": time_us, "instruction_id": 1, "kind": InstructionKind.LIQUIDATE, "account": account, "outcome": Outcome.FILLED,
        "executed_lots": 1, "executed_quote": 1, "executed_amount": 0, "account_seq": 1, "reason": "",
    }  # fmt: skip
    return "instruction-results", row


def chunk(stream: str, partition: int, *rows: Row | tuple[str, Row] | bytes | None, start: int = 0) -> Chunk:
    """Rows as a chunk, of this stream unless they say of which; bytes stand for a value that no schema reads, under the key of account 7."""
    topic = STREAMS[stream].topic if stream in STREAMS else stream
    made = Chunk(topic, partition, start, start + len(rows))
    for offset, row in enumerate(rows, start):
        if row is None or isinstance(row, bytes):
            made.append(offset, NewRecord(topic, partition, 0, ACCOUNT.pack(7), row))
        else:
            made.append(offset, record(*(row if isinstance(row, tuple) else (stream, row)), partition))
    return made


def taken(batch: Batch) -> list[tuple[str, int, int]]:
    """(stream, partition, offset) in the order the machine gets them."""
    return [(stream, row["partition_"], row["offset_"]) for stream, _, row in batch]


def order(*chunks: Chunk, running: dict[TopicPartition, int] | None = None) -> list[tuple[str, int, int]]:
    grouped: dict[str, list[Chunk]] = {}
    for part in sorted(chunks, key=lambda c: c.partition):
        grouped.setdefault(part.topic, []).append(part)
    batch, _ = merge(grouped, ACCOUNTS_READS, {} if running is None else running, ties=False)
    return taken(batch)


def test_event_time_comes_before_everything_else() -> None:
    assert order(chunk("marks", 0, mark(5)), chunk("fills", 0, fill(9, 1, 1)), chunk("fills", 1, fill(2, 2, 1))) == [
        ("fills", 1, 0),
        ("marks", 0, 0),
        ("fills", 0, 0),
    ]


def test_at_one_event_time_fills_come_before_marks() -> None:
    assert order(chunk("marks", 0, mark(5)), chunk("fills", 3, fill(5, 1, 1))) == [("fills", 3, 0), ("marks", 0, 0)]


def test_at_one_event_time_a_stream_goes_by_partition_and_offset() -> None:
    rows = order(chunk("fills", 2, fill(5, 1, 1), fill(5, 1, 1)), chunk("fills", 0, fill(5, 2, 1), fill(6, 2, 1)))
    assert rows == [("fills", 0, 0), ("fills", 2, 0), ("fills", 2, 1), ("fills", 0, 1)]


def test_a_late_fill_counts_as_of_now() -> None:
    batch, _ = merge(
        {ACCOUNT_EVENTS: [chunk("fills", 0, fill(10, 1, 1), fill(4, 1, 2))], "marks": [chunk("marks", 0, mark(7))]}, ACCOUNTS_READS, {}, ties=False
    )
    assert taken(batch) == [("marks", 0, 0), ("fills", 0, 0), ("fills", 0, 1)]
    assert batch.rows["fills"].time_us.tolist() == [10, 10]
    assert batch.rows["fills"].row(1)["event_time_us"] == 4


def test_the_running_maximum_is_of_its_partition_and_outlives_the_step() -> None:
    running = {TopicPartition("account-events", 0): 100}
    rows = order(chunk("fills", 0, fill(4, 1, 1)), chunk("fills", 1, fill(5, 1, 1)), running=running)
    assert rows == [("fills", 1, 0), ("fills", 0, 0)]
    assert running == {TopicPartition("account-events", 0): 100, TopicPartition("account-events", 1): 5}


def test_an_undecodable_record_stands_where_it_would_have_stood() -> None:
    fills = chunk("fills", 1, fill(5, 1, 1), b"no avro", fill(6, 1, 2))
    batch, bad = merge({ACCOUNT_EVENTS: [fills], "marks": [chunk("marks", 0, mark(5))]}, ACCOUNTS_READS, {}, ties=False)
    assert taken(batch) == [("fills", 1, 0), (UNDECODABLE, 1, 1), ("marks", 0, 0), ("fills", 1, 2)]
    row = batch.rows[UNDECODABLE].row(0)
    assert (row["account"], row["source"], row["time_us"]) == (7, ACCOUNTS_READS.index(ACCOUNT_EVENTS), 5)
    assert [(letter.offset, letter.account, letter.value) for letter in bad] == [(1, 7, b"no avro")]


@pytest.mark.parametrize(("stamp_ms", "stamped_us"), [(1_760_000_000_123, 1_760_000_000_123_000), (0, 5), (-1, 5), (2**53, 5)])
def test_an_undecodable_record_is_of_the_time_that_its_own_timestamp_says_and_moves_no_clock(stamp_ms: int, stamped_us: int) -> None:
    fills = chunk("fills", 1, fill(5, 1, 1), b"no avro", fill(6, 1, 2))
    fills.timestamps_ms = [0, stamp_ms, 0]
    running: dict[TopicPartition, int] = {}
    batch, (letter,) = merge({ACCOUNT_EVENTS: [fills]}, ACCOUNTS_READS, running, ties=False)
    assert taken(batch) == [("fills", 1, 0), (UNDECODABLE, 1, 1), ("fills", 1, 2)]
    assert (letter.time_us, letter.stamped_us, batch.rows[UNDECODABLE].row(0)["stamped_us"]) == (5, stamped_us, stamped_us)
    assert running == {TopicPartition(ACCOUNT_EVENTS, 1): 6}


def test_an_undecodable_record_without_an_account_has_none() -> None:
    batch, bad = merge({"marks": [chunk("marks", 0, b"?")]}, ACCOUNTS_READS, {}, ties=False)
    assert batch.rows[UNDECODABLE].columns["account"].tolist() == [NULL]  # type: ignore[union-attr]
    assert batch.runs == [(UNDECODABLE, 0, 1)]
    assert bad[0].account is None


@pytest.mark.parametrize("time_us", [-1, 2**53, 2**63 - 1])
def test_an_event_time_that_no_clock_can_show_makes_nothing_late(time_us: int) -> None:
    running: dict[TopicPartition, int] = {}
    fills = chunk("fills", 0, fill(5, 1, 1), fill(time_us, 1, 9), fill(6, 1, 2))
    batch, bad = merge({ACCOUNT_EVENTS: [fills]}, ACCOUNTS_READS, running, ties=False)
    assert taken(batch) == [("fills", 0, 0), (UNDECODABLE, 0, 1), ("fills", 0, 2)]
    assert [row["lots"] for stream, _, row in batch if stream == "fills"] == [1, 2]
    assert [(letter.reason, letter.account) for letter in bad] == [(DeadLetterReason.OUT_OF_BOUNDS, 1)]
    assert running == {TopicPartition("account-events", 0): 6}


def test_the_pools_task_breaks_ties_by_the_streams_own_columns() -> None:
    told = [insolvency(account, 0, -1, {"instrument": 1, "time_us": 5}) for account in (9, 3, 6)]
    closed = {**told[1], "kind": InsolvencyKind.CLOSED}
    rows = chunk("insolvencies", 0, told[0], closed, told[1], told[2])
    assert [row["account"] for _, _, row in merge({"insolvencies": [rows]}, POOLS_READS, {}, ties=True)[0]] == [3, 6, 9, 3]


def test_many_interleaved_rows_come_out_like_a_plain_sort() -> None:
    fills = [chunk("fills", p, *(fill((offset * 7 + p * 3) % 50, 1, offset - 40) for offset in range(80))) for p in range(3)]
    marks = chunk("marks", 0, *(mark(offset * 2 % 31, offset) for offset in range(60)))
    batch, _ = merge({ACCOUNT_EVENTS: fills, "marks": [marks]}, ACCOUNTS_READS, {}, ties=False)
    expected = []
    for part in [*fills, marks]:
        newest = 0
        for offset in part.offsets:
            time_us = (offset * 7 + part.partition * 3) % 50 if part.topic == ACCOUNT_EVENTS else offset * 2 % 31
            newest = max(newest, time_us)
            expected.append(
                (newest, ACCOUNTS_READS.index(part.topic), part.partition, offset, "fills" if part.topic == ACCOUNT_EVENTS else part.topic)
            )
    assert taken(batch) == [(stream, partition, offset) for _, _, partition, offset, stream in sorted(expected)]
    assert [row["lots"] for _, _, row in batch if "lots" in row] == [offset - 40 for stream, _, offset in taken(batch) if stream == "fills"]


SECOND = 1_000_000
NOW, YEAR_2100 = 1_764_000_000 * SECOND, 4_102_444_800 * SECOND


def test_a_mark_or_a_fill_of_the_far_future_makes_nothing_after_it_late() -> None:
    running: dict[TopicPartition, int] = {}
    order(chunk("marks", 0, mark(NOW), mark(NOW + 1)), running=running)
    order(chunk("marks", 0, mark(YEAR_2100), start=2), chunk("fills", 0, fill(YEAR_2100, 1, 1)), running=running)
    assert running[TopicPartition("marks", 0)] == NOW + 1
    assert running[TopicPartition("account-events", 0)] == NOW + 1 + 60 * SECOND  # no further ahead of the marks than that
    batch, _ = merge({"marks": [chunk("marks", 0, mark(NOW + SECOND), start=3)]}, ACCOUNTS_READS, running, ties=False)
    assert batch.rows["marks"].time_us.tolist() == [NOW + SECOND]


@pytest.mark.parametrize("cut", range(1, 9))
def test_the_times_of_marks_do_not_depend_on_where_they_are_cut(cut: int) -> None:
    marks = [
        mark(t) for t in (YEAR_2100, NOW, NOW + 5, YEAR_2100, NOW + 9, NOW + 3_600 * SECOND, NOW + 3_601 * SECOND, NOW + 7_300 * SECOND, NOW + 4)
    ]
    running: dict[TopicPartition, int] = {}
    times: list[int] = []
    for part in (chunk("marks", 0, *marks[:cut]), chunk("marks", 0, *marks[cut:], start=cut)):
        batch, _ = merge({"marks": [part]}, ACCOUNTS_READS, running, ties=False)
        times += batch.rows["marks"].time_us.tolist()
    hour = NOW + 3_601 * SECOND
    assert times[1:] == [NOW, NOW + 5, NOW + 5, NOW + 9, NOW + 9, hour, hour, hour]
    assert running[TopicPartition("marks", 0)] == hour


def test_the_streams_of_one_topic_keep_its_order_whatever_their_kinds() -> None:
    events = chunk("fills", 0, fill(5, 1, 1), deposit(5, 1), result(5, 1), fill(6, 1, 2), deposit(6, 1))
    batch, bad = merge({ACCOUNT_EVENTS: [events], "marks": [chunk("marks", 0, mark(5))]}, ACCOUNTS_READS, {}, ties=False)
    assert bad == []
    assert taken(batch) == [
        ("fills", 0, 0), ("account-updates", 0, 1), ("instruction-results", 0, 2), ("marks", 0, 0), ("fills", 0, 3), ("account-updates", 0, 4),
    ]  # fmt: skip


def test_kinds_in_several_partitions_come_out_like_a_plain_sort() -> None:
    kinds: list[tuple[str, Callable[[int], tuple[str, Row]]]] = [
        ("fills", lambda t: ("fills", fill(t, 1, 1))),
        ("account-updates", lambda t: deposit(t, 1)),
        ("instruction-results", lambda t: result(t, 1)),
    ]
    parts, expected = [], []
    for partition in range(3):
        rows: list[tuple[str, Row]] = []
        newest = 0
        for offset in range(50):
            stream, made = kinds[(offset * 5 + partition) % 3]
            time_us = (offset * 7 + partition * 3) % 31 + 1
            newest = max(newest, time_us)
            rows.append(made(time_us))
            expected.append((newest, partition, offset, stream))
        parts.append(chunk(ACCOUNT_EVENTS, partition, *rows))
    batch, _ = merge({ACCOUNT_EVENTS: parts}, ACCOUNTS_READS, {}, ties=False)
    assert taken(batch) == [(stream, partition, offset) for _, partition, offset, stream in sorted(expected)]


def test_a_record_of_another_topics_kind_is_unreadable_and_says_what_was_expected() -> None:
    stray = record("marks", mark(5), 0).value
    batch, (letter,) = merge({ACCOUNT_EVENTS: [chunk("fills", 0, deposit(5, 1), stray, fill(6, 1, 1))]}, ACCOUNTS_READS, {}, ties=False)
    assert taken(batch) == [("account-updates", 0, 0), (UNDECODABLE, 0, 1), ("fills", 0, 2)]
    assert letter.reason == DeadLetterReason.WRONG_SCHEMA
    assert letter.detail == "schema mark; expected one of fill, account_update, instruction_result"
