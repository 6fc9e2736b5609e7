"""The machine of ADL waves: unplaced lots in; probes, decisions, instructions, and the record of each execution and wave out.

One wave at a time per (instrument, side). It waits for every shard; a late one is an alarm, never left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from operator import itemgetter
from typing import Any, Final

import numpy as np
import pyarrow as pa

from streams.adl.allocation import Left, Pair, allocate
from streams.adl.execution import execution_row, given_up, haircut_ppm, wave_row
from streams.adl.requests import Market as MarketSide
from streams.adl.requests import Requests
from streams.adl.wave import Candidate, Chunk, Match, Piece, Wave, Waves
from streams.domain.batch import Outputs
from streams.domain.events import CauseKind, InstructionKind, MarginMode, PriceRule, WaveStatus
from streams.domain.ids import identity
from streams.domain.instructions import OpenInstruction, OpenInstructions, instruction_row
from streams.domain.market import Market, MarkPrice
from streams.domain.money import div_ceil, quote_part_floor
from streams.domain.resolution import Deleveraged, Episode, Group, Unplaced
from streams.domain.state import Digested
from streams.ranking.order import Candidates, rank

DECISION_ROWS: Final = 4096  # about 120 kB a record, far below a broker's limit of 1 MB
CANDIDATE_OF_ROW: Final = itemgetter(*Candidate._fields)


class Adl:
    """All waves of the pools task."""

    def __init__(self, market: Market, shard_count: int) -> None:
        self.market, self.shard_count = market, shard_count
        self.requests = Requests()
        self.waves = Waves()
        self.open = OpenInstructions("adl_open")
        self.wave_number = 0

    @property
    def parts(self) -> tuple[Digested, ...]:
        """The tables; `wave_number` stands beside them."""
        return self.requests.table, *self.waves.parts, self.open.table

    def restore(self, tables: Mapping[str, pa.RecordBatch], wave_number: int) -> None:
        """Take over the tables of a snapshot."""
        self.requests.restore(tables)
        self.open.restore(tables)
        self.waves.restore(tables, self.open.table)
        self.wave_number = wave_number

    def request(self, position: Unplaced, *, waits: bool) -> None:
        """These lots ask for a wave; `waits`: not before the next mark."""
        self.requests.add(position, waits=waits)

    def marked(self) -> None:
        """A mark was applied: what waited for one goes on."""
        self.requests.release()

    def close(self, episode: Episode) -> None:
        """CLOSED: the episode is over."""
        self.requests.close(episode)
        self.waves.close(episode)

    def is_open_in(self, episode: Episode) -> bool:
        """Whether an ADL instruction of the episode awaits results."""
        return self.open.is_open_in(episode)

    def end_event(self, clock_us: int, now_us: int, out: Outputs) -> None:
        """What follows from an event as a whole: new waves, and alarms of what is late."""
        for side in self.requests.ready():
            if side not in self.waves.open and side.instrument in self.market.marks:
                self._open_wave(side, now_us, out)
        for wave_id in sorted(self.waves.asking):
            wave = self.waves.waves[wave_id]
            if clock_us > wave.late_us and not wave.is_late:
                self.waves.waves[wave_id] = replace(wave, is_late=True)
                out.alarm("wave_waits_for_shards", wave_id=wave_id, answered=self.waves.asking[wave_id].shards, of=self.shard_count)
        self.open.alarm_overdue(clock_us, out)

    def _open_wave(self, side: MarketSide, now_us: int, out: Outputs) -> None:
        """Ask every shard, at one vector of marks; the probe's time is that of the newest mark in it, which every shard's clock will reach."""
        self.wave_number += 1
        positions, instrument = self.requests.take(side), self.market.instruments[side.instrument]
        pool, mark = self.market.pools[positions[0].pool], self.market.marks[side.instrument]
        wave = Wave(
            wave_id=identity("wave", side.instrument, int(side.side), self.wave_number), pool=pool.pool, asset=pool.asset, market=side,
            policy_id=pool.policy_id, policy_version=pool.version, price_rule=pool.price_rule, score_wallet_floor=pool.score_wallet_floor,
            opened_us=now_us, late_us=now_us + pool.instruction_valid_us, mark_ticks=mark.ticks, mark_sequence=mark.sequence,
            mark_time_us=mark.time_us, lot_value=instrument.value(1, mark.ticks), needed_lots=sum(p.lots for p in positions),
        )  # fmt: skip
        self.waves.begin(wave, positions)
        marks = list(self.market.marks.items())
        out.emit(
            "adl-probes",
            {
                "wave_id": wave.wave_id, "pool": pool.pool, "instrument": side.instrument, "side": side.side, "lots_needed": wave.needed_lots,
                "policy_id": pool.policy_id, "policy_version": pool.version, "score_wallet_floor": pool.score_wallet_floor,
                "shard_count": self.shard_count, "event_time_us": max(m.time_us for _, m in marks),
                "marks": [{"instrument": i, "mark_ticks": m.ticks, "sequence": m.sequence} for i, m in marks],
            },
        )  # fmt: skip

    def candidates(self, row: Mapping[str, Any], out: Outputs, now_us: int) -> None:
        """A chunk of a shard's answer. When the last one is in, the wave is allocated."""
        wave_id, shard = row["wave_id"], row["shard"]
        if wave_id not in self.waves.asking:
            out.alarm("candidates_not_asked_for", wave_id=wave_id, shard=shard, chunk=row["chunk"])
            return
        candidates = tuple(Candidate._make(CANDIDATE_OF_ROW(candidate)) for candidate in row["rows"])
        chunk = Chunk(row["chunks"], row["candidates_total"], row["lots_total"], candidates)
        if self.waves.answer((wave_id, shard, row["chunk"]), chunk) == self.shard_count:
            self._allocate(wave_id, out, now_us)

    def _allocate(self, wave_id: int, out: Outputs, now_us: int) -> None:
        """Total order, pairs, instructions, and the decision that tells the shards what stays reserved."""
        chunks = self.waves.end_asking(wave_id)
        wave, pieces = self.waves.waves[wave_id], self.waves.pieces_of(wave_id)
        ranked = _ranked(wave, [candidate for _, chunk in chunks for candidate in chunk.rows])
        wanted = [(0 if piece.is_closed else piece.position.lots, piece.position.quote) for piece in pieces]
        pairs, left = allocate(wanted, [candidate.offered_lots for candidate in ranked])
        wave = replace(
            wave, allocated_lots=sum(pair.lots for pair in pairs), residual_lots=sum(rest.lots for rest in left),
            candidates_total=sum(chunk.candidates_total for number, chunk in chunks if number == 0),
            candidate_lots_total=sum(chunk.lots_total for number, chunk in chunks if number == 0),
        )  # fmt: skip
        self.waves.waves[wave_id] = wave
        ids = self._instruct(wave, pieces, ranked, pairs, now_us=now_us, out=out)
        _decide(wave, pieces, [(ranked[pair.offsetting], pair.lots, key) for pair, key in zip(pairs, ids, strict=True)], left, now_us, out)
        for rest in left:
            self.request(replace(pieces[rest.liquidated].position, lots=rest.lots, quote=rest.quote), waits=True)
        if not pairs:
            self._end_wave(wave, out, now_us)

    def _instruct(
        self, wave: Wave, pieces: Sequence[Piece], ranked: Sequence[Candidate], pairs: Sequence[Pair], *, now_us: int, out: Outputs
    ) -> list[int]:
        """One ADL instruction a pair; their ids."""
        pool = self.market.pools[wave.pool]
        mark = MarkPrice(wave.mark_ticks, wave.mark_sequence, wave.mark_time_us)
        ahead = [0, *accumulate(candidate.offered_lots for candidate in ranked)]
        attempts: dict[tuple[int, int], int] = {}
        ids = []
        for pair in pairs:
            position, candidate = pieces[pair.liquidated].position, ranked[pair.offsetting]
            # The id does not name the counter-account's leg: two legs of one account differ in the attempt.
            attempt = attempts[pair.liquidated, candidate.account] = attempts.get((pair.liquidated, candidate.account), 0) + 1
            quote = pair.quote if wave.price_rule == PriceRule.BANKRUPTCY else position.sign * pair.lots * wave.lot_value
            row = instruction_row(
                kind=InstructionKind.ADL, pool=pool, cause_kind=CauseKind.WAVE, cause_id=wave.wave_id, attempt=attempt,
                account=position.episode.group.account, partition=position.partition, now_us=now_us, instrument=wave.market.instrument,
                position_side=position.position_side, lots=-position.sign * pair.lots, quote=-quote, counter_account=candidate.account,
                counter_position_side=candidate.position_side, counter_partition=candidate.partition, mark=mark,
                policy_version=wave.policy_version,
            )  # fmt: skip
            key = self.open.send(out, row, position.episode)
            match = Match(wave.wave_id, pair.liquidated, pair.offsetting + 1, ahead[pair.offsetting], candidate, pair.lots, pair.quote)
            self.waves.matched(key, match)
            ids.append(key)
        return ids

    def result(self, row: Mapping[str, Any], out: Outputs, now_us: int) -> tuple[Episode | None, Deleveraged | None]:
        """One party's result. With the last one: the episode it belonged to, and what was executed, if its episode is not over."""
        ended, key = self.open.result(row, out), row["instruction_id"]
        if ended is None:
            return None, None
        match = self.waves.matches[key]
        wave, piece = self.waves.waves[match.wave_id], self.waves.pieces[match.wave_id, match.piece]
        position, executed = piece.position, ended.executed_lots
        execution = None
        if executed:
            match = self.waves.matches[key] = replace(match, executed_lots=executed)
            wave = self._count(wave, position, match, ended)
            out.emit("adl-executions", execution_row(wave, position, match, ended, instruction_id=key, now_us=now_us))
            execution = _deleveraged(wave, position, match)
        if executed < match.lots and not piece.is_closed:
            self.request(replace(position, lots=match.lots - executed, quote=_quote_left(wave, match, ended)), waits=True)
        self.waves.pending[wave.wave_id] -= 1
        if not self.waves.pending[wave.wave_id]:
            self._end_wave(wave, out, now_us)
        return position.episode, None if piece.is_closed else execution

    def _count(self, wave: Wave, position: Unplaced, match: Match, ended: OpenInstruction) -> Wave:
        wave = self.waves.waves[wave.wave_id] = replace(
            wave, taken_lots=wave.taken_lots + ended.executed_lots, needed_budget=wave.needed_budget + abs(given_up(wave, position, ended)),
            largest_haircut_ppm=max(wave.largest_haircut_ppm, haircut_ppm(wave, position, match, ended)),
        )  # fmt: skip
        return wave

    def _end_wave(self, wave: Wave, out: Outputs, now_us: int) -> None:
        out.emit("adl-waves", wave_row(wave, self.waves.matches_of(wave.wave_id), shards=self.shard_count, now_us=now_us))
        self.waves.end(wave.wave_id)


def _quote_left(wave: Wave, match: Match, ended: OpenInstruction) -> int:
    """The bankruptcy quote of a shortfall: what has not been paid of it, or, where the lots went at mark, their part."""
    if wave.price_rule == PriceRule.BANKRUPTCY:
        return match.quote + ended.executed_quote
    return match.quote - quote_part_floor(match.quote, ended.executed_lots, match.lots)


def _ranked(wave: Wave, candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates of all shards in the total order, best first."""
    if not candidates:
        return []
    table = np.array(candidates, dtype=np.int64)
    column = {name: table[:, n] for n, name in enumerate(Candidate._fields)}
    inputs = Candidates(
        account=column["account"], position_side=column["position_side"], lots=column["lots"], value=column["lots"] * wave.lot_value,
        cost=column["cost"], group_wallet=column["group_wallet"], group_equity=column["group_equity"],
        group_maintenance=column["group_maintenance"], position_maintenance=column["position_maintenance"],
    )  # fmt: skip
    return [candidates[n] for n in rank(wave.policy_id, inputs, wave.score_wallet_floor).tolist()]


def _decide(
    wave: Wave, pieces: Sequence[Piece], taken: Sequence[tuple[Candidate, int, int]], left: Sequence[Left], now_us: int, out: Outputs
) -> None:
    """The adl-decisions rows: `taken` are (who, lots, instruction id). Sent in any case, for they release what was reserved."""
    rows = [{"account": c.account, "position_side": c.position_side, "lots": lots, "instruction_id": key} for c, lots, key in taken]
    residuals = []
    for rest in left:
        position = pieces[rest.liquidated].position
        residuals.append({"account": position.episode.group.account, "position_side": position.position_side, "lots": rest.lots})
    chunks = max(1, div_ceil(max(len(rows), len(residuals)), DECISION_ROWS))
    for chunk in range(chunks):
        part = slice(chunk * DECISION_ROWS, (chunk + 1) * DECISION_ROWS)
        out.emit(
            "adl-decisions",
            {
                "wave_id": wave.wave_id, "pool": wave.pool, "instrument": wave.market.instrument, "side": wave.market.side,
                "status": WaveStatus.ALLOCATED if rows else WaveStatus.CLOSED, "chunk": chunk, "chunks": chunks, "event_time_us": now_us,
                "residuals": residuals[part], "rows": rows[part],
            },
        )  # fmt: skip


def _deleveraged(wave: Wave, position: Unplaced, match: Match) -> Deleveraged:
    """The execution as the socialising of losses sees it."""
    candidate = match.candidate
    is_isolated = candidate.margin_mode == MarginMode.ISOLATED
    side = (wave.market.instrument, candidate.position_side) if is_isolated else (0, 0)
    return Deleveraged(
        episode=position.episode, payer=Group(wave.asset, candidate.account, *side), partition=candidate.partition,
        notional=match.executed_lots * wave.lot_value, equity=candidate.group_equity,
    )  # fmt: skip
