"""Memory of a worker that is far behind: `python -m tests.bench.bench_memory [RECORDS ...]`, 1 M and 5 M fills unless named; its last line is JSON.

The accounts shard takes the openings first; then a process of its own loads the fills while the shard stands still, and from there on the shard
goes through all of them, the whole risk machine on. Resident memory is looked at ten times a second. The state is the same however many fills
there are, so what memory grows by is what being behind costs.
"""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
import uuid
from typing import Any

from streams.risk.machine import RiskMachine
from streams.tasks import machine_for
from streams.topics import ACCOUNT_EVENTS
from streams.wire.records import new_blocks
from tests.bench.machine import describe_machine
from tests.bench.peers import inputs
from tests.bench.peers.ours import ACCOUNTS, started, take
from tests.support.kafka import broker

FAR_BEHIND = (1_000_000, 5_000_000)
EVERY_S = 0.1
PAGE = os.sysconf("SC_PAGE_SIZE")
TENTHS = 10
Figures = dict[str, Any]


def resident_mb() -> int:
    """Of this process, now."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * PAGE >> 20


class Watch:
    """Samples (seconds, MiB) beside the work."""

    def __init__(self) -> None:
        self.samples: list[int] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            self.samples.append(resident_mb())

    def by_tenths(self) -> list[int]:
        """The most of each tenth of the time."""
        size = max(1, -(-len(self.samples) // TENTHS))
        return [max(self.samples[at : at + size]) for at in range(0, len(self.samples), size)]


async def load(address: str, deployment: str, fills: int) -> None:
    """The fills, by a process that takes its memory with it."""
    bus = inputs.bus_of(address, deployment)
    await inputs.commit_all(bus, f"{deployment}-venue", new_blocks("fills", inputs.fills(fills, ACCOUNTS)))
    await bus.close()


async def catch_up(address: str, deployment: str, fills: int) -> Figures:
    """From so far behind to the end."""
    bus = inputs.bus_of(address, deployment)
    await inputs.make_topics(bus, 1)
    await inputs.commit_all(bus, f"{deployment}-venue", inputs.openings(ACCOUNTS))
    runners = await started(bus, machine_for, deployment, 1)
    await take(runners, ACCOUNT_EVENTS, ACCOUNTS)
    subprocess.run([sys.executable, "-m", "tests.bench.bench_memory", "load", address, deployment, str(fills)], check=True)
    before, began = resident_mb(), time.perf_counter()
    with Watch() as watch:
        await take(runners, ACCOUNT_EVENTS, fills)
    took = time.perf_counter() - began
    (machine,) = [runner.task.machine for runner in runners]
    assert isinstance(machine, RiskMachine)
    positions = len(machine.book.positions)
    for runner in runners:
        await runner.stop()
    await bus.close()
    found = {"behind": fills, "seconds": round(took, 1), "before_mb": before, "peak_mb": max(watch.samples), "positions": positions}
    return {**found, "by_tenths_mb": watch.by_tenths()}


def measure(address: str, fills: int) -> Figures:
    """The figures of one distance, in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.bench_memory", "catch-up", address, f"memory-{uuid.uuid4().hex[:8]}", str(fills)]
    figures: Figures = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])
    return figures


def main() -> None:
    """Print the figures of every distance."""
    arguments = sys.argv[1:]
    if arguments and not arguments[0].isdecimal():
        kind, address, deployment, fills = arguments
        done = asyncio.run({"load": load, "catch-up": catch_up}[kind](address, deployment, int(fills)))
        sys.stdout.write(json.dumps(done) + "\n")
        return
    sys.stdout.write(f"{describe_machine()}; load before: {os.getloadavg()[0]:.2f}\n")
    with broker() as address:
        figures = [measure(address, fills) for fills in ([*map(int, arguments)] or FAR_BEHIND)]
    for each in figures:
        sys.stdout.write(f"{each['behind']:,} fills behind: {each['peak_mb']} MiB at most (before: {each['before_mb']}), {each['seconds']} s, ")
        sys.stdout.write(f"{each['positions']:,} positions in the end\n")
    sys.stdout.write(json.dumps({"flat_memory": figures}) + "\n")


if __name__ == "__main__":
    main()
