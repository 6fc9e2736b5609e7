"""The report: what it says of given facts."""

import re
from dataclasses import replace
from decimal import Decimal

import pytest

from streams.domain.events import AdlState, FillKind, FlowCause, GroupState, LedgerAccount
from streams.notify.names import Names, Unit
from streams.venue.facts import Facts, Forced
from streams.venue.report import count_forced, lines
from streams.venue.scenarios.oct10 import recorded

NAMES = Names(instruments={1: {"symbol": "BTC", "asset": 1, "value_per_tick_lot": 1}}, pools={1: {"asset": 1}}, units={1: Unit("USD", 0)})
EXECUTION = {
    "event_time_us": 7, "instruction_id": 5, "instrument": 1, "account": 21, "lots": 6, "quote": -540, "rank": 1, "of_n": 2, "mark_ticks": 88,
    "position_lots": -6, "cost": -600, "group_wallet": 600, "group_equity": 672, "group_maintenance": 27, "position_maintenance": 27,
    "reason": "Highest score of the short side.",
}  # fmt: skip


def flow(cause: FlowCause, debit: LedgerAccount, credit: LedgerAccount, amount: int, after: int, pool: int = 1) -> dict[str, int]:
    return {
        "pool": pool,
        "cause": int(cause),
        "debit": int(debit),
        "credit": int(credit),
        "amount": amount,
        "wallet_after": after,
        "value_after": after,
    }


FACTS = Facts(
    scenario="example-a",
    names=NAMES,
    event_times=6,
    records={"fills": 8, "marks": 2},
    answers={"FILLED": 5, "REJECTED": 0, "UNFILLED": 9},
    unwanted=2,
    states=[
        {"event_time_us": 3_661_000_000, "account": 11, "asset": 1, "group_instrument": 1, "group_side": 1, "state": int(GroupState.BANKRUPT)}
    ],
    executions=[EXECUTION],
    waves=[
        {
            "wave_id": 9, "instrument": 1, "lots_taken": 8, "lots_needed": 8, "residual_lots": 0, "needed_budget": 16, "candidates_total": 2,
            "largest_haircut_ppm": 166_666, "gained": 0, "passed_over": 3,
        }
    ],
    ledger=[
        flow(FlowCause.OPENING, LedgerAccount.CASH, LedgerAccount.CAPITAL, 5, 5),
        flow(FlowCause.UNWIND, LedgerAccount.OTHER, LedgerAccount.CASH, 4, 1),
    ],
    pool_states=[
        {"event_time_us": 3_662_000_000, "pool": 1, "instrument": 1, "state": int(AdlState.ADL), "threshold": None, "reason": "takeover refused"}
    ],
    forced={(int(FillKind.ADL), 1): Forced(2, 8, 720), (int(FillKind.TAKEOVER), 1): Forced(1, 2, 180)},
    sums={"cash": 0},
    digests={"accounts 0": "ab12"},
)  # fmt: skip


def test_the_report_says_who_was_hit_and_why() -> None:
    told = lines(FACTS)
    assert "  0 groups came below maintenance, 1 below zero" in told
    at = told.index("  account 21: 6 lots of BTC for 540 USD, rank 1 of 2")
    # Bought 6 at 90 what is worth 88: 12; 6 lots short at 100 and a mark of 88: profit 72.
    assert told[at + 1] == (
        "    BTC: Highest score of the short side. Against the mark you gave up 12 USD. Your score came from: profit 72 USD, cost -600 USD, "
        "value -528 USD, wallet 600 USD, equity 672 USD, maintenance 27 USD, of which this position 27 USD, at mark 88."
    )


def test_the_report_shows_the_fund_by_cause() -> None:
    told = [" ".join(line.split()) for line in lines(FACTS)]
    assert told[told.index("The fund, by cause, USD") + 1 :][:5] == [
        "opening 5", "unwind -4", "cash at the end 1", "value at the end 1", "lowest value 1",
    ]  # fmt: skip


def test_a_sum_that_is_not_zero_is_pointed_at() -> None:
    facts = Facts(scenario="calm", names=Names(), event_times=0, records={}, answers={}, sums={"cash": 3}, differences=["position x"])
    told = lines(facts)
    assert "  cash: 3   <- must be zero" in told
    assert "    position x" in told


def test_the_recorded_day_stands_beside_the_run_of_that_day_only() -> None:
    facts = Facts(scenario="oct-10-2025", names=NAMES, event_times=0, records={}, answers={})
    told = "\n".join(lines(facts))
    assert all(symbol in told for symbol in recorded())
    assert "47,652,427" in told
    assert "Beside the recorded day" not in "\n".join(lines(FACTS))


def test_money_in_a_sentence_is_cut_to_two_places_but_never_to_nothing() -> None:
    facts = replace(FACTS, names=replace(NAMES, units={1: Unit("USD", 6)}))
    assert [facts.money(n) for n in (1_234_567_899, -5_000, 0, -1_999_999)] == ["1,234.56 USD", "-0.005 USD", "0 USD", "-1.99 USD"]
    assert FACTS.money(-1234) == "-1,234 USD"


@pytest.mark.parametrize("opening", [5_000_000, 5_000_001])
def test_the_lines_of_a_fund_add_up_to_its_cash_to_the_last_digit(opening: int) -> None:
    # Three payments of a third of a unit: cut to two places each, the lines would be off by one.
    ledger = [flow(FlowCause.OPENING, LedgerAccount.CASH, LedgerAccount.CAPITAL, opening, opening)]
    for cause in (FlowCause.TAKEOVER, FlowCause.UNWIND, FlowCause.FUNDING):
        ledger.append(flow(cause, LedgerAccount.OTHER, LedgerAccount.CASH, 333_333, ledger[-1]["wallet_after"] - 333_333))
    other = flow(FlowCause.OPENING, LedgerAccount.CASH, LedgerAccount.CAPITAL, 7, 9, pool=2)  # 2 were there before the log
    facts = replace(FACTS, names=replace(NAMES, units={1: Unit("USD", 6)}), ledger=[*ledger, other])
    told = [line.split() for line in lines(facts)]
    for pool, count, before in ((1, 4, None), (2, 2, "0.000002")):
        at = told.index(["The", "fund", "of", "pool", str(pool) + ",", "by", "cause,", "USD"])
        causes, (*_, cash) = told[at + 1 : at + 1 + count], told[at + 1 + count]
        assert told[at + 1 + count][:4] == ["cash", "at", "the", "end"]
        assert sum(Decimal(line[-1].replace(",", "")) for line in causes) == Decimal(cash.replace(",", ""))
        assert before is None or causes[0] == ["before", "this", "log", before]


def test_a_forced_fill_is_counted_once_for_its_two_sides() -> None:
    sides = [{"kind": int(FillKind.ADL), "instrument": 1, "lots": sign * 6, "quote": sign * 540} for sign in (1, -1)]
    trade = [{"kind": int(FillKind.TRADE), "instrument": 1, "lots": -1, "quote": -1}]
    assert count_forced([*sides, *trade]) == {(int(FillKind.ADL), 1): Forced(1, 6, 540)}


def test_each_stage_is_told_in_two_sentences_with_the_figures_of_the_run() -> None:
    told = lines(FACTS)
    names = ["  The marks", "  The market", "  The fund", "  The winners", "  What is left"]
    places = [told.index(name) for name in names]
    assert places == sorted(places)
    ends = [*places[1:], told.index("", places[-1])]
    texts = [" ".join(line.strip() for line in told[at + 1 : end]) for at, end in zip(places, ends, strict=True)]
    assert [len(re.findall(r"[.](?: |$)", text)) for text in texts] == [2, 2, 2, 2, 2]
    assert "Between 01:01:01 UTC and 01:01:01 UTC the marks took 1 group of" in texts[0]
    assert "2 orders found nobody" in texts[1]  # not the 9 of all kinds
    assert "180 USD in 1 piece," in texts[2]
    assert "it lost 4 USD" in texts[2]
    assert "At 01:01:02 UTC it could no longer take all that it was offered, first in BTC" in texts[2]
    assert "gave up 16 USD and gained 0 USD" in texts[3]
    assert "passed over 3 times, and the largest loss against the mark was 16.6 %" in texts[3]
    assert "ended with 1 USD, with adl in 1 instrument;" in texts[4]


def test_a_run_in_which_nobody_fell_has_no_stages() -> None:
    assert "What happened" not in lines(Facts(scenario="calm", names=Names(), event_times=0, records={}, answers={}))
