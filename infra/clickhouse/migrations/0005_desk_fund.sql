-- The fund ledger line by line, as an auditor reads it.
CREATE OR REPLACE VIEW `{database}`.`desk_pool_statement` AS
SELECT
    l.event_time AS event_time,
    l.pool AS pool,
    p.asset_symbol AS asset_symbol,
    l.entry AS entry,
    l.cause AS cause,
    l.debit AS debit,
    l.credit AS credit,
    toDecimal128(l.amount, 8) / toDecimal128(intExp10(p.decimals), 0) AS amount,
    toDecimal128(l.wallet_after, 8) / toDecimal128(intExp10(p.decimals), 0) AS wallet_after,
    toDecimal128(l.inventory_cost_after, 8) / toDecimal128(intExp10(p.decimals), 0) AS inventory_cost_after,
    toDecimal128(l.value_after, 8) / toDecimal128(intExp10(p.decimals), 0) AS value_after,
    l.source_id AS source_id,
    l.instruction_id AS instruction_id,
    l.amount AS amount_units,
    l.wallet_after AS wallet_after_units,
    l.inventory_cost_after AS inventory_cost_after_units,
    l.value_after AS value_after_units
FROM (SELECT * FROM `{database}`.`fund_ledger` FINAL) AS l
LEFT JOIN `{database}`.`desk_pools` AS p ON p.pool = l.pool;

-- Every value of a fund that was recorded, with the highest of the eight hours up to it. The window is cut into blocks of eight hours: the
-- highest of a window is that of the begun block so far and of what the window still holds of the block before, each a running maximum.
-- A sliding frame would look at the whole window again for every row.
CREATE OR REPLACE VIEW `{database}`.`desk_pool_values` AS
WITH
    28800000000 AS window_us,
    recorded AS
    (
        SELECT pool, event_time, toUnixTimestamp64Micro(event_time) AS us, intDiv(us, window_us) AS block, source, place, value, wallet
        FROM
        (
            SELECT pool, event_time, 'ledger' AS source, src_offset AS place, value_after AS value, wallet_after AS wallet
            FROM `{database}`.`fund_ledger` FINAL
            UNION ALL
            SELECT pool, event_time, 'state' AS source, src_offset AS place, value, wallet
            FROM `{database}`.`pool_states` FINAL
        )
    ),
    begun AS
    (
        SELECT *, max(value) OVER (PARTITION BY pool, block ORDER BY us ASC RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS peak_of_block
        FROM recorded
    ),
    rest AS
    (
        SELECT DISTINCT
            pool,
            block + 1 AS block,
            us + window_us AS leaves_us,
            max(value) OVER (PARTITION BY pool, block ORDER BY us DESC RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS peak_of_rest,
            1 AS is_there
        FROM recorded
    )
SELECT
    b.event_time AS event_time,
    b.pool AS pool,
    p.asset_symbol AS asset_symbol,
    b.source AS source,
    b.place AS place,
    toDecimal128(value_units, 8) / toDecimal128(intExp10(p.decimals), 0) AS value,
    toDecimal128(wallet_units, 8) / toDecimal128(intExp10(p.decimals), 0) AS wallet,
    toDecimal128(peak_8h_units, 8) / toDecimal128(intExp10(p.decimals), 0) AS peak_8h,
    toDecimal128(drawdown_units, 8) / toDecimal128(intExp10(p.decimals), 0) AS drawdown,
    b.value AS value_units,
    b.wallet AS wallet_units,
    if(r.is_there = 1, greatest(b.peak_of_block, r.peak_of_rest), b.peak_of_block) AS peak_8h_units,
    peak_8h_units - value_units AS drawdown_units
FROM begun AS b
ASOF LEFT JOIN rest AS r ON r.pool = b.pool AND r.block = b.block AND r.leaves_us >= b.us
LEFT JOIN `{database}`.`desk_pools` AS p ON p.pool = b.pool;

CREATE OR REPLACE VIEW `{database}`.`desk_pool_timeline` AS
SELECT
    s.event_time AS event_time,
    s.pool AS pool,
    s.instrument AS instrument,
    if(empty(i.symbol), toString(s.instrument), i.symbol) AS symbol,
    s.state AS state,
    v.value AS value,
    v.wallet AS wallet,
    toDecimal128(s.threshold, 8) / toDecimal128(intExp10(p.decimals), 0) AS threshold,
    s.reason AS reason,
    v.peak_8h AS peak_8h,
    v.drawdown AS drawdown,
    s.value AS value_units,
    s.wallet AS wallet_units,
    s.threshold AS threshold_units,
    v.peak_8h_units AS peak_8h_units,
    v.drawdown_units AS drawdown_units,
    s.src_offset AS place
FROM (SELECT * FROM `{database}`.`pool_states` FINAL) AS s
INNER JOIN (SELECT * FROM `{database}`.`desk_pool_values` WHERE source = 'state') AS v ON v.place = s.src_offset AND v.pool = s.pool
LEFT JOIN `{database}`.`desk_instruments` AS i ON i.instrument = s.instrument
LEFT JOIN `{database}`.`desk_pools` AS p ON p.pool = s.pool
ORDER BY event_time, place;

-- What bankrupt groups were left owing, and who has paid it: the fund (covered), those deleveraged for it (socialised), or nobody yet.
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
    deficit_units - covered_units - socialised_units AS uncovered_units
FROM
(
    SELECT
        pool, account, group_instrument, group_side, ifNull(group_instrument, 0) AS g, ifNull(toInt8(group_side), 0) AS s,
        max(f.event_time) AS event_time, uniqExact(f.episode) AS episodes, sum(f.deficit) AS deficit
    FROM `{database}`.`insolvencies` AS f FINAL
    WHERE f.kind = 'DEFICIT'
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
