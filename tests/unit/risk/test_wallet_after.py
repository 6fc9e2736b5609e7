"""The exchange's word on a wallet counts only where the account's records up to it, and no later ones, are applied."""

from streams.domain.events import UpdateKind
from tests.support.risk_rows import Desk, instrument, pool


def opened() -> Desk:
    desk = Desk()
    desk.feed(instrument(), pool(), *desk.opening(1, 1_000))
    desk.feed(desk.fill(1, 10, 1_000))
    return desk


def test_an_update_that_arrives_before_the_fill_it_counts_in_reconciles_nothing() -> None:
    desk = opened()
    closing = desk.fill(1, -10, -1_200)  # realises 200; the exchange's wallet after the deposit is 1,250
    deposit = desk.update(1, UpdateKind.DEPOSIT, 50, wallet_after=1_250)
    out = desk.feed(deposit)
    assert (desk.wallet(1), out.alarms) == (1_050, [])
    desk.feed(closing)
    assert desk.wallet(1) == 1_250
    assert desk.machine.book.flows[1].reconciliation == 0


def test_an_update_that_arrives_after_a_later_fill_reconciles_nothing() -> None:
    desk = opened()
    deposit = desk.update(1, UpdateKind.DEPOSIT, 50, wallet_after=1_050)
    closing = desk.fill(1, -10, -1_200)
    desk.feed(closing)
    out = desk.feed(deposit)
    assert (desk.wallet(1), out.alarms) == (1_250, [])


def test_in_order_it_reconciles() -> None:
    desk = opened()
    out = desk.feed(desk.fill(1, -10, -1_200), desk.update(1, UpdateKind.DEPOSIT, 50, wallet_after=1_251))
    assert desk.wallet(1) == 1_251
    assert [name for name, _ in out.alarms] == ["wallet_reconciled"]
