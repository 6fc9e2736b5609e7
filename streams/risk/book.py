"""The book of one shard: accounts, solvency groups, positions, instruments, and the exact way to change them.

A position is (lots, cost); a group is a wallet with the positions it carries. `Book.fill` is the exact path for every fill and the twin
of the compiled one. Nothing here decides what a change means; that is episodes.py.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streams.domain.events import DeadLetterReason, Grade, MarginMode, Role
from streams.domain.instruments import Instrument, Pool, Tier, Use, change_refusal, fund_refusal
from streams.domain.marks import MarkTime, Standing
from streams.domain.money import MAX_ACCOUNT, MAX_GROUP_POSITIONS, MAX_VALUE, MAX_WALLET
from streams.domain.positions import fill_effect
from streams.domain.state import StateTable
from streams.risk import layout as k
from streams.risk.bands import BandStore, MarkColumns, apply_mark, apply_marks, is_crossing
from streams.risk.keys import SUSPECT, Booked, Flow, GroupKey, PositionKey, Refused
from streams.risk.rebuild import make_all_pending, rebuild_links, watch_all
from streams.risk.table import EMPTY, RowIndex, RowTable, find, touch, touch_all

_STANDING: Final = ("mark_ticks", "mark_epoch", "mark_sequence", "mark_time_us", "mark_grade", "is_halted")


class Book:
    """Tables, indexes and parameters of one shard."""

    def __init__(self) -> None:
        self.time = MarkTime()  # the machine's clock holds the same one
        self.accounts = RowTable(
            "accounts", ("account", "partition", "role", "flags", "seq", "missing", "opened"), ("first_group", "slow"), salt=1,
        )  # fmt: skip
        self.groups = RowTable(
            "groups", ("account_row", "asset", "instrument", "side", "wallet", "state", "in_episode"),
            ("watched", "first_position", "next_group", "open_positions", "listed", "pending", "spare", "spare_ppm"), salt=2,
        )  # fmt: skip
        self.positions = RowTable("positions", ("group", "instrument_row", "side", "lots", "cost", "reserved"), ("next_position", "slot"), salt=3)
        self.instruments = RowTable(
            "instruments", ("instrument", "mark_ticks", "mark_sequence", "version", "mark_epoch", "mark_time_us", "mark_grade", "is_halted"),
            (
                "value_per_tick_lot", "asset", "max_lots", "max_mark_ticks", "tier_from", "tier_count", "warning_ppm", "first_block",
                "last_block", "last_used", "max_mark_age_us", "waiting",
            ), salt=4,
        )  # fmt: skip
        self.parameters: StateTable[int, Instrument] = StateTable("instrument_parameters", int, Instrument)
        self.pools: StateTable[int, Pool] = StateTable("pool_parameters", int, Pool)
        self.flows: StateTable[int, Flow] = StateTable("flows", int, Flow)
        self.suspects: StateTable[int, int] = StateTable("suspects", int, int)  # account -> since when by the clock of marks; microseconds
        self._account_index, self._group_index, self._position_index = RowIndex(), RowIndex(), RowIndex()
        self._by_id: NDArray[np.int64] = np.full(1, EMPTY, np.int64)
        self._tiers: NDArray[np.int64] = np.zeros((0, 3), np.int64)
        self._bands = BandStore()
        self._crossed: NDArray[np.int64] = np.zeros(0, np.int64)
        self._tables: k.Tables | None = None
        self._table_parts: tuple[Any, ...] = (None,) * 7

    def tables(self, more: int = 4) -> k.Tables:
        """The book for kernels, with room for `more` new accounts, groups (twice) and positions."""
        self.accounts.reserve(more)
        self.groups.reserve(2 * more)
        self.positions.reserve(more)
        self._account_index.reserve(len(self.accounts) + more)
        self._group_index.reserve(len(self.groups) + 2 * more)
        self._position_index.reserve(len(self.positions) + more)
        self._bands.reserve(positions=len(self.positions) + more, instruments=len(self.instruments), groups=len(self.groups) + 2 * more)
        parts = (
            self.accounts.t, self.groups.t, self.positions.t, self._account_index.i, self._group_index.i, self._position_index.i, self._bands.b,
        )  # fmt: skip
        if self._tables is None or any(part is not known for part, known in zip(parts, self._table_parts, strict=True)):
            self._table_parts = parts
            self._tables = k.Tables(*parts[:3], self.instruments.t, *parts[3:6], self._by_id, self._tiers, parts[6])
        return self._tables

    def account_row(self, account: int) -> int:
        """Row of the account, or EMPTY."""
        return int(find(self._account_index.i, account)) if 0 < account < MAX_ACCOUNT else EMPTY

    def instrument_row(self, instrument: int) -> int:
        """Row of the instrument, or EMPTY."""
        return int(self._by_id[instrument]) if 0 < instrument < len(self._by_id) else EMPTY

    def ensure_account(self, account: int, partition: int) -> int:
        """Row of the account, made if it is new."""
        return int(k.add_account(self.tables(), account, partition))

    def ensure_group(self, account_row: int, asset: int, instrument: int = 0, side: int = 0) -> int:
        """Row of the group, made if it is new."""
        return int(k.add_group(self.tables(), account_row, asset, instrument, side))

    def group_row(self, key: GroupKey) -> int:
        """Row of the group, or EMPTY."""
        account_row = self.account_row(key[0])
        if account_row == EMPTY:
            return EMPTY
        packed = k.isolated_key(account_row, key[2], key[3]) if key[2] else k.cross_key(account_row, key[1])
        return int(find(self._group_index.i, packed))

    def position_row(self, key: PositionKey) -> int:
        """Row of the position, or EMPTY."""
        account_row = self.account_row(key[0])
        return EMPTY if account_row == EMPTY else int(find(self._position_index.i, k.position_key(account_row, key[1], key[2])))

    def account_id(self, account_row: int) -> int:
        """Id of the account."""
        return int(self.accounts.rows["account"][account_row])

    def group_key(self, group: int) -> GroupKey:
        """Key of the group."""
        g = self.groups.rows[group]
        return self.account_id(int(g["account_row"])), int(g["asset"]), int(g["instrument"]), int(g["side"])

    def position_key(self, position: int) -> PositionKey:
        """Key of the position."""
        p = self.positions.rows[position]
        account_row = int(self.groups.rows["account_row"][p["group"]])
        return self.account_id(account_row), int(self.instruments.rows["instrument"][p["instrument_row"]]), int(p["side"])

    def held(self, group: int) -> list[int]:
        """Rows of the positions of the group that are not flat, in position-key order."""
        return sorted((row for row in self._chain(group) if self.positions.rows["lots"][row] != 0), key=self.position_key)

    def positions_of(self, group: int) -> list[int]:
        """Rows of all positions of the group, flat ones too, in position-key order."""
        return sorted(self._chain(group), key=self.position_key)

    def warning_ppm(self, group: int) -> int:
        """The group's one warning ratio: the greatest of its positions' pools, so that it warns no later than any of them would."""
        rows = self.instruments.rows["warning_ppm"]
        return max((int(rows[self.positions.rows["instrument_row"][row]]) for row in self.held(group)), default=0)

    def groups_of(self, account_row: int) -> Iterator[int]:
        """Rows of the account's groups."""
        row = int(self.accounts.rows["first_group"][account_row])
        while row != EMPTY:
            yield row
            row = int(self.groups.rows["next_group"][row])

    def parameters_at(self, position: int) -> Instrument:
        """Parameters of the position's instrument."""
        return self.parameters[int(self.instruments.rows["instrument"][self.positions.rows["instrument_row"][position]])]

    def mark_of(self, instrument: int) -> tuple[int, int]:
        """(mark, sequence) of an instrument; (0, 0) before the first."""
        row = self.instruments.rows[self.instrument_row(instrument)]
        return int(row["mark_ticks"]), int(row["mark_sequence"])

    def measure(self, group: int, marks: NDArray[np.int64] | None = None) -> tuple[int, dict[int, int], dict[int, int]]:
        """(equity, {position row: signed value}, {position row: maintenance}) of a group, exact; at `marks` by instrument row, or those in force."""
        values: dict[int, int] = {}
        maintenance: dict[int, int] = {}
        equity = int(self.groups.rows["wallet"][group])
        for row in self.held(group):
            instrument = self.parameters_at(row)
            ticks = self.mark_of(instrument.instrument)[0] if marks is None else int(marks[self.positions.rows["instrument_row"][row]])
            values[row] = instrument.value(int(self.positions.rows["lots"][row]), ticks)
            maintenance[row] = instrument.maintenance(values[row])
            equity += values[row] - int(self.positions.rows["cost"][row])
        return equity, values, maintenance

    def is_crossing(self, group: int) -> bool:
        """Whether the group's state is no longer that of its equity, or its episode must hear of what changed."""
        return bool(is_crossing(self.tables(), group))

    def is_priced(self, group: int) -> bool:
        """Whether everything the group holds has a mark."""
        return all(self.mark_of(self.position_key(row)[1])[0] for row in self.held(group))

    def holders(self, instrument_row: int) -> list[int]:
        """Rows of all positions ever opened in the instrument, in order of opening."""
        return [int(row) for row in np.flatnonzero(self.positions.rows["instrument_row"] == instrument_row)]

    # -- parameters -------------------------------------------------------------------------------------------------------------------

    def set_instrument(self, instrument: Instrument) -> Refused | None:
        """Take over a version of an instrument's parameters; its groups are looked at anew at the next mark."""
        known = self.parameters.get(instrument.instrument)
        if known is not None and instrument.version <= known.version:
            return None  # seen before
        if refused := change_refusal(known, instrument):
            return refused
        self.parameters[instrument.instrument] = instrument
        if known is None:
            self.instruments.reserve(1)
            row = len(self.instruments)
            self.instruments.t.counts[0] += 1
            self.instruments.rows["instrument"][row] = instrument.instrument
            self.instruments.rows["first_block"][row] = self.instruments.rows["last_block"][row] = EMPTY
            self.instruments.rows["mark_grade"][row] = Grade.GOOD
        elif (standing := self.standing(instrument.instrument)).is_halted:
            self.stand(instrument.instrument, standing.resumed())
        self._load_parameters()
        return None

    def set_pool(self, pool: Pool) -> Refused | None:
        """Take over a version of a pool's parameters. Its fund's account is a fund, whatever it was opened as."""
        known = self.pools.get(pool.pool)
        if known is None or pool.version > known.version:
            if refused := fund_refusal((other for _, other in self.pools.items()), pool):
                return refused
            self.pools[pool.pool] = pool
            self._load_parameters()
            if (row := self.account_row(pool.fund_account)) != EMPTY:
                self.set_role(row, Role.FUND)
        return None

    def _load_parameters(self) -> None:
        """Bring instrument parameters into the form kernels read; no band holds any more."""
        tiers: list[Tier] = []
        rows = self.instruments.rows
        self._by_id = np.full(max((int(i) for i in rows["instrument"]), default=0) + 1, EMPTY, np.int64)
        for row in range(len(self.instruments)):
            p = self.parameters[int(rows["instrument"][row])]
            pool = self.pools.get(p.pool)
            self._by_id[p.instrument] = row
            for field in ("version", "value_per_tick_lot", "asset", "max_lots", "max_mark_ticks", "max_mark_age_us"):
                rows[field][row] = getattr(p, field)
            rows["tier_from"][row], rows["tier_count"][row] = len(tiers), len(p.tiers)
            rows["warning_ppm"][row] = pool.warning_ratio_ppm if pool else 0
            tiers += p.tiers
        self._tiers = np.array([(t.floor, t.rate_ppm, t.maintenance_amount) for t in tiers], np.int64).reshape(-1, 3)
        touch_all(self.instruments.t)
        self._tables = None
        make_all_pending(self.tables())

    def pool_of(self, instrument: int) -> Pool | None:
        """Pool that insures the instrument, if its parameters are known."""
        return self.pools.get(self.parameters[instrument].pool)

    def standing(self, instrument: int) -> Standing:
        """The mark in force and how far the instrument can be trusted."""
        row = self.instruments.rows[self.instrument_row(instrument)]
        ticks, epoch, sequence, time_us, grade, halted = (int(row[field]) for field in _STANDING)
        return Standing(ticks, epoch, sequence, time_us, grade, bool(halted))

    def stand(self, instrument: int, standing: Standing) -> None:
        """Keep a standing; the mark itself is set by `apply_mark`."""
        row = self.instrument_row(instrument)
        values = standing.ticks, standing.epoch, standing.sequence, standing.time_us, standing.grade, int(standing.is_halted)
        for field, value in zip(_STANDING, values, strict=True):
            self.instruments.rows[field][row] = value
        touch(self.instruments.t, row)

    def grade_of(self, instrument: int) -> Grade:
        """Grade of the instrument now, by the shard's clock; FROZEN while it is halted."""
        return self.standing(instrument).grade_at(self.parameters[instrument], self.time.us)

    def allows(self, instrument: int, use: Use) -> bool:
        """Whether the instrument may be used so now: its grade allows it, and its pool is known."""
        return self.pool_of(instrument) is not None and self.parameters[instrument].allows(self.grade_of(instrument), use)

    def apply_mark(self, instrument_row: int, mark_ticks: int) -> list[int]:
        """Set a mark; the groups whose state class changed, by group key."""
        count = apply_mark(self.tables(), instrument_row, mark_ticks, self._room())
        touch(self.instruments.t, instrument_row)
        return sorted((int(row) for row in self._crossed[:count]), key=self.group_key)

    def apply_marks(self, marks: MarkColumns, start: int, stop: int) -> tuple[int, list[int]]:
        """Apply plain marks of one event second; (first row not taken, groups whose state class the row before it changed, by group key)."""
        taken, count = apply_marks(self.tables(), marks, start, stop, self.time.us, self._room())
        return int(taken), sorted((int(row) for row in self._crossed[:count]), key=self.group_key)

    def _room(self) -> NDArray[np.int64]:
        """Where a mark lists groups: there is room for all."""
        if len(self._crossed) < len(self.groups):
            self._crossed = np.zeros(2 * len(self.groups), np.int64)
        return self._crossed

    # -- changing accounts ------------------------------------------------------------------------------------------------------------

    def set_role(self, account_row: int, role: int) -> None:
        """Give the account a role; that of a pool's fund is FUND, whatever else is said."""
        is_fund = any(pool.fund_account == self.account_id(account_row) for _, pool in self.pools.items())
        self.accounts.rows["role"][account_row] = Role.FUND if is_fund else role
        self.watch(account_row)

    def set_flag(self, account_row: int, flag: int, *, on: bool) -> None:
        """Set or clear SUSPECT or OPENING."""
        flags, account = int(self.accounts.rows["flags"][account_row]), self.account_id(account_row)
        if flag == SUSPECT and on and account not in self.suspects:
            self.suspects[account] = self.time.us
        elif flag == SUSPECT and not on:
            self.suspects.pop(account)
        self.accounts.rows["flags"][account_row] = flags | flag if on else flags & ~flag
        self.watch(account_row)

    def watch(self, account_row: int) -> None:
        """Recompute what follows from role and flags."""
        is_watched = bool(k.is_watched(self.tables(), account_row))
        self.accounts.rows["slow"][account_row] = not is_watched
        for group in self.groups_of(account_row):
            self.groups.rows["watched"][group] = is_watched
            k.make_pending(self.tables(), group)
        touch(self.accounts.t, account_row)

    def move_wallet(self, group: int, amount: int) -> None:
        """Change the wallet of a group."""
        k.move_wallet(self.tables(), group, amount)

    def set_reserved(self, position: int, lots: int) -> None:
        """Set how many absolute lots of the position are reserved."""
        self.positions.rows["reserved"][position] = lots
        touch(self.positions.t, position)

    def set_state(self, group: int, *, state: int | None = None, in_episode: bool | None = None) -> None:
        """Set the state of a group, and whether it is in an episode."""
        if state is not None:
            self.groups.rows["state"][group] = state
        if in_episode is not None:
            self.groups.rows["in_episode"][group] = in_episode
        touch(self.groups.t, group)
        k.make_pending(self.tables(), group)

    def add_flow(self, asset: int, external: int, reconciliation: int = 0) -> None:
        """Book money from outside."""
        known = self.flows.get(asset) or Flow(0, 0)
        self.flows[asset] = Flow(known.external + external, known.reconciliation + reconciliation)

    def place(self, account_row: int, instrument: int, side: int, mode: int) -> int | Refused:
        """Row of the position, in the group that this margin mode asks for; the mode changes only while the position is flat."""
        instrument_row = self.instrument_row(instrument)
        asset = int(self.instruments.rows["asset"][instrument_row])
        isolated = mode == MarginMode.ISOLATED
        group = self.ensure_group(account_row, asset, instrument if isolated else 0, side if isolated else 0)
        known = self.position_row((self.account_id(account_row), instrument, side))
        opens = known == EMPTY or self.positions.rows["lots"][known] == 0
        if opens and int(self.groups.rows["open_positions"][group]) >= MAX_GROUP_POSITIONS:
            return DeadLetterReason.OUT_OF_BOUNDS, f"more than {MAX_GROUP_POSITIONS} open positions in one group"
        row = int(k.add_position(self.tables(), account_row, instrument_row, side, group))
        if int(self.positions.rows["group"][row]) != group:
            if self.positions.rows["lots"][row] != 0:
                return DeadLetterReason.BAD_VALUE, "the margin mode of a position changes only while it is flat"
            self._relink(row, group)
        return row

    def _relink(self, position: int, group: int) -> None:
        p, g = self.positions.rows, self.groups.rows
        old = int(p["group"][position])
        chain = [row for row in self._chain(old) if row != position]
        g["first_position"][old] = chain[0] if chain else EMPTY
        for row, follower in zip(chain, [*chain, EMPTY][1:], strict=True):
            p["next_position"][row] = follower
        p["group"][position] = group
        k.link_position(self.tables(), position)
        touch(self.positions.t, position)

    def _chain(self, group: int) -> Iterator[int]:
        row = int(self.groups.rows["first_position"][group])
        while row != EMPTY:
            yield row
            row = int(self.positions.rows["next_position"][row])

    def fill(self, account_row: int, row: Mapping[str, Any]) -> Booked | Refused:
        """Apply one fill exactly: margin moved first, then close what is opposite (cost released towards +infinity), then open the rest."""
        position = self.place(account_row, row["instrument"], row["position_side"], row["margin_mode"])
        if not isinstance(position, int):
            return position
        group = int(self.positions.rows["group"][position])
        lots, cost = int(self.positions.rows["lots"][position]), int(self.positions.rows["cost"][position])
        cash, lots_after, cost_after = fill_effect(lots, cost, row["lots"], row["quote"])
        asset = int(self.groups.rows["asset"][group])
        isolated = bool(self.groups.rows["instrument"][group])
        moved = row["margin_moved"] if isolated else 0
        bound = max(self.parameters[row["instrument"]].max_lots, abs(lots))  # a bound lowered under a position never keeps it from closing
        if abs(lots_after) > bound or abs(cost_after) > MAX_VALUE:
            return DeadLetterReason.OUT_OF_BOUNDS, "position after the fill is out of bounds"
        cross = self.ensure_group(account_row, asset) if moved else group
        after = {cross: -moved} | {group: moved + cash}  # of the cross wallet and the bucket, or of the one wallet
        if any(abs(int(self.groups.rows["wallet"][row]) + change) > MAX_WALLET for row, change in after.items()):
            return DeadLetterReason.OUT_OF_BOUNDS, "wallet after the fill is out of bounds"
        if moved:
            self.move_wallet(cross, -moved)
            self.move_wallet(group, moved)
        if cash:
            self.move_wallet(group, cash)
        k.set_position(self.tables(), position, lots_after, cost_after)
        return Booked(group, position, cash)

    def put_position(self, position: int, lots: int, cost: int) -> None:
        """Set a position outright (SNAPSHOT)."""
        k.set_position(self.tables(), position, lots, cost)

    def parts(self) -> list[RowTable | StateTable[int, Any]]:
        """Everything that is state."""
        return [self.accounts, self.groups, self.positions, self.instruments, self.parameters, self.pools, self.flows, self.suspects]

    def restore(self, tables: Mapping[str, pa.RecordBatch]) -> None:
        """Take over a snapshot. Links, indexes and values are derived again."""
        for part in self.parts():
            part.from_arrow(tables[part.name])
        for index in (self._account_index, self._group_index, self._position_index):
            index.clear()
        self._bands.clear()
        self.instruments.rows["first_block"] = self.instruments.rows["last_block"] = EMPTY
        self._load_parameters()
        rebuild_links(self.tables())
        watch_all(self.tables())
