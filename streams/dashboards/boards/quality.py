"""Data quality: whether what goes in can be trusted, and whether what came out is provably right."""

from streams.dashboards.boards.common import (
    ANY_IS_BAD,
    BY_SYMBOL,
    COARSE,
    FINE,
    GRADE_WORDS,
    IN_RANGE,
    INSTRUMENTS,
    OF_INSTRUMENT,
    POOLS,
    TO_LIQUIDATIONS,
    TO_MARKET,
    TO_PIPELINE,
)
from streams.dashboards.model import Board, CellLink, Column, Panel, Row, Shape, Sql, Unit, Visual
from streams.topics import EXCHANGE_TOPICS, STREAMS, TOPICS

# Tables that machines write to. Step records say how many records went there; a missing or a second row shows as a difference.
_WRITTEN = tuple(topic for topic in TOPICS.values() if topic.written_by in ("accounts", "pools") or topic.name in ("instructions", "dead-letters"))
_INPUTS = ", ".join(f"'{topic}'" for topic in EXCHANGE_TOPICS)
_ROWS = " UNION ALL ".join(
    f"SELECT '{topic.name}' AS topic, {' + '.join(f'(SELECT count() FROM {STREAMS[name].table} FINAL)' for name in topic.streams)} AS present"
    for topic in _WRITTEN
)
_SAID = (
    "SELECT toString(outputs.topic) AS topic, toUInt64(sum(outputs.count)) AS said FROM ("
    "SELECT outputs FROM accounts_journal FINAL UNION ALL SELECT outputs FROM pools_journal FINAL) ARRAY JOIN outputs GROUP BY topic"
)
# Each step record holds the hash of the one before it: a gap, a fork or a change breaks the chain of its shard.
_BROKEN = " + ".join(
    "(SELECT countIf(before != '' AND (previous_hash != before OR step != step_before + 1)) FROM ("
    "SELECT step, previous_hash, lagInFrame(own_hash) OVER w AS before, lagInFrame(step) OVER w AS step_before "
    f"FROM {table} FINAL WHERE {IN_RANGE} WINDOW w AS (PARTITION BY task, shard ORDER BY step ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)))"
    for table in ("accounts_journal", "pools_journal")
)

PROOF = Row(
    "Proof",
    (
        Panel(
            "Breaks in the chain of steps",
            Unit.NUMBER,
            "Step records of the time range that do not hold the hash of the one before them. Must be 0; anything else is a fork or damage.",
            Visual.STAT,
            (Sql(f"SELECT {_BROKEN} AS breaks"),),
            (TO_PIPELINE,),
            width=6,
            height=4,
            steps=ANY_IS_BAD,
        ),
        Panel(
            "Steps with two digests",
            Unit.NUMBER,
            "Steps recorded more than once with different state digests: two owners came to different results. Must be 0.",
            Visual.STAT,
            (
                Sql(
                    f"""
                    SELECT count() AS steps FROM (
                      SELECT task, shard, step FROM desk_steps WHERE {IN_RANGE} GROUP BY task, shard, step HAVING uniqExact(state_digest) > 1)
                    """
                ),
            ),
            (TO_PIPELINE,),
            width=6,
            height=4,
            steps=ANY_IS_BAD,
        ),
        Panel(
            "Seconds with sums off zero",
            Unit.NUMBER,
            "Event seconds in which money or lots over all shards do not cancel. Must be 0; seconds that a shard has not closed are left out.",
            Visual.STAT,
            (Sql(f"SELECT countIf(difference != 0 OR lots_difference != 0) AS seconds FROM desk_conservation WHERE {IN_RANGE}"),),
            (TO_MARKET,),
            width=6,
            height=4,
            steps=ANY_IS_BAD,
        ),
        Panel(
            "Balances corrected",
            Unit.NUMBER,
            "Largest sum of differences between our balances and the exchange's in the time range, in the settlement asset. Should be 0.",
            Visual.STAT,
            (Sql(f"SELECT max(abs(reconciliation)) AS reconciliation FROM desk_conservation WHERE {IN_RANGE}"),),
            (TO_MARKET,),
            width=6,
            height=4,
        ),
        Panel(
            "Rows against step records",
            Unit.PLAIN,
            "Records that machines said they wrote, beside rows in ClickHouse, all time. A difference is a lost, doubled or not yet loaded row.",
            Visual.TABLE,
            (
                Sql(
                    f"""
                    SELECT p.topic AS Topic, ifNull(s.said, 0) AS `By step records`, p.present AS Rows,
                      toInt64(p.present) - toInt64(ifNull(s.said, 0)) AS Difference
                    FROM ({_ROWS}) AS p
                    LEFT JOIN ({_SAID}) AS s ON s.topic = p.topic ORDER BY Topic
                    """
                ),
            ),
            (TO_PIPELINE,),
            height=9,
        ),
        Panel(
            "Replay digests",
            Unit.PLAIN,
            "Digest of each shard's state after its last step in the time range: what `backstop replay` and `backstop verify` must come to as well.",
            Visual.TABLE,
            (
                Sql(
                    f"""
                    SELECT toString(task) AS Task, shard AS Shard, max(step) AS Step, argMax(event_time, step) AS `Event time`,
                      argMax(state_digest, step) AS `State digest`, argMax(own_hash, step) AS `Hash of the record`
                    FROM desk_steps WHERE {IN_RANGE} GROUP BY task, shard ORDER BY Task, Shard
                    """
                ),
            ),
            (TO_PIPELINE,),
            height=9,
            columns=(Column("Event time", Unit.TIME),),
        ),
        Panel(
            "Money over all shards",
            Unit.NUMBER,
            "Difference of wallets, open cost and external flows, and the corrections of balances; in the settlement asset. Both stay on 0.",
            Visual.TIME_SERIES,
            (
                Sql(
                    f"""
                    SELECT $__timeInterval(event_time) AS time, toString(asset_symbol) AS asset,
                      argMax(ifNull(difference, 0), abs(ifNull(difference, 0))) AS difference, argMax(reconciliation, event_second) AS corrected
                    FROM desk_conservation WHERE {IN_RANGE} GROUP BY time, asset ORDER BY time, asset
                    """,
                    Shape.SERIES,
                ),
            ),
            (TO_MARKET,),
            legend="${__field.name} ${__field.labels.asset}",
        ),
        Panel(
            "Suspect accounts",
            Unit.NUMBER,
            "Accounts that cannot be valued, because a record of theirs is missing or was refused; over all shards.",
            Visual.TIME_SERIES,
            (
                Sql(
                    f"""
                    SELECT $__timeInterval(event_time) AS time, max(suspects) AS suspects FROM desk_conservation
                    WHERE {IN_RANGE} GROUP BY time ORDER BY time
                    """,
                    Shape.SERIES,
                ),
            ),
            (TO_LIQUIDATIONS,),
        ),
    ),
)

MARKS = Row(
    "Marks",
    (
        Panel(
            "Marks by grade",
            Unit.NUMBER,
            "Marks of each interval by grade. Rankings and valuations on stale, outlying or frozen marks are only as good as those.",
            Visual.TIME_SERIES,
            (
                Sql(
                    f"""
                    SELECT time, good, stale, outlier, frozen FROM (
                      SELECT $__timeInterval(event_time) AS time, toInt64(countIf(grade = 'GOOD')) AS good, countIf(grade = 'STALE') AS stale,
                        countIf(grade = 'OUTLIER') AS outlier, countIf(grade = 'FROZEN') AS frozen FROM desk_marks
                      WHERE {FINE} AND {IN_RANGE} AND {OF_INSTRUMENT} GROUP BY time
                      UNION ALL
                      SELECT $__timeInterval(event_time) AS time, toInt64(sum(m.marks - m.stale - m.outliers - m.frozen)), sum(m.stale),
                        sum(m.outliers), sum(m.frozen) FROM desk_mark_minutes AS m
                      WHERE {COARSE} AND {IN_RANGE} AND {OF_INSTRUMENT} GROUP BY time)
                    ORDER BY time
                    """,
                    Shape.SERIES,
                ),
            ),
            (TO_MARKET,),
            columns=(
                Column("good", colour="green"),
                Column("stale", colour="yellow"),
                Column("outlier", colour="orange"),
                Column("frozen", colour="red"),
            ),
            stacked=True,
            bars=True,
        ),
        Panel(
            "Mark age",
            Unit.SECONDS,
            "Seconds from each instrument's last mark of the interval to the last of any; whole minutes where an interval is a minute or more.",
            Visual.TIME_SERIES,
            (
                Sql(
                    f"""
                    SELECT time, symbol, (max(last) OVER (PARTITION BY time) - last) / 1000000 AS age FROM (
                      SELECT $__timeInterval(event_time) AS time, symbol, max(toUnixTimestamp64Micro(event_time)) AS last FROM desk_marks
                      WHERE {FINE} AND {IN_RANGE} AND {OF_INSTRUMENT} GROUP BY time, instrument, symbol
                      UNION ALL
                      SELECT $__timeInterval(event_time) AS time, symbol, toInt64(max(toUnixTimestamp(event_time))) * 1000000 AS last
                      FROM desk_mark_minutes WHERE {COARSE} AND {IN_RANGE} AND {OF_INSTRUMENT} GROUP BY time, instrument, symbol)
                    ORDER BY time, symbol
                    """,
                    Shape.SERIES,
                ),
            ),
            (TO_MARKET,),
            legend=BY_SYMBOL,
        ),
        Panel(
            "Quality of marks",
            Unit.PLAIN,
            "By instrument: marks, sequence numbers that never came, grades other than good, worst grade of the last minute, widest basis by minute.",
            Visual.TABLE,
            (
                Sql(
                    f"""
                    SELECT symbol AS Instrument, sum(m.marks) AS Marks, max(last_sequence) - min(first_sequence) + 1 - toInt64(Marks) AS Missing,
                      sum(m.stale) AS Stale, sum(m.outliers) AS Outliers, sum(m.frozen) AS Frozen,
                      argMax(multiIf(m.frozen > 0, 'FROZEN', m.stale > 0, 'STALE', m.outliers > 0, 'OUTLIER', 'GOOD'), event_time) AS `Last grade`,
                      max(abs(1000000 * (close_ticks - index_ticks) / nullIf(index_ticks, 0))) AS `Widest basis`, max(event_time) AS `Last minute`
                    FROM desk_mark_minutes AS m WHERE {IN_RANGE} AND {OF_INSTRUMENT} GROUP BY instrument, symbol
                    ORDER BY Frozen DESC, Missing DESC, symbol
                    """
                ),
            ),
            (TO_MARKET,),
            width=24,
            height=9,
            columns=(Column("Last grade", colours=GRADE_WORDS), Column("Widest basis", Unit.PPM), Column("Last minute", Unit.TIME)),
        ),
    ),
)

LETTERS = Row(
    "Dead letters",
    (
        Panel(
            "Dead letters by topic",
            Unit.NUMBER,
            "Dead letters of the time range by the topic they came from, beside the topics that have none.",
            Visual.BAR_CHART,
            (
                Sql(
                    f"""
                    SELECT topic, sum(letters) AS letters FROM (
                      SELECT toString(source_topic) AS topic, count() AS letters FROM desk_dead_letters WHERE {IN_RANGE} GROUP BY topic
                      UNION ALL SELECT arrayJoin([{_INPUTS}]), 0)
                    GROUP BY topic ORDER BY letters DESC, topic
                    """
                ),
            ),
            (TO_PIPELINE,),
            width=8,
            height=9,
        ),
        Panel(
            "Latest dead letters",
            Unit.PLAIN,
            "Records that could not be applied, newest first, 200 at most. The place is what `backstop dlq show` takes.",
            Visual.TABLE,
            (
                Sql(
                    f"""
                    SELECT toString(event_time) AS Time,
                      concat(toString(source_topic), '/', toString(source_partition), '/', toString(source_offset)) AS Place,
                      toString(reason) AS Reason, ifNull(toString(account), '') AS Account, concat(toString(task), '-', toString(shard)) AS Shard,
                      detail AS Detail FROM desk_dead_letters WHERE {IN_RANGE} ORDER BY event_time DESC, place DESC LIMIT 200
                    UNION ALL SELECT 'none in this time range', '', '', '', '', '' FROM system.one
                    WHERE (SELECT count() FROM desk_dead_letters WHERE {IN_RANGE}) = 0
                    """
                ),
            ),
            (TO_PIPELINE,),
            width=16,
            height=9,
            cells=(CellLink("Account", "account", "account", "This account"),),
        ),
    ),
)

QUALITY = Board(
    "quality",
    "Data quality",
    "Whether inputs can be trusted, and whether results are provably right.",
    (POOLS, INSTRUMENTS),
    (PROOF, MARKS, LETTERS),
)
