"""Every stream in one table: schema, key, partitioning, who writes and reads it, how long it is kept; and the topics that carry them.

A stream is one kind of record. A topic carries one stream, or several whose one order matters: what the exchange says of an account, what the
shard says of it, and what the pools task says to the shards. There the framing of a record names its stream (wire/kinds.py). On a broker it is
`<deployment>.<topic>`. Partitioning:
ACCOUNT = as many partitions as `account-events`, the partition the exchange chose for the account; SHARD = one per accounts shard; ONE = one.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Literal


class Partitioning(Enum):
    """How many partitions a stream has and which one a record takes."""

    ACCOUNT = "account"
    SHARD = "shard"
    ONE = "one"


Key = Literal["account", "instrument", "pool", "asset", "shard", "source"]
FOREVER_MS = -1
WEEK_MS = 7 * 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream. `tie` orders records of one event time within the stream before partition and offset do (pools task only).

    `retention_ms`: of its topic, by the timestamps of the records, which are event times; `rows_kept_ms`: of its rows in ClickHouse, from when they
    were inserted.
    """

    name: str
    schema: str
    key: Key
    partitioning: Partitioning
    written_by: Literal["exchange", "accounts", "pools", "engine", "notify"]
    retention_ms: int
    tie: tuple[str, ...] = ()
    carrier: str | None = None  # the topic that carries it beside others; None: one of its own name
    rows_kept_ms: int = FOREVER_MS

    @property
    def topic(self) -> str:
        """The topic that carries it."""
        return self.carrier or self.name

    @property
    def table(self) -> str:
        """Name of its ClickHouse table."""
        return self.name.replace("-", "_")


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic and the streams it carries; they share all of this."""

    name: str
    streams: tuple[str, ...]
    key: Key
    partitioning: Partitioning
    written_by: str
    retention_ms: int


ACCOUNT_EVENTS = "account-events"
ACCOUNT_STATES = "account-states"
WAVE_ROUNDS = "adl-rounds"
A, S, O = Partitioning.ACCOUNT, Partitioning.SHARD, Partitioning.ONE

# Inputs are kept for ever: brokers age segments by record timestamp, and replay needs every version of a parameter. So are dead letters: an account
# is SUSPECT as long as its letter is open, and a letter of an old record, or of one without a time, would be gone within minutes.
STREAMS: dict[str, Stream] = {
    s.name: s
    for s in (
        Stream("instruments", "instrument", "instrument", O, "exchange", FOREVER_MS),
        Stream("pools", "pool", "pool", O, "exchange", FOREVER_MS),
        Stream("marks", "mark", "instrument", O, "exchange", FOREVER_MS),
        Stream("fills", "fill", "account", A, "exchange", FOREVER_MS, carrier=ACCOUNT_EVENTS),
        Stream("account-updates", "account_update", "account", A, "exchange", FOREVER_MS, carrier=ACCOUNT_EVENTS),
        Stream("instruction-results", "instruction_result", "account", A, "exchange", FOREVER_MS, carrier=ACCOUNT_EVENTS),
        Stream("corrections", "correction", "account", A, "exchange", FOREVER_MS),
        Stream("instructions", "instruction", "account", A, "engine", FOREVER_MS),
        Stream("account-states", "account_state", "account", A, "accounts", FOREVER_MS),
        Stream("letter-closings", "letter_closing", "account", A, "accounts", FOREVER_MS, carrier=ACCOUNT_STATES),
        Stream("insolvencies", "insolvency", "pool", O, "accounts", FOREVER_MS, ("kind", "account", "instrument", "position_side")),
        Stream("fund-flows", "fund_flow", "pool", O, "accounts", FOREVER_MS, ("account", "account_seq")),
        Stream("pool-results", "instruction_result", "account", O, "accounts", FOREVER_MS, ("account", "instruction_id")),
        Stream("adl-candidates", "adl_candidates", "pool", O, "accounts", FOREVER_MS, ("wave_id", "shard", "chunk")),
        Stream("shard-totals", "shard_totals", "asset", O, "accounts", FOREVER_MS, ("asset", "event_second", "shard")),
        Stream("adl-probes", "adl_probe", "instrument", O, "pools", FOREVER_MS, carrier=WAVE_ROUNDS),
        Stream("adl-decisions", "adl_decision", "instrument", O, "pools", FOREVER_MS, carrier=WAVE_ROUNDS),
        Stream("adl-waves", "adl_wave", "instrument", O, "pools", FOREVER_MS),
        Stream("adl-executions", "adl_execution", "instrument", O, "pools", FOREVER_MS),
        Stream("fund-ledger", "fund_ledger", "pool", O, "pools", FOREVER_MS),
        Stream("pool-states", "pool_state", "pool", O, "pools", FOREVER_MS),
        Stream("accounts-journal", "step_record", "shard", S, "engine", FOREVER_MS),
        Stream("pools-journal", "step_record", "shard", O, "engine", FOREVER_MS),
        Stream("dead-letters", "dead_letter", "source", O, "engine", FOREVER_MS, rows_kept_ms=WEEK_MS),
        Stream("notifications", "notification", "account", O, "notify", WEEK_MS, rows_kept_ms=WEEK_MS),
    )
}


def _topics() -> dict[str, Topic]:
    carried: dict[str, list[Stream]] = {}
    for stream in STREAMS.values():
        carried.setdefault(stream.topic, []).append(stream)
    return {
        name: Topic(name, tuple(s.name for s in streams), *((f := streams[0]).key, f.partitioning, f.written_by, f.retention_ms))
        for name, streams in carried.items()
    }


TOPICS: dict[str, Topic] = _topics()

# Topics in their order at one event time.
ACCOUNTS_READS = ("instruments", "pools", ACCOUNT_EVENTS, "corrections", "marks", WAVE_ROUNDS)
POOLS_READS = ("instruments", "pools", "marks", "fund-flows", "pool-results", "insolvencies", "adl-candidates", "shard-totals")
EXCHANGE_TOPICS = tuple(topic.name for topic in TOPICS.values() if topic.written_by == "exchange")
EXCHANGE_STREAMS = tuple(s.name for s in STREAMS.values() if s.written_by == "exchange")
JOURNALS = {"accounts": "accounts-journal", "pools": "pools-journal"}


def partition_count(topic: str, *, account_partitions: int, shards: int) -> int:
    """How many partitions a topic has in a deployment."""
    return {A: account_partitions, S: shards, O: 1}[TOPICS[topic].partitioning]
