"""The input of a benchmark run: topics and records, the same for us and every peer."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from streams.bus.contract import Bus, RecordBlock, Writable
from streams.bus.kafka import KafkaBus
from streams.bus.kafka_connection import KafkaConfig
from streams.domain.batch import Column, ColumnRows
from streams.domain.events import NULL, FillKind, MarginMode, PositionSide
from streams.topics import TOPICS, partition_count
from streams.wire.records import new_blocks, new_record
from tests.support.risk_rows import Desk, instrument, pool

Ints = NDArray[np.int64]

PARTITIONS = 4
INSTRUMENTS = 20
START_US = 1_760_000_000_000_000
MARK = 1_000
COMMIT_RECORDS = 100_000


def bus_of(address: str, deployment: str) -> KafkaBus:
    """A bus of one deployment."""
    return KafkaBus(KafkaConfig(bootstrap_servers=address, deployment=deployment))


async def make_topics(bus: Bus, shards: int) -> None:
    """Every stream."""
    await bus.create_topics({name: partition_count(name, account_partitions=PARTITIONS, shards=shards) for name in TOPICS})


def fill_columns(account: Ints, number: Ints, lots: Ints, *, first_trade: int, seq: Ints, step_us: int, start_us: int) -> dict[str, Column]:
    """Plain trades around one price."""
    count = len(account)
    rng = np.random.default_rng(first_trade + 3)
    full = np.ones(count, np.int64)
    return {
        "event_time_us": start_us + np.arange(count, dtype=np.int64) * step_us,
        "account": account,
        "account_seq": seq,
        "trade_id": first_trade + np.arange(count, dtype=np.int64),
        "leg": 0 * full,
        "counter_account": 1 + account,
        "instrument": number,
        "position_side": int(PositionSide.ONE_WAY) * full,
        "margin_mode": int(MarginMode.CROSS) * full,
        "lots": lots,
        "quote": lots * (MARK + rng.integers(-5, 6, count)),
        "margin_moved": 0 * full,
        "price_ticks": NULL * full,
        "kind": int(FillKind.TRADE) * full,
        "instruction_id": NULL * full,
    }


def sequences(account: Ints, first: int = 2) -> Ints:
    """Sequence of each account's records, in order."""
    order = np.argsort(account, kind="stable")
    begins = np.concatenate([[0], np.flatnonzero(np.diff(account[order])) + 1])
    seq = np.empty(len(account), np.int64)
    seq[order] = np.arange(len(account)) - np.repeat(begins, np.diff([*begins, len(account)])) + first
    return seq


def fills(count: int, accounts: int, *, first_account: int = 1, first_trade: int = 0, step_us: int = 5, start_us: int = START_US) -> ColumnRows:
    """Random fills over accounts and instruments; account n lives in partition n mod PARTITIONS."""
    rng = np.random.default_rng(7)
    account = rng.integers(first_account, first_account + accounts, count)
    lots = rng.integers(1, 100, count) * rng.choice(np.array([-1, 1]), count)
    number = rng.integers(1, INSTRUMENTS + 1, count)
    columns = fill_columns(account, number, lots, first_trade=first_trade, seq=sequences(account), step_us=step_us, start_us=start_us)
    return ColumnRows(columns, account % PARTITIONS)


def two_each(accounts: int) -> ColumnRows:
    """Two positions for every account, in two instruments."""
    account = np.repeat(np.arange(1, accounts + 1), 2)
    place = np.arange(2 * accounts)
    rng = np.random.default_rng(5)
    lots = rng.integers(1, 50, 2 * accounts) * rng.choice(np.array([-1, 1]), 2 * accounts)
    number = 1 + (account * 7 + place % 2 * 3) % INSTRUMENTS
    columns = fill_columns(account, number, lots, first_trade=0, seq=sequences(account), step_us=1, start_us=START_US)
    return ColumnRows(columns, account % PARTITIONS)


def openings(accounts: int, *, fund_account: int = 31, amount: int = 10**9, numbers: Iterable[int] = range(1, INSTRUMENTS + 1)) -> list[Writable]:
    """Instruments, their pool, a mark each, and a deposit for every account, before START_US. A fund account beyond `accounts` is an empty fund."""
    desk = Desk(time_us=START_US - 10**6)
    rows = [*(instrument(n) for n in numbers), pool(fund_account=fund_account), *(desk.mark(MARK, n) for n in numbers)]
    records: list[Writable] = [new_record(stream, row) for stream, row in rows]
    ((_, row),) = desk.opening(1, amount)
    ids = np.arange(1, accounts + 1)
    columns: dict[str, Column] = {name: np.full(accounts, NULL if value is None else int(value), np.int64) for name, value in row.items()}
    columns |= {"account": ids, "account_seq": np.ones(accounts, np.int64), "event_time_us": np.full(accounts, START_US - 500_000, np.int64)}
    return [*records, *new_blocks("account-updates", ColumnRows(columns, ids % PARTITIONS))]


def small_marks(count: int, *, first_sequence: int = 1_000, start_us: int = START_US + 10**7, step_us: int = 20) -> list[RecordBlock]:
    """A walk of every instrument in turn, a tick up or down around the first mark."""
    rng = np.random.default_rng(11)
    _, row = Desk(time_us=start_us).mark(MARK, 1)
    turn = np.arange(count)
    columns: dict[str, Column] = {name: np.full(count, NULL if value is None else int(value), np.int64) for name, value in row.items()}
    columns |= {
        "event_time_us": start_us + turn * step_us,
        "instrument": 1 + turn % INSTRUMENTS,
        "mark_ticks": MARK + rng.integers(-3, 4, count),
        "sequence": first_sequence + turn,
    }
    return new_blocks("marks", ColumnRows(columns, 0))


async def commit_all(bus: Bus, name: str, blocks: Iterable[Writable]) -> int:
    """Write everything as the exchange, in transactions of COMMIT_RECORDS; how many records."""
    writer = await bus.writer(name)
    written = 0
    for block in blocks:
        if not isinstance(block, RecordBlock):
            await writer.commit([block])
            written += 1
            continue
        for at in range(0, len(block), COMMIT_RECORDS):
            part = slice(at, at + COMMIT_RECORDS)
            await writer.commit(
                [RecordBlock(block.topic, block.partition, block.timestamps_ms[part], block.keys[part], block.values[part], block.headers)]
            )
        written += len(block)
    await writer.close()
    return written
