"""The zero-sum check over all shards: money and lots that come from nowhere or go nowhere are told to the operator.

Shards read different partitions at their own pace, so a second's sums may differ from zero while one is behind; they may not for long.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import pyarrow as pa

from streams.domain.batch import Outputs
from streams.domain.state import Digested, StateTable

GRACE_SECONDS: Final = 5
KEPT_SECONDS: Final = 60  # seconds of one asset kept while a shard has not spoken


@dataclass(frozen=True, slots=True)
class ShardSums:
    """One shard's totals of one second. Decimal strings, because sums over millions of accounts may pass 64 bits."""

    money: str  # wallets - open cost - external; settlement units
    reconciliation: str
    lots: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an asset stands: its last complete second, since when its sums differ from zero, what has been said of it."""

    second: int = -1
    differs_since: int | None = None
    alarmed: bool = False
    reconciliation: str = "0"


class Conservation:
    """Totals per (asset, second, shard) until a second is complete, and one verdict per asset."""

    def __init__(self, shard_count: int) -> None:
        self.shard_count = shard_count
        self.sums: StateTable[tuple[int, int, int], ShardSums] = StateTable("conservation_sums", tuple[int, int, int], ShardSums)
        self.verdicts: StateTable[int, Verdict] = StateTable("conservation_verdicts", int, Verdict)
        self._seconds: dict[int, dict[int, int]] = {}  # asset -> second -> shards heard

    @property
    def parts(self) -> tuple[Digested, ...]:
        """The tables."""
        return self.sums, self.verdicts

    def restore(self, tables: Mapping[str, pa.RecordBatch]) -> None:
        """Take over the tables of a snapshot."""
        for part in self.parts:
            part.from_arrow(tables[part.name])
        self._seconds = {}
        for asset, second, _ in self.sums:
            self._count(asset, second)

    def _count(self, asset: int, second: int) -> int:
        seconds = self._seconds.setdefault(asset, {})
        seconds[second] = seconds.get(second, 0) + 1
        return seconds[second]

    def hear(self, row: Mapping[str, Any], out: Outputs) -> None:
        """Take one shard's totals; judge the second when it is complete. What comes late or twice changes nothing."""
        asset, second = row["asset"], row["event_second"]
        verdict = self.verdicts.get(asset) or Verdict()
        if second <= verdict.second or (asset, second, row["shard"]) in self.sums:
            return
        self.sums[asset, second, row["shard"]] = ShardSums(
            money=str(int(row["wallets"]) - int(row["open_cost"]) - int(row["external"])),
            reconciliation=str(int(row["reconciliation"])),
            lots=tuple((total["instrument"], total["lots"]) for total in row["instruments"]),
        )
        if self._count(asset, second) == self.shard_count:
            self.verdicts[asset] = self._judge(asset, second, verdict, out)
            self._drop(asset, second)
        elif len(self._seconds[asset]) > KEPT_SECONDS:
            self._drop(asset, min(self._seconds[asset]))

    def _judge(self, asset: int, second: int, verdict: Verdict, out: Outputs) -> Verdict:
        shards = [self.sums[asset, second, shard] for shard in range(self.shard_count)]
        money = sum(int(s.money) for s in shards)
        lots: dict[int, int] = {}
        for instrument, amount in (pair for s in shards for pair in s.lots):
            lots[instrument] = lots.get(instrument, 0) + amount
        wrong = {instrument: lots[instrument] for instrument in sorted(lots) if lots[instrument]}
        verdict = replace(verdict, second=second)
        reconciliation = str(sum(int(s.reconciliation) for s in shards))
        if reconciliation != verdict.reconciliation:
            out.alarm("reconciliation_difference", asset=asset, event_second=second, amount=int(reconciliation))
            verdict = replace(verdict, reconciliation=reconciliation)
        if not money and not wrong:
            return replace(verdict, differs_since=None, alarmed=False)
        since = second if verdict.differs_since is None else verdict.differs_since
        late = second - since > GRACE_SECONDS
        if late and not verdict.alarmed:
            out.alarm("conservation_violated", asset=asset, event_second=second, since_second=since, amount=money, lots=wrong)
        return replace(verdict, differs_since=since, alarmed=verdict.alarmed or late)

    def _drop(self, asset: int, up_to: int) -> None:
        """Forget seconds up to this one: each shard speaks of its seconds in order, so older ones can no longer become complete."""
        for second in [s for s in self._seconds[asset] if s <= up_to]:
            del self._seconds[asset][second]
            for shard in range(self.shard_count):
                self.sums.pop((asset, second, shard))
