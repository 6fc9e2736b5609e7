"""What must hold of every race, by the judge and by arithmetic; each check says in one line what it found."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from streams.domain.events import AdlWhen, GroupState, InsolvencyKind, InstructionKind, Outcome
from tests.simulation.races.judge import Judge
from tests.simulation.races.stage import FIRST, STEP_US, Race

RESOLVING = (InstructionKind.NET, InstructionKind.LIQUIDATE, InstructionKind.TAKEOVER, InstructionKind.ADL)
UNSEEN_MARKS = 8  # marks of its instruments for which a group may be below maintenance before somebody must be at it
ORDERS_PER_MARK = 3
REFUSED = (Outcome.REJECTED, Outcome.EXPIRED)


def _moments(race: Race, judge: Judge, row: dict[str, Any]) -> list[tuple[int, dict[int, int] | None]]:
    """(time, marks) at which what an instruction rests on may have stood: those of its wave from the probe on, or from the request on."""
    found = [(d, p) for d in race.rows["adl-decisions"] for p in d["placements"] if p["instruction_id"] == row["instruction_id"]]
    if not found:
        return [(judge.at(row["event_time_us"]), None)]
    decision, placement = found[0]
    probe = next((p for p in race.rows["adl-probes"] if p["wave_id"] == decision["wave_id"]), None)
    if probe is not None:
        vector = {m["instrument"]: m["mark_ticks"] for m in probe["marks"]}
        return [(time_us, vector) for time_us in judge.between(probe["event_time_us"], row["event_time_us"])]
    named = placement["account"], decision["instrument"], placement["episode"], placement["revision"]
    told = [r for r in race.rows["insolvencies"] if (r["account"], r["instrument"], r["episode"], r["revision"]) == named]
    asked = [r["event_time_us"] for r in told if r["event_time_us"] <= row["event_time_us"]]
    return [(time_us, None) for time_us in judge.between(asked[-1], row["event_time_us"])]


def healthy_left_alone(race: Race, judge: Judge) -> Iterator[str]:
    """(a), (d): no instruction against a group that was at its maintenance or above at every moment it can rest on."""
    for row in race.rows["instructions"]:
        if row["kind"] in RESOLVING and row["account"] >= FIRST:
            group = judge.group_of((row["account"], row["instrument"], row["position_side"]))
            moments = _moments(race, judge, row)
            if not any(judge.is_below(group, *moment) for moment in moments):
                kind, worth = InstructionKind(row["kind"]).name, judge.worth(group, *moments[-1])
                yield f"{kind} {row['instruction_id']} of {row['event_time_us']} is against group {group}, which is healthy: {worth}"


def _answered(race: Race, row: dict[str, Any]) -> int | None:
    """When the pool answered a request."""
    named = row["account"], row["episode"], row["revision"]
    for decision in race.rows["adl-decisions"]:
        if decision["event_time_us"] >= row["event_time_us"] and any(
            (p["account"], p["episode"], p["revision"]) == named for p in decision["placements"]
        ):
            return int(decision["event_time_us"])
    return None


def _attention(race: Race) -> dict[int, list[tuple[int, int]]]:
    """Times during which somebody is at an account: an open instruction, a request to the pool, SUSPECT."""
    end = 2**62
    found: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for row in race.rows["instructions"]:
        over = race.exchange.outcomes.get((row["instruction_id"], row["account"]), (end, 0))[0]
        found[row["account"]].append((row["event_time_us"], over))
    for row in race.rows["insolvencies"]:
        if row["kind"] == InsolvencyKind.POSITION and row["lots"]:
            found[row["account"]].append((row["event_time_us"], _answered(race, row) or end))
    suspect: dict[int, int] = {}
    for row in race.rows["account-states"]:
        if row["state"] == GroupState.SUSPECT:
            suspect.setdefault(row["account"], row["event_time_us"])
        elif row["account"] in suspect:
            found[row["account"]].append((suspect.pop(row["account"]), row["event_time_us"]))
    for account, since in suspect.items():
        found[account].append((since, end))
    return found


def nobody_vanishes(race: Race, judge: Judge) -> Iterator[str]:
    """(b): who is below maintenance mark after mark has an order, a wave or SUSPECT to its name."""
    attention = _attention(race)
    unseen: dict[Any, int] = {}
    marks: dict[int, int] = {}
    since_us = 0 if race.even else race.exchange.calm_us + STEP_US  # until then readers may be far behind each other
    for time_us in (t for t in judge.times if t > since_us):
        now = judge.books[time_us][2]
        is_mark = now != marks or time_us % STEP_US == 0
        marks = now
        below = {group for group in judge.groups(time_us) if group[0] >= FIRST and judge.is_below(group, time_us)}
        for group in list(unseen):
            if group not in below:
                del unseen[group]
        for group in below:
            seen = any(since <= time_us <= until + STEP_US for since, until in attention[group[0]])
            unseen[group] = 0 if seen else unseen.get(group, 0) + is_mark
            if unseen[group] == UNSEEN_MARKS:
                worth = judge.worth(group, time_us)
                yield f"group {group} has been below maintenance for {UNSEEN_MARKS} marks at {time_us} and nobody is at it: {worth}"


def nobody_solvent_is_ruined(race: Race, judge: Judge) -> Iterator[str]:
    """(c): who was deleveraged and at zero or more at the wave's marks is so after the fill, at these marks.

    Not where its owner lost or took away the room itself, after it had been asked: the exchange executes its own customers' orders.
    """
    vectors = {p["wave_id"]: {m["instrument"]: m["mark_ticks"] for m in p["marks"]} for p in race.rows["adl-probes"]}
    asked = {p["wave_id"]: p["event_time_us"] for p in race.rows["adl-probes"]}
    own = [*((t, a) for t, a, _ in race.exchange.own_trades), *race.exchange.withdrawals]
    for row in race.rows["adl-executions"]:
        vector = vectors.get(row["wave_id"])
        group = judge.group_of((row["account"], row["instrument"], row["position_side"]))
        filled = race.exchange.outcomes[row["instruction_id"], row["account"]][0]
        before = judge.at(filled - 1)
        if vector is None or not judge.held(group, before).keys() <= vector.keys():
            continue
        if any(account == row["account"] and asked[row["wave_id"]] < time_us <= filled for time_us, account in own):
            continue
        was, _ = judge.worth(group, before, vector)
        is_now, _ = judge.worth(group, judge.at(filled), vector)
        if is_now < 0 <= was and row["group_equity"] >= 0 and is_now < was:
            yield f"execution {row['instruction_id']} takes group {group} from {was} to {is_now} at the marks of wave {row['wave_id']}"


def gains_stay_with_the_fund(race: Race, judge: Judge) -> Iterator[str]:
    """Under INSOLVENT nobody is paid for being deleveraged: a winner never gets lots of a group that was solvent at every moment of the wave."""
    if race.exchange.scenario.pools[0].adl_when != AdlWhen.INSOLVENT:
        return
    for row in race.rows["instructions"]:
        if row["kind"] != InstructionKind.ADL:
            continue
        moments = _moments(race, judge, row)
        group = judge.group_of((row["account"], row["instrument"], row["position_side"]))
        counter = judge.group_of((row["counter_account"], row["instrument"], row["counter_position_side"]))
        if any(judge.is_below(counter, *moment) for moment in moments):
            continue  # distressed with distressed
        if all(judge.worth(group, *moment)[0] >= 0 for moment in moments):
            yield f"ADL {row['instruction_id']} gives lots of group {group}, which is solvent: {judge.worth(group, *moments[-1])}"


def orders_are_bounded(race: Race, judge: Judge) -> Iterator[str]:
    """(e): between two marks of an instrument a position is ordered at most so often."""
    times = {number: sorted(r["event_time_us"] for r in race.rows["marks"] if r["instrument"] == number) for number in (1, 2)}
    counts: dict[Any, int] = defaultdict(int)
    for row in race.rows["instructions"]:
        if row["kind"] == InstructionKind.LIQUIDATE:
            passed = sum(time_us <= row["event_time_us"] for time_us in times[row["instrument"]])
            key = (row["account"], row["instrument"], row["kind"], passed)
            counts[key] += 1
            if counts[key] > ORDERS_PER_MARK:
                yield f"account {row['account']} has more than {ORDERS_PER_MARK} orders between two marks of instrument {row['instrument']}"


def refusals_never_escalate(race: Race, judge: Judge) -> Iterator[str]:
    """Truth of outcomes: a solvent position is handed to the pool only after the market was asked for it and did not want it."""
    asked = defaultdict(list)
    for row in race.rows["instructions"]:
        if row["kind"] == InstructionKind.LIQUIDATE:
            when, outcome = race.exchange.outcomes.get((row["instruction_id"], row["account"]), (2**62, 0))
            asked[row["account"], row["instrument"]].append((when, outcome))
    first = set()
    for row in race.rows["insolvencies"]:
        key = (row["account"], row["instrument"], row["episode"], row["group_instrument"])
        if row["kind"] != InsolvencyKind.POSITION or not row["lots"] or key in first:
            continue
        first.add(key)
        if row["equity"] >= 0 and not any(
            when <= row["event_time_us"] and outcome not in REFUSED for when, outcome in asked[row["account"], row["instrument"]]
        ):
            yield f"position {key} was handed over solvent at {row['event_time_us']} though the market was never asked"


def lots_are_instructed_once(race: Race, judge: Judge) -> Iterator[str]:
    """(g): instructions out at one moment never ask for more lots of a position than it has, unless its owner traded meanwhile."""
    open_until: dict[Any, list[tuple[int, int, int]]] = defaultdict(list)
    for row in race.rows["instructions"]:
        if row["kind"] not in (InstructionKind.LIQUIDATE, InstructionKind.TAKEOVER, InstructionKind.ADL):
            continue
        parties = [(row["account"], row["position_side"])]
        if row["kind"] == InstructionKind.ADL:
            parties.append((row["counter_account"], row["counter_position_side"]))
        for account, side in parties:
            key = (account, row["instrument"], side)
            over = race.exchange.outcomes.get((row["instruction_id"], account), (2**62, 0))[0]
            since = row["event_time_us"]
            out = [entry for entry in open_until[key] if entry[1] > since]
            open_until[key] = [*out, (since, over, abs(row["lots"]))]
            begin = min(entry[0] for entry in open_until[key])
            if any(a == account and n == row["instrument"] and begin - 50 * STEP_US <= t for t, a, n in race.exchange.own_trades if t <= over):
                continue
            has = abs(judge.books[judge.at(since)][1].get(key, 0))
            total = sum(lots for *_, lots in open_until[key])
            if total > has:
                yield f"{total} lots of position {key} are instructed at {since}, it has {has}"


def books_agree(race: Race, judge: Judge) -> Iterator[str]:
    """(f): our books are the exchange's, and sum to zero."""
    yield from race.differences[:1]
    race.exchange.book.check()


CHECKS: dict[str, Callable[[Race, Judge], Iterator[str]]] = {
    "healthy": healthy_left_alone, "vanished": nobody_vanishes, "ruined": nobody_solvent_is_ruined, "gains": gains_stay_with_the_fund,
    "bounded": orders_are_bounded, "escalated": refusals_never_escalate, "twice": lots_are_instructed_once, "books": books_agree,
}  # fmt: skip


def problems(race: Race) -> list[tuple[str, str]]:
    """(check, what it found), the first of each."""
    judge = Judge(race)
    return [(name, found) for name, check in CHECKS.items() for found in [next(check(race, judge), None)] if found is not None]
