"""A simulation is worth what it finds: without any one protection of the engine it must fail within 500 seeds."""

import pytest

from tests.simulation.campaign import run_options
from tests.simulation.options import draw
from tests.simulation.protections import PROTECTIONS
from tests.simulation.run import Verdict

SEEDS = 500


def first_failure(protection: str) -> Verdict | None:
    with PROTECTIONS[protection]():
        return next((verdict for seed in range(SEEDS) if (verdict := run_options(draw(seed))).problems), None)


# What each one is there for: the checks that may notice first.
NOTICED_BY = {
    "fencing": {"chain", "owners", "slices", "outputs", "liveness", "halted", "standby"},
    "awaiting-sends": {"outputs", "chain"},
    "input-digests": {"altered"},
    "duplicate-detection": {"conservation", "book"},
    "reservation": {"promises"},
}


@pytest.mark.parametrize("protection", PROTECTIONS)
def test_the_simulation_fails_without(protection: str) -> None:
    failure = first_failure(protection)
    assert failure is not None, f"{SEEDS} seeds are sound without {protection}"
    assert failure.kind in NOTICED_BY[protection], failure.problems
