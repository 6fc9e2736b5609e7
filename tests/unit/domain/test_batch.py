"""Batches: rows come out in merged order as plain values; outputs keep their order."""

import numpy as np

from streams.domain.alarms import Alarm
from streams.domain.batch import Batch, Outputs, Refusal, Rows
from streams.domain.events import NULL, DeadLetterReason


def rows(stream: str, accounts: list[int], texts: list[str | None]) -> Rows:
    places = np.arange(len(accounts))
    return Rows(stream, {"account": np.array(accounts), "text": texts}, places + 100, places * 0 + 2, places + 7)


def test_a_row_is_plain_values_with_its_place() -> None:
    row = rows("fills", [11, 12], ["a", "b"]).row(1)
    assert row == {"account": 12, "text": "b", "time_us": 101, "partition_": 2, "offset_": 8}
    assert type(row["account"]) is int


def test_an_absent_value_is_none() -> None:
    assert rows("fills", [NULL], [None]).row(0)["account"] is None
    assert rows("fills", [1], [None]).row(0)["text"] is None


def test_rows_come_in_the_order_of_the_runs() -> None:
    batch = Batch(
        {"fills": rows("fills", [1, 2, 3], ["", "", ""]), "marks": rows("marks", [9], [""])}, [("fills", 0, 2), ("marks", 0, 1), ("fills", 2, 3)]
    )
    assert [(stream, index, row["account"]) for stream, index, row in batch] == [("fills", 0, 1), ("fills", 1, 2), ("marks", 0, 9), ("fills", 2, 3)]


def test_outputs_keep_the_order_of_each_stream() -> None:
    outputs = Outputs()
    outputs.emit("instructions", {"kind": 1}, 3)
    outputs.emit("insolvencies", {"kind": 2})
    outputs.emit("instructions", {"kind": 3}, 1)
    assert outputs.rows == {"instructions": [(3, {"kind": 1}), (1, {"kind": 3})], "insolvencies": [(0, {"kind": 2})]}


def test_refusals_and_alarms_are_kept_apart_from_rows() -> None:
    outputs = Outputs()
    outputs.refuse("fills", 4, DeadLetterReason.OUT_OF_BOUNDS, "lots", 11)
    outputs.alarm(Alarm.INSTRUCTION_OVERDUE, instruction_id=5)
    assert outputs.refusals == [Refusal("fills", 4, DeadLetterReason.OUT_OF_BOUNDS, "lots", 11)]
    assert outputs.alarms == [(Alarm.INSTRUCTION_OVERDUE, {"instruction_id": 5})]
    assert outputs.rows == {}
