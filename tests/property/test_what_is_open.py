"""Tool and machine agree on what is open, over any sequence of letters, SNAPSHOTs, corrections and restarts, however it is cut into steps."""

import asyncio
from collections.abc import Callable
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.bus.memory import MemoryBus
from streams.commands.dead_letters import read_letters
from streams.domain.events import CorrectionKind
from streams.risk.corrections import MORE, topic_of
from streams.topics import TOPICS, partition_count
from tests.support.healing import Place, Story
from tests.support.risk_rows import PARTITIONS
from tests.support.told import Teller

Act = Callable[[Story, int, int, list[Place]], Place | None]
ACTS: dict[str, Act] = {
    "deposit": lambda story, account, n, places: story.deposit(account),
    "refused": lambda story, account, n, places: story.refused(account),
    "astray": lambda story, account, n, places: story.astray(account, ahead=n % 5 - 2),
    "unreadable": lambda story, account, n, places: story.unreadable(account),
    "unreadable elsewhere": lambda story, account, n, places: story.unreadable(account, n % PARTITIONS),
    "unreadable correction": lambda story, account, n, places: story.unreadable(account, topic="corrections"),
    "lost": lambda story, account, n, places: story.desk.seqs.update({account: story.desk.seqs[account] + 1}),
    "snapshot": lambda story, account, n, places: story.snapshot(account, n, (1, 1, 100)),
    "part": lambda story, account, n, places: story.say(story.desk.opening(account, n, (1, 1, 100))[0]),
    "let go": lambda story, account, n, places: story.correct(account, places[n % len(places)]) and None if places else None,
    "mend": lambda story, account, n, places: _mend(story, account, n, [place for place in places if "instrument" in story.rows.get(place, {})]),
    "mark": lambda story, account, n, places: story.say(story.desk.mark(100 + n)) and None,
}


def _mend(story: Story, account: int, n: int, places: list[Place]) -> None:
    if places:
        place = places[n % len(places)]
        right = {**story.rows[place], "instrument": 1, "account": account, "lots": n % 3}  # of no lots: refused
        story.correct(account, place, kind=CorrectionKind.FILL, fill=right)


@settings(max_examples=60, deadline=None)
@given(
    acts=st.lists(st.tuples(st.sampled_from(sorted(ACTS)), st.sampled_from([1, 2]), st.integers(0, 40)), min_size=1, max_size=40),
    data=st.data(),
)
def test_the_tool_lists_what_the_machine_holds_open(acts: list[tuple[str, int, int]], data: st.DataObject) -> None:
    story, places = Story(), list[Place]()
    story.open(1, 2)
    for name, account, n in acts:
        place = ACTS[name](story, account, n, places)
        if place is not None:
            places.append(place)
    asyncio.run(compare(story, data.draw(st.sets(st.integers(1, len(story.said)))), data.draw(st.booleans())))


async def compare(story: Story, cuts: set[int], restarts: bool) -> None:
    bus, teller, written = MemoryBus(), Teller(), 0
    await bus.create_topics({topic: partition_count(topic, account_partitions=PARTITIONS, shards=1) for topic in TOPICS})
    writer = await bus.writer("w")
    for low, high in pairwise(sorted({0, *cuts, len(story.said)})):
        teller.take(story.said[low:high], together=True)
        await writer.commit(teller.records[written:])
        written = len(teller.records)
        listed = {(x.account, x.topic, x.partition, x.offset) for x in await read_letters(bus) if x.status == "open"}
        held = {(place[0], topic_of(place), *place[2:]) for place in teller.machine.corrections.letters if place[1:] != MORE}
        assert listed == held
        if restarts:
            teller.restart()


def test_letters_beyond_a_hundred_are_open_too_and_told_apart() -> None:
    async def play() -> None:
        story, teller, bus = Story(), Teller(), MemoryBus()
        story.open(1)
        places = [story.refused(1) for _ in range(103)]
        teller.take(story.said)
        await bus.create_topics({topic: partition_count(topic, account_partitions=PARTITIONS, shards=1) for topic in TOPICS})
        writer = await bus.writer("w")
        await writer.commit(teller.records)
        letters = await read_letters(bus)
        assert [letter.is_counted_only for letter in letters] == [False] * 100 + [True] * 3
        assert {letter.status for letter in letters} == {"open"}
        written = len(teller.records)
        taken = len(story.said)
        story.correct(1, places[0])  # one of those that are kept
        story.snapshot(1, 5)
        teller.take(story.said[taken:])
        await writer.commit(teller.records[written:])
        assert [letter.status for letter in await read_letters(bus)] == ["dropped"] + ["healed"] * 102

    asyncio.run(play())
