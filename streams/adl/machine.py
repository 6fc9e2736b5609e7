"""The machine of ADL waves: unplaced lots in; probes, decisions, instructions, and the record of each execution and wave out.

One wave at a time per (instrument, side) is asking. It waits for every shard until its deadline: a shard that is late is left out, or the wave
is given up, by the pool's parameter. What it instructed is executed beside later waves. When an answer comes late, its shard hears that it is over.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from streams.adl.deciding import CANDIDATE_OF_ROW, STANDING_OF_ROW, Deciding, Offer, loss_per_lot
from streams.adl.execution import execution_row, given_up, haircut_ppm, wave_row
from streams.adl.requests import Market as MarketSide
from streams.adl.requests import Requests
from streams.adl.wave import Candidate, Chunk, Match, Standing, Wave, Waves, group_of
from streams.domain.alarms import Alarm, Lasting
from streams.domain.batch import Outputs
from streams.domain.events import AnswerKind, LatePolicy, PositionSide
from streams.domain.ids import identity
from streams.domain.instructions import OpenInstruction, OpenInstructions
from streams.domain.instruments import Use
from streams.domain.market import Market
from streams.domain.resolution import Deleveraged, Episode, Group, Unplaced
from streams.domain.state import Digested, StateTable


class Adl:
    """All waves of the pools task. `offer`: how the fund is asked what it takes."""

    def __init__(self, market: Market, shard_count: int, offer: Offer) -> None:
        self.market, self.shard_count = market, shard_count
        self.requests = Requests()
        self.waves = Waves()
        self.open = OpenInstructions("adl_open")
        self.deciding = Deciding(market, self.requests, self.waves, self.open, offer)
        # Since when no wave of a market has been answered by all shards, once one was late; until one is, or no episode needs one.
        self.unanswered: StateTable[MarketSide, int] = StateTable("adl_unanswered", MarketSide, int)
        self.wave_number = 0

    @property
    def parts(self) -> tuple[Digested, ...]:
        """The tables; `wave_number` stands beside them."""
        return self.requests.table, *self.waves.parts, self.open.table, self.unanswered

    def restore(self, tables: Mapping[str, pa.RecordBatch], wave_number: int, decisions: int) -> None:
        """Take over the tables of a snapshot."""
        self.requests.restore(tables, decisions)
        self.open.restore(tables)
        self.waves.restore(tables, self.open.table)
        self.unanswered.from_arrow(tables[self.unanswered.name])
        self.wave_number = wave_number

    def tell(self, position: Unplaced, *, is_fresh: bool, heard: int) -> None:
        """What is to be placed of a position now; `is_fresh`: at the marks in force; `heard`: how many decisions its shard had heard."""
        self.requests.tell(position, is_fresh=is_fresh, heard=heard)

    def close(self, episode: Episode) -> None:
        """CLOSED: the episode is over."""
        self.requests.close(episode)
        self.waves.close(episode)

    def is_open_in(self, episode: Episode) -> bool:
        """Whether an ADL instruction of the episode awaits results."""
        return self.open.is_open_in(episode)

    def place(self, clock_us: int, now_us: int, out: Outputs) -> None:
        """At the end of an event, before the fund's own turn: what it told, and waves that are answered or late."""
        self.deciding.directly(now_us, out)
        answered = {wave_id for wave_id, answers in self.waves.asking.items() if answers.shards == self.shard_count}
        late = {wave_id for wave_id in self.waves.asking if wave_id not in answered and clock_us > self.waves.waves[wave_id].late_us}
        for wave_id in sorted(answered):
            self.unanswered.pop(self.waves.waves[wave_id].market)
        for wave_id in sorted(late):
            answers, wave = self.waves.asking[wave_id], self.waves.waves[wave_id]
            policy = wave.late_policy
            if wave.market not in self.unanswered:
                self.unanswered[wave.market] = wave.opened_us
                out.alarm(Alarm.WAVE_WAITS_FOR_SHARDS, wave_id=wave_id, answered=answers.shards, of=self.shard_count, policy=policy.name)
            if policy == LatePolicy.GIVE_UP:
                late.remove(wave_id)
                self._done(self.deciding.give_up(wave_id, now_us, out, shard_count=self.shard_count), out, now_us)
        for wave_id in sorted(answered | late):
            if wave_id in self.waves.asking:
                self._decide(wave_id, answered | late, late, now_us, out)

    def _decide(self, wave_id: int, due: set[int], late: set[int], now_us: int, out: Outputs) -> None:
        """Decide it, with the wave of the other side if that asks at the same marks: where the two may meet it waits, until its own deadline."""
        wave, other = self.waves.waves[wave_id], self._twin(wave_id)
        together = [wave_id]
        if other is not None and other.wave_id in due:
            together.append(other.wave_id)
        elif other is not None and wave_id not in late and self.deciding.may_meet(wave, other):
            return
        for decided in self.deciding.waves(together, now_us, out, shard_count=self.shard_count):
            self._done(decided, out, now_us)

    def _twin(self, wave_id: int) -> Wave | None:
        """The wave of the other side of the instrument, if it asks at the same marks."""
        wave, other = self.waves.waves[wave_id], self.waves.open.get(self.waves.waves[wave_id].market.opposite)
        twin = None if other is None else self.waves.waves[other]
        return twin if twin is not None and (twin.marks_seen, twin.pool) == (wave.marks_seen, wave.pool) else None

    def _done(self, wave: Wave, out: Outputs, now_us: int) -> None:
        if not self.waves.pending.get(wave.wave_id):
            self._end_wave(wave, out, now_us)

    def end_event(self, clock_us: int, now_us: int, marks_seen: int, out: Outputs) -> None:
        """What follows from an event as a whole: new waves, and alarms of what is late."""
        for side in self.requests.ready():
            if side not in self.waves.open and side.instrument in self.market.marks and self.market.allows(side.instrument, Use.ADL):
                self._open_wave(side, now_us, marks_seen, out)
        if len(self.unanswered):
            asked_of = {key.instrument for key in self.requests.table}
            for side in [side for side in self.unanswered if side.instrument not in asked_of]:
                del self.unanswered[side]
        self.open.alarm_overdue(clock_us, out)

    def lasting(self) -> Iterator[Lasting]:
        """Waves that are asked again and again because a shard does not answer."""
        since_us = [opened_us for _, opened_us in self.unanswered.items()]
        if since_us:
            yield Lasting(Alarm.WAVE_WAITS_FOR_SHARDS, "", len(since_us), min(since_us))

    def _open_wave(self, side: MarketSide, now_us: int, marks_seen: int, out: Outputs) -> None:
        """Ask every shard, at one vector of marks; the probe's time is that of the newest mark in it, which every shard's clock will reach."""
        self.wave_number += 1
        wave_id = identity("wave", side.instrument, int(side.side), self.wave_number)
        positions, instrument = self.requests.take(side, wave_id), self.market.instruments[side.instrument]
        pool, mark = self.market.pools[positions[0].pool], self.market.marks[side.instrument]
        wave = Wave(
            wave_id=wave_id, pool=pool.pool, asset=positions[0].episode.group.asset, market=side, policy_id=pool.policy_id,
            policy_version=pool.version, price_rule=pool.price_rule, score_wallet_floor=pool.score_wallet_floor, adl_when=pool.adl_when,
            room_floor=pool.room_floor, price_cap_ppm=pool.price_cap_ppm, late_policy=pool.wave_late, opened_us=now_us,
            late_us=now_us + pool.wave_deadline_us, mark_ticks=mark.ticks, mark_sequence=mark.sequence, mark_time_us=mark.time_us,
            lot_value=instrument.value(1, mark.ticks), marks_seen=marks_seen, needed_lots=sum(p.lots for p in positions),
        )  # fmt: skip
        self.waves.begin(wave, positions)
        marks = list(self.market.marks.items())
        out.emit(
            "adl-probes",
            {
                "wave_id": wave.wave_id, "pool": pool.pool, "instrument": side.instrument, "side": side.side, "lots_needed": wave.needed_lots,
                "policy_id": pool.policy_id, "policy_version": pool.version, "score_wallet_floor": pool.score_wallet_floor,
                "shard_count": self.shard_count, "event_time_us": max(m.time_us for _, m in marks),
                "positions": [_named(position) for position in positions],
                "loss_per_lot": loss_per_lot(positions, wave.lot_value, wave.price_rule, wave.price_cap_ppm),
                "marks": [{"instrument": i, "mark_ticks": m.ticks, "sequence": m.sequence} for i, m in marks],
            },
        )  # fmt: skip

    def candidates(self, row: Mapping[str, Any], out: Outputs, now_us: int) -> None:
        """A chunk of a shard's answer, or candidates that it asks back. The wave is decided when the event ends."""
        wave_id, shard = row["wave_id"], row["shard"]
        if wave_id not in self.waves.asking:
            if row["kind"] == AnswerKind.ANSWER:
                self._too_late(row, out, now_us)
        elif row["kind"] == AnswerKind.WITHDRAWN:
            for candidate in row["rows"]:
                self.waves.withdraw(wave_id, shard, candidate["account"], candidate["position_side"])
            self.deciding.tell_withdrawn(out, self.waves.waves[wave_id], row["rows"], now_us)
        else:
            candidates = tuple(Candidate._make(CANDIDATE_OF_ROW(candidate)) for candidate in row["rows"])
            positions = tuple(Standing._make(STANDING_OF_ROW(position)) for position in row["positions"])
            chunk = Chunk(row["chunks"], row["candidates_total"], row["lots_total"], candidates, positions)
            self.waves.answer((wave_id, shard, row["chunk"]), chunk)

    def _too_late(self, row: Mapping[str, Any], out: Outputs, now_us: int) -> None:
        wave = self.waves.waves.get(row["wave_id"])
        out.alarm(Alarm.CANDIDATES_NOT_ASKED_FOR, wave_id=row["wave_id"], answered_by=row["shard"], chunk=row["chunk"])
        if row["chunk"] == row["chunks"] - 1:
            market = MarketSide(0, PositionSide.UNKNOWN) if wave is None else wave.market
            self.deciding.tell_over(out, row["wave_id"], row["pool"], market, now_us)

    def result(self, row: Mapping[str, Any], out: Outputs, now_us: int) -> tuple[tuple[Episode, ...], Deleveraged | None]:
        """One party's result. With the last one: the episodes that waited for it, and what a winner gave, if that episode is not over.

        What was not executed asks for nothing here: its shard hears the result too, and judges the position again.
        """
        ended, key = self.open.result(row, out), row["instruction_id"]
        if ended is None:
            return (), None
        match = self.waves.matches.get(key)
        if match is None:  # two in resolution met
            return ended.episodes, None
        wave, piece = self.waves.waves[match.wave_id], self.waves.pieces[match.wave_id, match.piece]
        execution = None
        if ended.executed_lots:
            match = self.waves.matches[key] = replace(match, executed_lots=ended.executed_lots)
            wave = self._count(wave, piece.position, match, ended)
            out.emit("adl-executions", execution_row(wave, piece.position, match, ended, instruction_id=key, now_us=now_us))
            execution = None if piece.is_closed else _deleveraged(wave, piece.position, match)
        self.waves.pending[wave.wave_id] -= 1
        self._done(wave, out, now_us)
        return ended.episodes, execution

    def _count(self, wave: Wave, position: Unplaced, match: Match, ended: OpenInstruction) -> Wave:
        lost = given_up(wave, position, ended)
        wave = self.waves.waves[wave.wave_id] = replace(
            wave, taken_lots=wave.taken_lots + ended.executed_lots, needed_budget=wave.needed_budget + max(0, lost),
            gained=wave.gained + max(0, -lost), largest_haircut_ppm=max(wave.largest_haircut_ppm, haircut_ppm(wave, position, match, ended)),
        )  # fmt: skip
        return wave

    def _end_wave(self, wave: Wave, out: Outputs, now_us: int) -> None:
        out.emit("adl-waves", wave_row(wave, self.waves.matches_of(wave.wave_id), now_us=now_us))
        self.waves.end(wave.wave_id)


def _named(position: Unplaced) -> dict[str, int | None]:
    """A position as a probe names it; its shard knows the rest."""
    instrument, side = position.episode.group.fields
    return {
        "account": position.episode.group.account, "group_instrument": instrument, "group_side": side, "episode": position.episode.number,
        "revision": position.revision, "position_side": position.position_side,
    }  # fmt: skip


def _deleveraged(wave: Wave, position: Unplaced, match: Match) -> Deleveraged:
    """The execution as the socialising of losses sees it: its payer is the group that has the money now, after the fill.

    An isolated position that gave all its lots has returned its bucket to the cross wallet.
    """
    candidate = match.candidate
    gave_all = match.executed_lots == abs(candidate.lots)
    payer = Group(wave.asset, candidate.account, 0, 0) if gave_all else group_of(wave, candidate)
    return Deleveraged(
        episode=position.episode, payer=payer, partition=candidate.partition,
        notional=match.executed_lots * wave.lot_value, equity=candidate.group_equity,
    )  # fmt: skip
