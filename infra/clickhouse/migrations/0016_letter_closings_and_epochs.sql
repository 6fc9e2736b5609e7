-- Every closing of a dead letter is said, so what is open can be told from the log alone; journals begin with the epoch of their deployment.

CREATE TABLE IF NOT EXISTS `{database}`.`letter_closings`
(
    `src_topic` LowCardinality(String) DEFAULT 'account-states' COMMENT 'Topic of the record.',
    `src_partition` UInt32 COMMENT 'Partition of the record.' CODEC(ZSTD(1)),
    `src_offset` UInt64 COMMENT 'Offset of the record.' CODEC(DoubleDelta, ZSTD(1)),
    `ingested_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was inserted, by the server.' CODEC(Delta, ZSTD(1)),
    `event_time` DateTime64(6, 'UTC') COMMENT 'Event time; outside the years 1900 to 2299 the nearer bound.' CODEC(Delta, ZSTD(1)),
    `account` Int64 COMMENT 'Account of the dead letter.' CODEC(ZSTD(1)),
    `source_topic` LowCardinality(String) COMMENT 'Stream of the dead letter\'s record.' CODEC(ZSTD(1)),
    `source_partition` Int32 COMMENT 'Its partition. -1: of all letters of the account said before that were not kept one by one.' CODEC(ZSTD(1)),
    `source_offset` Int64 COMMENT 'Its offset; -1 with partition -1.' CODEC(ZSTD(1)),
    `closed_by` Enum8('UNKNOWN' = 0, 'CORRECTION' = 1, 'DROP' = 2, 'SNAPSHOT' = 3) COMMENT 'What closed it.' CODEC(ZSTD(1)),
    `correction_id` Nullable(Int64) COMMENT 'The correction, where one did.' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (account, event_time, src_partition, src_offset)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;

ALTER TABLE `{database}`.`accounts_journal`
    ADD COLUMN IF NOT EXISTS `epoch` Nullable(Int64) COMMENT 'Step 0 only: what ids of the deployment\'s instructions are made from besides their causes; 0 or absent: nothing.' CODEC(ZSTD(1)) AFTER `topics`;

ALTER TABLE `{database}`.`pools_journal`
    ADD COLUMN IF NOT EXISTS `epoch` Nullable(Int64) COMMENT 'Step 0 only: what ids of the deployment\'s instructions are made from besides their causes; 0 or absent: nothing.' CODEC(ZSTD(1)) AFTER `topics`;
