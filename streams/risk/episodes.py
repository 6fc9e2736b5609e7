"""The ladder of one solvency group, from the crossing to the end: cancel, net, liquidate, hand over what is bankrupt, settle.

One episode at a time per group. An episode advances whenever nothing of it is awaited: no instruction of this shard, no lots in the pool's hands.
Bankruptcy quotes come from domain/bankruptcy.py. A group first seen with negative equity skips LIQUIDATE.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

from streams.domain.bankruptcy import bankruptcy_quote, bankruptcy_quotes
from streams.domain.batch import Outputs
from streams.domain.episodes import episode_id
from streams.domain.events import CauseKind, GroupState, InsolvencyKind, InstructionKind, PositionSide
from streams.domain.ids import instruction_identity
from streams.domain.instruments import Use
from streams.domain.money import quote_part_floor
from streams.domain.state import StateTable
from streams.risk.book import Book, GroupKey, PositionKey
from streams.risk.reservations import EPISODE, Reservations
from streams.risk.table import EMPTY
from streams.risk.valuation import classify

_DEFAULT_VALID_US: Final = 1_000_000  # only for groups whose pool's parameters never came


@dataclass(frozen=True, slots=True)
class Episode:
    """What is known of a group's newest episode.

    `awaited`: ids of NET and LIQUIDATE instructions without result. `liquidations`: LIQUIDATE orders so far. `rounds`: times that positions
    were handed to the pool. `owed`: deficit told to the pool, less what it paid; settlement units.
    """

    number: int
    is_open: bool
    pools: tuple[int, ...]
    awaited: tuple[int, ...] = ()
    liquidations: int = 0
    rounds: int = 0
    owed: int = 0


@dataclass(frozen=True, slots=True)
class Awaited:
    """An instruction of this shard without result. It is overdue, and alarmed once, when the clock passes `valid_until_us`."""

    group: GroupKey
    valid_until_us: int
    is_alarmed: bool = False


class Episodes:
    """Episodes of one shard's groups. Every method says what follows into the `Outputs` it is given."""

    def __init__(self, book: Book, reservations: Reservations) -> None:
        self._book, self._reservations = book, reservations
        self.table: StateTable[GroupKey, Episode] = StateTable("episodes", GroupKey, Episode)
        self.awaited: StateTable[int, Awaited] = StateTable("awaited_instructions", int, Awaited)

    # -- crossings --------------------------------------------------------------------------------------------------------------------

    def crossed(self, group: int, instrument: int, time_us: int, out: Outputs) -> None:
        """A mark of `instrument` changed the state class of a group: say so once, and start its episode if it must be resolved."""
        key = self._book.group_key(group)
        equity, _, maintenance = self._book.measure(group)
        state = classify(equity, sum(maintenance.values()), self._warning_ppm(instrument))
        assert state != int(self._book.groups.rows["state"][group]), f"the screen lists group {key}, the exact measure sees no crossing"
        known = self.table.get(key)
        opens = state >= GroupState.LIQUIDATABLE and not (known and known.is_open)
        if opens:
            pools = sorted({self._book.parameters_at(row).pool for row in self._book.held(group)})
            known = self.table[key] = Episode(known.number + 1 if known else 1, is_open=True, pools=tuple(pools))
        self._book.set_state(group, state=state, in_episode=known.is_open if known else False)
        self._say_state(group, state, time_us, instrument, out)
        if opens:
            self._cancel_and_net(group, instrument, time_us, out)

    def _warning_ppm(self, instrument: int) -> int:
        pool = self._book.pool_of(instrument)
        return pool.warning_ratio_ppm if pool else 0

    def _say_state(self, group: int, state: int, time_us: int, instrument: int | None, out: Outputs) -> None:
        key = self._book.group_key(group)
        episode = self.table.get(key)
        equity, _, maintenance = self._book.measure(group)
        mark, sequence = self._book.mark_of(instrument) if instrument else (None, None)
        row = {
            "event_time_us": time_us, "account": key[0], "asset": key[1], **group_fields(key), "state": state,
            "episode": episode.number if episode else 0, "equity": equity,
            "maintenance": sum(maintenance.values()), "instrument": instrument, "mark_ticks": mark, "mark_sequence": sequence,
        }  # fmt: skip
        out.emit("account-states", row, self.partition_of(key[0]))

    def partition_of(self, account: int) -> int:
        """Partition of the account, as the exchange chose it."""
        return int(self._book.accounts.rows["partition"][self._book.account_row(account)])

    def touched(self, group: int, time_us: int, out: Outputs) -> None:
        """A fill or update changed the group outside a mark: go on with its episode, or start one if it is flat and owes."""
        key, g = self._book.group_key(group), self._book.groups.rows[group]
        known = self.table.get(key)
        if known and known.is_open:
            self.advance(group, time_us, out)
        elif int(g["wallet"]) < 0 and int(g["watched"]) and not self._book.held(group):
            pools = tuple(pool for pool, parameters in self._book.pools.items() if parameters.asset == key[1])
            if not pools:
                out.alarm("deficit_without_a_pool", asset=key[1])
                return
            self.table[key] = Episode(known.number + 1 if known else 1, is_open=True, pools=pools[:1])
            self._book.set_state(group, state=GroupState.BANKRUPT, in_episode=True)
            self._say_state(group, GroupState.BANKRUPT, time_us, None, out)
            self.advance(group, time_us, out)

    def restated(self, group: int, time_us: int, out: Outputs) -> None:
        """A SNAPSHOT restated the group: what its episode had handed over may be gone, so it starts from what is there."""
        for row in self._book.held(group):
            self._reservations.set(self._book.position_key(row), EPISODE, 0)
        self.touched(group, time_us, out)

    # -- the rungs of this task -------------------------------------------------------------------------------------------------------

    def _cancel_and_net(self, group: int, instrument: int, time_us: int, out: Outputs) -> None:
        key = self._book.group_key(group)
        self._instruct(key, InstructionKind.CANCEL_ORDERS, time_us, out, marked=instrument)
        if key[2] == 0:
            for held in sorted({self._book.position_key(row)[1] for row in self._book.held(group)}):
                self._net(key, held, time_us, out)
        self.advance(group, time_us, out)

    def _net(self, key: GroupKey, instrument: int, time_us: int, out: Outputs) -> None:
        """Close opposite legs of one instrument against each other at mark: no counterparty, less maintenance."""
        legs = [self._book.position_row((key[0], instrument, side)) for side in (PositionSide.LONG, PositionSide.SHORT)]
        if EMPTY in legs or any(self._book.group_key(int(self._book.positions.rows["group"][leg])) != key for leg in legs):
            return
        if not self._book.allows(instrument, Use.ORDER):
            return
        lots = min(self._reservations.free(leg) for leg in legs)
        if lots:
            quote = -self._book.parameters[instrument].value(lots, self._book.mark_of(instrument)[0])
            position = (key[0], instrument, int(PositionSide.LONG))
            awaited = self._instruct(
                key, InstructionKind.NET, time_us, out, position=position, lots=-lots, quote=quote,
                counter_account=key[0], counter_position_side=int(PositionSide.SHORT), counter_partition=self.partition_of(key[0]),
            )  # fmt: skip
            self._await(key, awaited, time_us)

    def advance(self, group: int, time_us: int, out: Outputs) -> None:
        """Take the next step of an open episode, if nothing of it is awaited."""
        key = self._book.group_key(group)
        episode = self.table.get(key)
        if episode is None or not episode.is_open or self._is_suspect(key[0]):
            return
        held = self._book.held(group)
        if not held:
            self._settle(group, time_us, out)
        elif not episode.awaited and not any(self._reservations.of(self._book.position_key(row), EPISODE) for row in held):
            self._next_rung(group, time_us, out)

    def _is_suspect(self, account: int) -> bool:
        return bool(self._book.accounts.rows["flags"][self._book.account_row(account)])

    def _next_rung(self, group: int, time_us: int, out: Outputs) -> None:
        if not self._book.is_priced(group):
            return  # goes on at the first mark of what it holds
        equity, values, maintenance = self._book.measure(group)
        if equity < 0:
            if not all(self._may_order(row) for row in values):
                return  # goes on at the first mark of it that may be decided on
            quotes = bankruptcy_quotes(list(values.values()), equity, list(maintenance.values()))
            self._count_round(group)
            for row, quote in zip(values, quotes, strict=True):
                self._hand_over(group, row, quote, time_us, out)
        elif equity < sum(maintenance.values()):
            self._liquidate(group, equity, values, maintenance, time_us, out)
        else:
            self._close(group, time_us, out)

    def _may_order(self, row: int) -> bool:
        return self._book.allows(self._book.position_key(row)[1], Use.ORDER)

    def _liquidate(self, group: int, equity: int, values: dict[int, int], maintenance: dict[int, int], time_us: int, out: Outputs) -> None:
        """Order the position with the largest maintenance, whole, limited at its bankruptcy quote; ties by instrument, then leg."""
        free = [row for row in values if self._reservations.free(row) and self._may_order(row)]
        if not free:
            return  # a wave holds all of it, or its marks allow no orders; goes on when that is over
        row = min(free, key=lambda r: (-maintenance[r], self._book.position_key(r)))
        key, position = self._book.group_key(group), self._book.position_key(row)
        episode = self.table[key]
        lots, of_lots = self._reservations.free(row), abs(int(self._book.positions.rows["lots"][row]))
        quote = bankruptcy_quote(values[row], equity, maintenance[row], sum(maintenance.values()))
        sign = 1 if self._book.positions.rows["lots"][row] > 0 else -1
        self.table[key] = replace(episode, liquidations=episode.liquidations + 1)
        self._reservations.set(position, EPISODE, lots)
        awaited = self._instruct(
            key, InstructionKind.LIQUIDATE, time_us, out, position=position, lots=-sign * lots, quote_limit=-quote_part_floor(quote, lots, of_lots)
        )
        self._await(key, awaited, time_us)

    def _hand_over(self, group: int, row: int, quote: int, time_us: int, out: Outputs) -> None:
        """Tell the pool: take these lots at this quote. Lots that a wave holds are not handed over; the quote goes by lots."""
        lots, of_lots = self._reservations.free(row), abs(int(self._book.positions.rows["lots"][row]))
        if lots == 0:
            return
        key, position = self._book.group_key(group), self._book.position_key(row)
        self._reservations.set(position, EPISODE, lots)
        sign = 1 if self._book.positions.rows["lots"][row] > 0 else -1
        mark, sequence = self._book.mark_of(position[1])
        self._tell_pool(
            InsolvencyKind.POSITION, key, self._book.parameters_at(row).pool, time_us, out, instrument=position[1], position_side=position[2],
            lots=sign * lots, bankruptcy_quote=quote_part_floor(quote, lots, of_lots), mark_ticks=mark, mark_sequence=sequence,
        )  # fmt: skip

    def _settle(self, group: int, time_us: int, out: Outputs) -> None:
        """A flat group: at zero or more its episode is over; below, its pool hears of the deficit once, then of increases."""
        key = self._book.group_key(group)
        episode, deficit = self.table[key], -int(self._book.groups.rows["wallet"][group])
        if deficit <= 0:
            self._close(group, time_us, out)
        elif deficit > episode.owed:
            self.table[key] = replace(episode, owed=deficit, rounds=max(1, episode.rounds))
            self._tell_pool(InsolvencyKind.DEFICIT, key, episode.pools[0], time_us, out, deficit=deficit - episode.owed)

    def _close(self, group: int, time_us: int, out: Outputs) -> None:
        key = self._book.group_key(group)
        episode = self.table[key]
        self.table[key] = replace(episode, is_open=False)
        state = GroupState.HEALTHY
        if held := self._book.held(group):
            equity, _, maintenance = self._book.measure(group)
            state = GroupState(classify(equity, sum(maintenance.values()), self._warning_ppm(self._book.position_key(held[0])[1])))
        self._book.set_state(group, state=state, in_episode=False)
        self._say_state(group, state, time_us, None, out)
        if episode.rounds:
            for pool in episode.pools:
                self._tell_pool(InsolvencyKind.CLOSED, key, pool, time_us, out)

    # -- what comes back --------------------------------------------------------------------------------------------------------------

    def paid(self, group: int, amount: int) -> None:
        """The group received a cover or socialised loss: what it owes falls by it."""
        key = self._book.group_key(group)
        episode = self.table.get(key)
        if episode and episode.is_open and amount > 0:
            self.table[key] = replace(episode, owed=max(0, episode.owed - amount))

    def result(self, row: dict[str, Any], time_us: int, out: Outputs) -> None:
        """The outcome of a NET or LIQUIDATE of this shard: what was not executed of a LIQUIDATE is handed over at its bankruptcy quote."""
        awaited = self.awaited.pop(row["instruction_id"])
        if awaited is None:
            return
        key = awaited.group
        episode = self.table[key]
        self.table[key] = replace(episode, awaited=tuple(i for i in episode.awaited if i != row["instruction_id"]))
        group = self._book.group_row(key)
        if row["kind"] == InstructionKind.LIQUIDATE:
            for held in self._book.held(group):
                position = self._book.position_key(held)
                left = self._reservations.of(position, EPISODE)
                self._reservations.set(position, EPISODE, 0)
                if left:
                    self._unfilled(group, held, time_us, out)
        self.advance(group, time_us, out)

    def _unfilled(self, group: int, row: int, time_us: int, out: Outputs) -> None:
        """The market did not take it within the limit: the pool gets the position, unless the whole group is bankrupt or well again."""
        equity, values, maintenance = self._book.measure(group)
        required = sum(maintenance.values())
        if 0 <= equity < required and self._may_order(row) and not self._is_suspect(self._book.group_key(group)[0]):
            self._count_round(group)
            self._hand_over(group, row, bankruptcy_quote(values[row], equity, maintenance[row], required), time_us, out)

    def _count_round(self, group: int) -> None:
        key = self._book.group_key(group)
        self.table[key] = replace(self.table[key], rounds=self.table[key].rounds + 1)

    # -- saying it --------------------------------------------------------------------------------------------------------------------

    def _await(self, key: GroupKey, instruction_id: int, time_us: int) -> None:
        episode = self.table[key]
        self.table[key] = replace(episode, awaited=(*episode.awaited, instruction_id))
        self.awaited[instruction_id] = Awaited(key, time_us + self._valid_us(episode))

    def overdue(self, clock_us: int, out: Outputs) -> None:
        """Alarm instructions that should have had their result: never a silent release."""
        for instruction_id, awaited in self.awaited.items():
            if awaited.valid_until_us < clock_us and not awaited.is_alarmed:
                self.awaited[instruction_id] = replace(awaited, is_alarmed=True)
                out.alarm("instruction_overdue", account=awaited.group[0], instruction_id=instruction_id)

    def _valid_us(self, episode: Episode) -> int:
        pool = self._book.pools.get(episode.pools[0])
        return pool.instruction_valid_us if pool else _DEFAULT_VALID_US

    def _instruct(
        self,
        key: GroupKey,
        kind: InstructionKind,
        time_us: int,
        out: Outputs,
        *,
        position: PositionKey | None = None,
        marked: int | None = None,
        **fields: Any,
    ) -> int:
        """Emit an instruction of this episode; its id."""
        episode = self.table[key]
        cause = episode_id(account=key[0], asset=key[1], **group_fields(key), episode=episode.number)
        attempt = max(1, episode.liquidations)
        instrument, side = (position[1], position[2]) if position else (None, None)
        instruction_id = instruction_identity(
            cause_kind=CauseKind.EPISODE, cause_id=cause, account=key[0], instrument=instrument, position_side=side,
            counter_account=fields.get("counter_account"), rung=kind, attempt=attempt,
        )  # fmt: skip
        assert instruction_id not in self.awaited, f"two different instructions of account {key[0]} have the id {instruction_id}"
        pool = self._book.pools.get(episode.pools[0])
        marked = instrument or marked
        mark, sequence = self._book.mark_of(marked) if marked else (None, None)
        partition = self.partition_of(key[0])
        row = {
            "instruction_id": instruction_id, "kind": kind, "account": key[0], "partition": partition, "pool": episode.pools[0],
            "cause_kind": CauseKind.EPISODE, "cause_id": cause, "rung": int(kind), "attempt": attempt, "instrument": instrument,
            "position_side": side, "mark_ticks": mark, "mark_sequence": sequence, "policy_version": pool.version if pool else 0,
            "event_time_us": time_us, "valid_until_us": time_us + self._valid_us(episode), **fields,
        }  # fmt: skip
        out.emit("instructions", row, partition)
        return instruction_id

    def _tell_pool(self, kind: InsolvencyKind, key: GroupKey, pool: int, time_us: int, out: Outputs, **fields: Any) -> None:
        episode = self.table[key]
        row = {
            "kind": kind, "pool": pool, "account": key[0], "partition": self.partition_of(key[0]), **group_fields(key), "episode": episode.number,
            "attempt": max(1, episode.rounds), "lots": 0, "bankruptcy_quote": 0, "deficit": 0, "event_time_us": time_us, **fields,
        }  # fmt: skip
        out.emit("insolvencies", row)


def group_fields(key: GroupKey) -> dict[str, int | None]:
    """The group of a key as the streams name it: both fields null for the cross group."""
    return {"group_instrument": key[2] or None, "group_side": key[3] or None}
