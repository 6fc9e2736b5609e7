"""A simulation is worth what it finds: each planted bug is found, by a check that is there for it, in seeds that sound code passes."""

from functools import cache

import pytest

from tests.simulation.campaign import run_options
from tests.simulation.options import draw
from tests.simulation.planted import PLANTED

SEEDS = 500


@cache
def problems_of_sound_code(seed: int) -> tuple[str, ...]:
    return run_options(draw(seed)).problems


@pytest.mark.parametrize("bug", PLANTED)
def test_the_simulation_finds(bug: str) -> None:
    planted = PLANTED[bug]
    for seed in planted.seeds:
        assert seed < SEEDS
        assert problems_of_sound_code(seed) == ()
        with planted.plant():
            verdict = run_options(draw(seed))
        if verdict.problems:
            break
    assert verdict.kind in planted.found_by, verdict.problems
