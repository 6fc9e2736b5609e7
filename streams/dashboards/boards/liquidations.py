"""Liquidations: what was forced, how well it was filled, and who is next. The tape is complete; nothing is sampled."""

from streams.dashboards.boards.common import (
    BY_SYMBOL,
    GROUP_WORDS,
    IN_RANGE,
    INSTRUMENTS,
    OF_INSTRUMENT,
    POOLS,
    TO_ADL,
    TO_FUND,
    TO_MARKET,
)
from streams.dashboards.model import Board, CellLink, Column, Panel, Row, Shape, Sql, Unit, Visual

_LOST = "party = 'LIQUIDATED'"  # the forced side only: an ADL fill has a second one

SUMS = Row(
    "In this time range",
    (
        Panel(
            "Accounts liquidated",
            Unit.NUMBER,
            "Accounts with at least one forced fill of a position that was below maintenance.",
            Visual.STAT,
            (Sql(f"SELECT uniqExact(account) AS accounts FROM desk_liquidations WHERE {IN_RANGE} AND {OF_INSTRUMENT} AND {_LOST}"),),
            (TO_MARKET,),
            width=6,
            height=4,
        ),
        Panel(
            "Notional liquidated",
            Unit.NUMBER,
            "Sum of quotes of the forced fills of liquidated accounts, in the settlement asset.",
            Visual.STAT,
            (Sql(f"SELECT sum(notional) AS notional FROM desk_liquidations WHERE {IN_RANGE} AND {OF_INSTRUMENT} AND {_LOST}"),),
            (TO_FUND,),
            width=6,
            height=4,
        ),
        Panel(
            "Slippage, 95th percentile",
            Unit.PPM,
            "How much worse than the mark of their instruction 5 % of the liquidation fills were, in millionths of the value at mark.",
            Visual.STAT,
            (
                Sql(
                    f"""
                    SELECT if(count() = 0, NULL, quantileExact(0.95)(toFloat64(ifNull(slippage_ppm, 0)))) AS slippage FROM desk_liquidations
                    WHERE {IN_RANGE} AND {OF_INSTRUMENT} AND {_LOST} AND kind = 'LIQUIDATION'
                    """
                ),
            ),
            (TO_MARKET,),
            width=6,
            height=4,
        ),
        Panel(
            "Orders filled in full",
            Unit.RATIO,
            "Share of liquidation orders that the market took whole; what it did not take goes to the pool.",
            Visual.STAT,
            (
                Sql(f"""
                 SELECT countIf(outcome = 'FILLED') / nullIf(count(), 0) AS filled FROM instruction_results FINAL
                 WHERE {IN_RANGE} AND kind = 'LIQUIDATE'
                 """),
            ),
            (TO_FUND,),
            width=6,
            height=4,
        ),
    ),
)

COURSE = Row(
    "Course",
    (
        Panel(
            "Forced notional by kind",
            Unit.NUMBER,
            "Notional of forced fills in each interval by what forced them; deleveraged counterparties are counted on the ADL board.",
            Visual.TIME_SERIES,
            (
                Sql(
                    f"""
                    SELECT $__timeInterval(event_time) AS time, toString(kind) AS kind, sum(notional) AS notional FROM desk_liquidations
                    WHERE {IN_RANGE} AND {OF_INSTRUMENT} AND {_LOST} GROUP BY time, kind ORDER BY time, kind
                    """,
                    Shape.SERIES,
                ),
            ),
            (TO_ADL, TO_FUND),
            legend="${__field.labels.kind}",
            stacked=True,
            bars=True,
        ),
        Panel(
            "Forced fills by instrument",
            Unit.NUMBER,
            "Number of forced fills of liquidated accounts in each interval.",
            Visual.TIME_SERIES,
            (
                Sql(
                    f"""
                    SELECT $__timeInterval(event_time) AS time, symbol, count() AS fills FROM desk_liquidations
                    WHERE {IN_RANGE} AND {OF_INSTRUMENT} AND {_LOST} GROUP BY time, instrument, symbol ORDER BY time, symbol
                    """,
                    Shape.SERIES,
                ),
            ),
            (TO_MARKET,),
            legend=BY_SYMBOL,
            stacked=True,
            bars=True,
        ),
        Panel(
            "Slippage by instrument and side",
            Unit.PPM,
            "Median, 95th percentile and worst slippage of forced fills against the mark of their instruction; positive is worse than the mark.",
            Visual.TABLE,
            (
                Sql(
                    f"""
                    SELECT symbol AS Instrument, if(lots < 0, 'sold', 'bought') AS Side, count() AS Fills, toString(sum(notional)) AS Notional,
                      quantileExact(0.5)(slip) AS Median, quantileExact(0.95)(slip) AS `95th percentile`, max(slip) AS Worst
                    FROM (SELECT instrument, symbol, lots, notional, toFloat64(ifNull(slippage_ppm, 0)) AS slip FROM desk_liquidations
                      WHERE {IN_RANGE} AND {OF_INSTRUMENT} AND {_LOST})
                    GROUP BY instrument, Instrument, Side ORDER BY sum(notional) DESC, Instrument, Side LIMIT 200
                    """
                ),
            ),
            (TO_MARKET,),
            columns=(Column("Fills", Unit.NUMBER),),
        ),
        Panel(
            "What became of instructions",
            Unit.NUMBER,
            "Instructions by kind and outcome: partial and unfilled ones are what the market or a counterparty did not take.",
            Visual.BAR_CHART,
            (
                Sql(
                    f"""
                    SELECT toString(kind) AS kind, countIf(outcome = 'FILLED') AS filled, countIf(outcome = 'PARTIAL') AS partial,
                      countIf(outcome = 'UNFILLED') AS unfilled, countIf(outcome IN ('REJECTED', 'EXPIRED')) AS refused
                    FROM instruction_results FINAL WHERE {IN_RANGE} GROUP BY kind ORDER BY kind
                    """
                ),
            ),
            (TO_ADL,),
            stacked=True,
        ),
    ),
)

TAPE = Row(
    "Tape",
    (
        Panel(
            "Liquidation tape",
            Unit.PLAIN,
            "Every forced fill, newest first, 1,000 at most: amounts to the last digit, slippage in millionths against the mark of the instruction.",
            Visual.TABLE,
            (
                Sql(
                    f"""
                    SELECT event_time AS Time, toString(kind) AS Kind, party AS Party, toString(account) AS Account, symbol AS Instrument,
                      toString(position_side) AS Leg, toString(lots) AS Lots, price_ticks AS Price, mark_ticks AS Mark,
                      toString(notional) AS Notional, toFloat64(slippage_ppm) AS Slippage, toString(instruction_id) AS Instruction
                    FROM desk_liquidations WHERE {IN_RANGE} AND {OF_INSTRUMENT} ORDER BY event_time DESC, instruction_id, account LIMIT 1000
                    """
                ),
            ),
            (TO_ADL,),
            width=24,
            height=12,
            cells=(CellLink("Account", "account", "account", "This account"),),
            columns=(Column("Time", Unit.TIME), Column("Slippage", Unit.PPM)),
        ),
    ),
)

NEXT = Row(
    "Who is next",
    (
        Panel(
            "Near liquidation",
            Unit.NUMBER,
            "Solvency groups by equity over maintenance, as they last reported: below 1 a group is liquidated, below 0 it is bankrupt.",
            Visual.BAR_CHART,
            (
                Sql(
                    """
                    SELECT bucket, sumIf(groups, state = 'HEALTHY') AS healthy, sumIf(groups, state = 'WARNING') AS warning,
                      sumIf(groups, state = 'LIQUIDATABLE') AS liquidatable, sumIf(groups, state = 'BANKRUPT') AS bankrupt
                    FROM desk_near_liquidation GROUP BY bucket, bucket_order ORDER BY bucket_order
                    """
                ),
            ),
            (TO_MARKET,),
            columns=(
                Column("healthy", colour="green"),
                Column("warning", colour="yellow"),
                Column("liquidatable", colour="orange"),
                Column("bankrupt", colour="red"),
            ),
            stacked=True,
        ),
        Panel(
            "Closest to liquidation",
            Unit.PLAIN,
            "Groups that are not flat, nearest first, 100 at most: equity over maintenance as last reported. A group reports when its state changes.",
            Visual.TABLE,
            (
                Sql(
                    """
                    SELECT event_time AS Time, toString(account) AS Account, group_symbol AS `Group`, toString(state) AS State,
                      margin_ratio AS Ratio, toString(equity) AS Equity, toString(maintenance) AS Maintenance, asset_symbol AS Asset
                    FROM desk_account_states WHERE maintenance > 0 ORDER BY margin_ratio, account LIMIT 100
                    """
                ),
            ),
            (TO_MARKET,),
            cells=(CellLink("Account", "account", "account", "This account"),),
            columns=(Column("State", colours=GROUP_WORDS), Column("Time", Unit.TIME), Column("Ratio", Unit.PLAIN)),
        ),
    ),
)

LIQUIDATIONS = Board(
    "liquidations",
    "Liquidations",
    "Forced fills as they happen, their slippage, and the groups that come next.",
    (POOLS, INSTRUMENTS),
    (SUMS, COURSE, TAPE, NEXT),
)
