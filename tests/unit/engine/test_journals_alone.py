"""A pools task that hears nothing but its shards' journals: what it reads of them is journaled in steps of its own, and found again."""

from pathlib import Path

import pytest

from streams.engine import gate
from streams.engine.journal import records_from
from streams.engine.lockstep import settle
from streams.engine.verify import verify_bus
from tests.support.toy import fill, mark, runner, spec, specs, toy_bus, toy_machine, write


async def test_without_marks_the_pools_task_holds_little_and_a_restart_finds_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gate, "JOURNALS_HOLD", 2_000)
    bus = await toy_bus(shard_count=1)
    accounts, pools = (runner(bus, each, directory=tmp_path) for each in specs(1))
    await accounts.start()
    await pools.start()
    for number in range(1, 41):  # each a step of the shard
        await write(bus, [("fills", 0, fill(number, 4, 1, seq=number))])
        await settle([accounts, pools])
    journal = spec("pools").journal
    steps = [record for record in await records_from(bus, journal, 1) if not record.is_note]
    assert len(steps) > 1
    assert {part.topic for step in steps for part in step.slices} == {"accounts-journal"}
    assert [step.outputs for step in steps] == [()] * len(steps)
    await pools.start()
    await write(bus, [("fills", 0, fill(41, 4, -100, seq=41)), ("marks", 0, mark(41))])
    await settle([accounts, pools])
    last = (await records_from(bus, journal, 1))[-1]
    assert {part.topic for part in last.slices} >= {"insolvencies"}
    assert pools.waiting == 0
    report = await verify_bus(bus, toy_machine)
    assert report.difference is None
    await pools.stop()
    await accounts.stop()
