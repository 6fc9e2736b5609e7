"""Every stream in one table: schema, key, partitioning, who writes and reads it, how long it is kept.

Names here are stream names; a topic on a broker is `<deployment>.<stream>`. Partitioning:
ACCOUNT = as many partitions as `fills`, the partition the exchange chose for the account; SHARD = one per accounts shard; ONE = a single partition.
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
    """One stream. `tie` orders records of one event time within the stream before partition and offset do (pools task only)."""

    name: str
    schema: str
    key: Key
    partitioning: Partitioning
    written_by: Literal["exchange", "accounts", "pools", "engine", "notify"]
    retention_ms: int
    tie: tuple[str, ...] = ()

    @property
    def table(self) -> str:
        """Name of its ClickHouse table."""
        return self.name.replace("-", "_")


A, S, O = Partitioning.ACCOUNT, Partitioning.SHARD, Partitioning.ONE

# Inputs are kept for ever: brokers age segments by record timestamp, and replay needs every version of a parameter.
STREAMS: dict[str, Stream] = {
    s.name: s
    for s in (
        Stream("instruments", "instrument", "instrument", O, "exchange", FOREVER_MS),
        Stream("pools", "pool", "pool", O, "exchange", FOREVER_MS),
        Stream("marks", "mark", "instrument", O, "exchange", FOREVER_MS),
        Stream("fills", "fill", "account", A, "exchange", FOREVER_MS),
        Stream("account-updates", "account_update", "account", A, "exchange", FOREVER_MS),
        Stream("instruction-results", "instruction_result", "account", A, "exchange", FOREVER_MS, ("account", "instruction_id")),
        Stream("corrections", "correction", "account", A, "exchange", FOREVER_MS),
        Stream("instructions", "instruction", "account", A, "engine", FOREVER_MS),
        Stream("account-states", "account_state", "account", A, "accounts", FOREVER_MS),
        Stream("insolvencies", "insolvency", "pool", O, "accounts", FOREVER_MS, ("kind", "account", "instrument", "position_side")),
        Stream("fund-flows", "fund_flow", "pool", O, "accounts", FOREVER_MS, ("account", "account_seq")),
        Stream("adl-candidates", "adl_candidates", "pool", O, "accounts", FOREVER_MS, ("wave_id", "shard", "chunk")),
        Stream("shard-totals", "shard_totals", "asset", O, "accounts", FOREVER_MS, ("asset", "event_second", "shard")),
        Stream("adl-probes", "adl_probe", "instrument", O, "pools", FOREVER_MS),
        Stream("adl-decisions", "adl_decision", "instrument", O, "pools", FOREVER_MS),
        Stream("adl-waves", "adl_wave", "instrument", O, "pools", FOREVER_MS),
        Stream("adl-executions", "adl_execution", "instrument", O, "pools", FOREVER_MS),
        Stream("fund-ledger", "fund_ledger", "pool", O, "pools", FOREVER_MS),
        Stream("pool-states", "pool_state", "pool", O, "pools", FOREVER_MS),
        Stream("accounts-journal", "step_record", "shard", S, "engine", FOREVER_MS),
        Stream("pools-journal", "step_record", "shard", O, "engine", FOREVER_MS),
        Stream("dead-letters", "dead_letter", "source", O, "engine", WEEK_MS),
        Stream("notifications", "notification", "account", O, "notify", WEEK_MS),
    )
}

# Order of streams at one event time.
ACCOUNTS_READS = ("instruments", "pools", "account-updates", "fills", "instruction-results", "corrections", "adl-decisions", "marks", "adl-probes")
POOLS_READS = ("instruments", "pools", "marks", "fund-flows", "instruction-results", "insolvencies", "adl-candidates", "shard-totals")
EXCHANGE_STREAMS = tuple(s.name for s in STREAMS.values() if s.written_by == "exchange")
JOURNALS = {"accounts": "accounts-journal", "pools": "pools-journal"}


def partition_count(stream: str, *, account_partitions: int, shards: int) -> int:
    """How many partitions a stream has in a deployment."""
    return {A: account_partitions, S: shards, O: 1}[STREAMS[stream].partitioning]
