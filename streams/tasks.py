"""Which machine runs in which task: the one place that puts the pure rooms and the engine together."""

from streams.engine.machine import Machine
from streams.engine.task import TaskName
from streams.pools import PoolsMachine
from streams.risk.machine import RiskMachine


def machine_for(task: TaskName, shard: int, shard_count: int) -> Machine:
    """A new machine for a shard of a task."""
    return RiskMachine(shard, shard_count) if task == "accounts" else PoolsMachine(shard_count)
