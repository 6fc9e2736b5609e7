-- Money and lots over all shards at the end of an event second. difference and lots_difference must be 0; they are null until every shard has
-- told its part of the second.
CREATE OR REPLACE VIEW `{database}`.`desk_conservation` AS
SELECT
    t.event_time AS event_time,
    t.event_second AS event_second,
    t.asset AS asset,
    if(empty(a.symbol), toString(t.asset), a.symbol) AS asset_symbol,
    toDecimal128(t.wallets, 8) / toDecimal128(intExp10(a.decimals), 0) AS wallets,
    toDecimal128(t.open_cost, 8) / toDecimal128(intExp10(a.decimals), 0) AS open_cost,
    toDecimal128(t.external, 8) / toDecimal128(intExp10(a.decimals), 0) AS external,
    toDecimal128(t.reconciliation, 8) / toDecimal128(intExp10(a.decimals), 0) AS reconciliation,
    toDecimal128(difference_units, 8) / toDecimal128(intExp10(a.decimals), 0) AS difference,
    if(is_complete = 1, t.lots_difference, NULL) AS lots_difference,
    t.groups_warning AS groups_warning,
    t.groups_liquidatable AS groups_liquidatable,
    t.groups_bankrupt AS groups_bankrupt,
    t.suspects AS suspects,
    t.shards AS shards,
    toUInt8(ifNull(t.shards >= (
        SELECT nullIf(max(genesis[1].shard_count), 0) FROM `{database}`.`accounts_journal` WHERE event_time < '1971-01-01' AND step = 0
    ), 0)) AS is_complete,
    t.wallets AS wallets_units,
    t.open_cost AS open_cost_units,
    t.external AS external_units,
    t.reconciliation AS reconciliation_units,
    if(is_complete = 1, t.wallets - t.open_cost - t.external, NULL) AS difference_units
FROM
(
    SELECT
        r.event_time AS event_time, r.event_second AS event_second, r.asset AS asset,
        sum(r.wallets) AS wallets, sum(r.open_cost) AS open_cost, sum(r.external) AS external, sum(r.reconciliation) AS reconciliation,
        arraySum(lots -> abs(lots), sumMap(r.instruments.instrument, r.instruments.lots).2) AS lots_difference,
        sum(r.groups_warning) AS groups_warning, sum(r.groups_liquidatable) AS groups_liquidatable, sum(r.groups_bankrupt) AS groups_bankrupt,
        sum(r.suspects) AS suspects, uniqExact(r.shard) AS shards
    FROM `{database}`.`shard_totals` AS r FINAL
    GROUP BY r.event_time, r.event_second, r.asset
) AS t
LEFT JOIN (SELECT asset, symbol, decimals FROM `{database}`.`assets` FINAL) AS a ON a.asset = t.asset;

-- Records that could not be applied.
CREATE OR REPLACE VIEW `{database}`.`desk_dead_letters` AS
SELECT
    event_time, reason, source_topic, source_partition, source_offset, task, shard, account, detail, value_length, ingested_at,
    src_offset AS place
FROM `{database}`.`dead_letters` FINAL;

-- Steps of every task shard: what each took and said, and the digest of what it came to.
CREATE OR REPLACE VIEW `{database}`.`desk_steps` AS
SELECT
    event_time, task, shard, step, owner, generation, machine_version,
    toInt64(arraySum(slices.count)) AS records,
    toInt64(arraySum(outputs.count)) AS outputs,
    held, state_digest, own_hash, ingested_at
FROM `{database}`.`accounts_journal` FINAL
UNION ALL
SELECT
    event_time, task, shard, step, owner, generation, machine_version,
    toInt64(arraySum(slices.count)) AS records,
    toInt64(arraySum(outputs.count)) AS outputs,
    held, state_digest, own_hash, ingested_at
FROM `{database}`.`pools_journal` FINAL;
