"""Drives a program that serves: paced fills in, what follows from them out, each read by a read_committed consumer on the same machine.

`python -m tests.bench.peers.drive hop BROKER DEPLOYMENT OUT_TOPIC RATE SECONDS`, or `... adl BROKER DEPLOYMENT - RATE TRIALS`; the last line is JSON.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import aiokafka
import numpy as np

from streams.bus.contract import RecordBlock, TopicPartition
from streams.bus.kafka import KafkaBus
from streams.bus.kafka_connection import KafkaConfig
from streams.domain.events import InstructionKind, MarginMode
from streams.wire.codec import codec
from streams.wire.records import new_blocks, new_record
from tests.bench.peers import inputs
from tests.bench.peers.positions import STREAM
from tests.support.risk_rows import Desk, instrument

TICK_SECONDS = 0.001
WARM_SHARE = 0.3  # of the run, not counted
PATIENCE_SECONDS = 20.0
TRIAL_ACCOUNT = 1_000_000  # accounts of the trials: out of the way of the fills in the background
TRIAL_INSTRUMENT = 100
WINNERS = 8
EMPTY_FUND = 900_000  # an account that holds nothing
TRIAL_SECONDS = 0.5
OPENING_SECONDS = 6.0  # for the openings to be taken, with the fills already flowing


class OutBus(KafkaBus):
    """Reads one topic, whatever its name."""

    def __init__(self, address: str, topic: str) -> None:
        super().__init__(KafkaConfig(bootstrap_servers=address, deployment="-"))
        self._topic = topic

    def topic(self, stream: str) -> str:
        """Always the same."""
        return self._topic

    async def partitions(self) -> dict[str, int]:
        """As many as the input has."""
        return {STREAM: inputs.PARTITIONS}


class Sender:
    """Sends rows of a block by partition, in batches, as many as are due."""

    def __init__(self, producer: Any, prefix: str, blocks: Sequence[RecordBlock], order: Sequence[int]) -> None:
        self._producer = producer
        self._prefix = prefix
        self._blocks = {block.partition: block for block in blocks}
        self._at = dict.fromkeys(self._blocks, 0)
        self._order = order  # partition of each row in order

    async def send(self, start: int, stop: int) -> None:
        """Rows [start, stop) in order."""
        counts: dict[int, int] = {}
        for partition in self._order[start:stop]:
            counts[partition] = counts.get(partition, 0) + 1
        for partition, count in counts.items():
            block, at = self._blocks[partition], self._at[partition]
            batch = self._producer.create_batch()
            for n in range(at, at + count):
                batch.append(key=block.keys[n], value=block.values[n], timestamp=block.timestamps_ms[n])
            batch.close()
            self._at[partition] = at + count
            await self._producer.send_batch(batch, self._prefix + block.topic, partition=partition)


async def producer(broker: str) -> Any:
    """A plain producer that waits for nothing."""
    made = aiokafka.AIOKafkaProducer(bootstrap_servers=broker, linger_ms=0, max_batch_size=1 << 20)
    await made.start()
    return made


async def hop(broker: str, deployment: str, out_topic: str, rate: int, seconds: int) -> dict[str, Any]:
    """Fill sent -> its output readable, milliseconds."""
    count = rate * seconds
    rows = inputs.fills(count, inputs_accounts())
    blocks = new_blocks("fills", rows)
    order = np.asarray(rows.partition).tolist()
    reader = await OutBus(broker, out_topic).reader([TopicPartition(STREAM, number) for number in range(inputs.PARTITIONS)])
    sender = Sender(await producer(broker), f"{deployment}.", blocks, order)
    sent, got = np.zeros(count), np.zeros(count)

    async def receive() -> None:
        seen = 0
        until = time.perf_counter() + seconds + PATIENCE_SECONDS
        while seen < count and time.perf_counter() < until:
            for chunk in await reader.poll(max_records=50_000, timeout_ms=5):
                now = time.perf_counter()
                if len(chunk):
                    trades = codec(STREAM).decode(chunk.values).columns["trade_id"]
                    got[trades] = now
                    seen += len(chunk)

    receiving = asyncio.create_task(receive())
    await pace(sender, count, rate, sent)
    await receiving
    latency = (got - sent)[int(count * WARM_SHARE) :] * 1_000
    missing = int(np.count_nonzero(got == 0))
    return {"rate": rate, "missing": missing, **quantiles(latency[latency > 0])}


async def pace(sender: Sender, count: int, rate: int, sent: Any) -> None:
    """Send `count` rows at `rate` a second."""
    began, at = time.perf_counter(), 0
    while at < count:
        due = min(count, int((time.perf_counter() - began) * rate) + 1)
        if due > at:
            sent[at:due] = time.perf_counter()
            await sender.send(at, due)
            at = due
        await asyncio.sleep(TICK_SECONDS)


def quantiles(values: Any) -> dict[str, float]:
    """p50, p99, p999."""
    found = np.percentile(values, [50, 99, 99.9]).round(2).tolist() if len(values) else [float("nan")] * 3
    return dict(zip(("p50", "p99", "p999"), found, strict=True))


def inputs_accounts() -> int:
    """Accounts of the paced fills."""
    return 50_000


async def adl(broker: str, deployment: str, _out: str, rate: int, trials: int) -> dict[str, Any]:
    """Mark that makes a position insolvent sent -> the instructions that deleverage the other side readable; an empty fund, `rate` fills beside."""
    bus = inputs.bus_of(broker, deployment)
    await inputs.commit_all(bus, f"{deployment}-venue", inputs.openings(inputs_accounts(), fund_account=EMPTY_FUND))
    venue = await bus.writer(f"{deployment}-adl")
    desk = Desk(time_us=inputs.START_US)
    for number in range(trials):
        await venue.commit([new_record(stream, row, row.get("account", 0) % inputs.PARTITIONS) for stream, row in opening(desk, number)])
    seconds = int(trials * TRIAL_SECONDS + OPENING_SECONDS) + 2
    rows = inputs.fills(rate * seconds, inputs_accounts(), step_us=1_000_000 // rate)
    background = Sender(await producer(broker), f"{deployment}.", new_blocks("fills", rows), np.asarray(rows.partition).tolist())
    reader = await bus.reader([TopicPartition("instructions", number) for number in range(inputs.PARTITIONS)])
    pacing = asyncio.create_task(pace(background, rate * seconds, rate, np.zeros(rate * seconds)))
    await asyncio.sleep(OPENING_SECONDS)
    took = []
    plain = await producer(broker)
    for number in range(trials):
        desk.time_us = max(desk.time_us, inputs.START_US) + 1_000_000
        record = new_record(*desk.mark(80, TRIAL_INSTRUMENT + number))
        began = time.perf_counter()
        await plain.send(f"{deployment}.marks", record.value, record.key, partition=0, timestamp_ms=record.timestamp_ms)
        found = await _deleveraged(reader, TRIAL_INSTRUMENT + number, began + PATIENCE_SECONDS)
        if found is not None:
            took.append((found - began) * 1_000)
        await asyncio.sleep(max(0.0, began + TRIAL_SECONDS - time.perf_counter()))
    await pacing
    return {"trials": trials, "answered": len(took), **quantiles(np.array(took))}


def opening(desk: Desk, number: int) -> list[tuple[str, dict[str, Any]]]:
    """An instrument of its own with one isolated long that a mark of 80 makes insolvent, and WINNERS shorts on every shard."""
    its = TRIAL_INSTRUMENT + number
    loser = TRIAL_ACCOUNT + number * (WINNERS + 1)
    rows = [instrument(its), desk.mark(100, its), *desk.opening(loser, 10_000)]
    rows.append(desk.fill(loser, 10 * WINNERS, 1_000 * WINNERS, its, margin_mode=MarginMode.ISOLATED, margin_moved=100 * WINNERS))
    for winner in range(loser + 1, loser + 1 + WINNERS):
        rows += [*desk.opening(winner, 10_000), desk.fill(winner, -10, -1_000, its)]
    return rows


async def _deleveraged(reader: Any, number: int, until: float) -> float | None:
    """When the first ADL instruction of the instrument was readable."""
    while time.perf_counter() < until:
        for chunk in await reader.poll(max_records=10_000, timeout_ms=5):
            now = time.perf_counter()
            for value in chunk.values:
                row = codec("instructions").decode_row(value)
                if row["kind"] == InstructionKind.ADL and row["instrument"] == number:
                    return now
    return None


def main() -> None:
    """Print the figures."""
    kind, broker, deployment, out, rate, size = sys.argv[1:]
    figures = asyncio.run({"hop": hop, "adl": adl}[kind](broker, deployment, out, int(rate), int(size)))
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
