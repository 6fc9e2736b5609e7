"""Decoded columns as Arrow tables."""

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from streams.domain.batch import Column
from streams.domain.events import NULL
from streams.sinks.columns import arrow_table
from streams.sinks.tables import table

HASH = bytes(range(32))


def int64(*values: int) -> Column:
    return np.array(values, dtype=np.int64)


def fills(**changed: Column) -> dict[str, Column]:
    names = (
        "event_time_us account account_seq trade_id leg counter_account instrument position_side margin_mode lots quote margin_moved price_ticks kind"
    )
    return {name: int64(0, 1) for name in f"{names} instruction_id".split()} | changed


def arrow(columns: dict[str, Column]) -> Any:
    return arrow_table(table("fills"), columns, partition=3, offsets=np.array([7, 9], dtype=np.int64))


def test_rows_carry_their_source() -> None:
    rows = arrow(fills())
    assert rows["src_partition"].to_pylist() == [3, 3]
    assert rows["src_offset"].to_pylist() == [7, 9]
    assert rows.column_names[:3] == ["src_partition", "src_offset", "event_time"]


def test_amounts_keep_every_bit_as_decimals() -> None:
    quotes = arrow(fills(quote=int64(2**63 - 1, -(2**63) + 1)))["quote"]
    assert quotes.type == pa.decimal128(38, 0)
    assert quotes.to_pylist() == [Decimal("9223372036854775807"), Decimal("-9223372036854775807")]


def test_an_absent_number_is_null_only_where_the_schema_allows_it() -> None:
    rows = arrow(fills(price_ticks=int64(NULL, 5), instruction_id=int64(6, NULL)))
    assert rows["price_ticks"].to_pylist() == [None, 5]
    assert rows["instruction_id"].to_pylist() == [6, None]
    assert rows["lots"].null_count == 0


def test_event_times_outside_what_the_column_can_show_become_its_bounds() -> None:
    times = arrow(fills(event_time_us=int64(2**62, -(2**62))))["event_time"].cast(pa.int64()).to_pylist()
    # 2299-12-31 23:59:59.999999 is 120,529 days after the epoch, less one microsecond; 1900-01-01 is 25,567 days before it.
    assert times == [120_530 * 86_400_000_000 - 1, -25_567 * 86_400_000_000]


def test_nested_records_become_lists_and_an_absent_one_an_empty_list() -> None:
    slices = [{"topic": "fills", "partition": 1, "from": 0, "to": 3, "count": 2, "digest": HASH}]
    numbers: dict[str, Column] = {name: int64(0, 1) for name in ("shard", "step", "machine_version", "generation", "event_time_us", "held")}
    columns: dict[str, Column] = numbers | {
        "task": ["accounts", "accounts"],
        "owner": ["a", "a"],
        "slices": [slices, []],
        "outputs": [[], []],
        "state_digest": [bytes(16), bytes(16)],
        "snapshot": [None, {"step": 4, "file_sha256": HASH}],
        "genesis": [{"deployment": "d", "shard_count": 2, "inputs": [{"topic": "fills", "partitions": 8}]}, None],
        "upgrade": [None, None],
        "topics": [[{"topic": "marks", "topic_id": "3_Wq4dKiRF-HtUtQ3fJ_8Q"}], []],
        "epoch": int64(77, NULL),
        "previous_hash": [HASH, HASH],
        "own_hash": [HASH, HASH],
    }
    rows = arrow_table(table("accounts-journal"), columns, partition=0, offsets=np.array([0, 2], dtype=np.int64))
    assert rows["slices"].to_pylist() == [[{"topic": "fills", "partition": 1, "from": 0, "to": 3, "count": 2, "digest": HASH.hex()}], []]
    assert rows["snapshot"].to_pylist() == [[], [{"step": 4, "file_sha256": HASH.hex()}]]
    assert rows["genesis"].to_pylist() == [[{"deployment": "d", "shard_count": 2, "inputs": [{"topic": "fills", "partitions": 8}]}], []]
    assert rows["topics"].to_pylist() == [[{"topic": "marks", "topic_id": "3_Wq4dKiRF-HtUtQ3fJ_8Q"}], []]
    assert rows["own_hash"].to_pylist() == [HASH.hex()] * 2
