-- Instructions name the solvency groups of both parties; an account update says whose money it is apart from what it is about.

ALTER TABLE `{database}`.`instructions`
    ADD COLUMN IF NOT EXISTS `asset` Nullable(Int32) COMMENT 'Settlement asset of the groups of both parties.' CODEC(ZSTD(1)) AFTER `pool`,
    ADD COLUMN IF NOT EXISTS `margin_mode` Nullable(Enum8('UNKNOWN' = 0, 'CROSS' = 1, 'ISOLATED' = 2)) COMMENT 'The account\'s group. CROSS: its wallet of the asset. ISOLATED: the bucket of instrument and position_side.' CODEC(ZSTD(1)) AFTER `asset`,
    ADD COLUMN IF NOT EXISTS `counter_margin_mode` Nullable(Enum8('UNKNOWN' = 0, 'CROSS' = 1, 'ISOLATED' = 2)) COMMENT 'The other side\'s group, as margin_mode.' CODEC(ZSTD(1)) AFTER `counter_account`,
    COMMENT COLUMN `instrument` 'Instrument of the account\'s position; where only money moves, or orders are cancelled, of its isolated group.',
    COMMENT COLUMN `counter_instrument` 'Instrument of the other side\'s position; where only money moves, of its isolated group.',
    COMMENT COLUMN `counter_position_side` 'Leg that goes with counter_instrument.';

ALTER TABLE `{database}`.`account_updates`
    COMMENT COLUMN `amount` 'Signed change of the group\'s wallet; settlement units. SNAPSHOT: the balance itself.',
    COMMENT COLUMN `instrument` 'The instrument it is about: of the position of a SNAPSHOT part, of FUNDING and fees, of an isolated bucket.',
    COMMENT COLUMN `margin_mode` 'Whose money it is, needed with an instrument. CROSS: the wallet of the asset. ISOLATED: the bucket of instrument and position_side. SNAPSHOT of a position: how it is margined.';
