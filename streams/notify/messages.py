"""Who is told what, how loudly and in which words. Pure: a decided row and names in, notification rows out; nothing here is an input of a machine."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from streams.domain.batch import Row
from streams.domain.events import AdlState, InsolvencyKind, Severity
from streams.notify.names import Names
from streams.notify.reasons import of_pool_state

READS = ("pool-states", "insolvencies")  # the streams that lead to notifications


@dataclass(frozen=True, slots=True)
class Source:
    """Where the row stood in the log: stream name, partition, offset. With it a reader finds the cause of a message."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class _Message:
    """`account` None addresses the operator."""

    account: int | None
    severity: Severity
    kind: str
    text: str


def notifications_for(stream: str, row: Row, source: Source, names: Names) -> list[dict[str, Any]]:
    """Rows of `notifications` that follow from one row of `pool-states` or `insolvencies`; none for rows that concern nobody.

    Texts name instruments and money as `names` has them. The same row, source and names always give the same notifications.
    """
    match stream:
        case "pool-states":
            messages: Iterable[_Message] = _of_pool_state(row, names)
        case "insolvencies":
            messages = _of_insolvency(row, names)
        case _:
            messages = ()
    return [
        {
            "event_time_us": row["event_time_us"],
            "audience_account": message.account,
            "severity": message.severity,
            "kind": message.kind,
            "pool": row["pool"],
            "instrument": row["instrument"],
            "text": message.text,
            "source_topic": source.topic,
            "source_partition": source.partition,
            "source_offset": source.offset,
        }
        for message in messages
    ]


def _of_pool_state(row: Row, names: Names) -> Iterable[_Message]:
    where, reason = f"{names.symbol(row['instrument'])} in pool {row['pool']}", of_pool_state(names, row)
    why = f" Reason: {reason}." if reason else ""
    fund = f"The fund's value is {names.unit_of_pool(row['pool']).text(row['value'])}."
    match row["state"]:
        case AdlState.ADL:
            text = f"Auto-deleveraging has started for {where}: the fund takes over no more positions there. {fund}{why}"
            yield _Message(None, Severity.CRITICAL, "adl_entered", text)
        case AdlState.NORMAL:
            yield _Message(
                None, Severity.INFO, "adl_left", f"Auto-deleveraging has ended for {where}: the fund takes over positions again. {fund}{why}"
            )
        case _:
            pass


def _of_insolvency(row: Row, names: Names) -> Iterable[_Message]:
    match row["kind"]:
        case InsolvencyKind.POSITION if row["revision"] == 1:  # told once an episode, not with every revision
            size = f"{abs(row['lots']):,} lots {'long' if row['lots'] > 0 else 'short'} in {names.symbol(row['instrument'])}"
            yield _Message(
                None,
                Severity.WARNING,
                "position_insolvent",
                f"A position of {size} could not be closed in the market within its margin and was handed to pool {row['pool']} "
                f"(episode {row['episode']}).",
            )
            yield _Message(
                row["account"],
                Severity.CRITICAL,
                "position_taken",
                f"Your position of {size} could not be closed in the market within its margin. It is being closed at its bankruptcy price or better: "
                "of its margin nothing may be left.",
            )
        case InsolvencyKind.DEFICIT:
            owed = names.unit(row["asset"]).text(row["deficit"])
            text = f"An account that was closed out owes {owed} now, which pool {row['pool']} must cover (episode {row['episode']})."
            yield _Message(None, Severity.CRITICAL, "deficit_left", text)
        case _:
            pass
