"""Which shards this process runs, and running them: stop the lost, start the gained, keep the rest, follow the others as standbys.

Who says what is owned is behind `Ownership`; safety never rests on its answers, for fencing by transactional id does that. So an answer may be
late, wrong or contested: the worst that follows is a shard that is taken over once too often.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from streams.engine.compare import Differs
from streams.engine.standby import Standby
from streams.engine.task import TaskSpec
from streams.errors import CheckFailed, Fenced, ImpossibleState

log = structlog.get_logger()

# What is wrong with one shard's log or state alone: the others are as good as they were.
OF_ONE_SHARD = (CheckFailed, Differs, ImpossibleState)
FENCES_REMEMBERED_SECONDS = 60.0  # a shard that ran so long after a fence has settled
DOUBLINGS_MAX = 6


class Ownership(Protocol):
    """Says which task shards this process is to run; a consumer group, a fixed list, or any other scheduler."""

    def owned(self) -> Collection[TaskSpec]:
        """What is to run here now."""

    async def changed(self) -> None:
        """Return when `owned` may have changed since the last call. Raises when it cannot be known any more."""


class FixedOwnership:
    """The same shards for ever."""

    def __init__(self, specs: Sequence[TaskSpec]) -> None:
        self._specs = list(specs)

    def owned(self) -> Collection[TaskSpec]:
        """The fixed list."""
        return self._specs

    async def changed(self) -> None:
        """Never returns."""
        await asyncio.Event().wait()


def share(shards: int, claims: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """Shards 0 to `shards` - 1 shared out evenly over members, each keeping of what it claims as much as its share allows.

    The same claims give the same shares. A shard that two claim is the first one's by name: for the other it will be a fence.
    """
    free = set(range(shards))
    held: dict[str, list[int]] = {}
    for member in sorted(claims):
        held[member] = [shard for shard in sorted(set(claims[member])) if shard in free]
        free.difference_update(held[member])
    least, more = divmod(shards, max(1, len(held)))
    by_claims = sorted(held, key=lambda member: (-len(held[member]), member))
    quota = {member: least + (rank < more) for rank, member in enumerate(by_claims)}
    shares = {member: kept[: quota[member]] for member, kept in held.items()}
    for member, kept in held.items():
        free.update(kept[quota[member] :])
    left = sorted(free, reverse=True)
    for member in by_claims:
        while len(shares[member]) < quota[member]:
            shares[member].append(left.pop())
    return {member: sorted(share) for member, share in shares.items()}


RunShard = Callable[[TaskSpec, asyncio.Event, Standby | None], Awaitable[None]]
Pause = Callable[[int], float]  # seconds to wait after the n-th fence in a row


@dataclass(slots=True)
class _Seat:
    """One shard in this process."""

    spec: TaskSpec
    turned: asyncio.Event = field(default_factory=asyncio.Event)  # set when what it is doing is not what it should be doing
    standby: Standby | None = None
    fences: int = 0  # in a row
    failures: int = 0  # in a row; it is not running while the last of them is being waited out
    problem: Exception | None = None  # what ended it, until it is tried again


class ShardHost:
    """Runs what is owned until told to stop.

    What is wrong with one shard ends that shard, which is tried again after a pause: a start is a recovery. It ends all once nothing that is owned
    is left to run; so does, at once, any other error than a fence.
    """

    def __init__(
        self,
        ownership: Ownership,
        every: Sequence[TaskSpec],
        run_shard: RunShard,
        *,
        pause: Pause,
        rest: Pause,
        make_standby: Callable[[TaskSpec], Standby] | None = None,
    ) -> None:
        self._ownership = ownership
        self._seats = [_Seat(spec) for spec in every]
        self._run_shard = run_shard
        self._pause = pause
        self._rest = rest
        self._make_standby = make_standby
        self._wanted: Collection[TaskSpec] = ()
        self.is_stopping = False

    @property
    def standbys(self) -> list[Standby]:
        """Those that follow the shards of others now."""
        return [seat.standby for seat in self._seats if seat.standby is not None]

    def is_wanted(self, spec: TaskSpec) -> bool:
        """Whether the shard is to run here."""
        return spec in self._wanted

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`: then every shard finishes its step. Cancelling is as safe, only less polite."""
        tending = [asyncio.create_task(self._tend(seat), name=seat.spec.name) for seat in self._seats]
        watching = asyncio.create_task(self._watch())
        stopping = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait([*tending, watching, stopping], return_when=asyncio.FIRST_COMPLETED)
            if stopping in done:
                self.is_stopping = True
                for seat in self._seats:
                    seat.turned.set()
                await _all_or_first_error(tending)
        finally:
            every = [*tending, watching, stopping]
            for task in every:
                task.cancel()
            results = await asyncio.gather(*every, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                raise result

    async def _watch(self) -> None:
        while True:
            now = list(self._ownership.owned())
            if {*now} != {*self._wanted}:
                before, self._wanted = self._wanted, now
                gained = [spec.name for spec in now if spec not in before]
                lost = [spec.name for spec in before if spec not in now]
                log.info("shards_assigned", owned=[spec.name for spec in now], gained=gained, lost=lost)
                for seat in self._seats:
                    if (seat.spec in before) != (seat.spec in now):
                        seat.turned.set()
            await self._ownership.changed()

    async def _tend(self, seat: _Seat) -> None:
        """Own the shard while it is wanted, stand by while it is not."""
        try:
            while not self.is_stopping:
                seat.turned.clear()
                if self.is_wanted(seat.spec):
                    await self._own(seat)
                elif self._make_standby is not None:
                    await self._stand_by(seat, self._make_standby)
                else:
                    await seat.turned.wait()
        finally:
            if seat.standby is not None:
                await seat.standby.close()

    async def _own(self, seat: _Seat) -> None:
        standby, seat.standby = seat.standby, None
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            await self._run_shard(seat.spec, seat.turned, standby)
        except Fenced as fence:
            settled = clock() - began > FENCES_REMEMBERED_SECONDS
            seat.fences = 1 if settled else seat.fences + 1
            again = self.is_wanted(seat.spec) and not self.is_stopping
            log.warning("shard_fenced", task=seat.spec.task, shard=seat.spec.shard, starts_again=again, in_a_row=seat.fences, reason=str(fence))
            if again:
                await _within(seat.turned, self._pause(seat.fences))
        except OF_ONE_SHARD as problem:
            await self._wait_out(seat, problem, settled=clock() - began > FENCES_REMEMBERED_SECONDS)
        finally:
            if standby is not None:
                await standby.close()

    async def _wait_out(self, seat: _Seat, problem: Exception, *, settled: bool) -> None:
        """Leave a shard that failed alone for a while, or for good at a stop. Raises its problem where no other owned shard runs."""
        seat.failures = 1 if settled else seat.failures + 1
        seat.problem = problem
        running = [other.spec.name for other in self._seats if self.is_wanted(other.spec) and other.problem is None]
        log.error("shard_failed", task=seat.spec.task, shard=seat.spec.shard, in_a_row=seat.failures, others_run=running, reason=str(problem))
        if not running:
            raise problem
        if self.is_stopping:
            return
        try:
            await _within(seat.turned, self._rest(seat.failures))
        finally:
            seat.problem = None

    async def _stand_by(self, seat: _Seat, make_standby: Callable[[TaskSpec], Standby]) -> None:
        seat.standby = seat.standby or make_standby(seat.spec)
        await seat.standby.follow(seat.turned)
        await seat.turned.wait()  # one that has ended by itself: there is nothing to do but wait


async def _within(event: asyncio.Event, seconds: float) -> None:
    """Wait so long, or until the event if it comes first."""
    waiting = asyncio.ensure_future(event.wait())
    await asyncio.wait([waiting], timeout=seconds)
    waiting.cancel()


async def _all_or_first_error(tasks: Sequence["asyncio.Task[None]"]) -> None:
    await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)


def doubling(base_seconds: float, jitter: Callable[[], float]) -> Pause:
    """A pause that doubles with every fence in a row, times 0.5 to 1.5 by `jitter` (0 to 1): two who fence each other drift apart."""
    return lambda fences: base_seconds * 2 ** min(fences - 1, DOUBLINGS_MAX) * (0.5 + jitter())
