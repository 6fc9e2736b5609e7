"""`python -m tests.simulation --seeds N --first M`: runs the seeds, explains and shrinks those that fail, ends with `N seeds, F failed`."""

import argparse
import sys
import time

from tests.simulation.campaign import count_faults, count_origins, explain, run_seeds

EXPLAINED = 5  # failing seeds that are shrunk; of the others only the first line is said


def say(line: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """0 when every seed is sound."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Runs seeds of the simulation.")
    parser.add_argument("--seeds", type=int, default=100, help="how many (default: 100)")
    parser.add_argument("--first", type=int, default=0, help="the first one (default: 0)")
    chosen = parser.parse_args()
    began, verdicts = time.monotonic(), []
    failed = []
    for verdict in run_seeds(chosen.first, chosen.seeds):
        verdicts.append(verdict)
        if verdict.problems:
            failed.append(verdict)
            say(f"seed {verdict.options.seed}: {verdict.problems[0]}")
        if len(verdicts) % 500 == 0:
            say(f"{len(verdicts)} of {chosen.seeds} seeds, {len(failed)} failed, {time.monotonic() - began:.0f} s")
    for verdict in failed[:EXPLAINED]:
        explain(verdict, say)
    if chosen.seeds == 1 and verdicts and not failed:
        say("\n".join(verdicts[0].options.lines()))
        say(f"  trace = {verdicts[0].trace}")
    happened = ", ".join(f"{name} {count}" for name, count in count_faults(verdicts).items())
    origins = ", ".join(f"{count} from {origin}" for origin, count in count_origins(verdicts).items())
    say(f"{sum(v.steps for v in verdicts)} steps, {sum(v.instructions for v in verdicts)} instructions; starts: {origins}")
    say(f"faults: {happened or 'none'}")
    say(f"{sum(v.virtual_s for v in verdicts):.0f} s of virtual time in {time.monotonic() - began:.0f} s")
    say(f"{len(verdicts)} seeds, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
