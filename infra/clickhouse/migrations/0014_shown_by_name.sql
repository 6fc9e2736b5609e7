-- What people read: an instrument is told apart by its id wherever another one has the same symbol, and what was given up and what was gained
-- are two figures.

-- The symbol as it is shown: with the id where another instrument has the same one, the id alone where there is none. Views take it from here.
CREATE OR REPLACE VIEW `{database}`.`desk_instruments` AS
SELECT
    i.event_time AS event_time,
    i.instrument AS instrument,
    if(i.times = 1, i.told, concat(i.told, ' (', toString(i.instrument), ')')) AS symbol,
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
    SELECT *, if(empty(symbol), toString(instrument), symbol) AS told, count() OVER (PARTITION BY told) AS times
    FROM
    (
        SELECT * FROM `{database}`.`instruments` FINAL
        ORDER BY instrument, version DESC, src_offset DESC
        LIMIT 1 BY instrument
    )
) AS i
LEFT JOIN (SELECT asset, symbol, decimals FROM `{database}`.`assets` FINAL) AS a ON a.asset = i.asset;

-- One row a wave, when it is over: what the winners gave up and what they gained against the mark, as the wave recorded it.
CREATE OR REPLACE VIEW `{database}`.`desk_waves` AS
SELECT
    w.event_time AS event_time,
    w.wave_id AS wave_id,
    w.pool AS pool,
    w.instrument AS instrument,
    if(empty(i.symbol), toString(w.instrument), i.symbol) AS symbol,
    i.asset_symbol AS asset_symbol,
    w.side AS side,
    w.policy_id AS policy_id,
    w.policy_version AS policy_version,
    w.price_rule AS price_rule,
    fromUnixTimestamp64Micro(w.opened_us, 'UTC') AS opened,
    w.lots_needed AS lots_needed,
    w.lots_allocated AS lots_allocated,
    w.lots_taken AS lots_taken,
    w.residual_lots AS residual_lots,
    w.overshoot_lots AS overshoot_lots,
    toDecimal128(gave_up_units, 8) / toDecimal128(intExp10(i.decimals), 0) AS gave_up,
    toDecimal128(gained_units, 8) / toDecimal128(intExp10(i.decimals), 0) AS gained,
    toDecimal128(notional_units, 8) / toDecimal128(intExp10(i.decimals), 0) AS notional,
    w.largest_haircut_ppm AS largest_haircut_ppm,
    w.inversions AS inversions,
    w.candidates_total AS candidates_total,
    w.candidate_lots_total AS candidate_lots_total,
    w.shards AS shards,
    w.mark_ticks AS mark_ticks,
    w.mark_sequence AS mark_sequence,
    e.executions AS executions,
    e.accounts_hit AS accounts_hit,
    w.needed_budget AS gave_up_units,
    w.gained AS gained_units,
    w.lots_taken * w.mark_ticks * i.value_per_tick_lot_units AS notional_units
FROM (SELECT * FROM `{database}`.`adl_waves` FINAL) AS w
LEFT JOIN `{database}`.`desk_instruments` AS i ON i.instrument = w.instrument
LEFT JOIN
(
    SELECT x.wave_id AS wave_id, count() AS executions, uniqExact(x.account) AS accounts_hit
    FROM `{database}`.`adl_executions` AS x FINAL
    GROUP BY x.wave_id
) AS e ON e.wave_id = w.wave_id;

-- The ladder of a wave as executed: who stood where, what was taken of whom, what they gave up or gained against the mark, and why; behind it what
-- the score came from. One row an execution; a position that was matched against several has several rows of one rank.
CREATE OR REPLACE VIEW `{database}`.`desk_ladder` AS
SELECT
    x.event_time AS event_time,
    x.wave_id AS wave_id,
    x.pool AS pool,
    x.instrument AS instrument,
    if(empty(i.symbol), toString(x.instrument), i.symbol) AS symbol,
    i.asset_symbol AS asset_symbol,
    x.rank AS rank,
    x.of_n AS of_n,
    x.account AS account,
    x.position_side AS position_side,
    x.lots AS lots,
    x.instructed_lots AS instructed_lots,
    x.lots_ahead AS lots_ahead,
    x.lots_total AS lots_total,
    x.percentile_accounts_ppm AS percentile_accounts_ppm,
    x.percentile_lots_ppm AS percentile_lots_ppm,
    x.lights AS lights,
    x.mark_ticks AS mark_ticks,
    toDecimal128(gave_up_units, 8) / toDecimal128(intExp10(i.decimals), 0) AS gave_up,
    toDecimal128(gained_units, 8) / toDecimal128(intExp10(i.decimals), 0) AS gained,
    toInt64(if(gave_up_units > 0 AND profit_units > 0,
        intDiv(1000000 * toInt128(gave_up_units) * toInt128(abs(x.position_lots)), toInt128(profit_units) * toInt128(x.lots)), 0)) AS haircut_ppm,
    x.reason AS reason,
    x.policy_id AS policy_id,
    x.position_lots AS position_lots,
    toDecimal128(profit_units, 8) / toDecimal128(intExp10(i.decimals), 0) AS profit,
    toDecimal128(x.cost, 8) / toDecimal128(intExp10(i.decimals), 0) AS cost,
    toDecimal128(x.group_wallet, 8) / toDecimal128(intExp10(i.decimals), 0) AS group_wallet,
    toDecimal128(x.group_equity, 8) / toDecimal128(intExp10(i.decimals), 0) AS group_equity,
    toDecimal128(x.group_maintenance, 8) / toDecimal128(intExp10(i.decimals), 0) AS group_maintenance,
    toDecimal128(x.position_maintenance, 8) / toDecimal128(intExp10(i.decimals), 0) AS position_maintenance,
    x.liquidated_account AS liquidated_account,
    x.liquidated_side AS liquidated_side,
    x.instruction_id AS instruction_id,
    greatest(x.lost, 0) AS gave_up_units,
    greatest(-x.lost, 0) AS gained_units,
    x.position_lots * x.mark_ticks * i.value_per_tick_lot_units - x.cost AS profit_units
FROM
(
    SELECT e.*, -e.quote - if(e.position_lots < 0, e.lots, -e.lots) * e.mark_ticks * v.value_per_tick_lot_units AS lost
    FROM (SELECT * FROM `{database}`.`adl_executions` FINAL) AS e
    LEFT JOIN `{database}`.`desk_instruments` AS v ON v.instrument = e.instrument
) AS x
LEFT JOIN `{database}`.`desk_instruments` AS i ON i.instrument = x.instrument;
