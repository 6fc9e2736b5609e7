"""What a wave is made of, and where it is kept: the wave, its liquidated positions, the shards' answers, the pairs it instructed.

A wave occupies its market until it is decided; what it instructed is kept until its results are in, beside later waves of the market.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import pyarrow as pa

from streams.adl.requests import Market
from streams.domain.events import AdlWhen, LatePolicy, MarginMode, PriceRule, RankPolicy, RoomFloor
from streams.domain.market import MarkPrice
from streams.domain.resolution import Episode, Group, Unplaced
from streams.domain.state import Digested, StateTable


@dataclass(frozen=True, slots=True)
class Wave:
    """One wave. Parameters are those at its opening; `lot_value` is the value of a lot at its mark; money in settlement units.

    `marks_seen`: how many records of marks had been read: two waves with the same number ask at the same marks. `matched_lots`: to others in
    resolution; `fund_lots`: to the fund; `allocated_lots`: to winners; `shards` answered, `incomplete` did not.
    """

    wave_id: int
    pool: int
    asset: int
    market: Market
    policy_id: RankPolicy
    policy_version: int
    price_rule: PriceRule
    score_wallet_floor: int
    adl_when: AdlWhen
    room_floor: RoomFloor
    price_cap_ppm: int | None
    late_policy: LatePolicy
    opened_us: int
    late_us: int
    mark_ticks: int
    mark_sequence: int
    mark_time_us: int
    lot_value: int
    marks_seen: int
    needed_lots: int
    allocated_lots: int = 0
    matched_lots: int = 0
    fund_lots: int = 0
    residual_lots: int = 0
    taken_lots: int = 0
    needed_budget: int = 0
    gained: int = 0
    largest_haircut_ppm: int = 0
    passed_over: int = 0
    candidates_total: int = 0
    candidate_lots_total: int = 0
    shards: int = 0
    incomplete: int = 0
    is_decided: bool = False

    @property
    def mark(self) -> MarkPrice:
        """The mark it is decided on."""
        return MarkPrice(self.mark_ticks, self.mark_sequence, self.mark_time_us)


@dataclass(frozen=True, slots=True)
class Piece:
    """A liquidated position in the wave, as it was told; `is_closed`: its episode is over."""

    position: Unplaced
    is_closed: bool = False


class Candidate(NamedTuple):
    """One position that can be deleveraged, with the inputs of its score at the wave's marks."""

    account: int
    partition: int
    position_side: int
    margin_mode: int
    lots: int
    offered_lots: int
    cost: int
    group_wallet: int
    group_equity: int
    group_maintenance: int
    position_maintenance: int
    room_reserved: int


def group_of(wave: Wave, candidate: Candidate) -> Group:
    """The solvency group that carries the candidate's position."""
    is_isolated = candidate.margin_mode == MarginMode.ISOLATED
    return Group(wave.asset, candidate.account, *((wave.market.instrument, candidate.position_side) if is_isolated else (0, 0)))


class Standing(NamedTuple):
    """How a position named in the probe stands at the wave's marks: signed lots still to be placed, their quote, its group's figures."""

    account: int
    position_side: int
    episode: int
    revision: int
    lots: int
    bankruptcy_quote: int
    equity: int
    maintenance: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of one shard's answer."""

    chunks: int
    candidates_total: int
    lots_total: int
    rows: tuple[Candidate, ...]
    positions: tuple[Standing, ...]


@dataclass(frozen=True, slots=True)
class Match:
    """One pair as instructed: which piece, who at which rank, how many lots at which bankruptcy quote; and what was executed, once known.

    `room`: what the candidate's group could lose when the pair was made; settlement units.
    """

    wave_id: int
    piece: int
    rank: int
    lots_ahead: int
    candidate: Candidate
    lots: int
    quote: int
    room: int
    executed_lots: int = 0


@dataclass(slots=True)
class _Answers:
    """How far the shards have answered."""

    left: dict[int, int]
    shards: int = 0


class Waves:
    """Open waves and everything that belongs to them; nothing is kept of a wave that is over."""

    def __init__(self) -> None:
        self.waves: StateTable[int, Wave] = StateTable("adl_waves", int, Wave)
        self.pieces: StateTable[tuple[int, int], Piece] = StateTable("adl_pieces", tuple[int, int], Piece)
        self.chunks: StateTable[tuple[int, int, int], Chunk] = StateTable("adl_chunks", tuple[int, int, int], Chunk)
        self.matches: StateTable[int, Match] = StateTable("adl_matches", int, Match)
        self._clear()

    def _clear(self) -> None:
        self.open: dict[Market, int] = {}  # undecided
        self.asking: dict[int, _Answers] = {}
        self.pending: dict[int, int] = {}  # wave -> instructions without all results; the machine counts
        self._chunks_of: dict[int, list[tuple[int, int, int]]] = {}
        self._pieces_of: dict[int, int] = {}
        self._matches_of: dict[int, list[int]] = {}
        self._of_episode: dict[Episode, dict[tuple[int, int], None]] = {}

    @property
    def parts(self) -> tuple[Digested, ...]:
        """The tables."""
        return self.waves, self.pieces, self.chunks, self.matches

    def restore(self, tables: Mapping[str, pa.RecordBatch], is_open: Mapping[int, Any] | StateTable[int, Any]) -> None:
        """Take over the tables of a snapshot; `is_open` holds the ids of instructions that await results."""
        for part in self.parts:
            part.from_arrow(tables[part.name])
        self._clear()
        for key, match in self.matches.items():
            self._matches_of.setdefault(match.wave_id, []).append(key)
            self.pending[match.wave_id] = self.pending.get(match.wave_id, 0) + (key in is_open)
        for wave_id, wave in self.waves.items():
            if not wave.is_decided:
                self.open[wave.market] = wave_id
                self.asking[wave_id] = _Answers({})
        for key_of_chunk, chunk in self.chunks.items():
            self._count(key_of_chunk, chunk)
        for key_of_piece, piece in self.pieces.items():
            self._index_piece(key_of_piece, piece)

    def _index_piece(self, key: tuple[int, int], piece: Piece) -> None:
        self._pieces_of[key[0]] = self._pieces_of.get(key[0], 0) + 1
        self._of_episode.setdefault(piece.position.episode, {})[key] = None

    def begin(self, wave: Wave, positions: list[Unplaced]) -> None:
        """Keep a new wave with its liquidated positions, in their order."""
        self.waves[wave.wave_id] = wave
        self.open[wave.market] = wave.wave_id
        self.asking[wave.wave_id] = _Answers({})
        for number, position in enumerate(positions):
            key, piece = (wave.wave_id, number), Piece(position)
            self.pieces[key] = piece
            self._index_piece(key, piece)

    def answer(self, key: tuple[int, int, int], chunk: Chunk) -> None:
        """Keep a chunk (wave, shard, number) of an answer; one that is known already changes nothing."""
        if key not in self.chunks:
            self.chunks[key] = chunk
            self._count(key, chunk)

    def withdraw(self, wave_id: int, shard: int, account: int, position_side: int) -> None:
        """The shard asks a candidate back."""
        for key in self._chunks_of.get(wave_id, []):
            chunk = self.chunks[key]
            rows = tuple(row for row in chunk.rows if (row.account, row.position_side) != (account, position_side))
            if key[1] == shard and len(rows) < len(chunk.rows):
                self.chunks[key] = replace(chunk, rows=rows)

    def _count(self, key: tuple[int, int, int], chunk: Chunk) -> None:
        self._chunks_of.setdefault(key[0], []).append(key)
        answers = self.asking[key[0]]
        left = answers.left[key[1]] = answers.left.get(key[1], chunk.chunks) - 1
        answers.shards += left == 0

    def end_asking(self, wave_id: int) -> list[tuple[int, Chunk]]:
        """The wave is decided: (number of the chunk, chunk) of what was answered, by shard and number; they are not kept any longer."""
        del self.asking[wave_id], self.open[self.waves[wave_id].market]
        keys = sorted(self._chunks_of.pop(wave_id, []))
        chunks = [(key[2], self.chunks[key]) for key in keys]
        for key in keys:
            del self.chunks[key]
        return chunks

    def matched(self, instruction_id: int, match: Match) -> None:
        """Keep a pair that was instructed."""
        self.matches[instruction_id] = match
        self._matches_of.setdefault(match.wave_id, []).append(instruction_id)
        self.pending[match.wave_id] = self.pending.get(match.wave_id, 0) + 1

    def pieces_of(self, wave_id: int) -> list[Piece]:
        """The liquidated positions, in their order."""
        return [self.pieces[wave_id, number] for number in range(self._pieces_of.get(wave_id, 0))]

    def matches_of(self, wave_id: int) -> list[Match]:
        """The pairs instructed, in no meaningful order."""
        return [self.matches[key] for key in self._matches_of.get(wave_id, ())]

    def close(self, episode: Episode) -> None:
        """The episode is over: its pieces ask for nothing any more."""
        for key in self._of_episode.get(episode, ()):
            self.pieces[key] = replace(self.pieces[key], is_closed=True)

    def end(self, wave_id: int) -> None:
        """The wave is over: forget it."""
        del self.waves[wave_id]
        self.pending.pop(wave_id, None)
        for key in self._matches_of.pop(wave_id, ()):
            del self.matches[key]
        for number in range(self._pieces_of.pop(wave_id, 0)):
            episode = self.pieces[wave_id, number].position.episode
            del self.pieces[wave_id, number]
            of_episode = self._of_episode[episode]
            del of_episode[wave_id, number]
            if not of_episode:
                del self._of_episode[episode]
