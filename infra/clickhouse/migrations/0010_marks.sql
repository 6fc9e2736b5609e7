-- What the parameters say of marks, and which run of its feed a mark belongs to.
ALTER TABLE `{database}`.`instruments` ADD COLUMN IF NOT EXISTS `max_mark_age_us` Nullable(Int64) COMMENT 'A mark older than this by the clock of marks counts as STALE; microseconds. Null or 0: no limit.' CODEC(ZSTD(1));

ALTER TABLE `{database}`.`instruments` ADD COLUMN IF NOT EXISTS `max_ahead_us` Nullable(Int64) COMMENT 'How far ahead of the clock of marks a mark may be; microseconds. Null: 60 seconds.' CODEC(ZSTD(1));

ALTER TABLE `{database}`.`instruments` ADD COLUMN IF NOT EXISTS `stale_allows` Nullable(Int32) COMMENT 'What a STALE mark may be used for: sum of 1 detection, 2 liquidation orders, 4 ranking, 8 ADL. Null: 5.' CODEC(ZSTD(1));

ALTER TABLE `{database}`.`instruments` ADD COLUMN IF NOT EXISTS `outlier_allows` Nullable(Int32) COMMENT 'What an OUTLIER mark may be used for, summed likewise. Null: 0.' CODEC(ZSTD(1));

ALTER TABLE `{database}`.`marks` ADD COLUMN IF NOT EXISTS `epoch` Nullable(Int64) COMMENT 'Which run of the feed counts the sequence; grows when a feed counts anew. Null: 0.' CODEC(ZSTD(1));
