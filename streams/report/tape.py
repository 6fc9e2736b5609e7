"""The liquidation tape: every fill that somebody was made to take, once, from the side that was resolved, with its distance from the mark."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from streams.domain.events import NULL, FillKind
from streams.domain.money import PPM
from streams.report.log import Log
from streams.report.market import Market

KINDS: Final = (FillKind.LIQUIDATION, FillKind.PROVIDER, FillKind.TAKEOVER, FillKind.UNWIND, FillKind.ADL)  # in the order of the ladder


@dataclass(frozen=True, slots=True)
class Forced:
    """One forced fill. `lots`, `quote` are signed for `account`, the one resolved (the fund, where it unwinds), which `counter_account` met.

    `slippage_ppm`: how much worse than the mark it was for `account`, in millionths of the value at mark, rounded towards 0; negative: better.
    `mark_ticks`: the mark that the instruction was decided on; of a fill whose instruction has none, the one in force.
    """

    event_time_us: int
    kind: FillKind
    account: int
    counter_account: int
    instrument: int
    lots: int
    quote: int
    mark_ticks: int | None
    slippage_ppm: int | None
    instruction_id: int | None

    @property
    def notional(self) -> int:
        """What was traded; settlement units."""
        return abs(self.quote)


@dataclass(frozen=True, slots=True)
class KindTotal:
    """One kind in one asset. Percentiles of slippage are those of the fills that had a mark, nearest rank; None where there are none."""

    kind: FillKind
    asset: int
    fills: int
    notional: int
    slippage_p50_ppm: int | None
    slippage_p95_ppm: int | None
    slippage_worst_ppm: int | None


def forced_fills(log: Log, market: Market) -> list[Forced]:
    """The tape, in the order of event time."""
    columns = log.columns["fills"]
    kinds = log.numbers("fills", "kind")
    known = [log.numbers("instructions", name).tolist() for name in ("instruction_id", "account", "mark_ticks")]
    decided = {instruction: (account, mark) for instruction, account, mark in zip(*known, strict=True)}
    tape = []
    for at in np.flatnonzero(np.isin(kinds, KINDS)).tolist():
        row = {name: int(column[at]) for name, column in columns.items()}
        instruction = None if row["instruction_id"] == NULL else row["instruction_id"]
        account, mark = decided.get(row["instruction_id"], (None, NULL))
        is_one_of_two = row["counter_account"] != account or row["lots"] < 0  # both sides of one account: the side that sold
        if (row["account"] == account and is_one_of_two) or (account is None and row["lots"] < 0):  # without its instruction: likewise
            ticks = market.mark_at(row["instrument"], row["event_time_us"]) if mark == NULL else mark
            tape.append(
                Forced(
                    event_time_us=row["event_time_us"], kind=FillKind(row["kind"]), account=row["account"], counter_account=row["counter_account"],
                    instrument=row["instrument"], lots=row["lots"], quote=row["quote"], mark_ticks=ticks,
                    slippage_ppm=_slippage_ppm(row["quote"], row["lots"] * market.lot_value(row["instrument"], ticks or 0)),
                    instruction_id=instruction,
                )
            )  # fmt: skip
    return tape


def _slippage_ppm(quote: int, value: int) -> int | None:
    """Paid above, or received below, the value at mark; both signed for the account."""
    if not value:
        return None
    size = PPM * abs(quote - value) // abs(value)
    return size if quote >= value else -size


def totals(tape: Iterable[Forced], market: Market) -> list[KindTotal]:
    """The tape by kind and asset, in the order of the ladder."""
    grouped: dict[tuple[int, FillKind], list[Forced]] = {}
    for fill in tape:
        grouped.setdefault((market.asset(fill.instrument), fill.kind), []).append(fill)
    told = []
    for (asset, kind), fills in sorted(grouped.items(), key=lambda item: (item[0][0], KINDS.index(item[0][1]))):
        slips = sorted(fill.slippage_ppm for fill in fills if fill.slippage_ppm is not None)
        told.append(KindTotal(kind, asset, len(fills), sum(f.notional for f in fills), *(percentile(slips, part) for part in (50, 95, 100))))
    return told


def percentile(ascending: Sequence[int], part: int) -> int | None:
    """The nearest-rank percentile: the smallest value that at least `part` % do not exceed."""
    return ascending[max(0, -(-len(ascending) * part // 100) - 1)] if ascending else None
