"""`backstop record`: a range of a deployment's topics as a directory that `replay` and `verify` take, closed by its MANIFEST."""

from collections.abc import Sequence
from pathlib import Path

from streams.bus.contract import TopicPartition
from streams.bus.manifest import write_manifest
from streams.bus.ranges import Ends, resolve
from streams.bus.recording import record
from streams.commands import run_directory
from streams.commands.check import Source, opened
from streams.commands.console import Ticker, emit_json, progress, run, say
from streams.commands.run_directory import Run
from streams.errors import UsageProblem
from streams.settings import Settings
from streams.topics import ACCOUNT_EVENTS, JOURNALS


def run_record(settings: Settings, directory: Path, topics: Sequence[str], start: Ends, stop: Ends, *, force: bool, as_json: bool) -> int:
    """Copy the range; a finished recording makes room only by `force`. Raises UsageProblem for a topic or range that is not there."""
    source = Source(directory, settings)
    run_directory.refuse_finished(directory, force=force)  # before a broker is asked for anything
    with run_directory.unfinished(directory), progress() as tick:
        tick("asking the broker")
        written, ranges = run(_recorded(source, directory, topics, start, stop, tick))
    if as_json:
        places = [{"topic": p.topic, "partition": p.partition, "from": low, "to": high} for p, (low, high) in sorted(ranges.items())]
        emit_json({"deployment": settings.engine.deployment, "directory": str(directory), "records": written, "ranges": places})
    else:
        say(f"{directory}: {sum(written.values()):,} records of {len(written)} topics of {source}")
    return 0


async def _recorded(
    source: Source, directory: Path, topics: Sequence[str], start: Ends, stop: Ends, tick: Ticker
) -> tuple[dict[str, int], dict[TopicPartition, tuple[int, int]]]:
    async with opened(source) as bus:
        counts = await bus.partitions()
        # Journals first: what they list has been written by then, so the rest of the recording holds it.
        wanted = list(topics) or sorted(counts, key=lambda topic: (topic not in JOURNALS.values(), topic))
        for topic in wanted:
            if topic not in counts:
                raise UsageProblem(f"--topic {topic}: there is no such topic; this deployment has {', '.join(sorted(counts))}")
        partitions = [TopicPartition(topic, number) for topic in wanted for number in range(counts[topic])]
        ranges = await resolve(bus, partitions, start, stop)
        total = sum(high - low for low, high in ranges.values())
        run_directory.prepare(directory, force=True)
        run_directory.begin(directory, _run(source, counts))
        written = await record(bus, directory, wanted, ranges=ranges, on_read=lambda read: tick("recording offsets", done=read, of=total))
        tick("closing")
        write_manifest(directory)
        return written, ranges


def _run(source: Source, counts: dict[str, int]) -> Run:
    """What is recorded, as far as topics tell."""
    assert source.kafka is not None
    return Run(
        scenario="recorded",
        seed=0,
        accounts=0,
        shards=counts.get(JOURNALS["accounts"], 0),
        account_partitions=counts.get(ACCOUNT_EVENTS, 0),
        bus="kafka",
        deployment=source.kafka.engine.deployment,
    )
