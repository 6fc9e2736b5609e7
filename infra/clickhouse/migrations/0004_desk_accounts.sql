-- The last row of each group, kept within each part of the table: it is the same however often a row lies there.
ALTER TABLE `{database}`.`account_states` MODIFY SETTING deduplicate_merge_projection_mode = 'rebuild';

ALTER TABLE `{database}`.`account_states` ADD PROJECTION IF NOT EXISTS latest
(
    SELECT
        account, asset, group_instrument, group_side,
        argMax(event_time, src_offset), argMax(state, src_offset), argMax(episode, src_offset), argMax(equity, src_offset),
        argMax(maintenance, src_offset), argMax(tuple(instrument, mark_ticks), src_offset)
    GROUP BY account, asset, group_instrument, group_side
);

ALTER TABLE `{database}`.`account_states` MATERIALIZE PROJECTION latest;

-- The row of the state last entered by each solvency group. A group lives in one partition, so its last offset is its last word; a row that lies
-- twice changes nothing, and the table is read without merging. Alone, argMax would pass over the nulls of the last row; in a tuple it does not.
CREATE OR REPLACE VIEW `{database}`.`account_states_latest` AS
SELECT
    r.account AS account,
    r.asset AS asset,
    r.group_instrument AS group_instrument,
    r.group_side AS group_side,
    argMax(r.event_time, r.src_offset) AS event_time,
    argMax(r.state, r.src_offset) AS state,
    argMax(r.episode, r.src_offset) AS episode,
    argMax(r.equity, r.src_offset) AS equity,
    argMax(r.maintenance, r.src_offset) AS maintenance,
    argMax(tuple(r.instrument, r.mark_ticks), r.src_offset) AS cause
FROM `{database}`.`account_states` AS r
GROUP BY r.account, r.asset, r.group_instrument, r.group_side;

CREATE OR REPLACE VIEW `{database}`.`desk_account_states` AS
SELECT
    s.event_time AS event_time,
    s.account AS account,
    s.asset AS asset,
    if(empty(a.symbol), toString(s.asset), a.symbol) AS asset_symbol,
    s.group_instrument AS group_instrument,
    s.group_side AS group_side,
    if(isNull(s.group_instrument), 'CROSS', if(empty(g.symbol), toString(assumeNotNull(s.group_instrument)), g.symbol)) AS group_symbol,
    s.state AS state,
    s.episode AS episode,
    toDecimal128(s.equity, 8) / toDecimal128(intExp10(a.decimals), 0) AS equity,
    toDecimal128(s.maintenance, 8) / toDecimal128(intExp10(a.decimals), 0) AS maintenance,
    if(s.maintenance = 0, inf, toFloat64(s.equity) / toFloat64(s.maintenance)) AS margin_ratio,
    s.cause.1 AS instrument,
    if(isNull(s.cause.1), '', if(empty(i.symbol), toString(assumeNotNull(s.cause.1)), i.symbol)) AS symbol,
    s.cause.2 AS mark_ticks,
    s.equity AS equity_units,
    s.maintenance AS maintenance_units
FROM `{database}`.`account_states_latest` AS s
LEFT JOIN (SELECT asset, symbol, decimals FROM `{database}`.`assets` FINAL) AS a ON a.asset = s.asset
LEFT JOIN `{database}`.`desk_instruments` AS i ON i.instrument = s.cause.1
LEFT JOIN `{database}`.`desk_instruments` AS g ON g.instrument = s.group_instrument;

-- Groups by how far they are from liquidation. Equity and maintenance are those of the crossing: a group speaks when its state changes, not at
-- every mark, and one that never left HEALTHY has not spoken.
CREATE OR REPLACE VIEW `{database}`.`desk_near_liquidation` AS
SELECT
    s.event_time AS event_time,
    s.asset AS asset,
    if(empty(a.symbol), toString(s.asset), a.symbol) AS asset_symbol,
    s.group_instrument AS instrument,
    if(isNull(s.group_instrument), 'CROSS', if(empty(g.symbol), toString(assumeNotNull(s.group_instrument)), g.symbol)) AS symbol,
    s.state AS state,
    s.bucket_order AS bucket_order,
    ['below 0', '0 to 0.5', '0.5 to 1', '1 to 1.1', '1.1 to 1.25', '1.25 to 1.5', '1.5 to 2', '2 and more'][s.bucket_order + 1] AS bucket,
    s.groups AS groups,
    toDecimal128(s.equity, 8) / toDecimal128(intExp10(a.decimals), 0) AS equity,
    toDecimal128(s.maintenance, 8) / toDecimal128(intExp10(a.decimals), 0) AS maintenance,
    s.equity AS equity_units,
    s.maintenance AS maintenance_units
FROM
(
    SELECT
        l.asset AS asset,
        l.group_instrument AS group_instrument,
        l.state AS state,
        multiIf(
            l.equity < 0, 0,
            2 * l.equity < l.maintenance, 1,
            l.equity < l.maintenance, 2,
            10 * l.equity < 11 * l.maintenance, 3,
            4 * l.equity < 5 * l.maintenance, 4,
            2 * l.equity < 3 * l.maintenance, 5,
            l.equity < 2 * l.maintenance, 6,
            7
        ) AS bucket_order,
        max(l.event_time) AS event_time,
        count() AS groups,
        sum(l.equity) AS equity,
        sum(l.maintenance) AS maintenance
    FROM `{database}`.`account_states_latest` AS l
    GROUP BY l.asset, l.group_instrument, l.state, bucket_order
) AS s
LEFT JOIN (SELECT asset, symbol, decimals FROM `{database}`.`assets` FINAL) AS a ON a.asset = s.asset
LEFT JOIN `{database}`.`desk_instruments` AS g ON g.instrument = s.group_instrument;
