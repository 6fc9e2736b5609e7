"""Fills through the whole engine, exactly once, on the memory bus and on real Kafka: events a second, with an instrument and its mark.

`python -m tests.bench.bench_engine [fills]`. One accounts shard, eight account partitions, the risk machine with everything on; outputs are
what the machine says (states, totals): there is no output per fill. Input is written before the clock starts.
"""

import asyncio
import struct
import sys
import time
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np

from streams.bus.contract import Bus, NewRecord
from streams.bus.kafka import KafkaBus
from streams.bus.kafka_connection import KafkaConfig
from streams.bus.memory import MemoryBus
from streams.domain.batch import Column
from streams.domain.events import NULL, FillKind, MarginMode, PositionSide
from streams.engine.shard import RunnerOptions, ShardRunner
from streams.engine.task import TaskSpec
from streams.tasks import machine_for
from streams.topics import ACCOUNT_EVENTS, TOPICS, partition_count
from streams.wire.codec import codec
from streams.wire.records import new_record
from tests.bench.machine import describe_machine
from tests.support.kafka import broker
from tests.support.risk_rows import Desk, instrument, pool

PARTITIONS = 8
ACCOUNTS = 50_000
INSTRUMENTS = 20
START_US = 1_760_000_000_000_000


def fill_records(fills: int) -> list[NewRecord]:
    """Random plain trades near one price, in order of event time, spread over the partitions."""
    rng = np.random.default_rng(7)
    account = rng.integers(1, ACCOUNTS + 1, fills)
    lots = rng.integers(1, 100, fills) * rng.choice(np.array([-1, 1]), fills)
    order = np.argsort(account, kind="stable")
    seq = np.empty(fills, np.int64)
    first = np.concatenate([[0], np.flatnonzero(np.diff(account[order])) + 1])
    seq[order] = np.arange(fills) - np.repeat(first, np.diff([*first, fills])) + 2  # 1 is the SNAPSHOT
    full = np.ones(fills, np.int64)
    columns: dict[str, Column] = {
        "event_time_us": START_US + np.arange(fills, dtype=np.int64) * 5,
        "account": account,
        "account_seq": seq,
        "trade_id": np.arange(fills),
        "leg": 0 * full,
        "counter_account": 1 + account % ACCOUNTS,
        "instrument": rng.integers(1, INSTRUMENTS + 1, fills),
        "position_side": int(PositionSide.ONE_WAY) * full,
        "margin_mode": int(MarginMode.CROSS) * full,
        "lots": lots,
        "quote": lots * (1_000 + rng.integers(-5, 6, fills)),
        "margin_moved": 0 * full,
        "price_ticks": NULL * full,
        "kind": int(FillKind.TRADE) * full,
        "instruction_id": NULL * full,
    }
    values = codec("fills").encode_columns(columns, fills)
    return [
        NewRecord("account-events", int(a) % PARTITIONS, (START_US + n * 5) // 1000, struct.pack(">q", a), value)
        for n, (a, value) in enumerate(zip(account.tolist(), values, strict=True))
    ]


def opening_records() -> list[NewRecord]:
    """Instruments, their pool, one mark each, and a SNAPSHOT of every account."""
    desk = Desk(time_us=START_US - 10**6)
    rows = [*(instrument(n) for n in range(1, INSTRUMENTS + 1)), pool(), *(desk.mark(1_000, n) for n in range(1, INSTRUMENTS + 1))]
    openings = [record for account in range(1, ACCOUNTS + 1) for record in desk.opening(account, 10**9)]
    return [new_record(stream, row, row.get("account", 0) % PARTITIONS) for stream, row in [*rows, *openings]]


def _taken(runner: ShardRunner) -> int:
    """Records of accounts that have been taken."""
    return sum(count for partition, count in runner.task.counts.items() if partition.topic == ACCOUNT_EVENTS)


async def measure(bus: Bus, fills: int, *, step_records: int) -> dict[str, float]:
    """Events a second by wall clock and by CPU second of this process."""
    await bus.create_topics({s: partition_count(s, account_partitions=PARTITIONS, shards=1) for s in TOPICS})
    writer = await bus.writer("bench-venue")
    records = fill_records(fills)
    await writer.commit(opening_records())
    spec = TaskSpec("accounts", 0, 1, PARTITIONS, "bench")
    runner = ShardRunner(bus, spec, machine_for, owner="bench", options=RunnerOptions(snapshot_every=10 * fills))
    await runner.start()
    while await runner._turn(wait_ms=500, in_background=True):
        pass
    for start in range(0, fills, 50_000):
        await writer.commit(records[start : start + 50_000])
    runner._pace.ask_for = step_records
    opened = _taken(runner)
    wall, cpu, steps = time.perf_counter(), time.process_time(), 0
    while _taken(runner) - opened < fills:
        steps += await runner._turn(wait_ms=200, in_background=True)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    await runner.stop()
    return {"fills": fills, "steps": steps, "per_s": fills / wall, "per_cpu_s": fills / cpu}


async def on_memory(fills: int) -> dict[str, float]:
    """On the memory bus."""
    return await measure(MemoryBus(), fills, step_records=20_000)


async def on_kafka(fills: int) -> dict[str, float]:
    """On a broker of its own."""
    with broker() as address:
        bus = KafkaBus(KafkaConfig(bootstrap_servers=address, deployment=f"bench-{uuid.uuid4().hex[:8]}"))
        try:
            return await measure(bus, fills, step_records=20_000)
        finally:
            await bus.close()


def main() -> None:
    """Print the figures: median of three."""
    fills = int(sys.argv[1]) if len(sys.argv) > 1 else 500_000
    sys.stdout.write(describe_machine() + "\n")
    asyncio.run(on_memory(20_000))  # compiles
    runs: dict[str, Callable[[int], Coroutine[Any, Any, dict[str, float]]]] = {"memory": on_memory, "kafka": on_kafka}
    for name, run in runs.items():
        runs_of_it = [asyncio.run(run(fills)) for _ in range(3)]
        figures = sorted(runs_of_it, key=lambda f: f["per_s"])[1]
        sys.stdout.write(
            f"{name}: {fills:,} fills in {figures['steps']:.0f} steps: {figures['per_s']:,.0f} ev/s by wall clock, "
            f"{figures['per_cpu_s']:,.0f} per CPU second (median of 3)\n"
        )


if __name__ == "__main__":
    main()
