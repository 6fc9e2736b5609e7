"""A failing run made smaller: fewer faults, then fewer steps and accounts, as long as the same check still fails."""

from collections.abc import Callable
from dataclasses import replace

from tests.simulation.options import Fault, Options
from tests.simulation.run import Verdict

MOST_RUNS = 80


def shrink(failing: Verdict, run: Callable[[Options], Verdict]) -> Verdict:
    """The smallest failing run found within MOST_RUNS runs."""
    left, best = MOST_RUNS, failing

    def fails(options: Options) -> bool:
        nonlocal left, best
        if left == 0:
            return False
        left -= 1
        verdict = run(options)
        if verdict.kind != failing.kind:
            return False
        best = verdict
        return True

    _fewer_faults(failing.options, fails)
    while best.options.steps > 2 and fails(replace(best.options, steps=best.options.steps // 2)):
        pass
    while best.options.accounts > 2 and fails(replace(best.options, accounts=best.options.accounts - 2)):
        pass
    return best


def _fewer_faults(options: Options, fails: Callable[[Options], bool]) -> tuple[Fault, ...]:
    """Leave out halves, quarters, single ones."""
    kept, size = list(options.faults), len(options.faults)
    if not kept or fails(replace(options, faults=())):
        return ()
    while size > 1 or len(kept) > 1:
        size = max(1, size // 2)
        at, went = 0, False
        while at < len(kept):
            without = kept[:at] + kept[at + size :]
            if len(without) < len(kept) and fails(replace(options, faults=tuple(without))):
                kept, went = without, True
            else:
                at += size
        if size == 1 and not went:
            break
    return tuple(kept)
