"""How a running shard stands to its inputs: how far behind it is, and whether the log still holds what a recovery would need."""

from collections.abc import Mapping
from dataclasses import dataclass

from streams.bus.contract import Reader, TopicPartition
from streams.engine.task import Task
from streams.topics import JOURNALS


@dataclass(frozen=True, slots=True)
class Survey:
    """`lag`: offsets not yet taken, by input partition. `event_time_us`: the shard's clock. `spare`: see `survey`."""

    lag: dict[TopicPartition, int]
    event_time_us: int
    spare: dict[TopicPartition, float]

    @property
    def lag_records(self) -> int:
        """Readable records of its streams that have not been taken; markers between them count too."""
        return sum(lag for partition, lag in self.lag.items() if partition.topic not in JOURNALS.values())

    def near_retention(self, share: float) -> list[TopicPartition]:
        """Inputs of which less than `share` is spare."""
        return [partition for partition, spare in self.spare.items() if spare < share]


async def survey(reader: Reader, task: Task, kept_from: Mapping[TopicPartition, int]) -> Survey:
    """Look at every input. `kept_from`: the positions in the oldest kept snapshot, 0 where there is none.

    Spare is the part of the kept log, up to the shard's position, that lies before that snapshot: 1 just after the snapshot was taken, 0 when
    the log begins where the snapshot goes on, less when records that a recovery from it needs are gone. Only of inputs that have lost records.
    """
    lag: dict[TopicPartition, int] = {}
    spare: dict[TopicPartition, float] = {}
    for partition, position in task.positions.items():
        first, end = await reader.bounds(partition)
        lag[partition] = end - max(position, task.seen(partition))
        if first > 0:
            spare[partition] = (kept_from.get(partition, 0) - first) / max(1, position - first)
    return Survey(lag, task.machine.clock_us, spare)
