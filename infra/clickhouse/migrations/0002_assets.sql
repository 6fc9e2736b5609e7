-- How amounts of an asset are shown. An asset that is not here is shown in settlement units.
CREATE TABLE IF NOT EXISTS `{database}`.`assets`
(
    `asset` Int32 COMMENT 'Settlement asset id.',
    `symbol` LowCardinality(String) COMMENT 'Name for people.',
    `decimals` UInt8 COMMENT 'One of the asset is 10 to this power settlement units.',
    `updated_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was written; the last one holds.'
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY asset
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
