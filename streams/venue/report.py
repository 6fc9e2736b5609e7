"""The report at the end of a run, for people: who was hit and why, what the fund went through, the waves, and the sums that must be zero.

Pure: facts in, lines of plain text out. For `oct-10-2025` the recorded outcomes of that day stand beside those of the run; they were never input.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from streams.domain.events import AdlState, FillKind, FlowCause, GroupState, LedgerAccount
from streams.domain.money import PPM
from streams.venue.facts import Facts, Forced, Row, money, percent
from streams.venue.scenarios.oct10 import Recorded, recorded
from streams.venue.stages import stages

SHOWN = 6  # rows of a list at most
OCT_10 = "oct-10-2025"  # the scenario whose recorded outcomes stand beside it
FORCED = (FillKind.LIQUIDATION, FillKind.TAKEOVER, FillKind.UNWIND, FillKind.ADL)


@dataclass(frozen=True, slots=True)
class Beside:
    """One coin of the recorded day beside the run: waves, their budget in settlement units, executions. Shares are of all coins."""

    symbol: str
    day: Recorded
    day_share_ppm: int
    waves: int
    gave_up: int
    share_ppm: int
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
        f"  {len(groups[GroupState.LIQUIDATABLE]):,} groups came below maintenance, {len(groups[GroupState.BANKRUPT]):,} below zero",
        f"  {len({row['account'] for row in facts.executions}):,} accounts were deleveraged in {len(facts.executions):,} executions",
    ]
    largest = sorted(facts.executions, key=lambda row: (-abs(row["quote"]), row["instruction_id"]))[:SHOWN]
    for row in largest:
        symbol = facts.symbols.get(row["instrument"], str(row["instrument"]))
        told.append(
            f"  account {row['account']}: {row['lots']:,} lots of {symbol} for {money(abs(row['quote']), facts.units)}, "
            f"rank {row['rank']} of {row['of_n']}"
        )
        told.append(f"    {row['reason']}")
    return told


def _forced(facts: Facts) -> list[str]:
    if not facts.forced:
        return []
    told = ["Forced fills (number, value traded)", f"  {'':<10}" + "".join(f"{kind.name.lower():>26}" for kind in FORCED)]
    for instrument in sorted({instrument for _, instrument in facts.forced}):
        cells = [facts.forced.get((kind, instrument), Forced()) for kind in FORCED]
        text = "".join(f"{f'{c.fills:,}  {money(c.quote, facts.units)}' if c.fills else '-':>26}" for c in cells)
        told.append(f"  {facts.symbols.get(instrument, str(instrument)):<10}{text}")
    return told


def _fund(facts: Facts) -> list[str]:
    if not facts.ledger:
        return []
    by_cause: dict[FlowCause, int] = {}
    for row in facts.ledger:
        into = (row["debit"] == LedgerAccount.CASH) - (row["credit"] == LedgerAccount.CASH)
        by_cause[FlowCause(row["cause"])] = by_cause.get(FlowCause(row["cause"]), 0) + into * row["amount"]
    last, lowest = facts.ledger[-1], min(facts.ledger, key=lambda row: row["value_after"])
    told = ["The fund, by cause"]
    told += [f"  {cause.name.lower():<18}{money(amount, facts.units):>20}" for cause, amount in sorted(by_cause.items())]
    told += [
        f"  {'cash at the end':<18}{money(last['wallet_after'], facts.units):>20}",
        f"  {'value at the end':<18}{money(last['value_after'], facts.units):>20}",
        f"  {'lowest value':<18}{money(lowest['value_after'], facts.units):>20}",
    ]
    entered = [row for row in facts.pool_states if row["state"] == AdlState.ADL]
    if entered:
        first = entered[0]
        symbol = facts.symbols.get(first["instrument"], str(first["instrument"]))
        told.append(f"  adl was entered {len(entered)} times, first for {symbol}: {first['reason']}")
    return told


def _waves(facts: Facts) -> list[str]:
    if not facts.waves:
        return []
    taken, residual = sum(w["lots_taken"] for w in facts.waves), sum(w["residual_lots"] for w in facts.waves)
    budget = money(sum(w["needed_budget"] for w in facts.waves), facts.units)
    told = [f"Waves: {len(facts.waves):,}; {taken:,} lots taken, {residual:,} without counterparty; budget {budget}"]
    for wave in sorted(facts.waves, key=lambda w: (-w["needed_budget"], w["wave_id"]))[:SHOWN]:
        symbol = facts.symbols.get(wave["instrument"], str(wave["instrument"]))
        told.append(
            f"  {symbol:<10}{wave['lots_taken']:>14,} of {wave['lots_needed']:,} lots from {wave['candidates_total']:,} candidates, "
            f"budget {money(wave['needed_budget'], facts.units)}, largest haircut {percent(wave['largest_haircut_ppm'], PPM)} of a profit"
        )
    return told


def beside(symbols: Mapping[int, str], waves: Iterable[Row], executions: Iterable[Row]) -> list[Beside]:
    """The coins of the recorded day, largest budget first, beside the run. Sizes differ by design: accounts and depth are synthetic."""
    numbers = {symbol: number for number, symbol in symbols.items()}
    rounds, hits, budgets = Counter[int](), Counter(row["instrument"] for row in executions), dict.fromkeys(symbols, 0)
    for wave in waves:
        rounds[wave["instrument"]] += 1
        budgets[wave["instrument"]] = budgets.get(wave["instrument"], 0) + wave["needed_budget"]
    all_recorded, all_ours = sum(day.budget_usd for day in recorded().values()), sum(budgets.values())
    told = []
    for symbol, day in recorded().items():
        number = numbers.get(symbol, 0)
        ours = budgets.get(number, 0)
        share_ppm = ours * PPM // all_ours if all_ours else 0
        told.append(Beside(symbol, day, day.budget_usd * PPM // all_recorded, rounds[number], ours, share_ppm, hits[number]))
    return told


def _beside_recorded(facts: Facts) -> list[str]:
    ours = f"{'waves':>7}{'budget USD':>16}{'share':>8}{'executions':>12}"
    told = [
        "Beside the recorded day (outcomes of 10 October 2025, 20 coins; accounts, prices and depth of the run are synthetic, compare shapes only)",
        f"  {'':<10}{'recorded clusters':>18}{'budget USD':>16}{'share':>8}{'deficit USD':>14}{'residual USD':>14} |{ours}",
    ]
    for coin in beside(facts.symbols, facts.waves, facts.executions):
        day = coin.day
        told.append(
            f"  {coin.symbol:<10}{day.clusters:>18,}{day.budget_usd:>16,}{percent(coin.day_share_ppm, PPM):>8}"
            f"{day.deficit_usd:>14,}{day.residual_usd:>14,} |"
            f"{coin.waves:>7,}{money(coin.gave_up, facts.units):>16}{percent(coin.share_ppm, PPM):>8}{coin.executions:>12,}"
        )
    return told


def _checks(facts: Facts) -> list[str]:
    told = ["Checks"]
    told += [f"  {name}: {total:,}{'' if total == 0 else '   <- must be zero'}" for name, total in facts.sums.items()]
    told.append(f"  differences between our book and the exchange's: {len(facts.differences):,}")
    told += [f"    {line}" for line in facts.differences[:SHOWN]]
    told += [f"  {name}: {digest}" for name, digest in facts.digests.items()]
    return told
