"""python -m tests.campaign MINUTES SEED [ROUND]: rounds of faults on a broker of its own until the time is over; or one round again.

Ends with `N rounds, F failed` and a non-zero code when F > 0. A failing round leaves its log in run/campaign and says how to play it again: faults
and scenario are those of the seed, only the moments at which processes meet them are not.
"""

import asyncio
import logging
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

from tests.campaign.faults import Broker
from tests.campaign.run import Verdict, draw_round, play
from tests.support.kafka import broker_launcher

KEPT = Path("run/campaign")


def say(text: str) -> None:
    """One line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def told(verdict: Verdict) -> None:
    """The line of a round."""
    say(
        f"  {'FAILED' if verdict.problems else 'sound'}: {verdict.turns} turns, {verdict.records} records, {len(verdict.fired)} faults, "
        f"{verdict.workers} worker processes ({verdict.unreachable} missed the broker), "
        f"{verdict.in_doubt} commits of the exchange in doubt, {verdict.seconds:.0f} s"
    )
    for problem in verdict.problems:
        say(f"  ! {problem}")


def recovery(verdicts: list[Verdict]) -> None:
    """Seconds from the end of a fault until what the exchange said next had been taken by all."""
    by_kind: dict[str, list[float]] = defaultdict(list)
    for verdict in verdicts:
        for kind, seconds in verdict.recovered:
            by_kind[kind].append(seconds)
    for kind, found in sorted(by_kind.items()):
        say(f"  {kind:10} {len(found):3} times, recovered within {median(found):.1f} s (median), {max(found):.1f} s (longest)")


async def campaign(minutes: float, seed: int, only: int | None) -> list[Verdict]:
    """Rounds until the time is over."""
    verdicts: list[Verdict] = []
    until = time.monotonic() + minutes * 60
    with tempfile.TemporaryDirectory() as place:
        broker = Broker(broker_launcher(), Path(place))
        await broker.up()
        try:
            number = only or 0
            while number == (only or 0) or (only is None and time.monotonic() < until):
                plan = draw_round(seed, number)
                say(str(plan))
                directory = KEPT.resolve() / f"{seed}-{number}-{int(time.time())}"
                verdicts.append(await play(plan, broker, directory, say))
                told(verdicts[-1])
                if verdicts[-1].problems:
                    say(f"  again: python -m tests.campaign {minutes:g} {seed} {number}; its log is in {directory}")
                else:
                    shutil.rmtree(directory, ignore_errors=True)
                number += 1
        finally:
            await broker.down()
    return verdicts


def main() -> int:
    """The command line."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it says every 20 ms that the broker is away
    minutes, seed = float(sys.argv[1]), int(sys.argv[2])
    verdicts = asyncio.run(campaign(minutes, seed, int(sys.argv[3]) if len(sys.argv) > 3 else None))
    recovery(verdicts)
    failed = sum(1 for verdict in verdicts if verdict.problems)
    say(f"{len(verdicts)} rounds, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
