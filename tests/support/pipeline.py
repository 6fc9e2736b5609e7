"""The whole pipeline on the memory bus in lock-step: scenario in, every stream as rows out, with the exchange's own book beside it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from streams.bus.memory import MemoryBus
from streams.domain.events import PositionSide
from streams.engine.chunks import read_stream
from streams.engine.digests import decision_digest
from streams.engine.lockstep import LockStep
from streams.engine.machine import Machine
from streams.engine.shard import RunnerOptions, ShardRunner
from streams.engine.task import TaskName, TaskSpec
from streams.risk.machine import RiskMachine
from streams.tasks import joint_book, machine_for
from streams.topics import TOPICS, partition_count
from streams.venue.exchange import Exchange
from streams.venue.scenarios.scenario import Scenario
from streams.wire.codec import codec

PARTITIONS = 8


@dataclass
class Ran:
    """What a run left: the bus, the machines, the exchange."""

    bus: MemoryBus
    machines: dict[tuple[TaskName, int], Machine]
    exchange: Exchange
    decisions: str

    def rows(self, stream: str, *fields: str, **where: Any) -> list[Any]:
        """Rows of a stream that match, by event time then place, as tuples of the named fields (a single one bare; none: the dicts)."""
        return asyncio.run(self._rows(stream, fields, where))

    async def _rows(self, stream: str, fields: Sequence[str], where: dict[str, Any]) -> list[Any]:
        found: list[tuple[int, int, int, dict[str, Any]]] = []
        async for chunk in read_stream(self.bus, stream):
            for offset, value in zip(chunk.offsets, chunk.values, strict=True):
                row = codec(stream).decode_row(value)
                found.append((row["event_time_us"], chunk.partition, offset, row))
        rows = [row for *_, row in sorted(found, key=lambda f: f[:3]) if all(row[name] == value for name, value in where.items())]
        return [row if not fields else row[fields[0]] if len(fields) == 1 else tuple(row[name] for name in fields) for row in rows]

    def risk(self) -> list[RiskMachine]:
        """The accounts shards' machines."""
        return [machine for machine in self.machines.values() if isinstance(machine, RiskMachine)]

    def wallet(self, account: int, instrument: int = 0, side: int = 0) -> int:
        """Wallet of a solvency group, wherever it lives."""
        for machine in self.risk():
            row = machine.book.group_row((account, 1, instrument, side))
            if row >= 0:
                return int(machine.book.groups.rows["wallet"][row])
        raise KeyError(account)

    def isolated(self, account: int, instrument: int = 1) -> int:
        """Balance of an isolated one-way position."""
        return self.wallet(account, instrument, PositionSide.ONE_WAY)

    def claims(self) -> dict[int, int]:
        """Claims by account."""
        return {account: amount for machine in self.risk() for (account, _), amount in machine.updates.claims.items()}

    def sums(self) -> tuple[int, dict[int, int]]:
        """(wallets - open costs - external over all shards, lots by instrument): all zero when money and lots are conserved."""
        cash, lots = 0, dict.fromkeys((i.instrument for i in self.exchange.scenario.instruments), 0)
        for machine in self.risk():
            book = machine.book
            cash += sum(int(w) for w in book.groups.rows["wallet"]) - sum(int(c) for c in book.positions.rows["cost"])
            cash -= sum(flow.external for _, flow in book.flows.items())
            for row in range(len(book.positions)):
                lots[book.position_key(row)[1]] += int(book.positions.rows["lots"][row])
        return cash, lots

    def differences(self) -> list[str]:
        """Where our books differ from the exchange's own."""
        return list(self.exchange.book.differences(*joint_book(self.machines.values())))


async def _run(scenario: Scenario, shards: int, options: RunnerOptions, deployment: str, epoch: int | None) -> Ran:
    bus, exchange = MemoryBus(), Exchange(scenario)
    machines: dict[tuple[TaskName, int], Machine] = {}

    def factory(task: TaskName, shard: int, shard_count: int) -> Machine:
        machines[task, shard] = machine_for(task, shard, shard_count)
        return machines[task, shard]

    await bus.create_topics({s: partition_count(s, account_partitions=scenario.account_partitions, shards=shards) for s in TOPICS})
    names: list[tuple[TaskName, int]] = [*(("accounts", n) for n in range(shards)), ("pools", 0)]
    specs = [TaskSpec(task, shard, shards, scenario.account_partitions, deployment, epoch) for task, shard in names]
    runners = [ShardRunner(bus, spec, factory, owner="test", options=options) for spec in specs]
    for runner in runners:
        await runner.start()
    await LockStep(bus, runners, exchange).run()
    digest = await decision_digest(bus)
    return Ran(bus, machines, exchange, digest)


def run(scenario: Scenario, *, shards: int = 2, deployment: str = "test", epoch: int | None = 0) -> Ran:
    """Play the scenario to its end."""
    return asyncio.run(_run(scenario, shards, RunnerOptions(patience_ms=None), deployment, epoch))
