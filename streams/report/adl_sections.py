"""Sections about auto-deleveraging: waves and the ladder of the largest, policies side by side, who was hit, the recorded day beside the run."""

from collections.abc import Sequence
from statistics import median_low

from streams.domain.events import PositionSide
from streams.notify.reasons import of_execution
from streams.report.accounts import Hit
from streams.report.market_sections import cash, in_unit, one_unit
from streams.report.markup import Content, Markup, joined, tag
from streams.report.model import Report
from streams.report.plots import ladder_plot, policies_plot, waves_plot
from streams.report.tables import amount, figures, name, none, table, with_bar, words
from streams.report.waves import Outcome, Wave
from streams.report.writing import ABSENT, clock, exact_clock, percent, whole

WAVES_SHOWN, RUNGS_SHOWN, HITS_SHOWN = 15, 20, 10
WIDEST_SHARE_PPM = 400_000  # of a coin, as wide as its bar gets
NO_WAVES = "No wave was opened: the market and the fund took everything, and nobody was deleveraged."


def waves_section(report: Report) -> Markup:
    """Waves over time, the largest in figures, the ladder of the very largest."""
    if not report.waves:
        return none(NO_WAVES)
    assets = dict.fromkeys(report.market.asset(wave.row["instrument"]) for wave in report.waves)
    largest = sorted(report.waves, key=lambda wave: (*_size(report, wave), wave.row["wave_id"]))
    over = sum(wave.row["overshoot_lots"] for wave in report.waves)
    note = (
        "Given up: what deleveraged accounts lost against the mark, summed over those fills of a wave at which they lost; gained: what they won at "
        "the others. Haircut: the largest part of an account's profit on the lots taken that it gave up. Residual lots found no counterparty and "
        f"wait for a later wave. Lots taken beyond what was needed, over all waves: {over:,}."
    )
    return joined(
        tag("p", note), *(waves_plot(report, asset) for asset in assets), _waves(report, largest[:WAVES_SHOWN]), _ladder(report, largest[0])
    )


def _size(report: Report, wave: Wave) -> tuple[float, float]:
    unit = report.market.unit_of(wave.row["instrument"])
    return -unit.rough(wave.row["needed_budget"]), -unit.rough(wave.row["gained"])


def _waves(report: Report, waves: Sequence[Wave]) -> Markup:
    columns = [
        name("Opened"), words("Taken from"), figures("Needed, lots"), figures("Allocated"), figures("Taken"), figures("Residual"),
        figures("Overshoot"), figures(in_unit(report, "Given up")), figures(in_unit(report, "Gained")), figures("Largest haircut"),
        figures("Accounts hit, of candidates"), words("Wave", "id"),
    ]  # fmt: skip
    rows = []
    for wave in waves:
        row = wave.row
        lots = [f"{row[field]:,}" for field in ("lots_needed", "lots_allocated", "lots_taken", "residual_lots", "overshoot_lots")]
        rows.append([
            exact_clock(row["opened_us"]), f"{report.market.symbol(row['instrument'])} {PositionSide(row['side']).name.lower()}", *lots,
            cash(report, row["instrument"], row["needed_budget"]), cash(report, row["instrument"], row["gained"]),
            percent(row["largest_haircut_ppm"]), f"{wave.accounts_hit:,} of {row['candidates_total']:,}", str(row["wave_id"]),
        ])  # fmt: skip
    return table(f"Largest {len(rows)} of {len(report.waves):,} waves, by what was given up", columns, rows)


def _ladder(report: Report, wave: Wave) -> Markup:
    if not wave.ladder:
        return none("The queue of the largest wave is not in this log.")
    columns = [
        name("Rank"), figures("Account"), figures("Position, lots"), figures("Offered"), figures("Lots ahead"), figures("Instructed"),
        figures("Taken"),
    ]  # fmt: skip
    rows, ahead = [], 0
    for rung in wave.ladder[:RUNGS_SHOWN]:
        lots = (rung.position_lots, rung.offered_lots, ahead, rung.lots, rung.executed_lots)
        rows.append([f"{rung.rank:,}", str(rung.account), *(whole(count) for count in lots)])
        ahead += rung.offered_lots
    symbol, row = report.market.symbol(wave.row["instrument"]), wave.row
    which = f"wave {row['wave_id']} ({symbol}, {clock(row['opened_us'])})"
    caption = f"First {len(rows)} of {row['candidates_total']:,} in the {wave.policy.name} order of {which}"
    return joined(ladder_plot(report, wave), tag("details", tag("summary", "The first ranks in figures"), table(caption, columns, rows)))


def policies_section(report: Report) -> Markup:
    """The used policy beside its shadows."""
    if not report.waves:
        return none(NO_WAVES)
    waves = len({outcome.wave_id for outcome in report.outcomes})
    note = (
        "What other policies would have done with the same lots and the same candidates. Known exactly, and told, for "
        f"{waves:,} of {len(report.waves):,} waves: those of two or more candidates in which the shards offered every one. PRO_RATA shares by lots "
        "offered, in whole lots by largest remainder; the other rankings take each whole offer before the next. Shares are of an account's own "
        "position. Shadows are computed, never applied."
    )
    if not report.outcomes:
        return joined(tag("p", note), none("No wave allows an exact comparison."))
    columns = [
        name("Policy"), words("Role"), figures("Lots placed"), figures("Accounts hit, median a wave"), figures("at most"),
        figures("Largest share of a position, median"), figures("at most"), figures("Largest part of a wave by one account, median"),
        figures("Gini of shares, median"),
    ]  # fmt: skip
    roles = dict.fromkeys((outcome.policy, outcome.is_used) for outcome in report.outcomes)
    rows = [_policy([o for o in report.outcomes if (o.policy, o.is_used) == role]) for role in roles]
    return joined(tag("p", note), policies_plot(report.outcomes), table("Policies side by side", columns, rows))


def _policy(outcomes: Sequence[Outcome]) -> list[Content]:
    hit, share, part, gini = (
        [getattr(outcome, field) for outcome in outcomes] for field in ("accounts_hit", "largest_share_ppm", "largest_part_ppm", "gini_ppm")
    )
    return [
        outcomes[0].policy, "used" if outcomes[0].is_used else "shadow", f"{sum(outcome.lots for outcome in outcomes):,}",
        f"{median_low(hit):,}", f"{max(hit):,}", percent(median_low(share)), percent(max(share)), percent(median_low(part)),
        f"0.{median_low(gini) // 1_000:03d}",
    ]  # fmt: skip


def hits_section(report: Report) -> Markup:
    """Who was deleveraged, what it cost them, and the words for them."""
    if not report.hits:
        return none("No account was deleveraged.")
    note = (
        "Given up, and gained: against the marks of the waves, each where it happened; neither is taken off the other. The words are those of its "
        "dearest execution, as the account would be told them."
    )
    columns = [
        name("Account"), words("Instruments"), figures("Executions"), figures(in_unit(report, "Closed")), figures(in_unit(report, "Given up")),
        figures(in_unit(report, "Gained")), figures("Part of all given up"), figures("Largest haircut"), figures("Best rank"),
    ]  # fmt: skip
    shown = report.hits[:HITS_SHOWN]
    totals = {hit.asset: sum(other.gave_up for other in report.hits if other.asset == hit.asset) for hit in shown}
    rows = [_hit(report, hit, totals[hit.asset]) for hit in shown]
    caption = f"{len(rows)} of {len(report.hits):,} accounts, by what they gave up"
    return joined(tag("p", note), table(caption, columns, rows, whys=[of_execution(report.market, hit.executions[0].row) for hit in shown]))


def _hit(report: Report, hit: Hit, total: int) -> list[Content]:
    symbols = list(dict.fromkeys(report.market.symbol(execution.row["instrument"]) for execution in hit.executions))
    several = one_unit(report) is None
    unit = report.market.unit(hit.asset)
    part = with_bar(hit.gave_up * 1_000_000 // total, 1_000_000) if total else ABSENT
    return [
        str(hit.account), ", ".join(symbols[:3]) + (f" and {len(symbols) - 3} more" if len(symbols) > 3 else ""), f"{len(hit.executions):,}",
        amount(unit, hit.notional, symbol=several), amount(unit, hit.gave_up, symbol=several), amount(unit, hit.gained, symbol=several), part,
        percent(hit.haircut_ppm), f"{min(e.row['rank'] for e in hit.executions):,}",
    ]  # fmt: skip


def recorded_section(report: Report) -> Markup | None:
    """The recorded day, coin by coin, beside the run."""
    if not report.origin.recorded:
        return None
    note = (
        "Recorded outcomes of 10 October 2025 (20 coins) beside those of the run. Only times and relative sizes of the shocks were input; accounts, "
        "prices and depth are synthetic, so compare shapes, not sizes."
    )
    columns = [
        name("Coin"), figures("Recorded clusters"), figures("budget, USD"), figures("share"), figures("deficit, USD"),
        figures("residual, USD"), figures("Run: waves"), figures(in_unit(report, "given up")), figures("share"),
        figures(in_unit(report, "gained")), figures("executions"),
    ]  # fmt: skip
    unit = one_unit(report) or report.market.unit(0)
    rows = [
        [
            coin.symbol, f"{coin.day.clusters:,}", f"{coin.day.budget_usd:,}", with_bar(coin.day_share_ppm, WIDEST_SHARE_PPM),
            f"{coin.day.deficit_usd:,}", f"{coin.day.residual_usd:,}", f"{coin.waves:,}", amount(unit, coin.gave_up),
            ABSENT if coin.share_ppm is None else with_bar(coin.share_ppm, WIDEST_SHARE_PPM), amount(unit, coin.gained), f"{coin.executions:,}",
        ]
        for coin in report.origin.recorded
    ]  # fmt: skip
    return joined(tag("p", note), table("The recorded day beside the run", columns, rows))
