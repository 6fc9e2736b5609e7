"""What the rooms of the pools task tell each other: whose episode it is, what found no taker, who was deleveraged.

Keys are tuples of ints so that tables sort them: 0 stands for "no instrument" and "no leg", that is, for a cross group.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from streams.domain.episodes import episode_id, margin_mode
from streams.domain.money import quote_part_floor


class Group(NamedTuple):
    """A solvency group: the account's cross wallet of the asset (instrument and side 0), or one isolated position."""

    asset: int
    account: int
    instrument: int
    side: int

    @classmethod
    def of_key(cls, key: tuple[int, int, int, int]) -> "Group":
        """From (account, asset, instrument, side), the order in which the shards sort theirs."""
        return cls(key[1], key[0], *key[2:])

    @property
    def fields(self) -> tuple[int | None, int | None]:
        """(instrument, side) as streams carry them: both None for a cross group."""
        return self.instrument or None, self.side or None


class Party(NamedTuple):
    """One side of an instruction: whose money, where the account lives, and the position it is about, if it is about one."""

    group: Group
    partition: int | None
    instrument: int | None = None
    position_side: int | None = None

    def fields(self, prefix: str = "") -> dict[str, int | None]:
        """The columns that name it. `instrument` and the leg are the position's, or those of an isolated group of which only money moves."""
        instrument, side = (self.instrument, self.position_side) if self.instrument else self.group.fields
        return {
            f"{prefix}account": self.group.account, f"{prefix}partition": self.partition, f"{prefix}margin_mode": margin_mode(self.group.instrument),
            f"{prefix}instrument": instrument, f"{prefix}position_side": side,
        }  # fmt: skip


class Episode(NamedTuple):
    """One insolvency of one group, numbered in that group."""

    group: Group
    number: int

    @property
    def id(self) -> int:
        """The id by which instructions name it."""
        instrument, side = self.group.fields
        return episode_id(account=self.group.account, asset=self.group.asset, group_instrument=instrument, group_side=side, episode=self.number)


def episode_of(row: Mapping[str, Any]) -> Episode:
    """The episode an insolvency row speaks of."""
    return Episode(Group(row["asset"], row["account"], row["group_instrument"] or 0, row["group_side"] or 0), row["episode"])


@dataclass(frozen=True, slots=True)
class Unplaced:
    """Lots of a position of a group in resolution that nobody has taken yet.

    `lots` is absolute, `sign` the position's direction, `quote` the bankruptcy quote of these lots signed as their value, `equity` and
    `maintenance` are the group's, all at one vector of marks; settlement units. `revision` is the one told; `since_us`: first asked.
    """

    episode: Episode
    pool: int
    partition: int
    instrument: int
    position_side: int
    sign: int
    lots: int
    quote: int
    equity: int
    maintenance: int
    revision: int
    since_us: int

    @property
    def party(self) -> Party:
        """It as a side of an instruction."""
        return Party(self.episode.group, self.partition, self.instrument, self.position_side)

    def quote_of(self, lots: int) -> int:
        """The part of the quote that goes with the first so many lots."""
        return quote_part_floor(self.quote, lots, self.lots) if self.lots else 0

    def less(self, lots: int) -> "Unplaced":
        """What is left when the first so many lots are taken: it keeps the rest of the quote."""
        return replace(self, lots=self.lots - lots, quote=self.quote - self.quote_of(lots))


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
