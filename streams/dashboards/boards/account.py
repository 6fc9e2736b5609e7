"""Account lookup: everything a support or risk desk needs to explain one account's day: its groups, forced fills, deleveraging and why, money."""

from streams.dashboards.boards.common import GROUP_WORDS, IN_RANGE, TO_ADL, TO_LIQUIDATIONS, TO_MARKET, TO_QUALITY
from streams.dashboards.model import Board, CellLink, Column, Panel, Row, Shape, Sql, Step, Unit, Variable, Visual

ACCOUNTS = Variable(
    "account",
    "Account",
    "SELECT toString(account) AS value FROM desk_liquidations\n"
    f"WHERE {IN_RANGE} AND party != 'FUND' GROUP BY account\n"
    "ORDER BY least(countIf(party = 'DELEVERAGED'), countIf(party = 'LIQUIDATED')) DESC, count() DESC, account LIMIT 1000",
    "An account. Offered are those with forced fills in the time range, but any number can be typed.",
    many=False,
)
IT = "account = toInt64(${account:singlequote})"

STATE = Row(
    "State",
    (
        Panel(
            "Solvency groups",
            Unit.PLAIN,
            "The groups of the account as they last reported: a group reports when its state changes, with the figures of that moment.",
            Visual.TABLE,
            (
                Sql(
                    f"""
                    SELECT event_time AS Time, group_symbol AS `Group`, ifNull(toString(group_side), '') AS Leg, toString(state) AS State,
                      if(isInfinite(margin_ratio), NULL, margin_ratio) AS Ratio, toString(equity) AS Equity, toString(maintenance) AS Maintenance,
                      asset_symbol AS Asset, symbol AS `Moved by`, toString(episode) AS Episode
                    FROM desk_account_states WHERE {IT} ORDER BY group_symbol, Leg
                    """
                ),
            ),
            (TO_LIQUIDATIONS,),
            columns=(Column("State", colours=GROUP_WORDS), Column("Time", Unit.TIME)),
        ),
        Panel(
            "Equity over maintenance",
            Unit.PLAIN,
            "Ratio of each group at its changes of state: below 1 it is liquidated, below 0 it is bankrupt.",
            Visual.TIME_SERIES,
            (
                Sql(
                    f"""
                    SELECT s.event_time AS time,
                      if(isNull(s.group_instrument), 'cross', concat(
                        if(empty(i.symbol), toString(assumeNotNull(s.group_instrument)), i.symbol), ' ', ifNull(toString(s.group_side), '')
                      )) AS solvency_group, toFloat64(s.equity) / nullIf(toFloat64(s.maintenance), 0) AS ratio
                    FROM (SELECT * FROM account_states FINAL WHERE {IT} AND {IN_RANGE}) AS s
                    LEFT JOIN desk_instruments AS i ON i.instrument = s.group_instrument
                    ORDER BY time, s.src_offset DESC LIMIT 1 BY time, solvency_group
                    """,
                    Shape.SERIES,
                ),
            ),
            (TO_LIQUIDATIONS,),
            steps=(Step(None, "red"), Step(1, "green")),
            legend="${__field.labels.solvency_group}",
        ),
    ),
)

FORCED = Row(
    "What was forced",
    (
        Panel(
            "Deleveraged",
            Unit.PLAIN,
            "Positions of this account that ADL reduced: place in the queue, what was taken, given up or gained, and the recorded reason.",
            Visual.TABLE,
            (
                Sql(
                    f"""
                    SELECT event_time AS Time, symbol AS Instrument, toString(wave_id) AS Wave, toInt64(rank) AS Rank, of_n AS Of, lights AS Lights,
                      toString(position_lots) AS Position, toString(lots) AS Taken, toString(gave_up) AS `Gave up`, toString(gained) AS Gained,
                      asset_symbol AS Asset, toFloat64(haircut_ppm) AS Haircut, toString(profit) AS Profit, toString(group_equity) AS Equity,
                      reason AS Reason
                    FROM desk_ladder WHERE {IT} AND {IN_RANGE} ORDER BY event_time DESC, instruction_id LIMIT 500
                    """
                ),
            ),
            (TO_ADL,),
            width=24,
            cells=(CellLink("Wave", "adl", "wave", "This wave"),),
            columns=(Column("Time", Unit.TIME), Column("Haircut", Unit.PPM)),
        ),
        Panel(
            "Forced fills",
            Unit.PLAIN,
            "Every forced fill of this account, newest first, 1,000 at most; amounts to the last digit, slippage in millionths of the value at mark.",
            Visual.TABLE,
            (
                Sql(
                    f"""
                    SELECT event_time AS Time, toString(kind) AS Kind, party AS Party, symbol AS Instrument, toString(lots) AS Lots,
                      price_ticks AS Price, mark_ticks AS Mark, toString(notional) AS Notional, toFloat64(slippage_ppm) AS Slippage,
                      toString(instruction_id) AS Instruction, toString(counter_account) AS `Counter-account`
                    FROM desk_liquidations WHERE {IT} AND {IN_RANGE} ORDER BY event_time DESC, instruction_id LIMIT 1000
                    """
                ),
            ),
            (TO_LIQUIDATIONS,),
            width=24,
            cells=(CellLink("Counter-account", "account", "account", "The counter-account"),),
            columns=(Column("Time", Unit.TIME), Column("Slippage", Unit.PPM)),
        ),
        Panel(
            "Instructions",
            Unit.PLAIN,
            "What Backstop asked the exchange to do to this account, and what came of it, newest first, 500 at most.",
            Visual.TABLE,
            (
                Sql(
                    f"""
                    SELECT n.event_time AS Time, toString(n.kind) AS Kind, toString(n.cause_kind) AS Cause, ifNull(toString(n.lots), '') AS Lots,
                      if(o.instruction_id = 0, 'no answer yet', toString(o.outcome)) AS Outcome, toString(o.executed_lots) AS Executed,
                      o.reason AS Reason, toString(n.instruction_id) AS Instruction
                    FROM (SELECT * FROM instructions FINAL WHERE {IT} AND {IN_RANGE}) AS n
                    LEFT JOIN (SELECT * FROM instruction_results FINAL WHERE {IT} AND {IN_RANGE}) AS o ON o.instruction_id = n.instruction_id
                    ORDER BY Time DESC, Instruction LIMIT 500
                    """
                ),
            ),
            (TO_ADL,),
            columns=(Column("Time", Unit.TIME),),
        ),
        Panel(
            "Traded",
            Unit.PLAIN,
            "Fills of this account by instrument, forced ones among them: lots, and quotes in the settlement asset, signed for the account.",
            Visual.TABLE,
            (
                Sql(
                    f"""
                    SELECT if(empty(any(i.symbol)), toString(f.instrument), any(i.symbol)) AS Instrument, count() AS Fills,
                      countIf(f.kind != 'TRADE') AS Forced,
                      toString(sumIf(f.lots, f.lots > 0)) AS Bought, toString(-sumIf(f.lots, f.lots < 0)) AS Sold, toString(sum(f.lots)) AS Net,
                      toString(toDecimal128(sum(f.quote), 8) / toDecimal128(intExp10(any(i.decimals)), 0)) AS Quote, any(i.asset_symbol) AS Asset
                    FROM (SELECT * FROM fills FINAL WHERE {IT} AND {IN_RANGE}) AS f
                    LEFT JOIN desk_instruments AS i ON i.instrument = f.instrument GROUP BY f.instrument ORDER BY Instrument
                    """
                ),
            ),
            (TO_MARKET,),
        ),
    ),
)

MONEY = Row(
    "Money",
    (
        Panel(
            "Balance updates",
            Unit.PLAIN,
            "What the exchange said of this account's balance, newest first, 500 at most: opening snapshots, deposits, fees, funding, covers; exact.",
            Visual.TABLE,
            (
                Sql(
                    f"""
                    SELECT u.event_time AS Time, toString(u.account_seq) AS Number, toString(u.kind) AS Kind,
                      toString(toDecimal128(u.amount, 8) / toDecimal128(intExp10(ifNull(a.decimals, 0)), 0)) AS Amount,
                      ifNull(toString(toDecimal128(u.wallet_after, 8) / toDecimal128(intExp10(ifNull(a.decimals, 0)), 0)), '') AS Wallet,
                      if(empty(a.symbol), toString(u.asset), a.symbol) AS Asset, ifNull(toString(u.lots), '') AS Lots
                    FROM (SELECT * FROM account_updates FINAL WHERE {IT} AND {IN_RANGE}) AS u
                    LEFT JOIN (SELECT asset, symbol, decimals FROM assets FINAL) AS a ON a.asset = u.asset
                    ORDER BY u.account_seq DESC, u.part LIMIT 500
                    """
                ),
            ),
            (TO_QUALITY,),
            width=24,
            columns=(Column("Time", Unit.TIME),),
        ),
    ),
)

ACCOUNT = Board(
    "account",
    "Account lookup",
    "One account: its groups, what was forced on it and why, its money.",
    (ACCOUNTS,),
    (STATE, FORCED, MONEY),
)
