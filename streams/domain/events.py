"""The codes of the event fields: one enum per Avro enum, symbols in the schema's order (a test holds them together).

Rows travel as columns of int64: an enum is its code, an absent value is NULL.
"""

from enum import IntEnum
from typing import Final

NULL: Final = -(2**63)  # an absent value in an int64 column; no bound admits it


class PositionSide(IntEnum):
    """Which leg of an instrument: ONE_WAY in one-way mode, LONG or SHORT in hedge mode."""

    UNKNOWN = 0
    ONE_WAY = 1
    LONG = 2
    SHORT = 3


class MarginMode(IntEnum):
    """CROSS: the account's wallet of the asset carries the position. ISOLATED: the position's own bucket does."""

    UNKNOWN = 0
    CROSS = 1
    ISOLATED = 2


class FillKind(IntEnum):
    """Why the position moved."""

    UNKNOWN = 0
    TRADE = 1
    LIQUIDATION = 2
    TAKEOVER = 3
    PROVIDER = 4
    UNWIND = 5
    ADL = 6
    NETTING = 7


class UpdateKind(IntEnum):
    """What kind of account update this is."""

    UNKNOWN = 0
    SNAPSHOT = 1
    DEPOSIT = 2
    WITHDRAWAL = 3
    TRANSFER = 4
    FUNDING = 5
    FEE = 6
    LIQUIDATION_FEE = 7
    ISOLATED_MARGIN = 8
    COVER = 9
    SOCIALISED = 10
    CLAIM = 11
    STAKE = 12
    UNSTAKE = 13
    SETTINGS = 14


class Role(IntEnum):
    """What the account is for. Only USER and MAKER are liquidated or deleveraged."""

    UNKNOWN = 0
    USER = 1
    MAKER = 2
    FUND = 3
    PROVIDER = 4
    FEES = 5
    ROUNDING = 6


class InstructionKind(IntEnum):
    """The rung of the ladder, in its order."""

    UNKNOWN = 0
    CANCEL_ORDERS = 1
    NET = 2
    LIQUIDATE = 3
    PROVIDER = 4
    TAKEOVER = 5
    ADL = 6
    UNWIND = 7
    COVER = 8
    SOCIALISE = 9


class CauseKind(IntEnum):
    """What kind of cause `cause_id` names."""

    UNKNOWN = 0
    EPISODE = 1
    WAVE = 2
    DEFICIT = 3
    INVENTORY = 4


class Outcome(IntEnum):
    """The one terminal outcome of an instruction for one party."""

    UNKNOWN = 0
    FILLED = 1
    PARTIAL = 2
    UNFILLED = 3
    REJECTED = 4
    EXPIRED = 5


class InsolvencyKind(IntEnum):
    """POSITION: these lots are to be placed. DEFICIT: the flat group owes this. CLOSED: the episode is over."""

    UNKNOWN = 0
    POSITION = 1
    DEFICIT = 2
    CLOSED = 3


class GroupState(IntEnum):
    """State of a solvency group; SUSPECT is of the whole account."""

    UNKNOWN = 0
    HEALTHY = 1
    WARNING = 2
    LIQUIDATABLE = 3
    BANKRUPT = 4
    SUSPECT = 5


class Grade(IntEnum):
    """How far the mark can be trusted. FROZEN marks are not applied."""

    UNKNOWN = 0
    GOOD = 1
    STALE = 2
    OUTLIER = 3
    FROZEN = 4


class AdlState(IntEnum):
    """State of one instrument in one pool. ADL: no takeovers there until the stop threshold."""

    UNKNOWN = 0
    NORMAL = 1
    ADL = 2


class FlowCause(IntEnum):
    """Cause of a movement of the fund's account."""

    UNKNOWN = 0
    OPENING = 1
    DEPOSIT = 2
    WITHDRAWAL = 3
    TRANSFER = 4
    FUNDING = 5
    FEE = 6
    LIQUIDATION_FEE = 7
    COVER = 8
    SOCIALISED = 9
    TRADE = 10
    LIQUIDATION = 11
    TAKEOVER = 12
    UNWIND = 13
    ADL = 14
    NETTING = 15
    OTHER = 16


class LedgerAccount(IntEnum):
    """One side of a ledger entry: the fund's cash, or the cause the cash came from or went to."""

    UNKNOWN = 0
    CASH = 1
    CAPITAL = 2
    FEES = 3
    TAKEOVER_RESULT = 4
    COVERS = 5
    OTHER = 6


class WaveStatus(IntEnum):
    """ALLOCATED, CLOSED: a wave is decided, with and without instructions. PLACED: outside a wave. WITHDRAWN: rows given back to their shard."""

    UNKNOWN = 0
    ALLOCATED = 1
    CLOSED = 2
    PLACED = 3
    WITHDRAWN = 4


class AnswerKind(IntEnum):
    """ANSWER: to a probe. WITHDRAWN: these candidates are asked back, because their own group must be resolved."""

    UNKNOWN = 0
    ANSWER = 1
    WITHDRAWN = 2


class AdlWhen(IntEnum):
    """INSOLVENT: only positions of groups below zero go to winners. UNPLACED: also what the market did not take and the fund may not."""

    UNKNOWN = 0
    INSOLVENT = 1
    UNPLACED = 2


class RoomFloor(IntEnum):
    """Equity that a deleveraged group keeps: none, or the maintenance of what it has left."""

    UNKNOWN = 0
    ZERO = 1
    MAINTENANCE = 2


class LatePolicy(IntEnum):
    """A wave whose deadline has passed is decided without the late shards, or closed and asked again."""

    UNKNOWN = 0
    LEAVE_OUT = 1
    GIVE_UP = 2


class RankPolicy(IntEnum):
    """Formula of the ADL score."""

    UNKNOWN = 0
    BITMEX = 1
    BINANCE = 2


class PriceRule(IntEnum):
    """Quote of an ADL fill: the liquidated position's bankruptcy quote, or the mark."""

    UNKNOWN = 0
    BANKRUPTCY = 1
    MARK = 2


class InstrumentKind(IntEnum):
    """Payoff. Only LINEAR is valued today."""

    UNKNOWN = 0
    LINEAR = 1
    INVERSE = 2
    QUANTO = 3


class DeadLetterReason(IntEnum):
    """Why the record could not be applied."""

    UNKNOWN = 0
    UNDECODABLE = 1
    UNKNOWN_SCHEMA = 2
    WRONG_SCHEMA = 3
    UNKNOWN_SYMBOL = 4
    UNKNOWN_INSTRUMENT = 5
    UNKNOWN_ASSET = 6
    OUT_OF_BOUNDS = 7
    SNAPSHOT_INCOMPLETE = 8
    RESULT_CONTRADICTS_FILLS = 9
    BAD_VALUE = 10


class CorrectionKind(IntEnum):
    """What an operator does about a dead letter: the record as it should have been, or letting it go."""

    UNKNOWN = 0
    FILL = 1
    UPDATE = 2
    DROP = 3


class ClosedBy(IntEnum):
    """What closed a dead letter: its record came as it should have been, it was let go, or a SNAPSHOT replaced what it was part of."""

    UNKNOWN = 0
    CORRECTION = 1
    DROP = 2
    SNAPSHOT = 3


class Severity(IntEnum):
    """How loud the notification is."""

    UNKNOWN = 0
    INFO = 1
    WARNING = 2
    CRITICAL = 3
