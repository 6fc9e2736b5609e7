"""`make bench`: every figure of this project that one process can measure, with its conditions, one after the other."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench import bench_engine, bench_mark, bench_memory, bench_ranking


def demo() -> str:
    """The default demo as a process: wall time, its own account of it, peak memory."""
    with tempfile.TemporaryDirectory() as directory:
        began = time.perf_counter()
        command = [str(Path(sys.executable).parent / "backstop"), "demo", "--dir", f"{directory}/run", "--json"]
        output = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
        took = time.perf_counter() - began
    said = json.loads(output)
    peak_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    return (
        f"demo {said['scenario']}, {said['accounts']:,} accounts, {said['shards']} shards: {said['events_in']:,} events in, {said['steps']:,} steps; "
        f"run {said['seconds']:.1f} s, replay {said['replay_seconds']:.1f} s, whole command {took:.1f} s, peak memory {peak_mib} MiB"
    )


def main() -> None:
    """Print everything."""
    sys.stdout.write(f"load before: {os.getloadavg()[0]:.2f}\n")
    sys.stdout.write(demo() + "\n")
    for part in (bench_mark, bench_ranking, bench_engine, bench_memory):
        sys.stdout.flush()
        part.main()


if __name__ == "__main__":
    main()
