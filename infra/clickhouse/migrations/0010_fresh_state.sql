-- Requests and debts of groups are absolute, with revisions; answers and decisions of waves speak of both sides; more parameters of pools and instruments.

ALTER TABLE `{database}`.`instruments`
    ADD COLUMN IF NOT EXISTS `max_mark_age_us` Nullable(Int64) COMMENT 'A mark older than this by the clock of marks counts as STALE; microseconds. Null or 0: no limit.' CODEC(ZSTD(1)) AFTER `tiers`,
    ADD COLUMN IF NOT EXISTS `max_ahead_us` Nullable(Int64) COMMENT 'How far ahead of the clock of marks a mark may be; microseconds. Null: 60 seconds.' CODEC(ZSTD(1)) AFTER `max_mark_age_us`,
    ADD COLUMN IF NOT EXISTS `stale_allows` Nullable(Int32) COMMENT 'What a STALE mark may be used for: sum of 1 detection, 2 liquidation orders, 4 ranking, 8 ADL. Null: 5.' CODEC(ZSTD(1)) AFTER `max_ahead_us`,
    ADD COLUMN IF NOT EXISTS `outlier_allows` Nullable(Int32) COMMENT 'What an OUTLIER mark may be used for, summed likewise. Null: 0.' CODEC(ZSTD(1)) AFTER `stale_allows`;

ALTER TABLE `{database}`.`pools`
    ADD COLUMN IF NOT EXISTS `adl_when` Enum8('UNKNOWN' = 0, 'INSOLVENT' = 1, 'UNPLACED' = 2) COMMENT 'When winners are deleveraged.' CODEC(ZSTD(1)) AFTER `instruction_valid_us`,
    ADD COLUMN IF NOT EXISTS `room_floor` Enum8('UNKNOWN' = 0, 'ZERO' = 1, 'MAINTENANCE' = 2) COMMENT 'What a deleveraged group keeps.' CODEC(ZSTD(1)) AFTER `adl_when`,
    ADD COLUMN IF NOT EXISTS `price_cap_ppm` Nullable(Int64) COMMENT 'Largest distance of the price of a deleveraging from the mark, against the one who is deleveraged; millionths of the mark. Null: none.' CODEC(ZSTD(1)) AFTER `room_floor`,
    ADD COLUMN IF NOT EXISTS `wave_deadline_us` Int64 COMMENT 'How long a wave waits for shards; microseconds of event time.' CODEC(ZSTD(1)) AFTER `price_cap_ppm`,
    ADD COLUMN IF NOT EXISTS `wave_late` Enum8('UNKNOWN' = 0, 'LEAVE_OUT' = 1, 'GIVE_UP' = 2) COMMENT 'What becomes of a wave whose deadline has passed.' CODEC(ZSTD(1)) AFTER `wave_deadline_us`,
    ADD COLUMN IF NOT EXISTS `unwind_limit_ppm` Int64 COMMENT 'Largest distance of the price of an UNWIND from the mark, against the fund; millionths of the mark.' CODEC(ZSTD(1)) AFTER `wave_late`,
    ADD COLUMN IF NOT EXISTS `unwind_lots_max` Nullable(Decimal(38, 0)) COMMENT 'Most lots of one UNWIND. Null: all of them.' CODEC(ZSTD(1)) AFTER `unwind_limit_ppm`,
    ADD COLUMN IF NOT EXISTS `fund_floor_value` Decimal(38, 0) COMMENT 'UNWINDs are sent only as far as the fund\'s value stays at or above this; settlement units.' CODEC(ZSTD(1)) AFTER `unwind_lots_max`,
    ADD COLUMN IF NOT EXISTS `retry_pause_us` Int64 COMMENT 'Least pause before an order that nobody was asked about is sent again; doubles with each attempt; microseconds of event time.' CODEC(ZSTD(1)) AFTER `fund_floor_value`,
    ADD COLUMN IF NOT EXISTS `retry_alarm_count` Int32 COMMENT 'Attempts in a row after which operators are alarmed.' CODEC(ZSTD(1)) AFTER `retry_pause_us`;

ALTER TABLE `{database}`.`marks`
    ADD COLUMN IF NOT EXISTS `epoch` Nullable(Int64) COMMENT 'Which run of the feed counts the sequence; grows when a feed counts anew. Null: 0.' CODEC(ZSTD(1)) AFTER `grade`;

ALTER TABLE `{database}`.`insolvencies`
    DROP COLUMN IF EXISTS `attempt`;

ALTER TABLE `{database}`.`insolvencies`
    ADD COLUMN IF NOT EXISTS `asset` Int32 COMMENT 'Settlement asset of the group.' CODEC(ZSTD(1)) AFTER `partition`,
    ADD COLUMN IF NOT EXISTS `revision` Int64 COMMENT 'Grows with every message of the episode, from 1; the newest one of a position holds.' CODEC(ZSTD(1)) AFTER `episode`,
    MODIFY COLUMN `lots` Decimal(38, 0) COMMENT 'POSITION: signed lots still to be placed, of which nothing is instructed yet; 0: taken back.' CODEC(ZSTD(1)),
    MODIFY COLUMN `deficit` Decimal(38, 0) COMMENT 'DEFICIT: all that the group owes now; settlement units.' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS `equity` Decimal(38, 0) COMMENT 'POSITION: equity of the group at the marks of the valuation; settlement units.' CODEC(ZSTD(1)) AFTER `mark_sequence`,
    ADD COLUMN IF NOT EXISTS `maintenance` Decimal(38, 0) COMMENT 'POSITION: maintenance of the group; settlement units.' CODEC(ZSTD(1)) AFTER `equity`,
    ADD COLUMN IF NOT EXISTS `marks_seen` Int64 COMMENT 'How many records of marks the shard had read: who has read as many knows the same marks.' CODEC(ZSTD(1)) AFTER `maintenance`;

ALTER TABLE `{database}`.`adl_candidates`
    DROP COLUMN IF EXISTS `rows`;

ALTER TABLE `{database}`.`adl_candidates`
    ADD COLUMN IF NOT EXISTS `kind` Enum8('UNKNOWN' = 0, 'ANSWER' = 1, 'WITHDRAWN' = 2) COMMENT 'What this is.' CODEC(ZSTD(1)) AFTER `wave_id`,
    ADD COLUMN IF NOT EXISTS `rows` Array(Tuple(`account` Int64, `partition` Int32, `position_side` Enum8('UNKNOWN' = 0, 'ONE_WAY' = 1, 'LONG' = 2, 'SHORT' = 3), `margin_mode` Enum8('UNKNOWN' = 0, 'CROSS' = 1, 'ISOLATED' = 2), `lots` Decimal(38, 0), `offered_lots` Decimal(38, 0), `cost` Decimal(38, 0), `group_wallet` Decimal(38, 0), `group_equity` Decimal(38, 0), `group_maintenance` Decimal(38, 0), `position_maintenance` Decimal(38, 0), `room_reserved` Decimal(38, 0))) COMMENT 'Best first, until the quantity is covered twice.' CODEC(ZSTD(1)) AFTER `event_time`,
    ADD COLUMN IF NOT EXISTS `positions` Array(Tuple(`account` Int64, `group_instrument` Nullable(Int32), `group_side` Nullable(Enum8('UNKNOWN' = 0, 'ONE_WAY' = 1, 'LONG' = 2, 'SHORT' = 3)), `episode` Int64, `revision` Int64, `position_side` Enum8('UNKNOWN' = 0, 'ONE_WAY' = 1, 'LONG' = 2, 'SHORT' = 3), `lots` Decimal(38, 0), `bankruptcy_quote` Decimal(38, 0), `equity` Decimal(38, 0), `maintenance` Decimal(38, 0))) COMMENT 'The positions of this shard that the probe names; in chunk 0.' CODEC(ZSTD(1)) AFTER `rows`;

ALTER TABLE `{database}`.`adl_probes`
    ADD COLUMN IF NOT EXISTS `positions` Array(Tuple(`account` Int64, `group_instrument` Nullable(Int32), `group_side` Nullable(Enum8('UNKNOWN' = 0, 'ONE_WAY' = 1, 'LONG' = 2, 'SHORT' = 3)), `episode` Int64, `revision` Int64, `position_side` Enum8('UNKNOWN' = 0, 'ONE_WAY' = 1, 'LONG' = 2, 'SHORT' = 3))) COMMENT 'The positions to be placed; the shard that owns one answers for it.' CODEC(ZSTD(1)) AFTER `event_time`,
    ADD COLUMN IF NOT EXISTS `loss_per_lot` Decimal(38, 0) COMMENT 'The most that a lot is expected to cost a taker against the mark, by what was told; 0: nothing, or a gain; settlement units.' CODEC(ZSTD(1)) AFTER `positions`;

ALTER TABLE `{database}`.`adl_decisions`
    DROP COLUMN IF EXISTS `residuals`,
    DROP COLUMN IF EXISTS `rows`;

ALTER TABLE `{database}`.`adl_decisions`
    MODIFY COLUMN `status` Enum8('UNKNOWN' = 0, 'ALLOCATED' = 1, 'CLOSED' = 2, 'PLACED' = 3, 'WITHDRAWN' = 4) COMMENT 'What was decided.' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS `placements` Array(Tuple(`account` Int64, `position_side` Enum8('UNKNOWN' = 0, 'ONE_WAY' = 1, 'LONG' = 2, 'SHORT' = 3), `revision` Int64, `lots` Decimal(38, 0), `instruction_id` Nullable(Int64))) COMMENT 'What becomes of the positions that asked.' CODEC(ZSTD(1)) AFTER `event_time`,
    ADD COLUMN IF NOT EXISTS `rows` Array(Tuple(`account` Int64, `position_side` Enum8('UNKNOWN' = 0, 'ONE_WAY' = 1, 'LONG' = 2, 'SHORT' = 3), `lots` Decimal(38, 0), `instruction_id` Int64, `room` Decimal(38, 0))) COMMENT 'What stays reserved.' CODEC(ZSTD(1)) AFTER `placements`;

ALTER TABLE `{database}`.`adl_waves`
    MODIFY COLUMN `lots_allocated` Decimal(38, 0) COMMENT 'Instructed to winners; lots.' CODEC(ZSTD(1)),
    MODIFY COLUMN `lots_taken` Decimal(38, 0) COMMENT 'Executed by winners; lots.' CODEC(ZSTD(1)),
    MODIFY COLUMN `residual_lots` Decimal(38, 0) COMMENT 'Given back to their shards; lots.' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS `matched_lots` Decimal(38, 0) COMMENT 'Instructed to be closed against others in resolution on the other side; lots.' CODEC(ZSTD(1)) AFTER `residual_lots`,
    ADD COLUMN IF NOT EXISTS `fund_lots` Decimal(38, 0) COMMENT 'Instructed to be taken over by the fund; lots.' CODEC(ZSTD(1)) AFTER `matched_lots`,
    ADD COLUMN IF NOT EXISTS `passed_over` Int64 COMMENT 'Candidates that gave less than was wanted of them, or nothing, for want of room.' CODEC(ZSTD(1)) AFTER `fund_lots`,
    MODIFY COLUMN `needed_budget` Decimal(38, 0) COMMENT 'Sum over its fills of what the winners gave up against the mark; settlement units.' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS `gained` Decimal(38, 0) COMMENT 'Sum over its fills of what the winners gained against the mark; settlement units.' CODEC(ZSTD(1)) AFTER `needed_budget`,
    MODIFY COLUMN `largest_haircut_ppm` Int64 COMMENT 'Largest share of an offsetting position\'s profit given up; millionths, 10^12 at most.' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS `incomplete` Int32 COMMENT 'Shards that had not answered when it was decided; 0: it is complete.' CODEC(ZSTD(1)) AFTER `shards`;

ALTER TABLE `{database}`.`adl_executions`
    ADD COLUMN IF NOT EXISTS `room` Decimal(38, 0) COMMENT 'What the account\'s group could lose when the pair was made: equity at the wave\'s marks less its floor, what other waves may cost it and earlier pairs of this one; settlement units.' CODEC(ZSTD(1)) AFTER `position_maintenance`;

-- A row tells all that a group owes then: the most that an episode owed is its deficit, the newest row is what is left of it.
CREATE OR REPLACE VIEW `{database}`.`desk_uncovered_losses` AS
SELECT
    d.event_time AS event_time,
    d.pool AS pool,
    p.asset_symbol AS asset_symbol,
    d.account AS account,
    d.group_instrument AS group_instrument,
    d.group_side AS group_side,
    if(isNull(d.group_instrument), 'CROSS', if(empty(i.symbol), toString(assumeNotNull(d.group_instrument)), i.symbol)) AS group_symbol,
    d.episodes AS episodes,
    toDecimal128(deficit_units, 8) / toDecimal128(intExp10(p.decimals), 0) AS deficit,
    toDecimal128(covered_units, 8) / toDecimal128(intExp10(p.decimals), 0) AS covered,
    toDecimal128(socialised_units, 8) / toDecimal128(intExp10(p.decimals), 0) AS socialised,
    toDecimal128(uncovered_units, 8) / toDecimal128(intExp10(p.decimals), 0) AS uncovered,
    d.deficit AS deficit_units,
    r.covered AS covered_units,
    r.socialised AS socialised_units,
    d.left AS uncovered_units
FROM
(
    SELECT
        pool, account, group_instrument, group_side, ifNull(group_instrument, 0) AS g, ifNull(toInt8(group_side), 0) AS s,
        max(e.event_time) AS event_time, count() AS episodes, sum(e.deficit) AS deficit, sum(e.left) AS left
    FROM
    (
        SELECT
            pool, account, group_instrument, group_side, episode, max(f.event_time) AS event_time, max(f.deficit) AS deficit,
            argMax(f.deficit, f.revision) AS left
        FROM `{database}`.`insolvencies` AS f FINAL
        WHERE f.kind IN ('DEFICIT', 'CLOSED')
        GROUP BY pool, account, group_instrument, group_side, episode
        HAVING max(f.kind = 'DEFICIT')
    ) AS e
    GROUP BY pool, account, group_instrument, group_side
) AS d
LEFT JOIN
(
    SELECT
        n.pool AS pool, n.account AS account, ifNull(n.instrument, 0) AS g, ifNull(toInt8(n.position_side), 0) AS s,
        sumIf(o.executed_amount, n.kind = 'COVER') AS covered, sumIf(o.executed_amount, n.kind = 'SOCIALISE') AS socialised
    FROM (SELECT * FROM `{database}`.`instructions` FINAL WHERE kind IN ('COVER', 'SOCIALISE')) AS n
    INNER JOIN (SELECT * FROM `{database}`.`instruction_results` FINAL WHERE kind IN ('COVER', 'SOCIALISE')) AS o
        ON o.instruction_id = n.instruction_id AND o.account = n.account
    GROUP BY n.pool, n.account, g, s
) AS r ON r.pool = d.pool AND r.account = d.account AND r.g = d.g AND r.s = d.s
LEFT JOIN `{database}`.`desk_pools` AS p ON p.pool = d.pool
LEFT JOIN `{database}`.`desk_instruments` AS i ON i.instrument = d.group_instrument;
