"""One seed or one set of options from beginning to verdict."""

from dataclasses import dataclass

from tests.simulation.alarmed import check_alarms
from tests.simulation.checkers import check_log
from tests.simulation.fold import check_fold
from tests.simulation.gates import check_gate
from tests.simulation.judge import check_judged
from tests.simulation.options import Fault, Options
from tests.simulation.promises import check_promises
from tests.simulation.world import World, played

MOST_PROBLEMS = 10


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a run. `trace`: SHA-256 over everything that happened, in order."""

    options: Options
    problems: tuple[str, ...]
    trace: str
    fired: tuple[Fault, ...]
    steps: int
    origins: tuple[tuple[str, int], ...]  # how often an owner's state came from where
    instructions: int
    virtual_s: float
    rebalances: int = 0  # of the group, where workers share
    fences: int = 0  # that a worker survived, where workers share

    @property
    def takeovers(self) -> int:
        """How often somebody took a shard over that had been run before."""
        return sum(count for origin, count in self.origins if origin != "genesis")

    @property
    def kind(self) -> str:
        """Which check failed first; empty for a sound run."""
        return self.problems[0].partition(":")[0] if self.problems else ""


def run(options: Options) -> Verdict:
    """Play the options and check what is left."""
    with played(options) as world:
        problems = [*world.problems, *_checked(world)][:MOST_PROBLEMS]
        return Verdict(
            options=options,
            problems=tuple(problems),
            trace=world.trace.hexdigest(),
            fired=tuple(world.fired),
            steps=sum(map(len, world.journals.steps.values())),
            origins=tuple(sorted(world.origins.items())),
            instructions=len(world.trader.instructions),
            virtual_s=world.loop.time(),
            rebalances=world.crew.group.rebalances if world.crew is not None else 0,
            fences=world.fences,
        )


def _checked(world: World) -> list[str]:
    """All checks, the cheap ones first; a log that is wrong already is not folded."""
    found = list(check_log(world))
    return found or [*check_gate(world), *check_fold(world), *check_promises(world), *check_judged(world), *check_alarms(world)]
