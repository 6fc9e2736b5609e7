"""What a run came to, read from its log alone: counts, funds, pool states, and whether the sums over all shards are zero."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

from streams.bus.contract import Bus
from streams.domain.batch import Row
from streams.domain.events import AdlState, InstructionKind, Outcome
from streams.engine.chunks import read_stream
from streams.notify.names import Names, newest
from streams.topics import EXCHANGE_STREAMS, JOURNALS, STREAMS
from streams.venue.facts import Forced
from streams.venue.report import FORCED, count_forced
from streams.wire.codec import codec

KEPT = ("account-states", "adl-executions", "adl-waves", "fund-ledger", "pool-states")  # streams whose rows the report tells of


@dataclass(slots=True)
class Sums:
    """Conservation over all shards: signed lots by instrument, and wallets - open cost - external flows by asset. All zero, or something leaked."""

    lots: dict[int, int] = field(default_factory=dict)
    cash: dict[int, int] = field(default_factory=dict)
    suspects: int = 0

    @property
    def zero(self) -> bool:
        """Whether nothing leaked."""
        return not any(self.lots.values()) and not any(self.cash.values())


def sums_of(totals: Iterable[Row]) -> Sums:
    """Sums over rows of `shard-totals`, one a shard and asset, all of the same moment."""
    lots: Counter[int] = Counter()
    cash: Counter[int] = Counter()
    suspects: dict[int, int] = {}
    for row in totals:
        cash[row["asset"]] += int(row["wallets"]) - int(row["open_cost"]) - int(row["external"])
        suspects[row["shard"]] = row["suspects"]  # counted by account, so every asset's row says the same
        for part in row["instruments"]:
            lots[part["instrument"]] += part["lots"]
    return Sums(dict(sorted(lots.items())), dict(sorted(cash.items())), sum(suspects.values()))


@dataclass(slots=True)
class Summary:
    """Counts and rows of a log, in its order. `records`: of the streams that are in it.

    `summed_seconds`: event seconds that every shard has told, having read alike; `published_violations`: those whose sums are not zero.
    """

    records: dict[str, int] = field(default_factory=dict)
    instructions: Counter[InstructionKind] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)  # instructions by the outcome for their account
    rows: dict[str, list[Row]] = field(default_factory=dict)  # of the KEPT streams
    names: Names = field(default_factory=Names)  # as announced; how assets are written is for the caller to say
    forced: dict[tuple[int, int], Forced] = field(default_factory=dict)
    unwanted: int = 0  # liquidation orders that found nobody
    summed_seconds: int = 0
    published_violations: int = 0

    @property
    def events_in(self) -> int:
        """Records that the exchange wrote."""
        return sum(self.records[stream] for stream in EXCHANGE_STREAMS)

    @property
    def steps(self) -> int:
        """Step records of all tasks, the genesis ones included."""
        return sum(self.records[stream] for stream in JOURNALS.values())

    @property
    def adl_executions(self) -> int:
        """Positions deleveraged; an execution record without lots says that one was not."""
        return sum(row["lots"] != 0 for row in self.rows["adl-executions"])

    @property
    def fund_balances(self) -> dict[int, int]:
        """Cash of each pool's fund at the end; settlement units."""
        return {row["pool"]: row["wallet_after"] for row in self.rows["fund-ledger"]}

    @property
    def pool_states(self) -> dict[tuple[int, int], AdlState]:
        """State of each (pool, instrument) at the end. One that never left NORMAL is not listed."""
        last = {(row["pool"], row["instrument"]): AdlState(row["state"]) for row in self.rows["pool-states"]}
        return dict(sorted(last.items()))


async def summary_of(bus: Bus) -> Summary:
    """Read a whole log."""
    summary = Summary()
    present = await bus.partitions()
    for stream in (name for name, stream in STREAMS.items() if stream.topic in present):
        summary.records[stream] = sum([len(chunk) async for chunk in read_stream(bus, stream)])
    for stream in KEPT:
        summary.rows[stream] = [row async for row in _rows(bus, stream)]
    instruments, pools = [[row async for row in _rows(bus, stream)] for stream in ("instruments", "pools")]
    summary.names = Names(instruments=newest(instruments, "instrument"), pools=newest(pools, "pool"))
    accounts: dict[int, int] = {}
    async for row in _rows(bus, "instructions"):
        summary.instructions[InstructionKind(row["kind"])] += 1
        accounts[row["instruction_id"]] = row["account"]
    async for row in _rows(bus, "instruction-results"):
        summary.unwanted += row["kind"] == InstructionKind.LIQUIDATE and row["outcome"] == Outcome.UNFILLED
        summary.answers[Outcome(row["outcome"]).name] += row["account"] == accounts.get(row["instruction_id"])
    summary.forced = count_forced([row async for row in _forced_fills(bus)])
    summary.summed_seconds, summary.published_violations = await _summed(bus)
    return summary


async def _summed(bus: Bus) -> tuple[int, int]:
    shards = (await bus.partitions()).get(JOURNALS["accounts"], 0)
    by_second: dict[int, list[Row]] = {}
    async for row in _rows(bus, "shard-totals"):
        by_second.setdefault(row["event_second"], []).append(row)
    complete = [rows for rows in by_second.values() if {row["shard"] for row in rows} == set(range(shards))]
    comparable = [rows for rows in complete if _consumed_alike(rows)]
    return len(comparable), sum(not sums_of(rows).zero for rows in comparable)


def _consumed_alike(rows: Iterable[Row]) -> bool:
    """Whether nobody has read a partition that several shards read further than another: only then must the sums come out."""
    seen: dict[tuple[str, int], int] = {}
    return all(seen.setdefault((part["topic"], part["partition"]), part["to"]) == part["to"] for row in rows for part in row["consumed"])


async def _forced_fills(bus: Bus) -> AsyncIterator[Row]:
    """Fills that nobody traded. Most fills are trades, so they are told apart by column."""
    async for chunk in read_stream(bus, "fills"):
        columns = codec("fills").decode(chunk.values).columns
        for index, kind in enumerate(columns["kind"]):
            if kind in FORCED:
                yield {name: int(columns[name][index]) for name in ("kind", "instrument", "lots", "quote")}


async def _rows(bus: Bus, stream: str) -> AsyncIterator[dict[str, Any]]:
    reader = codec(stream)
    async for chunk in read_stream(bus, stream):
        for value in chunk.values:
            yield reader.decode_row(value)
