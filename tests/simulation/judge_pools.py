"""The judge of the pools task: it places what it was asked to place and no more, every instruction has one outcome, and its fund's money is there.

From the log and the exchange's own book alone.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from tests.simulation.decoding import Row, symbols
from tests.simulation.ordering import Ordering, rows_of, said_by
from tests.simulation.plain_book import Position, cross
from tests.simulation.world import World

POOLS = "pools-0"
_TOLD = symbols("insolvency", "kind")
POSITION, CLOSED = map(_TOLD.index, ("POSITION", "CLOSED"))
_KINDS = symbols("instruction", "kind")
OF_POOLS = tuple(map(_KINDS.index, ("TAKEOVER", "ADL", "UNWIND", "COVER", "SOCIALISE")))
TAKING = tuple(map(_KINDS.index, ("TAKEOVER", "ADL")))
OUTCOME = ("kind", "outcome", "executed_lots", "executed_quote", "executed_amount")
Key = tuple[int, int]  # instruction and account


def check_pools(world: World) -> Iterator[str]:
    """All of it."""
    instructions = [(said_by(record), row) for *_, record, row in rows_of(world, "instructions")]
    yield from _said_once(instructions)
    yield from _asked_for(world, instructions)
    answers, told = _answers(world), _passed_on(world)
    yield from _told_truly(answers, told)
    if not world.problems and not any(shard.halted for shard in world.shards.values()):
        yield from _all_told(world, instructions, answers, told)
        yield from _fund(world)


def _said_once(instructions: list[tuple[tuple[str, int], Row]]) -> Iterator[str]:
    """An id names one instruction."""
    seen: dict[int, tuple[str, int]] = {}
    for step, row in instructions:
        if row["instruction_id"] in seen:
            yield f"outcomes: instruction {row['instruction_id']} is said by {step} and by {seen[row['instruction_id']]}"
        seen[row["instruction_id"]] = step


def _asked_for(world: World, instructions: list[tuple[tuple[str, int], Row]]) -> Iterator[str]:
    """Lots are taken over or deleveraged only of what the pool was asked to place: never more of a request than it said."""
    by_step: dict[int, list[Row]] = defaultdict(list)
    for (name, number), row in instructions:
        if name == POOLS and row["kind"] in TAKING:
            by_step[number].append(row)
    ordering, left = Ordering(world, POOLS), dict[Position, list[int]]()  # of the requests that stood at some time in the step
    for step in world.journals.steps[POOLS]:
        left = {position: requests[-1:] for position, requests in left.items()}
        for entry in ordering.of(step):
            if entry.stream == "insolvencies" and entry.row and entry.row["kind"] == POSITION:
                position = entry.row["account"], entry.row["instrument"], entry.row["position_side"]
                left.setdefault(position, []).append(abs(entry.row["lots"]))
        for row in by_step[step["step"]]:
            position, lots = (row["account"], row["instrument"], row["position_side"]), abs(row["lots"])
            requests = left.get(position, [])
            place = next((n for n in reversed(range(len(requests))) if requests[n] >= lots), None)
            if place is None:
                yield f"asked: pools-0 step {step['step']} instructs {lots} lots of {position}; asked for are {requests}"
            else:
                requests[place] -= lots


def _answers(world: World) -> dict[Key, Row]:
    """The exchange's answer by instruction and party; one that is delivered twice is one."""
    return {(row["instruction_id"], row["account"]): row for *_, row in rows_of(world, "instruction-results")}


def _passed_on(world: World) -> dict[Key, list[Row]]:
    """What the pools task was told of its instructions."""
    found: dict[Key, list[Row]] = defaultdict(list)
    for *_, row in rows_of(world, "pool-results"):
        found[row["instruction_id"], row["account"]].append(row)
    return found


def _told_truly(answers: dict[Key, Row], told: dict[Key, list[Row]]) -> Iterator[str]:
    """Each outcome is passed on once, as the exchange gave it."""
    for key, rows in told.items():
        if len(rows) > 1:
            yield f"outcomes: the result of instruction {key[0]} for account {key[1]} is passed on {len(rows)} times"
        given, passed = _outcome(answers.get(key)), _outcome(rows[0])
        if given != passed:
            yield f"outcomes: instruction {key[0]} came to {given} for account {key[1]}; the pool is told {passed}"


def _outcome(row: Row | None) -> tuple[Any, ...] | None:
    return None if row is None else tuple(row[name] for name in OUTCOME)


def _all_told(world: World, instructions: list[tuple[tuple[str, int], Row]], answers: dict[Key, Row], told: dict[Key, list[Row]]) -> Iterator[str]:
    """At rest every instruction has an outcome for both parties, and the pools task knows those of its own."""
    for _, row in instructions:
        for account in dict.fromkeys((row["account"], row["counter_account"] or row["account"])):
            key = row["instruction_id"], account
            if key not in answers:
                yield f"outcomes: {_KINDS[row['kind']]} {key[0]} has no result for account {account}"
            elif row["kind"] in OF_POOLS and key not in told:
                yield f"outcomes: the pool was never told what {_KINDS[row['kind']]} {key[0]} came to for account {account}"


def _fund(world: World) -> Iterator[str]:
    """At rest: what was said of a fund's account comes to its cash in the exchange's book, and its ledger ends with the wallet of that."""
    flows = sorted((row for *_, row in rows_of(world, "fund-flows")), key=lambda row: row["account_seq"])
    ledger = {row["pool"]: row for row in sorted((row for *_, row in rows_of(world, "fund-ledger")), key=lambda row: row["entry"])}
    for *_, pool in rows_of(world, "pools"):
        own = [row for row in flows if row["pool"] == pool["pool"]]
        wallet = own[-1]["wallet_after"] if own else 0
        costs = {row["instrument"]: row["cost_after"] for row in own if row["instrument"] is not None}
        cash, written = world.trader.exchange.book.cash.get(cross(pool["fund_account"]), 0), ledger.get(pool["pool"])
        if wallet - sum(costs.values()) != cash:
            yield f"fund: the flows of pool {pool['pool']} end with {wallet} and costs {costs}; the exchange's book has {cash}"
        if written is not None and written["wallet_after"] != wallet:
            yield f"fund: the ledger of pool {pool['pool']} ends with a wallet of {written['wallet_after']}; the flows with {wallet}"
