"""Everything the page tells of a run, in one value. The log is the source; what only the run itself can know comes as checks from the caller."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from streams.bus.contract import Bus
from streams.domain.events import GroupState
from streams.notify.names import Unit
from streams.report.accounts import Crowd, Execution, Hit, Near, counted, crowds_of, executions_of, hits_of, latest_states, near_of
from streams.report.fund import Fund, funds_of
from streams.report.log import read_log
from streams.report.market import Market, market_of
from streams.report.quality import Quality, quality_of
from streams.report.tape import Forced, KindTotal, forced_fills, totals
from streams.report.waves import Outcome, Wave, compared, waves_of
from streams.venue.report import Beside


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold. `holds` None: it was not looked at, and `found` says how it can be."""

    name: str
    holds: bool | None
    found: str


@dataclass(frozen=True, slots=True)
class Origin:
    """What the run was. `facts`: what is known of it, by name, for people. `checks`, `digests`: as its caller found them.

    `recorded`: the recorded day beside the run, where the scenario has one.
    """

    title: str
    directory: str
    facts: Mapping[str, str] = field(default_factory=dict)
    checks: Sequence[Check] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    recorded: Sequence[Beside] = ()

    @property
    def is_sound(self) -> bool | None:
        """Whether no check failed; None where not one was looked at."""
        looked_at = [check.holds for check in self.checks if check.holds is not None]
        return all(looked_at) if looked_at else None


@dataclass(frozen=True, slots=True)
class Report:
    """The facts of a run. Times in microseconds of event time, money in settlement units of the asset it belongs to.

    `states`: groups by what was last said of them. `near`: the map of the moment `worst_us`, when most groups were below a level.
    """

    origin: Origin
    start_us: int
    end_us: int
    counts: Mapping[str, int]
    market: Market
    funds: Sequence[Fund]
    tape: Sequence[Forced]
    kinds: Sequence[KindTotal]
    waves: Sequence[Wave]
    outcomes: Sequence[Outcome]
    executions: Sequence[Execution]
    hits: Sequence[Hit]
    states: Mapping[GroupState, int]
    worst_us: int
    near: Sequence[Near]
    crowds: Sequence[Crowd]
    quality: Quality


async def report_of(bus: Bus, origin: Origin, units: Mapping[int, Unit]) -> Report:
    """Read a log and tell of it; `units` says how amounts of each asset are written."""
    log = await read_log(bus)
    market = market_of(log, units)
    start_us, end_us = log.span_us()
    tape, waves, executions = forced_fills(log, market), waves_of(log, market), executions_of(log, market)
    states, crowds = log.rows("account-states"), crowds_of(log)
    worst_us = max(crowds, key=lambda crowd: sum(crowd.groups)).event_time_us if crowds else end_us + 1
    return Report(
        origin=origin, start_us=start_us, end_us=end_us, counts=log.counts, market=market, funds=funds_of(log, market, end_us), tape=tape,
        kinds=totals(tape, market), waves=waves, outcomes=compared(log, market, waves), executions=executions,
        hits=hits_of(executions, market), states=counted(latest_states(states, end_us + 1)), worst_us=worst_us,
        near=near_of(latest_states(states, worst_us)), crowds=crowds, quality=quality_of(log),
    )  # fmt: skip
