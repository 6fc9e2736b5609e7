"""What `backstop demo` tells: one JSON document, or the report for people. Both from the same outcome."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from streams.commands.run_directory import Run
from streams.commands.summary import Summary, Sums, sums_of
from streams.domain.events import InstructionKind
from streams.domain.events import Outcome as Answer
from streams.engine.machine import Machine
from streams.engine.replay import ReplayReport
from streams.engine.task import TaskName
from streams.tasks import joint_book, totals_of
from streams.topics import EXCHANGE_STREAMS
from streams.venue.exchange import Exchange
from streams.venue.facts import Facts
from streams.venue.report import lines
from streams.venue.story import TellingExchange

Machines = Mapping[tuple[TaskName, int], Machine]


@dataclass(kw_only=True)
class Outcome:
    """A run that is over. `machines` are those of its replay, in their last states; they count only where the replay is identical."""

    run: Run
    summary: Summary
    machines: Machines
    exchange: Exchange
    turns: int
    alarms: dict[str, int]
    digests: dict[str, str]  # of the recorded run: state, output, decision
    replayed: ReplayReport
    replay_seconds: float
    seconds: float = 0.0

    @cached_property
    def sums(self) -> Sums:
        """Conservation over the machines' last states."""
        return sums_of(totals_of(self.machines.values()))

    @cached_property
    def book_differences(self) -> list[str]:
        """Where the machines' books and the exchange's own differ."""
        return self.exchange.book.differences(*joint_book(self.machines.values()))

    @property
    def replay_identical(self) -> bool:
        """Whether the replay said the same. Several shards may write one partition in another order; states are compared where they did not."""
        return not self.replayed.differences and self.replayed.decision_digest == self.digests["decision"]

    @property
    def fault(self) -> str | None:
        """What is wrong with the run, in words; None when nothing is."""
        if not self.replay_identical:
            first = next(iter(self.replayed.differences), "the decisions differ")
            return f"the replay is not identical ({first})"
        if not self.sums.zero or self.summary.published_violations:
            return f"sums over all shards are not zero (lots {self.sums.lots}, cash {self.sums.cash})"
        if self.book_differences:
            return f"our book differs from the exchange's: {self.book_differences[0]}"
        return None

    @property
    def is_sound(self) -> bool:
        """Whether there is nothing to complain of."""
        return self.fault is None


def document(outcome: Outcome) -> dict[str, Any]:
    """The JSON document. Amounts in settlement units; instruments by symbol, assets and pools by number. `story`: what happened, by account."""
    run, summary, sums = outcome.run, outcome.summary, outcome.sums
    states: dict[str, dict[str, str]] = {}
    for (pool, instrument), state in summary.pool_states.items():
        states.setdefault(str(pool), {})[_symbol(summary, instrument)] = state.name
    return {
        "scenario": run.scenario,
        "seed": run.seed,
        "accounts": run.accounts,
        "shards": run.shards,
        "bus": run.bus,
        "deployment": run.deployment,
        "events_in": summary.events_in,
        "steps": summary.steps,
        "liquidations": summary.instructions[InstructionKind.LIQUIDATE],
        "takeovers": summary.instructions[InstructionKind.TAKEOVER],
        "adl_waves": len(summary.rows["adl-waves"]),
        "adl_executions": summary.adl_executions,
        "given_up": sum(wave["needed_budget"] for wave in summary.rows["adl-waves"]),
        "gained": sum(wave["gained"] for wave in summary.rows["adl-waves"]),
        "fund_balances": {str(pool): balance for pool, balance in sorted(summary.fund_balances.items())},
        "pool_states": states,
        "positions_sum": {_symbol(summary, instrument): lots for instrument, lots in sums.lots.items()},
        "cash_sum": {str(asset): cash for asset, cash in sums.cash.items()},
        "published_violations": summary.published_violations,
        "book_differences": len(outcome.book_differences),
        "dead_letters": summary.records["dead-letters"],
        "suspect_accounts": sums.suspects,
        "alarms": outcome.alarms,
        "state_digest": outcome.digests["state"],
        "output_digest": outcome.digests["output"],
        "decision_digest": outcome.digests["decision"],
        "replay_identical": outcome.replay_identical,
        "seconds": outcome.seconds,
        "replay_seconds": outcome.replay_seconds,
        "story": outcome.exchange.told(summary.rows["account-states"]) if isinstance(outcome.exchange, TellingExchange) else {},
    }


def report_lines(outcome: Outcome) -> list[str]:
    """The report for people."""
    summary, sums = outcome.summary, outcome.sums
    zero = {f"lots of {_symbol(summary, instrument)}": lots for instrument, lots in sums.lots.items() if lots}
    zero["lots of all instruments, absolute"] = sum(map(abs, sums.lots.values()))
    names = replace(summary.names, units=outcome.run.shown)
    zero |= {f"cash in {names.unit(asset).symbol}, settlement units": cash for asset, cash in sums.cash.items()}
    facts = Facts(
        scenario=outcome.run.scenario,
        names=names,
        event_times=outcome.turns,
        records={stream: summary.records[stream] for stream in EXCHANGE_STREAMS},
        answers={answer.name: summary.answers[answer.name] for answer in Answer},
        unwanted=summary.unwanted,
        states=summary.rows["account-states"],
        executions=[row for row in summary.rows["adl-executions"] if row["lots"]],
        waves=summary.rows["adl-waves"],
        ledger=summary.rows["fund-ledger"],
        pool_states=summary.rows["pool-states"],
        forced=summary.forced,
        sums=zero | {"dead letters": summary.records["dead-letters"], "suspect accounts": sums.suspects},
        differences=outcome.book_differences,
        digests=outcome.digests,
    )
    identical = "identical" if outcome.replay_identical else "NOT identical"
    speed = f"{outcome.seconds:.1f} s; replay {identical}, {outcome.replay_seconds:.1f} s"
    story = outcome.exchange.story(summary.rows["account-states"]) if isinstance(outcome.exchange, TellingExchange) else []
    return [*story, *([""] if story else []), *lines(facts), f"  replay of {outcome.replayed.inputs:,} inputs: {identical}", "", f"Run {speed}"]


def _symbol(summary: Summary, instrument: int) -> str:
    return summary.names.symbol(instrument)
