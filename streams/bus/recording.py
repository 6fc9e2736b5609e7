"""A recorded log: `DIR/log/<topic>/<partition>.avro`, Avro containers of `schemas/envelope.avsc`, loadable into a memory bus.

The container's metadata holds the bounds of the log, so that offsets taken by transaction markers survive, the last ones too.
The same log gives the same bytes: the sync marker is a function of topic and partition, and nothing is compressed.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import fastavro
from fastavro.write import Writer as ContainerWriter

from streams.bus.contract import Bus, Chunk, NewRecord, Reader, TopicPartition
from streams.bus.memory import MemoryBus
from streams.errors import CheckFailed
from streams.wire.schemas import schema

FIRST_OFFSET = "backstop.first_offset"
END_OFFSET = "backstop.end_offset"
TOPIC_ID = "backstop.topic_id"  # left out where the bus gave none
RECORDS_A_POLL = 10_000
BLOCK_BYTES = 256 * 1024
RECORDS_A_CHUNK = 10_000


Ranges = Mapping[TopicPartition, tuple[int, int]]  # offsets [from, to)


async def record(
    bus: Bus, directory: Path, topics: Iterable[str] | None = None, *, ranges: Ranges | None = None, on_read: Callable[[int], None] | None = None
) -> dict[str, int]:
    """Write what is readable now of `topics` (all of the bus when None); returns the number of records by topic.

    `ranges` narrows partitions down; they must lie inside the log. `on_read` hears how many offsets are done with, partition by partition.
    Files of an earlier recording of the same topics are replaced.
    Raises CheckFailed when a topic does not exist.
    """
    counts, ids = await bus.partitions(), await bus.topic_ids()
    written: dict[str, int] = {}
    read = 0
    for topic in sorted(counts if topics is None else topics):
        if topic not in counts:
            raise CheckFailed(f"topic {topic} does not exist on this bus: nothing of it can be recorded; correct the name")
        folder = directory / "log" / topic
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        partitions = [TopicPartition(topic, index) for index in range(counts[topic])]
        reader = await bus.reader(partitions)
        try:
            written[topic] = 0
            for partition in partitions:
                first, end = (ranges or {}).get(partition) or await reader.bounds(partition)
                with (folder / f"{partition.partition}.avro").open("wb") as file:
                    written[topic] += await _record_partition(reader, partition, file, first, end, ids.get(topic))
                read += end - first
                if on_read is not None:
                    on_read(read)
        finally:
            await reader.close()
    return written


async def _record_partition(reader: Reader, partition: TopicPartition, file: BinaryIO, first: int, end: int, topic_id: str | None) -> int:
    await reader.seek(partition, first)
    container = ContainerWriter(
        file,
        _parsed_schema(),
        codec="null",
        sync_interval=BLOCK_BYTES,
        metadata={FIRST_OFFSET: str(first), END_OFFSET: str(end), **({} if topic_id is None else {TOPIC_ID: topic_id})},
        sync_marker=_sync_marker(partition),
    )
    position, count = first, 0
    while position < end:
        chunks = await reader.poll(max_records=RECORDS_A_POLL, timeout_ms=50, partitions=[partition])
        if not chunks:
            await reader.bounds(partition)  # raises when the broker is gone: a poll alone would wait for ever
        for chunk in chunks:
            position = chunk.stop
            for row in _rows(chunk):
                if row["offset"] < end:
                    container.write(row)
                    count += 1
    container.flush()
    return count


def _rows(chunk: Chunk) -> Iterator[dict[str, Any]]:
    columns = zip(chunk.offsets, chunk.timestamps_ms, chunk.keys, chunk.values, chunk.headers, strict=True)
    for offset, timestamp_ms, key, value, headers in columns:
        named = [{"name": name, "value": content} for name, content in headers]
        yield {"offset": offset, "timestamp_ms": timestamp_ms, "key": key, "value": value, "headers": named}


@cache
def _parsed_schema() -> Any:
    return fastavro.parse_schema(json.loads(schema("envelope").text), named_schemas={})


def _sync_marker(partition: TopicPartition) -> bytes:
    return hashlib.sha256(f"{partition.topic}/{partition.partition}".encode()).digest()[:16]


async def load(directory: Path) -> MemoryBus:
    """A memory bus holding the recorded log under its recorded offsets and ids of topics.

    Raises CheckFailed naming the file, and the record, that is damaged.
    """
    root = directory / "log"
    topics = sorted(path.name for path in root.iterdir()) if root.is_dir() else []
    if not topics:
        raise CheckFailed(f"{root} holds no recorded topics: name the directory that a recording was written to")
    counts = {topic: _partition_count(root / topic) for topic in topics}
    bus = MemoryBus({topic: topic_id for topic in topics if (topic_id := _topic_id(root / topic / "0.avro")) is not None})
    for topic, count in counts.items():
        await bus.create_topics({topic: count})
        for index in range(count):
            for chunk in _chunks(root / topic / f"{index}.avro", TopicPartition(topic, index)):
                bus.preload(chunk)
    return bus


def _topic_id(path: Path) -> str | None:
    with path.open("rb") as file:
        rows, _, _ = _open(path, file)
        known: str | None = rows.metadata.get(TOPIC_ID)
        return known


def _partition_count(folder: Path) -> int:
    names = {path.name for path in folder.iterdir()}
    expected = {f"{index}.avro" for index in range(len(names))}
    for name in sorted(names ^ expected):
        fault = "is missing" if name in expected else "is no partition of a recording"
        raise CheckFailed(f"{folder / name} {fault}: a topic's files are 0.avro, 1.avro and so on without a gap; restore the recording")
    return len(names)


def _chunks(path: Path, partition: TopicPartition) -> Iterator[Chunk]:
    with path.open("rb") as file:
        rows, first, end = _open(path, file)
        chunk = _empty(partition, first)
        for index, row in _numbered(path, rows):
            offset = row["offset"]
            if not (chunk.offsets[-1] if chunk.offsets else chunk.start - 1) < offset < end:
                raise CheckFailed(
                    f"{path}, record {index}: offset {offset} is out of place (the log is [{first}, {end}) in rising order); restore the recording"
                )
            if len(chunk.offsets) == RECORDS_A_CHUNK:
                chunk.stop = offset
                yield chunk
                chunk = _empty(partition, offset)
            headers = tuple((header["name"], header["value"]) for header in row["headers"])
            chunk.append(offset, NewRecord(*partition, row["timestamp_ms"], row["key"], row["value"], headers))
        chunk.stop = end
        yield chunk


def _empty(partition: TopicPartition, start: int) -> Chunk:
    return Chunk(partition.topic, partition.partition, start, start)


def _open(path: Path, file: BinaryIO) -> tuple[Any, int, int]:
    try:
        rows = fastavro.reader(file)
        first, end = int(rows.metadata[FIRST_OFFSET]), int(rows.metadata[END_OFFSET])
        same = fastavro.schema.fingerprint(fastavro.schema.to_parsing_canonical_form(rows.writer_schema), "SHA-256")
    except Exception as error:  # whatever a decoder says about bytes that are not Avro
        raise CheckFailed(f"{path}: its header is damaged ({type(error).__name__}: {error}); restore the recording") from error
    if same != fastavro.schema.fingerprint(fastavro.schema.to_parsing_canonical_form(_parsed_schema()), "SHA-256"):
        raise CheckFailed(f"{path}: its records are not envelopes of a recorded log; restore the recording")
    if not 0 <= first <= end:
        raise CheckFailed(f"{path}: its header says the log is [{first}, {end}); restore the recording")
    return rows, first, end


def _numbered(path: Path, rows: Iterator[Any]) -> Iterator[tuple[int, Any]]:
    index = 0
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except Exception as error:  # whatever a decoder says about damaged bytes
            raise CheckFailed(f"{path}, record {index}: unreadable ({type(error).__name__}: {error}); restore the recording") from error
        yield index, row
        index += 1
