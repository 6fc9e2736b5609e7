"""What the rooms of the pools task tell each other: whose episode it is, what found no taker, who was deleveraged.

Keys are tuples of ints so that tables sort them: 0 stands for "no instrument" and "no leg", that is, for a cross group.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from streams.domain.episodes import episode_id


class Group(NamedTuple):
    """A solvency group: the account's cross wallet of the asset (instrument and side 0), or one isolated position."""

    asset: int
    account: int
    instrument: int
    side: int

    @property
    def fields(self) -> tuple[int | None, int | None]:
        """(instrument, side) as streams carry them: both None for a cross group."""
        return self.instrument or None, self.side or None


class Episode(NamedTuple):
    """One insolvency of one group, numbered in that group."""

    group: Group
    number: int

    @property
    def id(self) -> int:
        """The id by which instructions name it."""
        instrument, side = self.group.fields
        return episode_id(account=self.group.account, asset=self.group.asset, group_instrument=instrument, group_side=side, episode=self.number)


def episode_of(row: Mapping[str, Any], asset: int) -> Episode:
    """The episode an insolvency row speaks of; the asset is its pool's."""
    return Episode(Group(asset, row["account"], row["group_instrument"] or 0, row["group_side"] or 0), row["episode"])


@dataclass(frozen=True, slots=True)
class Unplaced:
    """Lots of a liquidated position that nobody has taken yet.

    `lots` is absolute, `sign` the position's direction, `quote` the bankruptcy quote of these lots signed as their value; settlement units.
    """

    episode: Episode
    pool: int
    partition: int
    instrument: int
    position_side: int
    sign: int
    lots: int
    quote: int
    since_us: int


@dataclass(frozen=True, slots=True)
class Deleveraged:
    """An execution as the socialising of losses sees it: weight and bound of a payer.

    `notional` is the executed lots at the wave's mark, `equity` the payer's group equity as the candidates row stated it; settlement units.
    """

    episode: Episode
    payer: Group
    partition: int
    notional: int
    equity: int
