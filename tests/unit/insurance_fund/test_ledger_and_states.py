"""The ledger as a view of the fund's cash, and the states with their two thresholds."""

import pytest

from streams.domain.events import AdlState, FlowCause, Grade, LedgerAccount
from tests.support.pools_desk import Desk, instrument, mark, pool, position

ADL, NORMAL = AdlState.ADL, AdlState.NORMAL


def desk_with_thresholds(start: int, stop: int) -> Desk:
    desk = Desk()
    desk.at(instrument(), instrument(2), pool(adl_start_value=start, adl_stop_value=stop))
    return desk


@pytest.mark.parametrize(
    ("cause", "contra"),
    [
        (FlowCause.DEPOSIT, LedgerAccount.CAPITAL),
        (FlowCause.LIQUIDATION_FEE, LedgerAccount.FEES),
        (FlowCause.FUNDING, LedgerAccount.FEES),
        (FlowCause.UNWIND, LedgerAccount.TAKEOVER_RESULT),
        (FlowCause.COVER, LedgerAccount.COVERS),
        (FlowCause.SOCIALISED, LedgerAccount.COVERS),
        (FlowCause.OTHER, LedgerAccount.OTHER),
    ],
)
def test_every_cause_has_its_account_and_the_sign_of_cash_its_side(cause: FlowCause, contra: LedgerAccount) -> None:
    desk = desk_with_thresholds(-100, 10**9)
    desk.at(desk.opening(50))
    desk.at(desk.flow(cause, cash=7))
    desk.at(desk.flow(cause, cash=-9))
    entries = desk.all("fund-ledger", "entry", "debit", "credit", "amount", "wallet_after")
    assert entries == [
        (1, LedgerAccount.CASH, LedgerAccount.CAPITAL, 50, 50),
        (2, LedgerAccount.CASH, contra, 7, 57),
        (3, contra, LedgerAccount.CASH, 9, 48),
    ]


def test_a_flow_without_cash_has_no_entry() -> None:
    desk = desk_with_thresholds(-100, 10**9)
    desk.at(desk.opening(50))
    desk.at(desk.flow(FlowCause.TRADE, lots=2, quote=90))
    assert len(desk.all("fund-ledger")) == 1


def test_a_missing_flow_is_alarmed_once() -> None:
    desk = desk_with_thresholds(-100, 10**9)
    desk.at(desk.opening(50))
    desk.flow(FlowCause.DEPOSIT, cash=5)  # never told
    desk.at(desk.flow(FlowCause.DEPOSIT, cash=1))
    desk.at(desk.flow(FlowCause.DEPOSIT, cash=1))
    assert desk.alarms == [("fund_ledger_differs", {"pool": 1, "ledger": 51, "wallet": 56})]


def test_inventory_is_valued_at_mark_and_at_cost_before_the_first_mark() -> None:
    desk = desk_with_thresholds(-1_000, 10**9)
    desk.at(desk.opening(50), desk.flow(FlowCause.TRADE, lots=2, quote=90))
    assert desk.machine.fund.books.value(1) == 50
    desk.at(mark(40))
    assert desk.machine.fund.books.value(1) == 50 + 2 * 40 - 90


def test_thresholds_move_all_instruments_of_the_pool_and_nothing_moves_between_them() -> None:
    desk = desk_with_thresholds(10, 20)
    desk.at(desk.opening(15))
    assert desk.all("pool-states") == []
    desk.at(desk.flow(FlowCause.FUNDING, cash=-5))
    rows = desk.all("pool-states", "instrument", "state", "value", "threshold")
    assert rows == [(1, ADL, 10, 10), (2, ADL, 10, 10)]
    desk.at(desk.flow(FlowCause.FUNDING, cash=9))  # 19: inside the band
    assert len(desk.all("pool-states")) == 2
    desk.at(desk.flow(FlowCause.FUNDING, cash=1))
    assert desk.all("pool-states", "instrument", "state", "value", "threshold")[2:] == [(1, NORMAL, 20, 20), (2, NORMAL, 20, 20)]


def test_no_threshold_is_looked_at_before_the_opening_balance() -> None:
    desk = desk_with_thresholds(10, 20)
    desk.at(mark(88))
    desk.at(desk.flow(FlowCause.DEPOSIT, cash=1))
    assert desk.all("pool-states") == []


def test_adl_after_a_refusal_is_left_only_when_the_fund_could_bear_what_it_refused() -> None:
    desk = desk_with_thresholds(-10, 4)
    desk.at(desk.opening(5))
    desk.at(mark(88))
    desk.at(position(11, 10, 1_000, ticks=88))  # 12 a lot: not even one fits, and 5 is left
    assert desk.all("pool-states", "state") == [ADL]
    desk.at(mark(50, 2))
    assert desk.all("pool-states", "state", "instrument") == [(ADL, 1)]  # 5 is above the stop threshold, and below 120
    desk.at(desk.flow(FlowCause.DEPOSIT, cash=115))
    assert desk.all("pool-states", "state", "instrument") == [(ADL, 1), (NORMAL, 1)]


def test_new_thresholds_are_looked_at_when_they_arrive() -> None:
    desk = desk_with_thresholds(10, 20)
    desk.at(desk.opening(15))
    desk.at(pool(version=2, adl_start_value=15, adl_stop_value=30))
    assert desk.all("pool-states", "state", "threshold") == [(ADL, 15), (ADL, 15)]


def test_marks_that_are_frozen_or_do_not_grow_change_nothing() -> None:
    desk = desk_with_thresholds(-1_000, 10**9)
    desk.at(desk.opening(50), desk.flow(FlowCause.TRADE, lots=2, quote=90))
    desk.at(mark(40, sequence=7))
    desk.at(mark(60, sequence=8, grade=Grade.FROZEN))
    desk.at(mark(70, sequence=7))
    assert desk.machine.fund.books.value(1) == 50 + 2 * 40 - 90
    assert desk.machine.clock_us == desk.time_us


def test_marks_of_unknown_instruments_are_refused_and_requests_wait_for_their_parameters() -> None:
    desk = desk_with_thresholds(-100, 10**9)
    outs = [desk.at(mark(40, 9)), desk.at(position(11, 1, 50, number=9, ticks=50)), desk.at(position(11, 1, 50, ticks=50, pool=2))]
    assert [(len(out.refusals), out.rows) for out in outs] == [(1, {}), (0, {}), (0, {})]
