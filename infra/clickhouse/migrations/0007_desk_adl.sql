-- One row a wave, when it is over. gave_up is what the winners lost against the mark, signed; needed_budget sums it without signs.
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
    toDecimal128(needed_budget_units, 8) / toDecimal128(intExp10(i.decimals), 0) AS needed_budget,
    toDecimal128(gave_up_units, 8) / toDecimal128(intExp10(i.decimals), 0) AS gave_up,
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
    w.needed_budget AS needed_budget_units,
    toDecimal128(e.gave_up, 0) AS gave_up_units,
    w.lots_taken * w.mark_ticks * i.value_per_tick_lot_units AS notional_units
FROM (SELECT * FROM `{database}`.`adl_waves` FINAL) AS w
LEFT JOIN `{database}`.`desk_instruments` AS i ON i.instrument = w.instrument
LEFT JOIN
(
    SELECT
        x.wave_id AS wave_id, count() AS executions, uniqExact(x.account) AS accounts_hit,
        sum(-x.quote - if(x.position_lots < 0, x.lots, -x.lots) * x.mark_ticks * v.value_per_tick_lot_units) AS gave_up
    FROM (SELECT * FROM `{database}`.`adl_executions` FINAL) AS x
    LEFT JOIN `{database}`.`desk_instruments` AS v ON v.instrument = x.instrument
    GROUP BY x.wave_id
) AS e ON e.wave_id = w.wave_id;

-- The ladder of a wave as executed: who stood where, what was taken of whom, what they gave up and why. One row an execution; a position that
-- was matched against several has several rows of one rank.
CREATE OR REPLACE VIEW `{database}`.`desk_ladder` AS
SELECT
    x.event_time AS event_time,
    x.wave_id AS wave_id,
    x.pool AS pool,
    x.instrument AS instrument,
    if(empty(i.symbol), toString(x.instrument), i.symbol) AS symbol,
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
    toInt64(if(gave_up_units > 0 AND profit_units > 0,
        intDiv(1000000 * toInt128(gave_up_units) * toInt128(abs(x.position_lots)), toInt128(profit_units) * toInt128(x.lots)), 0)) AS haircut_ppm,
    x.reason AS reason,
    x.policy_id AS policy_id,
    x.position_lots AS position_lots,
    x.liquidated_account AS liquidated_account,
    x.liquidated_side AS liquidated_side,
    x.instruction_id AS instruction_id,
    -x.quote - if(x.position_lots < 0, x.lots, -x.lots) * x.mark_ticks * i.value_per_tick_lot_units AS gave_up_units,
    x.position_lots * x.mark_ticks * i.value_per_tick_lot_units - x.cost AS profit_units
FROM (SELECT * FROM `{database}`.`adl_executions` FINAL) AS x
LEFT JOIN `{database}`.`desk_instruments` AS i ON i.instrument = x.instrument;

-- Every candidate that a shard offered to a wave that is over, with what was allocated and taken of it and its score by each policy
-- (a float, for order; amounts are exact). A shard offers its best until the quantity is covered twice.
CREATE OR REPLACE VIEW `{database}`.`desk_candidates` AS
SELECT
    w.event_time AS event_time,
    c.wave_id AS wave_id,
    w.pool AS pool,
    w.instrument AS instrument,
    if(empty(i.symbol), toString(w.instrument), i.symbol) AS symbol,
    i.decimals AS decimals,
    w.policy_id AS policy_id,
    w.lots_allocated AS lots_allocated,
    w.candidates_total AS candidates_total,
    c.account AS account,
    c.position_side AS position_side,
    c.lots AS lots,
    c.offered_lots AS offered_lots,
    x.lots AS taken_lots,
    d.lots AS allocated_lots,
    toInt128(c.lots) * w.mark_ticks * toInt128(i.value_per_tick_lot_units) AS value_units,
    toInt128(c.cost) AS cost_units,
    value_units - cost_units AS profit_units,
    multiIf(c.group_maintenance = 0, 1, toInt128(c.group_maintenance)) AS whole,
    multiIf(c.group_maintenance = 0, 1, toInt128(c.position_maintenance)) AS part,
    multiIf(
        profit_units = 0, 0,
        profit_units < 0 AND cost_units = 0, -inf,
        profit_units > 0, toFloat64(profit_units) * toFloat64(abs(value_units)) * toFloat64(whole)
            / (toFloat64(abs(cost_units)) * toFloat64(c.group_equity) * toFloat64(part)),
        toFloat64(profit_units) * toFloat64(c.group_equity) * toFloat64(part)
            / (toFloat64(abs(cost_units)) * toFloat64(abs(value_units)) * toFloat64(whole))
    ) AS bitmex_score,
    toFloat64(greatest(profit_units, toInt128(0))) * toFloat64(c.group_maintenance)
        / (toFloat64(greatest(c.group_wallet, b.score_wallet_floor)) * toFloat64(c.group_equity)) AS binance_score,
    if(w.policy_id = 'BINANCE', binance_score, bitmex_score) AS score,
    tuple(value_units, c.cost, c.group_wallet, c.group_equity, c.group_maintenance, c.position_maintenance) AS score_inputs
FROM
(
    SELECT
        wave_id, row.account AS account, row.position_side AS position_side, row.lots AS lots, row.offered_lots AS offered_lots,
        row.cost AS cost, row.group_wallet AS group_wallet, row.group_equity AS group_equity, row.group_maintenance AS group_maintenance,
        row.position_maintenance AS position_maintenance
    FROM `{database}`.`adl_candidates` FINAL
    ARRAY JOIN rows AS row
) AS c
INNER JOIN (SELECT * FROM `{database}`.`adl_waves` FINAL) AS w ON w.wave_id = c.wave_id
INNER JOIN (SELECT wave_id, score_wallet_floor FROM `{database}`.`adl_probes` FINAL) AS b ON b.wave_id = c.wave_id
LEFT JOIN `{database}`.`desk_instruments` AS i ON i.instrument = w.instrument
LEFT JOIN
(
    SELECT wave_id, account, position_side, sum(e.lots) AS lots
    FROM `{database}`.`adl_executions` AS e FINAL
    GROUP BY wave_id, account, position_side
) AS x ON x.wave_id = c.wave_id AND x.account = c.account AND x.position_side = c.position_side
LEFT JOIN
(
    SELECT wave_id, row.account AS account, row.position_side AS position_side, sum(row.lots) AS lots
    FROM `{database}`.`adl_decisions` FINAL
    ARRAY JOIN rows AS row
    WHERE status = 'ALLOCATED'
    GROUP BY wave_id, account, position_side
) AS d ON d.wave_id = c.wave_id AND d.account = c.account AND d.position_side = c.position_side;

-- The queue of a wave in fifths of its candidates, 1 in front: how many, how large, how much of them was free and how much was taken.
CREATE OR REPLACE VIEW `{database}`.`desk_queue_quintiles` AS
SELECT
    q.event_time AS event_time,
    q.wave_id AS wave_id,
    q.pool AS pool,
    q.instrument AS instrument,
    q.symbol AS symbol,
    toUInt8(q.quintile) AS quintile,
    count() AS candidates,
    sum(abs(q.lots)) AS lots,
    toDecimal128(sum(abs(q.value_units)), 8) / toDecimal128(intExp10(q.decimals), 0) AS notional,
    sum(q.offered_lots) AS reserved_lots,
    sum(q.allocated_lots) AS allocated_lots,
    sum(q.taken_lots) AS taken_lots,
    q.candidates_total AS candidates_total,
    toUInt8(q.offered = q.candidates_total) AS is_complete
FROM
(
    SELECT
        *,
        count() OVER (PARTITION BY wave_id, event_time) AS offered,
        row_number() OVER (PARTITION BY wave_id, event_time ORDER BY score DESC, account ASC, position_side ASC) AS place,
        intDiv(5 * place + offered - 1, offered) AS quintile
    FROM `{database}`.`desk_candidates`
) AS q
GROUP BY q.event_time, q.wave_id, q.pool, q.instrument, q.symbol, q.quintile, q.decimals, q.candidates_total, q.offered;

-- What each policy takes of whom for the same lots. USED is what was allocated. Shadows: PRO_RATA gives every candidate its share of the free
-- lots (whole parts first, left-over lots to the largest remainders); the other ranking takes from its own front. The other ranking is shown
-- only where it is certain: all candidates were offered, and no two scores are as near as rounding. Shares are of a position's own lots.
CREATE OR REPLACE VIEW `{database}`.`desk_policy_comparison` AS
WITH
    pow(2, -48) AS nearness,
    ranked AS
    (
        SELECT
            *,
            count() OVER (PARTITION BY wave_id, event_time) AS offered,
            sum(offered_lots) OVER (PARTITION BY wave_id, event_time) AS offered_total,
            sum(offered_lots) OVER by_bitmex - offered_lots AS bitmex_ahead,
            sum(offered_lots) OVER by_binance - offered_lots AS binance_ahead,
            row_number() OVER by_bitmex AS bitmex_rank,
            row_number() OVER by_binance AS binance_rank,
            lagInFrame(bitmex_score) OVER by_bitmex AS score_before_bitmex,
            lagInFrame(score_inputs) OVER by_bitmex AS inputs_before_bitmex,
            lagInFrame(binance_score) OVER by_binance AS score_before_binance,
            lagInFrame(score_inputs) OVER by_binance AS inputs_before_binance,
            intDiv(toInt128(lots_allocated) * toInt128(offered_lots), toInt128(offered_total)) AS whole_lots,
            toInt128(lots_allocated) * toInt128(offered_lots) - whole_lots * toInt128(offered_total) AS remainder
        FROM `{database}`.`desk_candidates`
        WINDOW
            by_bitmex AS (PARTITION BY wave_id, event_time ORDER BY bitmex_score DESC, account ASC, position_side ASC
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW),
            by_binance AS (PARTITION BY wave_id, event_time ORDER BY binance_score DESC, account ASC, position_side ASC
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    ),
    shared AS
    (
        SELECT
            *,
            toInt128(lots_allocated) - sum(whole_lots) OVER (PARTITION BY wave_id, event_time) AS left_over,
            row_number() OVER (PARTITION BY wave_id, event_time ORDER BY remainder DESC, account ASC, position_side ASC) AS turn,
            least(toInt128(offered_lots), greatest(toInt128(lots_allocated) - toInt128(bitmex_ahead), toInt128(0))) AS bitmex_lots,
            least(toInt128(offered_lots), greatest(toInt128(lots_allocated) - toInt128(binance_ahead), toInt128(0))) AS binance_lots,
            bitmex_rank > 1 AND score_before_bitmex - bitmex_score <= nearness * abs(bitmex_score) AND bitmex_score != 0
                AND score_inputs != inputs_before_bitmex AS is_near_bitmex,
            binance_rank > 1 AND score_before_binance - binance_score <= nearness * abs(binance_score) AND binance_score != 0
                AND score_inputs != inputs_before_binance AS is_near_binance
        FROM ranked
    ),
    by_policy AS
    (
        SELECT
            event_time, wave_id, pool, instrument, symbol, policy_id, candidates_total, account,
            outcome.1 AS policy,
            if(policy = toString(policy_id), 'USED', 'SHADOW') AS role,
            if(role = 'USED', toInt128(allocated_lots), outcome.2) AS taken,
            outcome.3 AS is_near,
            intDiv(1000000 * taken, toInt128(abs(lots))) AS share_ppm
        FROM shared
        ARRAY JOIN
            [
                ('BITMEX', bitmex_lots, is_near_bitmex),
                ('BINANCE', binance_lots, is_near_binance),
                ('PRO_RATA', whole_lots + if(turn <= left_over, 1, 0), toUInt8(0))
            ] AS outcome
    )
SELECT
    c.event_time AS event_time,
    c.wave_id AS wave_id,
    c.pool AS pool,
    c.instrument AS instrument,
    c.symbol AS symbol,
    c.policy AS policy,
    c.role AS role,
    toDecimal128(sum(c.taken), 0) AS lots,
    uniqExactIf(c.account, c.taken > 0) AS accounts_hit,
    toDecimal128(max(c.taken), 0) AS largest_lots,
    toInt64(max(c.share_ppm)) AS largest_share_ppm,
    toInt64(ifNull(intDiv(
        1000000 * (2 * arraySum(arrayMap((share, place) -> share * place, arraySort(groupArray(c.share_ppm)) AS shares, arrayEnumerate(shares)))
            - (toInt128(count()) + 1) * sum(c.share_ppm)),
        nullIf(toInt128(count()) * sum(c.share_ppm), 0)), 0)) AS gini_ppm,
    count() AS candidates,
    c.candidates_total AS candidates_total,
    toUInt8(count() = c.candidates_total) AS is_complete
FROM by_policy AS c
GROUP BY c.event_time, c.wave_id, c.pool, c.instrument, c.symbol, c.policy, c.role, c.candidates_total
HAVING role = 'USED' OR policy = 'PRO_RATA' OR (is_complete AND max(c.is_near) = 0);
