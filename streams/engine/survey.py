"""How a running shard stands to its inputs: how far behind it is, what is held back, and whether the log still holds what a recovery would need."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from streams.bus.contract import Reader, TopicPartition
from streams.engine.task import Task
from streams.topics import JOURNALS


@dataclass(frozen=True, slots=True)
class Survey:
    """`lag`: offsets not yet taken, by input partition. `event_time_us`: the shard's clock. `spare`: see `survey`.

    `held_back`: partitions that an open transaction keeps from being read further, and the offset it keeps them at.
    """

    lag: dict[TopicPartition, int]
    event_time_us: int
    spare: dict[TopicPartition, float]
    held_back: dict[TopicPartition, int] = field(default_factory=dict)

    @property
    def lag_records(self) -> int:
        """Records of its streams that have been written and not taken, readable or not; markers between them count too."""
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
    held_back: dict[TopicPartition, int] = {}
    for partition, position in task.positions.items():
        first, end = await reader.bounds(partition)
        known = reader.known_end(partition)
        if known is not None and known.high > max(known.stable, end):
            held_back[partition] = end
            end = known.high
        lag[partition] = end - max(position, task.seen(partition))
        if first > 0:
            spare[partition] = (kept_from.get(partition, 0) - first) / max(1, position - first)
    return Survey(lag, task.machine.clock_us, spare, held_back)


class HeldBack:
    """How long inputs have been held back, from one survey to the next."""

    def __init__(self) -> None:
        self._since: dict[TopicPartition, tuple[int, float]] = {}  # offset it is held at, when that was first seen

    def look(self, seen: Survey, now_s: float) -> dict[TopicPartition, float]:
        """Seconds, by input. One that has gone on in the meantime is held by another transaction: it counts anew."""
        before, self._since = self._since, {}
        for partition, offset in seen.held_back.items():
            known = before.get(partition)
            self._since[partition] = known if known is not None and known[0] == offset else (offset, now_s)
        return {partition: now_s - since for partition, (_, since) in self._since.items()}
