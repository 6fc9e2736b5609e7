"""A plain book of what the exchange has said to a shard: cash by solvency group, lots by position, marks. It knows none of the product's code.

Kept as the exchange's own book is: cash = wallet - open cost, so that a fill moves it by its quote whatever it closes. A group is (account,
instrument or None, side or None); amounts are settlement units.
"""

from typing import Any

from tests.simulation.decoding import Row, symbols

Group = tuple[int, int | None, int | None]
Position = tuple[int, int, int]
PPM = 1_000_000
ISOLATED = symbols("fill", "margin_mode").index("ISOLATED")
_UPDATES = symbols("account_update", "kind")
SNAPSHOT, TO_BUCKET = _UPDATES.index("SNAPSHOT"), _UPDATES.index("ISOLATED_MARGIN")
MOVES_NOTHING = tuple(map(_UPDATES.index, ("CLAIM", "SETTINGS")))
_ROLES = symbols("account_update", "role")
WATCHED = tuple(map(_ROLES.index, ("USER", "MAKER")))


def group_of(row: Row, prefix: str = "") -> Group:
    """Whose money a record moves: the bucket of an isolated position, or the account's cross wallet."""
    account, instrument, side, mode = (row[prefix + name] for name in ("account", "instrument", "position_side", "margin_mode"))
    return (account, instrument, side) if mode == ISOLATED else cross(account)


def cross(account: int) -> Group:
    """The account's cross group."""
    return account, None, None


class PlainBook:
    """Takes records in the order in which a shard took them."""

    def __init__(self) -> None:
        self.cash: dict[Group, int] = {}
        self.lots: dict[Position, int] = {}
        self.marks: dict[int, int] = {}
        self.suspects: set[int] = set()  # accounts of which something could not be read
        self.roles: dict[int, int] = {}
        self.external = 0
        self.instruments: dict[int, Row] = {}
        self._held: dict[Group, dict[Position, None]] = {}
        self._sequences: dict[Any, int] = {}  # newest number by account, and by instrument for marks
        self._parts: dict[int, list[Row]] = {}

    def take(self, stream: str | None, row: Row | None, account: int | None) -> None:
        """The next record."""
        match stream:
            case "instruments" if row:
                self.instruments[row["instrument"]] = row
            case "marks" if row:
                self._mark(row)
            case "fills" if row and self._is_next(row):
                self._fill(row)
            case "account-updates" if row and self._is_next(row):
                self._update(row)
            case "instruction-results" if row:
                self._is_next(row)
            case None if account is not None:
                self.suspects.add(account)

    def _is_next(self, row: Row) -> bool:
        """Whether it was not delivered before."""
        before = self._sequences.get(row["account"], 0)
        self._sequences[row["account"]] = max(before, row["account_seq"])
        return bool(row["account_seq"] > before)

    def _mark(self, row: Row) -> None:
        key = "mark", row["instrument"]
        parameters = self.instruments.get(row["instrument"])
        if parameters and row["sequence"] > self._sequences.get(key, 0) and 0 < row["mark_ticks"] <= parameters["max_mark_ticks"]:
            self._sequences[key], self.marks[row["instrument"]] = row["sequence"], row["mark_ticks"]

    def _move(self, group: Group, amount: int) -> None:
        self.cash[group] = self.cash.get(group, 0) + amount

    def _hold(self, group: Group, position: Position, lots: int) -> None:
        self.lots[position] = self.lots.get(position, 0) + lots
        held = self._held.setdefault(group, {})
        if self.lots[position]:
            held[position] = None
        else:
            held.pop(position, None)

    def _fill(self, row: Row) -> None:
        group, position = group_of(row), (row["account"], row["instrument"], row["position_side"])
        self._move(group, row["margin_moved"] - row["quote"])
        self._move(cross(row["account"]), -row["margin_moved"])
        self._hold(group, position, row["lots"])

    def _update(self, row: Row) -> None:
        if row["kind"] == SNAPSHOT:
            self._open(row)
        elif row["kind"] not in MOVES_NOTHING:
            self._move(group_of(row), row["amount"])
            if row["kind"] == TO_BUCKET:
                self._move(cross(row["account"]), -row["amount"])
            elif row["counter_account"] is None:
                self.external += row["amount"]

    def _open(self, row: Row) -> None:
        """Parts count once they are all there. In a run an account is opened once."""
        parts = self._parts.setdefault(row["account"], [])
        parts.append(row)
        if len(parts) < row["parts"]:
            return
        self.roles[row["account"]] = row["role"]
        for part in parts:
            group = group_of(part)
            self._move(group, part["amount"] - (part["cost"] or 0))
            self.external += part["amount"] - (part["cost"] or 0)
            if part["instrument"] is not None:
                self._hold(group, (part["account"], part["instrument"], part["position_side"]), part["lots"])

    # -- what it says -----------------------------------------------------------------------------------------------------------------

    @property
    def groups(self) -> list[Group]:
        """Groups that hold something."""
        return [group for group, held in self._held.items() if held]

    def held(self, group: Group) -> dict[Position, int]:
        """Lots of what the group holds."""
        return {position: self.lots[position] for position in self._held.get(group, ())}

    def worth(self, group: Group, marks: dict[int, int] | None = None) -> tuple[int, int] | None:
        """(equity, maintenance) at the marks in force or at others; None where one is missing."""
        marks = self.marks if marks is None else marks
        equity, maintenance = self.cash.get(group, 0), 0
        for (_, instrument, _), lots in self.held(group).items():
            if instrument not in marks:
                return None
            value = lots * marks[instrument] * self.instruments[instrument]["value_per_tick_lot"]
            equity += value
            maintenance += self._maintenance(instrument, abs(value))
        return equity, maintenance

    def _maintenance(self, instrument: int, notional: int) -> int:
        """The rate of the tier that the notional falls into, rounded up, less what the tiers below cost less."""
        tier = [tier for tier in self.instruments[instrument]["tiers"] if tier["floor"] <= notional][-1]
        return max(0, -(-notional * int(tier["rate_ppm"]) // PPM) - int(tier["maintenance_amount"]))

    def sums(self) -> tuple[int, tuple[tuple[int, int], ...]]:
        """(cash less what came from outside, lots by instrument)."""
        lots: dict[int, int] = {}
        for (_, instrument, _), held in self.lots.items():
            lots[instrument] = lots.get(instrument, 0) + held
        return sum(self.cash.values()) - self.external, tuple(sorted((i, n) for i, n in lots.items() if n))
