"""The report at the end of a run, for people: who was hit and why, what the fund went through, the waves, and the sums that must be zero.

Pure: facts in, lines of plain text out. For `oct-10-2025` the recorded outcomes of that day stand beside those of the run; they were never input.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from streams.domain.events import AdlState, FillKind, FlowCause, GroupState, LedgerAccount
from streams.domain.money import PPM
from streams.notify.names import Names, counted
from streams.notify.reasons import of_execution, of_pool_state
from streams.venue.facts import Facts, Forced, Row, percent
from streams.venue.scenarios.oct10 import Recorded, recorded
from streams.venue.stages import stages

SHOWN = 6  # rows of a list at most
OCT_10 = "oct-10-2025"  # the scenario whose recorded outcomes stand beside it
FORCED = (FillKind.LIQUIDATION, FillKind.TAKEOVER, FillKind.UNWIND, FillKind.ADL)


@dataclass(frozen=True, slots=True)
class Beside:
    """One coin of the recorded day beside the run: waves, what was given up and gained in them, executions. Shares are of all that was given up.

    `share_ppm` is None where nothing was given up at all. Money in settlement units.
    """

    symbol: str
    day: Recorded
    day_share_ppm: int
    waves: int
    gave_up: int
    gained: int
    share_ppm: int | None
    executions: int


def count_forced(fills: Iterable[Row]) -> dict[tuple[int, int], Forced]:
    """Forced fills by kind and instrument, from the records of both sides: a trade is counted once, at the side that sold."""
    counted: dict[tuple[int, int], Forced] = {}
    for row in fills:
        if row["kind"] in FORCED and row["lots"] < 0:
            one = counted.setdefault((int(row["kind"]), row["instrument"]), Forced())
            one.fills, one.lots, one.quote = one.fills + 1, one.lots - row["lots"], one.quote + abs(row["quote"])
    return counted


def lines(facts: Facts) -> list[str]:
    """The whole report."""
    parts = [_head(facts), stages(facts), _hit(facts), _forced(facts), _fund(facts), _waves(facts)]
    if facts.scenario == OCT_10:
        parts.append(_beside_recorded(facts))
    parts.append(_checks(facts))
    return [line for part in parts if part for line in (*part, "")][:-1]


def _head(facts: Facts) -> list[str]:
    answers = ", ".join(f"{count:,} {name.lower()}" for name, count in facts.answers.items() if count) or "none"
    return [
        f"Scenario {facts.scenario}: {facts.event_times:,} event times, {sum(facts.records.values()):,} records",
        f"  instructions answered: {answers}",
    ]


def _hit(facts: Facts) -> list[str]:
    groups: dict[GroupState, dict[tuple[Any, ...], None]] = {GroupState.LIQUIDATABLE: {}, GroupState.BANKRUPT: {}}
    for row in facts.states:
        if row["state"] in groups:
            groups[GroupState(row["state"])][row["account"], row.get("group_instrument"), row.get("group_side")] = None
    told = [
        "Who was hit",
        f"  {counted(len(groups[GroupState.LIQUIDATABLE]), 'group')} came below maintenance, {len(groups[GroupState.BANKRUPT]):,} below zero",
        f"  deleveraged: {counted(len({row['account'] for row in facts.executions}), 'account')} in {counted(len(facts.executions), 'execution')}",
    ]
    largest = sorted(facts.executions, key=lambda row: (-abs(row["quote"]), row["instruction_id"]))[:SHOWN]
    for row in largest:
        symbol = facts.symbol(row["instrument"])
        told.append(
            f"  account {row['account']}: {row['lots']:,} lots of {symbol} for {facts.money(abs(row['quote']))}, rank {row['rank']} of {row['of_n']}"
        )
        told.append(f"    {of_execution(facts.names, row)}")
    return told


def _forced(facts: Facts) -> list[str]:
    if not facts.forced:
        return ["Forced fills: none"]
    told = [f"Forced fills (number, {facts.unit.symbol} traded)", f"  {'':<10}" + "".join(f"{kind.name.lower():>28}" for kind in FORCED)]
    for instrument in sorted({instrument for _, instrument in facts.forced}):
        cells = [facts.forced.get((kind, instrument), Forced()) for kind in FORCED]
        text = "".join(f"{f'{c.fills:,}  {facts.unit.figure(c.quote)}' if c.fills else '-':>28}" for c in cells)
        told.append(f"  {facts.symbol(instrument):<10}{text}")
    return told


def _fund(facts: Facts) -> list[str]:
    """A statement of each fund: its lines add up to the cash at its end, to the last digit."""
    pools = sorted({row["pool"] for row in facts.ledger})
    return [line for pool in pools for line in _statement(facts, pool, "The fund" if len(pools) == 1 else f"The fund of pool {pool}")]


def _statement(facts: Facts, pool: int, name: str) -> list[str]:
    rows = [row for row in facts.ledger if row["pool"] == pool]
    by_cause: dict[FlowCause, int] = {}
    for row in rows:
        into = (row["debit"] == LedgerAccount.CASH) - (row["credit"] == LedgerAccount.CASH)
        by_cause[FlowCause(row["cause"])] = by_cause.get(FlowCause(row["cause"]), 0) + into * row["amount"]
    last, lowest = rows[-1], min(rows, key=lambda row: row["value_after"])
    before = last["wallet_after"] - sum(by_cause.values())
    figures = {"before this log": before} if before else {}
    figures |= {cause.name.lower().replace("_", " "): amount for cause, amount in sorted(by_cause.items())}
    figures |= {"cash at the end": last["wallet_after"], "value at the end": last["value_after"], "lowest value": lowest["value_after"]}
    told = [f"{name}, by cause, {facts.unit.symbol}", *(f"  {label:<18}{facts.unit.figure(amount):>24}" for label, amount in figures.items())]
    entered = [row for row in facts.pool_states if row["state"] == AdlState.ADL and row["pool"] == pool]
    if entered:
        first = f"{facts.symbol(entered[0]['instrument'])}: {of_pool_state(facts.names, entered[0])}"
        told.append(f"  adl was entered {counted(len(entered), 'time')}, first for {first}")
    return told


def _waves(facts: Facts) -> list[str]:
    if not facts.waves:
        return ["Waves: none, nobody was deleveraged"]
    taken, residual = sum(w["lots_taken"] for w in facts.waves), sum(w["residual_lots"] for w in facts.waves)
    told = [f"Waves: {len(facts.waves):,}; {taken:,} lots taken, {residual:,} without counterparty; {_sides(facts, facts.waves)}"]
    largest = sorted(facts.waves, key=lambda w: (-w["needed_budget"], -w["gained"], w["wave_id"]))[:SHOWN]
    return [*told, *(_wave(facts, wave) for wave in largest)]


def _wave(facts: Facts, wave: Row) -> str:
    lots = f"{wave['lots_taken']:>14,} of {wave['lots_needed']:,} lots from {counted(wave['candidates_total'], 'candidate')}"
    haircut = f"largest haircut {percent(wave['largest_haircut_ppm'], PPM)} of a profit"
    return f"  {facts.symbol(wave['instrument']):<10}{lots}, {_sides(facts, [wave])}, {haircut}"


def _sides(facts: Facts, waves: Sequence[Row]) -> str:
    """What the deleveraged gave up and what they gained against the mark; one is never taken off the other."""
    gave_up, gained = sum(wave["needed_budget"] for wave in waves), sum(wave["gained"] for wave in waves)
    return f"given up {facts.money(gave_up)}, gained {facts.money(gained)}"


def beside(names: Names, waves: Iterable[Row], executions: Iterable[Row]) -> list[Beside]:
    """The coins of the recorded day, largest budget first, beside the run. Sizes differ by design: accounts and depth are synthetic."""
    numbers = {symbol: number for number, symbol in names.symbols.items()}
    rounds, gave_up, gained = Counter[int](), Counter[int](), Counter[int]()
    hits = Counter(row["instrument"] for row in executions)
    for wave in waves:
        rounds[wave["instrument"]] += 1
        gave_up[wave["instrument"]] += wave["needed_budget"]
        gained[wave["instrument"]] += wave["gained"]
    all_recorded, all_ours = sum(day.budget_usd for day in recorded().values()), gave_up.total()
    told = []
    for symbol, day in recorded().items():
        number = numbers.get(symbol, 0)
        share_ppm = gave_up[number] * PPM // all_ours if all_ours else None
        day_share_ppm = day.budget_usd * PPM // all_recorded
        told.append(Beside(symbol, day, day_share_ppm, rounds[number], gave_up[number], gained[number], share_ppm, hits[number]))
    return told


def _beside_recorded(facts: Facts) -> list[str]:
    ours = f"{'waves':>7}{f'given up {facts.unit.symbol}':>22}{'share':>8}{f'gained {facts.unit.symbol}':>22}{'executions':>12}"
    told = [
        "Beside the recorded day (outcomes of 10 October 2025, 20 coins; accounts, prices and depth of the run are synthetic, compare shapes only)",
        f"  {'':<10}{'recorded clusters':>18}{'budget USD':>16}{'share':>8}{'deficit USD':>14}{'residual USD':>14} |{ours}",
    ]
    for coin in beside(facts.names, facts.waves, facts.executions):
        day, share = coin.day, "-" if coin.share_ppm is None else percent(coin.share_ppm, PPM)
        told.append(
            f"  {coin.symbol:<10}{day.clusters:>18,}{day.budget_usd:>16,}{percent(coin.day_share_ppm, PPM):>8}"
            f"{day.deficit_usd:>14,}{day.residual_usd:>14,} |"
            f"{coin.waves:>7,}{facts.unit.figure(coin.gave_up):>22}{share:>8}{facts.unit.figure(coin.gained):>22}{coin.executions:>12,}"
        )
    return told


def _checks(facts: Facts) -> list[str]:
    told = ["Checks"]
    told += [f"  {name}: {total:,}{'' if total == 0 else '   <- must be zero'}" for name, total in facts.sums.items()]
    told.append(f"  differences between our book and the exchange's: {len(facts.differences):,}")
    told += [f"    {line}" for line in facts.differences[:SHOWN]]
    told += [f"  {name}: {digest}" for name, digest in facts.digests.items()]
    return told
