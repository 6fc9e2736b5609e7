"""Ranges as people write them: every spelling, what a time means where times go back, and what is refused."""

import pytest

from streams.bus.contract import NewRecord, TopicPartition
from streams.bus.memory import MemoryBus
from streams.bus.ranges import BEGINNING, END, Bound, Ends, parse_bound, parse_ends, resolve
from streams.errors import UsageProblem

FILLS, OTHER, MARKS = TopicPartition("fills", 0), TopicPartition("fills", 1), TopicPartition("marks", 0)


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("beginning", BEGINNING),
        ("end", END),
        ("0", Bound("offset", 0)),
        ("17", Bound("offset", 17)),
        ("s@1760130930000", Bound("time", 1_760_130_930_000)),
        ("e@5", Bound("time", 5)),
        ("1970-01-01T00:00:01Z", Bound("time", 1_000)),
        ("1970-01-01T00:00:01", Bound("time", 1_000)),  # without a zone it is UTC
        ("1970-01-01T01:00:01.5+01:00", Bound("time", 1_500)),
        ("2025-10-10", Bound("time", 1_760_054_400_000)),
    ],
)
def test_a_bound_is_read_in_every_spelling(text: str, bound: Bound) -> None:
    assert parse_bound(text) == bound


@pytest.mark.parametrize("text", ["", "-1", "s@", "s@-5", "s@1.5", "yesterday", "10 Oct 2025", "0x10", "e@soon", "\u0663"])
def test_anything_else_is_refused_with_what_is_possible(text: str) -> None:
    with pytest.raises(UsageProblem, match="beginning, end, an offset"):
        parse_bound(text)


def test_the_narrowest_scope_that_names_a_partition_holds() -> None:
    ends = parse_ends(["5", "fills=6", "fills/1=7", "fills=8"], END)
    assert [ends.of(partition).value for partition in (MARKS, FILLS, OTHER)] == [5, 8, 7]
    assert not ends.is_one_moment


def test_without_a_word_the_default_holds() -> None:
    assert parse_ends((), END) == Ends(END)
    assert Ends(END).is_one_moment


async def log(*times_ms: int) -> MemoryBus:
    bus = MemoryBus()
    await bus.create_topics({"fills": 2, "marks": 1})
    writer = await bus.writer("test")
    await writer.commit([NewRecord("fills", 0, time_ms, None, b"") for time_ms in times_ms])  # offsets 0, 1, ... and a marker
    return bus


async def one(bus: MemoryBus, start: str, stop: str) -> tuple[int, int]:
    return (await resolve(bus, [FILLS], parse_ends([start], BEGINNING), parse_ends([stop], END)))[FILLS]


async def test_a_range_is_half_open_and_its_end_includes_the_markers() -> None:
    bus = await log(10, 20, 30)
    assert await one(bus, "beginning", "end") == (0, 4)
    assert await one(bus, "1", "2") == (1, 2)
    assert await one(bus, "s@20", "s@30") == (1, 2)


async def test_a_time_stands_for_the_first_record_that_is_not_earlier_even_where_times_go_back() -> None:
    bus = await log(10, 30, 20, 40)
    assert await one(bus, "s@20", "end") == (1, 5)
    assert await one(bus, "s@11", "s@31") == (1, 3)


async def test_a_time_after_everything_is_the_end() -> None:
    assert await one(await log(10), "s@11", "end") == (2, 2)


async def test_an_offset_outside_the_log_is_refused_with_what_it_holds() -> None:
    with pytest.raises(UsageProblem, match=r"fills\[0\] holds offsets 0 to 2: 3 is outside"):
        await one(await log(10), "3", "end")


async def test_a_range_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(UsageProblem, match="turn them round"):
        await one(await log(10, 20), "2", "1")


@pytest.mark.parametrize("text", ["trades=1", "fills/2=1"])
async def test_a_stream_or_partition_that_is_not_there_is_refused(text: str) -> None:
    with pytest.raises(UsageProblem, match="there is no"):
        await resolve(await log(10), [FILLS], parse_ends([text], BEGINNING), Ends(END))
