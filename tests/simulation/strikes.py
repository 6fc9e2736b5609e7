"""How the faults of a run come about: by the clock, or at an await of a commit."""

import asyncio
import shutil
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from streams.bus.contract import TopicPartition
from streams.bus.faults import Hooks
from tests.simulation.loop import Process
from tests.simulation.options import Fault

if TYPE_CHECKING:
    from tests.simulation.world import Shard, World


def schedule(world: "World", fault: Fault) -> None:
    acts = {"overlap": _overlap, "term": _term, "down": _down, "truncate": _truncate, "alter": _alter}
    act = acts.get(fault.kind)
    if act is not None and (not fault.shard or fault.shard in world.shards):
        world.broker.later(fault.at_ms / 1000, lambda: act(world, fault))
    elif fault.kind in ("torn", "flipped", "full"):
        world.broker.later(0.02, lambda: _damage(world, fault))


def _overlap(world: "World", fault: Fault) -> None:
    world.disturb(fault)
    world.start(fault.shard)


def _term(world: "World", fault: Fault) -> None:
    """SIGTERM, whatever the owner is doing, its start included."""
    world.disturb(fault)
    stop = world.shards[fault.shard].stop
    if stop is not None:
        stop.set()


def _down(world: "World", fault: Fault) -> None:
    world.broker.down_until_s = max(world.broker.down_until_s, world.loop.time() + fault.for_ms / 1000)
    world.disturb(fault, until_s=world.broker.down_until_s)


def _damage(world: "World", fault: Fault) -> None:
    """The n-th snapshot of the shard is damaged as soon as it is there, and its owner dies a little later."""
    files = sorted((world.directory / "snapshots").glob(f"{fault.shard}-*.arrow"), key=lambda path: int(path.name.split("-")[2]))
    if len(files) < min(fault.nth, 2):
        if world.loop.time() < 20:
            world.broker.later(0.02, lambda: _damage(world, fault))
        return
    world.disturb(fault)
    data = bytearray(files[-1].read_bytes())
    if not data:
        return  # emptied before
    if fault.kind == "torn":
        del data[fault.extra % len(data) :]
    elif fault.kind == "flipped":
        data[fault.extra % len(data)] ^= 1 << (fault.extra % 8)
    else:
        data.clear()
    files[-1].write_bytes(bytes(data))
    owner = world.shards[fault.shard].owner
    if owner is not None and not owner.is_dead:
        owner.kill()
        world.start_later(fault.shard, 0.05)


def _truncate(world: "World", fault: Fault) -> None:
    """Retention takes the head of an input, up to beyond what the shard has taken; its owner dies."""
    shard = world.shards[fault.shard]
    inputs = [p for p in shard.spec.inputs() if p.topic in ("marks", "account-events") and world.broker.logs[p].end > 3]
    if not inputs:
        return
    partition = inputs[fault.extra % len(inputs)]
    world.disturb(fault)
    log = world.broker.logs[partition]
    log.first = max(1, log.stable - fault.extra % 3)
    world.truncated[partition] = log.first
    if shard.owner is not None:
        shard.owner.kill()
    world.start_later(fault.shard, 0.05)


def _alter(world: "World", fault: Fault) -> None:
    """A record that the shard has taken is another one now; its snapshots are gone and its owner dies, so that it must run it again."""
    world.journals.read()
    steps = world.journals.steps[fault.shard]
    parts = [part for step in steps for part in step["slices"] if part["count"] and part["topic"] != "accounts-journal"]
    if not parts:
        return
    part = parts[fault.extra % len(parts)]
    where = TopicPartition(part["topic"], part["partition"])
    log = world.broker.logs[where]
    offset, record = next(iter(log.committed(part["from"], part["to"])))
    at = log.offsets.index(offset)
    world.originals[where, offset] = record
    log.records[at] = type(record)(*where, record.timestamp_ms + 1, record.key, record.value, record.headers)
    world.disturb(fault)
    for name, shard in world.shards.items():  # whoever reads the partition must notice when it runs it again
        if where not in world.journals.taken[name] or world.journals.taken[name][where] <= offset:
            continue
        shutil.rmtree(world.directory / "snapshots", ignore_errors=True)
        if shard.owner is not None:
            shard.owner.kill()
        world.altered[name] = len(world.journals.steps[name])
        world.start_later(name, 2.0)  # what was on its way is committed or timed out by then
        world.broker.later(1.9, partial(_count_altered, world, name))


def _count_altered(world: "World", name: str) -> None:
    world.journals.read()
    world.altered[name] = len(world.journals.steps[name])


class ShardHooks(Hooks):
    """Brings the faults of a shard to the awaits of its owner's commits."""

    def __init__(self, world: "World", process: Process, shard: "Shard") -> None:
        self._world, self._process, self._shard = world, process, shard
        self._seen: dict[tuple[str, int], int] = {}

    async def at(self, point: str, transactional_id: str) -> None:
        """Count, and die or stop here if that is the fault."""
        if point == "begin":
            self._shard.commits += 1
        elif point == "init":
            self._shard.inits += 1
            self._world.watch.asks(self._process, self._shard)
        if self._strike(point):
            await asyncio.sleep(0)
        if point == "inited":
            self._world.watch.has_fenced(self._process, self._shard)
        elif point == "begin":
            self._world.watch.writes(self._process, self._shard)

    def fenced(self, transactional_id: str) -> None:
        """The broker has told the owner that there is a newer one."""
        self._world.watch.fenced(self._process)

    def decided(self, transactional_id: str) -> None:
        """The broker knows the outcome, the owner does not."""
        self._strike("decided")

    def _strike(self, point: str) -> bool:
        if self._world.is_over:
            return False
        nth = self._shard.inits if point in ("init", "inited") else self._shard.commits
        seen = self._seen[point, nth] = self._seen.get((point, nth), -1) + 1
        struck = False
        for fault in self._mine("kill", "pause"):
            repeated = fault.extra if point in ("send", "sent") else 0
            if fault.point == point and fault.nth == nth and seen == repeated and not self._process.is_dead:
                struck = True
                self._world.disturb(fault)
                _strike(self._world, fault, self._process, self._shard)
        return struck

    def refuses(self, transactional_id: str, partition: TopicPartition) -> bool:
        """The `extra`-th batch of the commit is refused."""
        seen = self._seen["batch", self._shard.commits] = self._seen.get(("batch", self._shard.commits), -1) + 1
        return any(self._once(fault) for fault in self._mine("refuse") if fault.nth == self._shard.commits and fault.extra == seen)

    def loses_answer(self, transactional_id: str) -> bool:
        """The answer to this commit is lost."""
        return any(self._once(fault) for fault in self._mine("lose") if fault.nth == self._shard.commits)

    def delays_end(self, transactional_id: str) -> float:
        """This commit takes long to arrive."""
        return sum(fault.for_ms / 1000 for fault in self._mine("delay") if fault.nth == self._shard.commits and self._once(fault))

    def _mine(self, *kinds: str) -> Iterator[Fault]:
        name = self._shard.spec.name
        return (fault for fault in self._world.options.faults if fault.kind in kinds and fault.shard == name)

    def _once(self, fault: Fault) -> bool:
        if fault in self._world.fired:
            return False
        self._world.disturb(fault, until_s=self._world.loop.time() + fault.for_ms / 1000)
        return True


def _strike(world: "World", fault: Fault, process: Process, shard: "Shard") -> None:
    """kill -9 and a new worker later; or SIGSTOP, a take-over meanwhile, and SIGCONT for the zombie."""
    name, after_s = shard.spec.name, fault.for_ms / 1000
    if fault.kind == "kill":
        process.kill()
        if shard.owner is process:
            world.start_later(name, after_s)
        return
    process.stop()
    world.disturbed_s = max(world.disturbed_s, world.loop.time() + after_s)
    if shard.owner is process and fault.extra:  # 0: nobody takes over, and a transaction it has open times out
        world.start_later(name, after_s / 2)
    world.broker.later(after_s, lambda: process.resume(world.loop))
