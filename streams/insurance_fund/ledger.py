"""The ledger of a fund's cash: double entry by cause, a view of what happened to the fund's account."""

from collections.abc import Mapping
from typing import Any

from streams.domain.events import FlowCause, LedgerAccount

CONTRA: Mapping[FlowCause, LedgerAccount] = {
    FlowCause.OPENING: LedgerAccount.CAPITAL,
    FlowCause.DEPOSIT: LedgerAccount.CAPITAL,
    FlowCause.WITHDRAWAL: LedgerAccount.CAPITAL,
    FlowCause.TRANSFER: LedgerAccount.CAPITAL,
    FlowCause.FEE: LedgerAccount.FEES,
    FlowCause.LIQUIDATION_FEE: LedgerAccount.FEES,
    FlowCause.FUNDING: LedgerAccount.FEES,
    FlowCause.TAKEOVER: LedgerAccount.TAKEOVER_RESULT,
    FlowCause.UNWIND: LedgerAccount.TAKEOVER_RESULT,
    FlowCause.TRADE: LedgerAccount.TAKEOVER_RESULT,
    FlowCause.LIQUIDATION: LedgerAccount.TAKEOVER_RESULT,
    FlowCause.ADL: LedgerAccount.TAKEOVER_RESULT,
    FlowCause.NETTING: LedgerAccount.TAKEOVER_RESULT,
    FlowCause.COVER: LedgerAccount.COVERS,
    FlowCause.SOCIALISED: LedgerAccount.COVERS,
}


def sides(cause: FlowCause, cash: int) -> tuple[LedgerAccount, LedgerAccount]:
    """(debit, credit): cash that comes in debits CASH, cash that goes out credits it; the cause's account stands opposite."""
    contra = CONTRA.get(cause, LedgerAccount.OTHER)
    return (LedgerAccount.CASH, contra) if cash > 0 else (contra, LedgerAccount.CASH)


def entry(flow: Mapping[str, Any], *, number: int, inventory_cost: int, value: int) -> dict[str, Any]:
    """The ledger row of a fund flow that moved cash; `number` counts the pool's entries from 1."""
    debit, credit = sides(FlowCause(flow["cause"]), flow["cash"])
    return {
        "event_time_us": flow["time_us"], "pool": flow["pool"], "asset": flow["asset"], "entry": number, "cause": flow["cause"],
        "source_id": flow["source_id"], "instruction_id": flow["instruction_id"], "debit": debit, "credit": credit, "amount": abs(flow["cash"]),
        "wallet_after": flow["wallet_after"], "inventory_cost_after": inventory_cost, "value_after": value,
    }  # fmt: skip
