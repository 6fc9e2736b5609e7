"""Waves over random books whose mark gaps: whoever gives stays solvent, lots and money add up, and names of accounts decide nothing but ties."""

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain.bankruptcy import bankruptcy_quotes
from streams.domain.events import AdlWhen, InstructionKind, MarginMode, PriceRule, RankPolicy, RoomFloor
from streams.pools import PoolsMachine
from tests.support.pools_desk import Desk, candidate, instrument, mark, pool, position

UNIT, RATE_PPM = 3, 50_000
BASE = 1_000  # accounts from here on are in resolution, from 2 x BASE on they can give


def required(lots: int, ticks: int) -> int:
    """Maintenance of one tier of 5 %, rounded up."""
    return -(-abs(lots) * ticks * UNIT * RATE_PPM // 1_000_000)


def book(random: Random) -> tuple[int, dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    """A gapped mark, a pool, those in resolution (lots and equity at the mark), those who can give."""
    ticks = random.randint(40, 160)
    parameters = {
        "price_rule": PriceRule(random.randint(1, 2)), "policy_id": RankPolicy(random.randint(1, 2)), "adl_when": AdlWhen(random.randint(1, 2)),
        "room_floor": RoomFloor(random.randint(1, 2)), "price_cap_ppm": random.choice([None, 0, 30_000, 400_000]),
    }  # fmt: skip
    sick = [{"lots": random.randint(1, 30) * random.choice([-1, 1]), "equity": random.randint(-900, 90)} for _ in range(random.randint(1, 6))]
    givers = []
    for _ in range(random.randint(0, 9)):
        lots = random.randint(1, 25)
        needs = required(lots, ticks)
        more = random.choice([0, random.randint(0, 60)])  # maintenance of what else the group holds
        equity = random.choice([random.randint(1, 80), random.randint(1, 3_000)])
        givers.append({
            "lots": lots, "cost": lots * random.randint(30, 170) * UNIT, "equity": equity, "position": needs, "group": needs + more,
            "mode": MarginMode(random.randint(1, 2)), "reserved": random.choice([0, 0, random.randint(0, 50)]),
        })  # fmt: skip
    return ticks, parameters, sick, givers


def run(
    ticks: int, parameters: dict[str, Any], sick: list[dict[str, Any]], givers: list[dict[str, Any]], *, restarts: bool = False,
    order: list[int] | None = None,
) -> Desk:  # fmt: skip
    """All of it in one event at the gapped mark, answered by two shards; every instruction is executed in full or in part, by its id."""
    desk = Desk(2)
    desk.at(instrument(unit=UNIT), pool(**parameters))
    desk.at(desk.opening(0), mark(ticks))
    told = []
    for n, one in enumerate(sick):
        value, needs = one["lots"] * ticks * UNIT, required(one["lots"], ticks)
        (quote,) = bankruptcy_quotes([value], one["equity"], [needs])
        told.append(position(BASE + n, one["lots"], quote, ticks=ticks, equity=one["equity"], maintenance=needs))
    desk.at(*(told if order is None else [told[n] for n in order if n < len(told)]))
    for wave in desk.all("adl-probes"):
        sign = 1 if wave["side"] == 2 else -1
        rows = [
            candidate(
                2 * BASE + n + (0 if sign > 0 else 100), sign * g["lots"], sign * g["cost"], 100, g["equity"], group_maintenance=g["group"],
                position_maintenance=g["position"],
                margin_mode=g["mode"], room_reserved=g["reserved"],
            )
            for n, g in enumerate(givers)
        ]  # fmt: skip
        rows = rows if order is None else rows[::-1]
        for shard in (0, 1):
            desk.at(desk.offers(rows[shard::2], shard=shard, wave_id=wave["wave_id"]))
            if restarts:
                tables, digest, desk.machine = desk.machine.snapshot(), desk.machine.digest(), PoolsMachine(2)
                desk.machine.restore(tables)
                assert desk.machine.digest() == digest
    for n, sent in enumerate(desk.sent(InstructionKind.ADL)):
        desk.at(*desk.answers(sent, abs(sent["lots"]) * (sent["instruction_id"] % 3) // 2 if n % 2 else None))
        if restarts:
            tables, desk.machine = desk.machine.snapshot(), PoolsMachine(2)
            desk.machine.restore(tables)
    return desk


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**9))
def test_nobody_solvent_is_made_insolvent_however_much_of_its_fills_comes(seed: int) -> None:
    ticks, parameters, sick, givers = book(Random(seed))
    desk = run(ticks, parameters, sick, givers)
    rooms = {(row["account"], row["instruction_id"]): row["room"] for decision in desk.all("adl-decisions") for row in decision["rows"]}
    sent_to: dict[int, list[dict[str, Any]]] = {}
    for sent in desk.sent(InstructionKind.ADL):
        if sent["counter_account"] >= 2 * BASE:
            sent_to.setdefault(sent["counter_account"], []).append(sent)
    for account, instructions in sent_to.items():
        giver = givers[(account - 2 * BASE) % 100]
        for part in (1, 2, 3):  # a third, two thirds, all of each instruction
            equity, held = giver["equity"] - giver["reserved"], giver["lots"]
            for sent in instructions:
                lots = abs(sent["lots"]) * part // 3
                quote = -(-sent["quote"] * lots // abs(sent["lots"]))  # signed for the one in resolution; rounded as the venue rounds
                sign = -1 if sent["lots"] > 0 else 1  # of the one in resolution
                loss = -quote - sign * lots * ticks * UNIT
                assert loss <= rooms[account, sent["instruction_id"]]
                equity, held = equity - max(0, loss), held - lots
            assert held >= 0
            floor = giver["group"] - giver["position"] + required(held, ticks) if parameters["room_floor"] == RoomFloor.MAINTENANCE else 0
            assert equity >= floor


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**9))
def test_every_lot_that_was_asked_for_is_answered_for_once(seed: int) -> None:
    ticks, parameters, sick, givers = book(Random(seed))
    desk = run(ticks, parameters, sick, givers)
    answered: dict[int, int] = {}
    for account, lots in desk.placements("account", "lots"):
        answered[account] = answered.get(account, 0) + lots
    assert answered == {BASE + n: abs(one["lots"]) for n, one in enumerate(sick)}
    instructed = [
        sum(abs(sent["lots"]) for sent in desk.all("instructions") if BASE + n in (sent["account"], sent["counter_account"]))
        for n in range(len(sick))
    ]
    held = [
        sum(lots for account, lots, key in desk.placements("account", "lots", "instruction_id") if account == BASE + n and key)
        for n in range(len(sick))
    ]
    assert instructed == held


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9))
def test_the_order_in_which_rows_come_and_restarts_in_the_midst_change_nothing(seed: int) -> None:
    random = Random(seed)
    ticks, parameters, sick, givers = book(random)
    order = random.sample(range(len(sick)), len(sick))
    plain = run(ticks, parameters, sick, givers)
    restarted = run(ticks, parameters, sick, givers, restarts=True)
    assert (restarted.said, restarted.machine.digest()) == (plain.said, plain.machine.digest())
    mixed = run(ticks, parameters, sick, givers, order=order)
    fields = ("account", "counter_account", "lots", "quote")
    assert sorted(mixed.sent(InstructionKind.ADL, *fields)) == sorted(plain.sent(InstructionKind.ADL, *fields))


@pytest.mark.parametrize("when", list(AdlWhen)[1:])
def test_without_anybody_who_can_give_all_of_it_goes_back(when: AdlWhen) -> None:
    parameters = {"adl_when": when, "room_floor": RoomFloor.ZERO}
    desk = run(100, parameters, [{"lots": 5, "equity": -50}], [])
    assert desk.placements("account", "lots", "instruction_id") == [(BASE, 5, None)]
