"""What can only be seen while it happens: whom a shard belongs to when somebody writes, who was told of a fence, which snapshots are there.

And what operators were told. Where workers share, a member may believe what it was told last, so only what is never right is looked for there.
"""

import contextlib
from typing import TYPE_CHECKING, Any

from streams.domain.alarms import Alarm
from streams.engine.task import TaskSpec
from streams.errors import UsageProblem
from streams.pools import PoolsMachine
from tests.simulation.loop import Process

if TYPE_CHECKING:
    from tests.simulation.world import Shard, World


class Listener:
    """The observer of a runner: keeps its alarms."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def on_step(self, stats: Any) -> None:
        """Nothing."""

    def on_idle(self, spec: TaskSpec) -> None:
        """Nothing."""

    def on_alarm(self, spec: TaskSpec, alarm: Alarm, facts: dict[str, Any]) -> None:
        """Keep it."""
        self._world.alarms.append((spec.name, str(alarm), facts))


class Watch:
    """Looks on, and adds to the problems of a run."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._strangers: dict[Process, None] = {}  # took a shard over that was not theirs any more by then
        self._fenced: dict[Process, None] = {}
        self._found: dict[str, None] = {}

    def asks(self, process: Process, shard: "Shard") -> None:
        """A process begins to take a shard over."""
        if process in self._fenced and self._world.crew is None:
            self._say(f"fenced: {process.name} asks for {shard.spec.name} again, although it was told that there is a newer owner")

    def has_fenced(self, process: Process, shard: "Shard") -> None:
        """Nobody else can write now; it is to look whether the shard is still its own."""
        self._strangers.pop(process, None)
        if self._world.crew is None and shard.owner is not process:
            self._strangers[process] = None

    def writes(self, process: Process, shard: "Shard") -> None:
        """A process begins a transaction."""
        if process in self._strangers:
            self._say(f"assigned: {process.name} writes for {shard.spec.name}, which was another's when it took the shard over")

    def fenced(self, process: Process) -> None:
        """A process was told that its shard has a newer owner."""
        self._fenced[process] = None

    def look(self) -> None:
        """The newest snapshot that is listed in a journal is on the disk, whatever is being written or deleted."""
        if any(fault.kind == "alter" for fault in self._world.fired):
            return  # it takes them away
        for name, listed in self._world.journals.listed.items():
            if not any((self._world.directory / "snapshots").glob(f"{name}-{listed}-*.arrow")):
                self._say(f"snapshots: the one of {name} after step {listed} is the newest listed, and is gone from the disk")

    def lasting(self) -> set[str]:
        """Names of the alarms that stand in the pools task where it runs now."""
        runner = self._world.runners.get("pools-0")
        with contextlib.suppress(UsageProblem):  # it is not running
            if runner is not None and isinstance(machine := runner.task.machine, PoolsMachine):
                return {str(lasting.alarm) for lasting in machine.lasting()}
        return set()

    def _say(self, problem: str) -> None:
        if problem not in self._found:
            self._found[problem] = None
            self._world.problems.append(problem)
