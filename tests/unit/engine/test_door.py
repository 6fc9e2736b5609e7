"""What is turned away at the door: event times of another unit than microseconds, and keys that are not the account."""

from typing import Any

import pytest

from streams.bus.contract import Chunk, NewRecord
from streams.domain.batch import UNDECODABLE
from streams.domain.events import DeadLetterReason
from streams.engine.merge import Unreadable, merge
from streams.topics import ACCOUNT_EVENTS, ACCOUNTS_READS, POOLS_READS
from streams.wire.records import ACCOUNT, new_record
from tests.support.toy import fill, insolvency, mark, record

NOW_US = 1_764_000_000_000_000  # 24 November 2025, 16:00 UTC
NOW_MS = NOW_US // 1_000
YEAR_MS = 365 * 86_400_000


def offered(event_time_us: int, timestamp_ms: int, key: bytes | None = ACCOUNT.pack(7)) -> list[Unreadable]:
    """What becomes of a fill of account 7 that stands between two sound ones."""
    chunk = Chunk(ACCOUNT_EVENTS, 0, 0, 3)
    sound = record("fills", fill(NOW_US, 7, 1), 0)
    value = record("fills", fill(event_time_us, 7, 2), 0).value
    for offset, each in enumerate((sound, NewRecord(ACCOUNT_EVENTS, 0, timestamp_ms, key, value), sound)):
        chunk.append(offset, each)
    batch, bad = merge({ACCOUNT_EVENTS: [chunk]}, ACCOUNTS_READS, {}, ties=False)
    assert len(batch.rows["fills"]) == 3 - len(bad)
    assert (UNDECODABLE in batch.rows) == bool(bad)
    return bad


@pytest.mark.parametrize(
    ("event_time_us", "timestamp_ms", "words"),
    [
        (NOW_US // 1_000_000, NOW_MS, "is 1970-01-01 00:29:24, the record's own timestamp 2025-11-24 16:00:00: seconds given for microseconds?"),
        (NOW_US // 1_000, NOW_MS, "is 1970-01-21 10:00:00, the record's own timestamp 2025-11-24 16:00:00: milliseconds given for microseconds?"),
        # sent again after ten years, and dated by the broker
        (NOW_US // 1_000, NOW_MS + 10 * YEAR_MS, "milliseconds given for microseconds?"),
        (NOW_US // 1_000_000, NOW_MS + 10 * YEAR_MS, "seconds given for microseconds?"),
        (NOW_US, NOW_MS // 1_000, "is the timestamp in milliseconds, and the event time in microseconds?"),
        (1, NOW_MS, "one of them is not when it happened"),
    ],
)
def test_an_event_time_of_another_unit_is_refused_and_the_words_name_it(event_time_us: int, timestamp_ms: int, words: str) -> None:
    (letter,) = offered(event_time_us, timestamp_ms)
    assert (letter.reason, letter.account, letter.offset) == (DeadLetterReason.BAD_VALUE, 7, 1)
    assert letter.detail.endswith(words)


@pytest.mark.parametrize(
    ("event_time_us", "timestamp_ms"),
    [
        (NOW_US, NOW_MS),
        (NOW_US - 20 * YEAR_MS * 1_000, NOW_MS),  # a topic sent again, dated by the broker
        (NOW_US, NOW_MS - 20 * YEAR_MS),
        (NOW_US, 0),  # says nothing
        (NOW_US, -1),  # Kafka's own word for none
        (5_000, 2_000_000),  # a simulation that begins in 1970, and dates its records otherwise
        (0, 0),
        (NOW_US, 2**62),
    ],
)
def test_late_old_and_undated_records_come_in(event_time_us: int, timestamp_ms: int) -> None:
    assert offered(event_time_us, timestamp_ms) == []


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (ACCOUNT.pack(8), "the key names account 8, the record account 7; the key is the account as 8 bytes, big-endian"),
        ((7).to_bytes(8, "little"), "the key names account 504403158265495552, the record account 7; the key is the account as 8 bytes, big-endian"),
        (b"7", "the key names none: it has 1 bytes, the record account 7; the key is the account as 8 bytes, big-endian"),
        (b"", "the key names none: it has 0 bytes, the record account 7; the key is the account as 8 bytes, big-endian"),
    ],
)
def test_a_key_that_is_not_the_account_is_refused_and_the_account_of_the_record_is_the_suspect(key: bytes, words: str) -> None:
    (letter,) = offered(NOW_US, NOW_MS, key)
    assert (letter.reason, letter.account, letter.detail) == (DeadLetterReason.BAD_VALUE, 7, words)


def test_a_record_without_a_key_says_nothing_wrong() -> None:
    assert offered(NOW_US, NOW_MS, None) == []


def test_marks_are_held_to_their_timestamps_and_not_to_their_keys() -> None:
    rows: list[tuple[dict[str, Any], int]] = [(dict(mark(NOW_US // 1_000)), NOW_MS), (dict(mark(NOW_US)), NOW_MS)]
    chunk = Chunk("marks", 0, 0, 2)
    for offset, (row, timestamp_ms) in enumerate(rows):
        chunk.append(offset, NewRecord("marks", 0, timestamp_ms, b"any", new_record("marks", row).value))
    batch, bad = merge({"marks": [chunk]}, ACCOUNTS_READS, {}, ties=False)
    assert [(letter.offset, letter.account) for letter in bad] == [(0, None)]
    assert batch.rows["marks"].offset.tolist() == [1]


def test_what_the_engine_wrote_itself_is_not_looked_at() -> None:
    chunk = Chunk("insolvencies", 0, 0, 1)
    value = new_record("insolvencies", insolvency(7, 0, -1, {"instrument": 1, "time_us": 5})).value
    chunk.append(0, NewRecord("insolvencies", 0, NOW_MS, None, value))
    assert merge({"insolvencies": [chunk]}, POOLS_READS, {}, ties=True)[1] == []
