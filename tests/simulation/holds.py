"""Which positions nobody holds, as far as their shard has heard: those must be free, to the last lot.

A wave holds what it was offered until its decision has been heard, an instruction what was allocated to it until its result. Groups that were ever
in resolution are left out: the pool may hold their lots.
"""

from collections import defaultdict
from collections.abc import Iterable

from tests.simulation.decoding import Row, symbols
from tests.simulation.plain_book import WATCHED, Group, PlainBook, Position

_STATUS = symbols("adl_decision", "status")
ENDS_WAVE = tuple(map(_STATUS.index, ("ALLOCATED", "CLOSED")))
WITHDRAWN = _STATUS.index("WITHDRAWN")
SHORT = symbols("fill", "position_side").index("SHORT")


class Holds:
    """Of one shard."""

    def __init__(self) -> None:
        self._holders: dict[Position, set[int]] = defaultdict(set)
        self._over: set[tuple[int, int]] = set()  # instruction and account: a result may be heard before the decision
        self._resolved: set[Group] = set()
        self._touched: set[Position] = set()  # in the step under way

    def begin(self, resolved: Iterable[Group]) -> None:
        """A new step, in which these groups are in resolution at some moment."""
        self._touched.clear()
        self._resolved.update(resolved)

    def offered(self, position: Position, wave: int) -> None:
        """A wave was offered lots of it."""
        self._holders[position].add(wave)
        self._touched.add(position)

    def decided(self, row: Row) -> None:
        """A chunk of a decision was heard."""
        wave = row["wave_id"]
        for part in row["rows"]:
            position = part["account"], row["instrument"], part["position_side"]
            self._touched.add(position)
            if row["status"] == WITHDRAWN:
                self._holders[position].discard(wave)
            elif (part["instruction_id"], part["account"]) not in self._over:
                self._holders[position].add(part["instruction_id"])
        if row["status"] in ENDS_WAVE and row["chunk"] == row["chunks"] - 1:
            for position, holders in self._holders.items():
                if wave in holders:
                    holders.remove(wave)
                    self._touched.add(position)

    def ended(self, row: Row) -> None:
        """A result was heard."""
        self._over.add((row["instruction_id"], row["account"]))
        for position, holders in self._holders.items():
            if position[0] == row["account"] and row["instruction_id"] in holders:
                holders.remove(row["instruction_id"])
                self._touched.add(position)

    def free_lots(self, book: PlainBook, probe: Row, marks: dict[int, int]) -> int:
        """Lots that must be free for a wave: of solvent groups that nobody resolves, in positions that nobody holds and nobody held in this step."""
        sign, free = -1 if probe["side"] == SHORT else 1, 0
        for group in book.groups:
            if group in self._resolved or group[0] in book.suspects or book.roles.get(group[0]) not in WATCHED:
                continue
            lots = {
                position: abs(held) for position, held in book.held(group).items()
                if position[1] == probe["instrument"] and held * sign > 0 and not self._holders.get(position) and position not in self._touched
            }  # fmt: skip
            worth = book.worth(group, marks) if lots else None
            if worth and worth[0] > 0:
                free += sum(lots.values())
        return free
