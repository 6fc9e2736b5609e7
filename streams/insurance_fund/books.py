"""What each fund owns and owes: wallet, inventory, reserves, and from them its value. Values are kept as marks move, never summed anew."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from streams.domain.alarms import Alarm
from streams.domain.batch import Outputs
from streams.domain.events import FlowCause, PositionSide
from streams.domain.instruments import Pool
from streams.domain.market import Market
from streams.domain.money import MAX_VALUE, div_ceil
from streams.domain.resolution import Group, Party
from streams.domain.state import Digested, StateTable
from streams.insurance_fund import ledger
from streams.insurance_fund.takeover import closing_lots, lots_within_bounds, lots_within_cap, lots_within_quote


@dataclass(frozen=True, slots=True)
class Fund:
    """One pool's fund. `ledger`: sum of its entries; `gap`: wallet - ledger, zero unless a flow is missing; `partition`: of its account."""

    wallet: int = 0
    ledger: int = 0
    gap: int = 0
    entries: int = 0
    is_opened: bool = False
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class Holding:
    """Inventory in one instrument: signed lots and their cost."""

    lots: int
    cost: int


@dataclass(frozen=True, slots=True)
class Reserve:
    """What the fund may lose or pay by an open instruction, and its lots, signed for the fund; `instrument`: where they may add to its inventory.

    `is_at_risk`: the worst that an UNWIND may cost. It leaves the fund's value as it is, but cannot be spent on anything else. `cost`: the
    absolute quote of the lots, which may add to the cost of the inventory.
    """

    pool: int
    amount: int
    instrument: int | None
    lots: int
    is_at_risk: bool = False
    cost: int = 0


PoolInstrument = tuple[int, int]


class Books:
    """Funds by pool, inventory by (pool, instrument), reserves by instruction. `touched`: pools whose value may have changed."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.funds: StateTable[int, Fund] = StateTable("fund_funds", int, Fund)
        self.inventory: StateTable[PoolInstrument, Holding] = StateTable("fund_inventory", tuple[int, int], Holding)
        self.reserves: StateTable[int, Reserve] = StateTable("fund_reserves", int, Reserve)
        self.touched: dict[int, None] = {}
        self._clear()

    def _clear(self) -> None:
        self._pnl: dict[PoolInstrument, int] = {}
        self._pnl_sum: dict[int, int] = {}
        self._cost_sum: dict[int, int] = {}
        self._reserved: dict[int, int] = {}
        self._at_risk: dict[int, int] = {}
        self._pending_lots: dict[PoolInstrument, int] = {}
        self._pending_cost: dict[PoolInstrument, int] = {}
        self._pending_count: dict[PoolInstrument, int] = {}
        self._notional: dict[PoolInstrument, int] = {}
        self._notional_sum: dict[int, int] = {}
        self._holders: dict[int, dict[int, None]] = {}  # of inventory, or of takeovers that may bring some

    @property
    def parts(self) -> tuple[Digested, ...]:
        """The tables."""
        return self.funds, self.inventory, self.reserves

    def restore(self, tables: Mapping[str, pa.RecordBatch]) -> None:
        """Take over the tables of a snapshot; the market is restored already."""
        for part in self.parts:
            part.from_arrow(tables[part.name])
        self._clear()
        for (pool, instrument), holding in self.inventory.items():
            self._cost_sum[pool] = self._cost_sum.get(pool, 0) + holding.cost
            self._holders.setdefault(instrument, {})[pool] = None
            self.revalue(instrument)
        for instruction_id in self.reserves:
            self._count_reserve(self.reserves[instruction_id], 1)
        self.touched = dict.fromkeys(self.funds)

    def fund(self, pool: int) -> Fund:
        """The fund of a pool; an empty one before its first flow."""
        return self.funds.get(pool) or Fund()

    def value(self, pool: int) -> int:
        """What the fund can still bear: wallet + inventory at mark - its cost - reserved; settlement units.

        Inventory without any mark yet counts at cost.
        """
        return self.fund(pool).wallet + self._pnl_sum.get(pool, 0) - self._reserved.get(pool, 0)

    def bearable(self, pool: int) -> int:
        """The most that a takeover may cost: down to the pool's floor, and never below nothing."""
        return self.spendable(pool) - max(0, self.market.pools[pool].fund_floor_value)

    def spendable(self, pool: int) -> int:
        """The value less the worst that open UNWINDs may cost; settlement units."""
        return self.value(pool) - self._at_risk.get(pool, 0)

    def party(self, pool: Pool, instrument: int | None = None) -> Party:
        """The fund's account as a side of an instruction, about its position in the instrument or about money alone."""
        leg = None if instrument is None else int(PositionSide.ONE_WAY)
        return Party(Group(pool.asset, pool.fund_account, 0, 0), self.fund(pool.pool).partition, instrument, leg)

    def holding(self, pool: int, instrument: int) -> Holding:
        """Inventory in one instrument."""
        return self.inventory.get((pool, instrument)) or Holding(0, 0)

    def pending_lots(self, pool: int, instrument: int) -> int:
        """Signed lots that open takeovers may add to the inventory."""
        return self._pending_lots.get((pool, instrument), 0)

    def lots_to_come(self, pool: int, instrument: int) -> int:
        """Signed lots of the inventory once open takeovers are filled."""
        return self.holding(pool, instrument).lots + self.pending_lots(pool, instrument)

    def lots_that_fit(self, pool: int, instrument: int, lots: int, *, sign: int, lot_value: int) -> int:
        """The most of these lots of direction `sign` that the fund's own account may add: its position's bound, and its cap of net notional."""
        held, cap = self.lots_to_come(pool, instrument), self.market.pools[pool].net_notional_cap
        most = lots_within_bounds(lots=lots, sign=sign, held_lots=held, max_lots=self.market.instruments[instrument].max_lots)
        if cap is None:
            return most
        elsewhere = self.notional_elsewhere(pool, instrument)
        return min(most, lots_within_cap(
            lots=lots, sign=sign, held_lots=held, lot_value=lot_value, notional_elsewhere=elsewhere, cap=cap,
        ))  # fmt: skip

    def lots_at_cost(self, pool: int, instrument: int, lots: int, *, sign: int, quote: int) -> int:
        """The most of these lots of direction `sign`, each at its part of `quote`, that the fund's account can book.

        No fill and no cost of a position may exceed MAX_VALUE, whichever of the open takeovers are filled, and in whichever order. Lots that only
        shrink what is held add no cost, and those beyond them begin a new one.
        """
        held = self.holding(pool, instrument)
        kept = abs(held.cost) if sign * held.lots >= 0 else 0
        adding = lots_within_quote(lots=lots, quote=quote, most=MAX_VALUE - kept - self._pending_cost.get((pool, instrument), 0))
        shrinking = min(closing_lots(lots=lots, sign=sign, held_lots=h) for h in (held.lots, self.lots_to_come(pool, instrument)))
        return max(adding, min(shrinking, lots_within_quote(lots=lots, quote=quote, most=MAX_VALUE)))

    def is_pending(self, pool: int, instrument: int) -> bool:
        """Whether a takeover is open there."""
        return (pool, instrument) in self._pending_count

    def notional_elsewhere(self, pool: int, instrument: int) -> int:
        """Sum over the other instruments of the absolute inventory at mark, open takeovers included; settlement units."""
        return self._notional_sum.get(pool, 0) - self._notional.get((pool, instrument), 0)

    def revalue(self, instrument: int) -> None:
        """The instrument's mark or parameters have changed."""
        for pool in self._holders.get(instrument, ()):
            holding, lot_value = self.holding(pool, instrument), self.market.lot_value(instrument)
            pnl = 0 if lot_value is None else holding.lots * lot_value - holding.cost
            self._pnl_sum[pool] = self._pnl_sum.get(pool, 0) + pnl - self._pnl.get((pool, instrument), 0)
            self._pnl[pool, instrument] = pnl
            self._count_notional(pool, instrument)
            self.touched[pool] = None

    def _count_notional(self, pool: int, instrument: int) -> None:
        notional = abs(self.lots_to_come(pool, instrument)) * (self.market.lot_value(instrument) or 0)
        self._notional_sum[pool] = self._notional_sum.get(pool, 0) + notional - self._notional.get((pool, instrument), 0)
        self._notional[pool, instrument] = notional

    def reserve(self, instruction_id: int, reserve: Reserve) -> None:
        """Set money, and room for lots, aside for an instruction."""
        self.reserves[instruction_id] = reserve
        self._count_reserve(reserve, 1)

    def end_reserve(self, instruction_id: int | None) -> None:
        """A payment has been made, or the instruction has its result: nothing of it is reserved any more."""
        reserve = None if instruction_id is None else self.reserves.pop(instruction_id)
        if reserve is not None:
            self._count_reserve(reserve, -1)

    def use_reserve(self, instruction_id: int | None, lots: int) -> None:
        """A flow of so many signed lots: the reserve shrinks lot by lot, what is left of it rounded up."""
        reserve = None if instruction_id is None else self.reserves.get(instruction_id)
        if instruction_id is None or reserve is None:
            return
        left = reserve.lots - lots
        if not reserve.lots or left * reserve.lots <= 0:
            self.end_reserve(instruction_id)
            return
        self._count_reserve(reserve, -1)
        amount, cost = (div_ceil(whole * abs(left), abs(reserve.lots)) for whole in (reserve.amount, reserve.cost))
        self.reserve(instruction_id, replace(reserve, lots=left, amount=amount, cost=cost))

    def _count_reserve(self, reserve: Reserve, sign: int) -> None:
        self.touched[reserve.pool] = None
        of_kind = self._at_risk if reserve.is_at_risk else self._reserved
        of_kind[reserve.pool] = of_kind.get(reserve.pool, 0) + sign * reserve.amount
        if reserve.instrument is not None:
            key = reserve.pool, reserve.instrument
            self._pending_lots[key] = self._pending_lots.get(key, 0) + sign * reserve.lots
            self._pending_cost[key] = self._pending_cost.get(key, 0) + sign * reserve.cost
            self._pending_count[key] = self._pending_count.get(key, 0) + sign
            if not self._pending_count[key]:
                del self._pending_count[key], self._pending_lots[key], self._pending_cost[key]
            self._holders.setdefault(reserve.instrument, {})[reserve.pool] = None
            self._count_notional(*key)

    def flow(self, flow: Mapping[str, Any], out: Outputs) -> None:
        """Take a fund flow: inventory and wallet as they stand afterwards, the end of its reserve, and its ledger entry if cash moved."""
        pool, instrument, cash = flow["pool"], flow["instrument"], flow["cash"]
        if flow["asset"] != self.market.pools[pool].asset:
            out.alarm(Alarm.FUND_HOLDS_ANOTHER_ASSET, pool=pool, asset=flow["asset"])
            return  # it insures nobody here, and is counted in no sum of this pool
        if instrument is not None:
            self._hold(pool, instrument, Holding(flow["lots_after"], flow["cost_after"]))
        self.use_reserve(flow["instruction_id"], flow["lots"])
        fund = self.fund(pool)
        total, wallet = fund.ledger + cash, flow["wallet_after"]
        gap, entries = wallet - total, fund.entries + (cash != 0)
        opened = fund.is_opened or flow["cause"] == FlowCause.OPENING
        self.funds[pool] = replace(fund, partition=flow["partition"], wallet=wallet, ledger=total, gap=gap, entries=entries, is_opened=opened)
        self.touched[pool] = None
        if gap and gap != fund.gap:
            out.alarm(Alarm.FUND_LEDGER_DIFFERS, pool=pool, ledger=total, wallet=wallet)
        if cash:
            inventory_cost = self._cost_sum.get(pool, 0)
            out.emit("fund-ledger", ledger.entry(flow, number=entries, inventory_cost=inventory_cost, value=self.value(pool)))

    def _hold(self, pool: int, instrument: int, holding: Holding) -> None:
        self._cost_sum[pool] = self._cost_sum.get(pool, 0) + holding.cost - self.holding(pool, instrument).cost
        self.inventory[pool, instrument] = holding
        self._holders.setdefault(instrument, {})[pool] = None
        self.revalue(instrument)
