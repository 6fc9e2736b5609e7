"""What a scenario is: parameters, opening accounts, a script of timed events, and the troubles of the exchange's gateway.

A script may look at the exchange's book when its next event is due (it sees what instructions did), so it is generated lazily.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

from streams.domain.events import FillKind, Grade, InstructionKind, MarginMode, PositionSide, Role, UpdateKind
from streams.domain.ids import identity
from streams.domain.instruments import Instrument, Pool
from streams.domain.money import PPM
from streams.venue.book import Book, PositionKey
from streams.venue.depth import DepthSpec

USD = 1  # the settlement asset of every scenario; 1e-6 USD a unit
UNITS_PER_USD = 1_000_000


@dataclass(frozen=True, slots=True)
class OpeningPosition:
    """A position held at the start. `bucket` is its isolated margin; None: the cross wallet carries it."""

    instrument: int
    side: PositionSide
    lots: int
    cost: int
    bucket: int | None = None

    @property
    def mode(self) -> MarginMode:
        """How it is margined."""
        return MarginMode.CROSS if self.bucket is None else MarginMode.ISOLATED


@dataclass(frozen=True, slots=True)
class Opening:
    """An account at the start: cross wallet and positions; written as a SNAPSHOT of one part for the wallet and one per position."""

    account: int
    role: Role
    wallet: int
    positions: tuple[OpeningPosition, ...] = ()


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark price."""

    instrument: int
    mark_ticks: int
    index_ticks: int
    grade: Grade = Grade.GOOD


@dataclass(frozen=True, slots=True)
class Leg:
    """One side of a trade. `margin` goes from the cross wallet into the bucket of an isolated position with the fill."""

    account: int
    side: PositionSide
    mode: MarginMode = MarginMode.CROSS
    margin: int = 0


@dataclass(frozen=True, slots=True)
class Trade:
    """A trade at a price on the tick grid."""

    instrument: int
    lots: int
    price_ticks: int
    buyer: Leg
    seller: Leg
    kind: FillKind = FillKind.TRADE


@dataclass(frozen=True, slots=True)
class CashFlow:
    """Money from outside into a cross wallet, or out of it."""

    kind: UpdateKind  # DEPOSIT, WITHDRAWAL
    account: int
    amount: int  # signed; settlement units


@dataclass(frozen=True, slots=True)
class FundingPayment:
    """Funding of one instrument: longs pay `rate_ppm` of their value to the shorts, negative: the other way round.

    Each payment is paired with one of account `through`, which keeps what rounding leaves.
    """

    instrument: int
    rate_ppm: int
    through: int


Event = Mark | Trade | CashFlow | FundingPayment
Timed = tuple[int, list[Event]]  # event time in microseconds, what happens at it
Script = Callable[[Book], Iterator[Timed]]


class Trouble(Protocol):
    """What the gateway does to an instruction that it could execute."""

    def __call__(self, instruction: Mapping[str, Any], time_us: int) -> int | None:
        """Most lots it lets through (those asked for: no trouble); None: it rejects."""


def wanted_lots(instruction: Mapping[str, Any]) -> int:
    """Absolute lots an instruction asks for; 0 where none are meant."""
    lots: int = instruction["lots"] or 0
    return abs(lots)


def no_trouble(instruction: Mapping[str, Any], time_us: int) -> int | None:
    """A gateway that does what it is told."""
    return wanted_lots(instruction)


class ScriptedTrouble:
    """The first instruction of a kind between two accounts is cut to so many lots; 0: rejected."""

    def __init__(self, cuts: Mapping[tuple[InstructionKind, int, int | None], int]) -> None:
        self._cuts = dict(cuts)

    def __call__(self, instruction: Mapping[str, Any], time_us: int) -> int | None:
        """Apply the cut once."""
        key = InstructionKind(instruction["kind"]), instruction["account"], instruction["counter_account"]
        cut = self._cuts.pop(key, None)
        return wanted_lots(instruction) if cut is None else cut or None


@dataclass(frozen=True, slots=True)
class SeededTrouble:
    """A share of the instructions is rejected, another one is cut short; which ones is a function of seed and instruction id, not of order."""

    seed: int
    rejected_ppm: int
    partial_ppm: int
    until_us: int  # no trouble from this event time on, so that everything can be finished

    def __call__(self, instruction: Mapping[str, Any], time_us: int) -> int | None:
        """Draw for this instruction. Bookkeeping (cancels, netting, socialised losses) always succeeds; a cover is never partial."""
        wanted = wanted_lots(instruction)
        kinds = (InstructionKind.LIQUIDATE, InstructionKind.TAKEOVER, InstructionKind.ADL, InstructionKind.UNWIND, InstructionKind.COVER)
        if time_us >= self.until_us or instruction["kind"] not in kinds:
            return wanted
        draw = identity("trouble", self.seed, instruction["instruction_id"])
        if draw % PPM < self.rejected_ppm:
            return None
        if wanted > 1 and draw % PPM < self.rejected_ppm + self.partial_ppm:
            return 1 + draw // PPM % (wanted - 1)
        return wanted


@dataclass(frozen=True, slots=True)
class Wording:
    """How a scenario that is told account by account names things and counts them."""

    about: str
    currency: str
    accounts: Mapping[int, str]
    lots: Mapping[int, Fraction]  # size of one lot, by instrument
    ticks: Mapping[int, Fraction]  # price of one tick


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything the exchange needs. `trouble` and `script` are made anew for each run."""

    name: str
    account_partitions: int
    start_us: int  # instruments, pools and openings are written at this event time
    instruments: tuple[Instrument, ...]
    pools: tuple[Pool, ...]
    openings: tuple[Opening, ...]
    depth: Mapping[int, DepthSpec]
    makers: Mapping[int, int]  # instrument -> account that stands behind its depth
    script: Script
    trouble: Callable[[], Trouble] = lambda: no_trouble
    units: int = UNITS_PER_USD  # settlement units that are shown as one
    wording: Wording | None = None  # None: too many accounts to tell of each

    @property
    def symbols(self) -> dict[int, str]:
        """Names of the instruments, for people."""
        return {i.instrument: i.symbol for i in self.instruments}


def position_key(account: int, instrument: int, side: int) -> PositionKey:
    """Key of a position in the book."""
    return account, instrument, int(side)
