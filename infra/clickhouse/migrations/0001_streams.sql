-- One table a stream, as the schemas have it: columns with their docs, money and lots as whole numbers of 38 digits, one row a record.
CREATE TABLE IF NOT EXISTS `{database}`.`instruments`
(
    `src_topic` LowCardinality(String) DEFAULT 'instruments' COMMENT 'Stream of the record.',
    `src_partition` UInt32 COMMENT 'Partition of the record.' CODEC(ZSTD(1)),
    `src_offset` UInt64 COMMENT 'Offset of the record.' CODEC(DoubleDelta, ZSTD(1)),
    `ingested_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was inserted, by the server.' CODEC(Delta, ZSTD(1)),
    `event_time` DateTime64(6, 'UTC') COMMENT 'Event time; outside the years 1900 to 2299 the nearer bound.' CODEC(Delta, ZSTD(1)),
    `instrument` Int32 COMMENT 'Instrument id.' CODEC(ZSTD(1)),
    `symbol` LowCardinality(String) COMMENT 'Name for people.' CODEC(ZSTD(1)),
    `version` Int64 COMMENT 'Version of these parameters; grows.' CODEC(ZSTD(1)),
    `kind` Enum8('UNKNOWN' = 0, 'LINEAR' = 1, 'INVERSE' = 2, 'QUANTO' = 3) COMMENT 'Payoff.' CODEC(ZSTD(1)),
    `asset` Int32 COMMENT 'Settlement asset id.' CODEC(ZSTD(1)),
    `pool` Int32 COMMENT 'Pool that insures the instrument.' CODEC(ZSTD(1)),
    `value_per_tick_lot` Decimal(38, 0) COMMENT 'Value of one lot moving one tick: tick x lot x multiplier; settlement units.' CODEC(ZSTD(1)),
    `max_mark_ticks` Int64 COMMENT 'Largest mark accepted; ticks.' CODEC(ZSTD(1)),
    `max_lots` Decimal(38, 0) COMMENT 'Largest absolute position accepted; lots.' CODEC(ZSTD(1)),
    `tiers` Array(Tuple(`floor` Decimal(38, 0), `rate_ppm` Int64, `maintenance_amount` Decimal(38, 0))) COMMENT 'Margin tiers, by floor ascending; the first floor is 0.' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (instrument, event_time, src_partition, src_offset)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS `{database}`.`pools`
(
    `src_topic` LowCardinality(String) DEFAULT 'pools' COMMENT 'Stream of the record.',
    `src_partition` UInt32 COMMENT 'Partition of the record.' CODEC(ZSTD(1)),
    `src_offset` UInt64 COMMENT 'Offset of the record.' CODEC(DoubleDelta, ZSTD(1)),
    `ingested_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was inserted, by the server.' CODEC(Delta, ZSTD(1)),
    `event_time` DateTime64(6, 'UTC') COMMENT 'Event time; outside the years 1900 to 2299 the nearer bound.' CODEC(Delta, ZSTD(1)),
    `pool` Int32 COMMENT 'Pool id.' CODEC(ZSTD(1)),
    `version` Int64 COMMENT 'Version of these parameters; grows.' CODEC(ZSTD(1)),
    `asset` Int32 COMMENT 'Settlement asset id.' CODEC(ZSTD(1)),
    `fund_account` Int64 COMMENT 'Account that holds the fund\'s cash and inventory.' CODEC(ZSTD(1)),
    `policy_id` Enum8('UNKNOWN' = 0, 'BITMEX' = 1, 'BINANCE' = 2) COMMENT 'Score by which ADL candidates are ordered.' CODEC(ZSTD(1)),
    `price_rule` Enum8('UNKNOWN' = 0, 'BANKRUPTCY' = 1, 'MARK' = 2) COMMENT 'Quote of ADL fills.' CODEC(ZSTD(1)),
    `score_wallet_floor` Decimal(38, 0) COMMENT 'Least wallet in the denominator of the Binance score, the `1` of max(1, wallet); settlement units.' CODEC(ZSTD(1)),
    `net_notional_cap` Nullable(Decimal(38, 0)) COMMENT 'Largest sum over instruments of the fund\'s absolute inventory at mark; settlement units. Null: no cap.' CODEC(ZSTD(1)),
    `adl_start_value` Decimal(38, 0) COMMENT 'At a fund value at or below this the pool\'s instruments enter adl; settlement units.' CODEC(ZSTD(1)),
    `adl_stop_value` Decimal(38, 0) COMMENT 'At a fund value at or above this they leave adl; settlement units.' CODEC(ZSTD(1)),
    `warning_ratio_ppm` Int64 COMMENT 'Groups with equity below maintenance x this are WARNING; millionths. 0: none are.' CODEC(ZSTD(1)),
    `instruction_valid_us` Int64 COMMENT 'How long an instruction may be executed; microseconds of event time.' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (pool, event_time, src_partition, src_offset)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS `{database}`.`marks`
(
    `src_topic` LowCardinality(String) DEFAULT 'marks' COMMENT 'Stream of the record.',
    `src_partition` UInt32 COMMENT 'Partition of the record.' CODEC(ZSTD(1)),
    `src_offset` UInt64 COMMENT 'Offset of the record.' CODEC(DoubleDelta, ZSTD(1)),
    `ingested_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was inserted, by the server.' CODEC(Delta, ZSTD(1)),
    `event_time` DateTime64(6, 'UTC') COMMENT 'Event time; outside the years 1900 to 2299 the nearer bound.' CODEC(Delta, ZSTD(1)),
    `instrument` Int32 COMMENT 'Instrument id.' CODEC(ZSTD(1)),
    `mark_ticks` Int64 COMMENT 'Mark price; ticks.' CODEC(ZSTD(1)),
    `index_ticks` Int64 COMMENT 'Index price; ticks.' CODEC(ZSTD(1)),
    `sequence` Int64 COMMENT 'Grows by instrument; a regression is refused.' CODEC(ZSTD(1)),
    `grade` Enum8('UNKNOWN' = 0, 'GOOD' = 1, 'STALE' = 2, 'OUTLIER' = 3, 'FROZEN' = 4) COMMENT 'How far the mark can be trusted.' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (instrument, event_time, src_partition, src_offset)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS `{database}`.`fills`
(
    `src_topic` LowCardinality(String) DEFAULT 'fills' COMMENT 'Stream of the record.',
    `src_partition` UInt32 COMMENT 'Partition of the record.' CODEC(ZSTD(1)),
    `src_offset` UInt64 COMMENT 'Offset of the record.' CODEC(DoubleDelta, ZSTD(1)),
    `ingested_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was inserted, by the server.' CODEC(Delta, ZSTD(1)),
    `event_time` DateTime64(6, 'UTC') COMMENT 'Event time; outside the years 1900 to 2299 the nearer bound.' CODEC(Delta, ZSTD(1)),
    `account` Int64 COMMENT 'Account whose position moves.' CODEC(ZSTD(1)),
    `account_seq` Int64 COMMENT 'Sequence of the account over fills and account updates; grows by one.' CODEC(ZSTD(1)),
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
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS `{database}`.`account_updates`
(
    `src_topic` LowCardinality(String) DEFAULT 'account-updates' COMMENT 'Stream of the record.',
    `src_partition` UInt32 COMMENT 'Partition of the record.' CODEC(ZSTD(1)),
    `src_offset` UInt64 COMMENT 'Offset of the record.' CODEC(DoubleDelta, ZSTD(1)),
    `ingested_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was inserted, by the server.' CODEC(Delta, ZSTD(1)),
    `event_time` DateTime64(6, 'UTC') COMMENT 'Event time; outside the years 1900 to 2299 the nearer bound.' CODEC(Delta, ZSTD(1)),
    `account` Int64 COMMENT 'Account id.' CODEC(ZSTD(1)),
    `account_seq` Int64 COMMENT 'Sequence of the account over fills and account updates; grows by one.' CODEC(ZSTD(1)),
    `update_id` Int64 COMMENT 'Unique id of the update.' CODEC(ZSTD(1)),
    `kind` Enum8('UNKNOWN' = 0, 'SNAPSHOT' = 1, 'DEPOSIT' = 2, 'WITHDRAWAL' = 3, 'TRANSFER' = 4, 'FUNDING' = 5, 'FEE' = 6, 'LIQUIDATION_FEE' = 7, 'ISOLATED_MARGIN' = 8, 'COVER' = 9, 'SOCIALISED' = 10, 'CLAIM' = 11, 'STAKE' = 12, 'UNSTAKE' = 13, 'SETTINGS' = 14) COMMENT 'What happened.' CODEC(ZSTD(1)),
    `asset` Int32 COMMENT 'Settlement asset id.' CODEC(ZSTD(1)),
    `amount` Decimal(38, 0) COMMENT 'Signed change of the wallet (with instrument: of the isolated bucket); settlement units. SNAPSHOT: the balance itself.' CODEC(ZSTD(1)),
    `instrument` Nullable(Int32) COMMENT 'The isolated bucket\'s instrument, or the position\'s of a SNAPSHOT part.' CODEC(ZSTD(1)),
    `position_side` Nullable(Enum8('UNKNOWN' = 0, 'ONE_WAY' = 1, 'LONG' = 2, 'SHORT' = 3)) COMMENT 'Leg that goes with instrument.' CODEC(ZSTD(1)),
    `counter_account` Nullable(Int64) COMMENT 'The other account of a paired update.' CODEC(ZSTD(1)),
    `transfer_id` Nullable(Int64) COMMENT 'Pairs the two updates of a transfer.' CODEC(ZSTD(1)),
    `instruction_id` Nullable(Int64) COMMENT 'The instruction that caused it.' CODEC(ZSTD(1)),
    `wallet_after` Nullable(Decimal(38, 0)) COMMENT 'The exchange\'s balance afterwards; reconciles only; settlement units.' CODEC(ZSTD(1)),
    `part` Nullable(Int32) COMMENT 'SNAPSHOT: number of this part, from 0.' CODEC(ZSTD(1)),
    `parts` Nullable(Int32) COMMENT 'SNAPSHOT: how many parts; applied when all are there.' CODEC(ZSTD(1)),
    `lots` Nullable(Decimal(38, 0)) COMMENT 'SNAPSHOT of a position: signed size; lots.' CODEC(ZSTD(1)),
    `cost` Nullable(Decimal(38, 0)) COMMENT 'SNAPSHOT of a position: signed sum of quotes; settlement units.' CODEC(ZSTD(1)),
    `margin_mode` Nullable(Enum8('UNKNOWN' = 0, 'CROSS' = 1, 'ISOLATED' = 2)) COMMENT 'SNAPSHOT of a position: how it is margined.' CODEC(ZSTD(1)),
    `leverage` Nullable(Int32) COMMENT 'SETTINGS: leverage chosen.' CODEC(ZSTD(1)),
    `role` Nullable(Enum8('UNKNOWN' = 0, 'USER' = 1, 'MAKER' = 2, 'FUND' = 3, 'PROVIDER' = 4, 'FEES' = 5, 'ROUNDING' = 6)) COMMENT 'SNAPSHOT, SETTINGS: role of the account.' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (account, event_time, src_partition, src_offset)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS `{database}`.`instruction_results`
(
    `src_topic` LowCardinality(String) DEFAULT 'instruction-results' COMMENT 'Stream of the record.',
    `src_partition` UInt32 COMMENT 'Partition of the record.' CODEC(ZSTD(1)),
    `src_offset` UInt64 COMMENT 'Offset of the record.' CODEC(DoubleDelta, ZSTD(1)),
    `ingested_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was inserted, by the server.' CODEC(Delta, ZSTD(1)),
    `instruction_id` Int64 COMMENT 'The instruction.' CODEC(ZSTD(1)),
    `kind` Enum8('UNKNOWN' = 0, 'CANCEL_ORDERS' = 1, 'NET' = 2, 'LIQUIDATE' = 3, 'PROVIDER' = 4, 'TAKEOVER' = 5, 'ADL' = 6, 'UNWIND' = 7, 'COVER' = 8, 'SOCIALISE' = 9) COMMENT 'Its kind.' CODEC(ZSTD(1)),
    `account` Int64 COMMENT 'The party.' CODEC(ZSTD(1)),
    `event_time` DateTime64(6, 'UTC') COMMENT 'Event time; outside the years 1900 to 2299 the nearer bound.' CODEC(Delta, ZSTD(1)),
    `outcome` Enum8('UNKNOWN' = 0, 'FILLED' = 1, 'PARTIAL' = 2, 'UNFILLED' = 3, 'REJECTED' = 4, 'EXPIRED' = 5) COMMENT 'What became of it.' CODEC(ZSTD(1)),
    `executed_lots` Decimal(38, 0) COMMENT 'Absolute lots executed; 0 where none are meant.' CODEC(ZSTD(1)),
    `executed_quote` Decimal(38, 0) COMMENT 'Quote of the executed lots, signed for the instruction\'s account; settlement units.' CODEC(ZSTD(1)),
    `executed_amount` Decimal(38, 0) COMMENT 'Amount moved, of COVER and SOCIALISE; settlement units.' CODEC(ZSTD(1)),
    `last_account_seq` Int64 COMMENT 'The party\'s sequence when the result was given; the reservation ends when all up to it is applied.' CODEC(ZSTD(1)),
    `reason` String COMMENT 'Plain words where it was not filled.' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (account, event_time, src_partition, src_offset)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS `{database}`.`corrections`
(
    `src_topic` LowCardinality(String) DEFAULT 'corrections' COMMENT 'Stream of the record.',
    `src_partition` UInt32 COMMENT 'Partition of the record.' CODEC(ZSTD(1)),
    `src_offset` UInt64 COMMENT 'Offset of the record.' CODEC(DoubleDelta, ZSTD(1)),
    `ingested_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was inserted, by the server.' CODEC(Delta, ZSTD(1)),
    `event_time` DateTime64(6, 'UTC') COMMENT 'Event time; outside the years 1900 to 2299 the nearer bound.' CODEC(Delta, ZSTD(1)),
    `correction_id` Int64 COMMENT 'Id of the correction, a function of its content.' CODEC(ZSTD(1)),
    `account` Int64 COMMENT 'Account of the dead letter.' CODEC(ZSTD(1)),
    `account_seq` Nullable(Int64) COMMENT 'Sequence number of the record at the place named, where it is known: it then counts as heard.' CODEC(ZSTD(1)),
    `kind` Enum8('UNKNOWN' = 0, 'FILL' = 1, 'UPDATE' = 2, 'DROP' = 3) COMMENT 'FILL and UPDATE: apply the record given. DROP: it is to be let go.' CODEC(ZSTD(1)),
    `source_topic` LowCardinality(String) COMMENT 'Stream of the dead letter\'s record.' CODEC(ZSTD(1)),
    `source_partition` Int32 COMMENT 'Its partition.' CODEC(ZSTD(1)),
    `source_offset` Int64 COMMENT 'Its offset.' CODEC(ZSTD(1)),
    `reason` String COMMENT 'Why, in the operator\'s words.' CODEC(ZSTD(1)),
    `fill` Array(Tuple(`event_time` DateTime64(6, 'UTC'), `account` Int64, `account_seq` Int64, `trade_id` Int64, `leg` Int32, `counter_account` Int64, `instrument` Int32, `position_side` Enum8('UNKNOWN' = 0, 'ONE_WAY' = 1, 'LONG' = 2, 'SHORT' = 3), `margin_mode` Enum8('UNKNOWN' = 0, 'CROSS' = 1, 'ISOLATED' = 2), `lots` Decimal(38, 0), `quote` Decimal(38, 0), `margin_moved` Decimal(38, 0), `price_ticks` Nullable(Int64), `kind` Enum8('UNKNOWN' = 0, 'TRADE' = 1, 'LIQUIDATION' = 2, 'TAKEOVER' = 3, 'PROVIDER' = 4, 'UNWIND' = 5, 'ADL' = 6, 'NETTING' = 7), `instruction_id` Nullable(Int64))) COMMENT 'The fill as it should have been; with FILL only.' CODEC(ZSTD(1)),
    `update` Array(Tuple(`event_time` DateTime64(6, 'UTC'), `account` Int64, `account_seq` Int64, `update_id` Int64, `kind` Enum8('UNKNOWN' = 0, 'SNAPSHOT' = 1, 'DEPOSIT' = 2, 'WITHDRAWAL' = 3, 'TRANSFER' = 4, 'FUNDING' = 5, 'FEE' = 6, 'LIQUIDATION_FEE' = 7, 'ISOLATED_MARGIN' = 8, 'COVER' = 9, 'SOCIALISED' = 10, 'CLAIM' = 11, 'STAKE' = 12, 'UNSTAKE' = 13, 'SETTINGS' = 14), `asset` Int32, `amount` Decimal(38, 0), `instrument` Nullable(Int32), `position_side` Nullable(Enum8('UNKNOWN' = 0, 'ONE_WAY' = 1, 'LONG' = 2, 'SHORT' = 3)), `counter_account` Nullable(Int64), `transfer_id` Nullable(Int64), `instruction_id` Nullable(Int64), `wallet_after` Nullable(Decimal(38, 0)), `part` Nullable(Int32), `parts` Nullable(Int32), `lots` Nullable(Decimal(38, 0)), `cost` Nullable(Decimal(38, 0)), `margin_mode` Nullable(Enum8('UNKNOWN' = 0, 'CROSS' = 1, 'ISOLATED' = 2)), `leverage` Nullable(Int32), `role` Nullable(Enum8('UNKNOWN' = 0, 'USER' = 1, 'MAKER' = 2, 'FUND' = 3, 'PROVIDER' = 4, 'FEES' = 5, 'ROUNDING' = 6)))) COMMENT 'The account update as it should have been; with UPDATE only.' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (account, event_time, src_partition, src_offset)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS `{database}`.`instructions`
(
    `src_topic` LowCardinality(String) DEFAULT 'instructions' COMMENT 'Stream of the record.',
    `src_partition` UInt32 COMMENT 'Partition of the record.' CODEC(ZSTD(1)),
    `src_offset` UInt64 COMMENT 'Offset of the record.' CODEC(DoubleDelta, ZSTD(1)),
    `ingested_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was inserted, by the server.' CODEC(Delta, ZSTD(1)),
    `instruction_id` Int64 COMMENT '63 bits of SHA-256 over the cause; never of step numbers.' CODEC(ZSTD(1)),
    `kind` Enum8('UNKNOWN' = 0, 'CANCEL_ORDERS' = 1, 'NET' = 2, 'LIQUIDATE' = 3, 'PROVIDER' = 4, 'TAKEOVER' = 5, 'ADL' = 6, 'UNWIND' = 7, 'COVER' = 8, 'SOCIALISE' = 9) COMMENT 'Rung of the ladder.' CODEC(ZSTD(1)),
    `account` Int64 COMMENT 'The account being resolved; the fund for UNWIND.' CODEC(ZSTD(1)),
    `partition` Int32 COMMENT 'The account\'s partition, as the exchange chose it.' CODEC(ZSTD(1)),
    `pool` Nullable(Int32) COMMENT 'Pool concerned.' CODEC(ZSTD(1)),
    `cause_kind` Enum8('UNKNOWN' = 0, 'EPISODE' = 1, 'WAVE' = 2, 'DEFICIT' = 3, 'INVENTORY' = 4) COMMENT 'What kind of cause.' CODEC(ZSTD(1)),
    `cause_id` Int64 COMMENT 'The episode, wave, deficit or takeover.' CODEC(ZSTD(1)),
    `rung` Int32 COMMENT 'Place in the ladder; the code of `kind`.' CODEC(ZSTD(1)),
    `attempt` Int32 COMMENT 'From 1.' CODEC(ZSTD(1)),
    `instrument` Nullable(Int32) COMMENT 'Instrument; for COVER and SOCIALISE that of the account\'s isolated group.' CODEC(ZSTD(1)),
    `position_side` Nullable(Enum8('UNKNOWN' = 0, 'ONE_WAY' = 1, 'LONG' = 2, 'SHORT' = 3)) COMMENT 'Leg that goes with instrument.' CODEC(ZSTD(1)),
    `lots` Nullable(Decimal(38, 0)) COMMENT 'Signed for account; lots.' CODEC(ZSTD(1)),
    `quote_limit` Nullable(Decimal(38, 0)) COMMENT 'LIQUIDATE: worst quote for the whole of lots, signed as lots: pay at most, receive at least; settlement units.' CODEC(ZSTD(1)),
    `quote` Nullable(Decimal(38, 0)) COMMENT 'TAKEOVER, ADL, NET: exact quote of the fill, signed for account; settlement units.' CODEC(ZSTD(1)),
    `counter_account` Nullable(Int64) COMMENT 'The other side.' CODEC(ZSTD(1)),
    `counter_instrument` Nullable(Int32) COMMENT 'COVER, SOCIALISE: instrument of the payer\'s isolated group.' CODEC(ZSTD(1)),
    `counter_position_side` Nullable(Enum8('UNKNOWN' = 0, 'ONE_WAY' = 1, 'LONG' = 2, 'SHORT' = 3)) COMMENT 'Leg of the other side\'s position or group.' CODEC(ZSTD(1)),
    `counter_partition` Nullable(Int32) COMMENT 'Partition of the other side\'s account.' CODEC(ZSTD(1)),
    `amount` Nullable(Decimal(38, 0)) COMMENT 'COVER, SOCIALISE: moved from the counter-account\'s group to the account\'s; settlement units.' CODEC(ZSTD(1)),
    `mark_ticks` Nullable(Int64) COMMENT 'Mark the decision was taken on; ticks.' CODEC(ZSTD(1)),
    `mark_sequence` Nullable(Int64) COMMENT 'Sequence of that mark.' CODEC(ZSTD(1)),
    `policy_version` Int64 COMMENT 'Version of the pool\'s parameters applied.' CODEC(ZSTD(1)),
    `event_time` DateTime64(6, 'UTC') COMMENT 'Event time; outside the years 1900 to 2299 the nearer bound.' CODEC(Delta, ZSTD(1)),
    `valid_until_us` Int64 COMMENT 'The gateway rejects after this event time; microseconds.' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (account, event_time, src_partition, src_offset)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS `{database}`.`account_states`
(
    `src_topic` LowCardinality(String) DEFAULT 'account-states' COMMENT 'Stream of the record.',
    `src_partition` UInt32 COMMENT 'Partition of the record.' CODEC(ZSTD(1)),
    `src_offset` UInt64 COMMENT 'Offset of the record.' CODEC(DoubleDelta, ZSTD(1)),
    `ingested_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was inserted, by the server.' CODEC(Delta, ZSTD(1)),
    `event_time` DateTime64(6, 'UTC') COMMENT 'Event time; outside the years 1900 to 2299 the nearer bound.' CODEC(Delta, ZSTD(1)),
    `account` Int64 COMMENT 'Account id.' CODEC(ZSTD(1)),
    `asset` Int32 COMMENT 'Settlement asset id.' CODEC(ZSTD(1)),
    `group_instrument` Nullable(Int32) COMMENT 'Instrument of an isolated group; null: the cross group.' CODEC(ZSTD(1)),
    `group_side` Nullable(Enum8('UNKNOWN' = 0, 'ONE_WAY' = 1, 'LONG' = 2, 'SHORT' = 3)) COMMENT 'Leg of an isolated group.' CODEC(ZSTD(1)),
    `state` Enum8('UNKNOWN' = 0, 'HEALTHY' = 1, 'WARNING' = 2, 'LIQUIDATABLE' = 3, 'BANKRUPT' = 4, 'SUSPECT' = 5) COMMENT 'State entered.' CODEC(ZSTD(1)),
    `episode` Int64 COMMENT 'Number of the group\'s episode; 0 before the first.' CODEC(ZSTD(1)),
    `equity` Decimal(38, 0) COMMENT 'Equity at the crossing; settlement units.' CODEC(ZSTD(1)),
    `maintenance` Decimal(38, 0) COMMENT 'Maintenance at the crossing; settlement units.' CODEC(ZSTD(1)),
    `instrument` Nullable(Int32) COMMENT 'Instrument of the mark that caused it.' CODEC(ZSTD(1)),
    `mark_ticks` Nullable(Int64) COMMENT 'That mark; ticks.' CODEC(ZSTD(1)),
    `mark_sequence` Nullable(Int64) COMMENT 'Its sequence.' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (account, event_time, src_partition, src_offset)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS `{database}`.`insolvencies`
(
    `src_topic` LowCardinality(String) DEFAULT 'insolvencies' COMMENT 'Stream of the record.',
    `src_partition` UInt32 COMMENT 'Partition of the record.' CODEC(ZSTD(1)),
    `src_offset` UInt64 COMMENT 'Offset of the record.' CODEC(DoubleDelta, ZSTD(1)),
    `ingested_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was inserted, by the server.' CODEC(Delta, ZSTD(1)),
    `kind` Enum8('UNKNOWN' = 0, 'POSITION' = 1, 'DEFICIT' = 2, 'CLOSED' = 3) COMMENT 'What is told.' CODEC(ZSTD(1)),
    `pool` Int32 COMMENT 'Pool concerned.' CODEC(ZSTD(1)),
    `account` Int64 COMMENT 'Account id.' CODEC(ZSTD(1)),
    `partition` Int32 COMMENT 'The account\'s partition.' CODEC(ZSTD(1)),
    `group_instrument` Nullable(Int32) COMMENT 'Instrument of an isolated group; null: the cross group.' CODEC(ZSTD(1)),
    `group_side` Nullable(Enum8('UNKNOWN' = 0, 'ONE_WAY' = 1, 'LONG' = 2, 'SHORT' = 3)) COMMENT 'Leg of an isolated group.' CODEC(ZSTD(1)),
    `episode` Int64 COMMENT 'Number of the group\'s episode.' CODEC(ZSTD(1)),
    `attempt` Int32 COMMENT 'From 1.' CODEC(ZSTD(1)),
    `instrument` Nullable(Int32) COMMENT 'POSITION: its instrument.' CODEC(ZSTD(1)),
    `position_side` Nullable(Enum8('UNKNOWN' = 0, 'ONE_WAY' = 1, 'LONG' = 2, 'SHORT' = 3)) COMMENT 'POSITION: its leg.' CODEC(ZSTD(1)),
    `lots` Decimal(38, 0) COMMENT 'POSITION: signed size handed over; lots.' CODEC(ZSTD(1)),
    `bankruptcy_quote` Decimal(38, 0) COMMENT 'POSITION: quote at which closing these lots takes exactly their share of the equity, signed as value; settlement units.' CODEC(ZSTD(1)),
    `deficit` Decimal(38, 0) COMMENT 'DEFICIT: increase of what the group owes; settlement units.' CODEC(ZSTD(1)),
    `mark_ticks` Nullable(Int64) COMMENT 'POSITION: mark of the valuation; ticks.' CODEC(ZSTD(1)),
    `mark_sequence` Nullable(Int64) COMMENT 'Sequence of that mark.' CODEC(ZSTD(1)),
    `event_time` DateTime64(6, 'UTC') COMMENT 'Event time; outside the years 1900 to 2299 the nearer bound.' CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (pool, event_time, src_partition, src_offset)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS `{database}`.`fund_flows`
(
    `src_topic` LowCardinality(String) DEFAULT 'fund-flows' COMMENT 'Stream of the record.',
    `src_partition` UInt32 COMMENT 'Partition of the record.' CODEC(ZSTD(1)),
    `src_offset` UInt64 COMMENT 'Offset of the record.' CODEC(DoubleDelta, ZSTD(1)),
    `ingested_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was inserted, by the server.' CODEC(Delta, ZSTD(1)),
    `pool` Int32 COMMENT 'Pool of the fund.' CODEC(ZSTD(1)),
    `account` Int64 COMMENT 'The fund\'s account.' CODEC(ZSTD(1)),
    `partition` Int32 COMMENT 'The account\'s partition, as the exchange chose it.' CODEC(ZSTD(1)),
    `cause` Enum8('UNKNOWN' = 0, 'OPENING' = 1, 'DEPOSIT' = 2, 'WITHDRAWAL' = 3, 'TRANSFER' = 4, 'FUNDING' = 5, 'FEE' = 6, 'LIQUIDATION_FEE' = 7, 'COVER' = 8, 'SOCIALISED' = 9, 'TRADE' = 10, 'LIQUIDATION' = 11, 'TAKEOVER' = 12, 'UNWIND' = 13, 'ADL' = 14, 'NETTING' = 15, 'OTHER' = 16) COMMENT 'Cause.' CODEC(ZSTD(1)),
    `source_id` Int64 COMMENT 'Trade or update id.' CODEC(ZSTD(1)),
    `instruction_id` Nullable(Int64) COMMENT 'Instruction that caused it.' CODEC(ZSTD(1)),
    `instrument` Nullable(Int32) COMMENT 'Instrument of a fill.' CODEC(ZSTD(1)),
    `lots` Decimal(38, 0) COMMENT 'Signed lots of the fill; lots.' CODEC(ZSTD(1)),
    `quote` Decimal(38, 0) COMMENT 'Signed quote of the fill; settlement units.' CODEC(ZSTD(1)),
    `cash` Decimal(38, 0) COMMENT 'Change of the wallet; settlement units.' CODEC(ZSTD(1)),
    `wallet_after` Decimal(38, 0) COMMENT 'Wallet afterwards; settlement units.' CODEC(ZSTD(1)),
    `lots_after` Decimal(38, 0) COMMENT 'Signed inventory of the instrument afterwards; lots.' CODEC(ZSTD(1)),
    `cost_after` Decimal(38, 0) COMMENT 'Cost of that inventory; settlement units.' CODEC(ZSTD(1)),
    `account_seq` Int64 COMMENT 'The account\'s sequence.' CODEC(ZSTD(1)),
    `event_time` DateTime64(6, 'UTC') COMMENT 'Event time; outside the years 1900 to 2299 the nearer bound.' CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (pool, event_time, src_partition, src_offset)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS `{database}`.`adl_candidates`
(
    `src_topic` LowCardinality(String) DEFAULT 'adl-candidates' COMMENT 'Stream of the record.',
    `src_partition` UInt32 COMMENT 'Partition of the record.' CODEC(ZSTD(1)),
    `src_offset` UInt64 COMMENT 'Offset of the record.' CODEC(DoubleDelta, ZSTD(1)),
    `ingested_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was inserted, by the server.' CODEC(Delta, ZSTD(1)),
    `wave_id` Int64 COMMENT 'The wave.' CODEC(ZSTD(1)),
    `pool` Int32 COMMENT 'Pool concerned.' CODEC(ZSTD(1)),
    `shard` Int32 COMMENT 'Shard that answers.' CODEC(ZSTD(1)),
    `chunk` Int32 COMMENT 'Number of this chunk, from 0.' CODEC(ZSTD(1)),
    `chunks` Int32 COMMENT 'How many chunks.' CODEC(ZSTD(1)),
    `candidates_total` Int64 COMMENT 'All candidates of the shard, offered or not.' CODEC(ZSTD(1)),
    `lots_total` Decimal(38, 0) COMMENT 'Their free lots.' CODEC(ZSTD(1)),
    `event_time` DateTime64(6, 'UTC') COMMENT 'Event time; outside the years 1900 to 2299 the nearer bound.' CODEC(Delta, ZSTD(1)),
    `rows` Array(Tuple(`account` Int64, `partition` Int32, `position_side` Enum8('UNKNOWN' = 0, 'ONE_WAY' = 1, 'LONG' = 2, 'SHORT' = 3), `margin_mode` Enum8('UNKNOWN' = 0, 'CROSS' = 1, 'ISOLATED' = 2), `lots` Decimal(38, 0), `offered_lots` Decimal(38, 0), `cost` Decimal(38, 0), `group_wallet` Decimal(38, 0), `group_equity` Decimal(38, 0), `group_maintenance` Decimal(38, 0), `position_maintenance` Decimal(38, 0))) COMMENT 'Best first, until the quantity is covered twice.' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (pool, event_time, src_partition, src_offset)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS `{database}`.`shard_totals`
(
    `src_topic` LowCardinality(String) DEFAULT 'shard-totals' COMMENT 'Stream of the record.',
    `src_partition` UInt32 COMMENT 'Partition of the record.' CODEC(ZSTD(1)),
    `src_offset` UInt64 COMMENT 'Offset of the record.' CODEC(DoubleDelta, ZSTD(1)),
    `ingested_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was inserted, by the server.' CODEC(Delta, ZSTD(1)),
    `event_time` DateTime64(6, 'UTC') COMMENT 'Event time; outside the years 1900 to 2299 the nearer bound.' CODEC(Delta, ZSTD(1)),
    `shard` Int32 COMMENT 'Shard.' CODEC(ZSTD(1)),
    `asset` Int32 COMMENT 'Settlement asset id.' CODEC(ZSTD(1)),
    `event_second` Int64 COMMENT 'The second that ended; seconds since the epoch.' CODEC(ZSTD(1)),
    `wallets` Decimal(38, 0) COMMENT 'Sum of wallets and isolated buckets; decimal integer of settlement units.' CODEC(ZSTD(1)),
    `open_cost` Decimal(38, 0) COMMENT 'Sum of costs; decimal integer of settlement units.' CODEC(ZSTD(1)),
    `external` Decimal(38, 0) COMMENT 'Net flow from outside; decimal integer of settlement units.' CODEC(ZSTD(1)),
    `reconciliation` Decimal(38, 0) COMMENT 'Sum of differences between our balances and the exchange\'s; alarmed; decimal integer of settlement units.' CODEC(ZSTD(1)),
    `consumed` Array(Tuple(`topic` LowCardinality(String), `partition` Int32, `to` Int64)) COMMENT 'How far the exchange\'s streams were read.' CODEC(ZSTD(1)),
    `instruments` Array(Tuple(`instrument` Int32, `lots` Decimal(38, 0), `open_interest` Decimal(38, 0))) COMMENT 'Per instrument.' CODEC(ZSTD(1)),
    `groups_warning` Int64 COMMENT 'Groups in WARNING.' CODEC(ZSTD(1)),
    `groups_liquidatable` Int64 COMMENT 'Groups in LIQUIDATABLE.' CODEC(ZSTD(1)),
    `groups_bankrupt` Int64 COMMENT 'Groups in BANKRUPT.' CODEC(ZSTD(1)),
    `suspects` Int64 COMMENT 'SUSPECT accounts.' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (asset, event_time, src_partition, src_offset)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS `{database}`.`adl_probes`
(
    `src_topic` LowCardinality(String) DEFAULT 'adl-probes' COMMENT 'Stream of the record.',
    `src_partition` UInt32 COMMENT 'Partition of the record.' CODEC(ZSTD(1)),
    `src_offset` UInt64 COMMENT 'Offset of the record.' CODEC(DoubleDelta, ZSTD(1)),
    `ingested_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was inserted, by the server.' CODEC(Delta, ZSTD(1)),
    `wave_id` Int64 COMMENT 'The wave.' CODEC(ZSTD(1)),
    `pool` Int32 COMMENT 'Pool concerned.' CODEC(ZSTD(1)),
    `instrument` Int32 COMMENT 'Instrument to deleverage.' CODEC(ZSTD(1)),
    `side` Enum8('UNKNOWN' = 0, 'ONE_WAY' = 1, 'LONG' = 2, 'SHORT' = 3) COMMENT 'The offsetting side: LONG or SHORT by the sign of lots.' CODEC(ZSTD(1)),
    `lots_needed` Decimal(38, 0) COMMENT 'Absolute lots asked for.' CODEC(ZSTD(1)),
    `policy_id` Enum8('UNKNOWN' = 0, 'BITMEX' = 1, 'BINANCE' = 2) COMMENT 'Score to rank by.' CODEC(ZSTD(1)),
    `policy_version` Int64 COMMENT 'Version of the pool\'s parameters.' CODEC(ZSTD(1)),
    `score_wallet_floor` Decimal(38, 0) COMMENT 'The pool\'s, at the probe; settlement units.' CODEC(ZSTD(1)),
    `shard_count` Int32 COMMENT 'Shards that must answer.' CODEC(ZSTD(1)),
    `event_time` DateTime64(6, 'UTC') COMMENT 'Event time; outside the years 1900 to 2299 the nearer bound.' CODEC(Delta, ZSTD(1)),
    `marks` Array(Tuple(`instrument` Int32, `mark_ticks` Int64, `sequence` Int64)) COMMENT 'The full vector of marks to value everybody at.' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (instrument, event_time, src_partition, src_offset)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS `{database}`.`adl_decisions`
(
    `src_topic` LowCardinality(String) DEFAULT 'adl-decisions' COMMENT 'Stream of the record.',
    `src_partition` UInt32 COMMENT 'Partition of the record.' CODEC(ZSTD(1)),
    `src_offset` UInt64 COMMENT 'Offset of the record.' CODEC(DoubleDelta, ZSTD(1)),
    `ingested_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was inserted, by the server.' CODEC(Delta, ZSTD(1)),
    `wave_id` Int64 COMMENT 'The wave.' CODEC(ZSTD(1)),
    `pool` Int32 COMMENT 'Pool concerned.' CODEC(ZSTD(1)),
    `instrument` Int32 COMMENT 'Instrument.' CODEC(ZSTD(1)),
    `side` Enum8('UNKNOWN' = 0, 'ONE_WAY' = 1, 'LONG' = 2, 'SHORT' = 3) COMMENT 'The offsetting side.' CODEC(ZSTD(1)),
    `status` Enum8('UNKNOWN' = 0, 'ALLOCATED' = 1, 'CLOSED' = 2) COMMENT 'ALLOCATED or CLOSED.' CODEC(ZSTD(1)),
    `chunk` Int32 COMMENT 'Number of this chunk, from 0.' CODEC(ZSTD(1)),
    `chunks` Int32 COMMENT 'How many chunks.' CODEC(ZSTD(1)),
    `event_time` DateTime64(6, 'UTC') COMMENT 'Event time; outside the years 1900 to 2299 the nearer bound.' CODEC(Delta, ZSTD(1)),
    `residuals` Array(Tuple(`account` Int64, `position_side` Enum8('UNKNOWN' = 0, 'ONE_WAY' = 1, 'LONG' = 2, 'SHORT' = 3), `lots` Decimal(38, 0))) COMMENT 'What found no counterparty.' CODEC(ZSTD(1)),
    `rows` Array(Tuple(`account` Int64, `position_side` Enum8('UNKNOWN' = 0, 'ONE_WAY' = 1, 'LONG' = 2, 'SHORT' = 3), `lots` Decimal(38, 0), `instruction_id` Int64)) COMMENT 'What stays reserved.' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (instrument, event_time, src_partition, src_offset)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS `{database}`.`adl_waves`
(
    `src_topic` LowCardinality(String) DEFAULT 'adl-waves' COMMENT 'Stream of the record.',
    `src_partition` UInt32 COMMENT 'Partition of the record.' CODEC(ZSTD(1)),
    `src_offset` UInt64 COMMENT 'Offset of the record.' CODEC(DoubleDelta, ZSTD(1)),
    `ingested_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was inserted, by the server.' CODEC(Delta, ZSTD(1)),
    `event_time` DateTime64(6, 'UTC') COMMENT 'Event time; outside the years 1900 to 2299 the nearer bound.' CODEC(Delta, ZSTD(1)),
    `wave_id` Int64 COMMENT 'The wave.' CODEC(ZSTD(1)),
    `pool` Int32 COMMENT 'Pool concerned.' CODEC(ZSTD(1)),
    `instrument` Int32 COMMENT 'Instrument.' CODEC(ZSTD(1)),
    `side` Enum8('UNKNOWN' = 0, 'ONE_WAY' = 1, 'LONG' = 2, 'SHORT' = 3) COMMENT 'The offsetting side.' CODEC(ZSTD(1)),
    `policy_id` Enum8('UNKNOWN' = 0, 'BITMEX' = 1, 'BINANCE' = 2) COMMENT 'Score.' CODEC(ZSTD(1)),
    `policy_version` Int64 COMMENT 'Version of the pool\'s parameters.' CODEC(ZSTD(1)),
    `price_rule` Enum8('UNKNOWN' = 0, 'BANKRUPTCY' = 1, 'MARK' = 2) COMMENT 'Quote rule.' CODEC(ZSTD(1)),
    `opened_us` Int64 COMMENT 'Event time at which it opened; microseconds.' CODEC(ZSTD(1)),
    `lots_needed` Decimal(38, 0) COMMENT 'Asked for; lots.' CODEC(ZSTD(1)),
    `lots_allocated` Decimal(38, 0) COMMENT 'Instructed; lots.' CODEC(ZSTD(1)),
    `lots_taken` Decimal(38, 0) COMMENT 'Executed; lots.' CODEC(ZSTD(1)),
    `residual_lots` Decimal(38, 0) COMMENT 'Found no counterparty; lots.' CODEC(ZSTD(1)),
    `needed_budget` Decimal(38, 0) COMMENT 'Sum over its fills of |quote - value at mark|: what the winners gave up; settlement units.' CODEC(ZSTD(1)),
    `overshoot_lots` Decimal(38, 0) COMMENT 'Taken beyond needed: zero unless the exchange overfilled; lots.' CODEC(ZSTD(1)),
    `largest_haircut_ppm` Int64 COMMENT 'Largest share of an offsetting position\'s profit given up; millionths.' CODEC(ZSTD(1)),
    `inversions` Int64 COMMENT 'Pairs of neighbours in rank of which the later lost a larger share of its position.' CODEC(ZSTD(1)),
    `candidates_total` Int64 COMMENT 'Candidates over all shards.' CODEC(ZSTD(1)),
    `candidate_lots_total` Decimal(38, 0) COMMENT 'Their free lots.' CODEC(ZSTD(1)),
    `shards` Int32 COMMENT 'Shards that answered.' CODEC(ZSTD(1)),
    `mark_ticks` Int64 COMMENT 'Mark of the instrument in the probe; ticks.' CODEC(ZSTD(1)),
    `mark_sequence` Int64 COMMENT 'Its sequence.' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (instrument, event_time, src_partition, src_offset)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS `{database}`.`adl_executions`
(
    `src_topic` LowCardinality(String) DEFAULT 'adl-executions' COMMENT 'Stream of the record.',
    `src_partition` UInt32 COMMENT 'Partition of the record.' CODEC(ZSTD(1)),
    `src_offset` UInt64 COMMENT 'Offset of the record.' CODEC(DoubleDelta, ZSTD(1)),
    `ingested_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was inserted, by the server.' CODEC(Delta, ZSTD(1)),
    `event_time` DateTime64(6, 'UTC') COMMENT 'Event time; outside the years 1900 to 2299 the nearer bound.' CODEC(Delta, ZSTD(1)),
    `wave_id` Int64 COMMENT 'The wave.' CODEC(ZSTD(1)),
    `pool` Int32 COMMENT 'Pool concerned.' CODEC(ZSTD(1)),
    `instruction_id` Int64 COMMENT 'The instruction.' CODEC(ZSTD(1)),
    `instrument` Int32 COMMENT 'Instrument.' CODEC(ZSTD(1)),
    `account` Int64 COMMENT 'The account deleveraged (offsetting).' CODEC(ZSTD(1)),
    `partition` Int32 COMMENT 'Its partition.' CODEC(ZSTD(1)),
    `position_side` Enum8('UNKNOWN' = 0, 'ONE_WAY' = 1, 'LONG' = 2, 'SHORT' = 3) COMMENT 'Its leg.' CODEC(ZSTD(1)),
    `liquidated_account` Int64 COMMENT 'The account resolved (liquidated).' CODEC(ZSTD(1)),
    `liquidated_side` Enum8('UNKNOWN' = 0, 'ONE_WAY' = 1, 'LONG' = 2, 'SHORT' = 3) COMMENT 'Its leg.' CODEC(ZSTD(1)),
    `lots` Decimal(38, 0) COMMENT 'Absolute lots executed.' CODEC(ZSTD(1)),
    `instructed_lots` Decimal(38, 0) COMMENT 'Absolute lots instructed.' CODEC(ZSTD(1)),
    `quote` Decimal(38, 0) COMMENT 'Quote executed, signed for the liquidated account; settlement units.' CODEC(ZSTD(1)),
    `bankruptcy_quote` Decimal(38, 0) COMMENT 'The share of the bankruptcy quote of the executed lots, signed for the liquidated account; settlement units.' CODEC(ZSTD(1)),
    `mark_ticks` Int64 COMMENT 'Mark of the wave; ticks.' CODEC(ZSTD(1)),
    `mark_sequence` Int64 COMMENT 'Its sequence.' CODEC(ZSTD(1)),
    `policy_id` Enum8('UNKNOWN' = 0, 'BITMEX' = 1, 'BINANCE' = 2) COMMENT 'Score.' CODEC(ZSTD(1)),
    `policy_version` Int64 COMMENT 'Version of the pool\'s parameters.' CODEC(ZSTD(1)),
    `rank` Int64 COMMENT '1 is first.' CODEC(ZSTD(1)),
    `of_n` Int64 COMMENT 'Candidates over all shards.' CODEC(ZSTD(1)),
    `lots_ahead` Decimal(38, 0) COMMENT 'Free lots of the candidates ranked before it.' CODEC(ZSTD(1)),
    `lots_total` Decimal(38, 0) COMMENT 'Free lots of all candidates.' CODEC(ZSTD(1)),
    `percentile_accounts_ppm` Int64 COMMENT '1,000,000 x (n - rank + 1) / n; 1,000,000 is first.' CODEC(ZSTD(1)),
    `percentile_lots_ppm` Int64 COMMENT '1,000,000 x (1 - ahead / total); 1,000,000 is first.' CODEC(ZSTD(1)),
    `lights` Int32 COMMENT '1 to 5, 5 is first: 6 - ceil(5 x cumulative share, own size included).' CODEC(ZSTD(1)),
    `position_lots` Decimal(38, 0) COMMENT 'Score input: signed size; lots.' CODEC(ZSTD(1)),
    `cost` Decimal(38, 0) COMMENT 'Score input; settlement units.' CODEC(ZSTD(1)),
    `group_wallet` Decimal(38, 0) COMMENT 'Score input; settlement units.' CODEC(ZSTD(1)),
    `group_equity` Decimal(38, 0) COMMENT 'Score input; settlement units.' CODEC(ZSTD(1)),
    `group_maintenance` Decimal(38, 0) COMMENT 'Score input; settlement units.' CODEC(ZSTD(1)),
    `position_maintenance` Decimal(38, 0) COMMENT 'Score input; settlement units.' CODEC(ZSTD(1)),
    `reason` String COMMENT 'Plain words.' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (instrument, event_time, src_partition, src_offset)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS `{database}`.`fund_ledger`
(
    `src_topic` LowCardinality(String) DEFAULT 'fund-ledger' COMMENT 'Stream of the record.',
    `src_partition` UInt32 COMMENT 'Partition of the record.' CODEC(ZSTD(1)),
    `src_offset` UInt64 COMMENT 'Offset of the record.' CODEC(DoubleDelta, ZSTD(1)),
    `ingested_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was inserted, by the server.' CODEC(Delta, ZSTD(1)),
    `event_time` DateTime64(6, 'UTC') COMMENT 'Event time; outside the years 1900 to 2299 the nearer bound.' CODEC(Delta, ZSTD(1)),
    `pool` Int32 COMMENT 'Pool.' CODEC(ZSTD(1)),
    `entry` Int64 COMMENT 'Number of the entry in its pool, from 1.' CODEC(ZSTD(1)),
    `cause` Enum8('UNKNOWN' = 0, 'OPENING' = 1, 'DEPOSIT' = 2, 'WITHDRAWAL' = 3, 'TRANSFER' = 4, 'FUNDING' = 5, 'FEE' = 6, 'LIQUIDATION_FEE' = 7, 'COVER' = 8, 'SOCIALISED' = 9, 'TRADE' = 10, 'LIQUIDATION' = 11, 'TAKEOVER' = 12, 'UNWIND' = 13, 'ADL' = 14, 'NETTING' = 15, 'OTHER' = 16) COMMENT 'Cause.' CODEC(ZSTD(1)),
    `source_id` Int64 COMMENT 'Trade or update id.' CODEC(ZSTD(1)),
    `instruction_id` Nullable(Int64) COMMENT 'Instruction that caused it.' CODEC(ZSTD(1)),
    `debit` Enum8('UNKNOWN' = 0, 'CASH' = 1, 'CAPITAL' = 2, 'FEES' = 3, 'TAKEOVER_RESULT' = 4, 'COVERS' = 5, 'OTHER' = 6) COMMENT 'Receives the amount.' CODEC(ZSTD(1)),
    `credit` Enum8('UNKNOWN' = 0, 'CASH' = 1, 'CAPITAL' = 2, 'FEES' = 3, 'TAKEOVER_RESULT' = 4, 'COVERS' = 5, 'OTHER' = 6) COMMENT 'Gives the amount.' CODEC(ZSTD(1)),
    `amount` Decimal(38, 0) COMMENT 'Not negative; settlement units.' CODEC(ZSTD(1)),
    `wallet_after` Decimal(38, 0) COMMENT 'Cash afterwards; settlement units.' CODEC(ZSTD(1)),
    `inventory_cost_after` Decimal(38, 0) COMMENT 'Sum of the costs of the inventory afterwards; settlement units.' CODEC(ZSTD(1)),
    `value_after` Decimal(38, 0) COMMENT 'The fund\'s value afterwards; settlement units.' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (pool, event_time, src_partition, src_offset)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS `{database}`.`pool_states`
(
    `src_topic` LowCardinality(String) DEFAULT 'pool-states' COMMENT 'Stream of the record.',
    `src_partition` UInt32 COMMENT 'Partition of the record.' CODEC(ZSTD(1)),
    `src_offset` UInt64 COMMENT 'Offset of the record.' CODEC(DoubleDelta, ZSTD(1)),
    `ingested_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was inserted, by the server.' CODEC(Delta, ZSTD(1)),
    `event_time` DateTime64(6, 'UTC') COMMENT 'Event time; outside the years 1900 to 2299 the nearer bound.' CODEC(Delta, ZSTD(1)),
    `pool` Int32 COMMENT 'Pool.' CODEC(ZSTD(1)),
    `instrument` Int32 COMMENT 'Instrument.' CODEC(ZSTD(1)),
    `state` Enum8('UNKNOWN' = 0, 'NORMAL' = 1, 'ADL' = 2) COMMENT 'State entered.' CODEC(ZSTD(1)),
    `value` Decimal(38, 0) COMMENT 'The fund\'s value: wallet + inventory at mark - its cost - reserved; settlement units.' CODEC(ZSTD(1)),
    `wallet` Decimal(38, 0) COMMENT 'The fund\'s wallet; settlement units.' CODEC(ZSTD(1)),
    `threshold` Nullable(Decimal(38, 0)) COMMENT 'Threshold crossed, where one was; settlement units.' CODEC(ZSTD(1)),
    `reason` String COMMENT 'Plain words.' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (pool, event_time, src_partition, src_offset)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS `{database}`.`accounts_journal`
(
    `src_topic` LowCardinality(String) DEFAULT 'accounts-journal' COMMENT 'Stream of the record.',
    `src_partition` UInt32 COMMENT 'Partition of the record.' CODEC(ZSTD(1)),
    `src_offset` UInt64 COMMENT 'Offset of the record.' CODEC(DoubleDelta, ZSTD(1)),
    `ingested_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was inserted, by the server.' CODEC(Delta, ZSTD(1)),
    `task` LowCardinality(String) COMMENT 'Task.' CODEC(ZSTD(1)),
    `shard` Int32 COMMENT 'Shard.' CODEC(ZSTD(1)),
    `step` Int64 COMMENT 'From 0, the genesis.' CODEC(ZSTD(1)),
    `machine_version` Int32 COMMENT 'Version of the machine that ran it.' CODEC(ZSTD(1)),
    `owner` LowCardinality(String) COMMENT 'Who ran it.' CODEC(ZSTD(1)),
    `generation` Int64 COMMENT 'How often the shard has been taken over.' CODEC(ZSTD(1)),
    `event_time` DateTime64(6, 'UTC') COMMENT 'Event time; outside the years 1900 to 2299 the nearer bound.' CODEC(Delta, ZSTD(1)),
    `slices` Array(Tuple(`topic` LowCardinality(String), `partition` Int32, `from` Int64, `to` Int64, `count` Int64, `digest` String)) COMMENT 'What was taken.' CODEC(ZSTD(1)),
    `outputs` Array(Tuple(`topic` LowCardinality(String), `partition` Int32, `count` Int64, `digest` String)) COMMENT 'What was written.' CODEC(ZSTD(1)),
    `state_digest` String COMMENT 'Digest of the machine\'s state after the step.' CODEC(ZSTD(1)),
    `snapshot` Array(Tuple(`step` Int64, `file_sha256` String)) COMMENT 'A snapshot written since the previous record.' CODEC(ZSTD(1)),
    `genesis` Array(Tuple(`deployment` LowCardinality(String), `shard_count` Int32, `inputs` Array(Tuple(`topic` LowCardinality(String), `partitions` Int32)))) COMMENT 'Step 0 only.' CODEC(ZSTD(1)),
    `upgrade` Array(Tuple(`from_version` Int32, `from_state_digest` String)) COMMENT 'Where a new version of the rules took over.' CODEC(ZSTD(1)),
    `held` Int64 COMMENT 'Instruction results that wait for their fills.' CODEC(ZSTD(1)),
    `previous_hash` String COMMENT 'own_hash of the previous record; zeros at genesis.' CODEC(ZSTD(1)),
    `own_hash` String COMMENT 'SHA-256 of this record\'s Avro encoding with own_hash all zeros.' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (shard, event_time, src_partition, src_offset)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS `{database}`.`pools_journal`
(
    `src_topic` LowCardinality(String) DEFAULT 'pools-journal' COMMENT 'Stream of the record.',
    `src_partition` UInt32 COMMENT 'Partition of the record.' CODEC(ZSTD(1)),
    `src_offset` UInt64 COMMENT 'Offset of the record.' CODEC(DoubleDelta, ZSTD(1)),
    `ingested_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was inserted, by the server.' CODEC(Delta, ZSTD(1)),
    `task` LowCardinality(String) COMMENT 'Task.' CODEC(ZSTD(1)),
    `shard` Int32 COMMENT 'Shard.' CODEC(ZSTD(1)),
    `step` Int64 COMMENT 'From 0, the genesis.' CODEC(ZSTD(1)),
    `machine_version` Int32 COMMENT 'Version of the machine that ran it.' CODEC(ZSTD(1)),
    `owner` LowCardinality(String) COMMENT 'Who ran it.' CODEC(ZSTD(1)),
    `generation` Int64 COMMENT 'How often the shard has been taken over.' CODEC(ZSTD(1)),
    `event_time` DateTime64(6, 'UTC') COMMENT 'Event time; outside the years 1900 to 2299 the nearer bound.' CODEC(Delta, ZSTD(1)),
    `slices` Array(Tuple(`topic` LowCardinality(String), `partition` Int32, `from` Int64, `to` Int64, `count` Int64, `digest` String)) COMMENT 'What was taken.' CODEC(ZSTD(1)),
    `outputs` Array(Tuple(`topic` LowCardinality(String), `partition` Int32, `count` Int64, `digest` String)) COMMENT 'What was written.' CODEC(ZSTD(1)),
    `state_digest` String COMMENT 'Digest of the machine\'s state after the step.' CODEC(ZSTD(1)),
    `snapshot` Array(Tuple(`step` Int64, `file_sha256` String)) COMMENT 'A snapshot written since the previous record.' CODEC(ZSTD(1)),
    `genesis` Array(Tuple(`deployment` LowCardinality(String), `shard_count` Int32, `inputs` Array(Tuple(`topic` LowCardinality(String), `partitions` Int32)))) COMMENT 'Step 0 only.' CODEC(ZSTD(1)),
    `upgrade` Array(Tuple(`from_version` Int32, `from_state_digest` String)) COMMENT 'Where a new version of the rules took over.' CODEC(ZSTD(1)),
    `held` Int64 COMMENT 'Instruction results that wait for their fills.' CODEC(ZSTD(1)),
    `previous_hash` String COMMENT 'own_hash of the previous record; zeros at genesis.' CODEC(ZSTD(1)),
    `own_hash` String COMMENT 'SHA-256 of this record\'s Avro encoding with own_hash all zeros.' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (shard, event_time, src_partition, src_offset)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS `{database}`.`dead_letters`
(
    `src_topic` LowCardinality(String) DEFAULT 'dead-letters' COMMENT 'Stream of the record.',
    `src_partition` UInt32 COMMENT 'Partition of the record.' CODEC(ZSTD(1)),
    `src_offset` UInt64 COMMENT 'Offset of the record.' CODEC(DoubleDelta, ZSTD(1)),
    `ingested_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was inserted, by the server.' CODEC(Delta, ZSTD(1)),
    `event_time` DateTime64(6, 'UTC') COMMENT 'Event time; outside the years 1900 to 2299 the nearer bound.' CODEC(Delta, ZSTD(1)),
    `source_topic` LowCardinality(String) COMMENT 'Stream name without the deployment\'s prefix.' CODEC(ZSTD(1)),
    `source_partition` Int32 COMMENT 'Partition.' CODEC(ZSTD(1)),
    `source_offset` Int64 COMMENT 'Offset.' CODEC(ZSTD(1)),
    `reason` Enum8('UNKNOWN' = 0, 'UNDECODABLE' = 1, 'UNKNOWN_SCHEMA' = 2, 'WRONG_SCHEMA' = 3, 'UNKNOWN_SYMBOL' = 4, 'UNKNOWN_INSTRUMENT' = 5, 'UNKNOWN_ASSET' = 6, 'OUT_OF_BOUNDS' = 7, 'SNAPSHOT_INCOMPLETE' = 8, 'RESULT_CONTRADICTS_FILLS' = 9, 'BAD_VALUE' = 10) COMMENT 'Class of the reason.' CODEC(ZSTD(1)),
    `detail` String COMMENT 'Plain words.' CODEC(ZSTD(1)),
    `account` Nullable(Int64) COMMENT 'The account made SUSPECT.' CODEC(ZSTD(1)),
    `task` LowCardinality(String) COMMENT 'Task that refused it.' CODEC(ZSTD(1)),
    `shard` Int32 COMMENT 'Its shard.' CODEC(ZSTD(1)),
    `key` String COMMENT 'The record\'s key.' CODEC(ZSTD(1)),
    `value` String COMMENT 'The record\'s value, at most the first 4,096 bytes.' CODEC(ZSTD(1)),
    `value_length` Int64 COMMENT 'Full length of the value; bytes.' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (source_topic, event_time, src_partition, src_offset)
TTL toDateTime(ingested_at) + toIntervalSecond(604800)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS `{database}`.`notifications`
(
    `src_topic` LowCardinality(String) DEFAULT 'notifications' COMMENT 'Stream of the record.',
    `src_partition` UInt32 COMMENT 'Partition of the record.' CODEC(ZSTD(1)),
    `src_offset` UInt64 COMMENT 'Offset of the record.' CODEC(DoubleDelta, ZSTD(1)),
    `ingested_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was inserted, by the server.' CODEC(Delta, ZSTD(1)),
    `event_time` DateTime64(6, 'UTC') COMMENT 'Event time; outside the years 1900 to 2299 the nearer bound.' CODEC(Delta, ZSTD(1)),
    `audience_account` Nullable(Int64) COMMENT 'Account addressed; null: the operator.' CODEC(ZSTD(1)),
    `severity` Enum8('UNKNOWN' = 0, 'INFO' = 1, 'WARNING' = 2, 'CRITICAL' = 3) COMMENT 'How loud.' CODEC(ZSTD(1)),
    `kind` LowCardinality(String) COMMENT 'Stable name of the event.' CODEC(ZSTD(1)),
    `pool` Nullable(Int32) COMMENT 'Pool concerned.' CODEC(ZSTD(1)),
    `instrument` Nullable(Int32) COMMENT 'Instrument concerned.' CODEC(ZSTD(1)),
    `text` String COMMENT 'Plain words.' CODEC(ZSTD(1)),
    `source_topic` LowCardinality(String) COMMENT 'Stream name of the cause.' CODEC(ZSTD(1)),
    `source_partition` Int32 COMMENT 'Its partition.' CODEC(ZSTD(1)),
    `source_offset` Int64 COMMENT 'Its offset.' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (event_time, src_partition, src_offset)
TTL toDateTime(ingested_at) + toIntervalSecond(604800)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;
