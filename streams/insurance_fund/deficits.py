"""Who pays what a flat group still owes: the fund as far as its value goes, then those who were deleveraged for it, then nobody yet.

A deficit is decided when no instruction of its episode is open. What nobody can bear stays open and is covered as value returns.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import pyarrow as pa

from streams.domain.alarms import Alarm
from streams.domain.batch import Outputs
from streams.domain.events import CauseKind, InstructionKind
from streams.domain.ids import identity
from streams.domain.instructions import OpenInstruction, OpenInstructions, instruction_row
from streams.domain.instruments import Pool
from streams.domain.money import capped_largest_remainder
from streams.domain.resolution import Deleveraged, Episode, Group, Party
from streams.domain.retries import pause_after
from streams.domain.state import Digested, StateTable
from streams.insurance_fund.books import Books, Reserve


@dataclass(frozen=True, slots=True)
class Deficit:
    """What a group owes by the newest revision told, less what was paid since `told_us`; settlement units.

    `waits`: nothing is sent before the next mark, nor before `not_before_us`. `refusals`: of payments, in a row.
    """

    pool: int
    partition: int
    told: int = 0
    revision: int = 0
    told_us: int = 0
    waits: bool = False
    refusals: int = 0
    not_before_us: int = 0
    covers: int = 0  # attempts sent
    socialised: int = 0


class Payer(NamedTuple):
    """One group that was deleveraged in a wave of the episode."""

    episode: Episode
    group: Group


@dataclass(frozen=True, slots=True)
class Weight:
    """The payer's executed notional at the wave's mark, and where its account lives."""

    partition: int
    notional: int


@dataclass(frozen=True, slots=True)
class Room:
    """What a payer can still bear: the least equity its candidates rows stated, less what it was charged. `episodes`: how many name it."""

    amount: int
    episodes: int


@dataclass(frozen=True, slots=True)
class Charge:
    """Who an open SOCIALISE is to be paid by, in case it is not executed."""

    group: Group


class Deficits:
    """Deficits by episode, payers by (episode, group), what each payer can bear, and the open charges."""

    def __init__(self, books: Books, instructions: OpenInstructions, is_open_elsewhere: Callable[[Episode], bool]) -> None:
        self.books, self.instructions, self.is_open_elsewhere = books, instructions, is_open_elsewhere
        self.table: StateTable[Episode, Deficit] = StateTable("fund_deficits", Episode, Deficit)
        self.payers: StateTable[Payer, Weight] = StateTable("fund_payers", Payer, Weight)
        self.rooms: StateTable[Group, Room] = StateTable("fund_rooms", Group, Room)
        self.charges: StateTable[int, Charge] = StateTable("fund_charges", int, Charge)
        self._clear()

    def _clear(self) -> None:
        # An open deficit is in `_ready` (looked at when the event ends), `_waiting` (for a mark), `_stuck` (nobody could bear it), or its
        # episode has instructions open. Looking at a stuck one for nothing changes nothing, so these indexes need no place in a snapshot.
        self._ready: dict[Episode, None] = {}
        self._waiting: dict[Episode, None] = {}
        self._stuck: dict[int, dict[Episode, None]] = {}
        self._payers_of: dict[Episode, dict[Group, None]] = {}

    @property
    def parts(self) -> tuple[Digested, ...]:
        """The tables."""
        return self.table, self.payers, self.rooms, self.charges

    def restore(self, tables: Mapping[str, pa.RecordBatch]) -> None:
        """Take over the tables of a snapshot."""
        for part in self.parts:
            part.from_arrow(tables[part.name])
        self._clear()
        for episode, deficit in self.table.items():
            (self._waiting if deficit.waits else self._ready)[episode] = None
        for payer in self.payers:
            self._payers_of.setdefault(payer.episode, {})[payer.group] = None

    def owe(self, episode: Episode, *, pool: int, partition: int, amount: int, revision: int, told_us: int) -> None:
        """The group owes this much now, all in all; an older revision says nothing."""
        deficit = self.table.get(episode) or Deficit(pool, partition)
        if revision <= deficit.revision:
            return
        self.table[episode] = replace(deficit, told=amount, revision=revision, told_us=told_us)
        if not deficit.waits:
            self._ready[episode] = None

    def owed(self, episode: Episode) -> int:
        """What nobody has been told to pay yet."""
        return max(0, self.table[episode].told - self.instructions.amount_in(episode))

    def deleveraged(self, execution: Deleveraged) -> None:
        """Somebody was deleveraged for the episode: a payer of what may remain."""
        payer = Payer(execution.episode, execution.payer)
        known, room = self.payers.get(payer), self.rooms.get(execution.payer)
        self.payers[payer] = Weight(execution.partition, execution.notional + (0 if known is None else known.notional))
        least = execution.equity if room is None else min(room.amount, execution.equity)
        episodes = (0 if room is None else room.episodes) + (known is None)
        self.rooms[execution.payer] = Room(max(0, least), episodes)
        self._payers_of.setdefault(execution.episode, {})[execution.payer] = None

    def instruction_ended(self, episode: Episode) -> None:
        """An instruction of the episode, of whichever room, has all its results."""
        deficit = self.table.get(episode)
        if deficit is not None and not deficit.waits:
            self._ready[episode] = None

    def ended(self, instruction_id: int, opened: OpenInstruction, episode: Episode, *, result_us: int, out: Outputs) -> None:
        """A COVER or SOCIALISE has its results; what was not moved is owed still, and waits for the next mark.

        What was moved is off what the group owes, unless its shard has told the rest already.
        """
        missing = max(0, opened.amount - opened.executed_amount)
        charge = self.charges.pop(instruction_id)
        room = None if charge is None else self.rooms.get(charge.group)
        if missing and charge is not None and room is not None:
            self.rooms[charge.group] = replace(room, amount=room.amount + missing)
            self._ready.update(self._stuck.pop(opened.pool, {}))
        deficit = self.table.get(episode)
        if deficit is None:
            return
        if deficit.told_us < result_us:
            deficit = replace(deficit, told=max(0, deficit.told - opened.executed_amount))
        if missing:
            deficit = self._refused(episode, deficit, result_us, out)
        self.table[episode] = deficit

    def _refused(self, episode: Episode, deficit: Deficit, result_us: int, out: Outputs) -> Deficit:
        pool, refusals = self.books.market.pools[deficit.pool], deficit.refusals + 1
        if refusals % pool.retry_alarm_count == 0:
            out.alarm(Alarm.PAYMENTS_REFUSED, pool=deficit.pool, account=episode.group.account, refusals=refusals)
        self._ready.pop(episode, None)
        self._waiting[episode] = None
        until_us = result_us + pause_after(refusals, pool.retry_pause_us)
        return replace(deficit, waits=True, refusals=refusals, not_before_us=until_us)

    def release(self, instrument: int, clock_us: int) -> None:
        """A mark has come of the isolated group's instrument, or, for a cross group, of one that its pool insures."""
        pool = self.books.market.instruments[instrument].pool

        def is_meant(episode: Episode) -> bool:
            of_group = episode.group.instrument
            return of_group == instrument or (not of_group and self.table[episode].pool == pool)

        for episode in [each for each in self._waiting if is_meant(each) and self.table[each].not_before_us <= clock_us]:
            self.table[episode] = replace(self.table[episode], waits=False)
            del self._waiting[episode]
            self._ready[episode] = None

    def close(self, episode: Episode) -> None:
        """The episode is over: it owes nothing, and nobody pays for it any more."""
        deficit = self.table.pop(episode)
        for known in (self._ready, self._waiting, *(() if deficit is None else (self._stuck.get(deficit.pool, {}),))):
            known.pop(episode, None)
        for group in sorted(self._payers_of.pop(episode, ())):
            del self.payers[Payer(episode, group)]
            room = self.rooms[group]
            if room.episodes > 1:
                self.rooms[group] = replace(room, episodes=room.episodes - 1)
            else:
                del self.rooms[group]

    def decide(self, now_us: int, out: Outputs) -> None:
        """At the end of an event: instruct what can be borne of the deficits that can be decided now."""
        for pool in [p for p, stuck in self._stuck.items() if stuck and self.books.spendable(p) > 0]:
            self._ready.update(self._stuck.pop(pool))
        ready, self._ready = sorted(self._ready), {}
        for episode in ready:
            deficit = self.table.get(episode)
            if deficit is None or deficit.waits or self.instructions.is_open_in(episode) or self.is_open_elsewhere(episode):
                continue  # the last result of the episode, or the mark, brings it back
            self._cover(episode, now_us, out)
            self._socialise(episode, now_us, out)
            if self.owed(episode) and not self.instructions.is_open_in(episode):
                self._stuck.setdefault(deficit.pool, {})[episode] = None

    def _cover(self, episode: Episode, now_us: int, out: Outputs) -> None:
        deficit = self.table[episode]
        amount = min(self.owed(episode), max(0, self.books.spendable(deficit.pool)))
        if not amount:
            return
        deficit = self.table[episode] = replace(deficit, covers=deficit.covers + 1)
        pool = self.books.market.pools[deficit.pool]
        sent = _Payment(InstructionKind.COVER, deficit.covers, amount, self.books.party(pool))
        instruction_id = self._send(episode, deficit, pool, sent, now_us=now_us, out=out)
        self.books.reserve(instruction_id, Reserve(deficit.pool, amount, None, 0))

    def _socialise(self, episode: Episode, now_us: int, out: Outputs) -> None:
        """By notional at the wave's mark, ties by account; a payer bears no more than its room, and nobody pays itself."""
        deficit, owed = self.table[episode], self.owed(episode)
        groups = [group for group in sorted(self._payers_of.get(episode, ())) if group.account != episode.group.account]
        if not owed or not groups:
            return
        weights = {n: self.payers[Payer(episode, group)].notional for n, group in enumerate(groups)}
        shares = capped_largest_remainder(owed, weights, {n: self.rooms[group].amount for n, group in enumerate(groups)})
        pool, of_account = self.books.market.pools[deficit.pool], dict[int, int]()
        for n, group in enumerate(groups):
            if not shares[n]:
                continue
            # Two groups of one account differ in the attempt, because the id of an instruction does not name the payer's group.
            of_account[group.account] = of_account.get(group.account, 0) + 1
            attempt = deficit.socialised + of_account[group.account]
            sent = _Payment(InstructionKind.SOCIALISE, attempt, shares[n], Party(group, self.payers[Payer(episode, group)].partition))
            instruction_id = self._send(episode, deficit, pool, sent, now_us=now_us, out=out)
            self.charges[instruction_id] = Charge(group)
            self.rooms[group] = replace(self.rooms[group], amount=self.rooms[group].amount - shares[n])
        self.table[episode] = replace(deficit, socialised=deficit.socialised + max(of_account.values(), default=0))

    def _send(self, episode: Episode, deficit: Deficit, pool: Pool, sent: "_Payment", *, now_us: int, out: Outputs) -> int:
        row = instruction_row(
            epoch=self.books.market.epoch, kind=sent.kind, pool=pool, cause_kind=CauseKind.DEFICIT, cause_id=identity("deficit", episode.id),
            attempt=sent.attempt, party=Party(episode.group, deficit.partition), counter=sent.payer, now_us=now_us, amount=sent.amount,
        )  # fmt: skip
        return self.instructions.send(out, row, episode)


class _Payment(NamedTuple):
    kind: InstructionKind
    attempt: int
    amount: int
    payer: Party
