"""Bugs to be planted in the product, each by a patch, and what finds them: a simulation that passes with one of these in it is worth nothing.

A bug is found in one of its `seeds`, of which the first is the one in which it was seen to be. Sound code passes the same seeds.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from streams.adl.deciding import Asking
from streams.bus import kafka_writer
from streams.bus.contract import Writer
from streams.domain.bankruptcy import bankruptcy_quotes
from streams.domain.conservation import Conservation
from streams.engine import gate, shard, takeover
from streams.engine.gate import PoolsGate
from streams.engine.journal import SnapshotRef, StepRecord, read_tail
from streams.engine.snapshot import SnapshotStore
from streams.engine.takeover import Live, Seat, take_over
from streams.engine.task import TaskSpec
from streams.risk import asking, fund_flows
from streams.risk.book import Book
from streams.risk.machine import RiskMachine
from streams.risk.reservations import Reservations
from streams.risk.results import Results
from streams.risk.waiting import Waiting
from tests.simulation.protections import PROTECTIONS

SEEDS = 4  # of each bug: what else changes may move it to a neighbour
Plant = Callable[[], contextlib.AbstractContextManager[Any]]


@dataclass(frozen=True, slots=True)
class Planted:
    """A bug, the seeds in which it is found, and the checks that may say so first."""

    plant: Plant
    seeds: range
    found_by: frozenset[str]


def _of(plant: Plant, first: int, *found_by: str) -> Planted:
    return Planted(plant, range(first, first + SEEDS), frozenset(found_by))


def _patched(target: Any, name: str, by: Any) -> Plant:
    return lambda: patch.object(target, name, by)


# -- taking a shard over ----------------------------------------------------------------------------------------------------------------


async def _whoever_it_is(seat: Seat) -> Live:
    """The assignment is not looked at again once nobody else can write."""
    return await take_over(replace(seat, still_assigned=lambda: True))


class _EarlyBus:
    """A bus on which the journal's tail is read before anybody is fenced."""

    def __init__(self, seat: Seat) -> None:
        self._bus, self._spec = seat.bus, seat.spec
        self.tail: StepRecord | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    async def writer(self, transactional_id: str) -> Writer:
        self.tail = await read_tail(self._bus, self._spec)
        return await self._bus.writer(transactional_id)


async def _early(seat: Seat) -> Live:
    return await take_over(replace(seat, bus=_EarlyBus(seat)))


async def _tail_of(bus: Any, spec: TaskSpec) -> StepRecord | None:
    return bus.tail if isinstance(bus, _EarlyBus) else await read_tail(bus, spec)


@contextlib.contextmanager
def tail_before_fencing() -> Iterator[None]:
    """What an older owner commits between the two is not known."""
    with patch.object(shard, "take_over", _early), patch.object(takeover, "read_tail", _tail_of):
        yield


def _write_and_forget(write: Callable[..., SnapshotRef]) -> Callable[..., SnapshotRef]:
    def writes(self: SnapshotStore, spec: TaskSpec, step: int, digest: bytes, tables: Mapping[str, Any]) -> SnapshotRef:
        ref = write(self, spec, step, digest, tables)
        self.forget_before(spec, step)
        return ref

    return writes


# -- the gate ---------------------------------------------------------------------------------------------------------------------------


def _but_results(announced: Callable[[StepRecord], dict[Any, int]]) -> Callable[[StepRecord], dict[Any, int]]:
    return lambda record: {place: count for place, count in announced(record).items() if place.topic != "pool-results"}


# -- records of an account --------------------------------------------------------------------------------------------------------------


def _results_first(step: Callable[..., Any]) -> Callable[..., Any]:
    def steps(self: RiskMachine, batch: Any) -> Any:
        batch.runs.sort(key=lambda run: run[0] != "instruction-results")
        return step(self, batch)

    return steps


def _whatever_stands_before(admit: Callable[..., int]) -> Callable[..., int]:
    def admits(self: Any, stream: str, index: int, row: dict[str, Any], out: Any) -> int:
        account, rows = self.book.ensure_account(row["account"], row["partition_"]), self.book.accounts.rows
        ahead = self.__dict__.setdefault("results_ahead", set())
        if stream == "instruction-results" and row["account_seq"] > rows["seq"][account] + 1:
            ahead.add((row["account"], row["account_seq"]))
            return int(account)
        while (row["account"], int(rows["seq"][account]) + 1) in ahead:
            rows["seq"][account] += 1
        return admit(self, stream, index, row, out)

    return admits


@contextlib.contextmanager
def results_before_fills() -> Iterator[None]:
    """A result is obeyed as soon as it is there, and its account's records before it only afterwards."""
    with (
        patch.object(RiskMachine, "step", _results_first(RiskMachine.step)),
        patch.object(RiskMachine, "_admit", _whatever_stands_before(RiskMachine._admit)),
    ):
        yield


def _results_again(admit: Callable[..., int]) -> Callable[..., int]:
    def admits(self: Any, stream: str, index: int, row: dict[str, Any], out: Any) -> int:
        account, rows = self.book.ensure_account(row["account"], row["partition_"]), self.book.accounts.rows
        if stream == "instruction-results" and row["account_seq"] <= rows["seq"][account]:
            return int(account)
        return admit(self, stream, index, row, out)

    return admits


@contextlib.contextmanager
def results_twice() -> Iterator[None]:
    """Neither its number nor its instruction tells that a result was applied before."""
    with patch.object(RiskMachine, "_admit", _results_again(RiskMachine._admit)), patch.object(Results, "is_over", lambda *_: False):
        yield


def _a_unit_off(measure: Callable[..., Any]) -> Callable[..., Any]:
    def measures(self: Book, *given: Any) -> Any:
        equity, values, maintenance = measure(self, *given)
        return equity - 1, values, maintenance

    return measures


def _a_unit_more(quotes: Callable[..., list[int]]) -> Callable[..., list[int]]:
    return lambda *given: [quote + 1 for quote in quotes(*given)]


def _held_for_ever(self: Reservations, holder: int) -> Sequence[Any]:
    """A wave is over, and what it was offered stays reserved for it."""
    return []


def _placed_twice(self: Asking, lots: int, key: int) -> None:
    """What one taker has been given is there for the next one too."""
    self.placed.append((lots, key))


PLANTED: dict[str, Planted] = {
    # the engine
    "nobody is fenced": _of(PROTECTIONS["fencing"], 4, "chain", "owners", "slices", "outputs", "liveness", "halted", "standby"),
    "sends are not awaited": _of(PROTECTIONS["awaiting-sends"], 17, "outputs", "chain"),
    "a re-run does not compare its input": _of(PROTECTIONS["input-digests"], 3, "altered"),
    "the assignment is not looked at again": _of(_patched(shard, "take_over", _whoever_it_is), 109, "assigned"),
    "the journal's tail is read before fencing": _of(tail_before_fencing, 71, "chain"),
    "a fence is not recognised": _of(_patched(kafka_writer, "_is_fence", lambda _: False), 9, "fenced"),
    "snapshots are deleted early": _of(_patched(SnapshotStore, "write", _write_and_forget(SnapshotStore.write)), 0, "snapshots"),
    # the gate of the pools task
    "the gate is always open": _of(_patched(PoolsGate, "late", lambda _: []), 0, "gate"),
    "what was announced is ignored": _of(_patched(gate, "_announced", lambda _: {}), 0, "gate"),
    "announced results are ignored": _of(_patched(gate, "_announced", _but_results(gate._announced)), 2, "gate"),
    # an account's records
    "duplicates are applied": _of(PROTECTIONS["duplicate-detection"], 11, "conservation", "book", "figures", "suspect"),
    "results are taken before their fills": _of(results_before_fills, 0, "suspect"),
    "a result is applied twice": _of(results_twice, 71, "suspect", "outcomes"),
    # money and lots
    "lots are promised twice": _of(PROTECTIONS["reservation"], 1, "promises"),
    "reservations are never released": _of(_patched(Reservations, "release", _held_for_ever), 1, "freed"),
    "nobody is told that sums are not zero": _of(_patched(Conservation, "_compare", lambda *_: None), 43, "alarm"),
    "equity is a unit off": _of(_patched(Book, "measure", _a_unit_off(Book.measure)), 0, "figures"),
    "a bankruptcy quote is a unit off": _of(_patched(asking, "bankruptcy_quotes", _a_unit_more(bankruptcy_quotes)), 0, "price"),
    "what was given back is never judged again": _of(_patched(Waiting, "due", lambda *_: []), 1, "vanished"),
    "a fill of the fund is not told": _of(_patched(fund_flows, "fill_flow", lambda *_: None), 0, "fund"),
    "what the fund takes is given to winners too": _of(_patched(Asking, "place", _placed_twice), 1, "asked"),
}
