"""The exchange's word on a wallet counts where all of the account is known."""

from streams.domain.events import UpdateKind
from tests.support.risk_rows import Desk, instrument, pool


def opened() -> Desk:
    desk = Desk()
    desk.feed(instrument(), pool(), *desk.opening(1, 1_000))
    desk.feed(desk.fill(1, 10, 1_000))
    return desk


def test_in_order_it_reconciles() -> None:
    desk = opened()
    out = desk.feed(desk.fill(1, -10, -1_200), desk.update(1, UpdateKind.DEPOSIT, 50, wallet_after=1_251))
    assert desk.wallet(1) == 1_251
    assert [name for name, _ in out.alarms] == ["wallet_reconciled"]


def test_where_a_fill_was_lost_it_reconciles_nothing() -> None:
    desk = opened()
    desk.fill(1, -10, -1_200)  # realises 200; it never arrives
    out = desk.feed(desk.update(1, UpdateKind.DEPOSIT, 50, wallet_after=1_250))
    assert desk.wallet(1) == 1_050
    assert [name for name, _ in out.alarms] == ["account_suspect", "account_events_missing"]
    assert desk.machine.book.flows[1].reconciliation == 0
