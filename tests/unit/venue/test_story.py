"""What happened to each account, in words: the walked example A told from the side of each."""

from dataclasses import replace
from typing import Any

from streams.domain.events import GroupState, InstructionKind, PositionSide, Role
from streams.venue.scenarios.examples import FUND, S1, S2, L, example_a
from streams.venue.scenarios.registry import build
from streams.venue.scenarios.scenario import Opening
from streams.venue.story import TellingExchange
from tests.support.desk import Instruction, instruction

BTC, ONE_WAY = 1, int(PositionSide.ONE_WAY)


def closing(kind: InstructionKind, lots: int, quote: int | None, counter: int | None, amount: int | None = None) -> Instruction:
    return instruction(
        kind, L, 2000, 1, lots=lots or None, quote=quote, counter_account=counter, counter_position_side=ONE_WAY if lots else None, amount=amount,
        instrument=BTC, position_side=ONE_WAY,
    )  # fmt: skip


def told(*instructions: Instruction, states: list[dict[str, Any]] | None = None) -> list[str]:
    exchange = TellingExchange(example_a(6))
    for batch in ((), instructions):
        exchange.accept(batch)
        while exchange.next_records() is not None:
            pass
    return exchange.story(states or [])


def of(lines: list[str], name: str) -> list[str]:
    """The lines of one account, without its heading."""
    start = next(number for number, line in enumerate(lines) if line.startswith(f"  {name}, account"))
    end = next((number for number in range(start + 1, len(lines)) if not lines[number].startswith("    ")), len(lines))
    return [line.strip() for line in lines[start + 1 : end]]


def test_an_account_that_nothing_befell_is_told_with_what_it_ends_with() -> None:
    lines = told()
    assert (
        lines[1]
        == "  Isolated long of 10 at 100 with margin 100, fund cash 5, mark falls to 88: the fund takes 2, ADL the other 8 at the bankruptcy quote."
    )
    assert of(lines, "S1") == ["at the end  672 USD at the last marks, short 6 BTC"]  # 600 + 6 x (100 - 88)


def test_a_position_without_a_mark_is_not_valued() -> None:
    exchange = TellingExchange(example_a(6))
    exchange.next_records()
    assert of(exchange.story([]), "S1") == ["at the end  short 6 BTC, not valued without a mark"]


def test_a_takeover_and_a_deleveraging_are_told_from_both_sides() -> None:
    lines = told(closing(InstructionKind.TAKEOVER, -2, -180, FUND), closing(InstructionKind.ADL, -6, -540, S1))
    assert of(lines, "L") == [
        "0.001001 s  the fund took its 2 BTC over at 90",
        "0.001002 s  sold 6 BTC at 90 to S1: closed by deleveraging",
        "at the end  -4 USD at the last marks, long 2 BTC",  # 100 - 1,000 + 180 + 540 + 2 x 88
    ]
    assert of(lines, "S1")[0] == "0.001002 s  bought 6 BTC at 90 from L: was deleveraged, and against the mark gave up 12 USD"  # 6 x (90 - 88)
    assert of(lines, "FUND")[0] == "0.001001 s  took 2 BTC over from L at 90"


def test_a_deleveraging_below_the_mark_is_a_gain_of_the_one_who_gives_a_short() -> None:
    lines = told(closing(InstructionKind.ADL, -4, -340, S2))  # at 85, and the mark is 88
    assert of(lines, "S2")[0] == "0.001001 s  bought 4 BTC at 85 from L: was deleveraged, and against the mark gained 12 USD"


def test_debts_are_told_from_both_sides() -> None:
    lines = told(closing(InstructionKind.COVER, 0, None, FUND, 3), closing(InstructionKind.SOCIALISE, 0, None, S1, 2))
    assert of(lines, "L")[:2] == ["0.001001 s  FUND paid 3 USD of its debt", "0.001002 s  S1 paid 2 USD of its debt"]
    assert of(lines, "S1")[0] == "0.001002 s  paid 2 USD of the debt of L"


def test_states_stand_after_what_led_to_them() -> None:
    state = {
        "event_time_us": 2000, "account": L, "group_instrument": BTC, "group_side": ONE_WAY, "state": int(GroupState.BANKRUPT), "equity": -20,
        "maintenance": 44,
    }  # fmt: skip
    lines = told(states=[state])
    assert of(lines, "L")[0] == "0.001000 s  cannot be saved by the market any more: equity of its isolated BTC -20 USD, maintenance 44 USD"


def test_of_many_accounts_only_those_are_told_to_whom_something_happened() -> None:
    scenario = example_a(6)
    assert scenario.wording is not None
    more = range(100, 120)
    names = replace(scenario.wording, accounts={**scenario.wording.accounts, **{number: f"U{number}" for number in more}})
    crowd = tuple(Opening(number, Role.USER, 1) for number in more)
    exchange = TellingExchange(replace(scenario, openings=(*scenario.openings, *crowd), wording=names))
    exchange.next_records()
    exchange.accept([closing(InstructionKind.TAKEOVER, -2, -180, FUND)])
    exchange.next_records()
    lines = exchange.story([])
    assert [line for line in lines if ", account " in line] == ["  L, account 11", "  FUND, account 31"]
    assert lines[-1] == "  23 others, to whom nothing happened"  # of 25


def test_a_market_of_many_accounts_is_not_told_account_by_account() -> None:
    assert TellingExchange(build("calm", 10)).story([]) == []
