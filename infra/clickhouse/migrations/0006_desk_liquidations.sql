-- Forced fills are few among all fills, and the table lies by account: a copy of them within each part, by time, is what the tape reads.
-- It is part of the part: what merges or drops rows rebuilds it.
ALTER TABLE `{database}`.`fills` MODIFY SETTING deduplicate_merge_projection_mode = 'rebuild';

ALTER TABLE `{database}`.`fills` ADD PROJECTION IF NOT EXISTS forced_by_time
(
    SELECT
        event_time, kind, account, counter_account, instrument, position_side, lots, quote, price_ticks, trade_id, leg, instruction_id,
        src_partition, src_offset
    WHERE kind != 'TRADE'
    ORDER BY event_time
);

ALTER TABLE `{database}`.`fills` MATERIALIZE PROJECTION forced_by_time;

-- The tape. A record that lies twice is one group here, which is why the tables need no merging; the keys are those that conditions come on and
-- fit one hash of 32 bytes. The mark is the one the instruction was decided on; slippage is positive where the account fared worse than it.
CREATE OR REPLACE VIEW `{database}`.`desk_liquidations` AS
SELECT
    f.event_time AS event_time,
    f.kind AS kind,
    multiIf(
        f.kind = 'UNWIND', 'FUND',
        f.kind = 'ADL' AND (f.account != n.account OR f.position_side != n.position_side), 'DELEVERAGED',
        'LIQUIDATED'
    ) AS party,
    f.account AS account,
    f.counter_account AS counter_account,
    f.instrument AS instrument,
    if(empty(i.symbol), toString(f.instrument), i.symbol) AS symbol,
    f.position_side AS position_side,
    f.lots AS lots,
    f.price_ticks AS price_ticks,
    toDecimal128(notional_units, 8) / toDecimal128(intExp10(i.decimals), 0) AS notional,
    n.mark_ticks AS mark_ticks,
    toInt64(intDiv(1000000 * (toInt128(f.quote) - value_at_mark_units), nullIf(abs(value_at_mark_units), 0))) AS slippage_ppm,
    f.instruction_id AS instruction_id,
    f.trade_id AS trade_id,
    abs(f.quote) AS notional_units,
    toInt128(f.lots) * n.mark_ticks * toInt128(i.value_per_tick_lot_units) AS value_at_mark_units
FROM
(
    SELECT
        r.event_time AS event_time, r.account AS account, r.instrument AS instrument, any(r.kind) AS kind,
        any(r.counter_account) AS counter_account, any(r.position_side) AS position_side, any(r.lots) AS lots, any(r.quote) AS quote,
        any(r.price_ticks) AS price_ticks, any(r.trade_id) AS trade_id, any(r.instruction_id) AS instruction_id
    FROM `{database}`.`fills` AS r
    WHERE r.kind != 'TRADE'
    GROUP BY r.event_time, r.account, r.instrument, r.src_partition, r.src_offset
) AS f
LEFT ANY JOIN
(
    SELECT instruction_id, account, counter_account, position_side, mark_ticks, 1 AS is_there FROM `{database}`.`instructions`
    WHERE kind IN ('NET', 'LIQUIDATE', 'PROVIDER', 'TAKEOVER', 'ADL', 'UNWIND')
) AS n ON n.instruction_id = f.instruction_id
LEFT JOIN `{database}`.`desk_instruments` AS i ON i.instrument = f.instrument
WHERE n.is_there = 1 AND (f.account = n.account OR (f.kind = 'ADL' AND f.account = n.counter_account));
