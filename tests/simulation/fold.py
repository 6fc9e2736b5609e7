"""A plain fold of the machines over what the step records say was taken: no engine, no bus, no cuts but the journaled ones.

Its outputs must be those in the log and its states those in the step records; at rest the money is there to the last unit and the book is the
exchange's own.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

import numpy as np

from streams.domain.batch import UNDECODABLE, Batch, Outputs, Rows
from streams.domain.events import NULL
from streams.engine.machine import Machine
from streams.risk.machine import RiskMachine
from streams.tasks import machine_for
from streams.wire.codec import codec, columns_of
from streams.wire.records import new_records
from tests.simulation.checkers import OUTPUTS
from tests.simulation.ordering import Ordering, Placed, originals, said_by
from tests.simulation.world import World


def check_fold(world: World) -> Iterator[str]:
    """Re-run every shard from its slices."""
    machines: dict[str, Machine] = {}
    for name, shard in world.shards.items():
        spec = shard.spec
        machines[name] = machine_for(spec.task, spec.shard, spec.shard_count)
        written, ordering = _written(world, name), Ordering(world, name)
        machines[name].found(world.journals.steps[name][0]["epoch"] or 0 if world.journals.steps[name] else 0)
        for step in world.journals.steps[name]:
            yield from _step(name, machines[name], step, ordering.of(step), written)
    if not world.excess and not world.problems and not any(shard.halted for shard in world.shards.values()):
        yield from _books(world, [machine for machine in machines.values() if isinstance(machine, RiskMachine)])


def _step(name: str, machine: Machine, step: Mapping[str, Any], placed: list[Placed], written: Mapping[int, dict[Any, Any]]) -> Iterator[str]:
    said = machine.step(_batch(placed)) if placed else Outputs()
    if machine.digest() != step["state_digest"]:
        yield f"fold: {name} step {step['step']} leaves another state in a plain fold"
    ours: dict[Any, list[Any]] = defaultdict(list)
    spoken: list[tuple[str, Any]] = [*_one_by_one(said), *_from_columns(said)]
    for stream, rows in spoken:
        for record in new_records(stream, rows):
            ours[record.topic, record.partition].append((record.timestamp_ms, record.key, record.value))
    theirs = written.get(step["step"], {})
    for place in sorted(ours.keys() | theirs.keys()):
        if place[0] != "dead-letters" and ours.get(place) != theirs.get(place):
            yield f"fold: {name} step {step['step']} wrote other records to {place[0]}[{place[1]}] than a plain fold says"


def _one_by_one(said: Outputs) -> Iterator[tuple[str, list[tuple[int, dict[str, Any]]]]]:
    """What was said row by row, in the order in which it was said."""
    queues = {stream: iter(rows) for stream, rows in said.rows.items()}
    for stream in said.order:
        partition, row = next(queues[stream])
        yield stream, [(partition, dict(row))]


def _from_columns(said: Outputs) -> Iterator[tuple[str, list[tuple[int, dict[str, Any]]]]]:
    """What was said as columns, row by row."""
    for stream, parts in said.columns.items():
        for part in parts:
            columns = {name: [None if value == NULL else value for value in column] for name, column in part.columns.items()}
            rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
            places = [part.partition] * len(rows) if isinstance(part.partition, int) else part.partition.tolist()
            yield stream, list(zip(places, rows, strict=True))


def _written(world: World, name: str) -> dict[int, dict[Any, Any]]:
    """What a shard wrote, by step and partition."""
    found: dict[int, dict[Any, Any]] = defaultdict(lambda: defaultdict(list))
    for where, log in world.broker.logs.items():
        if where.topic in OUTPUTS:
            for record in originals(world, where, 0, log.end):
                writer, step = said_by(record)
                if writer == name:
                    found[step][where].append((record.timestamp_ms, record.key, record.value))
    return found


def _batch(placed: list[Placed]) -> Batch:
    rows: dict[str, list[Placed]] = defaultdict(list)
    runs = []
    for stream, group in groupby(placed, key=lambda entry: entry.stream or UNDECODABLE):
        part = list(group)
        runs.append((stream, len(rows[stream]), len(rows[stream]) + len(part)))
        rows[stream] += part
    return Batch({stream: _rows(stream, part) for stream, part in rows.items()}, runs)


def _rows(stream: str, placed: list[Placed]) -> Rows:
    def column(at: int) -> Any:
        return np.array([entry[at] for entry in placed], np.int64)

    if stream == UNDECODABLE:
        accounts = np.array([NULL if entry.account is None else entry.account for entry in placed], np.int64)
        columns: Any = {"account": accounts, "source": column(1), "stamped_us": column(0)}
    else:
        columns = columns_of(codec(stream).schema.fields, [entry.row for entry in placed if entry.row is not None])
    return Rows(stream, columns, column(0), column(3), column(4))


def _books(world: World, machines: list[RiskMachine]) -> Iterator[str]:
    """Sums over all shards are zero, and every position and every group's cash is what the exchange's own book says."""
    cash, lots = 0, defaultdict[int, int](int)
    positions: dict[tuple[int, int, int], int] = {}
    groups: dict[tuple[int, int | None, int | None], int] = {}
    for machine in machines:
        book = machine.book
        for row in range(len(book.positions)):
            key = book.position_key(row)
            positions[key] = int(book.positions.rows["lots"][row])
            lots[key[1]] += positions[key]
        for group in range(len(book.groups)):
            account, _, instrument, side = book.group_key(group)
            costs = sum(int(book.positions.rows["cost"][position]) for position in book.held(group))
            groups[account, instrument or None, side or None] = int(book.groups.rows["wallet"][group]) - costs
        cash -= sum(flow.external for _, flow in book.flows.items())
    cash += sum(groups.values())
    external = world.trader.exchange.book.external
    if cash:
        yield f"conservation: wallets less open costs less external flows are {cash}, not 0 (the exchange's external flows: {external})"
    if any(lots.values()):
        yield f"conservation: lots by instrument are {dict(lots)}, not 0"
    differences = world.trader.exchange.book.differences(positions, groups)
    if differences:
        yield f"book: {len(differences)} places differ from the exchange's own book, the first: {differences[0]}"
