"""Seeded races are sound; without any one of the rules they are not."""

import pytest

from streams.errors import ImpossibleState
from tests.simulation.races.campaign import verdicts
from tests.simulation.races.checks import problems
from tests.simulation.races.rules import RULES
from tests.simulation.races.stage import run

SEEDS = 1_000
SEEDS_WITHOUT = 150


def _found(seed: int) -> list[tuple[str, str]]:
    """What a race comes to; a machine that finds itself in an impossible state stops its shard."""
    try:
        return problems(run(seed))
    except (ImpossibleState, KeyError) as stopped:  # without a rule a machine may meet what cannot be
        return [("stopped", repr(stopped))]


@pytest.mark.timeout(1_200)
def test_races_are_sound() -> None:
    assert [(seed, found) for seed, found in verdicts(0, SEEDS) if found] == []


@pytest.mark.parametrize("rule", RULES)
def test_the_races_fail_without(rule: str) -> None:
    without, noticed_by = RULES[rule]
    with without():
        found = next((found for seed in range(SEEDS_WITHOUT) if (found := _found(seed))), None)
    assert found is not None, f"{SEEDS_WITHOUT} races are sound without {rule}"
    assert {check for check, _ in found} & noticed_by, found


def test_one_seed_is_one_race() -> None:
    first, second = run(7), run(7)
    assert first.rows == second.rows
    assert first.rows["instructions"]
