"""The ladder of one solvency group, from the crossing to the end: cancel, net, liquidate, have placed what is left, settle.

A group is judged whenever its money or a mark of its instruments changes, at the marks in force. One episode at a time per group; it advances
whenever nothing of it is awaited: no instruction, no lots that the pool was asked to place. What nobody took waits for the next mark of its
instrument. Bankruptcy quotes come from domain/bankruptcy.py. A group first seen with negative equity skips LIQUIDATE.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

from streams.domain.alarms import Alarm
from streams.domain.bankruptcy import bankruptcy_quote
from streams.domain.batch import Outputs
from streams.domain.episodes import episode_id, group_fields
from streams.domain.events import CauseKind, GroupState, InstructionKind, Outcome, PositionSide
from streams.domain.ids import instruction_identity
from streams.domain.instruments import Use
from streams.domain.money import quote_part_floor
from streams.domain.resolution import Group, Party
from streams.domain.state import StateTable
from streams.risk.asking import Asking
from streams.risk.book import Book
from streams.risk.keys import GroupKey, PositionKey
from streams.risk.reservations import Reservations
from streams.risk.table import EMPTY
from streams.risk.valuation import classify
from streams.risk.waiting import OFFER_FIRST, OFFERED, Waiting

_DEFAULT_VALID_US: Final = 1_000_000  # only for groups whose pool's parameters never came
_REFUSALS: Final = (Outcome.REJECTED, Outcome.EXPIRED)


@dataclass(frozen=True, slots=True)
class Episode:
    """What is known of a group's newest episode.

    `awaited`: ids of instructions about the group without result, the pool's too. `liquidations`: LIQUIDATE orders so far. `pool`: whose
    parameters its instructions follow; 0: not known.
    """

    number: int
    is_open: bool
    pool: int
    awaited: tuple[int, ...] = ()
    liquidations: int = 0


@dataclass(frozen=True, slots=True)
class Awaited:
    """An instruction without result, its position and kind. It is overdue, and alarmed once, when the clock passes `valid_until_us`."""

    group: GroupKey
    position: PositionKey
    valid_until_us: int
    is_alarmed: bool = False


class Episodes:
    """Episodes of one shard's groups. Every method says what follows into the `Outputs` it is given."""

    def __init__(self, book: Book, reservations: Reservations, waiting: Waiting, asking: Asking) -> None:
        self._book, self._reservations, self._waiting, self._asking = book, reservations, waiting, asking
        self.epoch = 0  # the deployment's
        self.table: StateTable[GroupKey, Episode] = StateTable("episodes", GroupKey, Episode)
        self.awaited: StateTable[tuple[int, int], Awaited] = StateTable("awaited_instructions", tuple[int, int], Awaited)

    # -- judging ----------------------------------------------------------------------------------------------------------------------

    def judge(self, group: int, time_us: int, out: Outputs, *, instrument: int | None = None) -> None:
        """Say the group's state if it has changed, begin or go on with its episode. `instrument`: whose mark led here, if one did."""
        if not int(self._book.groups.rows["watched"][group]) or not self._book.is_priced(group):
            return  # heard again when it is healed, or at the first mark of what it holds
        key = self._book.group_key(group)
        equity, _, maintenance = self._book.measure(group)
        state = GroupState(classify(equity, sum(maintenance.values()), self._book.warning_ppm(group)))
        known = self.table.get(key)
        is_open = known is not None and known.is_open
        opens = state >= GroupState.LIQUIDATABLE and not is_open
        if opens and not (pool := self._pool_of(group, out)):
            opens = False
        changed = state != int(self._book.groups.rows["state"][group])
        if opens:
            self.table[key] = Episode(known.number + 1 if known else 1, is_open=True, pool=pool)
        self._book.set_state(group, state=state, in_episode=opens or is_open)
        if changed or opens:
            self._say_state(group, state, time_us, instrument, out)
        if opens:
            self._begin(group, instrument, time_us, out)
        elif is_open:
            self.advance(group, time_us, out)

    def _pool_of(self, group: int, out: Outputs) -> int:
        """The pool whose parameters the episode follows; 0, and an alarm, while none is known that could take what the group loses."""
        asset = int(self._book.groups.rows["asset"][group])
        held = [self._book.parameters_at(row).pool for row in self._book.held(group)]
        known = [pool for pool in sorted(set(held)) if pool in self._book.pools]
        known = known if held else [pool for pool, parameters in self._book.pools.items() if parameters.asset == asset]
        if not known:
            if int(self._book.groups.rows["state"][group]) < GroupState.LIQUIDATABLE:  # it is said once
                out.alarm(Alarm.EPISODE_WITHOUT_A_POOL, account=self._book.group_key(group)[0], asset=asset)
            for row in self._book.held(group):
                self._waiting.wait(self._book.position_key(row), 0)
        return known[0] if known else 0

    def _say_state(self, group: int, state: int, time_us: int, instrument: int | None, out: Outputs) -> None:
        key = self._book.group_key(group)
        episode = self.table.get(key)
        equity, _, maintenance = self._book.measure(group)
        mark, sequence = self._book.mark_of(instrument) if instrument else (None, None)
        row = {
            "event_time_us": time_us, "account": key[0], "asset": key[1], **group_fields(*key[2:]), "state": state,
            "episode": episode.number if episode else 0, "equity": equity,
            "maintenance": sum(maintenance.values()), "instrument": instrument, "mark_ticks": mark, "mark_sequence": sequence,
        }  # fmt: skip
        out.emit("account-states", row, self.partition_of(key[0]))

    def partition_of(self, account: int) -> int:
        """Partition of the account, as the exchange chose it."""
        return int(self._book.accounts.rows["partition"][self._book.account_row(account)])

    def restated(self, account_row: int, time_us: int, out: Outputs) -> None:
        """A SNAPSHOT restated the account: what the pool was asked to place is taken back, and every group is judged from what is there."""
        self._asking.restated(self._book.account_id(account_row), time_us, out)
        for group in list(self._book.groups_of(account_row)):
            self.judge(group, time_us, out)

    def marked(self, instrument: int, time_us: int, out: Outputs) -> None:
        """A mark of the instrument was applied: what waited for one is judged again."""
        for group in dict.fromkeys(self._group_of(position) for position in self._waiting.due(instrument, time_us)):
            if group != EMPTY:
                self.judge(group, time_us, out, instrument=instrument)

    def _group_of(self, position: PositionKey) -> int:
        row = self._book.position_row(position)
        return int(self._book.positions.rows["group"][row]) if row != EMPTY else EMPTY

    # -- the rungs of this task -------------------------------------------------------------------------------------------------------

    def _begin(self, group: int, instrument: int | None, time_us: int, out: Outputs) -> None:
        key = self._book.group_key(group)
        held = self._book.held(group)
        for row in held:
            self._asking.withdraw(self._book.position_key(row), time_us, out)
        if held:
            self._instruct(key, InstructionKind.CANCEL_ORDERS, time_us, out, marked=instrument)
        if key[2] == 0:
            for number in sorted({self._book.position_key(row)[1] for row in held}):
                self._net(key, number, time_us, out)
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
            instruction_id = self._instruct(
                key, InstructionKind.NET, time_us, out, position=position, lots=-lots, quote=quote,
                **Party(Group.of_key(key), self.partition_of(key[0]), instrument, int(PositionSide.SHORT)).fields("counter_"),
            )  # fmt: skip
            self._await(key, instruction_id, position, time_us)

    def advance(self, group: int, time_us: int, out: Outputs) -> None:
        """Take the next step of an open episode, if nothing of it is awaited."""
        key = self._book.group_key(group)
        episode = self.table.get(key)
        if episode is None or not episode.is_open or not int(self._book.groups.rows["watched"][group]):
            return
        held = self._book.held(group)
        if not held:
            self._settle(group, time_us, out)
        elif not episode.awaited and not any(self._asking.is_asked(self._book.position_key(row)) for row in held) and self._book.is_priced(group):
            self._next_rung(group, held, time_us, out)

    def _next_rung(self, group: int, held: list[int], time_us: int, out: Outputs) -> None:
        equity, values, maintenance = self._book.measure(group)
        if equity >= sum(maintenance.values()):
            self._close(group, time_us, out)
            return
        blocked = [row for row in held if not self._may_order(row)]
        for row in blocked:
            self._waiting.wait(self._book.position_key(row), time_us)
        if equity < 0 and blocked:
            return  # the quotes of all its positions rest on that mark
        free = [row for row in held if self._reservations.free(row) and not self._waiting.is_waiting(self._book.position_key(row))]
        if equity < 0:
            self._asking.ask(group, self._episode_number(group), free, time_us, out)
        elif free:
            row = min(free, key=lambda r: (-maintenance[r], self._book.position_key(r)))
            position = self._book.position_key(row)
            if self._waiting.unwanted(position) == OFFER_FIRST:
                self._waiting.set_unwanted(position, OFFERED)
                self._asking.ask(group, self._episode_number(group), [row], time_us, out)
                return
            self._liquidate(group, row, bankruptcy_quote(values[row], equity, maintenance[row], sum(maintenance.values())), time_us, out)

    def _may_order(self, row: int) -> bool:
        """Whether its pool is known, which could be asked to place it, and its instrument's mark is good enough to trade at."""
        return self._book.parameters_at(row).pool in self._book.pools and self._book.allows(self._book.position_key(row)[1], Use.ORDER)

    def _episode_number(self, group: int) -> int:
        return self.table[self._book.group_key(group)].number

    def _liquidate(self, group: int, row: int, quote: int, time_us: int, out: Outputs) -> None:
        """Order the position with the largest maintenance, whole, limited at its bankruptcy quote; ties by instrument, then leg."""
        key, position = self._book.group_key(group), self._book.position_key(row)
        lots, of_lots = self._reservations.free(row), abs(int(self._book.positions.rows["lots"][row]))
        sign = 1 if self._book.positions.rows["lots"][row] > 0 else -1
        self.table[key] = replace(self.table[key], liquidations=self.table[key].liquidations + 1)
        instruction_id = self._instruct(
            key, InstructionKind.LIQUIDATE, time_us, out, position=position, lots=-sign * lots, quote_limit=-quote_part_floor(quote, lots, of_lots)
        )
        self._reservations.set(position, instruction_id, lots)
        self._await(key, instruction_id, position, time_us)

    def _settle(self, group: int, time_us: int, out: Outputs) -> None:
        """A flat group: at zero or more its episode is over; below, its pool hears what it owes now, whenever that changes."""
        key = self._book.group_key(group)
        deficit = -int(self._book.groups.rows["wallet"][group])
        if deficit > 0:
            self._asking.owe(key, self._episode_number(group), self.table[key].pool, deficit, time_us, out)
        elif not self.table[key].awaited:
            self._close(group, time_us, out)

    def _close(self, group: int, time_us: int, out: Outputs) -> None:
        key = self._book.group_key(group)
        self.table[key] = replace(self.table[key], is_open=False)
        self._book.set_state(group, in_episode=False)
        for row in self._book.positions_of(group):
            self._waiting.forget(self._book.position_key(row))
        self._asking.close(key, self.table[key].number, time_us, out)

    # -- what comes back --------------------------------------------------------------------------------------------------------------

    def placed(self, position: PositionKey, instruction_id: int, time_us: int) -> None:
        """The pool has instructed lots of the position: its result is awaited."""
        group = self._group_of(position)
        episode = None if group == EMPTY else self.table.get(self._book.group_key(group))
        if episode is not None and episode.is_open:
            self._await(self._book.group_key(group), instruction_id, position, time_us)

    def given_back(self, position: PositionKey, time_us: int, out: Outputs) -> None:
        """Nobody takes these lots now: they are judged again at the next mark of their instrument, the group's others at once.

        Lots of a solvent group that were offered before they were ordered again are ordered now.
        """
        group = self._group_of(position)
        if self._waiting.unwanted(position) != OFFERED or group == EMPTY or self._book.measure(group)[0] < 0:
            self._waiting.wait(position, time_us)
        if group != EMPTY:
            self.judge(group, time_us, out)

    def result(self, row: dict[str, Any], time_us: int, out: Outputs) -> None:
        """The outcome of an instruction about a group. What the market did not want of a LIQUIDATE, the pool is asked to place."""
        awaited = self.awaited.pop((row["instruction_id"], row["account"]))
        if awaited is None:
            return
        episode = self.table[awaited.group]
        if row["instruction_id"] not in episode.awaited:
            return  # of an episode that is over
        self.table[awaited.group] = episode = replace(episode, awaited=tuple(i for i in episode.awaited if i != row["instruction_id"]))
        self._take_outcome(awaited, episode, row, time_us, out)
        group = self._book.group_row(awaited.group)
        self.judge(group, time_us, out)

    def _take_outcome(self, awaited: Awaited, episode: Episode, row: dict[str, Any], time_us: int, out: Outputs) -> None:
        position, pool = awaited.position, self._book.pools.get(episode.pool)
        if row["outcome"] in _REFUSALS:
            pause_us, count = (pool.retry_pause_us, pool.retry_alarm_count) if pool else (0, 1)
            self._waiting.refused(position, time_us, pause_us=pause_us, alarm_count=count, out=out)
            return
        self._waiting.answered(position)
        if row["outcome"] == Outcome.FILLED or not episode.is_open:
            return
        is_offered = self._waiting.unwanted(position) == OFFERED
        if row["kind"] == InstructionKind.LIQUIDATE:
            self._waiting.set_unwanted(position, OFFER_FIRST)
        self._waiting.wait(position, time_us)
        held = self._book.position_row(position)
        if row["kind"] == InstructionKind.LIQUIDATE and not is_offered and held != EMPTY and self._reservations.free(held):
            group = int(self._book.positions.rows["group"][held])
            equity, _, maintenance = self._book.measure(group)
            if 0 <= equity < sum(maintenance.values()) and int(self._book.groups.rows["watched"][group]):
                self._asking.ask(group, episode.number, [held], time_us, out)

    # -- saying it --------------------------------------------------------------------------------------------------------------------

    def _await(self, key: GroupKey, instruction_id: int, position: PositionKey, time_us: int) -> None:
        episode = self.table[key]
        self.table[key] = replace(episode, awaited=(*episode.awaited, instruction_id))
        self.awaited[instruction_id, key[0]] = Awaited(key, position, time_us + self._valid_us(episode))

    def overdue(self, clock_us: int, out: Outputs) -> None:
        """Alarm instructions that should have had their result: never a silent release."""
        for (instruction_id, account), awaited in self.awaited.items():
            if awaited.valid_until_us < clock_us and not awaited.is_alarmed:
                self.awaited[instruction_id, account] = replace(awaited, is_alarmed=True)
                out.alarm(Alarm.INSTRUCTION_OVERDUE, account=account, instruction_id=instruction_id)

    def _valid_us(self, episode: Episode) -> int:
        pool = self._book.pools.get(episode.pool)
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
        cause = episode_id(account=key[0], asset=key[1], **group_fields(*key[2:]), episode=episode.number)
        attempt = max(1, episode.liquidations)
        party = Party(Group.of_key(key), self.partition_of(key[0]), *(position[1:] if position else ())).fields()
        instrument, side = party["instrument"], party["position_side"]
        instruction_id = instruction_identity(
            epoch=self.epoch, cause_kind=CauseKind.EPISODE, cause_id=cause, account=key[0], instrument=instrument, position_side=side,
            counter_account=fields.get("counter_account"), rung=kind, attempt=attempt,
        )  # fmt: skip
        assert (instruction_id, key[0]) not in self.awaited, f"two different instructions of account {key[0]} have the id {instruction_id}"
        pool = self._book.pools.get(episode.pool)
        marked = instrument or marked
        mark, sequence = self._book.mark_of(marked) if marked else (None, None)
        row = {
            "instruction_id": instruction_id, "kind": kind, "pool": episode.pool, "asset": key[1], **party, "cause_kind": CauseKind.EPISODE,
            "cause_id": cause, "rung": int(kind), "attempt": attempt, "mark_ticks": mark, "mark_sequence": sequence,
            "policy_version": pool.version if pool else 0, "event_time_us": time_us, "valid_until_us": time_us + self._valid_us(episode), **fields,
        }  # fmt: skip
        out.emit("instructions", row, self.partition_of(key[0]))
        return instruction_id
