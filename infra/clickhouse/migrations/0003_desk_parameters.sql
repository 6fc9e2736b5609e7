-- Parameters in force: one row an instrument, one row a pool. The highest version holds.
CREATE OR REPLACE VIEW `{database}`.`desk_instruments` AS
SELECT
    i.event_time AS event_time,
    i.instrument AS instrument,
    i.symbol AS symbol,
    i.pool AS pool,
    i.asset AS asset,
    if(empty(a.symbol), toString(i.asset), a.symbol) AS asset_symbol,
    a.decimals AS decimals,
    i.kind AS kind,
    i.version AS version,
    i.value_per_tick_lot AS value_per_tick_lot_units,
    i.max_mark_ticks AS max_mark_ticks,
    i.max_lots AS max_lots
FROM
(
    SELECT * FROM `{database}`.`instruments` FINAL
    ORDER BY instrument, version DESC, src_offset DESC
    LIMIT 1 BY instrument
) AS i
LEFT JOIN (SELECT asset, symbol, decimals FROM `{database}`.`assets` FINAL) AS a ON a.asset = i.asset;

CREATE OR REPLACE VIEW `{database}`.`desk_pools` AS
SELECT
    p.event_time AS event_time,
    p.pool AS pool,
    p.asset AS asset,
    if(empty(a.symbol), toString(p.asset), a.symbol) AS asset_symbol,
    a.decimals AS decimals,
    p.policy_id AS policy_id,
    p.price_rule AS price_rule,
    p.fund_account AS fund_account,
    toDecimal128(p.adl_start_value, 8) / toDecimal128(intExp10(a.decimals), 0) AS adl_start,
    toDecimal128(p.adl_stop_value, 8) / toDecimal128(intExp10(a.decimals), 0) AS adl_stop,
    p.warning_ratio_ppm AS warning_ratio_ppm,
    toDecimal128(p.net_notional_cap, 8) / toDecimal128(intExp10(a.decimals), 0) AS net_notional_cap,
    p.version AS version,
    p.adl_start_value AS adl_start_units,
    p.adl_stop_value AS adl_stop_units,
    p.net_notional_cap AS net_notional_cap_units,
    p.score_wallet_floor AS score_wallet_floor_units
FROM
(
    SELECT * FROM `{database}`.`pools` FINAL
    ORDER BY pool, version DESC, src_offset DESC
    LIMIT 1 BY pool
) AS p
LEFT JOIN (SELECT asset, symbol, decimals FROM `{database}`.`assets` FINAL) AS a ON a.asset = p.asset;
