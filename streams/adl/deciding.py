"""What becomes of lots that ask to be placed, on one vector of marks: others in resolution first, then the fund, then winners; the rest goes back.

Directly, when the event that told them knows the same marks as the shard did; by a wave's answers otherwise. Every lot that was asked for is
answered for: an instruction holds it, or it is the shard's again, which judges it anew.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from operator import itemgetter
from typing import Any, Final, Protocol

import numpy as np

from streams.adl.allocation import Allocation, Giver, Means, Wanted, allocate
from streams.adl.matching import Side, may_meet, meet
from streams.adl.requests import Market as MarketSide
from streams.adl.requests import Requests, market_of
from streams.adl.wave import Candidate, Chunk, Match, Piece, Standing, Wave, Waves, group_of
from streams.domain.batch import Outputs
from streams.domain.events import AdlWhen, CauseKind, InstructionKind, PositionSide, PriceRule, RoomFloor, WaveStatus
from streams.domain.instructions import OpenInstructions, instruction_row
from streams.domain.market import Market, MarkPrice
from streams.domain.money import PPM, div_ceil, div_floor
from streams.domain.resolution import Group, Party, Unplaced
from streams.ranking.order import Candidates, rank

DECISION_ROWS: Final = 4096  # about 120 kB a record, far below a broker's limit of 1 MB
CANDIDATE_OF_ROW: Final = itemgetter(*Candidate._fields)
STANDING_OF_ROW: Final = itemgetter(*Standing._fields)


class Offer(Protocol):
    """How the fund is asked: it takes the first so many lots of the position at its bankruptcy quote; which instruction says so."""

    def __call__(self, position: Unplaced, mark: MarkPrice, *, attempt: int, now_us: int, out: Outputs) -> tuple[int, int | None]:
        """Offer the position to the fund."""


@dataclass(slots=True)
class Asking:
    """A position as it is decided: what is left of it, and (lots, instruction) of what was placed."""

    position: Unplaced
    placed: list[tuple[int, int]] = field(default_factory=list)

    def place(self, lots: int, instruction_id: int) -> None:
        """An instruction holds these lots."""
        self.position = self.position.less(lots)
        self.placed.append((lots, instruction_id))


@dataclass(slots=True)
class Answered:
    """A wave whose asking is over: its positions as they stand, and who offered themselves."""

    wave: Wave
    asking: list[Asking]
    candidates: list[Candidate]


class Deciding:
    """Decides requests and waves; keeps nothing itself."""

    def __init__(self, market: Market, requests: Requests, waves: Waves, instructions: OpenInstructions, offer: Offer) -> None:
        self._market, self._requests, self._waves = market, requests, waves
        self._instructions, self._offer = instructions, offer

    # -- without a wave -----------------------------------------------------------------------------------------------------------------

    def directly(self, now_us: int, out: Outputs) -> None:
        """Place what this event told at the marks in force; what is left of it waits for a wave."""
        told_now = [position for position in self._requests.take_fresh() if position.instrument in self._market.marks]
        fresh = [Asking(position) for position in told_now if position.equity < position.maintenance]  # the others leave their wave by its answers
        told = [asking.position for asking in fresh]
        by_instrument: dict[tuple[int, int], list[Asking]] = {}
        for asking in fresh:
            by_instrument.setdefault((asking.position.pool, asking.position.instrument), []).append(asking)
        for (_, instrument), here in sorted(by_instrument.items()):
            self._meet(
                [a for a in here if a.position.sign > 0], [a for a in here if a.position.sign < 0], self._market.marks[instrument], now_us, out
            )
        for asking in fresh:
            self._to_fund(asking, self._market.marks[asking.position.instrument], now_us, out)
        placed: dict[MarketSide, list[Asking]] = {}
        for asking, position in zip(fresh, told, strict=True):
            if asking.placed:
                placed.setdefault(market_of(position), []).append(asking)
        for side, done in sorted(placed.items()):
            placements = [row for asking in done for row in _placements(asking)[: len(asking.placed)]]
            self._tell(out, 0, done[0].position.pool, side, WaveStatus.PLACED, [], placements, now_us)
        for asking, position in zip(fresh, told, strict=True):
            if asking.placed:
                self._requests.placed(position, sum(lots for lots, _ in asking.placed))

    # -- a wave -------------------------------------------------------------------------------------------------------------------------

    def waves(self, wave_ids: Sequence[int], now_us: int, out: Outputs, *, shard_count: int) -> list[Wave]:
        """Decide a wave, or the two of one instrument that asked at the same marks; the waves as decided."""
        sides = [self._answered(wave_id, shard_count) for wave_id in wave_ids]
        if len(sides) == 2:
            longs, shorts = sorted(sides, key=lambda side: _longs_first(side.wave))
            self._meet(longs.asking, shorts.asking, longs.wave.mark, now_us, out)
        return [self._decide(side, now_us, out) for side in sides]

    def may_meet(self, one: Wave, other: Wave) -> bool:
        """Whether positions of these waves have prices that overlap, as they were told."""
        sides = [[_side(piece.position) for piece in self._waves.pieces_of(wave.wave_id)] for wave in sorted((one, other), key=_longs_first)]
        return may_meet(*sides)

    def give_up(self, wave_id: int, now_us: int, out: Outputs, *, shard_count: int) -> Wave:
        """Its deadline has passed: everything goes back, and is asked for again when its shards judge it again."""
        side = self._answered(wave_id, shard_count)
        return self._told(side, Allocation(), [], [], now_us, out)

    def _answered(self, wave_id: int, shard_count: int) -> Answered:
        shards = self._waves.asking[wave_id].shards
        chunks = self._waves.end_asking(wave_id)
        standing = {(s.account, s.position_side, s.episode, s.revision): s for _, chunk in chunks for s in chunk.positions}
        asking = [Asking(self._as_it_stands(piece, standing)) for piece in self._waves.pieces_of(wave_id)]
        wave = replace(
            self._waves.waves[wave_id], is_decided=True, shards=shards, incomplete=shard_count - shards,
            candidates_total=_total(chunks, "candidates_total"), candidate_lots_total=_total(chunks, "lots_total"),
        )  # fmt: skip
        return Answered(wave, asking, [candidate for _, chunk in chunks for candidate in chunk.rows])

    def _as_it_stands(self, piece: Piece, standing: Mapping[tuple[int, int, int, int], Standing]) -> Unplaced:
        """The position at the wave's marks: nothing to place if it has recovered, was told anew, is over, or nobody answered for it.

        A shard that answers before it has read what was placed directly names those lots too: never more than was left of the request.
        """
        told = piece.position
        now = standing.get((told.episode.group.account, told.position_side, told.episode.number, told.revision))
        if now is None or piece.is_closed or now.lots * told.sign <= 0 or not self._requests.stands(told):
            return replace(told, lots=0, quote=0)
        whole = replace(told, lots=abs(now.lots), quote=now.bankruptcy_quote, equity=now.equity, maintenance=now.maintenance)
        lots = min(whole.lots, told.lots)
        return replace(whole, lots=lots, quote=whole.quote_of(lots))

    def _decide(self, side: Answered, now_us: int, out: Outputs) -> Wave:
        matched = sum(lots for asking in side.asking for lots, _ in asking.placed)
        for asking in side.asking:
            self._to_fund(asking, side.wave.mark, now_us, out)
        placed = sum(lots for asking in side.asking for lots, _ in asking.placed)
        side.wave = replace(side.wave, matched_lots=matched, fund_lots=placed - matched)
        ranked = _ranked(side.wave, side.candidates)
        found = self._to_winners(side, ranked)
        ids = self._instruct(side, ranked, found, now_us, out)
        return self._told(side, found, ranked, ids, now_us, out)

    def _told(self, side: Answered, found: Allocation, ranked: Sequence[Candidate], ids: Sequence[int], now_us: int, out: Outputs) -> Wave:
        """Tell the shards and keep the figures."""
        wave = side.wave = replace(
            side.wave, allocated_lots=sum(pair.lots for pair in found.pairs), passed_over=len(found.passed_over),
            residual_lots=sum(asking.position.lots for asking in side.asking),
        )  # fmt: skip
        self._waves.waves[wave.wave_id] = wave
        rows = [
            {
                "account": ranked[pair.offsetting].account, "position_side": ranked[pair.offsetting].position_side, "lots": pair.lots,
                "instruction_id": key, "room": max(0, pair.loss),
            }
            for pair, key in zip(found.pairs, ids, strict=True)
        ]  # fmt: skip
        placements = [row for asking in side.asking for row in _placements(asking)]
        is_placed = any(asking.placed for asking in side.asking)
        status = WaveStatus.ALLOCATED if is_placed else WaveStatus.CLOSED
        self._tell(out, wave.wave_id, wave.pool, wave.market, status, rows, placements, now_us)
        for piece, asking in zip(self._waves.pieces_of(wave.wave_id), side.asking, strict=True):
            self._requests.decided(piece.position, sum(lots for lots, _ in asking.placed))
        return wave

    # -- who takes ----------------------------------------------------------------------------------------------------------------------

    def _meet(self, longs: Sequence[Asking], shorts: Sequence[Asking], mark: MarkPrice, now_us: int, out: Outputs) -> None:
        """Close those in resolution on opposite sides against each other."""
        longs, shorts = ([asking for asking in side if asking.position.lots] for side in (longs, shorts))
        if not longs or not shorts:
            return
        sides = [[_side(asking.position) for asking in side] for side in (longs, shorts)]
        lot_value = self._market.instruments[longs[0].position.instrument].value(1, mark.ticks)
        for met in meet(sides[0], sides[1], lot_value):
            long, short = longs[met.long], shorts[met.short]
            key = self._send_meeting(long.position, short.position, met.lots, met.quote, mark, now_us, out)
            for asking in (long, short):
                asking.placed.append((met.lots, key))
        for asking in (*longs, *shorts):
            asking.position = asking.position.less(sum(lots for lots, _ in asking.placed))

    def _send_meeting(self, long: Unplaced, short: Unplaced, lots: int, quote: int, mark: MarkPrice, now_us: int, out: Outputs) -> int:
        """One instruction: the one with less equity is the account, the other its counter-account."""
        one, other = sorted((long, short), key=lambda p: (p.equity, p.episode.group.account))
        row = instruction_row(
            epoch=self._market.epoch, kind=InstructionKind.ADL, pool=self._market.pools[one.pool], cause_kind=CauseKind.EPISODE,
            cause_id=one.episode.id, attempt=self._requests.attempt(one), party=one.party, counter=other.party, now_us=now_us, lots=-one.sign * lots,
            quote=-one.sign * quote, mark=mark,
        )  # fmt: skip
        self._requests.sent(one)
        return self._instructions.send(out, row, one.episode, other.episode)

    def _to_fund(self, asking: Asking, mark: MarkPrice, now_us: int, out: Outputs) -> None:
        if not asking.position.lots:
            return
        attempt = self._requests.attempt(asking.position)
        lots, key = self._offer(asking.position, mark, attempt=attempt, now_us=now_us, out=out)
        if key is not None:
            self._requests.sent(asking.position)
            asking.place(lots, key)

    def _to_winners(self, side: Answered, ranked: Sequence[Candidate]) -> Allocation:
        wave = side.wave
        wanted = []
        for asking in side.asking:
            position = asking.position
            may_give = position.equity < 0 or wave.adl_when == AdlWhen.UNPLACED
            loss = loss_to_taker(position, wave.lot_value, wave.price_rule, wave.price_cap_ppm)
            wanted.append(Wanted(position.lots, position.quote, loss) if may_give else Wanted(0, 0, 0))
        numbers: dict[Group, int] = {}
        reserved: dict[Group, int] = {}
        for candidate in ranked:
            group = group_of(wave, candidate)
            numbers.setdefault(group, len(numbers))
            reserved[group] = min(reserved.get(group, candidate.room_reserved), candidate.room_reserved)
        groups = [Means(0, 0)] * len(numbers)
        for candidate in ranked:
            group = group_of(wave, candidate)
            groups[numbers[group]] = Means(candidate.group_equity - reserved[group], candidate.group_maintenance)
        givers = [Giver(numbers[group_of(wave, c)], c.offered_lots, abs(c.lots)) for c in ranked]
        instrument = self._market.instruments[wave.market.instrument]
        requirement = (lambda lots: instrument.maintenance(lots * wave.lot_value)) if wave.room_floor == RoomFloor.MAINTENANCE else None
        return allocate(wanted, givers, groups, requirement)

    def _instruct(self, side: Answered, ranked: Sequence[Candidate], found: Allocation, now_us: int, out: Outputs) -> list[int]:
        """One ADL instruction a pair; their ids."""
        wave = side.wave
        pool, ahead = self._market.pools[wave.pool], [0, *accumulate(candidate.offered_lots for candidate in ranked)]
        attempts: dict[tuple[int, int], int] = {}
        ids = []
        for pair in found.pairs:
            asking, candidate = side.asking[pair.liquidated], ranked[pair.offsetting]
            position = asking.position
            # The id does not name the counter-account's leg: two legs of one account differ in the attempt.
            attempt = attempts[pair.liquidated, candidate.account] = attempts.get((pair.liquidated, candidate.account), 0) + 1
            counter = Party(group_of(wave, candidate), candidate.partition, wave.market.instrument, candidate.position_side)
            row = instruction_row(
                epoch=self._market.epoch, kind=InstructionKind.ADL, pool=pool, cause_kind=CauseKind.WAVE, cause_id=wave.wave_id, attempt=attempt,
                party=position.party, counter=counter, now_us=now_us, lots=-position.sign * pair.lots,
                quote=-(position.sign * pair.lots * wave.lot_value + pair.loss), mark=wave.mark, policy_version=wave.policy_version,
            )  # fmt: skip
            key = self._instructions.send(out, row, position.episode)
            match = Match(wave.wave_id, pair.liquidated, pair.offsetting + 1, ahead[pair.offsetting], candidate, pair.lots, pair.quote, pair.room)
            self._waves.matched(key, match)
            asking.place(pair.lots, key)
            ids.append(key)
        return ids

    # -- telling the shards -------------------------------------------------------------------------------------------------------------

    def _tell(
        self, out: Outputs, wave_id: int, pool: int, market: MarketSide, status: WaveStatus, rows: Sequence[dict[str, Any]],
        placements: Sequence[dict[str, Any]], now_us: int,
    ) -> None:  # fmt: skip
        """The adl-decisions rows. Sent in any case, for they release what was reserved."""
        chunks = max(1, div_ceil(max(len(rows), len(placements)), DECISION_ROWS))
        self._requests.decisions += chunks
        for chunk in range(chunks):
            part = slice(chunk * DECISION_ROWS, (chunk + 1) * DECISION_ROWS)
            out.emit(
                "adl-decisions",
                {
                    "wave_id": wave_id, "pool": pool, "instrument": market.instrument, "side": market.side, "status": status, "chunk": chunk,
                    "chunks": chunks, "event_time_us": now_us, "placements": placements[part], "rows": rows[part],
                },
            )  # fmt: skip

    def tell_withdrawn(self, out: Outputs, wave: Wave, rows: Sequence[Mapping[str, Any]], now_us: int) -> None:
        """These candidates are the shard's again."""
        given = [{"account": r["account"], "position_side": r["position_side"], "lots": 0, "instruction_id": 0, "room": 0} for r in rows]
        self._tell(out, wave.wave_id, wave.pool, wave.market, WaveStatus.WITHDRAWN, given, [], now_us)

    def tell_over(self, out: Outputs, wave_id: int, pool: int, market: MarketSide, now_us: int) -> None:
        """The wave is over for a shard that answers after its decision: what it has reserved is free."""
        self._tell(out, wave_id, pool, market, WaveStatus.CLOSED, [], [], now_us)


def _longs_first(wave: Wave) -> bool:
    return wave.market.side != PositionSide.SHORT  # shorts offset longs


def _side(position: Unplaced) -> Side:
    return Side(position.episode.group.account, position.lots, position.quote)


def loss_to_taker(position: Unplaced, lot_value: int, rule: PriceRule, cap_ppm: int | None) -> int:
    """What all its lots cost a winner against the mark, negative for a gain; settlement units.

    At mark it is nothing. A cap bounds it to a share of the mark, rounded down: what is above stays the liquidated group's debt.
    """
    if rule == PriceRule.MARK:
        return 0
    loss = position.quote - position.sign * position.lots * lot_value
    return loss if cap_ppm is None else min(loss, div_floor(cap_ppm * position.lots * lot_value, PPM))


def loss_per_lot(positions: Iterable[Unplaced], lot_value: int, rule: PriceRule, cap_ppm: int | None) -> int:
    """The most that a lot of these is expected to cost a winner, rounded up; 0 if none costs anything."""
    return max(0, *(div_ceil(loss_to_taker(p, lot_value, rule, cap_ppm), p.lots) for p in positions))


def _total(chunks: Iterable[tuple[int, Chunk]], name: str) -> int:
    return sum(int(getattr(chunk, name)) for number, chunk in chunks if number == 0)


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


def _placements(asking: Asking) -> list[dict[str, Any]]:
    """What becomes of a position: what instructions hold, then what goes back to its shard."""
    position = asking.position
    who = {
        "account": position.episode.group.account, "position_side": position.position_side, "episode": position.episode.number,
        "revision": position.revision,
    }  # fmt: skip
    rows: list[dict[str, Any]] = [{**who, "lots": lots, "instruction_id": key} for lots, key in asking.placed]
    return rows if rows and not position.lots else [*rows, {**who, "lots": position.lots, "instruction_id": None}]
