"""Every alarm there is: how bad it is, whether it happens or lasts, what it means, what it is about, and why a minor one has no alert.

An *event* is raised each time it happens. A *state* is true or not: it is raised when it begins, and told as lasting for as long as it does, from
what the machine knows, so that a restart neither ends it nor hides it. Each has an entry in docs/runbook.md; rules know alarms by their names.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Severity(StrEnum):
    """Who hears of it: CRITICAL wakes somebody, WARNING is looked at in working hours, INFO explains something else."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class Kind(StrEnum):
    """An EVENT happens; a STATE lasts."""

    EVENT = "event"
    STATE = "state"


class Alarm(StrEnum):
    """The alarms by name."""

    CONSERVATION_VIOLATED = "conservation_violated"
    FUND_LEDGER_DIFFERS = "fund_ledger_differs"
    LOSS_UNCOVERED = "loss_uncovered"
    EPISODE_WITHOUT_A_POOL = "episode_without_a_pool"
    POOL_OR_INSTRUMENT_UNKNOWN = "pool_or_instrument_unknown"
    INSTRUCTION_OVERDUE = "instruction_overdue"
    WAVE_WAITS_FOR_SHARDS = "wave_waits_for_shards"
    INSTRUMENT_HALTED = "instrument_halted"
    INPUT_HELD_BACK = "input_held_back"
    ACCOUNT_SUSPECT = "account_suspect"
    POOLS_WENT_ON_WITHOUT_SHARDS = "pools_went_on_without_shards"
    WENT_ON_WITHOUT_PARTITIONS = "went_on_without_partitions"
    RETENTION_NEAR_SNAPSHOT = "retention_near_snapshot"
    TOPIC_HAS_GROWN = "topic_has_grown"
    TOPIC_MADE_AGAIN = "topic_made_again"
    SHARD_FAILED = "shard_failed"
    STANDBY_DIFFERS = "standby_differs"
    DEAD_LETTER_LIMIT = "dead_letter_limit"
    ORDERS_REFUSED = "orders_refused"
    PAYMENTS_REFUSED = "payments_refused"
    RECONCILIATION_DIFFERENCE = "reconciliation_difference"
    RESULT_PARTIES_DISAGREE = "result_parties_disagree"
    RESULT_NOT_AWAITED = "result_not_awaited"
    FUND_HOLDS_ANOTHER_ASSET = "fund_holds_another_asset"
    MARK_AHEAD_OF_TIME = "mark_ahead_of_time"
    CORRECTION_IGNORED = "correction_ignored"
    MARK_OUT_OF_BOUNDS = "mark_out_of_bounds"
    MARK_SEQUENCE_RESTARTED = "mark_sequence_restarted"
    ACCOUNT_NOT_OPENED = "account_not_opened"
    ACCOUNT_EVENTS_MISSING = "account_events_missing"
    WALLET_RECONCILED = "wallet_reconciled"
    DEAD_LETTER_DROPPED = "dead_letter_dropped"
    CANDIDATES_NOT_ASKED_FOR = "candidates_not_asked_for"
    DUPLICATES_IGNORED = "duplicates_ignored"


@dataclass(frozen=True, slots=True)
class Lasting:
    """A state that lasts. `of`: what it is about, bounded ("pool 1"), or empty where it is about accounts or shards; `count`: how many cases.

    `since_us`: since when the oldest case has lasted, in microseconds of the time of the exchange; None where nobody has written it down.
    """

    alarm: Alarm
    of: str
    count: int
    since_us: int | None = None


@dataclass(frozen=True, slots=True)
class About:
    """What is to be known of an alarm. `facts`: those that name the case: what repeats of one case is one line in a log.

    `why_no_alert` of an INFO one: what alerts in its place, or why nobody has to act.
    """

    severity: Severity
    kind: Kind
    meaning: str
    facts: tuple[str, ...] = ()
    why_no_alert: str = ""


_CRITICAL, _WARNING, _INFO = Severity
_EVENT, _STATE = Kind

ALARMS: Final[dict[Alarm, About]] = {
    Alarm.CONSERVATION_VIOLATED: About(
        _CRITICAL, _STATE, "Over all shards, money or lots of an asset are off zero by the same amount again and again.", ("asset",)
    ),
    Alarm.FUND_LEDGER_DIFFERS: About(_CRITICAL, _STATE, "The ledger of a fund does not add up to its wallet at the exchange.", ("pool",)),
    Alarm.LOSS_UNCOVERED: About(_CRITICAL, _STATE, "Flat accounts owe what neither the fund nor anybody deleveraged can bear now.", ("pool",)),
    Alarm.EPISODE_WITHOUT_A_POOL: About(
        _CRITICAL, _STATE, "An account is below its maintenance, and no pool is known that could take what it loses.", ("account", "asset")
    ),
    Alarm.POOL_OR_INSTRUMENT_UNKNOWN: About(
        _CRITICAL, _STATE, "Insolvencies or flows of a fund wait for the parameters of their pool or instrument.", ("pool", "instrument")
    ),
    Alarm.INSTRUCTION_OVERDUE: About(
        _CRITICAL, _STATE, "The exchange has not answered an instruction within its time of validity.", ("instruction_id", "account")
    ),
    Alarm.WAVE_WAITS_FOR_SHARDS: About(_CRITICAL, _STATE, "A wave passed its deadline because a shard has not answered it.", ("wave_id",)),
    Alarm.INSTRUMENT_HALTED: About(
        _CRITICAL, _STATE, "A change of an instrument's parameters was refused: no mark of it is applied, nothing of it decided.", ("instrument",)
    ),
    Alarm.INPUT_HELD_BACK: About(_CRITICAL, _STATE, "A transaction left open keeps records of an input from being read.", ("input",)),
    Alarm.ACCOUNT_SUSPECT: About(
        _WARNING, _STATE, "Not all is known of an account: it is neither liquidated nor taken for others until it is healed.", ("account",)
    ),
    Alarm.POOLS_WENT_ON_WITHOUT_SHARDS: About(
        _WARNING, _STATE, "The pools task decided without accounts shards that had more to say, because its patience was over."
    ),
    Alarm.WENT_ON_WITHOUT_PARTITIONS: About(
        _WARNING, _STATE, "A shard decided without partitions that hold more and give nothing, because its patience was over."
    ),
    Alarm.RETENTION_NEAR_SNAPSHOT: About(
        _WARNING, _STATE, "The broker deletes inputs that a recovery from the oldest kept snapshot would soon miss.", ("inputs",)
    ),
    Alarm.TOPIC_HAS_GROWN: About(
        _CRITICAL, _STATE, "A topic has more partitions than the deployment was founded on; nothing in the new ones is read.", ("topic",)
    ),
    Alarm.TOPIC_MADE_AGAIN: About(
        _CRITICAL, _EVENT, "A topic was deleted and made again under its name: the offsets of the journal mean another log, and the shard has ended."
    ),
    Alarm.SHARD_FAILED: About(_CRITICAL, _EVENT, "A shard cannot go on by itself and has ended; the others go on."),
    Alarm.STANDBY_DIFFERS: About(_CRITICAL, _EVENT, "A standby ran the owner's steps again and came to something else."),
    Alarm.DEAD_LETTER_LIMIT: About(_CRITICAL, _EVENT, "One event-minute brought more dead letters than single mistakes explain."),
    Alarm.ORDERS_REFUSED: About(
        _CRITICAL, _EVENT, "The exchange has rejected the orders for one position, or let them expire, often in a row.", ("account", "instrument")
    ),
    Alarm.PAYMENTS_REFUSED: About(
        _WARNING, _EVENT, "The exchange has rejected the payments for one account's deficit several times in a row.", ("pool", "account")
    ),
    Alarm.RECONCILIATION_DIFFERENCE: About(
        _WARNING, _EVENT, "Balances at the exchange differ from what its records add up to; the difference was booked.", ("asset",)
    ),
    Alarm.RESULT_PARTIES_DISAGREE: About(
        _WARNING, _EVENT, "The exchange told the two parties of one instruction different results.", ("instruction_id",)
    ),
    Alarm.RESULT_NOT_AWAITED: About(
        _WARNING, _EVENT, "The exchange told the result of a liquidation order that nobody here has sent; nothing follows from it.",
        ("account", "instruction_id"),
    ),
    Alarm.FUND_HOLDS_ANOTHER_ASSET: About(
        _WARNING, _EVENT, "A fund was moved money in an asset that its pool does not settle in; it counts for nothing here.", ("pool", "asset")
    ),
    Alarm.MARK_AHEAD_OF_TIME: About(_WARNING, _EVENT, "A mark was refused because its time is far ahead of all others.", ("instrument",)),
    Alarm.CORRECTION_IGNORED: About(_WARNING, _EVENT, "A correction names no open dead letter, and changed nothing.", ("account", "correction_id")),
    Alarm.MARK_OUT_OF_BOUNDS: About(
        _INFO, _EVENT, "A mark outside the instrument's bounds was refused, and the instrument counts as frozen.", ("instrument",),
        "`BackstopMarkFrozen` alerts when no usable mark follows within 30 seconds.",
    ),
    Alarm.MARK_SEQUENCE_RESTARTED: About(
        _INFO, _EVENT, "A feed of marks counts anew without naming a new epoch, or not at all, and the instrument counts as frozen.", ("instrument",),
        "`BackstopMarkFrozen` alerts when no usable mark follows within 30 seconds.",
    ),
    Alarm.ACCOUNT_NOT_OPENED: About(
        _INFO, _EVENT, "The first record of an account is no SNAPSHOT.", ("account",), "It says why an account is suspect; `account_suspect` alerts."
    ),
    Alarm.ACCOUNT_EVENTS_MISSING: About(
        _INFO, _EVENT, "Numbers of an account's records were left out.", ("account", "first"),
        "It says why an account is suspect; `account_suspect` alerts.",
    ),
    Alarm.WALLET_RECONCILED: About(
        _INFO, _EVENT, "The exchange's wallet of an account was another than ours; the difference was booked.", ("account", "asset"),
        "`reconciliation_difference` alerts, once for all accounts of an asset.",
    ),
    Alarm.DEAD_LETTER_DROPPED: About(_INFO, _EVENT, "Operators let a dead letter go.", ("account", "reason"), "It is what two people asked for."),
    Alarm.CANDIDATES_NOT_ASKED_FOR: About(
        _INFO, _EVENT, "A shard answered a wave that is over; it was told so.", ("wave_id",), "`wave_waits_for_shards` has alerted before."
    ),
    Alarm.DUPLICATES_IGNORED: About(
        _INFO, _EVENT, "Records with numbers heard already came again.", ("stream",), "Delivery may repeat; a number counts once."
    ),
}  # fmt: skip
