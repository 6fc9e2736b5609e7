"""What the pool was asked to place: the newest revision of each position, from the moment it is told until it is decided.

The pool keeps nobody's lots between decisions: of what was decided only the revision is kept, so that an older one is not obeyed again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import pyarrow as pa

from streams.domain.events import PositionSide
from streams.domain.resolution import Episode, Unplaced
from streams.domain.state import StateTable

WAVE_POSITIONS: Final = 4096  # of one wave; the rest waits for the next one of its market


class Market(NamedTuple):
    """One side of one instrument; `side` is the offsetting one, LONG or SHORT by the sign of lots."""

    instrument: int
    side: int

    @property
    def opposite(self) -> "Market":
        """The other side of the instrument."""
        return Market(self.instrument, PositionSide.LONG if self.side == PositionSide.SHORT else PositionSide.SHORT)


class AskedKey(NamedTuple):
    """A position of a group in resolution."""

    episode: Episode
    instrument: int
    position_side: int


@dataclass(frozen=True, slots=True)
class Request:
    """The newest that was told; no lots: nothing is to be placed. `wave_id`: the wave it is in; `sent`: instructions sent for it outside of pairs.

    `decided`: number of the newest decision that instructed some of its lots.
    """

    position: Unplaced
    wave_id: int = 0
    sent: int = 0
    decided: int = 0


def market_of(position: Unplaced) -> Market:
    """The side that can offset it: shorts for a liquidated long."""
    return Market(position.instrument, PositionSide.SHORT if position.sign > 0 else PositionSide.LONG)


def key_of(position: Unplaced) -> AskedKey:
    """Its place among the requests."""
    return AskedKey(position.episode, position.instrument, position.position_side)


def in_order(position: Unplaced) -> tuple[int, int, int, int, Episode]:
    """Liquidated positions are served by time first asked, account, instrument, position side; whatever is told, no two are alike."""
    return position.since_us, position.episode.group.account, position.instrument, position.position_side, position.episode


class Requests:
    """Requests by position."""

    def __init__(self) -> None:
        self.table: StateTable[AskedKey, Request] = StateTable("adl_requests", AskedKey, Request)
        self.decisions = 0  # records of decisions said so far
        self._clear()

    def _clear(self) -> None:
        self._ready: dict[Market, dict[AskedKey, None]] = {}
        self._of_episode: dict[Episode, dict[AskedKey, None]] = {}
        self._fresh: dict[AskedKey, None] = {}  # heard in the event under way, at the marks in force

    def restore(self, tables: Mapping[str, pa.RecordBatch], decisions: int) -> None:
        """Take over the table of a snapshot, and how many decisions were said."""
        self.table.from_arrow(tables[self.table.name])
        self.decisions = decisions
        self._clear()
        for key, request in self.table.items():
            self._index(key, request)

    def _index(self, key: AskedKey, request: Request) -> None:
        self._of_episode.setdefault(key.episode, {})[key] = None
        if request.position.lots and not request.wave_id:
            self._ready.setdefault(market_of(request.position), {})[key] = None

    def _set(self, key: AskedKey, request: Request) -> None:
        known = self.table.get(key)
        if known is not None:
            market = market_of(known.position)
            self._ready.get(market, {}).pop(key, None)
            if not self._ready.get(market, True):
                del self._ready[market]
        self.table[key] = request
        self._index(key, request)

    def tell(self, position: Unplaced, *, is_fresh: bool, heard: int) -> None:
        """What is to be placed now, at the marks in force if it is fresh; an older revision than the newest one changes nothing.

        The shard had heard so many decisions: where one that it had not heard instructed lots of the position, it will tell anew when it does,
        and until then nothing is placed.
        """
        key = key_of(position)
        known = self.table.get(key)
        if known is not None and position.revision <= known.position.revision:
            return
        if known is not None:
            position = replace(position, since_us=known.position.since_us)
            if heard < known.decided:
                position = replace(position, lots=0, quote=0)
        self._set(key, Request(position) if known is None else Request(position, sent=known.sent, decided=known.decided))
        self._fresh.pop(key, None)
        if is_fresh and position.lots:
            self._fresh[key] = None

    def take_fresh(self) -> list[Unplaced]:
        """What this event told at the marks in force, in order; asked for once an event."""
        fresh = [self.table[key].position for key in self._fresh]
        self._fresh = {}
        return sorted(fresh, key=in_order)

    def stands(self, position: Unplaced) -> bool:
        """Whether no newer revision has been told, and the episode is not over."""
        request = self.table.get(key_of(position))
        return request is not None and request.position.revision == position.revision and request.position.lots > 0

    def attempt(self, position: Unplaced) -> int:
        """Number of the next instruction for the position that is named by its episode; from 1."""
        return self.table[key_of(position)].sent + 1

    def sent(self, position: Unplaced) -> None:
        """An instruction named by the episode went out."""
        request = self.table[key_of(position)]
        self.table[key_of(position)] = replace(request, sent=request.sent + 1)

    def placed(self, position: Unplaced, lots: int) -> None:
        """So many lots were placed outside of a wave: what is left waits for one."""
        request = self.table[key_of(position)]
        self._set(key_of(position), replace(request, position=request.position.less(lots), decided=self.decisions))

    def decided(self, position: Unplaced, lots: int) -> None:
        """A wave has answered for all its lots, with instructions for so many: the shard has what no instruction holds."""
        request = self.table.get(key_of(position))
        if request is None:
            return
        if lots:
            request = self.table[key_of(position)] = replace(request, decided=self.decisions)
        if request.position.revision == position.revision:
            self._set(key_of(position), replace(request, position=replace(request.position, lots=0, quote=0), wave_id=0))

    def close(self, episode: Episode) -> None:
        """The episode is over: its positions need nobody any more."""
        for key in self._of_episode.pop(episode, ()):
            request = self.table.pop(key)
            self._fresh.pop(key, None)
            assert request is not None, f"a request of episode {episode} that is not kept"
            market = market_of(request.position)
            self._ready.get(market, {}).pop(key, None)
            if not self._ready.get(market, True):
                del self._ready[market]

    def ready(self) -> list[Market]:
        """Markets in which something may go into a wave, in order."""
        return sorted(self._ready) if self._ready else []

    def take(self, market: Market, wave_id: int) -> list[Unplaced]:
        """What goes into a wave of the market, in the order in which it is served: of one pool, and no more than a probe may name."""
        waiting = sorted((self.table[key].position for key in self._ready[market]), key=in_order)
        taken = [position for position in waiting if position.pool == waiting[0].pool][:WAVE_POSITIONS]
        for position in taken:
            key = key_of(position)
            self._set(key, replace(self.table[key], wave_id=wave_id))
        return taken
