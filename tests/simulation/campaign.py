"""Many seeds on all cores, and what is said of those that fail."""

import multiprocessing
import os
import traceback
from collections.abc import Callable, Iterable, Iterator

from tests.simulation.options import Fault, Options, draw
from tests.simulation.run import Verdict, run
from tests.simulation.shrink import shrink


def run_seed(seed: int) -> Verdict:
    """One seed; an exception of the simulation itself or of a checker is a failure too."""
    return run_options(draw(seed))


def run_options(options: Options) -> Verdict:
    """One set of options, never raising."""
    try:
        return run(options)
    except Exception:
        said = traceback.format_exc(limit=-6)
        return Verdict(options, (f"exception: {said}",), "", (), steps=0, origins=(), instructions=0, virtual_s=0.0)


def run_seeds(first: int, count: int) -> Iterator[Verdict]:
    """The seeds from `first` on, in order, on all cores."""
    cores = os.cpu_count() or 1
    if cores == 1 or count < 4:
        yield from map(run_seed, range(first, first + count))
        return
    # Forked before anything is compiled anew; numba's cache is on disk.
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        yield from pool.imap(run_seed, range(first, first + count), chunksize=4)


def explain(verdict: Verdict, say: Callable[[str], None]) -> None:
    """A failing seed: what is wrong, how to reproduce it, its options, and the least of it that still fails."""
    seed = verdict.options.seed
    say(f"seed {seed} FAILED")
    for problem in verdict.problems:
        say(f"  {problem}")
    say(f"  reproduce: make simulate SEEDS=1 FIRST={seed}")
    for line in verdict.options.lines():
        say(line)
    least = shrink(verdict, run_options)
    say(f"  shrunk to {len(least.options.faults)} of {len(verdict.options.faults)} faults, {least.options.steps} of {verdict.options.steps} steps:")
    for fault in least.options.faults:
        say(f"    {fault}")
    for problem in least.problems[:2]:
        say(f"    -> {problem}")


def count_faults(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """How often each kind of fault has happened."""
    counts: dict[str, int] = {}
    for fault in (fault for verdict in verdicts for fault in verdict.fired):
        counts[_name(fault)] = counts.get(_name(fault), 0) + 1
    return dict(sorted(counts.items()))


def count_origins(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """How often an owner's state came from the genesis, the journal alone, a snapshot or a standby."""
    counts: dict[str, int] = {}
    for origin, count in (pair for verdict in verdicts for pair in verdict.origins):
        counts[origin] = counts.get(origin, 0) + count
    return dict(sorted(counts.items()))


def _name(fault: Fault) -> str:
    return f"{fault.kind}@{fault.point}" if fault.point else fault.kind
