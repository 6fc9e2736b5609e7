"""A thousand seeds are sound, and one seed is one run."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.simulation.campaign import count_faults, count_origins, run_options, run_seeds
from tests.simulation.options import INPUT_FAULTS, POINTS, Fault, draw
from tests.simulation.protections import PROTECTIONS
from tests.simulation.shrink import shrink

SEEDS = 1_000
ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(1_200)  # two minutes on two idle cores
def test_a_thousand_seeds_are_sound_and_every_kind_of_fault_happens_in_them() -> None:
    verdicts = list(run_seeds(0, SEEDS))
    assert [(verdict.options.seed, verdict.problems) for verdict in verdicts if verdict.problems] == []
    happened = count_faults(verdicts)
    kinds = {"lose", "delay", "refuse", "overlap", "term", "down", "torn", "flipped", "full", "truncate", "alter", *INPUT_FAULTS}
    kinds |= {"sink_down", "sink_lost", "sink_crash", *(f"{kind}@{point}" for kind in ("kill", "pause") for point in POINTS)}
    assert sorted(kinds - happened.keys()) == []
    assert count_origins(verdicts).keys() == {"genesis", "journal", "snapshot", "standby"}
    assert sum(verdict.takeovers for verdict in verdicts) > SEEDS // 2
    assert sum(verdict.rebalances for verdict in verdicts) > SEEDS // 2
    assert sum(verdict.fences for verdict in verdicts) > SEEDS // 20  # two workers believed that they have the same shard
    assert sum(verdict.instructions for verdict in verdicts) > 10 * SEEDS


def test_one_seed_is_one_run_byte_for_byte() -> None:
    for seed in (1, 11, 31, 66):
        assert run_options(draw(seed)).trace == run_options(draw(seed)).trace


def test_workers_that_share_find_each_other_and_nothing_safe_rests_on_it() -> None:
    """All is one worker's, then two share, one is stopped and believes on, one is killed, more come and go."""
    faults = (
        Fault("overlap", "accounts-0", at_ms=300),
        Fault("pause", "accounts-0", 4, "begin", for_ms=1_500),
        Fault("kill", "pools-0", 9, "sent", for_ms=5),
        Fault("overlap", "pools-0", at_ms=900),
        Fault("term", "accounts-0", at_ms=1_400),
    )
    verdict = run_options(replace(draw(5), shards=2, partitions=4, steps=20, pace_ms=80, workers=2, standbys=True, sink=False, faults=faults))
    assert verdict.problems == ()
    assert {fault.kind for fault in verdict.fired} == {fault.kind for fault in faults}
    assert verdict.rebalances >= 4
    assert verdict.fences >= 1
    with PROTECTIONS["fencing"]():
        assert run_options(verdict.options).problems != ()


def test_a_run_does_not_depend_on_the_process() -> None:
    here = run_options(draw(9))
    there = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--seeds", "1", "--first", "9"],
        cwd=ROOT,
        env={"PYTHONHASHSEED": "77", "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"trace = {here.trace}" in there.stdout
    assert there.stdout.endswith("1 seeds, 0 failed\n")


def test_a_failing_seed_says_how_to_reproduce_it_and_is_shrunk_to_the_fault_that_matters() -> None:
    calm = replace(draw(5), faults=())
    bystanders = (Fault("overlap", "accounts-0", at_ms=50), Fault("down", at_ms=90, for_ms=20))
    culprit = Fault("alter", "accounts-0", at_ms=1_000, extra=3)
    with PROTECTIONS["input-digests"]():
        failing = run_options(replace(calm, faults=(bystanders[0], culprit, bystanders[1])))
        assert failing.kind == "altered"
        least = shrink(failing, run_options)
    assert least.options.faults == (culprit,)
    assert least.kind == "altered"
