"""Insurance fund: what one pool is worth against its own ADL thresholds, and every movement of its cash, to the last digit."""

from streams.dashboards.boards.common import IN_RANGE, ONE_POOL, POOL_STATE, POOL_STATES, POOL_WORDS, TO_ADL, TO_LIQUIDATIONS, TO_MARKET, UP_TO_NOW
from streams.dashboards.model import (
    Board,
    CellLink,
    Column,
    Panel,
    Row,
    Shape,
    Sql,
    Step,
    Threshold,
    ThresholdQuery,
    Unit,
    Visual,
)

THE_POOL = "pool = ${pool:singlequote}"

# The colour changes at the pool's own parameters: red up to adl_start, green from adl_stop on. The lowest step must be a column too.
_THRESHOLDS = ThresholdQuery(
    Sql(f"SELECT -1e30 AS lowest, toFloat64(adl_start) AS adl_start, toFloat64(adl_stop) AS adl_stop FROM desk_pools WHERE {THE_POOL}"),
    (Threshold("lowest", "red"), Threshold("adl_start", "orange"), Threshold("adl_stop", "green")),
)

NOW = Row(
    "Now",
    (
        Panel(
            "Value",
            Unit.NUMBER,
            "Worth of the fund at mark, less what is reserved, in its settlement asset. Red below the pool's ADL start, green above its ADL stop.",
            Visual.STAT,
            (
                Sql(
                    f"""
                    SELECT argMax(value, (event_time, source, place)) AS value FROM desk_pool_values
                    WHERE {THE_POOL} AND {UP_TO_NOW} HAVING count() > 0
                    """
                ),
            ),
            (TO_ADL,),
            width=6,
            height=4,
            thresholds=_THRESHOLDS,
        ),
        Panel(
            "Above ADL start",
            Unit.NUMBER,
            "What the fund may still lose before every instrument of the pool enters ADL: value less the pool's ADL start.",
            Visual.STAT,
            (
                Sql(
                    """
                    SELECT argMax(v.value, (v.event_time, v.source, v.place)) - any(p.adl_start) AS room FROM desk_pool_values AS v
                    INNER JOIN desk_pools AS p ON p.pool = v.pool
                    WHERE v.pool = ${pool:singlequote} AND v.event_time <= $__toTime_ms HAVING count() > 0
                    """
                ),
            ),
            (TO_ADL,),
            width=6,
            height=4,
            steps=(Step(None, "red"), Step(0, "green")),
        ),
        Panel(
            "Drawdown from the 8-hour peak",
            Unit.NUMBER,
            "Highest value of the eight hours up to the last one recorded, less that value.",
            Visual.STAT,
            (
                Sql(
                    f"""
                    SELECT argMax(drawdown, (event_time, source, place)) AS drawdown FROM desk_pool_values
                    WHERE {THE_POOL} AND {UP_TO_NOW} HAVING count() > 0
                    """
                ),
            ),
            (TO_LIQUIDATIONS,),
            width=6,
            height=4,
        ),
        Panel(
            "Instruments in ADL",
            Unit.NUMBER,
            "Instruments of this pool in which it takes nothing over, at the end of the time range.",
            Visual.STAT,
            (
                Sql(
                    f"""
                    SELECT countIf(state = 'ADL') AS in_adl FROM (
                      SELECT instrument, argMax(toString(state), (event_time, src_offset)) AS state FROM pool_states FINAL
                      WHERE {UP_TO_NOW} AND {THE_POOL} GROUP BY instrument)
                    """
                ),
            ),
            (TO_ADL,),
            width=6,
            height=4,
            steps=(Step(None, "green"), Step(1, "red")),
        ),
    ),
)

COURSE = Row(
    "Course",
    (
        Panel(
            "State of each instrument",
            Unit.PLAIN,
            "State of every instrument in this pool; the state it had at the start of the range is carried in.",
            Visual.STATE_TIMELINE,
            (
                Sql(
                    f"""
                    SELECT s.time AS time, i.symbol AS symbol, s.state_code AS state_code FROM (
                      SELECT event_time AS time, instrument, argMax(toInt64({POOL_STATE}), src_offset) AS state_code FROM pool_states
                      WHERE {THE_POOL} AND {IN_RANGE} GROUP BY time, instrument
                      UNION ALL
                      SELECT toDateTime64($__fromTime_ms, 6, 'UTC') AS time, instrument, argMax(toInt64({POOL_STATE}), (event_time, src_offset))
                      FROM pool_states WHERE {THE_POOL} AND event_time < $__fromTime_ms GROUP BY instrument) AS s
                    INNER JOIN desk_instruments AS i ON i.instrument = s.instrument
                    ORDER BY time, symbol
                    """,
                    Shape.SERIES,
                ),
            ),
            (TO_ADL, TO_MARKET),
            height=10,
            mappings=POOL_STATES,
            legend="${__field.labels.symbol}",
        ),
        Panel(
            "Value against thresholds",
            Unit.NUMBER,
            "Value of the fund after each record of it, its 8-hour peak, and the pool's own ADL start and stop.",
            Visual.TIME_SERIES,
            (
                Sql(
                    """
                    SELECT v.event_time AS time, v.value AS value, v.peak_8h AS peak_8h, p.adl_start AS adl_start, p.adl_stop AS adl_stop
                    FROM desk_pool_values AS v INNER JOIN desk_pools AS p ON p.pool = v.pool
                    WHERE v.pool = ${pool:singlequote} AND $__timeFilter_ms(v.event_time)
                    ORDER BY time, v.source DESC, v.place DESC LIMIT 1 BY time
                    """,
                    Shape.SERIES,
                ),
            ),
            (TO_ADL,),
            height=10,
            columns=(
                Column("adl_start", colour="red", dashed=True),
                Column("adl_stop", colour="green", dashed=True),
                Column("peak_8h", colour="blue"),
            ),
        ),
        Panel(
            "Cash in and out by cause",
            Unit.NUMBER,
            "Cash that came in (positive) and went out (negative) in each interval, by cause.",
            Visual.TIME_SERIES,
            (
                Sql(
                    f"""
                    SELECT $__timeInterval(event_time) AS time, toString(cause) AS cause, sum(if(debit = 'CASH', amount, -amount)) AS cash
                    FROM desk_pool_statement WHERE {THE_POOL} AND {IN_RANGE} GROUP BY time, cause ORDER BY time, cause
                    """,
                    Shape.SERIES,
                ),
            ),
            (TO_LIQUIDATIONS,),
            legend="${__field.labels.cause}",
            stacked=True,
            bars=True,
        ),
        Panel(
            "Wallet and inventory",
            Unit.NUMBER,
            "The fund's cash, and what its inventory of taken-over positions cost, after each entry of the ledger.",
            Visual.TIME_SERIES,
            (
                Sql(
                    f"""
                    SELECT event_time AS time, argMax(wallet_after, entry) AS wallet, argMax(inventory_cost_after, entry) AS inventory_cost
                    FROM desk_pool_statement WHERE {THE_POOL} AND {IN_RANGE} GROUP BY time ORDER BY time
                    """,
                    Shape.SERIES,
                ),
            ),
            (TO_LIQUIDATIONS,),
            columns=(Column("inventory_cost", right_axis=True),),
        ),
    ),
)

BOOKS = Row(
    "Books",
    (
        Panel(
            "Cash by cause",
            Unit.PLAIN,
            "Sums of the time range by cause, exact: what came in, what went out, and the difference.",
            Visual.TABLE,
            (
                Sql(
                    f"""
                    SELECT toString(cause) AS Cause, count() AS Entries, toString(sumIf(amount, debit = 'CASH')) AS `In`,
                      toString(sumIf(amount, credit = 'CASH')) AS `Out`, toString(sum(if(debit = 'CASH', amount, -amount))) AS Net,
                      any(asset_symbol) AS Asset
                    FROM desk_pool_statement WHERE {THE_POOL} AND {IN_RANGE} GROUP BY cause ORDER BY cause
                    """
                ),
            ),
            (TO_LIQUIDATIONS,),
            columns=(Column("Entries", Unit.NUMBER),),
        ),
        Panel(
            "Parameters in force",
            Unit.PLAIN,
            "The pool's latest parameters: they are events of the exchange, never settings.",
            Visual.TABLE,
            (
                Sql(
                    f"""
                    SELECT toString(version) AS Version, toString(policy_id) AS Policy, toString(price_rule) AS `Price rule`,
                      toString(adl_start) AS `ADL start`, toString(adl_stop) AS `ADL stop`,
                      ifNull(toString(net_notional_cap), 'none') AS `Net notional cap`,
                      toString(warning_ratio_ppm) AS `Warning of groups (ppm)`, toString(fund_account) AS `Fund account`, asset_symbol AS Asset
                    FROM desk_pools WHERE {THE_POOL}
                    """
                ),
            ),
            (TO_MARKET,),
            cells=(CellLink("Fund account", "account", "account", "The fund's account"),),
        ),
        Panel(
            "Uncovered losses",
            Unit.PLAIN,
            "What bankrupt groups were left owing, and who paid: the fund, those deleveraged, or nobody yet. All time, largest first, 200 at most.",
            Visual.TABLE,
            (
                Sql(
                    f"""
                    SELECT toString(event_time) AS Time, toString(account) AS Account, group_symbol AS `Group`, toString(deficit) AS Deficit,
                      toString(covered) AS Covered, toString(socialised) AS Socialised, toString(uncovered) AS Uncovered, asset_symbol AS Asset
                    FROM desk_uncovered_losses WHERE {THE_POOL} ORDER BY uncovered DESC, deficit DESC, account LIMIT 200
                    UNION ALL SELECT 'none', '', '', '0', '0', '0', '0', '' FROM system.one
                    WHERE (SELECT count() FROM desk_uncovered_losses WHERE {THE_POOL}) = 0
                    """
                ),
            ),
            (TO_LIQUIDATIONS,),
            width=24,
            cells=(CellLink("Account", "account", "account", "This account"),),
        ),
        Panel(
            "State changes",
            Unit.PLAIN,
            "Every change of state with its reason in plain words, newest first, 500 at most.",
            Visual.TABLE,
            (
                Sql(
                    f"""
                    SELECT event_time AS Time, symbol AS Instrument, toString(state) AS State, toString(value) AS Value,
                      ifNull(toString(threshold), '') AS Threshold, toString(drawdown) AS `8-hour drawdown`, reason AS Reason
                    FROM desk_pool_timeline WHERE {THE_POOL} AND {IN_RANGE} ORDER BY event_time DESC, place DESC LIMIT 500
                    """
                ),
            ),
            (TO_ADL,),
            width=24,
            height=10,
            columns=(Column("State", colours=POOL_WORDS), Column("Time", Unit.TIME)),
        ),
        Panel(
            "Statement",
            Unit.PLAIN,
            "The fund ledger line by line, newest first, 1,000 at most: amounts to the last digit, so that an auditor can add them up.",
            Visual.TABLE,
            (
                Sql(
                    f"""
                    SELECT event_time AS Time, toString(entry) AS Entry, toString(cause) AS Cause, toString(debit) AS Debit,
                      toString(credit) AS Credit, toString(amount) AS Amount, toString(wallet_after) AS Wallet,
                      toString(inventory_cost_after) AS `Inventory cost`, toString(value_after) AS Value,
                      ifNull(toString(instruction_id), '') AS Instruction, toString(source_id) AS Source
                    FROM desk_pool_statement WHERE {THE_POOL} AND {IN_RANGE} ORDER BY entry DESC LIMIT 1000
                    """
                ),
            ),
            (TO_LIQUIDATIONS,),
            width=24,
            height=12,
            columns=(Column("Time", Unit.TIME),),
        ),
    ),
)

FUND = Board(
    "fund",
    "Insurance fund",
    "One pool: its worth against its own thresholds, its states, its books.",
    (ONE_POOL,),
    (NOW, COURSE, BOOKS),
)
