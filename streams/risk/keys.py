"""How the book names accounts' groups and positions, and what its changes say."""

from dataclasses import dataclass
from typing import Final

from streams.domain.events import DeadLetterReason

ACCOUNT_EVENTS: Final = "account-events"  # the topic of all that the exchange says of accounts, and the streams in it (topics.py)
OF_ACCOUNTS: Final = ("fills", "account-updates", "instruction-results")
SUSPECT: Final = 1  # bits of accounts.flags
OPENING: Final = 2
MAX_SEQ: Final = 2**53
GroupKey = tuple[int, int, int, int]  # (account, asset, instrument, side); instrument and side are 0 for the cross group
PositionKey = tuple[int, int, int]  # (account, instrument, side)


@dataclass(frozen=True, slots=True)
class Booked:
    """What a fill or update did to an account: change of the group's wallet, and the position afterwards."""

    group: int
    position: int
    cash: int


@dataclass(frozen=True, slots=True)
class Flow:
    """Net money from outside for one asset, and the part of it that is corrections to the exchange's balances."""

    external: int
    reconciliation: int


Refused = tuple[DeadLetterReason, str]
