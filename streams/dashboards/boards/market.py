"""Market overview: is anything wrong now, where, and how prices and positions got there. The first board a risk desk opens."""

from streams.dashboards.boards.common import (
    ANY_IS_BAD,
    BY_SYMBOL,
    COARSE,
    FINE,
    GRADE_WORDS,
    IN_RANGE,
    INSTRUMENTS,
    OF_INSTRUMENT,
    OF_MARKETS,
    OF_POOL,
    POOL_WORDS,
    POOLS,
    TO_ADL,
    TO_FUND,
    TO_LIQUIDATIONS,
    TO_QUALITY,
    UP_TO_NOW,
)
from streams.dashboards.model import Board, CellLink, Column, Panel, Row, Shape, Sql, Unit, Visual

NOW = Row(
    "Now",
    (
        Panel(
            "Instruments in ADL",
            Unit.NUMBER,
            "Instruments whose pool refuses takeovers, so that what the market does not take is deleveraged; at the end of the time range.",
            Visual.STAT,
            (
                Sql(
                    f"""
                    SELECT countIf(state = 'ADL') AS in_adl FROM (
                      SELECT pool, instrument, argMax(toString(state), (event_time, src_offset)) AS state FROM pool_states FINAL
                      WHERE {UP_TO_NOW} AND {OF_MARKETS} GROUP BY pool, instrument)
                    """
                ),
            ),
            (TO_FUND, TO_ADL),
            width=4,
            height=4,
            steps=ANY_IS_BAD,
        ),
        Panel(
            "Groups below maintenance",
            Unit.NUMBER,
            "Solvency groups that are liquidatable or bankrupt, over all shards, at the last event second of the time range.",
            Visual.STAT,
            (
                Sql(
                    f"""
                    SELECT argMax(groups_liquidatable + groups_bankrupt, event_second) AS groups FROM desk_conservation
                    WHERE {IN_RANGE} HAVING count() > 0
                    """
                ),
            ),
            (TO_LIQUIDATIONS,),
            width=4,
            height=4,
            steps=ANY_IS_BAD,
        ),
        Panel(
            "Forced fills",
            Unit.NUMBER,
            "Forced fills of users in the time range: liquidation orders, takeovers, netting, deleveraging.",
            Visual.STAT,
            (Sql(f"SELECT count() AS fills FROM desk_liquidations WHERE {IN_RANGE} AND {OF_INSTRUMENT}"),),
            (TO_LIQUIDATIONS,),
            width=4,
            height=4,
        ),
        Panel(
            "Positions deleveraged",
            Unit.NUMBER,
            "Positions reduced by auto-deleveraging in the time range.",
            Visual.STAT,
            (Sql(f"SELECT countIf(lots > 0) AS positions FROM adl_executions FINAL WHERE {IN_RANGE} AND {OF_MARKETS}"),),
            (TO_ADL,),
            width=4,
            height=4,
        ),
        Panel(
            "Seconds with sums off zero",
            Unit.NUMBER,
            "Event seconds of the time range in which wallets, open cost and external flows over all shards did not cancel. Must be 0.",
            Visual.STAT,
            (Sql(f"SELECT countIf(difference != 0 OR lots_difference != 0) AS seconds FROM desk_conservation WHERE {IN_RANGE}"),),
            (TO_QUALITY,),
            width=4,
            height=4,
            steps=ANY_IS_BAD,
        ),
        Panel(
            "Dead letters",
            Unit.NUMBER,
            "Records that could not be applied in the time range. Their accounts are suspect until `backstop dlq` corrects or drops them.",
            Visual.STAT,
            (Sql(f"SELECT count() AS letters FROM desk_dead_letters WHERE {IN_RANGE}"),),
            (TO_QUALITY,),
            width=4,
            height=4,
            steps=ANY_IS_BAD,
        ),
    ),
)

PRICES = Row(
    "Prices",
    (
        Panel(
            "Mark since the start of the range",
            Unit.PERCENT,
            "Change of each mark against its first one in the time range.",
            Visual.TIME_SERIES,
            (
                Sql(
                    f"""
                    SELECT time, symbol, 100 * (mark / first_value(mark) OVER (PARTITION BY instrument ORDER BY time) - 1) AS change FROM (
                      SELECT $__timeInterval(event_time) AS time, instrument, symbol, toFloat64(argMax(mark_ticks, event_time)) AS mark
                      FROM desk_marks WHERE {FINE} AND {IN_RANGE} AND {OF_INSTRUMENT} GROUP BY time, instrument, symbol
                      UNION ALL
                      SELECT $__timeInterval(event_time) AS time, instrument, symbol, toFloat64(argMax(close_ticks, event_time)) AS mark
                      FROM desk_mark_minutes WHERE {COARSE} AND {IN_RANGE} AND {OF_INSTRUMENT} GROUP BY time, instrument, symbol)
                    ORDER BY time, symbol
                    """,
                    Shape.SERIES,
                ),
            ),
            (TO_LIQUIDATIONS,),
            legend=BY_SYMBOL,
        ),
        Panel(
            "Mark against index",
            Unit.PPM,
            "Basis: mark less index, in millionths of the index, at the end of each interval.",
            Visual.TIME_SERIES,
            (
                Sql(
                    f"""
                    SELECT time, symbol, basis FROM (
                      SELECT $__timeInterval(event_time) AS time, symbol, toFloat64(argMax(basis_ppm, event_time)) AS basis FROM desk_marks
                      WHERE {FINE} AND {IN_RANGE} AND {OF_INSTRUMENT} GROUP BY time, instrument, symbol
                      UNION ALL
                      SELECT $__timeInterval(event_time) AS time, symbol,
                        argMax(1000000 * (close_ticks - index_ticks) / nullIf(index_ticks, 0), event_time) AS basis FROM desk_mark_minutes
                      WHERE {COARSE} AND {IN_RANGE} AND {OF_INSTRUMENT} GROUP BY time, instrument, symbol)
                    ORDER BY time, symbol
                    """,
                    Shape.SERIES,
                ),
            ),
            (TO_QUALITY,),
            legend=BY_SYMBOL,
        ),
        Panel(
            "Instruments",
            Unit.PLAIN,
            "Every instrument at the end of the range: mark and index in ticks, basis, worst grade of the last minute, open interest in lots, state.",
            Visual.TABLE,
            (
                Sql(
                    f"""
                    SELECT symbol AS Instrument, toString(i.pool) AS Pool, if(s.state = '', 'NORMAL', s.state) AS State,
                      m.mark AS Mark, m.index AS Index, 1000000 * (m.mark - m.index) / nullIf(m.index, 0) AS Basis, m.grade AS Grade,
                      toString(o.lots) AS `Open interest`
                    FROM desk_instruments AS i
                    LEFT JOIN (SELECT instrument, argMax(close_ticks, event_time) AS mark, argMax(index_ticks, event_time) AS index,
                        argMax(multiIf(frozen > 0, 'FROZEN', stale > 0, 'STALE', outliers > 0, 'OUTLIER', 'GOOD'), event_time) AS grade
                      FROM desk_mark_minutes WHERE {IN_RANGE} GROUP BY instrument) AS m ON m.instrument = i.instrument
                    LEFT JOIN (SELECT instrument, argMax(open_interest_lots, event_time) AS lots
                      FROM desk_open_interest WHERE {IN_RANGE} GROUP BY instrument) AS o ON o.instrument = i.instrument
                    LEFT JOIN (SELECT pool, instrument, argMax(toString(state), (event_time, src_offset)) AS state
                      FROM pool_states FINAL WHERE {UP_TO_NOW} GROUP BY pool, instrument) AS s ON s.pool = i.pool AND s.instrument = i.instrument
                    WHERE $__conditionalAll(i.pool IN (${{pool:singlequote}}), $pool)
                      AND $__conditionalAll(i.instrument IN (${{instrument:singlequote}}), $instrument)
                    ORDER BY symbol
                    """
                ),
            ),
            (TO_QUALITY, TO_FUND),
            width=24,
            height=9,
            cells=(CellLink("Pool", "fund", "pool", "Its fund"),),
            columns=(Column("State", colours=POOL_WORDS), Column("Grade", colours=GRADE_WORDS), Column("Basis", Unit.PPM)),
        ),
    ),
)

POSITIONS = Row(
    "Positions",
    (
        Panel(
            "Open interest",
            Unit.NUMBER,
            "Long lots over all shards at the end of each interval.",
            Visual.TIME_SERIES,
            (
                Sql(
                    f"""
                    SELECT $__timeInterval(event_time) AS time, symbol, argMax(open_interest_lots, event_time) AS lots FROM desk_open_interest
                    WHERE {IN_RANGE} AND {OF_INSTRUMENT} GROUP BY time, instrument, symbol ORDER BY time, symbol
                    """,
                    Shape.SERIES,
                ),
            ),
            (TO_LIQUIDATIONS,),
            legend=BY_SYMBOL,
        ),
        Panel(
            "Groups by state",
            Unit.NUMBER,
            "Solvency groups in warning, liquidatable and bankrupt over all shards; the most of each interval.",
            Visual.TIME_SERIES,
            (
                Sql(
                    f"""
                    SELECT $__timeInterval(event_time) AS time, max(groups_warning) AS warning, max(groups_liquidatable) AS liquidatable,
                      max(groups_bankrupt) AS bankrupt
                    FROM desk_conservation WHERE {IN_RANGE} GROUP BY time ORDER BY time
                    """,
                    Shape.SERIES,
                ),
            ),
            (TO_LIQUIDATIONS,),
            columns=(Column("warning", colour="yellow"), Column("liquidatable", colour="orange"), Column("bankrupt", colour="red")),
        ),
        Panel(
            "Fund value by pool",
            Unit.NUMBER,
            "What each fund is worth at mark, less what is reserved, after each entry of its ledger; in the pool's settlement asset.",
            Visual.TIME_SERIES,
            (
                Sql(
                    f"""
                    SELECT $__timeInterval(event_time) AS time, toString(pool) AS pool, argMax(value_after, (event_time, entry)) AS value
                    FROM desk_pool_statement WHERE {IN_RANGE} AND {OF_POOL} GROUP BY time, pool ORDER BY time, pool
                    """,
                    Shape.SERIES,
                ),
            ),
            (TO_FUND,),
            width=24,
            legend="pool ${__field.labels.pool}",
        ),
    ),
)

MARKET = Board(
    "market",
    "Market overview",
    "What is wrong now, and how prices, open interest and funds got there.",
    (POOLS, INSTRUMENTS),
    (NOW, PRICES, POSITIONS),
)
