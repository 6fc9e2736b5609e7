"""The exchange's own book, kept differently from the pipeline's on purpose: cash per solvency group (wallet - open cost) and lots per position.

Cash needs no cost basis and no rounding: a fill moves it by its quote, whatever it closes. When a group is flat its cash is its wallet.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from streams.domain.events import MarginMode, PositionSide, Role
from streams.errors import CheckFailed

PositionKey = tuple[int, int, int]  # account, instrument, code of the position side
Group = tuple[int, int | None, int | None]  # account and, for an isolated group, instrument and code of the position side


def cross(account: int) -> Group:
    """The account's cross group."""
    return account, None, None


@dataclass(slots=True)
class Book:
    """Cash, lots, margin modes, roles and last marks. `external`: what came in from outside, as cash; settlement units."""

    value_per_tick_lot: dict[int, int] = field(default_factory=dict)
    marks: dict[int, int] = field(default_factory=dict)
    roles: dict[int, Role] = field(default_factory=dict)
    lots: dict[PositionKey, int] = field(default_factory=dict)
    modes: dict[PositionKey, MarginMode] = field(default_factory=dict)
    cash: dict[Group, int] = field(default_factory=dict)
    held: dict[Group, dict[PositionKey, None]] = field(default_factory=dict)  # open positions of a group
    external: int = 0

    def mode(self, key: PositionKey) -> MarginMode:
        """How the position is margined; CROSS where nothing else was said."""
        return self.modes.get(key, MarginMode.CROSS)

    def group(self, key: PositionKey) -> Group:
        """The solvency group that carries the position."""
        return key if self.mode(key) == MarginMode.ISOLATED else cross(key[0])

    def open(self, group: Group, amount: int) -> None:
        """An opening balance, from outside."""
        self.cash[group] = self.cash.get(group, 0) + amount
        self.external += amount

    def set_mode(self, key: PositionKey, mode: MarginMode) -> None:
        """Say how a position is margined; only while it is flat."""
        if self.lots.get(key, 0) and self.mode(key) != mode:
            raise CheckFailed(f"exchange book: margin mode of open position {key} cannot change to {mode.name}; correct the scenario")
        self.modes[key] = mode

    def move(self, group: Group, amount: int) -> None:
        """Add to a group's cash."""
        self.cash[group] = self.cash.get(group, 0) + amount

    def trade(self, key: PositionKey, lots: int, quote: int) -> int:
        """Apply one side of a fill. Returns margin_moved: the bucket that an isolated position gives back when it becomes flat (0 or less).

        A flat isolated group's cash is its bucket, the result of the last fill included; a negative one stays where it is, as a deficit.
        """
        group = self.group(key)
        self.move(group, -quote)
        after = self.lots.get(key, 0) + lots
        self.lots[key] = after
        if after:
            self.held.setdefault(group, {})[key] = None
            return 0
        self.held.get(group, {}).pop(key, None)
        if group == cross(key[0]):
            return 0
        returned = min(0, -self.cash[group])
        self.fund_bucket(key, returned)
        return returned

    def fund_bucket(self, key: PositionKey, amount: int) -> None:
        """Move margin from the cross wallet into the isolated bucket of a position."""
        self.move(key, amount)
        self.move(cross(key[0]), -amount)

    def wallet_if_flat(self, group: Group) -> int | None:
        """The group's wallet where this book knows it: when nothing is open."""
        return None if self.held.get(group) else self.cash.get(group, 0)

    def equity(self, group: Group) -> int:
        """Cash plus the value of what is open at the last marks; settlement units."""
        return self.cash.get(group, 0) + sum(self.value(key) for key in self.held.get(group, {}))

    def value(self, key: PositionKey) -> int:
        """Signed value of a position at the last mark; settlement units."""
        return self.lots[key] * self.marks[key[1]] * self.value_per_tick_lot[key[1]]

    def sums(self) -> tuple[dict[int, int], int]:
        """(lots by instrument, cash - external flows): everything is zero in a sound book."""
        by_instrument = dict.fromkeys(sorted(self.value_per_tick_lot), 0)
        for (_, instrument, _), lots in self.lots.items():
            by_instrument[instrument] = by_instrument.get(instrument, 0) + lots
        return by_instrument, sum(self.cash.values()) - self.external

    def check(self) -> None:
        """Raise CheckFailed unless lots of each instrument and cash less external flows sum to zero."""
        by_instrument, cash = self.sums()
        wrong = {instrument: lots for instrument, lots in by_instrument.items() if lots}
        if wrong or cash:
            raise CheckFailed(
                f"exchange book: lots by instrument {wrong} and cash {cash} must sum to zero; the simulated exchange is broken, report it"
            )

    def differences(self, positions: Mapping[PositionKey, int], cash: Mapping[Group, int]) -> list[str]:
        """Where another book differs: one line each, positions before cash, in key order. Absent and zero are the same."""
        lines = []
        for key in sorted({**self.lots, **positions}):
            theirs, ours = self.lots.get(key, 0), positions.get(key, 0)
            if theirs != ours:
                lines.append(f"position {_named(key)}: exchange {theirs} lots, ours {ours}")
        for group in sorted({**self.cash, **cash}, key=lambda g: (g[0], g[1] or 0, g[2] or 0)):
            theirs, ours = self.cash.get(group, 0), cash.get(group, 0)
            if theirs != ours:
                lines.append(f"cash of {_named(group)}: exchange {theirs}, ours {ours}")
        return lines


def _named(key: Group | PositionKey) -> str:
    account, instrument, side = key
    return f"account {account}" + ("" if instrument is None else f" instrument {instrument} {PositionSide(side or 0).name}")
