"""Rows given as columns come out as the same records as rows given one by one."""

import numpy as np
import pytest

from streams.bus.contract import NewRecord
from streams.bus.memory import MemoryBus
from streams.domain.batch import ColumnRows
from streams.domain.events import NULL
from streams.engine.task import output_digests
from streams.wire.records import new_blocks, new_records

COUNT = 200
COLUMNS = {
    "event_time_us": 1_000_000 + 700 * np.arange(COUNT),
    "account": 1 + np.arange(COUNT) % 17,
    "asset": np.ones(COUNT, np.int64),
    "group_instrument": np.where(np.arange(COUNT) % 2, 3, NULL),
    "group_side": np.where(np.arange(COUNT) % 2, 1, NULL),
    "state": 1 + np.arange(COUNT) % 4,
    "episode": np.arange(COUNT),
    "equity": -np.arange(COUNT),
    "maintenance": np.arange(COUNT) * 10**9,
}
PARTITION = np.arange(COUNT) % 3
HEADERS = (("step", b"accounts/0/7"),)


def one_by_one() -> list[NewRecord]:
    rows = [{name: None if column[n] == NULL else int(column[n]) for name, column in COLUMNS.items()} for n in range(COUNT)]
    return new_records("account-states", list(zip(PARTITION.tolist(), rows, strict=True)), HEADERS)


def test_blocks_hold_the_records_of_the_rows_partition_by_partition() -> None:
    blocks = new_blocks("account-states", ColumnRows(COLUMNS, PARTITION), HEADERS)
    assert [record for block in blocks for record in block.singly()] == sorted(one_by_one(), key=lambda record: record.partition)


def test_output_digests_do_not_tell_blocks_from_records() -> None:
    blocks = new_blocks("account-states", ColumnRows(COLUMNS, PARTITION), HEADERS)
    assert output_digests(blocks) == output_digests(one_by_one())


@pytest.mark.parametrize("as_blocks", [True, False])
async def test_a_bus_takes_blocks_like_records(as_blocks: bool) -> None:
    bus = MemoryBus()
    await bus.create_topics({"account-states": 3})
    writer = await bus.writer("w")
    written = await writer.commit(new_blocks("account-states", ColumnRows(COLUMNS, PARTITION), HEADERS) if as_blocks else one_by_one())
    assert {partition: stop for (_, partition), stop in written.items()} == {0: 67, 1: 67, 2: 66}
