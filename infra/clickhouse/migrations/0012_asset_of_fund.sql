-- Everything of a fund that moves is told with its asset.

ALTER TABLE `{database}`.`fund_flows`
    ADD COLUMN IF NOT EXISTS `asset` Int32 COMMENT 'Asset that moved.' CODEC(ZSTD(1)) AFTER `pool`;

ALTER TABLE `{database}`.`fund_ledger`
    ADD COLUMN IF NOT EXISTS `asset` Int32 COMMENT 'Asset that moved.' CODEC(ZSTD(1)) AFTER `pool`;
