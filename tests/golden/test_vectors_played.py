"""Vectors of other projects' tests that are cases: each is played through the whole pipeline and the exchange's book compared with the published end.

dYdX has no fund that trades and no fees of ours: the fund may hold no inventory here, and a published fee stays with the account it was charged to.
"""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from streams.domain.events import GroupState, InstructionKind
from tests.support.cases import FUND, REST, Played, play
from tests.support.vectors import CAN_ADL, CAN_BEAR, LIQUIDATABLE, OFFSETS, ORDERS, ROOM, VECTORS

CLOSES = {InstructionKind.NET, InstructionKind.LIQUIDATE, InstructionKind.TAKEOVER, InstructionKind.ADL}
NO_INVENTORY: dict[str, Any] = {"net_notional_cap": 0}
# dYdX's offsetting is asked for by hand, whatever the state of the account: the rule in which also what the market did not take goes to winners.
UNPLACED = NO_INVENTORY | {"adl_when": "UNPLACED"}


def usd(text: str) -> Fraction:
    return Fraction(Decimal(text))


@pytest.mark.parametrize("name", LIQUIDATABLE)
def test_a_group_is_liquidated_strictly_below_maintenance_and_never_without_a_position(name: str) -> None:
    """What a flat group owes is a debt here, paid by the fund and the winners; nothing of it is closed."""
    given = VECTORS[name]["inputs"]
    case = play({"Carl": (given["quote_usd"], given["positions"])}, given["oracle"], rate_ppm=given["mmr_ppm"])
    sent = set(case.ran.rows("instructions", "kind", account=case.number("Carl")))
    assert bool(CLOSES & sent) == VECTORS[name]["expected"]["liquidatable"]


@pytest.mark.parametrize("name", CAN_BEAR)
def test_the_fund_takes_over_what_leaves_it_at_zero_or_above_and_never_refuses_a_gain(name: str) -> None:
    """One lot, long, whose group has the delta as equity: taken over at its bankruptcy quote, the fund gains or loses just that."""
    given, price = VECTORS[name]["inputs"], 50_000
    cash = Decimal(given["delta"]) / 1_000_000 - price
    case = play({"Carl": (str(cash), [("BTC", "1")])}, {"BTC": price}, lot="1", fund_usd=str(Decimal(given["balance"]) / 1_000_000))
    expected = 1 if VECTORS[name]["expected"]["valid"] else 0
    assert case.size(FUND, "BTC") == expected
    assert case.size("Carl", "BTC") == 1 - expected
    if expected:
        assert case.cash(FUND) + price == usd(str(Decimal(given["balance"] + given["delta"]) / 1_000_000))


@pytest.mark.parametrize("name", CAN_ADL)
def test_only_a_group_below_zero_goes_to_winners(name: str) -> None:
    given = VECTORS[name]["inputs"]
    accounts = {"Carl": (given["quote_usd"], given["positions"]), "Dave": ("50000", [("BTC", "1")])}
    case = play(accounts, {"BTC": given["oracle"]}, rate_ppm=given["mmr_ppm"], pool=NO_INVENTORY)
    assert case.closed("Carl", "BTC") == (1 if VECTORS[name]["expected"]["at_bankruptcy"] else 0)


@pytest.mark.parametrize("name", OFFSETS)
def test_a_position_is_offset_with_those_who_can_bear_its_bankruptcy_price(name: str) -> None:
    given, expected = VECTORS[name]["inputs"], VECTORS[name]["expected"]
    case = play(given["accounts"], given["oracle"], rate_ppm=given["mmr_ppm"], pool=UNPLACED)
    others = [other for other, (_, held) in given["accounts"].items() if other != "Carl" and any(symbol == "BTC" for symbol, _ in held)]
    closed = {other: case.closed(other, "BTC") for other in others if case.closed(other, "BTC")}
    assert closed == {other: usd(size) for other, size in expected["fills"]}
    assert case.closed("Carl", "BTC") == sum(closed.values())
    if name == "dydx-pair-both-distressed":
        assert_shared(case, expected["usd"])
    else:
        assert {other: case.cash(other) for other in expected.get("usd", ())} == {other: usd(x) for other, x in expected.get("usd", {}).items()}


def test_a_solvent_counterparty_gives_what_it_can_bear_and_the_next_one_the_rest() -> None:
    """Another rule: dYdX skips who cannot bear all of it. Here Dave0 gives what its equity of 6,000 bears at 10,000 a coin, and Dave1 the rest."""
    given = VECTORS[ROOM]["inputs"]
    case = play(given["accounts"], given["oracle"], rate_ppm=given["mmr_ppm"], pool=UNPLACED)
    assert {other: case.closed(other, "BTC") for other in ("Dave0", "Dave1")} == {"Dave0": Fraction(6, 10), "Dave1": Fraction(4, 10)}
    # -44,000 + 0.6 x 40,000 leaves 0.4 x 50,000 in coins to owe nothing; 50,000 + 0.4 x 40,000
    assert [case.cash(name) for name in ("Carl", "Dave0", "Dave1")] == [0, -20_000, 66_000]


def assert_shared(case: Played, expected: dict[str, str]) -> None:
    """Of two distressed dYdX takes one as the liquidated and closes at its price. Here both are, so only what they have together is the same."""
    assert case.cash("Carl") + case.cash("Dave") == sum(usd(x) for x in expected.values())
    assert min(case.cash("Carl"), case.cash("Dave")) >= 0


# dYdX's fund is paid 0.5 % of each liquidation fill, at most; we charge nothing, so the account keeps it.
FEES = {"dydx-liq-fully-filled": "250", "dydx-liq-partial-no-adl": "62.5", "dydx-liq-unfilled-then-adl": "0", "dydx-liq-partial-heals": "62.5"}


@pytest.mark.parametrize("name", ORDERS)
def test_the_market_goes_first_and_only_who_is_below_zero_then_goes_to_winners(name: str) -> None:
    given, expected = VECTORS[name]["inputs"], VECTORS[name]["expected"]
    accounts = {"Carl": given["Carl"], "Dave": given["Dave"]}
    case = play(accounts, {"BTC": given["oracle"]}, rate_ppm=given["mmr_ppm"], fund_usd=given["fund_usd"], book=given["book"], pool=NO_INVENTORY)
    assert case.cash("Carl") == usd(expected["Carl_usd"]) + usd(FEES[name])
    assert case.size("Carl", "BTC") == usd(expected["Carl_btc"])
    # Dave's balance after the fully filled order is that of the seller in dYdX's book, who is the market here.
    dave = usd(expected["Dave_usd"]) if "Dave_usd" in expected and not given["book"] else usd("50000")
    assert case.cash("Dave") == dave


def test_a_fund_nets_what_it_takes_over_and_its_profit_and_loss_stays_with_it() -> None:
    """Vega takes over at the mark and keeps the margin, we at the bankruptcy quote: what the fund is worth is the same."""
    vector = VECTORS["vega-network-nets-long-then-short"]
    first, second, last = vector["inputs"]["steps"]
    repeated = [first["mark"]] * 4 + [second["mark"]] * 4 + [last["mark"]] * 2
    events: list[dict[str, Any]] = [{"at": 1, "marks": {"BTC": first["entry"]}}]
    events += [{"at": n + 2, "marks": {"BTC": mark}} for n, mark in enumerate(repeated)]
    events[4]["trades"] = [{"instrument": "BTC", "size": -second["lots"], "price": second["entry"], "buyer": REST, "seller": "p2"}]
    accounts = {"p1": (str(first["deposit"] - first["entry"]), [("BTC", "1")]), "p2": (str(second["deposit"]), [])}
    case = play(accounts, {"BTC": first["entry"]}, lot="1", fund_usd=str(vector["inputs"]["fund"]), events=events)
    expected = vector["expected"]
    assert case.size(FUND, "BTC") == expected["fund_inventory"]
    assert case.cash(FUND) + expected["fund_inventory"] * second["mark"] == expected["fund_value_after_120"]
    assert case.cash(FUND) + expected["fund_inventory"] * last["mark"] == expected["fund_value_after_60"]


def test_the_loss_of_an_isolated_position_never_makes_the_cross_group_bankrupt() -> None:
    vector, price = VECTORS["drift-isolated-bankrupt-cross-not"], 1_000
    owed = -Decimal(vector["inputs"]["isolated_quote"]) / 1_000_000
    event = {
        "at": 2, "marks": {"BTC": price},
        "trades": [{"instrument": "BTC", "size": 1, "price": str(price + owed), "buyer": "user", "buyer_margin": 0, "seller": REST}],
    }  # fmt: skip
    events = [{"at": 1, "marks": {"BTC": price}}, event, {"at": 3, "marks": {"BTC": price}}]
    case = play({"user": (str(vector["inputs"]["cross_wallet"]), [])}, {"BTC": price}, lot="1", pool=NO_INVENTORY, events=events)
    bankrupt = case.ran.rows("account-states", "group_instrument", account=case.number("user"), state=GroupState.BANKRUPT)
    assert (1 in bankrupt, None in bankrupt) == (vector["expected"]["isolated_bankrupt"], vector["expected"]["cross_bankrupt"])
