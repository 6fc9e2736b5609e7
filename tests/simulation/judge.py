"""The judge: what the shards said, held against a plain book of what they had heard, in the order in which they heard it.

It runs no machine: its books are `plain_book.py`, its order `ordering.py`, its reading `decoding.py`. Of every step it knows how a group stood after
each record of the step, and what the step said must be so at one of these moments. At rest the books of all shards together must be the
exchange's own, every instruction have one outcome that all who need it have heard, and nobody below maintenance be forgotten.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.attention import Attention
from tests.simulation.decoding import Row, symbols
from tests.simulation.holds import Holds
from tests.simulation.judge_pools import check_pools
from tests.simulation.ordering import Ordering, Placed, rows_of, said_by
from tests.simulation.plain_book import WATCHED, Group, PlainBook, Position, group_of
from tests.simulation.world import World

Told = tuple[str, Row]
_STATES = symbols("account_state", "state")
SUSPECT, BANKRUPT, LIQUIDATABLE = map(_STATES.index, ("SUSPECT", "BANKRUPT", "LIQUIDATABLE"))
POSITION, DEFICIT = map(symbols("insolvency", "kind").index, ("POSITION", "DEFICIT"))
ANSWER = symbols("adl_candidates", "kind").index("ANSWER")
_KINDS = symbols("instruction", "kind")
OF_MARKET = _KINDS.index("LIQUIDATE")
UNSEEN_MARKS = 3  # marks of its instruments after which a group below maintenance has something to its name
SAID = ("account-states", "instructions", "insolvencies", "adl-candidates", "shard-totals")


@dataclass(slots=True)
class _Moment:
    """How things stood after one record of a step: (equity, maintenance) of groups, at the marks in force and at those of waves; lots; sums."""

    worth: dict[tuple[Group, int], tuple[int, int] | None]
    cash: dict[Group, int]
    flat: dict[Group, bool]
    lots: dict[Position, int]
    free: dict[int, int]  # lots that must be free for a wave
    sums: Any


@dataclass(slots=True)
class _Named:
    """What a step's records speak of. A group is looked at in the marks in force (wave 0) or in those of a wave."""

    groups: dict[tuple[Group, int], None] = field(default_factory=dict)
    positions: dict[Position, None] = field(default_factory=dict)
    waves: dict[int, None] = field(default_factory=dict)
    sums: bool = False


def check_judged(world: World) -> Iterator[str]:
    """Everything the judge has to say of a run."""
    if world.excess:
        return  # what the exchange says is not what its book has
    said, probes = _said(world), {row["wave_id"]: row for *_, row in rows_of(world, "adl-probes")}
    shards = {name: _Shard(world, name, said, probes) for name, shard in world.shards.items() if shard.spec.task == "accounts"}
    for shard in shards.values():
        yield from shard.judged()
    yield from check_pools(world)
    if not world.problems and not any(shard.halted for shard in world.shards.values()):
        yield from _agrees(world, [shard.book for shard in shards.values()])
        for shard in shards.values():
            yield from shard.forgotten()


def _said(world: World) -> dict[tuple[str, int], list[Told]]:
    """What each step of each shard said, stream by stream."""
    found: dict[tuple[str, int], list[Told]] = defaultdict(list)
    for stream in SAID:
        for _, _, record, row in rows_of(world, stream):
            found[said_by(record)].append((stream, row))
    return found


def _agrees(world: World, books: list[PlainBook]) -> Iterator[str]:
    """What the checks have read of all shards together is the exchange's own book."""
    lots = {position: held for book in books for position, held in book.lots.items()}
    cash = {group: amount for book in books for group, amount in book.cash.items()}
    differences = world.trader.exchange.book.differences(lots, cash)
    if differences:
        yield f"reading: {len(differences)} places of what the log says differ from the exchange's own book, the first: {differences[0]}"


def _state_group(row: Row) -> Group:
    return row["account"], row["group_instrument"], row["group_side"]


class _Shard:
    """One accounts shard, step by step."""

    def __init__(self, world: World, name: str, said: dict[tuple[str, int], list[Told]], probes: dict[int, Row]) -> None:
        self.name, self.book = name, PlainBook()
        self._world, self._said, self._probes = world, said, probes
        self._vectors = {wave: {m["instrument"]: m["mark_ticks"] for m in probe["marks"]} for wave, probe in probes.items()}
        self.attention, self.holds = Attention(), Holds()

    def judged(self) -> Iterator[str]:
        """Every step in turn."""
        ordering = Ordering(self._world, self.name)
        for step in self._world.journals.steps[self.name]:
            said = self._said.get((self.name, step["step"]), [])
            self.holds.begin(_state_group(row) for stream, row in said if stream == "account-states" and row["state"] in (LIQUIDATABLE, BANKRUPT))
            moments = self._moments(ordering.of(step), self._named(said))
            for stream, row in said:
                why = _CHECKS[stream](self, row, moments)
                if why:
                    yield f"{why[0]}: {self.name} step {step['step']}: {why[1]}"
                self._note(stream, row)

    def _moments(self, placed: list[Placed], named: _Named) -> list[_Moment]:
        """How what is named stood before the step and after each of its records."""
        moments = [self._moment(named)] if named.groups or named.positions or named.sums or named.waves else []
        for entry in placed:
            self.book.take(entry.stream, entry.row, entry.account)
            if entry.stream and entry.row:
                self._hear(entry.stream, entry.row)
            if moments:
                moments.append(self._moment(named))
        return moments

    def _moment(self, named: _Named) -> _Moment:
        book = self.book
        return _Moment(
            worth={(group, wave): book.worth(group, self._vectors[wave] if wave else None) for group, wave in named.groups},
            cash={group: book.cash.get(group, 0) for group, _ in named.groups if len(book.held(group)) < 2},
            flat={group: not book.held(group) for group, _ in named.groups},
            lots={position: book.lots.get(position, 0) for position in named.positions},
            free={wave: self.holds.free_lots(book, self._probes[wave], self._vectors[wave]) for wave in named.waves},
            sums=book.sums() if named.sums else None,
        )

    def _hear(self, stream: str, row: Row) -> None:
        """What a record means for who is at which group."""
        match stream:
            case "marks":
                self.attention.marked(self.book, row["instrument"])
            case "instruction-results":
                self.attention.ended(row["instruction_id"])
                self.holds.ended(row)
            case "adl-decisions":
                self.holds.decided(row)
                for placement in row["placements"]:
                    self.attention.decided((placement["account"], row["instrument"], placement["position_side"]), placement)

    def _note(self, stream: str, row: Row) -> None:
        """What the shard has said puts somebody at a group, or lots into a wave's hands."""
        if stream == "instructions":
            self.attention.instructed(group_of(row), row["instruction_id"], awaits=row["kind"] == OF_MARKET)
        elif stream == "insolvencies":
            self.attention.told(_state_group(row))
            if row["kind"] == POSITION:
                self.attention.asked((row["account"], row["instrument"], row["position_side"]), _state_group(row), row)
        elif stream == "adl-candidates" and row["kind"] == ANSWER:
            for offer in row["rows"]:
                self.holds.offered(self._offered(row, offer)[1], row["wave_id"])

    def _offered(self, row: Row, offer: Row) -> tuple[Group, Position]:
        """The group and the position of a candidate: of the instrument that its wave is about."""
        instrument = self._probes[row["wave_id"]]["instrument"]
        return group_of({**offer, "instrument": instrument}), (offer["account"], instrument, offer["position_side"])

    def _named(self, said: list[Told]) -> _Named:
        """Whom the records of a step speak of."""
        named = _Named()
        for stream, row in said:
            match stream:
                case "account-states" if row["state"] != SUSPECT:
                    named.groups[_state_group(row), 0] = None
                case "instructions":
                    named.groups[group_of(row), 0] = None
                    if row["kind"] == OF_MARKET:
                        named.positions[row["account"], row["instrument"], row["position_side"]] = None
                case "insolvencies" if row["kind"] in (POSITION, DEFICIT):
                    named.groups[_state_group(row), 0] = None
                    if row["kind"] == POSITION:
                        named.positions[row["account"], row["instrument"], row["position_side"]] = None
                case "adl-candidates" if row["kind"] == ANSWER:
                    named.waves[row["wave_id"]] = None
                    named.groups |= dict.fromkeys((_state_group(placed), row["wave_id"]) for placed in row["positions"])
                    for offer in row["rows"]:
                        group, position = self._offered(row, offer)
                        named.groups[group, row["wave_id"]] = None
                        named.positions[position] = None
                case "shard-totals":
                    named.sums = True
        return named

    # -- what was said ------------------------------------------------------------------------------------------------------------------

    def state(self, row: Row, moments: list[_Moment]) -> tuple[str, str] | None:
        """A state is what equity and maintenance make it, and SUSPECT has a reason."""
        if row["state"] == SUSPECT:
            return None if row["account"] in self.book.suspects else ("suspect", f"account {row['account']} is SUSPECT, and all of it was readable")
        group, told = _state_group(row), (row["equity"], row["maintenance"])
        stood = [moment.worth[group, 0] for moment in moments]
        if told not in stood:
            return "figures", f"group {group} is told to be worth {told}; by the exchange's records it was {_few(stood)}"
        worst = BANKRUPT if told[0] < 0 else LIQUIDATABLE if told[0] < told[1] else None
        if (worst or row["state"]) != row["state"] or (worst is None and row["state"] in (BANKRUPT, LIQUIDATABLE)):
            return "figures", f"group {group} of {told} is told to be {_STATES[row['state']]}"
        return None

    def instruction(self, row: Row, moments: list[_Moment]) -> tuple[str, str] | None:
        """Who is instructed against was below maintenance, all of the account is known, and the lots are there."""
        group, what = group_of(row), f"{_KINDS[row['kind']]} {row['instruction_id']}"
        stood = [moment.worth[group, 0] for moment in moments]
        if not any(worth and worth[0] < worth[1] for worth in stood):
            return "healthy", f"{what} is against group {group}, which was at its maintenance or above all the time: {_few(stood)}"
        if row["kind"] == OF_MARKET:
            position = row["account"], row["instrument"], row["position_side"]
            if not any(_closes(row["lots"], moment.lots[position]) for moment in moments):
                return "healthy", f"{what} of {row['lots']} lots closes more of {position} than it ever had in the step"
            if not any(_leaves_nothing(moment, group, position, -row["lots"], -row["quote_limit"]) for moment in moments):
                return "price", f"{what} is limited at {row['quote_limit']}, which is not what leaves group {group} with nothing"
        return None

    def insolvency(self, row: Row, moments: list[_Moment]) -> tuple[str, str] | None:
        """The pool hears how a group stands: its worth, lots that are there, and what it owes when it is flat."""
        group = _state_group(row)
        if row["kind"] == POSITION and row["lots"]:
            told, position = (row["equity"], row["maintenance"]), (row["account"], row["instrument"], row["position_side"])
            so = [moment for moment in moments if moment.worth[group, 0] == told and _closes(-row["lots"], moment.lots[position])]
            if not so:
                stood = [(moment.worth[group, 0], moment.lots[position]) for moment in moments]
                return "figures", f"the pool hears of {row['lots']} lots of {position} in a group of {told}; it was {_few(stood)}"
            if not any(_leaves_nothing(moment, group, position, row["lots"], row["bankruptcy_quote"]) for moment in so):
                return "price", f"the pool hears a quote of {row['bankruptcy_quote']} for {position}, which does not leave group {group} with nothing"
        elif row["kind"] == DEFICIT and not any(moment.flat[group] and moment.cash[group] == -row["deficit"] for moment in moments):
            cash = _few(moment.cash.get(group) for moment in moments if moment.flat[group])
            return "figures", f"the pool hears that group {group} owes {row['deficit']}; its cash while flat was {cash}"
        return None

    def candidates(self, row: Row, moments: list[_Moment]) -> tuple[str, str] | None:
        """Who is offered, and who is to be placed, is as the wave's marks make it: the one solvent, the other below maintenance."""
        if row["kind"] != ANSWER:
            return None
        free = min(moment.free[row["wave_id"]] for moment in moments)
        if row["lots_total"] < free:
            return "freed", f"wave {row['wave_id']} hears of {row['lots_total']} lots; {free} are in positions that nobody holds"
        for placed in (placed for placed in row["positions"] if placed["lots"]):
            group, worth = _state_group(placed), (placed["equity"], placed["maintenance"])
            if worth not in [moment.worth[group, row["wave_id"]] for moment in moments] or worth[0] >= worth[1]:
                was = _few(moment.worth[group, row["wave_id"]] for moment in moments)
                return "figures", f"group {group} stands in wave {row['wave_id']} as {worth}; it was {was}"
        for offer in row["rows"]:
            group, position = self._offered(row, offer)
            told = (offer["group_equity"], offer["group_maintenance"]), offer["lots"]
            stood = [(moment.worth[group, row["wave_id"]], moment.lots[position]) for moment in moments]
            if told not in stood:
                return "figures", f"position {position} is offered to wave {row['wave_id']} as {told}; it was {_few(stood)}"
            if offer["group_equity"] <= 0 or not 0 < offer["offered_lots"] <= abs(offer["lots"]):
                return "figures", f"{offer['offered_lots']} lots of {position} are offered to wave {row['wave_id']} by {told}"
        return None

    def totals(self, row: Row, moments: list[_Moment]) -> tuple[str, str] | None:
        """Sums of a shard are those of its book."""
        money = int(row["wallets"]) - int(row["open_cost"]) - int(row["external"])
        told = money, tuple(sorted((total["instrument"], total["lots"]) for total in row["instruments"] if total["lots"]))
        stood = [moment.sums for moment in moments]
        return None if told in stood else ("figures", f"the sums of second {row['event_second']} are told as {told}; they were {_few(stood)}")

    def forgotten(self) -> Iterator[str]:
        """At rest: who is below maintenance, and mark after mark passed while nobody was at it; and what the pool has not answered."""
        for group in self.book.groups:
            worth, is_watched = self.book.worth(group), self.book.roles.get(group[0]) in WATCHED and group[0] not in self.book.suspects
            unseen = self.attention.unseen.get(group, 0)
            if is_watched and worth and worth[0] < worth[1] and unseen >= UNSEEN_MARKS:
                yield f"vanished: {self.name}: {unseen} marks passed group {group} by, which is below maintenance: {worth}"
        for position, request in self.attention.requests.items():
            yield f"vanished: {self.name}: the pool has never answered for {request.lots} lots of {position}"


_CHECKS = {
    "account-states": _Shard.state, "instructions": _Shard.instruction, "insolvencies": _Shard.insolvency,
    "adl-candidates": _Shard.candidates, "shard-totals": _Shard.totals,
}  # fmt: skip


def _few(stood: Iterable[Any]) -> str:
    """Different ones, at most three."""
    different = list(dict.fromkeys(stood))
    return f"{different[:3]}{' ...' if len(different) > 3 else ''}"


def _leaves_nothing(moment: _Moment, group: Group, position: Position, lots: int, quote: int) -> bool:
    """Whether closing all of a group's only position at this quote leaves it with nothing; of others the judge has no opinion."""
    is_all = group in moment.cash and lots == moment.lots[position]
    return quote == -moment.cash[group] if is_all else True


def _closes(lots: int, held: int) -> bool:
    """Whether an order of these lots closes lots that are held, and no more."""
    return lots * held < 0 and abs(lots) <= abs(held)
