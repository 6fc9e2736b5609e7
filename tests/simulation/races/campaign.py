"""Many races on all cores; by hand: `python -m tests.simulation.races.campaign COUNT [FIRST]`."""

import multiprocessing
import os
import sys
from collections.abc import Iterator

from tests.simulation.races.checks import problems
from tests.simulation.races.stage import run

Found = list[tuple[str, str]]


def verdict(seed: int) -> tuple[int, Found]:
    """What one race comes to."""
    return seed, problems(run(seed))


def verdicts(first: int, count: int) -> Iterator[tuple[int, Found]]:
    """Seeds from `first` on, in order."""
    with multiprocessing.get_context("spawn").Pool(os.cpu_count() or 1) as pool:
        yield from pool.imap(verdict, range(first, first + count), chunksize=4)


def main() -> None:
    """Say each race that is not sound, and how many there were."""
    count, first = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    failed = 0
    for seed, found in verdicts(first, count):
        failed += bool(found)
        for check, what in found:
            sys.stdout.write(f"race {seed}: {check}: {what}\n")
    sys.stdout.write(f"{count} races, {failed} not sound\n")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
