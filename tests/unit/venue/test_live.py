"""A scenario at the time of day: the same events, stamped by the clock, while the gateway's troubles go by the time that the script means."""

from itertools import count

from streams.commands.venue import stamped
from streams.domain.events import InstructionKind
from streams.venue.book import Book
from streams.venue.exchange import Exchange
from streams.venue.scenarios.registry import build

NOW_US = 1_790_000_000_000_000


def test_the_events_are_those_of_the_scenario_and_the_times_those_of_the_clock() -> None:
    ticks = count(NOW_US, 1_000)
    scenario = build("cascade", 20, 1, 4)
    live = stamped(scenario, lambda: next(ticks))
    meant = list(scenario.script(Book()))
    played = list(live.script(Book()))
    assert [events for _, events in played] == [events for _, events in meant]
    assert live.start_us == NOW_US
    assert [time_us for time_us, _ in played] == [NOW_US + 1_000 * step for step in range(1, len(meant) + 1)]


def test_troubles_end_when_the_script_says_so_and_not_when_the_clock_does() -> None:
    scenario = build("cascade", 20, 1, 4)
    live = stamped(scenario, lambda: NOW_US)
    given = [{"kind": InstructionKind.LIQUIDATE, "instruction_id": number, "lots": 10} for number in range(200)]
    early = [scenario.trouble()(one, scenario.start_us) for one in given]
    assert set(early) != {10}  # some are rejected or cut
    trouble = live.trouble()
    assert [trouble(one, NOW_US) for one in given] == early
    for _ in live.script(Book()):
        pass
    assert {trouble(one, NOW_US) for one in given} == {10}


def test_an_exchange_says_how_many_instructions_wait_for_their_answer() -> None:
    exchange = Exchange(build("example-a", account_partitions=2))
    exchange.next_records()
    assert exchange.pending == 0
    instruction = {
        "instruction_id": 1, "kind": int(InstructionKind.CANCEL_ORDERS), "rung": 1, "account": 1, "partition": 1, "event_time_us": 1,
        "valid_until_us": 2**60, "cause_kind": 1, "cause_id": 1, "attempt": 1, "policy_version": 1,
    }  # fmt: skip
    exchange.accept([instruction, instruction])
    assert exchange.pending == 1
    exchange.next_records()
    assert exchange.pending == 0
