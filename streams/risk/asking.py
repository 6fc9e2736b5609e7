"""What a shard tells the pool of a group it resolves, absolute and with a revision: lots to be placed, what is owed, that it is over.

The pool keeps nobody's lots between its decisions: it answers for all it was asked, by instructions or by giving back. Told anew is every change
that the pool cannot know of: own orders that shrink or flip the position, a SNAPSHOT, a fill, a payment, recovery.
"""

from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from streams.domain.bankruptcy import bankruptcy_quotes
from streams.domain.batch import Outputs
from streams.domain.episodes import group_fields
from streams.domain.events import AnswerKind, InsolvencyKind
from streams.domain.money import quote_part_ceil
from streams.domain.state import StateTable
from streams.risk.book import Book
from streams.risk.clock import Clock
from streams.risk.keys import GroupKey, PositionKey
from streams.risk.reservations import ASKED, Reservations


@dataclass(frozen=True, slots=True)
class Asked:
    """The newest of what the pool was told of a position: its group's episode, the revision, the pool, signed lots."""

    group: GroupKey
    episode: int
    revision: int
    pool: int
    lots: int


@dataclass(frozen=True, slots=True)
class Told:
    """What the pools were told of a group: newest revision of its newest episode told, which pools, what it owed then; settlement units."""

    episode: int
    revision: int = 0
    pools: tuple[int, ...] = ()
    owed: int = 0


class Figures(NamedTuple):
    """Signed lots to be placed, the quote of exactly these, and how their group stands; settlement units. All 0: nothing is left to place."""

    lots: int
    quote: int
    equity: int
    maintenance: int


NOTHING: Final = Figures(0, 0, 0, 0)


class Asking:
    """Requests by position, and what was told by group."""

    def __init__(self, book: Book, reservations: Reservations, clock: Clock, shard: int) -> None:
        self._book, self._reservations, self._clock, self._shard = book, reservations, clock, shard
        self.asked: StateTable[PositionKey, Asked] = StateTable("asked_positions", PositionKey, Asked)
        self.told: StateTable[GroupKey, Told] = StateTable("told_groups", GroupKey, Told)
        self.offers: StateTable[int, int] = StateTable("open_offers", int, int)  # wave -> its pool

    def heard_decision(self) -> None:
        """One more record of decisions has been read."""
        self._clock.decisions_heard += 1

    def is_asked(self, position: PositionKey) -> bool:
        """Whether the pool has lots of the position to place."""
        return position in self.asked

    def ask(self, group: int, episode: int, rows: list[int], time_us: int, out: Outputs) -> None:
        """Ask for the free lots of these positions to be placed, at the quotes that leave the group with nothing."""
        for row in rows:
            position, lots = self._book.position_key(row), self._reservations.free(row)
            if lots:
                self._reservations.set(position, ASKED, lots)
                self._tell_position(group, episode, position, self._figures(group, row, lots), time_us, out)

    def _figures(self, group: int, row: int, lots: int) -> Figures:
        """How so many lots of a position stand at the marks in force."""
        equity, values, maintenance = self._book.measure(group)
        quotes = dict(zip(values, bankruptcy_quotes(list(values.values()), equity, list(maintenance.values())), strict=True))
        signed = int(self._book.positions.rows["lots"][row])
        return Figures(lots if signed > 0 else -lots, quote_part_ceil(quotes[row], lots, abs(signed)), equity, sum(maintenance.values()))

    def _tell_position(self, group: int, episode: int, position: PositionKey, figures: Figures, time_us: int, out: Outputs) -> None:
        key, asked = self._book.group_key(group), self.asked.get(position)
        mark, sequence = self._book.mark_of(position[1])
        pool = asked.pool if asked is not None else self._book.parameters[position[1]].pool
        revision = self._tell(
            InsolvencyKind.POSITION, key, episode, pool, time_us, out, instrument=position[1], position_side=position[2], lots=figures.lots,
            bankruptcy_quote=figures.quote, equity=figures.equity, maintenance=figures.maintenance, mark_ticks=mark, mark_sequence=sequence,
        )  # fmt: skip
        if figures.lots:
            self.asked[position] = Asked(key, episode, revision, pool, figures.lots)
        else:
            self.asked.pop(position)

    def changed(self, position: PositionKey, time_us: int, out: Outputs) -> None:
        """A fill has changed what there is to place: the pool hears what is left of it, if that is not what it knows."""
        asked = self.asked.get(position)
        row = self._book.position_row(position)
        left = self._reservations.of(position, ASKED)
        if asked is None or left == abs(asked.lots):
            return
        group = self._book.group_row(asked.group)
        self._tell_position(group, asked.episode, position, self._figures(group, row, left) if left else NOTHING, time_us, out)

    def tell_anew(self, position: PositionKey, time_us: int, out: Outputs) -> None:
        """A decision about an older request has been heard: the pool set aside what it was told meanwhile, and hears how it stands now."""
        asked, left = self.asked[position], self._reservations.of(position, ASKED)
        group, row = self._book.group_row(asked.group), self._book.position_row(position)
        figures = self._figures(group, row, left) if left and self._book.is_priced(group) else NOTHING
        self._reservations.set(position, ASKED, abs(figures.lots))
        self._tell_position(group, asked.episode, position, figures, time_us, out)

    def placed(self, position: PositionKey) -> None:
        """The pool has instructed some of the lots; what is left it still has."""
        asked, left = self.asked[position], self._reservations.of(position, ASKED)
        self.asked[position] = replace(asked, lots=left if asked.lots > 0 else -left)

    def take_back(self, position: PositionKey) -> None:
        """The pool has answered for the position, or will hear in an answer that nothing is left to place."""
        self.asked.pop(position)
        self._reservations.set(position, ASKED, 0)

    def restated(self, account: int, time_us: int, out: Outputs) -> None:
        """A SNAPSHOT: nobody holds more than there is, and the pool hears how what it was asked to place stands now."""
        for group in list(self._book.groups_of(self._book.account_row(account))):
            for row in self._book.positions_of(group):
                position = self._book.position_key(row)
                self._reservations.fit(position)
                asked = self.asked.get(position)
                if asked is None:
                    continue
                if asked.lots * int(self._book.positions.rows["lots"][row]) <= 0:
                    self._reservations.clear(position)
                left = self._reservations.of(position, ASKED)
                figures = self._figures(group, row, left) if left and self._book.is_priced(group) else NOTHING
                self._reservations.set(position, ASKED, abs(figures.lots))
                self._tell_position(self._book.group_row(asked.group), asked.episode, position, figures, time_us, out)

    # -- what is owed, and the end ------------------------------------------------------------------------------------------------------

    def owe(self, key: GroupKey, episode: int, pool: int, deficit: int, time_us: int, out: Outputs) -> None:
        """The flat group owes this much now; told when it is not what the pool knows."""
        told = self._told(key, episode)
        if told.owed != deficit:
            self._tell(InsolvencyKind.DEFICIT, key, episode, told.pools[0] if told.pools else pool, time_us, out, deficit=deficit)
            self.told[key] = replace(self.told[key], owed=deficit)

    def close(self, key: GroupKey, episode: int, time_us: int, out: Outputs) -> None:
        """The episode is over: every pool that was told of it hears so."""
        for pool in self._told(key, episode).pools:
            self._tell(InsolvencyKind.CLOSED, key, episode, pool, time_us, out)
        self.told.pop(key)

    def _told(self, key: GroupKey, episode: int) -> Told:
        told = self.told.get(key)
        return told if told is not None and told.episode == episode else Told(episode)

    def _tell(self, kind: InsolvencyKind, key: GroupKey, episode: int, pool: int, time_us: int, out: Outputs, **fields: Any) -> int:
        told = self._told(key, episode)
        revision = told.revision + 1
        self.told[key] = replace(told, revision=revision, pools=tuple(sorted({*told.pools, pool})))
        row = {
            "kind": kind, "pool": pool, "account": key[0], "partition": int(self._book.accounts.rows["partition"][self._book.account_row(key[0])]),
            "asset": key[1], **group_fields(*key[2:]), "episode": episode, "revision": revision, "lots": 0, "bankruptcy_quote": 0, "deficit": 0,
            "equity": 0, "maintenance": 0, "marks_seen": self._clock.marks_seen,
            "decisions_heard": self._clock.decisions_heard, "event_time_us": time_us, **fields,
        }  # fmt: skip
        out.emit("insolvencies", row)
        return revision

    # -- lots that waves were offered ---------------------------------------------------------------------------------------------------

    def withdraw(self, position: PositionKey, time_us: int, out: Outputs) -> None:
        """The position's own group must be resolved: waves that were offered its lots are asked to give them back."""
        for wave_id in self._reservations.holders(position):
            pool = self.offers.get(wave_id)
            if pool is not None:
                out.emit("adl-candidates", self._withdrawal(wave_id, pool, position, time_us))

    def _withdrawal(self, wave_id: int, pool: int, position: PositionKey, time_us: int) -> dict[str, Any]:
        p = self._book.positions.rows[self._book.position_row(position)]
        group = self._book.groups.rows[int(p["group"])]
        row = {
            "account": position[0], "partition": int(self._book.accounts.rows["partition"][int(group["account_row"])]), "position_side": position[2],
            "margin_mode": 2 if int(group["instrument"]) else 1, "lots": int(p["lots"]), "offered_lots": 0, "cost": int(p["cost"]),
            "group_wallet": int(group["wallet"]), "group_equity": 0, "group_maintenance": 0, "position_maintenance": 0, "room_reserved": 0,
        }  # fmt: skip
        return {
            "kind": AnswerKind.WITHDRAWN, "wave_id": wave_id, "pool": pool, "shard": self._shard, "chunk": 0, "chunks": 1, "candidates_total": 0,
            "lots_total": 0, "event_time_us": time_us, "rows": [row], "positions": [],
        }  # fmt: skip
