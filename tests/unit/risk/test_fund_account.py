"""The account of a pool's fund as its shard keeps it: whose it is, what the pool hears of it, and whose money a payment is."""

from typing import Any

import pytest

from streams.domain.batch import Outputs
from streams.domain.events import DeadLetterReason, FlowCause, MarginMode, Role, UpdateKind
from tests.support.risk_rows import Desk, instrument, pool

FUND = 31


def flows(desk: Desk, out: Outputs) -> list[tuple[Any, ...]]:
    """(cause, asset, cash, wallet after, instrument, lots after)."""
    fields = ("cause", "asset", "cash", "wallet_after", "instrument", "lots_after")
    return [tuple(row[name] for name in fields) for row in desk.rows("fund-flows", out)]


def test_two_pools_cannot_name_one_fund_account() -> None:
    desk = Desk()
    out = desk.feed(instrument(), pool(), pool(pool=2, version=1))
    assert [(r.stream, r.reason) for r in out.refusals] == [("pools", DeadLetterReason.BAD_VALUE)]
    assert "the fund of pool 1" in out.refusals[0].detail
    assert 2 not in desk.machine.book.pools


def test_a_fund_that_was_opened_as_a_user_is_a_fund_all_the_same_and_is_never_liquidated() -> None:
    for first in (True, False):  # whether the pool is known before the account
        desk = Desk()
        opening = desk.opening(FUND, 10, (1, 10, 1_000))
        desk.feed(instrument(), *([pool(), *opening] if first else [*opening, pool()]), desk.mark(100))
        out = desk.feed(desk.mark(50))  # 10 + 500 - 1,000 < 0
        assert desk.rows("instructions", out) + desk.rows("insolvencies", out) == []
        book = desk.machine.book
        assert int(book.accounts.rows["role"][book.account_row(FUND)]) == Role.FUND


def test_a_setting_does_not_make_a_fund_a_user() -> None:
    desk = Desk()
    desk.feed(instrument(), pool(), *desk.opening(FUND, 10), desk.update(FUND, UpdateKind.SETTINGS, 0, role=Role.USER))
    book = desk.machine.book
    assert int(book.accounts.rows["role"][book.account_row(FUND)]) == Role.FUND


def test_a_pool_that_names_a_fund_known_already_hears_how_it_stands() -> None:
    desk = Desk()
    desk.feed(instrument(), *desk.opening(FUND, 70, (1, 3, 300)))
    assert flows(desk, desk.feed(pool())) == [(FlowCause.OPENING, 1, 70, 70, None, 0), (FlowCause.OPENING, 1, 0, 70, 1, 3)]


def test_a_second_snapshot_of_the_fund_tells_the_difference_and_what_it_no_longer_holds() -> None:
    desk = Desk()
    desk.feed(instrument(), instrument(2), pool(), *desk.opening(FUND, 70, (1, 3, 300)))
    out = desk.feed(*desk.opening(FUND, 50, (2, 1, 10)))
    assert flows(desk, out) == [
        (FlowCause.OPENING, 1, -20, 50, None, 0),
        (FlowCause.OPENING, 1, 0, 50, 1, 0),
        (FlowCause.OPENING, 1, 0, 50, 2, 1),
    ]


def test_a_flow_in_another_asset_says_so() -> None:
    desk = Desk()
    desk.feed(instrument(), pool(), *desk.opening(FUND, 70))
    assert flows(desk, desk.feed(desk.update(FUND, UpdateKind.DEPOSIT, 5, asset=2))) == [(FlowCause.DEPOSIT, 2, 5, 5, None, 0)]


def test_funding_of_a_cross_position_is_paid_by_the_cross_wallet_although_it_names_the_instrument() -> None:
    desk = Desk()
    desk.feed(instrument(), pool(), *desk.opening(1, 1_000, (1, 10, 1_000)))
    desk.feed(desk.update(1, UpdateKind.FUNDING, -7, instrument=1, position_side=1, margin_mode=MarginMode.CROSS))
    assert desk.wallet(1) == 993
    assert len(desk.machine.book.groups) == 1  # and no bucket was made for it


def test_funding_that_comes_after_its_cross_position_was_closed_makes_no_bucket() -> None:
    desk = Desk()
    desk.feed(instrument(), pool(), *desk.opening(1, 1_000, (1, 10, 1_000)), desk.fill(1, -10, -1_000))
    desk.feed(desk.update(1, UpdateKind.FUNDING, -7, instrument=1, position_side=1, margin_mode=MarginMode.CROSS))
    assert (desk.wallet(1), len(desk.machine.book.groups)) == (993, 1)


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        (UpdateKind.FUNDING, {"instrument": 1, "position_side": 1}, "margin_mode must go with instrument"),
        (UpdateKind.FUNDING, {"instrument": 1, "position_side": 1, "margin_mode": MarginMode.ISOLATED}, "the cross wallet carries the open position"),
        (UpdateKind.FEE, {"margin_mode": MarginMode.ISOLATED}, "needs the instrument of the bucket"),
        (UpdateKind.ISOLATED_MARGIN, {"instrument": 1, "position_side": 1, "margin_mode": MarginMode.CROSS}, "needs margin_mode ISOLATED"),
    ],
)
def test_an_update_that_does_not_say_whose_money_it_is_moves_nothing(kind: UpdateKind, fields: dict[str, int], words: str) -> None:
    desk = Desk()
    desk.feed(instrument(), pool(), *desk.opening(1, 1_000, (1, 10, 1_000)))
    out = desk.feed(desk.update(1, kind, -7, **fields))
    assert [(r.reason, words in r.detail) for r in out.refusals] == [(DeadLetterReason.BAD_VALUE, True)]
    assert desk.wallet(1) == 1_000


def test_funding_of_an_isolated_position_is_paid_by_its_bucket() -> None:
    desk = Desk()
    desk.feed(instrument(), pool(), *desk.opening(1, 1_000, (1, 10, 1_000), isolated=True))
    desk.feed(desk.update(1, UpdateKind.FUNDING, -7, instrument=1, position_side=1, margin_mode=MarginMode.ISOLATED))
    assert desk.wallet(1, 1, 1) == 993


def test_the_fund_account_of_a_pool_never_changes() -> None:
    desk = Desk()
    desk.feed(instrument(), *desk.opening(FUND, 70), *desk.opening(32, 5), pool())
    out = desk.feed(pool(version=2, fund_account=32))
    assert [(r.reason, r.account) for r in out.refusals] == [(DeadLetterReason.BAD_VALUE, None)]
    assert (flows(desk, out), desk.machine.book.pools[1].fund_account) == ([], FUND)


def test_an_older_version_of_a_pool_that_comes_again_founds_nothing_and_is_refused_by_nobody() -> None:
    desk = Desk()
    desk.feed(instrument(), *desk.opening(FUND, 70), pool(), pool(version=2, adl_stop_value=7))
    out = desk.feed(pool())
    assert (flows(desk, out), out.refusals) == ([], [])
    assert desk.machine.book.pools[1].version == 2


@pytest.mark.parametrize("first", ["fill", "funding", "margin"])
def test_a_fund_that_is_first_heard_of_in_an_isolated_bucket_has_an_empty_wallet(first: str) -> None:
    isolated = {"position_side": 1, "margin_mode": MarginMode.ISOLATED}
    desk = Desk(seqs={FUND: 0})  # no SNAPSHOT opens it
    record = {
        "fill": lambda: desk.fill(FUND, 3, 300, **isolated),
        "funding": lambda: desk.update(FUND, UpdateKind.FUNDING, 7, instrument=1, **isolated),
        "margin": lambda: desk.update(FUND, UpdateKind.ISOLATED_MARGIN, 7, instrument=1, **isolated),
    }[first]()
    out = desk.feed(instrument(), pool(), record)
    expected = {
        "fill": (FlowCause.TRADE, 1, 0, 0, 1, 3),
        "funding": (FlowCause.FUNDING, 1, 7, 0, None, 0),
        "margin": (FlowCause.OTHER, 1, 7, -7, None, 0),
    }
    assert flows(desk, out) == [expected[first]]


def test_a_fill_that_moves_more_margin_than_any_wallet_may_owe_is_refused() -> None:
    desk = Desk()
    desk.feed(instrument(), pool(), *desk.opening(1, -(2**60) + 5))
    moves = {"margin_mode": MarginMode.ISOLATED, "margin_moved": 6}
    out = desk.feed(desk.fill(1, 1, 1, **moves))  # -(2^60) + 5 - 6 is below the bound of a wallet
    assert [(refusal.reason, refusal.detail) for refusal in out.refusals] == [
        (DeadLetterReason.OUT_OF_BOUNDS, "wallet after the fill is out of bounds")
    ]
    assert (desk.wallet(1), desk.wallet(1, 1, 1)) == (-(2**60) + 5, 0)
    assert desk.feed(desk.fill(1, 1, 1, **{**moves, "margin_moved": 5})).refusals == []
    assert (desk.wallet(1), desk.wallet(1, 1, 1)) == (-(2**60), 5)
