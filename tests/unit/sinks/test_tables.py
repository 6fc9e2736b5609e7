"""Tables of the streams: their DDL, and which fields are summed."""

import pytest

from streams.sinks.tables import Column, Kind, table
from streams.topics import STREAMS

# Every field that is stored as Decimal(38, 0): money in settlement units, and lots. What is not here is an id, a count, a rate, a price or a time.
SUMMED = {
    "instruments": "value_per_tick_lot max_lots tiers.floor tiers.maintenance_amount",
    "pools": "score_wallet_floor net_notional_cap adl_start_value adl_stop_value unwind_lots_max fund_floor_value",
    "marks": "",
    "fills": "lots quote margin_moved",
    "account-updates": "amount wallet_after lots cost",
    "instruction-results": "executed_lots executed_quote executed_amount",
    "corrections": "fill.lots fill.quote fill.margin_moved update.amount update.wallet_after update.lots update.cost",
    "instructions": "lots quote_limit quote amount",
    "account-states": "equity maintenance",
    "letter-closings": "",
    "insolvencies": "lots bankruptcy_quote deficit equity maintenance",
    "fund-flows": "lots quote cash wallet_after lots_after cost_after",
    "pool-results": "executed_lots executed_quote executed_amount",
    "adl-candidates": "lots_total rows.lots rows.offered_lots rows.cost rows.group_wallet rows.group_equity rows.group_maintenance "
    "rows.position_maintenance rows.room_reserved positions.lots positions.bankruptcy_quote positions.equity positions.maintenance",
    "shard-totals": "wallets open_cost external reconciliation instruments.lots instruments.open_interest",
    "adl-probes": "lots_needed score_wallet_floor loss_per_lot",
    "adl-decisions": "placements.lots rows.lots rows.room",
    "adl-waves": "lots_needed lots_allocated lots_taken residual_lots matched_lots fund_lots needed_budget gained overshoot_lots "
    "candidate_lots_total",
    "adl-executions": "lots instructed_lots quote bankruptcy_quote lots_ahead lots_total position_lots cost group_wallet group_equity "
    "group_maintenance position_maintenance room",
    "fund-ledger": "amount wallet_after inventory_cost_after value_after",
    "pool-states": "value wallet threshold",
    "accounts-journal": "",
    "pools-journal": "",
    "dead-letters": "",
    "notifications": "",
}

ORDER = {
    "account": {
        "fills",
        "account-updates",
        "instruction-results",
        "corrections",
        "instructions",
        "account-states",
        "letter-closings",
        "pool-results",
    },
    "instrument": {"instruments", "marks", "adl-probes", "adl-decisions", "adl-waves", "adl-executions"},
    "pool": {"pools", "insolvencies", "fund-flows", "adl-candidates", "fund-ledger", "pool-states"},
    "asset": {"shard-totals"},
    "shard": {"accounts-journal", "pools-journal"},
    "source_topic": {"dead-letters"},
    "": {"notifications"},  # its account may be absent, and nothing Nullable stands in a key
}

FILLS = r"""CREATE TABLE IF NOT EXISTS `backstop`.`fills`
(
    `src_topic` LowCardinality(String) DEFAULT 'account-events' COMMENT 'Topic of the record.',
    `src_partition` UInt32 COMMENT 'Partition of the record.' CODEC(ZSTD(1)),
    `src_offset` UInt64 COMMENT 'Offset of the record.' CODEC(DoubleDelta, ZSTD(1)),
    `ingested_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was inserted, by the server.' CODEC(Delta, ZSTD(1)),
    `event_time` DateTime64(6, 'UTC') COMMENT 'Event time; outside the years 1900 to 2299 the nearer bound.' CODEC(Delta, ZSTD(1)),
    `account` Int64 COMMENT 'Account whose position moves.' CODEC(ZSTD(1)),
    `account_seq` Int64 COMMENT 'Sequence of the account over all its records; grows by one.' CODEC(ZSTD(1)),
    `trade_id` Int64 COMMENT 'Trade; both sides carry it.' CODEC(ZSTD(1)),
    `leg` Int32 COMMENT '0, or 1 for the second leg of a NETTING.' CODEC(ZSTD(1)),
    `counter_account` Int64 COMMENT 'Account on the other side.' CODEC(ZSTD(1)),
    `instrument` Int32 COMMENT 'Instrument id.' CODEC(ZSTD(1)),
    `position_side` Enum8('UNKNOWN' = 0, 'ONE_WAY' = 1, 'LONG' = 2, 'SHORT' = 3) COMMENT 'Leg of the position.' CODEC(ZSTD(1)),
    `margin_mode` Enum8('UNKNOWN' = 0, 'CROSS' = 1, 'ISOLATED' = 2) COMMENT 'How the position is margined; changes only while flat.' CODEC(ZSTD(1)),
    `lots` Decimal(38, 0) COMMENT 'Signed: bought +, sold -; lots.' CODEC(ZSTD(1)),
    `quote` Decimal(38, 0) COMMENT 'Signed as lots (a bankruptcy quote may differ); settlement units.' CODEC(ZSTD(1)),
    `margin_moved` Decimal(38, 0) COMMENT 'From the cross wallet into the isolated bucket, with this fill; negative: back; settlement units.' CODEC(ZSTD(1)),
    `price_ticks` Nullable(Int64) COMMENT 'Price, where the fill is on the tick grid; ticks.' CODEC(ZSTD(1)),
    `kind` Enum8('UNKNOWN' = 0, 'TRADE' = 1, 'LIQUIDATION' = 2, 'TAKEOVER' = 3, 'PROVIDER' = 4, 'UNWIND' = 5, 'ADL' = 6, 'NETTING' = 7) COMMENT 'Why the position moved.' CODEC(ZSTD(1)),
    `instruction_id` Nullable(Int64) COMMENT 'The instruction that caused it.' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (account, event_time, src_partition, src_offset)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1"""  # noqa: E501


def leaves(columns: tuple[Column, ...], prefix: str = "") -> list[tuple[str, Column]]:
    found = []
    for column in columns:
        found.append((prefix + column.name, column))
        found += leaves(column.inner, f"{prefix}{column.name}.")
    return found


@pytest.mark.parametrize("stream", STREAMS)
def test_exactly_money_and_lots_are_decimals(stream: str) -> None:
    summed = [name for name, column in leaves(table(stream).columns) if column.kind in (Kind.AMOUNT, Kind.AMOUNT_TEXT)]
    assert summed == SUMMED[stream].split()


@pytest.mark.parametrize("stream", STREAMS)
def test_rows_lie_by_key_time_and_source(stream: str) -> None:
    (key,) = (key for key, streams in ORDER.items() if stream in streams)
    assert table(stream).order_by == (*((key,) if key else ()), "event_time", "src_partition", "src_offset")


@pytest.mark.parametrize("stream", STREAMS)
def test_no_column_name_occurs_twice_and_no_key_is_nullable(stream: str) -> None:
    columns = {column.name: column for column in table(stream).columns}
    assert len(columns) == len(table(stream).columns)
    assert not columns.keys() & {"src_topic", "src_partition", "src_offset", "ingested_at"}
    assert not any(columns[name].nullable for name in table(stream).order_by if name in columns)


def test_the_table_of_fills_is_this() -> None:
    assert table("fills").create_sql("backstop") == FILLS


def test_nested_records_are_arrays_of_named_tuples_and_optional_ones_too() -> None:
    types = {column.name: column.type for column in table("accounts-journal").columns}
    assert types["slices"] == (
        "Array(Tuple(`topic` LowCardinality(String), `partition` Int32, `from` Int64, `to` Int64, `count` Int64, `digest` String))"
    )
    assert types["snapshot"] == "Array(Tuple(`step` Int64, `file_sha256` String))"
    assert types["genesis"] == (
        "Array(Tuple(`deployment` LowCardinality(String), `shard_count` Int32, "
        "`inputs` Array(Tuple(`topic` LowCardinality(String), `partitions` Int32))))"
    )


def test_a_quote_in_a_doc_is_escaped() -> None:
    assert r"COMMENT 'The fund\'s wallet; settlement units.'" in table("pool-states").create_sql("backstop")
