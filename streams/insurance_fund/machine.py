"""The fund's machine: flows, results and insolvencies in; takeovers, unwinds, covers, socialised losses, states and ledger out.

It decides how much of an insolvent position the fund takes over; what it refuses is handed back for a wave.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from streams.domain.batch import Outputs
from streams.domain.events import CauseKind, FlowCause, InstructionKind, Outcome
from streams.domain.instructions import OpenInstructions, instruction_row
from streams.domain.market import Market, MarkPrice
from streams.domain.money import div_ceil
from streams.domain.resolution import Deleveraged, Episode, Unplaced, episode_of
from streams.domain.state import Digested
from streams.insurance_fund.books import Books, Reserve
from streams.insurance_fund.deficits import Deficits
from streams.insurance_fund.states import AdlStates, RefusedTakeover
from streams.insurance_fund.takeover import bearable_lots, closing_lots
from streams.insurance_fund.unwinds import Unwinds


class InsuranceFund:
    """All pools' funds. `is_open_elsewhere` tells whether another room has instructions of an episode open."""

    def __init__(self, market: Market, is_open_elsewhere: Callable[[Episode], bool]) -> None:
        self.market = market
        self.books = Books(market)
        self.open = OpenInstructions("fund_open")
        self.states = AdlStates(self.books)
        self.unwinds = Unwinds(self.books, self.open)
        self.deficits = Deficits(self.books, self.open, is_open_elsewhere)

    @property
    def parts(self) -> tuple[Digested, ...]:
        """The tables."""
        return *self.books.parts, self.open.table, self.states.table, self.unwinds.table, *self.deficits.parts

    def restore(self, tables: Mapping[str, pa.RecordBatch]) -> None:
        """Take over the tables of a snapshot; the market is restored already."""
        self.books.restore(tables)
        self.open.restore(tables)
        self.states.restore(tables)
        self.unwinds.restore(tables)
        self.deficits.restore(tables)

    def parameters_changed(self, pool: int) -> None:
        """The pool, or an instrument it insures, has new parameters."""
        self.books.touched[pool] = None
        for instrument in self.market.instruments_of(pool):
            self.books.revalue(instrument)

    def marked(self, instrument: int) -> None:
        """A mark of the instrument was applied."""
        self.books.revalue(instrument)
        self.unwinds.release(instrument, self.market.clock_us)
        self.deficits.release(instrument, self.market.clock_us)

    def flow(self, row: Mapping[str, Any], out: Outputs) -> None:
        """A movement of a fund's account."""
        self.books.flow(row, out)
        if row["cause"] == FlowCause.TAKEOVER:
            self.unwinds.taken(row)

    def offer(self, position: Unplaced, mark: MarkPrice, *, attempt: int, now_us: int, out: Outputs) -> tuple[int, int | None]:
        """Take over what the fund can bear of these lots at this mark: how many, and by which instruction.

        It takes the first ones of the position: their quote is `position.quote_of(lots)`. A gain is never refused, whatever the state, within the
        bounds of its own account; refusing a loss is entering adl.
        """
        loss = position.quote - position.sign * position.lots * self.market.instruments[position.instrument].value(1, mark.ticks)
        taken = self._bearable(position, mark, loss)
        instruction_id = None
        if taken:
            part = replace(position, lots=taken, quote=position.quote_of(taken))
            instruction_id = self._take_over(part, mark, attempt=attempt, now_us=now_us, out=out)
        if taken < position.lots and loss > 0:
            left = position.lots - taken
            reason = f"takeover of {left:,} of {position.lots:,} lots refused: their loss, their cost or the net notional is too large"
            refused = RefusedTakeover(div_ceil(loss * left, position.lots), position.sign * left)
            self.states.refuse(position.pool, position.instrument, reason, refused, now_us=now_us, out=out)
        return taken, instruction_id

    def _bearable(self, position: Unplaced, mark: MarkPrice, loss: int) -> int:
        pool, instrument, sign = position.pool, position.instrument, position.sign
        lot_value = self.market.instruments[instrument].value(1, mark.ticks)
        most = min(
            self.books.lots_that_fit(pool, instrument, position.lots, sign=sign, lot_value=lot_value),
            self.books.lots_at_cost(pool, instrument, position.lots, sign=sign, quote=position.quote),
        )
        if loss > 0 and self.states.is_adl(pool, instrument):
            most = min(most, closing_lots(lots=position.lots, sign=sign, held_lots=self.books.lots_to_come(pool, instrument)))
        if not most:
            return 0
        value = sign * position.lots * lot_value
        return bearable_lots(lots=position.lots, quote=position.quote, value=value, most=most, fund_value=self.books.bearable(pool))

    def _take_over(self, part: Unplaced, mark: MarkPrice, *, attempt: int, now_us: int, out: Outputs) -> int:
        pool = self.market.pools[part.pool]
        row = instruction_row(
            epoch=self.market.epoch, kind=InstructionKind.TAKEOVER, pool=pool, cause_kind=CauseKind.EPISODE, cause_id=part.episode.id,
            attempt=attempt, party=part.party, counter=self.books.party(pool, part.instrument), now_us=now_us,
            lots=-part.sign * part.lots, quote=-part.quote, mark=mark,
        )  # fmt: skip
        instruction_id = self.open.send(out, row, part.episode)
        lots = part.sign * part.lots
        loss = part.quote - self.market.instruments[part.instrument].value(lots, mark.ticks)
        self.books.reserve(instruction_id, Reserve(part.pool, max(0, loss), part.instrument, lots, cost=abs(part.quote)))
        return instruction_id

    def deficit(self, row: Mapping[str, Any]) -> None:
        """A DEFICIT: what the group owes now, all of it."""
        self.deficits.owe(
            episode_of(row),
            pool=row["pool"],
            partition=row["partition"],
            amount=row["deficit"],
            revision=row["revision"],
            told_us=row["event_time_us"],
        )

    def close(self, episode: Episode) -> None:
        """CLOSED: the episode is over."""
        self.deficits.close(episode)
        self.open.close(episode)

    def deleveraged(self, execution: Deleveraged) -> None:
        """Another room has deleveraged somebody for an episode."""
        self.deficits.deleveraged(execution)

    def instruction_ended(self, episode: Episode) -> None:
        """Another room's instruction of an episode has all its results."""
        self.deficits.instruction_ended(episode)

    def result(self, row: Mapping[str, Any], out: Outputs, now_us: int) -> None:
        """One party's result. What a takeover did not get goes back to its shard, which hears the result itself."""
        ended, instruction_id = self.open.result(row, out), row["instruction_id"]
        if ended is None:
            return
        self.books.end_reserve(instruction_id)
        is_refused = row["outcome"] in (Outcome.REJECTED, Outcome.EXPIRED)
        match ended.kind:
            case InstructionKind.TAKEOVER:
                self.unwinds.takeover_ended(instruction_id, ended)
            case InstructionKind.UNWIND:
                self.unwinds.ended(instruction_id, ended, is_refused=is_refused, now_us=now_us, out=out)
            case _ if ended.episode is not None:
                self.deficits.ended(instruction_id, ended, ended.episode, result_us=row["event_time_us"], out=out)
        if ended.episode is not None:
            self.deficits.instruction_ended(ended.episode)

    def end_event(self, clock_us: int, now_us: int, out: Outputs) -> None:
        """What follows from an event as a whole: unwinds, deficits, states, and what is overdue."""
        self.unwinds.send(now_us, out)
        self.deficits.decide(now_us, out)
        if self.books.touched:
            self.states.evaluate(now_us, out)
        self.open.alarm_overdue(clock_us, out)
