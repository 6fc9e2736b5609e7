"""What happened in a run, stage by stage, two sentences each: marks, market, fund, winners, what is left. Pure: facts in, lines out."""

from collections.abc import Sequence
from datetime import UTC, datetime
from textwrap import wrap

from streams.domain.events import AdlState, FillKind, FlowCause, GroupState, LedgerAccount
from streams.domain.money import PPM
from streams.notify.names import counted
from streams.venue.facts import Facts, Row, percent

WIDTH = 110


def stages(facts: Facts) -> list[str]:
    """The stages that the run went through; nothing where nobody fell below maintenance."""
    fallen = [row for row in facts.states if row["state"] in (GroupState.LIQUIDATABLE, GroupState.BANKRUPT)]
    if not fallen:
        return []
    told = ["What happened"]
    for name, sentences in (
        ("The marks", _marks(fallen)),
        ("The market", _market(facts)),
        ("The fund", _fund(facts)),
        ("The winners", _winners(facts)),
        ("What is left", _left(facts)),
    ):
        if sentences:
            told += [f"  {name}", *(f"    {line}" for line in wrap(sentences, WIDTH))]
    return told


def _marks(fallen: Sequence[Row]) -> str:
    groups = {_group(row) for row in fallen}
    insolvent = {_group(row) for row in fallen if row["state"] == GroupState.BANKRUPT}
    first, last = min(row["event_time_us"] for row in fallen), max(row["event_time_us"] for row in fallen)
    return (
        f"Between {_clock(first)} and {_clock(last)} the marks took {counted(len(groups), 'group')} of positions below maintenance, "
        f"{len(insolvent):,} of them below zero, where closing at the mark no longer pays what is owed. From then on each is closed by somebody: "
        "the market, the fund, or those who won on the other side."
    )


def _market(facts: Facts) -> str:
    sold = _traded(facts, FillKind.LIQUIDATION)
    return (
        f"Groups that still had something were ordered out at the market, never at a price that leaves them owing, and the market took {sold}. "
        + (
            f"{counted(facts.unwanted, 'order')} found nobody within that price: the book was too thin for what had to go at once."
            if facts.unwanted
            else "No order found the book empty within that price."
        )
    )


def _fund(facts: Facts) -> str:
    taken = sum(one.fills for (kind, _), one in facts.forced.items() if kind == FillKind.TAKEOVER)
    if not taken:
        return ""
    lost = -sum(_into(row) * row["amount"] for row in facts.ledger if row["cause"] in (FlowCause.TAKEOVER, FlowCause.UNWIND))
    result = f"lost {facts.money(lost)}" if lost >= 0 else f"gained {facts.money(-lost)}"
    took = (
        f"What the market did not take the insurance fund took over at the price of bankruptcy, {_traded(facts, FillKind.TAKEOVER)} in "
        f"{counted(taken, 'piece')}, as far as the expected loss fitted what it had, and with selling them again it {result}. "
    )
    refused = next((row for row in facts.pool_states if row["state"] == AdlState.ADL), None)
    if refused is None:
        return took + "It could bear all that it was offered."
    symbol = facts.symbol(refused["instrument"])
    at = _clock(refused["event_time_us"])
    text = f"At {at} it could no longer take all that it was offered, first in {symbol}: from there on winners had to give."
    return took + text


def _winners(facts: Facts) -> str:
    if not facts.executions:
        return ""
    gave, gained = sum(w["needed_budget"] for w in facts.waves), sum(w["gained"] for w in facts.waves)
    accounts = len({row["account"] for row in facts.executions})
    largest, passed_over = max(w["largest_haircut_ppm"] for w in facts.waves), sum(w["passed_over"] for w in facts.waves)
    return (
        f"On the winning side {counted(len(facts.executions), 'position')} of {counted(accounts, 'account')} had to be closed, "
        "the first in the pool's published order first, at the bankruptcy price of those they were set against: measured at the mark they "
        f"gave up {facts.money(gave)} and gained {facts.money(gained)}. By rule nobody gives more than its equity bears: candidates "
        f"who could not bear the loss were passed over {counted(passed_over, 'time')}, and the largest loss against the mark was "
        f"{percent(largest, PPM)} of the profit on what was closed."
    )


def _left(facts: Facts) -> str:
    residual = sum(w["residual_lots"] for w in facts.waves)
    last: dict[tuple[int, int], int] = {(row["pool"], row["instrument"]): row["state"] for row in facts.pool_states}
    still = sum(state == AdlState.ADL for state in last.values())
    worth = {row["pool"]: row["value_after"] for row in facts.ledger}
    held = f"The {'fund' if len(worth) == 1 else 'funds'} ended with {facts.money(sum(worth.values()))}" if worth else "There is no fund"
    return (
        f"Lots that a wave could not place ({residual:,}, counted at each wave that asked) went back to their groups, which were judged anew at the "
        f"next mark. {held}, with adl in {counted(still, 'instrument')}; over all accounts lots and money add up to "
        f"{'zero' if not any(facts.sums.values()) else 'something else than zero, which must not be'}."
    )


def _traded(facts: Facts, kind: FillKind) -> str:
    traded = sum(one.quote for (its, _), one in facts.forced.items() if its == kind)
    return facts.money(traded) if traded else "nothing"


def _into(row: Row) -> int:
    return int(row["debit"] == LedgerAccount.CASH) - int(row["credit"] == LedgerAccount.CASH)


def _group(row: Row) -> tuple[object, ...]:
    return row["account"], row["asset"], row.get("group_instrument"), row.get("group_side")


def _clock(time_us: int) -> str:
    return f"{datetime.fromtimestamp(time_us // 1_000_000, UTC):%H:%M:%S} UTC"
