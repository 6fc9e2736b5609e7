"""Which fills cannot be applied, and the dead letter of a row that is no longer in its batch."""

from typing import Any

from streams.domain.events import DeadLetterReason, FillKind, MarginMode, PositionSide
from streams.domain.money import MAX_ACCOUNT, MAX_LOTS, MAX_VALUE
from streams.risk.book import Book
from streams.risk.keys import MAX_SEQ, Refused
from streams.risk.table import EMPTY


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
