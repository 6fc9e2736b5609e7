-- One order per account: fills, account updates and results of instructions share a topic and a sequence, and so do probes and decisions of waves.
-- `src_topic` names the topic of a record now, and the results that shards pass on to the pools have a table of their own.
-- Requests say which decisions they know of, and decisions of which episode they are.

ALTER TABLE `{database}`.`instruments`
    MODIFY COLUMN `src_topic` LowCardinality(String) DEFAULT 'instruments' COMMENT 'Topic of the record.';

ALTER TABLE `{database}`.`pools`
    MODIFY COLUMN `src_topic` LowCardinality(String) DEFAULT 'pools' COMMENT 'Topic of the record.';

ALTER TABLE `{database}`.`marks`
    MODIFY COLUMN `src_topic` LowCardinality(String) DEFAULT 'marks' COMMENT 'Topic of the record.';

ALTER TABLE `{database}`.`fills`
    MODIFY COLUMN `src_topic` LowCardinality(String) DEFAULT 'account-events' COMMENT 'Topic of the record.';

ALTER TABLE `{database}`.`fills`
    MODIFY COLUMN `account_seq` Int64 COMMENT 'Sequence of the account over all its records; grows by one.' CODEC(ZSTD(1));

ALTER TABLE `{database}`.`account_updates`
    MODIFY COLUMN `src_topic` LowCardinality(String) DEFAULT 'account-events' COMMENT 'Topic of the record.';

ALTER TABLE `{database}`.`account_updates`
    MODIFY COLUMN `account_seq` Int64 COMMENT 'Sequence of the account over all its records; grows by one.' CODEC(ZSTD(1));

ALTER TABLE `{database}`.`instruction_results`
    MODIFY COLUMN `src_topic` LowCardinality(String) DEFAULT 'account-events' COMMENT 'Topic of the record.';

ALTER TABLE `{database}`.`instruction_results`
    RENAME COLUMN IF EXISTS `last_account_seq` TO `account_seq`;

ALTER TABLE `{database}`.`instruction_results`
    MODIFY COLUMN `account_seq` Int64 COMMENT 'Sequence of the account over all its records; grows by one.' CODEC(ZSTD(1));

ALTER TABLE `{database}`.`corrections`
    MODIFY COLUMN `src_topic` LowCardinality(String) DEFAULT 'corrections' COMMENT 'Topic of the record.';

ALTER TABLE `{database}`.`instructions`
    MODIFY COLUMN `src_topic` LowCardinality(String) DEFAULT 'instructions' COMMENT 'Topic of the record.';

ALTER TABLE `{database}`.`account_states`
    MODIFY COLUMN `src_topic` LowCardinality(String) DEFAULT 'account-states' COMMENT 'Topic of the record.';

ALTER TABLE `{database}`.`insolvencies`
    MODIFY COLUMN `src_topic` LowCardinality(String) DEFAULT 'insolvencies' COMMENT 'Topic of the record.';

ALTER TABLE `{database}`.`insolvencies`
    ADD COLUMN IF NOT EXISTS `decisions_heard` Int64 COMMENT 'How many records of decisions the shard had read: a request that does not know of a decision about its position is told anew when it does.' CODEC(ZSTD(1)) AFTER `marks_seen`;

ALTER TABLE `{database}`.`fund_flows`
    MODIFY COLUMN `src_topic` LowCardinality(String) DEFAULT 'fund-flows' COMMENT 'Topic of the record.';

ALTER TABLE `{database}`.`adl_candidates`
    MODIFY COLUMN `src_topic` LowCardinality(String) DEFAULT 'adl-candidates' COMMENT 'Topic of the record.';

ALTER TABLE `{database}`.`shard_totals`
    MODIFY COLUMN `src_topic` LowCardinality(String) DEFAULT 'shard-totals' COMMENT 'Topic of the record.';

ALTER TABLE `{database}`.`adl_probes`
    MODIFY COLUMN `src_topic` LowCardinality(String) DEFAULT 'adl-rounds' COMMENT 'Topic of the record.';

ALTER TABLE `{database}`.`adl_decisions`
    MODIFY COLUMN `src_topic` LowCardinality(String) DEFAULT 'adl-rounds' COMMENT 'Topic of the record.';

ALTER TABLE `{database}`.`adl_decisions`
    MODIFY COLUMN `placements` Array(Tuple(`account` Int64, `position_side` Enum8('UNKNOWN' = 0, 'ONE_WAY' = 1, 'LONG' = 2, 'SHORT' = 3), `episode` Int64, `revision` Int64, `lots` Decimal(38, 0), `instruction_id` Nullable(Int64))) COMMENT 'What becomes of the positions that asked.' CODEC(ZSTD(1));

ALTER TABLE `{database}`.`adl_waves`
    MODIFY COLUMN `src_topic` LowCardinality(String) DEFAULT 'adl-waves' COMMENT 'Topic of the record.';

ALTER TABLE `{database}`.`adl_executions`
    MODIFY COLUMN `src_topic` LowCardinality(String) DEFAULT 'adl-executions' COMMENT 'Topic of the record.';

ALTER TABLE `{database}`.`fund_ledger`
    MODIFY COLUMN `src_topic` LowCardinality(String) DEFAULT 'fund-ledger' COMMENT 'Topic of the record.';

ALTER TABLE `{database}`.`pool_states`
    MODIFY COLUMN `src_topic` LowCardinality(String) DEFAULT 'pool-states' COMMENT 'Topic of the record.';

ALTER TABLE `{database}`.`accounts_journal`
    MODIFY COLUMN `src_topic` LowCardinality(String) DEFAULT 'accounts-journal' COMMENT 'Topic of the record.';

ALTER TABLE `{database}`.`pools_journal`
    MODIFY COLUMN `src_topic` LowCardinality(String) DEFAULT 'pools-journal' COMMENT 'Topic of the record.';

ALTER TABLE `{database}`.`dead_letters`
    MODIFY COLUMN `src_topic` LowCardinality(String) DEFAULT 'dead-letters' COMMENT 'Topic of the record.';

ALTER TABLE `{database}`.`notifications`
    MODIFY COLUMN `src_topic` LowCardinality(String) DEFAULT 'notifications' COMMENT 'Topic of the record.';

CREATE TABLE IF NOT EXISTS `{database}`.`pool_results`
(
    `src_topic` LowCardinality(String) DEFAULT 'pool-results' COMMENT 'Topic of the record.',
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
    `account_seq` Int64 COMMENT 'Sequence of the account over all its records; grows by one.' CODEC(ZSTD(1)),
    `reason` String COMMENT 'Plain words where it was not filled.' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (account, event_time, src_partition, src_offset)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;

ALTER TABLE `{database}`.`accounts_journal`
    MODIFY COLUMN `held` Int64 COMMENT 'Records taken that wait for others, such as parts of a SNAPSHOT.' CODEC(ZSTD(1));

ALTER TABLE `{database}`.`pools_journal`
    MODIFY COLUMN `held` Int64 COMMENT 'Records taken that wait for others, such as parts of a SNAPSHOT.' CODEC(ZSTD(1));
