"""Every metric in one typed table, on a registry of its own. Labels are bounded (task, shard, pool, instrument, topic, reason): never an account."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from streams import __version__
from streams.domain.batch import Outputs
from streams.domain.events import AdlState, DeadLetterReason, InstructionKind

PREFIX = "backstop_"


class Kind(Enum):
    """What a metric is to Prometheus; counters carry `_total` in their exposed name."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: name without the prefix, kind, what it says, labels, and bucket bounds where it is a histogram."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
SHARD = ("task", "shard")

TABLE: tuple[Metric, ...] = (
    Metric("steps", Kind.COUNTER, "Steps committed.", SHARD),
    Metric("events_processed", Kind.COUNTER, "Input records applied.", SHARD),
    Metric("step_duration_seconds", Kind.HISTOGRAM, "Wall time of one step in the machine.", SHARD, SECONDS),
    Metric("commit_duration_seconds", Kind.HISTOGRAM, "Wall time of the commit of one step.", SHARD, SECONDS),
    Metric("gate_waiting_records", Kind.GAUGE, "Records that wait until what comes before them in time has arrived.", SHARD),
    Metric("consumer_lag_records", Kind.GAUGE, "Records written, readable or not, that the shard has not taken.", SHARD),
    Metric("consumer_lag_seconds", Kind.GAUGE, "Wall clock less the event time reached while records wait to be taken; 0 when none do.", SHARD),
    Metric("input_held_back_seconds", Kind.GAUGE, "For how long an open transaction has held back an input; the longest, 0 when none is.", SHARD),
    Metric("shard_running", Kind.GAUGE, "1 while the shard runs here, else 0.", SHARD),
    Metric("takeovers_of_shards", Kind.COUNTER, "Times the shard was taken over, by where its state came from.", (*SHARD, "origin")),
    Metric("takeover_seconds", Kind.HISTOGRAM, "From the fencing of earlier owners to the first read.", SHARD, SECONDS),
    Metric("fences", Kind.COUNTER, "Times a newer owner, or a transaction time-out, fenced the shard here.", SHARD),
    Metric("standby_step", Kind.GAUGE, "Step that the standby of the shard has verified; -1 when it is of no use.", SHARD),
    Metric("digest_mismatches", Kind.COUNTER, "Times a standby came to something else than the owner had journaled. Alert on any.", SHARD),
    Metric("event_age_seconds", Kind.GAUGE, "Wall clock less the event time the shard has reached.", SHARD),
    Metric("dead_letters", Kind.COUNTER, "Records that could not be applied, by reason.", ("reason",)),
    Metric("dead_letters_this_minute", Kind.GAUGE, "Dead letters of the event-minute under way; an alarm is raised above the limit.", SHARD),
    Metric("mark_timestamp_seconds", Kind.GAUGE, "Event time of the newest mark of the instrument that was not frozen.", ("instrument",)),
    Metric("suspect_accounts", Kind.GAUGE, "Accounts that cannot be valued, as last published by the shard.", ("shard",)),
    Metric(
        "conservation_violations",
        Kind.GAUGE,
        "Sums over all shards, of money and of each instrument's lots, that are proven to be off zero now.",
        ("asset",),
    ),
    Metric("insurance_fund_value", Kind.GAUGE, "Value of the fund at mark, less what is reserved; settlement units.", ("pool",)),
    Metric("pool_in_adl", Kind.GAUGE, "1 while the instrument is in ADL in this pool, else 0.", ("pool", "instrument")),
    Metric("insolvencies", Kind.COUNTER, "Insolvent positions handed to the pool.", ("pool",)),
    Metric("liquidations", Kind.COUNTER, "Liquidation orders instructed.", ("instrument",)),
    Metric("takeovers", Kind.COUNTER, "Takeovers by the fund instructed.", ("instrument",)),
    Metric("adl_waves", Kind.COUNTER, "ADL waves opened.", ("instrument",)),
    Metric("adl_executions", Kind.COUNTER, "Positions deleveraged.", ("instrument",)),
    Metric("alarms", Kind.COUNTER, "Alarms raised, by name.", ("task", "alarm", "severity", "kind")),
    Metric("lasting_alarms", Kind.GAUGE, "Cases of what an alarm speaks of that last now, by what it is about.", (*SHARD, "alarm", "severity", "of")),
    Metric("lasting_alarm_timestamp_seconds", Kind.GAUGE, "When the oldest of these cases began, where that is known.", (*SHARD, "alarm", "of")),
    Metric("undecodable_records", Kind.COUNTER, "Records that a view could not decode; counted, logged and passed over.", ("topic",)),
    Metric("notifications", Kind.COUNTER, "Notifications written.", ("severity",)),
    Metric("sink_rows", Kind.COUNTER, "Rows inserted into ClickHouse.", ("topic",)),
    Metric("sink_blocks", Kind.COUNTER, "Blocks inserted into ClickHouse.", ("topic",)),
    Metric("sink_retries", Kind.COUNTER, "Times a block was sent again because ClickHouse did not answer or could not take it then.", ("topic",)),
    Metric("sink_lag_records", Kind.GAUGE, "Readable offsets of the topic that are not in ClickHouse.", ("topic",)),
    Metric("sink_lag_seconds", Kind.GAUGE, "Wall clock less the timestamp of the oldest record waiting for its insert; else 0.", ("topic",)),
    Metric("sink_connected", Kind.GAUGE, "1 while ClickHouse takes what the sink sends, else 0."),
    Metric("build_info", Kind.GAUGE, "Constant 1; the version is a label.", ("version",)),
)


class Labelled(Protocol):
    """The part of a prometheus-client metric that this project uses."""

    def labels(self, *values: str) -> Any:
        """The child of these label values."""

    def remove(self, *values: str) -> None:
        """Drop the child of these label values, if there is one."""

    def clear(self) -> None:
        """Drop all children."""


class Metrics:
    """All metrics of one process. A dedicated registry: two of them in one process do not collide, and no library adds to it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._metrics: dict[str, Labelled] = {metric.name: self._register(metric) for metric in TABLE}
        self._labels = {metric.name: metric.labels for metric in TABLE}
        self.set("build_info", 1, version=__version__)

    def _register(self, metric: Metric) -> Labelled:
        name = PREFIX + metric.name
        match metric.kind:
            case Kind.COUNTER:
                return Counter(name, metric.help, metric.labels, registry=self.registry)
            case Kind.GAUGE:
                return Gauge(name, metric.help, metric.labels, registry=self.registry)
            case Kind.HISTOGRAM:
                return Histogram(name, metric.help, metric.labels, buckets=metric.buckets, registry=self.registry)

    def _child(self, name: str, labels: Mapping[str, object]) -> Any:
        values = [str(labels[label]) for label in self._labels[name]]
        return self._metrics[name].labels(*values) if values else self._metrics[name]

    def add(self, name: str, amount: float = 1, **labels: object) -> None:
        """Count up. Raises KeyError for a name or label that is not in the table."""
        self._child(name, labels).inc(amount)

    def set(self, name: str, value: float, **labels: object) -> None:
        """Set a gauge."""
        self._child(name, labels).set(value)

    def observe(self, name: str, value: float, **labels: object) -> None:
        """Add one observation to a histogram."""
        self._child(name, labels).observe(value)

    def value(self, name: str, **labels: object) -> float:
        """What is exposed now for a counter or gauge; 0 before anything was said."""
        exposed = PREFIX + name + ("_total" if isinstance(self._metrics[name], Counter) else "")
        found = self.registry.get_sample_value(exposed, {key: str(value) for key, value in labels.items()})
        return 0.0 if found is None else found

    def forget(self, name: str, **labels: object) -> None:
        """Expose no longer what was said: one child, or all of them without labels. What nobody corrects any more must not go on standing there."""
        if labels:
            self._metrics[name].remove(*(str(labels[label]) for label in self._labels[name]))
        else:
            self._metrics[name].clear()

    def serve(self, port: int, *, bind: str = "127.0.0.1") -> None:
        """Expose at this address in a thread of its own. Raises OSError when the port cannot be opened."""
        start_http_server(port, addr=bind, registry=self.registry)


def count_outputs(metrics: Metrics, outputs: Outputs) -> None:
    """Count what one committed step said; its alarms are told apart from it."""
    for stream, rows in outputs.rows.items():
        for _, row in rows:
            _count_row(metrics, stream, row)
    for refusal in outputs.refusals:
        metrics.add("dead_letters", reason=refusal.reason.name)


def _count_row(metrics: Metrics, stream: str, row: Mapping[str, Any]) -> None:
    match stream:
        case "instructions":
            name = {InstructionKind.LIQUIDATE: "liquidations", InstructionKind.TAKEOVER: "takeovers"}.get(row["kind"])
            if name is not None:
                metrics.add(name, instrument=row["instrument"])
        case "dead-letters":  # said apart from their record
            metrics.add("dead_letters", reason=DeadLetterReason(row["reason"]).name)
        case "adl-probes":
            metrics.add("adl_waves", instrument=row["instrument"])
        case "adl-executions":
            if row["lots"]:  # an execution record with no lots says that the instruction was not carried out
                metrics.add("adl_executions", instrument=row["instrument"])
        case "insolvencies":
            metrics.add("insolvencies", pool=row["pool"])
        case "fund-ledger":
            metrics.set("insurance_fund_value", row["value_after"], pool=row["pool"])
        case "pool-states":
            metrics.set("insurance_fund_value", row["value"], pool=row["pool"])
            metrics.set("pool_in_adl", int(row["state"] == AdlState.ADL), pool=row["pool"], instrument=row["instrument"])
        case "shard-totals":
            metrics.set("suspect_accounts", row["suspects"], shard=row["shard"])
        case _:
            pass
