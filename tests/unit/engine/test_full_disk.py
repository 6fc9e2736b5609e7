"""A disk without room for snapshots: the shard goes on, and the next start has more to run again."""

import errno
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from streams.bus.contract import TopicPartition
from streams.engine.chunks import read_all
from streams.engine.journal import open_chunk
from streams.engine.snapshot import SnapshotStore
from tests.support.toy import runner, script, spec, toy_bus, write


def full(*_: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


async def test_a_full_disk_stops_no_shard_and_the_journal_lists_no_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SnapshotStore, "write", full)
    bus = await toy_bus(shard_count=1)
    running = runner(bus, spec(), directory=tmp_path)
    with capture_logs() as logs:
        await running.start()
        for said in script(10):
            await write(bus, said)
            while await running.turn():
                pass
        await running.leave_snapshot()
    assert {entry["event"] for entry in logs} == {"snapshot_failed"}
    assert running.task.number == 10
    records = open_chunk(await read_all(bus, TopicPartition("accounts-journal", 0)))
    assert [record.snapshot for record in records] == [None] * 11
    again = runner(bus, spec(), directory=tmp_path)
    await again.start()
    assert again.task.machine.digest() == running.task.machine.digest()
    assert again.origin == ("journal", 10)
