"""Fills: what they do to positions and wallets, which are refused, and that the compiled path equals the exact one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.events import DeadLetterReason, FillKind, GroupState, MarginMode, PositionSide, UpdateKind
from streams.domain.positions import fill_effect
from streams.risk.machine import RiskMachine
from tests.support.risk_rows import Desk, batch_from, instrument, pool


def opened(*wallets: int) -> Desk:
    desk = Desk()
    desk.feed(instrument(), pool(), *[r for n, w in enumerate(wallets, 1) for r in desk.opening(n, w)])
    return desk


def test_an_opening_fill_adds_lots_and_cost_and_leaves_the_wallet() -> None:
    desk = opened(1_000)
    desk.feed(desk.fill(1, 10, 1_000))
    assert desk.position(1) == (10, 1_000)
    assert desk.wallet(1) == 1_000


def test_a_closing_fill_releases_cost_towards_plus_infinity_against_the_account() -> None:
    desk = opened(1_000)
    desk.feed(desk.fill(1, 3, 100), desk.fill(1, -1, -40))
    # released cost = ceil(100 x 1 / 3) = 34; the wallet gets 40 - 34 = 6
    assert desk.position(1) == (2, 66)
    assert desk.wallet(1) == 1_006


def test_a_short_releases_its_cost_towards_plus_infinity_too() -> None:
    desk = opened(1_000)
    desk.feed(desk.fill(1, -3, -100), desk.fill(1, 1, 30))
    # released cost = ceil(-100 / 3) = -33; the wallet changes by -(30) - (-33) = 3
    assert desk.position(1) == (-2, -67)
    assert desk.wallet(1) == 1_003


def test_a_fill_through_zero_closes_first_then_opens_with_the_rest_of_the_quote() -> None:
    desk = opened(1_000)
    desk.feed(desk.fill(1, 2, 200), desk.fill(1, -5, -505))
    # 2 of 5 lots close at floor(-505 x 2 / 5) = -202: the wallet gets 202 - 200 = 2; 3 lots open at -505 + 202 = -303
    assert desk.position(1) == (-3, -303)
    assert desk.wallet(1) == 1_002


def test_margin_moves_with_the_fill_into_the_isolated_bucket() -> None:
    desk = opened(1_000)
    desk.feed(desk.fill(1, 10, 1_000, margin_mode=MarginMode.ISOLATED, margin_moved=100))
    assert (desk.wallet(1), desk.wallet(1, 1, PositionSide.ONE_WAY)) == (900, 100)


def test_the_margin_mode_changes_only_while_the_position_is_flat() -> None:
    desk = opened(1_000)
    out = desk.feed(desk.fill(1, 10, 1_000), desk.fill(1, 1, 100, margin_mode=MarginMode.ISOLATED))
    assert [r.reason for r in out.refusals] == [DeadLetterReason.BAD_VALUE]
    healthy = opened(1_000)
    healthy.feed(healthy.fill(1, 10, 1_000), healthy.fill(1, -10, -1_000), healthy.fill(1, 1, 100, margin_mode=MarginMode.ISOLATED, margin_moved=50))
    assert healthy.position(1) == (1, 100)
    assert healthy.wallet(1, 1, PositionSide.ONE_WAY) == 50


def test_a_fill_delivered_twice_is_applied_once() -> None:
    desk = opened(1_000)
    fill = desk.fill(1, 10, 1_000)
    desk.feed(fill, fill)
    desk.feed(fill)
    assert desk.position(1) == (10, 1_000)
    assert ("duplicates_ignored", {"stream": "fills", "count": 1}) in [a for o in desk.said for a in o.alarms]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"instrument": 7}, DeadLetterReason.UNKNOWN_INSTRUMENT),
        ({"position_side": PositionSide.UNKNOWN}, DeadLetterReason.UNKNOWN_SYMBOL),
        ({"kind": FillKind.UNKNOWN}, DeadLetterReason.UNKNOWN_SYMBOL),
        ({"lots": 0}, DeadLetterReason.OUT_OF_BOUNDS),
        ({"quote": 2**60}, DeadLetterReason.OUT_OF_BOUNDS),
        ({"lots": 10**6 + 1}, DeadLetterReason.OUT_OF_BOUNDS),
        ({"margin_moved": -(2**61), "margin_mode": MarginMode.ISOLATED}, DeadLetterReason.OUT_OF_BOUNDS),
    ],
)
def test_a_fill_that_cannot_be_applied_is_refused_and_makes_its_account_suspect(broken: dict[str, Any], reason: DeadLetterReason) -> None:
    desk = opened(1_000)
    stream, row = desk.fill(1, 10, 1_000)
    out = desk.feed((stream, {**row, **broken}))
    assert [(r.reason, r.account) for r in out.refusals] == [(reason, 1)]
    assert [r["state"] for r in desk.rows("account-states", out)] == [GroupState.SUSPECT]
    # A suspect account gets no instructions, however deep it is under water.
    desk.feed(desk.fill(1, 10, 5_000))
    assert not desk.rows("instructions", desk.feed(desk.mark(1)))


def test_a_snapshot_heals_a_suspect_account() -> None:
    desk = opened(1_000)
    desk.feed(desk.fill(1, 10, 1_000, number=7))
    out = desk.feed(*desk.opening(1, 500, (1, 10, 1_000)))
    assert [r["state"] for r in desk.rows("account-states", out)] == [GroupState.HEALTHY]
    assert desk.rows("instructions", desk.feed(desk.mark(1)))


fills = st.tuples(
    st.integers(1, 4),
    st.integers(1, 2),
    st.sampled_from([1, 1, 1, 2, 3]),
    st.sampled_from([1, 1, 1, 2]),
    st.integers(-30, 30).filter(bool),
    st.integers(-200, 200),
)


@given(st.lists(fills, min_size=1, max_size=40), st.integers(0, 3))
def test_the_compiled_path_equals_the_exact_path(trades: list[tuple[int, int, int, int, int, int]], marks: int) -> None:
    fast, exact = opened(10**6, 10**6, 10**6, 10**6), opened(10**6, 10**6, 10**6, 10**6)
    for desk in (fast, exact):
        desk.feed(instrument(2), *[desk.mark(100 + n) for n in range(marks)])
        rows = [
            desk.fill(account, lots, lots * 100 + noise, number, position_side=PositionSide(side), margin_mode=MarginMode(mode))
            for account, number, side, mode, lots, noise in trades
        ]
        if desk is fast:
            desk.feed(*rows)
        else:
            batch = batch_from(rows)
            for index in range(len(rows)):  # every row by the exact path
                desk.machine._fill(batch.rows["fills"].row(index), index, desk.said[-1])
    assert fast.machine.digest() == exact.machine.digest() or state(fast.machine) == state(exact.machine)
    assert state(fast.machine) == state(exact.machine)


def state(machine: RiskMachine) -> list[Any]:
    """Positions that are not flat, wallets, equity and maintenance of all groups, by key."""
    book = machine.book
    held = [
        (book.position_key(row), int(book.positions.rows["lots"][row]), int(book.positions.rows["cost"][row])) for row in range(len(book.positions))
    ]
    groups = [(book.group_key(g), *(int(book.groups.rows[f][g]) for f in ("wallet", "open_positions"))) for g in range(len(book.groups))]
    return [sorted(h for h in held if h[1]), sorted(g for g in groups if any(g[1:]))]


@given(st.integers(-50, 50), st.integers(-5_000, 5_000), st.integers(-50, 50).filter(bool), st.integers(-5_000, 5_000))
def test_worth_never_changes_by_a_fill_at_the_same_quote(lots: int, cost: int, change: int, quote: int) -> None:
    """cash - cost after = -cost before - quote: rounding of released cost cannot leak."""
    cash, lots_after, cost_after = fill_effect(lots, cost if lots else 0, change, quote)
    assert lots_after == lots + change
    assert cash - cost_after == -(cost if lots else 0) - quote


def test_a_deposit_is_money_from_outside_and_a_paired_transfer_is_not() -> None:
    desk = opened(1_000, 1_000)
    desk.feed(
        desk.update(1, UpdateKind.DEPOSIT, 50),
        desk.update(1, UpdateKind.TRANSFER, -30, counter_account=2),
        desk.update(2, UpdateKind.TRANSFER, 30, counter_account=1),
    )
    flow = desk.machine.book.flows[1]
    assert (desk.wallet(1), desk.wallet(2), flow.external) == (1_020, 1_030, 2_050)


def test_a_wallet_that_differs_from_the_exchanges_is_reconciled_and_alarmed() -> None:
    desk = opened(1_000)
    out = desk.feed(desk.update(1, UpdateKind.DEPOSIT, 50, wallet_after=1_049))
    assert desk.wallet(1) == 1_049
    assert desk.machine.book.flows[1].reconciliation == -1
    assert [name for name, _ in out.alarms] == ["wallet_reconciled"]
