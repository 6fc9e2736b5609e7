"""Reasons as people read them: what a machine has recorded in words, and the figures of the same row by symbol and in the asset's decimals.

Machines know instruments by id and money in settlement units, so their words name neither; the figures stand in fields beside them.
"""

from streams.domain.batch import Row
from streams.notify.names import Names


def given_and_gained(names: Names, execution: Row) -> tuple[int, int]:
    """What the deleveraged account gave up and what it gained against the mark: one of the two is 0; settlement units.

    It paid the negative of the liquidated account's quote for lots that are worth `lots` x mark, and sold where it was long.
    """
    value = execution["lots"] * names.lot_value(execution["instrument"], execution["mark_ticks"])
    lost = -execution["quote"] - (-value if execution["position_lots"] > 0 else value)
    return max(0, lost), max(0, -lost)


def of_execution(names: Names, execution: Row) -> str:
    """What a deleveraged account is told: the recorded reason, what it cost, and where its score came from."""
    unit = names.unit_of(execution["instrument"])
    gave_up, gained = given_and_gained(names, execution)
    cost = f"you gave up {unit.text(gave_up)}" if gave_up else f"you gained {unit.text(gained)}" if gained else "you neither gave up nor gained"
    value = execution["position_lots"] * names.lot_value(execution["instrument"], execution["mark_ticks"])
    inputs = {
        "profit": value - execution["cost"], "cost": execution["cost"], "value": value, "wallet": execution["group_wallet"],
        "equity": execution["group_equity"], "maintenance": execution["group_maintenance"],
        "of which this position": execution["position_maintenance"],
    }  # fmt: skip
    told = ", ".join(f"{name} {unit.text(amount)}" for name, amount in inputs.items())
    return (
        f"{names.symbol(execution['instrument'])}: {execution['reason']} Against the mark {cost}. "
        f"Your score came from: {told}, at mark {execution['mark_ticks']:,}."
    )


def of_pool_state(names: Names, change: Row) -> str:
    """Why an instrument entered or left ADL, with the threshold that decided where one did; empty where nothing was recorded."""
    threshold = "" if change["threshold"] is None else f" of {names.unit_of_pool(change['pool']).text(change['threshold'])}"
    return f"{change['reason']}{threshold}" if change["reason"] else ""
