"""Rows of the shards' streams that no shard writes: refused with a reason, and nothing of them is kept."""

from typing import Any

import pytest

from streams.domain.events import DeadLetterReason, FlowCause, InsolvencyKind
from streams.domain.money import MAX_LOTS, MAX_VALUE, MAX_WALLET
from tests.support.batches import Record
from tests.support.pools_desk import Desk, candidate, insolvency, instrument, mark, pool, position


def totals(**more: Any) -> Record:
    sums = dict.fromkeys(("wallets", "open_cost", "external", "reconciliation"), "0")
    counts = dict.fromkeys(("groups_warning", "groups_liquidatable", "groups_bankrupt", "suspects"), 0)
    return "shard-totals", {"shard": 0, "asset": 1, "event_second": 1, "consumed": [], "instruments": [], **sums, **counts, **more}


def flow(desk: Desk, **more: Any) -> Record:
    stream, row = desk.flow(FlowCause.DEPOSIT, cash=1)
    return stream, {**row, **more}


def result(**more: Any) -> Record:
    row = {"instruction_id": 1, "kind": 1, "account": 1, "outcome": 1, "executed_lots": 0, "executed_quote": 0, "executed_amount": 0}
    return "pool-results", {**row, "account_seq": 1, "reason": "", **more}


def answer(**more: Any) -> Record:
    desk_row = candidate(1, 1, 1, 1, 1)
    row = {"kind": 1, "wave_id": 1, "pool": 1, "shard": 0, "chunk": 0, "chunks": 1, "candidates_total": 1, "lots_total": 1}
    return "adl-candidates", {**row, "rows": [{**desk_row, **more}], "positions": []}


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (lambda desk: flow(desk, wallet_after=MAX_WALLET + 1), "wallet_after"),
        (lambda desk: flow(desk, lots_after=-MAX_LOTS - 1), "lots_after"),
        (lambda desk: flow(desk, instrument=1, lots_after=16 * MAX_VALUE // 10**6 + 1), "more lots than"),  # at 10^6 ticks, the highest
        (lambda _: insolvency(InsolvencyKind.DEFICIT, 7, deficit=2**61 + 1), "deficit"),
        (lambda _: position(7, MAX_LOTS + 1, 1, ticks=1, equity=0, maintenance=0), "lots"),
        (lambda _: result(executed_amount=2**62), "executed_amount"),
        (lambda _: answer(cost=-(2**60)), "cost"),
        (lambda _: totals(wallets="1e3"), "wallets is not a whole number: '1e3'"),
        (lambda _: totals(reconciliation="٣"), "reconciliation is not"),
        (lambda _: totals(external="9" * 61), "external is not"),
        (lambda _: totals(shard=1), "shard 1 of 1"),
        (lambda _: totals(shard=-1), "shard -1 of 1"),
    ],
)
def test_what_no_shard_says_is_a_dead_letter_and_changes_nothing(record: Any, words: str) -> None:
    desk = Desk()
    desk.at(instrument(), pool(), mark(100))
    told = record(desk)
    before = {name: table for name, table in desk.machine.snapshot().items() if name != "scalars"}
    out = desk.at(told)
    assert [(refusal.stream, words in refusal.detail) for refusal in out.refusals] == [(told[0], True)]
    assert out.refusals[0].reason in (DeadLetterReason.OUT_OF_BOUNDS, DeadLetterReason.BAD_VALUE)
    assert {name: table for name, table in desk.machine.snapshot().items() if name != "scalars"} == before
