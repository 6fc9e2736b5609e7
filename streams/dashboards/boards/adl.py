"""ADL: the waves of auto-deleveraging, the queue they went through, who was taken, and what other policies would have done."""

from streams.dashboards.boards.common import BY_SYMBOL, IN_RANGE, INSTRUMENTS, OF_MARKETS, POOLS, TO_FUND, TO_LIQUIDATIONS, TO_MARKET, TO_QUALITY
from streams.dashboards.model import Board, CellLink, Column, Panel, Row, Shape, Sql, Unit, Variable, Visual

WAVE = Variable(
    "wave",
    "Wave",
    "SELECT toString(wave_id) AS value, concat(symbol, ' ', toString(event_time), ' ', toString(lots_taken), ' lots') AS text FROM desk_waves\n"
    f"WHERE {IN_RANGE} AND {OF_MARKETS} ORDER BY executions DESC, event_time, wave_id LIMIT 1000",
    "One wave of the time range; those with most executions first.",
    many=False,
)
THE_WAVE = "wave_id = toInt64(${wave:singlequote})"

SUMS = Row(
    "In this time range",
    (
        Panel(
            "Waves",
            Unit.NUMBER,
            "Waves of deleveraging that ended in the time range.",
            Visual.STAT,
            (Sql(f"SELECT count() AS waves FROM desk_waves WHERE {IN_RANGE} AND {OF_MARKETS}"),),
            (TO_FUND,),
            width=6,
            height=4,
        ),
        Panel(
            "Accounts hit",
            Unit.NUMBER,
            "Different accounts with at least one position reduced.",
            Visual.STAT,
            (Sql(f"SELECT uniqExact(account) AS accounts FROM desk_ladder WHERE {IN_RANGE} AND {OF_MARKETS} AND lots > 0"),),
            (TO_LIQUIDATIONS,),
            width=3,
            height=4,
        ),
        Panel(
            "Given up by winners",
            Unit.NUMBER,
            "What the deleveraged gave up against the mark, in the settlement asset; what others of them gained is the figure beside it.",
            Visual.STAT,
            (Sql(f"SELECT sum(gave_up) AS given_up FROM desk_waves WHERE {IN_RANGE} AND {OF_MARKETS}"),),
            (TO_FUND,),
            width=3,
            height=4,
        ),
        Panel(
            "Gained by winners",
            Unit.NUMBER,
            "What the deleveraged gained against the mark, in the settlement asset: their price was better than the mark.",
            Visual.STAT,
            (Sql(f"SELECT sum(gained) AS gained FROM desk_waves WHERE {IN_RANGE} AND {OF_MARKETS}"),),
            (TO_FUND,),
            width=3,
            height=4,
        ),
        Panel(
            "Largest haircut",
            Unit.PPM,
            "Largest share of a position's profit that one of the deleveraged gave up, in millionths.",
            Visual.STAT,
            (Sql(f"SELECT if(count() = 0, NULL, max(largest_haircut_ppm)) AS haircut FROM desk_waves WHERE {IN_RANGE} AND {OF_MARKETS}"),),
            (TO_FUND,),
            width=3,
            height=4,
        ),
        Panel(
            "Taken beyond needed",
            Unit.NUMBER,
            "Overshoot in lots over all waves. Zero unless the exchange overfilled.",
            Visual.STAT,
            (Sql(f"SELECT sum(overshoot_lots) AS lots FROM desk_waves WHERE {IN_RANGE} AND {OF_MARKETS}"),),
            (TO_QUALITY,),
            width=3,
            height=4,
        ),
        Panel(
            "Without counterparty",
            Unit.NUMBER,
            "Residual in lots over all waves: asked for, but no candidate was left to take it.",
            Visual.STAT,
            (Sql(f"SELECT sum(residual_lots) AS lots FROM desk_waves WHERE {IN_RANGE} AND {OF_MARKETS}"),),
            (TO_FUND,),
            width=3,
            height=4,
        ),
    ),
)

WAVES = Row(
    "Waves",
    (
        Panel(
            "Positions deleveraged",
            Unit.NUMBER,
            "Executions of waves in each interval by instrument.",
            Visual.TIME_SERIES,
            (
                Sql(
                    f"""
                    SELECT $__timeInterval(event_time) AS time, symbol, countIf(lots > 0) AS positions FROM desk_ladder
                    WHERE {IN_RANGE} AND {OF_MARKETS} GROUP BY time, instrument, symbol ORDER BY time, symbol
                    """,
                    Shape.SERIES,
                ),
            ),
            (TO_LIQUIDATIONS,),
            legend=BY_SYMBOL,
            stacked=True,
            bars=True,
        ),
        Panel(
            "Given up and gained by winners",
            Unit.NUMBER,
            "What the deleveraged gave up and what they gained against the mark in each interval, by instrument, in the settlement asset.",
            Visual.TIME_SERIES,
            (
                Sql(
                    f"""
                    SELECT $__timeInterval(event_time) AS time, symbol, sum(gave_up) AS given_up, sum(gained) AS gained FROM desk_waves
                    WHERE {IN_RANGE} AND {OF_MARKETS} GROUP BY time, instrument, symbol ORDER BY time, symbol
                    """,
                    Shape.SERIES,
                ),
            ),
            (TO_FUND,),
            legend="${__field.name} ${__field.labels.symbol}",
            stacked=True,
            bars=True,
        ),
        Panel(
            "Waves of the range",
            Unit.PLAIN,
            "One line a wave, newest first, 500 at most; its number shows it below. Lots, amounts to the last digit, haircut in millionths.",
            Visual.TABLE,
            (
                Sql(
                    f"""
                    SELECT event_time AS Time, toString(wave_id) AS Wave, symbol AS Instrument, toString(side) AS Side, toString(policy_id) AS Policy,
                      toString(lots_needed) AS Needed, toString(lots_taken) AS Taken, toString(residual_lots) AS Residual,
                      toString(overshoot_lots) AS Overshoot, executions AS Executions, accounts_hit AS Accounts, candidates_total AS Candidates,
                      toString(notional) AS Notional, toString(gave_up) AS `Given up`, toString(gained) AS Gained,
                      toFloat64(largest_haircut_ppm) AS Haircut,
                      inversions AS Inversions
                    FROM desk_waves WHERE {IN_RANGE} AND {OF_MARKETS} ORDER BY event_time DESC, wave_id LIMIT 500
                    """
                ),
            ),
            (TO_FUND,),
            width=24,
            height=10,
            cells=(CellLink("Wave", "adl", "wave", "This wave"),),
            columns=(Column("Time", Unit.TIME), Column("Haircut", Unit.PPM)),
        ),
    ),
)

ONE_WAVE = Row(
    "The wave chosen",
    (
        Panel(
            "Ladder",
            Unit.PLAIN,
            "Who stood where in the queue and what was taken, first to last. Rank 1 is first; higher percentile and more lights mean sooner.",
            Visual.TABLE,
            (
                Sql(
                    f"""
                    SELECT toInt64(rank) AS Rank, of_n AS Of, toString(account) AS Account, toString(position_side) AS Leg, lights AS Lights,
                      toFloat64(percentile_accounts_ppm) AS Percentile, toString(lots_ahead) AS Ahead, toString(position_lots) AS Position,
                      toString(instructed_lots) AS Instructed, toString(lots) AS Taken, toString(gave_up) AS `Gave up`,
                      toString(gained) AS Gained, toFloat64(haircut_ppm) AS Haircut, toString(liquidated_account) AS `Taken for`, reason AS Reason
                    FROM desk_ladder WHERE {THE_WAVE} ORDER BY rank, account, instruction_id LIMIT 500
                    """
                ),
            ),
            (TO_LIQUIDATIONS,),
            width=24,
            height=10,
            cells=(CellLink("Account", "account", "account", "This account"), CellLink("Taken for", "account", "account", "The liquidated account")),
            columns=(Column("Percentile", Unit.PPM), Column("Haircut", Unit.PPM)),
        ),
        Panel(
            "Queue",
            Unit.PLAIN,
            "Candidates offered to the wave by score, first to last, 200 at most: those that were taken and those that were passed over.",
            Visual.TABLE,
            (
                Sql(
                    f"""
                    SELECT row_number() OVER (ORDER BY score DESC, account, position_side) AS Place, toString(account) AS Account,
                      toString(position_side) AS Leg, toFloat64(score) AS Score, toString(lots) AS Lots, toString(offered_lots) AS Offered,
                      toString(taken_lots) AS Taken
                    FROM desk_candidates WHERE {THE_WAVE} ORDER BY Place LIMIT 200
                    """
                ),
            ),
            (TO_LIQUIDATIONS,),
            height=10,
            cells=(CellLink("Account", "account", "account", "This account"),),
        ),
        Panel(
            "Queue by quintile",
            Unit.NUMBER,
            "Lots of the wave's candidates by fifth of the queue, 1 the first to be taken, beside the lots taken of them.",
            Visual.BAR_CHART,
            (
                Sql(
                    f"""
                    SELECT toString(quintile) AS quintile, sum(lots) AS lots, sum(taken_lots) AS taken FROM desk_queue_quintiles
                    WHERE {THE_WAVE} GROUP BY quintile ORDER BY quintile
                    """
                ),
            ),
            (TO_MARKET,),
            height=10,
        ),
        Panel(
            "Policies side by side",
            Unit.PLAIN,
            "The policy in force beside shadow policies over the same candidates: largest share of a position taken, and how unequal the shares are.",
            Visual.TABLE,
            (
                Sql(
                    f"""
                    SELECT toString(policy) AS Policy, lower(role) AS Role, accounts_hit AS Accounts, toString(lots) AS Lots,
                      toFloat64(largest_share_ppm) AS `Largest share`, toFloat64(gini_ppm) AS Gini
                    FROM desk_policy_comparison WHERE {THE_WAVE} ORDER BY policy
                    """
                ),
            ),
            (TO_FUND,),
            width=24,
            height=6,
            columns=(Column("Largest share", Unit.PPM), Column("Gini", Unit.PPM)),
        ),
    ),
)

WHO = Row(
    "Who was hit",
    (
        Panel(
            "Accounts most hit",
            Unit.PLAIN,
            "Accounts by what they gave up against the mark in the time range, 200 at most; amounts to the last digit.",
            Visual.TABLE,
            (
                Sql(
                    f"""
                    SELECT toString(account) AS Account, count() AS Times, uniqExact(instrument) AS Instruments, toString(sum(gave_up)) AS `Gave up`,
                      toString(sum(gained)) AS Gained, toFloat64(max(haircut_ppm)) AS `Largest haircut`, min(rank) AS `Best rank`
                    FROM desk_ladder WHERE {IN_RANGE} AND {OF_MARKETS} AND lots > 0
                    GROUP BY account ORDER BY sum(gave_up) DESC, account LIMIT 200
                    """
                ),
            ),
            (TO_LIQUIDATIONS,),
            cells=(CellLink("Account", "account", "account", "This account"),),
            columns=(Column("Largest haircut", Unit.PPM),),
        ),
        Panel(
            "Policies over all waves",
            Unit.PLAIN,
            "Means over the waves of the range by policy. A shadow ranking is known only for waves in which it is certain: compare their number.",
            Visual.TABLE,
            (
                Sql(
                    f"""
                    SELECT toString(policy) AS Policy, lower(role) AS Role, count() AS Waves, avg(toFloat64(accounts_hit)) AS Accounts,
                      avg(toFloat64(largest_share_ppm)) AS `Largest share`, avg(toFloat64(gini_ppm)) AS Gini
                    FROM desk_policy_comparison WHERE {IN_RANGE} AND {OF_MARKETS} GROUP BY policy, role ORDER BY Role DESC, Policy
                    """
                ),
            ),
            (TO_FUND,),
            columns=(Column("Largest share", Unit.PPM), Column("Gini", Unit.PPM)),
        ),
    ),
)

ADL = Board(
    "adl",
    "ADL",
    "Waves, the queue they went through, who was taken, and what other policies would have done.",
    (POOLS, INSTRUMENTS, WAVE),
    (SUMS, WAVES, ONE_WAVE, WHO),
)
