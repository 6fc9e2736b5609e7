"""Keys, timestamps and partitions of records."""

import pytest

from streams.errors import ImpossibleState
from streams.topics import STREAMS
from streams.wire.codec import codec
from streams.wire.records import account_of_key, encode_key, new_record, new_records

MARK: dict[str, int | None] = {
    "event_time_us": 1_760_000_000_123_456,
    "instrument": 7,
    "mark_ticks": 88,
    "index_ticks": 88,
    "sequence": 1,
    "grade": 1,
    "epoch": None,
}

FULL = {
    "account": 258,
    "instrument": 7,
    "pool": 3,
    "asset": -1,
    "shard": 2,
    "source_topic": "fills",
    "audience_account": 258,
}


def test_a_record_has_the_streams_key_and_the_millisecond_of_its_event() -> None:
    record = new_record("marks", MARK, 0, (("origin", b"x"),))
    assert (record.topic, record.partition, record.timestamp_ms) == ("marks", 0, 1_760_000_000_123)
    assert (record.key, record.headers) == (b"\x00\x00\x00\x07", (("origin", b"x"),))
    assert record.value is not None
    assert codec("marks").decode_row(record.value) == MARK


def test_records_keep_their_order_and_their_partitions() -> None:
    records = new_records("marks", [(at % 3, {**MARK, "sequence": at}) for at in range(40)])
    assert [record.partition for record in records] == [at % 3 for at in range(40)]
    assert [codec("marks").decode_row(record.value)["sequence"] for record in records] == list(range(40))


@pytest.mark.parametrize(
    ("stream", "key"),
    [
        ("fills", b"\x00\x00\x00\x00\x00\x00\x01\x02"),
        ("notifications", b"\x00\x00\x00\x00\x00\x00\x01\x02"),
        ("adl-probes", b"\x00\x00\x00\x07"),
        ("insolvencies", b"\x00\x00\x00\x03"),
        ("shard-totals", b"\xff\xff\xff\xff"),
        ("accounts-journal", b"\x00\x00\x00\x02"),
        ("dead-letters", b"fills"),
    ],
)
def test_keys_are_big_endian_ids_or_the_source_topic(stream: str, key: bytes) -> None:
    assert encode_key(stream, FULL) == key


def test_a_notification_to_the_operator_has_no_key() -> None:
    assert encode_key("notifications", {"audience_account": None}) is None


@pytest.mark.parametrize("account", [0, 258, -1, 2**62])
def test_the_account_is_read_back_from_the_key(account: int) -> None:
    for stream in (name for name, each in STREAMS.items() if each.key == "account"):
        assert account_of_key(STREAMS[stream].topic, encode_key(stream, {"account": account, "audience_account": account})) == account


@pytest.mark.parametrize(
    ("topic", "key"),
    [
        ("account-events", None),
        ("account-events", b"\x00\x01"),
        ("account-events", b""),
        ("dead-letters", b"8 bytes."),
        ("marks", b"\x00\x00\x00\x07"),
    ],
)
def test_a_key_that_names_no_account_gives_none(topic: str, key: bytes | None) -> None:
    assert account_of_key(topic, key) is None


def test_an_id_too_wide_for_its_key_is_an_impossible_state() -> None:
    with pytest.raises(ImpossibleState, match="cannot be a key of marks"):
        encode_key("marks", {"instrument": 2**31})
