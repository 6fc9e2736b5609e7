-- Marks as they came.
CREATE OR REPLACE VIEW `{database}`.`desk_marks` AS
SELECT
    m.event_time AS event_time,
    m.instrument AS instrument,
    if(empty(i.symbol), toString(m.instrument), i.symbol) AS symbol,
    m.mark_ticks AS mark_ticks,
    m.index_ticks AS index_ticks,
    intDiv(1000000 * (m.mark_ticks - m.index_ticks), nullIf(m.index_ticks, 0)) AS basis_ppm,
    m.grade AS grade,
    m.sequence AS sequence
FROM (SELECT event_time, instrument, mark_ticks, index_ticks, grade, sequence FROM `{database}`.`marks` FINAL) AS m
LEFT JOIN `{database}`.`desk_instruments` AS i ON i.instrument = m.instrument;

-- Marks by minute, kept within each part of the table. Everything in it is the same however often a mark lies there.
ALTER TABLE `{database}`.`marks` MODIFY SETTING deduplicate_merge_projection_mode = 'rebuild';

ALTER TABLE `{database}`.`marks` ADD PROJECTION IF NOT EXISTS by_minute
(
    SELECT
        instrument,
        toStartOfMinute(event_time),
        groupBitmap(toUInt64(sequence)), min(sequence), max(sequence), min(mark_ticks), max(mark_ticks), argMin(mark_ticks, sequence),
        argMax(mark_ticks, sequence), argMax(index_ticks, sequence), groupBitmapIf(toUInt64(sequence), grade = 'STALE'),
        groupBitmapIf(toUInt64(sequence), grade = 'OUTLIER'), groupBitmapIf(toUInt64(sequence), grade = 'FROZEN')
    GROUP BY instrument, toStartOfMinute(event_time)
);

ALTER TABLE `{database}`.`marks` MATERIALIZE PROJECTION by_minute;

-- missing: sequence numbers within the minute that never came. Over a longer time it is, by instrument,
-- max(last_sequence) - min(first_sequence) + 1 - sum(marks).
CREATE OR REPLACE VIEW `{database}`.`desk_mark_minutes` AS
SELECT
    m.minute AS event_time,
    m.instrument AS instrument,
    if(empty(i.symbol), toString(m.instrument), i.symbol) AS symbol,
    m.marks AS marks,
    m.open_ticks AS open_ticks,
    m.high_ticks AS high_ticks,
    m.low_ticks AS low_ticks,
    m.close_ticks AS close_ticks,
    m.index_ticks AS index_ticks,
    m.first_sequence AS first_sequence,
    m.last_sequence AS last_sequence,
    m.last_sequence - m.first_sequence + 1 - toInt64(m.marks) AS missing,
    m.stale AS stale,
    m.outliers AS outliers,
    m.frozen AS frozen
FROM
(
    SELECT
        instrument,
        toStartOfMinute(event_time) AS minute,
        groupBitmap(toUInt64(sequence)) AS marks,
        min(sequence) AS first_sequence,
        max(sequence) AS last_sequence,
        min(mark_ticks) AS low_ticks,
        max(mark_ticks) AS high_ticks,
        argMin(mark_ticks, sequence) AS open_ticks,
        argMax(mark_ticks, sequence) AS close_ticks,
        argMax(index_ticks, sequence) AS index_ticks,
        groupBitmapIf(toUInt64(sequence), grade = 'STALE') AS stale,
        groupBitmapIf(toUInt64(sequence), grade = 'OUTLIER') AS outliers,
        groupBitmapIf(toUInt64(sequence), grade = 'FROZEN') AS frozen
    FROM `{database}`.`marks`
    GROUP BY instrument, toStartOfMinute(event_time)
) AS m
LEFT JOIN `{database}`.`desk_instruments` AS i ON i.instrument = m.instrument;

-- Lots held long at the end of an event second, over all shards. Incomplete while a shard has not told its part.
CREATE OR REPLACE VIEW `{database}`.`desk_open_interest` AS
SELECT
    t.event_time AS event_time,
    t.instrument AS instrument,
    if(empty(i.symbol), toString(t.instrument), i.symbol) AS symbol,
    t.open_interest AS open_interest_lots,
    t.net AS net_lots,
    toDecimal128(t.open_interest * i.value_per_tick_lot_units, 8) / toDecimal128(intExp10(i.decimals), 0) AS value_per_tick,
    t.shards AS shards,
    toUInt8(ifNull(t.shards >= (
        SELECT nullIf(max(genesis[1].shard_count), 0) FROM `{database}`.`accounts_journal` WHERE event_time < '1971-01-01' AND step = 0
    ), 0)) AS is_complete
FROM
(
    SELECT
        event_time,
        total.instrument AS instrument,
        sum(total.open_interest) AS open_interest,
        sum(total.lots) AS net,
        uniqExact(shard) AS shards
    FROM `{database}`.`shard_totals` FINAL
    ARRAY JOIN instruments AS total
    GROUP BY event_time, asset, total.instrument
) AS t
LEFT JOIN `{database}`.`desk_instruments` AS i ON i.instrument = t.instrument;
