"""Account updates: what each kind does to wallets, roles and memos, and how an account is opened by the parts of a SNAPSHOT.

An update without a counter-account is money from outside; a paired one sums to zero with its twin. `wallet_after` reconciles only:
a difference is alarmed and booked. The parts of a SNAPSHOT follow each other in the account's order; anything else between them breaks it off.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from streams.domain.alarms import Alarm
from streams.domain.batch import Outputs
from streams.domain.events import DeadLetterReason, MarginMode, PositionSide, Role, UpdateKind
from streams.domain.money import MAX_GROUP_POSITIONS, MAX_VALUE, MAX_WALLET
from streams.domain.state import StateTable
from streams.risk.book import Book
from streams.risk.keys import OPENING, SUSPECT, Refused
from streams.risk.refusals import sign_refusal, wallets_refusal
from streams.risk.table import EMPTY, touch

SNAPSHOT_DEADLINE_US: Final = 60_000_000  # event time after which an incomplete SNAPSHOT makes its account SUSPECT
MAX_PARTS: Final = 4 * MAX_GROUP_POSITIONS


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a SNAPSHOT: a wallet (no instrument) or a position with its isolated balance."""

    time_us: int
    offset: int
    parts: int
    role: int
    asset: int
    amount: int
    instrument: int
    position_side: int
    lots: int
    cost: int
    margin_mode: int


@dataclass(slots=True)
class _Worth:
    """What an account has of one asset: wallets less costs of positions, and its lots by the row of their instrument."""

    money: int = 0
    lots: Counter[int] = field(default_factory=Counter)


class Updates:
    """Applies account updates to the book."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self.claims: StateTable[tuple[int, int], int] = StateTable("claims", tuple[int, int], int)
        self.opening: StateTable[tuple[int, int], Part] = StateTable("opening_parts", tuple[int, int], Part)

    def refusal(self, row: dict[str, Any]) -> Refused | None:
        """Why an update cannot be applied, if it cannot."""
        if row["kind"] == UpdateKind.UNKNOWN:
            return DeadLetterReason.UNKNOWN_SYMBOL, "kind is UNKNOWN"
        if any(row.get(symbol) == 0 for symbol in ("role", "position_side", "margin_mode")):
            return DeadLetterReason.UNKNOWN_SYMBOL, "role, position_side or margin_mode is UNKNOWN"
        if not 0 < row["asset"] < 2**20:
            return DeadLetterReason.UNKNOWN_ASSET, "asset outside 1..2^20 - 1"
        if max(abs(row["amount"]), abs(row["wallet_after"] or 0)) > MAX_WALLET or abs(row["cost"] or 0) > MAX_VALUE:
            return DeadLetterReason.OUT_OF_BOUNDS, "amount, wallet_after or cost out of bounds"
        refused = sign_refusal(row) or self._refuse_group(row)
        return self._refuse_snapshot(row) if refused is None and row["kind"] == UpdateKind.SNAPSHOT else refused

    def _refuse_group(self, row: dict[str, Any]) -> Refused | None:
        """Why it does not say whose money it is, or which instrument it is about."""
        if row["kind"] == UpdateKind.ISOLATED_MARGIN and row["margin_mode"] != MarginMode.ISOLATED:
            return DeadLetterReason.BAD_VALUE, "ISOLATED_MARGIN needs margin_mode ISOLATED, and the instrument of the bucket"
        if row["instrument"] is None:
            said = row["margin_mode"] == MarginMode.ISOLATED
            return (DeadLetterReason.BAD_VALUE, "margin_mode ISOLATED needs the instrument of the bucket") if said else None
        instrument = self._book.instrument_row(row["instrument"])
        if instrument == EMPTY:
            return DeadLetterReason.UNKNOWN_INSTRUMENT, f"instrument {row['instrument']} is not known"
        if row["asset"] != int(self._book.instruments.rows["asset"][instrument]):
            return DeadLetterReason.UNKNOWN_ASSET, f"instrument {row['instrument']} does not settle in asset {row['asset']}"
        if row["position_side"] not in (PositionSide.ONE_WAY, PositionSide.LONG, PositionSide.SHORT):
            return DeadLetterReason.BAD_VALUE, "position_side must go with instrument"
        if row["margin_mode"] is None and row["kind"] != UpdateKind.SETTINGS:  # which moves no money
            return DeadLetterReason.BAD_VALUE, "margin_mode must go with instrument: CROSS if it is the wallet's money, ISOLATED if the bucket's"
        parameters = self._book.parameters[row["instrument"]]
        if abs(row["lots"] or 0) * parameters.value(1, parameters.max_mark_ticks) > MAX_VALUE:  # max_lots may have been lowered since
            return DeadLetterReason.OUT_OF_BOUNDS, "lots out of bounds"
        return None

    def _refuse_snapshot(self, row: dict[str, Any]) -> Refused | None:
        if row["part"] is None or row["parts"] is None or not 0 <= row["part"] < row["parts"]:
            return DeadLetterReason.BAD_VALUE, "part and parts of a SNAPSHOT must be given, part below parts"
        if row["parts"] > MAX_PARTS:
            return DeadLetterReason.OUT_OF_BOUNDS, f"a SNAPSHOT of more than {MAX_PARTS} parts"
        if row["instrument"] is not None and (row["lots"] is None or row["cost"] is None):
            return DeadLetterReason.BAD_VALUE, "a position of a SNAPSHOT needs lots and cost"
        return None

    def apply(self, account_row: int, row: dict[str, Any], out: Outputs) -> int | Refused:
        """Apply any update but a SNAPSHOT; the row of the group whose wallet it changed, or EMPTY, or why it cannot be applied."""
        kind, account = row["kind"], row["account"]
        if kind == UpdateKind.CLAIM:
            key = (account, row["asset"])
            self.claims[key] = (self.claims.get(key) or 0) + row["amount"]
            return EMPTY
        if kind == UpdateKind.SETTINGS:
            if row["role"] is not None:
                self._book.set_role(account_row, row["role"])
            return EMPTY
        group = self._group_of(account_row, row)
        if not isinstance(group, int):
            return group
        moved = {group: row["amount"]}
        if kind == UpdateKind.ISOLATED_MARGIN:
            moved[self._book.ensure_group(account_row, row["asset"])] = -row["amount"]
        if any(abs(int(self._book.groups.rows["wallet"][g]) + amount) > MAX_WALLET for g, amount in moved.items()):
            return DeadLetterReason.OUT_OF_BOUNDS, "wallet after the update is out of bounds"
        for changed, amount in moved.items():
            self._book.move_wallet(changed, amount)
        if kind != UpdateKind.ISOLATED_MARGIN and row["counter_account"] is None:
            self._book.add_flow(row["asset"], row["amount"])
        if not int(self._book.accounts.rows["flags"][account_row]) & SUSPECT:  # what is known of a SUSPECT account is not all of it
            self._reconcile(group, row, out)
        return group

    def _group_of(self, account_row: int, row: dict[str, Any]) -> int | Refused:
        """Whose money it is: margin_mode says so, the instrument alone does not."""
        if row["margin_mode"] != MarginMode.ISOLATED:
            return self._book.ensure_group(account_row, row["asset"])
        key = (row["account"], row["instrument"], row["position_side"])
        position = self._book.position_row(key)
        if position != EMPTY and self._book.positions.rows["lots"][position]:
            carried_by = int(self._book.positions.rows["group"][position])
            if not self._book.groups.rows["instrument"][carried_by]:
                return DeadLetterReason.BAD_VALUE, "margin_mode is ISOLATED, but the cross wallet carries the open position of this instrument"
        return self._book.ensure_group(account_row, row["asset"], *key[1:])

    def _reconcile(self, group: int, row: dict[str, Any], out: Outputs) -> None:
        if row["wallet_after"] is None:
            return
        difference = row["wallet_after"] - int(self._book.groups.rows["wallet"][group])
        if difference:
            self._book.move_wallet(group, difference)
            self._book.add_flow(row["asset"], difference, reconciliation=difference)
            out.alarm(Alarm.WALLET_RECONCILED, account=row["account"], asset=row["asset"], difference=difference)

    # -- SNAPSHOT ---------------------------------------------------------------------------------------------------------------------

    def add_part(self, account_row: int, row: dict[str, Any]) -> bool | Refused:
        """Keep one part; True when the SNAPSHOT is complete and has replaced the account's book, or why the whole of it is refused."""
        account, number = row["account"], row["part"]
        known = self._parts(account)
        if number == 0 or number != len(known) or row["parts"] != known[0].parts:
            self.drop_parts(account)
            self._book.set_flag(account_row, OPENING, on=False)
            if number:
                return DeadLetterReason.SNAPSHOT_INCOMPLETE, f"part {number} of {row['parts']} does not follow the part before it; send all again"
        self.opening[account, number] = Part(
            row["time_us"], row["offset_"], row["parts"], row["role"] or Role.USER, row["asset"], row["amount"],
            row["instrument"] or 0, row["position_side"] or 0, row["lots"] or 0, row["cost"] or 0, row["margin_mode"] or 0,
        )  # fmt: skip
        parts = self._parts(account)
        if len(parts) < row["parts"]:
            self._book.set_flag(account_row, OPENING, on=True)
            return False
        self.drop_parts(account)
        self._book.set_flag(account_row, OPENING, on=False)
        refused = _refuse_parts(parts)
        if not refused:
            self._replace(account_row, parts)
        return refused or True

    def _parts(self, account: int) -> list[Part]:
        first = self.opening.get((account, 0))
        return [part for n in range(first.parts if first else 0) if (part := self.opening.get((account, n))) is not None]

    def drop_parts(self, account: int) -> int | None:
        """Forget the parts of an account; the offset of the first, if there was any."""
        parts = self._parts(account)
        for number in range(len(parts)):
            del self.opening[account, number]
        return parts[0].offset if parts else None

    def overdue(self, clock_us: int) -> list[int]:
        """Accounts whose SNAPSHOT has been incomplete for too long."""
        late = [account for (account, number), part in self.opening.items() if number == 0 and part.time_us + SNAPSHOT_DEADLINE_US < clock_us]
        return sorted(late)

    def _replace(self, account_row: int, parts: list[Part]) -> None:
        """Put the parts in the place of all that was known of the account.

        The difference in worth came from outside. Not where an account that was opened before holds other lots than were known: it was lost in a
        trade, whose quote stands in another account's books.
        """
        book, before = self._book, self._worth(account_row)
        book.set_role(account_row, parts[0].role)
        for group in list(book.groups_of(account_row)):
            self._empty(group)
        for part in parts:
            group = book.ensure_group(account_row, part.asset)
            if part.instrument:
                position = book.place(account_row, part.instrument, part.position_side, part.margin_mode)
                assert isinstance(position, int), f"a flat account refused a position: {position}"
                group = int(book.positions.rows["group"][position])
                book.put_position(position, part.lots, part.cost)
            book.move_wallet(group, part.amount)
        a, after = book.accounts.rows, self._worth(account_row)
        for asset in sorted(before.keys() | after.keys()):
            was, now = before.get(asset, _Worth()), after.get(asset, _Worth())
            if not a["opened"][account_row] or was.lots == now.lots:
                book.add_flow(asset, now.money - was.money)
        a["missing"][account_row], a["opened"][account_row] = 0, 1
        touch(book.accounts.t, account_row)

    def _worth(self, account_row: int) -> dict[int, _Worth]:
        """What the account is known to have of each asset."""
        book, found = self._book, dict[int, _Worth]()
        for group in book.groups_of(account_row):
            worth = found.setdefault(int(book.groups.rows["asset"][group]), _Worth())
            worth.money += int(book.groups.rows["wallet"][group])
            for position in book.held(group):
                worth.money -= int(book.positions.rows["cost"][position])
                worth.lots[int(book.positions.rows["instrument_row"][position])] += int(book.positions.rows["lots"][position])
        return found

    def _empty(self, group: int) -> None:
        for position in self._book.held(group):
            self._book.put_position(position, 0, 0)
        self._book.move_wallet(group, -int(self._book.groups.rows["wallet"][group]))


def _refuse_parts(parts: list[Part]) -> Refused | None:
    """Why complete parts contradict each other, if they do."""
    positions = [(part.instrument, part.position_side) for part in parts if part.instrument]
    if len(set(positions)) < len(positions):
        return DeadLetterReason.BAD_VALUE, "a SNAPSHOT gives one position twice"
    if len(positions) > MAX_GROUP_POSITIONS:
        return DeadLetterReason.OUT_OF_BOUNDS, f"a SNAPSHOT of more than {MAX_GROUP_POSITIONS} positions"
    if sum(abs(part.amount) for part in parts) > MAX_WALLET:
        return DeadLetterReason.OUT_OF_BOUNDS, "the balances of a SNAPSHOT are out of bounds"
    cross = {part.asset: part.instrument for part in parts if part.instrument and part.margin_mode != MarginMode.ISOLATED and not part.amount}
    return wallets_refusal([part.asset for part in parts if not part.instrument], cross)
