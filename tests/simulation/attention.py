"""Who is at a group, as far as its shard has heard: an instruction without a result, or a request that the pool has not answered.

While there is nobody, marks of what it holds pass it by, and are counted.
"""

from dataclasses import dataclass

from tests.simulation.decoding import Row
from tests.simulation.plain_book import Group, PlainBook, Position


@dataclass(slots=True)
class Request:
    """The newest that the pool was asked of a position."""

    group: Group
    revision: int
    lots: int


class Attention:
    """Of one shard. `unseen`: marks of what a group holds that passed while nobody was at it, since the shard last spoke of it."""

    def __init__(self) -> None:
        self.unseen: dict[Group, int] = {}
        self.requests: dict[Position, Request] = {}
        self._awaited: dict[int, Group] = {}
        self._over: set[int] = set()  # a result may be heard before the decision that names its instruction

    def marked(self, book: PlainBook, instrument: int) -> None:
        """A mark passes by whoever nobody is at."""
        busy = {*self._awaited.values(), *(request.group for request in self.requests.values())}
        for group in book.groups:
            if group not in busy and any(held[1] == instrument for held in book.held(group)):
                self.unseen[group] = self.unseen.get(group, 0) + 1

    def told(self, group: Group) -> None:
        """The shard spoke of the group, or heard of it."""
        self.unseen[group] = 0

    def instructed(self, group: Group, instruction_id: int, *, awaits: bool) -> None:
        """An instruction is out; `awaits`: nothing else is done until its result."""
        self.told(group)
        if awaits and instruction_id not in self._over:
            self._awaited[instruction_id] = group

    def ended(self, instruction_id: int) -> None:
        """Its result was heard."""
        self._over.add(instruction_id)
        group = self._awaited.pop(instruction_id, None)
        if group is not None:
            self.told(group)

    def asked(self, position: Position, group: Group, row: Row) -> None:
        """The pool was told how a position stands now; no lots: nothing is to be placed."""
        if row["lots"]:
            self.requests[position] = Request(group, row["revision"], abs(row["lots"]))
        else:
            self.requests.pop(position, None)

    def decided(self, position: Position, placement: Row) -> None:
        """The pool has answered: an instruction takes lots, or the rest is the shard's again. A newer request than the one answered stays."""
        request = self.requests.get(position)
        if request is None:
            return
        if placement["instruction_id"] is not None:
            self.instructed(request.group, placement["instruction_id"], awaits=True)
            request.lots -= placement["lots"]
        if request.revision == placement["revision"] and (placement["instruction_id"] is None or request.lots <= 0):
            self.told(request.group)
            del self.requests[position]
