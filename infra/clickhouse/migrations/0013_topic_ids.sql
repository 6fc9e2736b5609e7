-- Journals keep the ids of the topics that their shard reads and writes.

ALTER TABLE `{database}`.`accounts_journal`
    ADD COLUMN IF NOT EXISTS `topics` Array(Tuple(`topic` LowCardinality(String), `topic_id` LowCardinality(String))) COMMENT 'Ids of the topics that the shard reads and writes. At the genesis, where a snapshot is listed, and where they were first noted; else none.' CODEC(ZSTD(1)) AFTER `upgrade`;

ALTER TABLE `{database}`.`pools_journal`
    ADD COLUMN IF NOT EXISTS `topics` Array(Tuple(`topic` LowCardinality(String), `topic_id` LowCardinality(String))) COMMENT 'Ids of the topics that the shard reads and writes. At the genesis, where a snapshot is listed, and where they were first noted; else none.' CODEC(ZSTD(1)) AFTER `upgrade`;
