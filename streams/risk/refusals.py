"""Which fills cannot be applied, which updates and SNAPSHOTs contradict themselves, and the dead letter of a row that is no longer in its batch."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from streams.domain.events import DeadLetterReason, FillKind, MarginMode, PositionSide, UpdateKind
from streams.domain.money import MAX_ACCOUNT, MAX_LOTS, MAX_VALUE
from streams.risk.book import Book
from streams.risk.keys import MAX_SEQ, Refused
from streams.risk.table import EMPTY

_SIGNS: Final = {UpdateKind.DEPOSIT: 1, UpdateKind.WITHDRAWAL: -1}  # the others go both ways: a fee may be a rebate


def fill_refusal(book: Book, row: dict[str, Any]) -> Refused | None:
    """Why a fill cannot be applied, if it cannot."""
    if book.instrument_row(row["instrument"]) == EMPTY:
        return DeadLetterReason.UNKNOWN_INSTRUMENT, f"instrument {row['instrument']} is not known"
    if row["position_side"] == PositionSide.UNKNOWN or row["margin_mode"] == MarginMode.UNKNOWN or row["kind"] == FillKind.UNKNOWN:
        return DeadLetterReason.UNKNOWN_SYMBOL, "position_side, margin_mode or kind is UNKNOWN"
    if not 0 < abs(row["lots"]) <= MAX_LOTS or abs(row["quote"]) > MAX_VALUE or abs(row["margin_moved"]) > MAX_VALUE:
        return DeadLetterReason.OUT_OF_BOUNDS, "lots, quote or margin_moved out of bounds"
    if row["kind"] == FillKind.TRADE and row["price_ticks"] is not None:
        quote = book.parameters[row["instrument"]].value(row["lots"], row["price_ticks"])
        if quote != row["quote"]:
            return DeadLetterReason.BAD_VALUE, f"quote {row['quote']} is not lots x price_ticks x value of a tick and lot, which is {quote}"
    elif row["kind"] == FillKind.TRADE and row["quote"] * row["lots"] < 0:
        return DeadLetterReason.BAD_VALUE, f"quote {row['quote']} of {row['lots']} lots: both are above zero for the buyer and below for the seller"
    return None


def sign_refusal(row: dict[str, Any]) -> Refused | None:
    """Why an update moves money against what it says it is, if it does."""
    sign = _SIGNS.get(row["kind"], 0)
    if sign * row["amount"] >= 0:
        return None
    side = "above" if sign > 0 else "below"
    return DeadLetterReason.BAD_VALUE, f"a {UpdateKind(row['kind']).name} of {row['amount']}: amount is the change of the wallet, {side} zero"


def wallets_refusal(stated: Sequence[int], needed: Mapping[int, int]) -> Refused | None:
    """Why a SNAPSHOT does not say what each wallet holds, if it does not.

    `stated`: the assets of its wallets, one for each part; `needed`: the assets that its cross positions are margined in, and an instrument of each.
    """
    for asset in stated:
        if stated.count(asset) > 1:
            return DeadLetterReason.BAD_VALUE, f"a SNAPSHOT gives the wallet of asset {asset} twice"
    for asset, instrument in needed.items():
        if asset not in stated:
            why = f"a SNAPSHOT with a position in instrument {instrument} and no wallet of asset {asset}, which that settles in"
            return DeadLetterReason.BAD_VALUE, f"{why}: a wallet that is empty is stated as 0"
    return None


def sequence_refusal(book: Book, row: dict[str, Any]) -> Refused | None:
    """Why a record has no place in the order of any account, if it has none."""
    if not 0 < row["account"] < MAX_ACCOUNT:
        return DeadLetterReason.OUT_OF_BOUNDS, f"account outside 1..{MAX_ACCOUNT - 1}"
    if not 0 < row["account_seq"] < MAX_SEQ:
        return DeadLetterReason.OUT_OF_BOUNDS, "account_seq is not a positive number below 2^53: the first record of an account has 1"
    known = book.account_row(row["account"])
    if known != EMPTY and (home := int(book.accounts.rows["partition"][known])) != row["partition_"]:
        return DeadLetterReason.BAD_VALUE, f"the account has stood in partition {home} so far: all its records go to one partition, in their order"
    return None


def dead_letter(topic: str, row: dict[str, Any], refused: Refused, shard: int) -> dict[str, Any]:
    """A dead letter that refers to the log for the record's bytes."""
    return {
        "event_time_us": row["time_us"],
        "source_topic": topic,
        "source_partition": row["partition_"],
        "source_offset": row["offset_"],
        "reason": refused[0],
        "detail": refused[1],
        "account": row["account"],
        "task": "accounts",
        "shard": shard,
        "key": b"",
        "value": b"",
        "value_length": 0,
    }
