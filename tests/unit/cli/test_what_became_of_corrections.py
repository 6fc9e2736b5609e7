"""What is told of a correction while the shards take it, or do not."""

import pytest

from streams.bus.memory import MemoryBus
from streams.commands.corrections import Fate, Outcome, Watch
from streams.commands.dead_letters import find_letter
from streams.topics import TOPICS, partition_count
from tests.support.healing import Place, Story
from tests.support.risk_rows import PARTITIONS
from tests.support.told import Teller


def name_of(place: Place) -> str:
    return f"{place[0]}/{place[1]}/{place[2]}"


async def fate(story: Story, letter: Place, correction: Place, *, taken: int | None = None) -> Outcome:
    """What is told of the correction once the shard has taken so many records (all, unless told) of the story; before it, all before it."""
    bus, teller = MemoryBus(), Teller()
    await bus.create_topics({topic: partition_count(topic, account_partitions=PARTITIONS, shards=1) for topic in TOPICS})
    writer = await bus.writer("w")
    before = story.said.index(next(each for each in story.said if each.topic == "corrections"))
    teller.take(story.said[:before])
    await writer.commit(teller.records)
    written, found = len(teller.records), await find_letter(bus, name_of(letter))
    watch = await Watch.begin(bus)
    teller.take(story.said[before:taken])
    if len(teller.records) > written:
        await writer.commit(teller.records[written:])
    return await watch.outcome(found, story.rows[correction], correction[2], 0)


def refused() -> tuple[Story, Place]:
    story = Story()
    story.open(1)
    return story, story.refused(1)


async def test_one_that_is_applied_is_told_with_the_state_of_its_account() -> None:
    story, letter = refused()
    other = story.refused(1)
    first = story.mend(1, letter)
    assert await fate(story, letter, first) == Outcome(Fate.APPLIED)
    last = story.correct(1, other)
    assert await fate(story, other, last) == Outcome(Fate.DROPPED, state="HEALTHY")


async def test_one_that_nobody_takes_is_waiting() -> None:
    story, letter = refused()
    correction = story.mend(1, letter)
    assert await fate(story, letter, correction, taken=-1) == Outcome(Fate.WAITING)


async def test_one_that_comes_after_another_is_ignored() -> None:
    story, letter = refused()
    story.correct(1, letter)
    late = story.mend(1, letter)
    assert (await fate(story, letter, late)).fate is Fate.IGNORED


async def test_one_that_comes_after_a_snapshot_is_ignored() -> None:
    story, letter = refused()
    story.unreadable(1, topic="corrections")
    story.snapshot(1, 5)
    late = story.mend(1, letter)
    assert await fate(story, letter, late) == Outcome(Fate.IGNORED, state="HEALTHY")


@pytest.mark.parametrize("right", [{"lots": 0}, {"lots": 10**6 + 1, "quote": 1}, {"account_seq": 0}])
async def test_one_that_is_refused_names_its_own_dead_letter(right: dict[str, int]) -> None:
    story, letter = refused()
    correction = story.mend(1, letter, **right)
    told = await fate(story, letter, correction)
    assert (told.fate, told.place) == (Fate.REFUSED, "corrections/1/0")
    assert told.detail
