"""Alert rules as data: one query each, a number that must not be passed, how long, how bad, and the entry of the runbook that says what to do.

A ClickHouse query answers with a row for each pool, instrument or whatever it watches, always: no rows means that the tables are not there.
"""

from dataclasses import dataclass
from enum import Enum

from streams.dashboards.model import Board, Prom, Sql
from streams.domain.alarms import Severity

GROUP = "backstop"
INTERVAL_S = 30
RUNBOOK = "docs/runbook.md"


class NoData(Enum):
    """What it means that a query answers nothing, in Grafana's words."""

    OK = "OK"
    NO_DATA = "NoData"
    ALERTING = "Alerting"


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule: fires where `query` is above `above` for `for_s` seconds. `name` is its uid, and its entry of the runbook unless `entry` is.

    `panel` is the title of the panel of `board` to look at first. `window_s` is the time range that the query sees.
    """

    name: str
    title: str
    severity: Severity
    query: Sql | Prom
    above: float
    for_s: int
    window_s: int
    no_data: NoData
    summary: str
    description: str
    board: str
    panel: str
    entry: str = ""

    @property
    def uid(self) -> str:
        """The uid, fixed for good."""
        return f"backstop-{self.name}"

    @property
    def runbook(self) -> str:
        """The entry of the runbook."""
        return f"{RUNBOOK}#{self.entry or self.name}"


# Values stand in ledger entries and in changes of state; of one event time the change comes later.
_LATEST_VALUES = """
SELECT pool, argMax(value, (event_time, later, src_offset)) AS value_units FROM (
  SELECT pool, event_time, 0 AS later, src_offset, value_after AS value FROM fund_ledger
  UNION ALL SELECT pool, event_time, 1, src_offset, value FROM pool_states)
GROUP BY pool"""

ALERTS = (
    Alert(
        "pool-warning",
        "Pool near ADL",
        Severity.WARNING,
        Sql(
            f"SELECT toString(p.pool) AS pool, toFloat64(v.value_units < p.adl_stop_units) AS is_low\n"
            f"FROM desk_pools AS p INNER JOIN ({_LATEST_VALUES}) AS v ON v.pool = p.pool ORDER BY pool"
        ),
        above=0,
        for_s=0,
        window_s=600,
        no_data=NoData.NO_DATA,
        summary="The fund of pool {{ $labels.pool }} is worth less than its ADL stop threshold",
        description="What it may still lose before all its instruments enter ADL is shown on the board; below the stop it cannot leave ADL.",
        board="fund",
        panel="Above ADL start",
    ),
    Alert(
        "pool-adl",
        "Instrument in ADL",
        Severity.CRITICAL,
        Sql(
            """
            SELECT toString(s.pool) AS pool, any(i.symbol) AS symbol, toFloat64(argMax(s.state, (s.event_time, s.src_offset)) = 'ADL') AS in_adl
            FROM pool_states AS s INNER JOIN desk_instruments AS i ON i.instrument = s.instrument
            GROUP BY s.pool, s.instrument ORDER BY pool, symbol
            """
        ),
        above=0,
        for_s=0,
        window_s=600,
        no_data=NoData.OK,  # a pool without a change of state is in none
        summary="{{ $labels.symbol }} is in ADL in pool {{ $labels.pool }}",
        description="The pool takes nothing over there: what the market does not take is deleveraged, winners first.",
        board="fund",
        panel="State of each instrument",
    ),
    Alert(
        "sums-not-zero",
        "Sums not zero",
        Severity.CRITICAL,
        Sql(
            """
            SELECT asset, max(same) AS seconds FROM (
              SELECT asset_symbol AS asset, toFloat64(countIf(difference != 0 OR lots_difference != 0)) AS same
              FROM desk_conservation WHERE $__timeFilter_ms(event_time) GROUP BY asset, difference_units, lots_difference)
            GROUP BY asset ORDER BY asset
            """
        ),
        above=5,
        for_s=0,
        window_s=600,
        no_data=NoData.NO_DATA,
        summary="Money or lots of {{ $labels.asset }} do not cancel over all shards",
        description="More than 5 event seconds of the last 10 minutes are off by one amount: it was counted twice, lost, or is not in the books.",
        board="quality",
        panel="Money over all shards",
        entry="conservation_violated",
    ),
    Alert(
        "digest-mismatch",
        "Digest mismatch",
        Severity.CRITICAL,
        Sql(
            """
            SELECT toFloat64(count()) AS steps FROM (
              SELECT task, shard, step FROM desk_steps WHERE $__timeFilter_ms(event_time)
              GROUP BY task, shard, step HAVING uniqExact(state_digest) > 1 OR uniqExact(own_hash) > 1)
            """
        ),
        above=0,
        for_s=0,
        window_s=3600,
        no_data=NoData.ALERTING,
        summary="One step is on record with two digests",
        description="Two owners of a shard came to different results, or a record was changed: the log has forked. Trust no later decision.",
        board="quality",
        panel="Steps with two digests",
    ),
    Alert(
        "lag",
        "Decisions lag",
        Severity.CRITICAL,
        Prom("max by (task, shard) (backstop_consumer_lag_seconds)", "", instant=True),
        above=10,
        for_s=120,
        window_s=600,
        no_data=NoData.ALERTING,
        summary="Shard {{ $labels.task }}-{{ $labels.shard }} is more than 10 seconds behind the exchange",
        description="Records wait: liquidations and takeovers are decided on prices that have passed.",
        board="pipeline",
        panel="Lag by shard",
    ),
    Alert(
        "dead-letters",
        "Dead letters",
        Severity.WARNING,
        Sql("SELECT toFloat64(count()) AS letters FROM desk_dead_letters WHERE $__timeFilter_ms(event_time)"),
        above=0,
        for_s=0,
        window_s=600,
        no_data=NoData.NO_DATA,
        summary="Records could not be applied",
        description="Their accounts are suspect: they are neither liquidated nor taken for others until the record is corrected or let go.",
        board="quality",
        panel="Latest dead letters",
    ),
    Alert(
        "mark-frozen",
        "Mark frozen",
        Severity.CRITICAL,
        Sql(
            """
            SELECT symbol, toFloat64(argMax(toString(grade), (event_time, sequence)) = 'FROZEN') AS is_frozen
            FROM desk_marks WHERE $__timeFilter_ms(event_time) GROUP BY instrument, symbol ORDER BY symbol
            """
        ),
        above=0,
        for_s=30,
        window_s=120,
        no_data=NoData.NO_DATA,
        summary="The mark of {{ $labels.symbol }} is frozen",
        description="The exchange no longer stands behind this mark; what is valued on it is not decided.",
        board="quality",
        panel="Quality of marks",
    ),
    Alert(
        "sink-behind",
        "Sink behind",
        Severity.WARNING,
        Prom("max by (topic) (backstop_sink_lag_seconds)", "", instant=True),
        above=60,
        for_s=120,
        window_s=600,
        no_data=NoData.ALERTING,
        summary="ClickHouse is more than a minute behind on {{ $labels.topic }}",
        description="Boards show the past. Decisions do not depend on ClickHouse; check before acting on what a board shows.",
        board="pipeline",
        panel="Sink behind",
    ),
)


def panel_number(board: Board, title: str) -> int:
    """The id of a panel on its board: headings and panels are numbered in their order. Raises KeyError for an unknown title."""
    number = 0
    for row in board.rows:
        number += 1
        for panel in row.panels:
            number += 1
            if panel.title == title:
                return number
    raise KeyError(title)
