"""What only the memory bus offers: logs that begin anywhere and have gaps, loaded under their own offsets."""

import pytest

from streams.bus.contract import Chunk, NewRecord, TopicPartition
from streams.bus.memory import MemoryBus
from streams.errors import CheckFailed

F0 = TopicPartition("fills", 0)


def chunk(start: int, stop: int, offsets: list[int]) -> Chunk:
    count = len(offsets)
    return Chunk("fills", 0, start, stop, offsets, [1] * count, [None] * count, [b"%d" % offset for offset in offsets], [()] * count)


async def preloaded(*chunks: Chunk) -> MemoryBus:
    bus = MemoryBus()
    await bus.create_topics({"fills": 1})
    for part in chunks:
        bus.preload(part)
    return bus


async def test_preloaded_records_keep_their_offsets_and_the_log_goes_on_behind_them() -> None:
    bus = await preloaded(chunk(10, 15, [11, 14]), chunk(15, 20, [16]))
    writer = await bus.writer("x")
    assert await writer.commit([NewRecord("fills", 0, 1, None, b"new")]) == {F0: 21}
    reader = await bus.reader([F0])
    assert await reader.bounds(F0) == (10, 22)
    (read,) = await reader.poll(max_records=100, timeout_ms=0)
    assert (read.start, read.stop, read.offsets) == (10, 22, [11, 14, 16, 20])


async def test_a_gap_can_be_a_position() -> None:
    reader = await (await preloaded(chunk(10, 20, [11, 14]))).reader([F0])
    await reader.seek(F0, 12)
    (read,) = await reader.poll(max_records=100, timeout_ms=0)
    assert (read.start, read.stop, read.offsets) == (12, 20, [14])


@pytest.mark.parametrize("offset", [9, 21])
async def test_positions_before_and_behind_a_preloaded_log_are_refused(offset: int) -> None:
    reader = await (await preloaded(chunk(10, 20, [11]))).reader([F0])
    with pytest.raises(CheckFailed, match="holds offsets 10 to 20"):
        await reader.seek(F0, offset)


@pytest.mark.parametrize("wrong", [chunk(16, 18, [16]), chunk(10, 15, [11]), chunk(15, 18, [16, 16]), chunk(15, 18, [14]), chunk(15, 18, [18])])
async def test_records_that_do_not_continue_the_log_are_refused(wrong: Chunk) -> None:
    bus = await preloaded(chunk(10, 15, [11]))
    with pytest.raises(CheckFailed, match="do not continue its log"):
        bus.preload(wrong)


async def test_what_a_reader_was_given_does_not_change_with_the_log() -> None:
    bus = await preloaded(chunk(0, 1, [0]))
    reader = await bus.reader([F0])
    (read,) = await reader.poll(max_records=100, timeout_ms=0)
    await (await bus.writer("x")).commit([NewRecord("fills", 0, 1, None, b"later")])
    assert (read.stop, read.offsets, read.values) == (1, [0], [b"0"])
