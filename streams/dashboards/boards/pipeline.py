"""Pipeline health: whether what the other boards show is fresh. Prometheus says how the workers are, the step records say what they did."""

from streams.dashboards.boards.common import IN_RANGE, TO_MARKET, TO_QUALITY
from streams.dashboards.model import Board, Column, Panel, Prom, Row, Shape, Sql, Step, Unit, Visual

_SHARD = "{{task}}-{{shard}}"
_QUANTILE = "histogram_quantile({q}, sum by (le, task) (rate(backstop_{name}_bucket[$__rate_interval])))"


def _quantiles(name: str) -> tuple[Prom, ...]:
    return tuple(Prom(_QUANTILE.format(q=q, name=name), f"{{{{task}}}} p{int(q * 100)}") for q in (0.5, 0.99))


WORKERS = Row(
    "Workers",
    (
        Panel(
            "Shards running",
            Unit.NUMBER,
            "Task shards that run on some worker now. Fewer than the deployment has means that decisions wait.",
            Visual.STAT,
            (Prom("sum(backstop_shard_running)", "running", instant=True),),
            (TO_QUALITY,),
            width=6,
            height=4,
            steps=(Step(None, "red"), Step(1, "green")),
        ),
        Panel(
            "Longest lag",
            Unit.SECONDS,
            "Wall clock less event time of the shard that is furthest behind, while records wait for it.",
            Visual.STAT,
            (Prom("max(backstop_consumer_lag_seconds)", "lag", instant=True),),
            (TO_QUALITY,),
            width=6,
            height=4,
            steps=(Step(None, "green"), Step(2, "orange"), Step(10, "red")),
        ),
        Panel(
            "Events",
            Unit.PER_SECOND,
            "Input records applied per second, all shards.",
            Visual.STAT,
            (Prom("sum(rate(backstop_events_processed_total[$__rate_interval]))", "events", instant=True),),
            (TO_MARKET,),
            width=6,
            height=4,
        ),
        Panel(
            "Versions",
            Unit.NUMBER,
            "Different versions of the program among the workers. More than one outside an upgrade is a mistake.",
            Visual.STAT,
            (Prom("count(count by (version) (backstop_build_info))", "versions", instant=True),),
            (TO_QUALITY,),
            width=6,
            height=4,
            steps=(Step(None, "green"), Step(2, "orange")),
        ),
        Panel(
            "Lag by shard",
            Unit.SECONDS,
            "How far the decisions of each shard are behind the exchange while records wait.",
            Visual.TIME_SERIES,
            (Prom("max by (task, shard) (backstop_consumer_lag_seconds)", _SHARD),),
            (TO_QUALITY,),
        ),
        Panel(
            "Records waiting",
            Unit.NUMBER,
            "Readable records not taken, and records that wait at the gate until every shard has spoken of their time.",
            Visual.TIME_SERIES,
            (
                Prom("max by (task, shard) (backstop_consumer_lag_records)", f"{_SHARD} lag"),
                Prom("max by (task, shard) (backstop_gate_waiting_records)", f"{_SHARD} gate"),
            ),
            (TO_QUALITY,),
        ),
        Panel(
            "Step in the machine",
            Unit.SECONDS,
            "Wall time of one step in the machine: median and 99th percentile by task.",
            Visual.TIME_SERIES,
            _quantiles("step_duration_seconds"),
            (TO_MARKET,),
        ),
        Panel(
            "Commit of a step",
            Unit.SECONDS,
            "Wall time of the transaction of one step: median and 99th percentile by task.",
            Visual.TIME_SERIES,
            _quantiles("commit_duration_seconds"),
            (TO_MARKET,),
        ),
        Panel(
            "Take-overs and fences",
            Unit.NUMBER,
            "Shards taken over and owners fenced in each interval; a few around a deployment, none otherwise.",
            Visual.TIME_SERIES,
            (
                Prom("sum by (task, origin) (increase(backstop_takeovers_of_shards_total[$__rate_interval]))", "{{task}} from {{origin}}"),
                Prom("sum by (task) (increase(backstop_fences_total[$__rate_interval]))", "{{task}} fenced"),
            ),
            (TO_QUALITY,),
            bars=True,
        ),
        Panel(
            "Time of a take-over",
            Unit.SECONDS,
            "From the fencing of earlier owners to the first read, state restored: median and 99th percentile by task.",
            Visual.TIME_SERIES,
            _quantiles("takeover_seconds"),
            (TO_QUALITY,),
        ),
        Panel(
            "Event age",
            Unit.SECONDS,
            "Wall clock less the event time each shard has reached, idle time of the exchange included.",
            Visual.TIME_SERIES,
            (Prom("max by (task, shard) (backstop_event_age_seconds)", _SHARD),),
            (TO_MARKET,),
        ),
        Panel(
            "Alarms",
            Unit.NUMBER,
            "Alarms raised in each interval, by severity, task and name: events, and states that began.",
            Visual.TIME_SERIES,
            (Prom("sum by (severity, task, alarm) (increase(backstop_alarms_total[$__rate_interval])) > 0", "{{severity}} {{task}} {{alarm}}"),),
            (TO_QUALITY,),
            bars=True,
        ),
        Panel(
            "Alarms that last",
            Unit.NUMBER,
            "Cases of what alarms of states speak of, by severity, shard and name, for as long as they last. Empty: nothing does.",
            Visual.TIME_SERIES,
            (
                Prom(
                    "max by (severity, task, shard, alarm, of) (backstop_lasting_alarms)",
                    f"{{{{severity}}}} {_SHARD} {{{{alarm}}}} {{{{of}}}}",
                ),
            ),
            (TO_QUALITY,),
        ),
        Panel(
            "Notifications",
            Unit.NUMBER,
            "Notifications written in each interval by severity. Delivery is the reader's, and is not counted here.",
            Visual.TIME_SERIES,
            (Prom("sum by (severity) (increase(backstop_notifications_total[$__rate_interval]))", "{{severity}}"),),
            (TO_MARKET,),
            bars=True,
        ),
        Panel(
            "Standbys",
            Unit.NUMBER,
            "Step that the standby of each shard has verified; -1 where it is of no use.",
            Visual.TIME_SERIES,
            (Prom("max by (task, shard) (backstop_standby_step)", _SHARD),),
            (TO_QUALITY,),
        ),
    ),
)

STEPS = Row(
    "Steps on record",
    (
        Panel(
            "Records taken",
            Unit.NUMBER,
            "Records that the steps of each interval of event time took, by task shard, from the step records.",
            Visual.TIME_SERIES,
            (
                Sql(
                    f"""
                    SELECT $__timeInterval(event_time) AS time, concat(toString(task), '-', toString(shard)) AS shard_name, sum(records) AS records
                    FROM desk_steps WHERE {IN_RANGE} GROUP BY time, shard_name ORDER BY time, shard_name
                    """,
                    Shape.SERIES,
                ),
            ),
            (TO_QUALITY,),
            legend="${__field.labels.shard_name}",
            stacked=True,
            bars=True,
        ),
        Panel(
            "Records said",
            Unit.NUMBER,
            "Records that the steps of each interval of event time wrote, by task shard.",
            Visual.TIME_SERIES,
            (
                Sql(
                    f"""
                    SELECT $__timeInterval(event_time) AS time, concat(toString(task), '-', toString(shard)) AS shard_name, sum(outputs) AS outputs
                    FROM desk_steps WHERE {IN_RANGE} GROUP BY time, shard_name ORDER BY time, shard_name
                    """,
                    Shape.SERIES,
                ),
            ),
            (TO_QUALITY,),
            legend="${__field.labels.shard_name}",
            stacked=True,
            bars=True,
        ),
        Panel(
            "Results held",
            Unit.NUMBER,
            "Instruction results that wait for their fills after each step; should return to 0.",
            Visual.TIME_SERIES,
            (
                Sql(
                    f"""
                    SELECT $__timeInterval(event_time) AS time, concat(toString(task), '-', toString(shard)) AS shard_name, max(held) AS held
                    FROM desk_steps WHERE {IN_RANGE} GROUP BY time, shard_name ORDER BY time, shard_name
                    """,
                    Shape.SERIES,
                ),
            ),
            (TO_QUALITY,),
            legend="${__field.labels.shard_name}",
        ),
        Panel(
            "Owners",
            Unit.PLAIN,
            "Who ran each shard in the time range, from which step to which, and in which generation.",
            Visual.TABLE,
            (
                Sql(
                    f"""
                    SELECT toString(task) AS Task, shard AS Shard, toString(owner) AS Owner, generation AS Generation, machine_version AS Machine,
                      min(step) AS `From step`, max(step) AS `To step`, sum(records) AS Records, max(event_time) AS `Last event`
                    FROM desk_steps WHERE {IN_RANGE} GROUP BY task, shard, owner, generation, machine_version
                    ORDER BY Task, Shard, `From step` LIMIT 500
                    """
                ),
            ),
            (TO_QUALITY,),
            columns=(Column("Last event", Unit.TIME),),
        ),
    ),
)

SINK = Row(
    "Sink",
    (
        Panel(
            "Since the last row",
            Unit.SECONDS,
            "Seconds since ClickHouse last took a step record. Grows when the sink, the workers or the exchange are silent.",
            Visual.STAT,
            (
                Sql(
                    """
                    SELECT dateDiff('second', max(ingested_at), now64(3)) AS seconds FROM accounts_journal
                    WHERE event_time > '1971-01-01' HAVING count() > 0
                    """
                ),
            ),
            (TO_QUALITY,),
            width=6,
            height=4,
        ),
        Panel(
            "ClickHouse takes rows",
            Unit.PLAIN,
            "1 while ClickHouse takes what the sink sends.",
            Visual.STAT,
            (Prom("min(backstop_sink_connected)", "connected", instant=True),),
            (TO_QUALITY,),
            width=6,
            height=4,
            steps=(Step(None, "red"), Step(1, "green")),
        ),
        Panel(
            "Sink behind",
            Unit.SECONDS,
            "Age of the oldest record that waits for its insert, over all topics.",
            Visual.STAT,
            (Prom("max(backstop_sink_lag_seconds)", "behind", instant=True),),
            (TO_QUALITY,),
            width=6,
            height=4,
            steps=(Step(None, "green"), Step(10, "orange"), Step(60, "red")),
        ),
        Panel(
            "Blocks sent again",
            Unit.NUMBER,
            "Blocks of the last hour that ClickHouse did not answer or could not take, so that they were sent again. They count once.",
            Visual.STAT,
            (Prom("sum(increase(backstop_sink_retries_total[1h]))", "again", instant=True),),
            (TO_QUALITY,),
            width=6,
            height=4,
        ),
        Panel(
            "Rows inserted",
            Unit.PER_SECOND,
            "Rows per second into ClickHouse by topic.",
            Visual.TIME_SERIES,
            (Prom("sum by (topic) (rate(backstop_sink_rows_total[$__rate_interval]))", "{{topic}}"),),
            (TO_QUALITY,),
        ),
        Panel(
            "Not yet in ClickHouse",
            Unit.NUMBER,
            "Readable offsets of each topic that are not in ClickHouse.",
            Visual.TIME_SERIES,
            (Prom("max by (topic) (backstop_sink_lag_records)", "{{topic}}"),),
            (TO_QUALITY,),
        ),
        Panel(
            "From event to table",
            Unit.SECONDS,
            "Median and 99th percentile of the time from a step's event time to its row in ClickHouse. Means nothing for a replay of another day.",
            Visual.TIME_SERIES,
            (
                Sql(
                    f"""
                    SELECT $__timeInterval(event_time) AS time, quantile(0.5)(delay) AS median, quantile(0.99)(delay) AS p99 FROM (
                      SELECT event_time, toFloat64(ingested_at) - toFloat64(event_time) AS delay FROM desk_steps
                      WHERE {IN_RANGE})
                    GROUP BY time ORDER BY time
                    """,
                    Shape.SERIES,
                ),
            ),
            (TO_QUALITY,),
            width=24,
        ),
    ),
)

PIPELINE = Board(
    "pipeline",
    "Pipeline health",
    "Whether what the other boards show is fresh and complete in time.",
    (),
    (WORKERS, STEPS, SINK),
)
