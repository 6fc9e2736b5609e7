"""Which machine runs in which task, and what can be asked of the machines together: the one place that joins the pure rooms and the engine."""

from collections.abc import Iterable, Iterator

from streams.domain.alarms import Lasting
from streams.domain.batch import Outputs, Row
from streams.engine.machine import Machine
from streams.engine.task import TaskName
from streams.pools import PoolsMachine
from streams.risk.book import Book
from streams.risk.lasting import lasting
from streams.risk.machine import RiskMachine
from streams.risk.totals import emit_totals

Position = tuple[int, int, int]  # account, instrument, position side
Group = tuple[int, int | None, int | None]  # account and, for an isolated group, instrument and side


def machine_for(task: TaskName, shard: int, shard_count: int) -> Machine:
    """A new machine for a shard of a task."""
    return RiskMachine(shard, shard_count) if task == "accounts" else PoolsMachine(shard_count)


def lasting_of(machine: Machine) -> Iterator[Lasting]:
    """What a machine's state says that operators must know for as long as it lasts. Only between two steps."""
    match machine:
        case RiskMachine():
            yield from lasting(machine)
        case PoolsMachine():
            yield from machine.lasting()


def books_of(machines: Iterable[Machine]) -> list[Book]:
    """The books of the accounts shards among the machines, in their order."""
    return [machine.book for machine in machines if isinstance(machine, RiskMachine)]


def totals_of(machines: Iterable[Machine]) -> list[Row]:
    """Rows as `shard-totals` has them, of the states as they are now."""
    said = Outputs()
    for shard, book in enumerate(books_of(machines)):
        emit_totals(book, shard, 0, [], said)
    return [row for _, row in said.rows.get("shard-totals", [])]


def joint_book(machines: Iterable[Machine]) -> tuple[dict[Position, int], dict[Group, int]]:
    """(lots by position, cash by solvency group) over all shards; cash is wallet - open cost, as an exchange without our costs keeps it."""
    positions: dict[Position, int] = {}
    cash: dict[Group, int] = {}
    for book in books_of(machines):
        names: list[Group] = []
        for index in range(len(book.groups)):
            account, _, instrument, side = book.group_key(index)
            names.append((account, instrument or None, side or None))
            cash[names[-1]] = cash.get(names[-1], 0) + int(book.groups.rows["wallet"][index])
        for index in range(len(book.positions)):
            positions[book.position_key(index)] = int(book.positions.rows["lots"][index])
            cash[names[int(book.positions.rows["group"][index])]] -= int(book.positions.rows["cost"][index])
    return positions, cash
