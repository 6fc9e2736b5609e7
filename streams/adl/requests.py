"""What waits for a wave: unplaced lots, merged per liquidated position, lots and quotes added up.

Merged, because else one wave could pair two accounts twice. What a wave left over waits for the next mark, so a refusal cannot loop.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import pyarrow as pa

from streams.domain.events import PositionSide
from streams.domain.resolution import Episode, Unplaced
from streams.domain.state import StateTable


class Market(NamedTuple):
    """One side of one instrument; `side` is the offsetting one, LONG or SHORT by the sign of lots."""

    instrument: int
    side: int


class RequestKey(NamedTuple):
    """A liquidated position in the queue of its market."""

    market: Market
    account: int
    position_side: int


@dataclass(frozen=True, slots=True)
class Request:
    """Lots that ask for a wave; `waits`: not before the next mark."""

    lots: Unplaced
    waits: bool


def market_of(position: Unplaced) -> Market:
    """The side that can offset it: shorts for a liquidated long."""
    return Market(position.instrument, PositionSide.SHORT if position.sign > 0 else PositionSide.LONG)


K = TypeVar("K")


def _discard(index: dict[K, dict[RequestKey, None]], name: K, key: RequestKey) -> None:
    keys = index.get(name, {})
    keys.pop(key, None)
    if not keys:
        index.pop(name, None)


class Requests:
    """Requests by liquidated position."""

    def __init__(self) -> None:
        self.table: StateTable[RequestKey, Request] = StateTable("adl_requests", RequestKey, Request)
        self._clear()

    def _clear(self) -> None:
        self._ready: dict[Market, dict[RequestKey, None]] = {}
        self._waiting: dict[RequestKey, None] = {}
        self._of_episode: dict[Episode, dict[RequestKey, None]] = {}

    def restore(self, tables: Mapping[str, pa.RecordBatch]) -> None:
        """Take over the table of a snapshot."""
        self.table.from_arrow(tables[self.table.name])
        self._clear()
        for key, request in self.table.items():
            self._index(key, request)

    def _index(self, key: RequestKey, request: Request) -> None:
        self._of_episode.setdefault(request.lots.episode, {})[key] = None
        if request.waits:
            self._waiting[key] = None
        else:
            self._ready.setdefault(key.market, {})[key] = None

    def add(self, position: Unplaced, *, waits: bool) -> None:
        """Ask for a wave; with what already waits for the position, if anything does."""
        key = RequestKey(market_of(position), position.episode.group.account, position.position_side)
        known = self._remove(key)
        if known is not None:
            lots, quote = known.lots.lots + position.lots, known.lots.quote + position.quote
            position = replace(position, lots=lots, quote=quote, since_us=min(known.lots.since_us, position.since_us))
            waits = waits or known.waits
        self.table[key] = request = Request(position, waits)
        self._index(key, request)

    def _remove(self, key: RequestKey) -> Request | None:
        request = self.table.pop(key)
        if request is None:
            return None
        self._waiting.pop(key, None)
        _discard(self._ready, key.market, key)
        _discard(self._of_episode, request.lots.episode, key)
        return request

    def release(self) -> None:
        """A mark has come."""
        for key in self._waiting:
            self.table[key] = replace(self.table[key], waits=False)
            self._ready.setdefault(key.market, {})[key] = None
        self._waiting.clear()

    def close(self, episode: Episode) -> None:
        """The episode is over: its position needs nobody any more."""
        for key in list(self._of_episode.get(episode, ())):
            self._remove(key)

    def ready(self) -> list[Market]:
        """Markets in which something may go into a wave, in order."""
        return sorted(self._ready) if self._ready else []

    def take(self, market: Market) -> list[Unplaced]:
        """Everything that is ready in a market, in the order in which liquidated positions are served: by time, account, position side."""
        positions = [request.lots for key in list(self._ready[market]) if (request := self._remove(key)) is not None]
        return sorted(positions, key=lambda p: (p.since_us, p.episode.group.account, p.position_side))
