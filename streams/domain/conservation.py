"""The zero-sum check over all shards: money and lots that come from nowhere or go nowhere are told to the operator.

Shards read different partitions at their own pace. Of a pair of records one may be in the log when a second ends and the other not yet, so under
load every second may be off zero, each by what was under way at its end: by another amount each time. What was lost, or counted twice, stays the
same. So a difference is proven when one amount stands more often than any others together, and zero does not come up once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import pyarrow as pa

from streams.domain.alarms import Alarm, Lasting
from streams.domain.batch import Outputs
from streams.domain.events import DeadLetterReason
from streams.domain.state import Digested, StateTable

PROOF_SECONDS: Final = 5  # more of them than this must say one amount again
MONEY: Final = 0  # stands for the money of an asset where others name an instrument
SUMS: Final = ("wallets", "open_cost", "external", "reconciliation")  # fields that carry whole numbers as text
DIGITS_MAX: Final = 60
KEPT_SECONDS: Final = 60  # seconds of one asset kept while a shard has not spoken


@dataclass(frozen=True, slots=True)
class ShardSums:
    """One shard's totals of one second. Decimal strings, because sums over millions of accounts may pass 64 bits."""

    money: str  # wallets - open cost - external; settlement units
    reconciliation: str
    lots: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """A sum that has been off zero since a second. `amount`: what most seconds say; `again`: how many more have said it again than something else.

    Once it is proven it stays as it is, until the sum is zero.
    """

    amount: str
    since_second: int
    again: int = 0
    is_proven: bool = False

    def then(self, amount: str, second: int) -> "Difference":
        """After another second with this amount, which is not zero."""
        if self.is_proven:
            return self
        if amount == self.amount:
            return replace(self, again=self.again + 1, is_proven=self.again + 1 > PROOF_SECONDS)
        return replace(self, again=self.again - 1) if self.again else Difference(amount, second)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an asset stands: its last complete second, and the sum of reconciliations that has been said of it."""

    second: int = -1
    reconciliation: str = "0"


class Conservation:
    """Totals per (asset, second, shard) until a second is complete; one verdict per asset; the sums that are off zero, by (asset, instrument)."""

    def __init__(self, shard_count: int) -> None:
        self.shard_count = shard_count
        self.sums: StateTable[tuple[int, int, int], ShardSums] = StateTable("conservation_sums", tuple[int, int, int], ShardSums)
        self.verdicts: StateTable[int, Verdict] = StateTable("conservation_verdicts", int, Verdict)
        self.differences: StateTable[tuple[int, int], Difference] = StateTable("conservation_differences", tuple[int, int], Difference)
        self._seconds: dict[int, dict[int, int]] = {}  # asset -> second -> shards heard

    @property
    def parts(self) -> tuple[Digested, ...]:
        """The tables."""
        return self.sums, self.verdicts, self.differences

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

    def refusal(self, row: Mapping[str, Any]) -> tuple[DeadLetterReason, str] | None:
        """Why totals cannot be counted, if they cannot: no shard writes such."""
        if not 0 <= row["shard"] < self.shard_count:
            return DeadLetterReason.OUT_OF_BOUNDS, f"shard {row['shard']} of {self.shard_count}"
        odd = [name for name in SUMS if not _is_whole(row[name])]
        return (DeadLetterReason.BAD_VALUE, f"{odd[0]} is not a whole number: {row[odd[0]][:40]!r}") if odd else None

    def hear(self, row: Mapping[str, Any], out: Outputs) -> None:
        """Take one shard's totals that `refusal` lets pass; judge the second when it is complete. What comes late or twice changes nothing."""
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
        sums = {MONEY: sum(int(s.money) for s in shards)}
        for instrument, lots in (pair for s in shards for pair in s.lots):
            sums[instrument] = sums.get(instrument, 0) + lots
        self._compare(asset, second, sums, out)
        reconciliation = str(sum(int(s.reconciliation) for s in shards))
        if reconciliation != verdict.reconciliation:
            out.alarm(Alarm.RECONCILIATION_DIFFERENCE, asset=asset, event_second=second, amount=int(reconciliation))
        return Verdict(second, reconciliation)

    def _compare(self, asset: int, second: int, sums: Mapping[int, int], out: Outputs) -> None:
        """Hold the sums against those of the seconds before, and say what has been proven just now."""
        for key in [key for key in self.differences if key[0] == asset and not sums.get(key[1])]:
            del self.differences[key]
        proven: dict[int, Difference] = {}
        for which in sorted(which for which, amount in sums.items() if amount):
            known, amount = self.differences.get((asset, which)), str(sums[which])
            new = Difference(amount, second) if known is None else known.then(amount, second)
            self.differences[asset, which] = new
            if new.is_proven and new is not known:
                proven[which] = new
        if proven:
            since, money = min(each.since_second for each in proven.values()), proven.pop(MONEY, None)
            lots = {instrument: int(each.amount) for instrument, each in proven.items()}
            off = 0 if money is None else int(money.amount)
            out.alarm(Alarm.CONSERVATION_VIOLATED, asset=asset, event_second=second, since_second=since, amount=off, lots=lots)

    def lasting(self) -> Iterator[Lasting]:
        """Assets with sums that are proven to be off zero, and how many of them."""
        for asset, proven in self.proven().items():
            if proven:
                yield Lasting(Alarm.CONSERVATION_VIOLATED, f"asset {asset}", len(proven), min(proven) * 1_000_000)

    def proven(self) -> dict[int, list[int]]:
        """Of every asset that has been judged: since which seconds sums of it are off zero, of those that are proven to be."""
        proven: dict[int, list[int]] = {asset: [] for asset in self.verdicts}
        for (asset, _), difference in self.differences.items():
            if difference.is_proven:
                proven[asset].append(difference.since_second)
        return proven

    def _drop(self, asset: int, up_to: int) -> None:
        """Forget seconds up to this one: each shard speaks of its seconds in order, so older ones can no longer become complete."""
        for second in [s for s in self._seconds[asset] if s <= up_to]:
            del self._seconds[asset][second]
            for shard in range(self.shard_count):
                self.sums.pop((asset, second, shard))


def _is_whole(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) <= DIGITS_MAX
