"""How partitions are cut into blocks, and what a token stands for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.bus.contract import Chunk, TopicPartition
from streams.errors import CheckFailed
from streams.sinks.blocks import Backlog, Block, Bounds, token

EVENTS = TopicPartition("account-events", 3)


def chunk(*offsets: int) -> Chunk:
    count = len(offsets)
    return Chunk(*EVENTS, offsets[0], offsets[-1] + 1, list(offsets), [0] * count, [None] * count, [b"%d" % offset for offset in offsets])


def drained(backlog: Backlog, limit: int) -> list[Block]:
    blocks = []
    while block := backlog.take(limit=limit, partial=True):
        blocks.append(block)
    return blocks


def test_a_token_is_topic_partition_and_offsets() -> None:
    assert token(EVENTS, Bounds(17, 40)) == "account-events:3:17-40"


def test_a_block_is_bounded_by_its_records_not_by_markers_between_them() -> None:
    backlog = Backlog(EVENTS)
    backlog.add(chunk(4, 5, 7, 9))
    block = backlog.take(limit=3, partial=False)
    assert block is not None
    assert block.bounds == Bounds(4, 7)
    assert block.token == "account-events:3:4-7"
    assert block.values == [b"4", b"5", b"7"]


def test_a_short_block_is_cut_only_when_asked_for() -> None:
    backlog = Backlog(EVENTS)
    backlog.add(chunk(0, 1))
    assert backlog.take(limit=3, partial=False) is None
    short = backlog.take(limit=3, partial=True)
    assert short is not None
    assert short.bounds == Bounds(0, 1)
    assert backlog.take(limit=3, partial=True) is None


def test_a_block_in_doubt_is_cut_at_its_old_bounds_whatever_the_limit_is_now() -> None:
    backlog = Backlog(EVENTS, again=Bounds(2, 6))
    backlog.add(chunk(2, 3, 5))
    assert backlog.take(limit=2, partial=True) is None  # not read whole yet: shorter bounds under that token would lose 6
    backlog.add(chunk(6, 8))
    assert [block.bounds for block in drained(backlog, 2)] == [Bounds(2, 6), Bounds(8, 8)]


def test_a_longer_block_in_doubt_is_cut_longer_than_the_limit() -> None:
    backlog = Backlog(EVENTS, again=Bounds(0, 4))
    backlog.add(chunk(0, 1, 2, 3, 4, 5))
    block = backlog.take(limit=2, partial=False)
    assert block is not None
    assert block.offsets == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("offsets", [(3, 4, 6), (2, 4, 7)])
def test_a_log_without_the_block_in_doubt_is_refused(offsets: tuple[int, ...]) -> None:
    backlog = Backlog(EVENTS, again=Bounds(2, 6))
    backlog.add(chunk(*offsets))
    with pytest.raises(CheckFailed, match=r"account-events\[3\] has no block of records from offset 2 to 6"):
        backlog.take(limit=10, partial=True)


@given(
    gaps=st.lists(st.integers(1, 3), min_size=1, max_size=60),
    cuts=st.lists(st.integers(1, 9), min_size=1, max_size=60),
    limit=st.integers(1, 10),
)
def test_blocks_hold_every_record_once_in_order_however_it_was_read(gaps: list[int], cuts: list[int], limit: int) -> None:
    offsets = [sum(gaps[: index + 1]) for index in range(len(gaps))]
    backlog, left, blocks = Backlog(EVENTS), list(offsets), []
    for size in cuts:
        if left:
            backlog.add(chunk(*left[:size]))
            del left[:size]
        while block := backlog.take(limit=limit, partial=False):
            blocks.append(block)
    blocks += drained(backlog, limit)
    read = offsets[: len(offsets) - len(left)]
    assert [offset for block in blocks for offset in block.offsets] == read
    assert all(len(block.offsets) <= limit for block in blocks)
    # Whole blocks do not depend on how the reads were cut.
    assert [block.offsets for block in blocks] == [read[at : at + limit] for at in range(0, len(read), limit)]
