"""Reading and writing: bytes written out by hand, what is refused, and what must never be written."""

from typing import Any

import numpy as np
import pytest

from streams.domain.events import NULL, DeadLetterReason, FillKind, Grade
from streams.errors import CheckFailed, ImpossibleState
from streams.wire.codec import BATCH_FROM, codec
from streams.wire.framing import header
from streams.wire.schemas import schema
from tests.support.avro import zigzag

MARK: dict[str, Any] = {"event_time_us": 1, "instrument": 2, "mark_ticks": 88, "index_ticks": -1, "sequence": 64, "grade": 1}
# zigzag: 1 -> 2, 2 -> 4, 88 -> 176 = 48 + 128 and 1, -1 -> 1, 64 -> 128 = 0 + 128 and 1, GOOD = 1 -> 2
MARK_BODY = bytes.fromhex("02 04 b001 01 8001 02 00")  # ends with an epoch that is not said
MARK_HEAD = header(schema("mark"))
FILL: dict[str, Any] = {
    "event_time_us": 1,
    "account": 2,
    "account_seq": 3,
    "trade_id": 4,
    "leg": 0,
    "counter_account": 5,
    "instrument": 6,
    "position_side": 2,
    "margin_mode": 1,
    "lots": -7,
    "quote": 8,
    "margin_moved": 0,
    "price_ticks": None,
    "kind": 1,
    "instruction_id": 99,
}
FILL_BODY = bytes.fromhex("02 04 06 08 00 0a 0c 04 02 0d 10 00 00 02 02c601")
FILL_HEAD = header(schema("fill"))
SIZES = [1, BATCH_FROM + 5]  # the row path and the batch path


def mark_body(**changed: bytes) -> bytes:
    """MARK's bytes with some fields spelt otherwise."""
    return b"".join(changed.get(name, zigzag(value)) for name, value in MARK.items()) + b"\x00"


@pytest.mark.parametrize("count", SIZES)
def test_rows_are_written_as_the_specification_says(count: int) -> None:
    assert codec("marks").encode([MARK] * count) == [MARK_HEAD + MARK_BODY] * count
    assert codec("fills").encode([FILL] * count) == [FILL_HEAD + FILL_BODY] * count


@pytest.mark.parametrize("count", SIZES)
def test_records_become_columns_with_codes_and_null(count: int) -> None:
    decoded = codec("fills").decode([FILL_HEAD + FILL_BODY] * count)
    assert decoded.good.tolist() == list(range(count))
    assert decoded.bad == []
    assert list(decoded.columns) == list(FILL)
    for name, column in decoded.columns.items():
        assert isinstance(column, np.ndarray)
        assert column.dtype == np.int64
        assert column.tolist() == [NULL if FILL[name] is None else FILL[name]] * count


def test_nothing_read_gives_empty_columns() -> None:
    decoded = codec("fills").decode([])
    assert {len(column) for column in decoded.columns.values()} == {0}
    assert (decoded.good.tolist(), decoded.bad) == ([], [])


def test_text_is_a_list_and_nested_records_are_dicts_with_codes() -> None:
    row: dict[str, Any] = {"wave_id": 9, "pool": 1, "instrument": 2, "side": 3, "status": 1, "chunk": 0, "chunks": 1, "event_time_us": 5}
    row |= {"placements": [{"account": 4, "position_side": 2, "episode": 1, "revision": 1, "lots": 3, "instruction_id": None}], "rows": []}
    assert codec("adl-decisions").decode(codec("adl-decisions").encode([row])).columns["placements"] == [row["placements"]]
    note = {
        "event_time_us": 5,
        "severity": 3,
        "kind": "pool_in_adl",
        "text": "ä",
        "source_topic": "pool-states",
        "source_partition": 0,
        "source_offset": 1,
    }
    read = codec("notifications").decode(codec("notifications").encode([note] * BATCH_FROM)).columns
    assert read["text"] == ["ä"] * BATCH_FROM
    assert isinstance(read["pool"], np.ndarray)
    assert read["pool"].tolist() == [NULL] * BATCH_FROM


@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize(
    ("body", "reason", "detail"),
    [
        (b"", DeadLetterReason.UNDECODABLE, "event_time_us is cut off"),
        (MARK_BODY[:-1], DeadLetterReason.UNDECODABLE, "epoch is cut off"),
        (MARK_BODY + b"\x00", DeadLetterReason.UNDECODABLE, "1 bytes follow the last field"),
        (MARK_BODY + MARK_BODY, DeadLetterReason.UNDECODABLE, "9 bytes follow the last field"),
        (mark_body(grade=zigzag(5)), DeadLetterReason.UNDECODABLE, "grade holds 5, outside 0 to 4"),
        (mark_body(grade=zigzag(-1)), DeadLetterReason.UNDECODABLE, "grade holds -1, outside 0 to 4"),
        (mark_body(instrument=zigzag(2**31)), DeadLetterReason.UNDECODABLE, "instrument holds 2147483648, outside -2147483648 to 2147483647"),
        (mark_body(instrument=zigzag(2**40)), DeadLetterReason.UNDECODABLE, "instrument holds 1099511627776, outside -2147483648 to 2147483647"),
        (mark_body(sequence=b"\xff" * 9 + b"\x03"), DeadLetterReason.UNDECODABLE, "sequence is wider than 64 bits"),
        (mark_body(sequence=b"\x80" * 10 + b"\x00"), DeadLetterReason.UNDECODABLE, "sequence is wider than 64 bits"),
        (mark_body(sequence=zigzag(NULL)), DeadLetterReason.OUT_OF_BOUNDS, "sequence is -9223372036854775808, which stands for an absent value"),
    ],
)
def test_a_bad_datum_is_named_and_its_neighbours_are_read(count: int, body: bytes, reason: DeadLetterReason, detail: str) -> None:
    sound = MARK_HEAD + MARK_BODY
    decoded = codec("marks").decode([*[sound] * count, MARK_HEAD + body, sound])
    assert decoded.bad == [(count, reason, detail)]
    assert decoded.good.tolist() == [*range(count), count + 1]
    assert decoded.columns["mark_ticks"].tolist() == [88] * (count + 1)  # type: ignore[union-attr]


@pytest.mark.parametrize("count", SIZES)
def test_an_absent_value_and_the_number_that_stands_for_it_are_told_apart(count: int) -> None:
    sound = FILL_HEAD + FILL_BODY
    body = FILL_BODY.replace(b"\x00\x00\x02\x02", b"\x00\x02" + zigzag(NULL) + b"\x02\x02")
    decoded = codec("fills").decode([sound] * count + [FILL_HEAD + body])
    assert decoded.bad == [(count, DeadLetterReason.OUT_OF_BOUNDS, f"price_ticks is {NULL}, which stands for an absent value")]


@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize("branch", [-1, -2, 2])
def test_a_union_has_no_branches_but_null_and_the_type(count: int, branch: int) -> None:
    sound = FILL_HEAD + FILL_BODY
    body = FILL_BODY[:-5] + zigzag(branch) + FILL_BODY[-4:]
    decoded = codec("fills").decode([sound] * count + [FILL_HEAD + body])
    assert decoded.bad == [(count, DeadLetterReason.UNDECODABLE, f"price_ticks has no union branch {branch}")]


@pytest.mark.parametrize("count", SIZES)
def test_values_that_are_no_records_of_the_stream_keep_their_positions(count: int) -> None:
    sound = MARK_HEAD + MARK_BODY
    decoded = codec("marks").decode([None, *[sound] * count, FILL_HEAD + FILL_BODY, MARK_HEAD + b"\x02", b"\xc3\x01" + bytes(8)])
    reasons = DeadLetterReason
    assert [(at, reason) for at, reason, _ in decoded.bad] == [
        (0, reasons.UNDECODABLE),
        (count + 1, reasons.WRONG_SCHEMA),
        (count + 2, reasons.UNDECODABLE),
        (count + 3, reasons.UNKNOWN_SCHEMA),
    ]
    assert decoded.good.tolist() == list(range(1, count + 1))


@pytest.mark.parametrize("count", SIZES)
def test_the_unknown_symbol_of_an_enum_is_read(count: int) -> None:
    decoded = codec("marks").decode([MARK_HEAD + mark_body(grade=b"\x00")] * count)
    assert decoded.columns["grade"].tolist() == [Grade.UNKNOWN] * count  # type: ignore[union-attr]


@pytest.mark.parametrize("count", SIZES)
def test_a_number_spelt_longer_than_needed_is_read(count: int) -> None:
    decoded = codec("marks").decode([MARK_HEAD + mark_body(sequence=b"\x80\x81\x00")] * count)
    assert decoded.columns["sequence"].tolist() == [64] * count  # type: ignore[union-attr]


@pytest.mark.parametrize("largest", [2**63 - 1, -(2**63) + 1, 2**62])
@pytest.mark.parametrize("count", SIZES)
def test_the_whole_range_of_a_long_travels(count: int, largest: int) -> None:
    values = codec("marks").encode([{**MARK, "sequence": largest}] * count)
    assert codec("marks").decode(values).columns["sequence"].tolist() == [largest] * count  # type: ignore[union-attr]


INSTRUMENT = {"event_time_us": 0, "instrument": 0, "symbol": "", "version": 0, "kind": 0, "asset": 0, "pool": 0}
INSTRUMENT |= {"value_per_tick_lot": 0, "max_mark_ticks": 0, "max_lots": 0}
TIER = {"floor": 1, "rate_ppm": 2, "maintenance_amount": 3}


@pytest.mark.parametrize(
    "blocks",
    [
        "04 020406 020406 00",  # one block of two
        "02 020406 02 020406 00",  # two blocks of one
        "03 0c 020406 020406 00",  # count -2, then the block's 6 bytes: for readers that skip
    ],
)
def test_arrays_in_any_blocks_are_read(blocks: str) -> None:
    value = header(schema("instrument")) + bytes(10) + bytes.fromhex(blocks) + bytes(4)
    unsaid = dict.fromkeys(("max_mark_age_us", "max_ahead_us", "stale_allows", "outlier_allows"))
    assert codec("instruments").decode_row(value) == {**INSTRUMENT, "tiers": [TIER, TIER], **unsaid}


@pytest.mark.parametrize(
    ("blocks", "detail"),
    [
        (zigzag(2**60), "tiers announces 1152921504606846976 items in 0 bytes"),
        (zigzag(-(2**63)) + b"\x00\x00", "tiers announces 9223372036854775808 items in 1 bytes"),
        (b"\x02\x02\x04", "maintenance_amount is cut off"),
        (b"\x02\x02\x04" + zigzag(NULL) + bytes(5), f"maintenance_amount is {NULL}, which stands for an absent value"),
    ],
)
def test_a_bad_array_is_refused(blocks: bytes, detail: str) -> None:
    decoded = codec("instruments").decode([header(schema("instrument")) + bytes(10) + blocks])
    assert [why for _, _, why in decoded.bad] == [detail]


@pytest.mark.parametrize(
    ("length_and_text", "detail"),
    [
        (b"\x01", "reason has length -1"),
        (b"\x06ab", "reason is cut off"),
        (b"\x04\xff\xfe", "reason is not UTF-8"),
        (b"\x06\xed\xa0\x80", "reason is not UTF-8"),
    ],
)
@pytest.mark.parametrize("count", SIZES)
def test_bad_text_is_refused(count: int, length_and_text: bytes, detail: str) -> None:
    head = header(schema("instruction_result"))
    decoded = codec("instruction-results").decode([head + bytes(10)] * count + [head + bytes(9) + length_and_text])
    assert [why for _, _, why in decoded.bad] == [detail]
    assert decoded.columns["reason"] == [""] * count


def test_a_single_record_is_read_with_none_for_absent_values() -> None:
    assert codec("fills").decode_row(FILL_HEAD + FILL_BODY) == FILL


@pytest.mark.parametrize("value", [None, b"", FILL_HEAD, FILL_HEAD + FILL_BODY + b"\x00", MARK_HEAD + MARK_BODY])
def test_an_unreadable_single_record_fails_the_check_and_names_its_stream(value: bytes | None) -> None:
    with pytest.raises(CheckFailed, match="a record of fills cannot be read"):
        codec("fills").decode_row(value)


@pytest.mark.parametrize("count", SIZES)
def test_enum_members_numpy_numbers_and_left_out_fields_are_written(count: int) -> None:
    row = {**FILL, "kind": FillKind.TRADE, "lots": np.int64(-7), "quote": np.int32(8)}
    del row["price_ticks"]
    assert codec("fills").encode([row] * count) == [FILL_HEAD + FILL_BODY] * count
    assert codec("fills").encode([{**FILL, "price_ticks": NULL}] * count) == [FILL_HEAD + FILL_BODY] * count


@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize(
    "change",
    [
        {"lots": 1.0},
        {"lots": 1.9},
        {"lots": np.float64(2.0)},
        {"lots": "7"},
        {"lots": None},
        {"lots": NULL},
        {"lots": 2**63},
        {"lots": -(2**63) - 1},
        {"price_ticks": 1.0},
        {"price_ticks": 2**63},
        {"instrument": 2**31},
        {"kind": 8},
        {"kind": -1},
        {"kind": "TRADE"},
        {"lotz": 1},
    ],
)
def test_what_the_schema_cannot_hold_exactly_is_never_written(count: int, change: dict[str, Any]) -> None:
    with pytest.raises(ImpossibleState, match="cannot be written"):
        codec("fills").encode([FILL] * (count - 1) + [{**FILL, **change}])


@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize("reason", [None, 5, b"bytes", "\ud800"])
def test_text_that_is_none_is_never_written(count: int, reason: Any) -> None:
    row = dict.fromkeys((field.name for field in schema("instruction_result").fields), 0) | {"reason": "ok"}
    assert len(codec("instruction-results").encode([row] * count)) == count
    with pytest.raises(ImpossibleState, match="cannot be written"):
        codec("instruction-results").encode([row] * (count - 1) + [{**row, "reason": reason}])


def test_a_digest_of_another_length_is_never_written() -> None:
    row = {
        "task": "accounts",
        "shard": 0,
        "step": 0,
        "machine_version": 1,
        "owner": "",
        "generation": 0,
        "event_time_us": 0,
        "slices": [],
        "outputs": [],
        "topics": [],
    }
    row |= {"state_digest": bytes(16), "held": 0, "previous_hash": bytes(32), "own_hash": bytes(32)}
    (value,) = codec("accounts-journal").encode([row])
    assert codec("accounts-journal").decode_row(value) == {**row, "snapshot": None, "genesis": None, "upgrade": None, "epoch": None}
    with pytest.raises(ImpossibleState, match="own_hash"):
        codec("accounts-journal").encode([{**row, "own_hash": bytes(31)}])
    with pytest.raises(ImpossibleState, match="no such field: digset"):
        codec("accounts-journal").encode([{**row, "outputs": [{"topic": "", "partition": 0, "count": 0, "digest": bytes(32), "digset": 1}]}])


COUNT = 3
COLUMNS = {name: np.full(COUNT, NULL if value is None else value, np.int64) for name, value in FILL.items()}


def test_columns_are_written_as_their_rows_are() -> None:
    assert codec("fills").encode_columns(COLUMNS, COUNT) == [FILL_HEAD + FILL_BODY] * COUNT
    assert codec("fills").encode_columns({**COLUMNS, "leg": np.zeros(COUNT, np.int8)}, COUNT) == [FILL_HEAD + FILL_BODY] * COUNT
    assert (
        codec("fills").encode_columns({name: column for name, column in COLUMNS.items() if name != "price_ticks"}, COUNT)
        == [FILL_HEAD + FILL_BODY] * COUNT
    )


@pytest.mark.parametrize(
    "change",
    [
        {"lots": np.ones(COUNT)},
        {"lots": np.ones(COUNT + 1, np.int64)},
        {"lots": np.full(COUNT, NULL)},
        {"lots": np.ones(COUNT, np.uint64)},
        {"lots": [1, 2, 3.0]},
        {"instrument": np.array([1, 2**31, 3])},
        {"kind": np.array([1, 2, 8])},
        {"lotz": np.ones(COUNT, np.int64)},
    ],
)
def test_columns_that_the_schema_cannot_hold_exactly_are_never_written(change: dict[str, Any]) -> None:
    with pytest.raises(ImpossibleState, match="cannot be written"):
        codec("fills").encode_columns({**COLUMNS, **change}, COUNT)


def test_a_column_left_out_that_may_not_be_absent_is_never_written() -> None:
    with pytest.raises(ImpossibleState, match="lots is missing somewhere"):
        codec("fills").encode_columns({name: column for name, column in COLUMNS.items() if name != "lots"}, COUNT)
