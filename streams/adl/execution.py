"""What is recorded of a wave: each execution with its rank, lights and reason in words, and the figures of the wave as a whole."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Final

from streams.adl.wave import Match, Wave
from streams.domain.events import PositionSide, PriceRule
from streams.domain.instructions import OpenInstruction
from streams.domain.money import PPM, div_floor, quote_part_floor
from streams.domain.resolution import Unplaced
from streams.ranking.lights import lights, percentile_accounts_ppm, percentile_lots_ppm

MAX_HAIRCUT_PPM: Final = PPM * PPM  # a million times the profit: more is told as this much


def given_up(wave: Wave, position: Unplaced, ended: OpenInstruction) -> int:
    """What the offsetting account gave up against the mark, negative if it gained; settlement units.

    It paid the negative of the liquidated account's quote for lots that are worth sign x lots at mark.
    """
    return -ended.executed_quote - position.sign * ended.executed_lots * wave.lot_value


def haircut_ppm(wave: Wave, position: Unplaced, match: Match, ended: OpenInstruction) -> int:
    """Share of the profit of the lots taken that was given up; millionths rounded down, MAX_HAIRCUT_PPM at most.

    0 where there was no profit, or none was given up. Profit of the lots taken is the position's profit at mark x lots taken / its lots, kept as
    a fraction.
    """
    candidate, lost = match.candidate, given_up(wave, position, ended)
    profit = candidate.lots * wave.lot_value - candidate.cost
    if profit <= 0 or lost <= 0:
        return 0
    return min(MAX_HAIRCUT_PPM, div_floor(PPM * lost * abs(candidate.lots), profit * ended.executed_lots))


def inversions(matches: Iterable[Match]) -> int:
    """Pairs of neighbours in rank of which the later lost a larger share of its lots. Those that were not touched lost nothing."""
    lost: dict[int, tuple[int, int]] = {}
    for match in matches:
        taken, _ = lost.get(match.rank, (0, 0))
        lost[match.rank] = taken + match.executed_lots, abs(match.candidate.lots)
    return sum(later == rank + 1 and lost[later][0] * lost[rank][1] > lost[rank][0] * lost[later][1] for rank, later in pairwise(sorted(lost)))


def execution_row(
    wave: Wave, position: Unplaced, match: Match, ended: OpenInstruction, *, instruction_id: int, now_us: int
) -> dict[str, int | str | None]:
    """The adl-executions row of a pair of which lots were executed."""
    candidate = match.candidate
    lit = lights(match.lots_ahead + candidate.offered_lots, wave.candidate_lots_total)
    return {
        "event_time_us": now_us, "wave_id": wave.wave_id, "pool": wave.pool, "instruction_id": instruction_id, "instrument": wave.market.instrument,
        "account": candidate.account, "partition": candidate.partition, "position_side": candidate.position_side,
        "liquidated_account": ended.account, "liquidated_side": position.position_side, "lots": ended.executed_lots,
        "instructed_lots": match.lots, "quote": ended.executed_quote,
        "bankruptcy_quote": -quote_part_floor(match.quote, ended.executed_lots, match.lots), "mark_ticks": wave.mark_ticks,
        "mark_sequence": wave.mark_sequence, "policy_id": wave.policy_id, "policy_version": wave.policy_version, "rank": match.rank,
        "of_n": wave.candidates_total, "lots_ahead": match.lots_ahead, "lots_total": wave.candidate_lots_total,
        "percentile_accounts_ppm": percentile_accounts_ppm(match.rank, wave.candidates_total),
        "percentile_lots_ppm": percentile_lots_ppm(match.lots_ahead, wave.candidate_lots_total), "lights": lit,
        "position_lots": candidate.lots, "cost": candidate.cost, "group_wallet": candidate.group_wallet, "group_equity": candidate.group_equity,
        "group_maintenance": candidate.group_maintenance, "position_maintenance": candidate.position_maintenance,
        "room": match.room, "reason": reason(wave, match, ended, lit),
    }  # fmt: skip


def reason(wave: Wave, match: Match, ended: OpenInstruction, lit: int) -> str:
    """Plain words for the person who was deleveraged. The instrument and amounts of money stand in fields: a reader has symbols and decimals."""
    side = PositionSide(wave.market.side).name.lower()
    at = "the bankruptcy quote of that position" if wave.price_rule == PriceRule.BANKRUPTCY else "the mark"
    return (
        f"{ended.executed_lots:,} of your {abs(match.candidate.lots):,} lots ({side}) were closed at {at}, because a position on the other side had "
        f"to be closed, neither the market nor the insurance fund took all of it, and you stood at rank {match.rank:,} of "
        f"{wave.candidates_total:,} in the {wave.policy_id.name} order ({lit} of 5 lights; {match.lots_ahead:,} of "
        f"{wave.candidate_lots_total:,} lots ahead of you)."
    )


def wave_row(wave: Wave, matches: Iterable[Match], *, now_us: int) -> dict[str, Any]:
    """The adl-waves row, when all results are in."""
    return {
        "event_time_us": now_us, "wave_id": wave.wave_id, "pool": wave.pool, "instrument": wave.market.instrument, "side": wave.market.side,
        "policy_id": wave.policy_id, "policy_version": wave.policy_version, "price_rule": wave.price_rule, "opened_us": wave.opened_us,
        "lots_needed": wave.needed_lots, "lots_allocated": wave.allocated_lots, "lots_taken": wave.taken_lots,
        "residual_lots": wave.residual_lots, "needed_budget": wave.needed_budget, "gained": wave.gained,
        "matched_lots": wave.matched_lots, "fund_lots": wave.fund_lots, "passed_over": wave.passed_over,
        "overshoot_lots": max(0, wave.taken_lots - wave.needed_lots), "largest_haircut_ppm": wave.largest_haircut_ppm,
        "inversions": inversions(matches), "candidates_total": wave.candidates_total, "candidate_lots_total": wave.candidate_lots_total,
        "shards": wave.shards, "incomplete": wave.incomplete, "mark_ticks": wave.mark_ticks, "mark_sequence": wave.mark_sequence,
    }  # fmt: skip
