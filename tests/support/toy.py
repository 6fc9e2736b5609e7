"""Toy machines and a toy exchange for tests of the engine: few rules, each of them seen in outputs, state digest and snapshot.

Accounts: a fill adds its lots to its account and says the sum (an account state); the first mark that finds an account short reports it (an
insolvency). Pools: every insolvency is answered by one instruction to buy the lots back. Exchange: executes that by a fill.
Both machines also keep a hash over every row in the order they were given, so that any other order is another state.
"""

import asyncio
import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from streams.bus.contract import Bus, NewRecord, TopicPartition
from streams.bus.memory import MemoryBus
from streams.domain.alarms import Alarm
from streams.domain.batch import Batch, Outputs, Row
from streams.domain.events import CauseKind, DeadLetterReason, FillKind, Grade, GroupState, InsolvencyKind, InstructionKind, MarginMode, PositionSide
from streams.engine.chunks import read_all
from streams.engine.machine import Machine
from streams.engine.observer import Observer
from streams.engine.shard import RunnerOptions, ShardRunner
from streams.engine.snapshot import SnapshotStore
from streams.engine.task import TaskName, TaskSpec
from streams.topics import TOPICS, partition_count
from streams.wire.records import new_record

UNKNOWN_INSTRUMENT = 999  # fills of it are refused
IMPOSSIBLE_LOTS = 666  # a fill of so many lots breaks the machine


class Toy:
    """What both toy machines share: a clock, an order-sensitive hash, JSON as snapshot."""

    version = 1

    def __init__(self, shard: int = 0, surcharge: int = 0, secret: int = 0) -> None:
        self.shard, self.surcharge = shard, surcharge
        self.clock_us, self.held = 0, 0
        self.state: dict[str, Any] = {"order": "", "lots": {}, "told": [], "suspects": [], "secret": secret}

    def found(self, epoch: int) -> None:
        self.state["secret"] += epoch

    def digest(self) -> bytes:
        return hashlib.sha256(json.dumps([self.state, self.clock_us], sort_keys=True).encode()).digest()[:16]

    def snapshot(self) -> dict[str, pa.RecordBatch]:
        return {"toy": pa.record_batch({"json": pa.array([json.dumps([self.state, self.clock_us], sort_keys=True)])})}

    def restore(self, tables: Mapping[str, pa.RecordBatch]) -> None:
        self.state, self.clock_us = json.loads(tables["toy"].column(0)[0].as_py())

    def step(self, batch: Batch) -> Outputs:
        out = Outputs()
        for stream, index, row in batch:
            facts = [stream, sorted((name, value) for name, value in row.items() if name not in ("marks", "offset_"))]
            self.state["order"] = hashlib.sha256((self.state["order"] + json.dumps(facts)).encode()).hexdigest()
            self.hear(stream, index, row, out)
        return out

    def hear(self, stream: str, index: int, row: dict[str, Any], out: Outputs) -> None:
        raise NotImplementedError


class ToyAccounts(Toy):
    """The accounts side. `surcharge` is added to every sum said (another rule); `secret` is state that no output shows."""

    def hear(self, stream: str, index: int, row: dict[str, Any], out: Outputs) -> None:
        match stream:
            case "fills" if row["instrument"] == UNKNOWN_INSTRUMENT:
                out.refuse(stream, index, DeadLetterReason.UNKNOWN_INSTRUMENT, "no such instrument", row["account"])
            case "fills":
                assert row["lots"] != IMPOSSIBLE_LOTS, "lots that cannot be"
                self.fill(row, out)
            case "marks":
                self.clock_us = max(self.clock_us, row["time_us"])
                self.mark(row, out)
            case "undecodable":
                self.state["suspects"].append(row["account"])

    def fill(self, row: dict[str, Any], out: Outputs) -> None:
        lots = self.state["lots"]
        account = str(row["account"])
        lots[account] = [lots.get(account, [0])[0] + row["lots"], row["partition_"]]
        if lots[account][0] >= 0 and account in self.state["told"]:
            self.state["told"].remove(account)
        out.emit("account-states", account_state(row, lots[account][0] + self.surcharge), row["partition_"])

    def mark(self, row: dict[str, Any], out: Outputs) -> None:
        for account, (lots, partition) in sorted(self.state["lots"].items()):
            if lots < 0 and account not in self.state["told"]:
                self.state["told"].append(account)
                out.emit("insolvencies", insolvency(int(account), partition, lots, row))


class ToyPools(Toy):
    """The pools side."""

    def hear(self, stream: str, index: int, row: dict[str, Any], out: Outputs) -> None:
        if stream == "marks":
            self.clock_us = max(self.clock_us, row["time_us"])
        if stream == "insolvencies":
            told = self.state["lots"][str(row["account"])] = self.state["lots"].get(str(row["account"]), 0) + 1
            out.emit("instructions", instruction(row, told), row["partition"])
            out.alarm(Alarm.ORDERS_REFUSED, account=row["account"])


def toy_machine(task: TaskName, shard: int, shard_count: int) -> Machine:
    """A factory of the toy machines."""
    return ToyAccounts(shard) if task == "accounts" else ToyPools(shard)


def account_state(row: dict[str, Any], equity: int) -> Row:
    return {
        "event_time_us": row["time_us"],
        "account": row["account"],
        "asset": 1,
        "state": GroupState.HEALTHY,
        "episode": 0,
        "equity": equity,
        "maintenance": 0,
    }


def insolvency(account: int, partition: int, lots: int, mark: dict[str, Any]) -> Row:
    return {
        "kind": InsolvencyKind.POSITION,
        "pool": 1,
        "account": account,
        "partition": partition,
        "episode": 1,
        "asset": 1,
        "revision": 1,
        "equity": 0,
        "maintenance": 0,
        "marks_seen": 0,
        "decisions_heard": 0,
        "instrument": mark["instrument"],
        "position_side": PositionSide.ONE_WAY,
        "lots": lots,
        "bankruptcy_quote": 0,
        "deficit": 0,
        "event_time_us": mark["time_us"],
    }


def instruction(told: dict[str, Any], number: int) -> Row:
    return {
        "instruction_id": told["account"] * 1000 + number,
        "kind": InstructionKind.TAKEOVER,
        "account": told["account"],
        "partition": told["partition"],
        "cause_kind": CauseKind.EPISODE,
        "cause_id": number,
        "rung": InstructionKind.TAKEOVER,
        "attempt": 1,
        "instrument": told["instrument"],
        "lots": -told["lots"],
        "policy_version": 1,
        "event_time_us": told["time_us"],
        "valid_until_us": told["time_us"] + 1,
    }


def fill(time_us: int, account: int, lots: int, *, seq: int = 1, instrument: int = 1, kind: FillKind = FillKind.TRADE) -> Row:
    return {
        "event_time_us": time_us,
        "account": account,
        "account_seq": seq,
        "trade_id": seq,
        "leg": 0,
        "counter_account": 0,
        "instrument": instrument,
        "position_side": PositionSide.ONE_WAY,
        "margin_mode": MarginMode.CROSS,
        "lots": lots,
        "quote": lots,
        "margin_moved": 0,
        "kind": kind,
    }


def mark(time_us: int, sequence: int = 1, instrument: int = 1) -> Row:
    return {
        "event_time_us": time_us,
        "instrument": instrument,
        "mark_ticks": 100,
        "index_ticks": 100,
        "sequence": sequence,
        "grade": Grade.GOOD,
    }


class ToyVenue:
    """Event times from a script; then one more event time for every instruction."""

    def __init__(self, script: Sequence[Sequence[tuple[str, int, Row]]]) -> None:
        self._script = list(script)
        self._now_us = 0

    def next_records(self) -> Sequence[tuple[str, int, Row]] | None:
        if not self._script:
            return None
        said = self._script.pop(0)
        self._now_us = max(self._now_us, *(row["event_time_us"] for _, _, row in said))
        return said

    def accept(self, instruction_rows: list[dict[str, Any]]) -> None:
        for row in sorted(instruction_rows, key=lambda row: int(row["instruction_id"])):
            self._now_us += 7
            bought = fill(self._now_us, row["account"], row["lots"], seq=row["instruction_id"], kind=FillKind.TAKEOVER)
            self._script.insert(0, [("fills", row["partition"], bought)])


def script(events: int = 12, accounts: int = 5, partitions: int = 4) -> list[list[tuple[str, int, Row]]]:
    """Alternating buys and sells of a few accounts, a mark at every second event time."""
    said: list[list[tuple[str, int, Row]]] = []
    for event in range(events):
        time_us = 1_000_000 + event * 1_000
        rows = [("fills", a % partitions, fill(time_us, a, (event + a) % 5 - 2, seq=event)) for a in range(accounts) if (a + event) % 2]
        said.append([*rows, ("marks", 0, mark(time_us, event))] if event % 2 else rows)
    return said


DEPLOYMENT = "toy"


def spec(task: TaskName = "accounts", shard: int = 0, shard_count: int = 1, account_partitions: int = 4) -> TaskSpec:
    return TaskSpec(task, shard, shard_count, account_partitions, DEPLOYMENT)


def specs(shard_count: int = 2, account_partitions: int = 4) -> list[TaskSpec]:
    accounts = [spec("accounts", shard, shard_count, account_partitions) for shard in range(shard_count)]
    return [*accounts, spec("pools", 0, shard_count, account_partitions)]


async def toy_bus(bus: Bus | None = None, *, shard_count: int = 2, account_partitions: int = 4) -> Any:
    """A bus with all the topics of a toy deployment."""
    bus = bus or MemoryBus()
    await bus.create_topics({stream: partition_count(stream, account_partitions=account_partitions, shards=shard_count) for stream in TOPICS})
    return bus


def runner(
    bus: Bus,
    task_spec: TaskSpec,
    factory: Any = toy_machine,
    *,
    directory: Path | None = None,
    every: int = 3,
    observer: Observer | None = None,
    keep: int | None = None,
    in_turns: bool = False,
) -> ShardRunner:
    snapshots = None if directory is None else SnapshotStore(directory, keep=keep)
    options = RunnerOptions(snapshot_every=every, patience_ms=None, in_turns=in_turns)
    return ShardRunner(bus, task_spec, factory, owner="test", snapshots=snapshots, observer=observer, options=options)


def record(stream: str, row: Row, partition: int = 0) -> NewRecord:
    return new_record(stream, row, partition)


class Cut(Exception):
    """The process died here."""


class CuttingBus:
    """A bus on which one commit goes wrong: the n-th from now, before or after it took effect, by a dead process or by a lost answer."""

    def __init__(self, bus: Bus, commits_until: int, *, takes_effect: bool, error: type[Exception] = Cut) -> None:
        self._bus = bus
        self._left, self._takes_effect, self._error = commits_until, takes_effect, error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    async def writer(self, transactional_id: str) -> Any:
        return CuttingWriter(self, await self._bus.writer(transactional_id))

    async def commit(self, writer: Any, records: Sequence[NewRecord]) -> Any:
        self._left -= 1
        if self._left != 0:
            return await writer.commit(records)
        if self._takes_effect:
            await writer.commit(records)
        raise self._error("no answer")


class CuttingWriter:
    """A writer of a CuttingBus."""

    def __init__(self, bus: CuttingBus, writer: Any) -> None:
        self._bus, self._writer = bus, writer

    async def commit(self, records: Sequence[NewRecord]) -> Any:
        return await self._bus.commit(self._writer, records)

    async def close(self) -> None:
        await self._writer.close()


class RaggedBus:
    """A bus whose readers see, at each poll, only some partitions: what a transaction wrote becomes visible piece by piece."""

    def __init__(self, bus: Bus, seed: int) -> None:
        self._bus, self._random = bus, random.Random(seed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    async def reader(self, partitions: Sequence[TopicPartition]) -> Any:
        return RaggedReader(await self._bus.reader(partitions), partitions, self._random)


class RaggedReader:
    """A reader of a RaggedBus."""

    def __init__(self, reader: Any, partitions: Sequence[TopicPartition], source: random.Random) -> None:
        self._reader, self._partitions, self._random = reader, list(partitions), source

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    async def poll(self, *, max_records: int, timeout_ms: int, partitions: Sequence[TopicPartition] | None = None) -> Any:
        await asyncio.sleep(0)
        seen = partitions or [partition for partition in self._partitions if self._random.random() < 0.3]
        return await self._reader.poll(max_records=max_records, timeout_ms=timeout_ms, partitions=seen)


async def write(bus: Bus, said: Sequence[tuple[str, int, Row]]) -> None:
    """What the exchange says."""
    await (await bus.writer("exchange")).commit([new_record(stream, row, partition) for stream, partition, row in said])


async def everything(bus: Bus, *streams: str) -> list[tuple[str, int, int, bytes | None, bytes | None]]:
    """Every record of these streams as (stream, partition, timestamp, key, value)."""
    found = []
    for stream in streams:
        for partition in range((await bus.partitions())[stream]):
            chunk = await read_all(bus, TopicPartition(stream, partition))
            found += [(stream, partition, *record) for record in zip(chunk.timestamps_ms, chunk.keys, chunk.values, strict=True)]
    return found
