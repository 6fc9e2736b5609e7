"""A consumer group on the simulated broker: what a member can notice of joins, leaves, silence and late answers.

The coordinator runs in the broker's own time, the client in the process of its member. Rebalances are eager: all members are asked to join again,
and those that do not in time are out. Assignments reach members at different times, and a stopped member hears nothing: until then each believes
what it was told last, so that two may believe they have one shard. Shares are made by the assignor of the first member, as on Kafka by a leader's.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import aiokafka
from aiokafka.errors import KafkaConnectionError, UnknownMemberIdError

from streams.bus.faults import Network
from streams.bus.kafka_connection import KafkaConfig
from streams.bus.simulated import Broker
from streams.engine.task import TaskSpec
from streams.worker.group import GroupOwnership, KeepingAssignor

SESSION_S = 0.6
HEARTBEAT_S = 0.1
LATE_S = 0.25  # within which an assignment reaches its member


@dataclass(slots=True)
class _Member:
    """What the coordinator knows of a member."""

    assignor: KeepingAssignor
    metadata: Any
    heard_s: float
    has_joined: bool = True
    assignment: Any = None


class Group:
    """The coordinator of one group."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._members: dict[str, _Member] = {}
        self._closes_s: float | None = None  # of the rebalance under way
        self.rebalances = 0

    def join(self, name: str, assignor: KeepingAssignor, topic: str) -> None:
        """Take part in the rebalance; begins one where none is under way."""
        now = asyncio.get_running_loop().time()
        self._members[name] = _Member(assignor, assignor.metadata([topic]), now)
        self._rebalance(now)

    def leave(self, name: str) -> None:
        """Be out at once."""
        if self._members.pop(name, None) is not None:
            self._rebalance(asyncio.get_running_loop().time())

    def heartbeat(self, name: str) -> bool:
        """Whether to join again. Raises UnknownMemberIdError for one that is out."""
        member = self._member(name)
        member.heard_s = asyncio.get_running_loop().time()
        return not member.has_joined

    def assignment(self, name: str) -> Any:
        """The member's share; None while the rebalance goes on. Raises UnknownMemberIdError for one that is out."""
        member = self._member(name)
        member.heard_s = asyncio.get_running_loop().time()
        return member.assignment

    def _member(self, name: str) -> _Member:
        if name not in self._members:
            raise UnknownMemberIdError
        return self._members[name]

    def _rebalance(self, now: float) -> None:
        if self._closes_s is None:
            self._closes_s = now + SESSION_S
            for member in self._members.values():
                member.has_joined = member.heard_s == now and member.assignment is None
                member.assignment = None
            self._look_later()

    def _look_later(self) -> None:
        self._broker.later(HEARTBEAT_S / 4, self._look)

    def _look(self) -> None:
        """Close the rebalance when all have joined, or its time is over; silent members are out."""
        now = asyncio.get_running_loop().time()
        silent = [name for name, member in self._members.items() if now - member.heard_s > SESSION_S]
        if self._closes_s is not None and now >= self._closes_s:
            silent += [name for name, member in self._members.items() if not member.has_joined and name not in silent]
        for name in silent:
            del self._members[name]
        if self._closes_s is None and silent:
            self._rebalance(now)
        elif self._closes_s is not None and all(member.has_joined for member in self._members.values()):
            self._closes_s = None
            self._share()
        if self._members or self._closes_s is not None:
            self._look_later()

    def _share(self) -> None:
        self.rebalances += 1
        if self._members:
            leader = next(iter(self._members.values()))
            shares = leader.assignor.assign(None, {name: member.metadata for name, member in self._members.items()})
            for name, member in self._members.items():
                member.assignment = shares[name]


class _Consumer:
    """As much of a consumer as a member of a group needs."""

    def __init__(self, group: Group, network: Network, random: Random, name: str, assignor: KeepingAssignor) -> None:
        self._group, self._network, self._random, self._name, self._assignor = group, network, random, name, assignor
        self._beating: asyncio.Task[None] | None = None

    def subscribe(self, topics: Sequence[str], *, listener: Any) -> None:
        """Become a member."""
        self._beating = asyncio.create_task(self._beat(topics[0], listener))

    async def getmany(self, *, timeout_ms: int) -> dict[Any, Any]:
        """The topic holds nothing."""
        await asyncio.sleep(timeout_ms / 1000)
        return {}

    async def stop(self) -> None:
        """Leave."""
        if self._beating is not None:
            self._beating.cancel()
        await self._ask(lambda: self._group.leave(self._name))

    async def _ask(self, request: Callable[[], Any]) -> Any:
        """None where the broker does not answer."""
        try:
            return await self._network.ask(request)
        except KafkaConnectionError:
            return None

    async def _beat(self, topic: str, listener: Any) -> None:
        is_member = False
        while True:
            try:
                if not is_member or await self._ask(lambda: self._group.heartbeat(self._name)):
                    await listener.on_partitions_revoked([])
                    await self._rejoin(topic, listener)
                    is_member = True
            except UnknownMemberIdError:
                is_member = False
                continue
            await asyncio.sleep(HEARTBEAT_S)

    async def _rejoin(self, topic: str, listener: Any) -> None:
        await self._ask(lambda: self._group.join(self._name, self._assignor, topic))
        while (assignment := await self._ask(lambda: self._group.assignment(self._name))) is None:
            await asyncio.sleep(HEARTBEAT_S / 2)
        await asyncio.sleep(self._random.uniform(0, LATE_S))
        self._assignor.on_assignment(assignment)
        await listener.on_partitions_assigned([aiokafka.TopicPartition(topic, number) for number in self._assignor.running])


class SimulatedOwnership(GroupOwnership):
    """A worker's own ownership; only the client it joins with is simulated."""

    def __init__(self, group: Group, network: Network, random: Random, name: str, specs: Sequence[TaskSpec]) -> None:
        super().__init__(
            KafkaConfig(bootstrap_servers="simulated:1", deployment=specs[0].deployment), specs, session_timeout_ms=int(SESSION_S * 1000)
        )
        self._parts = group, network, random, name

    async def _connect(self, assignor: KeepingAssignor) -> Any:
        return _Consumer(*self._parts, assignor)
