"""How far behind a shard is, and when the log is about to lose what its recovery needs."""

from pathlib import Path

import pytest

from streams.bus.contract import End, TopicPartition
from streams.engine.survey import HeldBack, Survey
from tests.support.toy import fill, runner, spec, toy_bus, write

FILLS = TopicPartition("account-events", 0)


async def test_lag_counts_what_can_be_read_and_has_not_been_taken() -> None:
    bus = await toy_bus(shard_count=1)
    running = runner(bus, spec())
    await running.start()
    assert (await running.survey()).lag_records == 0
    await write(bus, [("fills", 0, fill(number, 4, 1)) for number in range(1, 6)])
    assert (await running.survey()).lag_records == 6  # five records and the marker of their transaction
    assert await running.turn()
    seen = await running.survey()
    assert (seen.lag_records, seen.spare) == (0, {})


# Each step took one record and its marker: the kept snapshot, of step 5, goes on at offset 10, the shard stands at 12.
@pytest.mark.parametrize(
    ("first", "spare"),
    [
        (0, None),  # nothing has been deleted
        (4, (10 - 4) / (12 - 4)),
        (10, 0.0),  # the next record deleted is one that a recovery needs
        (11, (10 - 11) / (12 - 11)),  # too late
    ],
)
async def test_what_is_spare_is_the_part_of_the_log_before_the_oldest_kept_snapshot(tmp_path: Path, first: int, spare: float | None) -> None:
    bus = await toy_bus(shard_count=1)
    running = runner(bus, spec(), directory=tmp_path, every=1, keep=1)
    await running.start()
    for number in range(6):
        await write(bus, [("fills", 0, fill(number + 1, 4, 1))])
        assert await running.turn()
    bus._logs[FILLS].first = first
    seen = await running.survey()
    assert seen.spare == ({} if spare is None else {FILLS: spare})
    assert seen.near_retention(0.2) == ([FILLS] if first >= 10 else [])


async def test_what_an_open_transaction_holds_back_is_lag(monkeypatch: pytest.MonkeyPatch) -> None:
    bus = await toy_bus(shard_count=1)
    running = runner(bus, spec())
    await running.start()
    await write(bus, [("fills", 0, fill(1, 4, 1))])
    assert await running.turn()
    reader = running._running().reader
    monkeypatch.setattr(reader, "known_end", lambda partition: End(2, 9) if partition == FILLS else End(0, 0))
    seen = await running.survey()
    assert (seen.held_back, seen.lag_records) == ({FILLS: 2}, 9 - 2)


def test_an_input_is_held_back_for_as_long_as_it_stands_at_one_offset() -> None:
    watch = HeldBack()
    ages = [
        watch.look(Survey({}, 0, {}, held), now_s)
        for held, now_s in [({FILLS: 2}, 100.0), ({FILLS: 2}, 105.0), ({FILLS: 7}, 110.0), ({}, 115.0), ({FILLS: 7}, 120.0), ({FILLS: 7}, 121.0)]
    ]
    assert ages == [{FILLS: 0.0}, {FILLS: 5.0}, {FILLS: 0.0}, {}, {FILLS: 0.0}, {FILLS: 1.0}]
