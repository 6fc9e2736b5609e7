"""How long the ranking of one instrument takes: 1 M positions in full, and their best 1,000, for both policies.

Run it with `python -m tests.bench.bench_ranking`.
"""

import platform
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np

from streams.domain.events import RankPolicy
from streams.ranking.order import Candidates, rank, rank_until

POSITIONS, TOP, REPEATS, WALLET_FLOOR = 1_000_000, 1_000, 9, 1_000_000


def candidates_of_one_instrument(count: int) -> Candidates:
    """Longs of one instrument at one mark: entries around it, leverage 2 to 50, so about half of them are winners. The seed is fixed."""
    rng = np.random.default_rng(20251010)
    lots = rng.integers(1, 1_000, count)
    value = lots * 100_000_000
    cost = lots * rng.normal(100_000_000, 8_000_000, count).astype(np.int64)
    wallet = cost // rng.integers(2, 50, count)
    maintenance = value // 200
    return Candidates(
        account=rng.permutation(count) + 1,
        position_side=np.ones(count, np.int64),
        lots=lots,
        value=value,
        cost=cost,
        group_wallet=wallet,
        group_equity=np.maximum(wallet + value - cost, maintenance),
        group_maintenance=maintenance * rng.integers(1, 4, count),
        position_maintenance=maintenance,
    )


def best_ms(run: Callable[[], object]) -> float:
    """Best of REPEATS, after one run that compiles."""
    run()
    times = []
    for _ in range(REPEATS):
        start = perf_counter()
        run()
        times.append(perf_counter() - start)
    return min(times) * 1_000


def processor() -> str:
    """The machine's own name for its processor."""
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return f"{len(names)} x {names[0]}" if names else platform.processor()


def main() -> None:
    """Print one line a measurement."""
    candidates = candidates_of_one_instrument(POSITIONS)
    one_each = np.ones(POSITIONS, np.int64)
    lines = [f"{processor()}, Python {platform.python_version()}, numpy {np.__version__}; best of {REPEATS}, scores included"]
    for policy in (RankPolicy.BITMEX, RankPolicy.BINANCE):
        in_full = best_ms(partial(rank, policy, candidates, WALLET_FLOOR))
        best_of_them = best_ms(partial(rank_until, policy, candidates, WALLET_FLOOR, one_each, TOP))
        lines += [f"rank {POSITIONS:,} positions, {policy.name}: {in_full:.1f} ms", f"their best {TOP:,}, {policy.name}: {best_of_them:.1f} ms"]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
