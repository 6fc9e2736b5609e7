"""Step records: the only truth about what a shard did. How they are encoded, chained, founded (step 0, the genesis) and found again.

A record's own hash is the SHA-256 of its encoding with the hash itself zeroed; it is the last field, so it is also the last 32 bytes.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from streams.bus.contract import Bus, Chunk, NewRecord, Reader, TopicPartition
from streams.engine.chunks import POLL_RECORDS, POLL_TIMEOUT_MS
from streams.engine.task import Output, Slice, Step, TaskSpec
from streams.errors import CheckFailed, ConfigurationProblem
from streams.topics import JOURNALS
from streams.wire.codec import codec
from streams.wire.records import new_record

HASH_BYTES = 32
NO_HASH = bytes(HASH_BYTES)


@dataclass(frozen=True, slots=True)
class SnapshotRef:
    """A snapshot that has been written: after which step, and the SHA-256 of its file."""

    step: int
    file_sha256: bytes


@dataclass(frozen=True, slots=True)
class Genesis:
    """What a deployment was founded on."""

    deployment: str
    shard_count: int
    inputs: tuple[tuple[str, int], ...]  # (stream, partitions)


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Where a new version of the rules took over: which one it was before, and its digest of the same state."""

    from_version: int
    from_state_digest: bytes


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step record, read or about to be written. A *note* takes and says nothing: it lists a snapshot, an upgrade or ids of topics.

    `topics` are the ids of those that the shard reads and writes, as (topic, id): at the genesis, wherever a snapshot is listed, so that whoever
    begins there finds them, and where they were first noted in a journal that is older than they are. `epoch`: of the deployment, at the genesis.
    """

    task: str
    shard: int
    step: int
    machine_version: int
    owner: str
    generation: int
    event_time_us: int
    slices: tuple[Slice, ...]
    outputs: tuple[Output, ...]
    state_digest: bytes
    held: int
    previous_hash: bytes
    own_hash: bytes = NO_HASH
    snapshot: SnapshotRef | None = None
    genesis: Genesis | None = None
    upgrade: Upgrade | None = None
    topics: tuple[tuple[str, str], ...] = ()
    epoch: int | None = None

    @property
    def is_note(self) -> bool:
        """Whether no input was taken: the state after it is the state before it, told by another version where `upgrade` is set."""
        return self.genesis is None and not self.slices

    def sealed(self, own_hash: bytes) -> "StepRecord":
        """The same record with its own hash."""
        return replace(self, own_hash=own_hash)


def genesis_of(spec: TaskSpec) -> Genesis:
    """What `spec`'s deployment is founded on."""
    counts = {partition.topic: spec.partitions_of(partition.topic) for partition in spec.inputs()}
    return Genesis(spec.deployment, spec.shard_count, tuple(counts.items()))


def step_record(
    spec: TaskSpec,
    step: Step,
    *,
    machine_version: int,
    owner: str,
    generation: int,
    previous_hash: bytes,
    snapshot: SnapshotRef | None = None,
    topics: Mapping[str, str] | None = None,
) -> StepRecord:
    """The record of a step, not sealed yet. `topics`: their ids, which stand in it where a snapshot does."""
    return StepRecord(
        task=spec.task,
        shard=spec.shard,
        step=step.number,
        machine_version=machine_version,
        owner=owner,
        generation=generation,
        event_time_us=step.event_time_us,
        slices=tuple(step.slices),
        outputs=tuple(step.outputs),
        state_digest=step.state_digest,
        held=step.held,
        previous_hash=previous_hash,
        snapshot=snapshot,
        topics=tuple((topics or {}).items()) if snapshot is not None else (),
    )


def note_after(tail: StepRecord, *, owner: str, generation: int, snapshot: SnapshotRef | None, topics: Mapping[str, str]) -> StepRecord:
    """A record that takes nothing and leaves the state as `tail` left it, not sealed yet."""
    return replace(
        tail,
        step=tail.step + 1,
        owner=owner,
        generation=generation,
        slices=(),
        outputs=(),
        previous_hash=tail.own_hash,
        own_hash=NO_HASH,
        snapshot=snapshot,
        genesis=None,
        upgrade=None,
        topics=tuple(topics.items()),
        epoch=None,
    )


def seal(record: StepRecord) -> tuple[NewRecord, bytes]:
    """The record as it is written, and its own hash."""
    unsealed = new_record(JOURNALS[record.task], _row(record), record.shard)
    assert unsealed.value is not None
    own_hash = hashlib.sha256(unsealed.value).digest()
    value = unsealed.value[:-HASH_BYTES] + own_hash
    return NewRecord(unsealed.topic, unsealed.partition, unsealed.timestamp_ms, unsealed.key, value), own_hash


def _row(record: StepRecord) -> dict[str, Any]:
    genesis, snapshot, upgrade = record.genesis, record.snapshot, record.upgrade
    return {
        "task": record.task,
        "shard": record.shard,
        "step": record.step,
        "machine_version": record.machine_version,
        "owner": record.owner,
        "generation": record.generation,
        "event_time_us": record.event_time_us,
        "slices": [
            {"topic": part.topic, "partition": part.partition, "from": part.start, "to": part.stop, "count": part.count, "digest": part.digest}
            for part in record.slices
        ],
        "outputs": [{"topic": part.topic, "partition": part.partition, "count": part.count, "digest": part.digest} for part in record.outputs],
        "state_digest": record.state_digest,
        "snapshot": None if snapshot is None else {"step": snapshot.step, "file_sha256": snapshot.file_sha256},
        "genesis": None
        if genesis is None
        else {
            "deployment": genesis.deployment,
            "shard_count": genesis.shard_count,
            "inputs": [{"topic": topic, "partitions": partitions} for topic, partitions in genesis.inputs],
        },
        "upgrade": None if upgrade is None else {"from_version": upgrade.from_version, "from_state_digest": upgrade.from_state_digest},
        "topics": [{"topic": topic, "topic_id": topic_id} for topic, topic_id in record.topics],
        "epoch": record.epoch,
        "held": record.held,
        "previous_hash": record.previous_hash,
        "own_hash": NO_HASH,
    }


def open_record(journal: TopicPartition, offset: int, value: bytes | None) -> StepRecord:
    """Read a step record. Raises CheckFailed when it is no step record, or its own hash is not that of its bytes."""
    where = f"{journal.topic}[{journal.partition}] offset {offset}"
    row = codec(journal.topic).decode_row(value)
    assert value is not None
    if hashlib.sha256(value[:-HASH_BYTES] + NO_HASH).digest() != value[-HASH_BYTES:]:
        raise CheckFailed(f"{where}: the step record's own hash is not that of its bytes: the journal is damaged; restore it")
    genesis, snapshot, upgrade = row["genesis"], row["snapshot"], row["upgrade"]
    return StepRecord(
        task=row["task"],
        shard=row["shard"],
        step=row["step"],
        machine_version=row["machine_version"],
        owner=row["owner"],
        generation=row["generation"],
        event_time_us=row["event_time_us"],
        slices=tuple(Slice(part["topic"], part["partition"], part["from"], part["to"], part["count"], part["digest"]) for part in row["slices"]),
        outputs=tuple(Output(part["topic"], part["partition"], part["count"], part["digest"]) for part in row["outputs"]),
        state_digest=row["state_digest"],
        held=row["held"],
        previous_hash=row["previous_hash"],
        own_hash=row["own_hash"],
        snapshot=snapshot and SnapshotRef(snapshot["step"], snapshot["file_sha256"]),
        genesis=genesis
        and Genesis(genesis["deployment"], genesis["shard_count"], tuple((part["topic"], part["partitions"]) for part in genesis["inputs"])),
        upgrade=upgrade and Upgrade(upgrade["from_version"], upgrade["from_state_digest"]),
        topics=tuple((part["topic"], part["topic_id"]) for part in row["topics"]),
        epoch=row["epoch"],
    )


def open_chunk(chunk: Chunk) -> list[StepRecord]:
    """The step records of a chunk of a journal."""
    journal = TopicPartition(chunk.topic, chunk.partition)
    return [open_record(journal, offset, value) for offset, value in zip(chunk.offsets, chunk.values, strict=True)]


def check_link(before: StepRecord | None, record: StepRecord) -> str | None:
    """What is wrong with `record` as the one after `before` (None: the first of all), in words; None when it follows."""
    expected, hashed = (0, NO_HASH) if before is None else (before.step + 1, before.own_hash)
    if record.step != expected:
        return f"step {record.step} stands where step {expected} belongs"
    if record.previous_hash != hashed:
        return f"step {record.step} does not carry the hash of the record before it"
    if (record.genesis is None) != (record.step > 0):
        return f"step {record.step} {'is no genesis' if record.step == 0 else 'is a second genesis'}"
    return None if before is None else _wrong_version(before, record)


def _wrong_version(before: StepRecord, record: StepRecord) -> str | None:
    """Versions change only at an upgrade, which is a note; any other note leaves the state as it was."""
    if record.upgrade is None:
        if record.machine_version != before.machine_version:
            return f"step {record.step} is of version {record.machine_version}, the one before of {before.machine_version}, and it is no upgrade"
        if record.is_note and (record.outputs or record.state_digest != before.state_digest):
            return f"step {record.step} took nothing, but it says something or has another state than the one before"
        return None
    if not record.is_note or record.upgrade != Upgrade(before.machine_version, before.state_digest):
        return f"step {record.step} is an upgrade of another state than that of the step before"
    return None


def check_genesis(spec: TaskSpec, record: StepRecord) -> None:
    """Raises ConfigurationProblem when the journal was founded on another topology than `spec`'s."""
    ours, theirs = genesis_of(spec), record.genesis
    if theirs != ours:
        raise ConfigurationProblem(
            f"{spec.name}: the journal {spec.journal.topic}[{spec.journal.partition}] was founded on {theirs}, this worker is set to {ours}; "
            "correct the settings, or begin a new deployment"
        )


def emptied(journal: TopicPartition, first: int) -> str:
    """What is wrong with a journal that holds no record and did."""
    return (
        f"{journal.topic}[{journal.partition}] holds no step record and begins at offset {first}: all of them were deleted, by retention or by hand. "
        "What the shard did cannot be known from it: restore the journal, or begin a new deployment"
    )


async def read_tail(bus: Bus, spec: TaskSpec) -> StepRecord | None:
    """The newest step record, None before the genesis. Also holds the genesis against `spec`: ConfigurationProblem on another topology.

    The end of the log may lie behind markers, so reading backs off from it until a record is found. Where the genesis has been deleted with the
    log's head, a snapshot must know the topology; where every record has been deleted, nothing may be founded: CheckFailed.
    """
    reader = await bus.reader([spec.journal])
    try:
        first, end = await reader.bounds(spec.journal)
        founded = await _first_record(reader, spec.journal, first, end)
        if founded is None:
            if first > 0:
                raise CheckFailed(emptied(spec.journal, first))
            return None
        if founded.step == 0:
            check_genesis(spec, founded)
        back = 2  # one record and its marker
        while True:
            start = max(first, end - back)
            records = await _range(reader, spec.journal, start, end)
            if records:
                return records[-1]
            back *= 2
    finally:
        await reader.close()


async def records_from(bus: Bus, journal: TopicPartition, step: int) -> list[StepRecord]:
    """The step records from `step` on (from the first when there is no earlier one), linked as they must be. Raises CheckFailed."""
    reader = await bus.reader([journal])
    try:
        return await read_records(reader, journal, step)
    finally:
        await reader.close()


async def read_records(reader: Reader, journal: TopicPartition, step: int) -> list[StepRecord]:
    """The same from a reader of the journal, which stands at the journal's end afterwards."""
    first, end = await reader.bounds(journal)
    back = 64
    while True:
        start = max(first, end - back)
        records = await _range(reader, journal, start, end)
        if start == first or (records and records[0].step <= step):
            break
        back *= 4
    for before, record in zip([None, *records], records, strict=False):
        wrong = check_link(before, record) if before is not None or record.step == 0 else None
        if wrong is not None:
            raise CheckFailed(f"{journal.topic}[{journal.partition}]: {wrong}: the journal is damaged; restore it")
    return [record for record in records if record.step >= step]


async def _first_record(reader: Reader, journal: TopicPartition, first: int, end: int) -> StepRecord | None:
    await reader.seek(journal, first)
    position = first
    while position < end:
        for chunk in await reader.poll(max_records=1, timeout_ms=POLL_TIMEOUT_MS, partitions=[journal]):
            if len(chunk):
                return open_chunk(chunk)[0]
            position = chunk.stop
    return None


async def _range(reader: Reader, journal: TopicPartition, start: int, end: int) -> list[StepRecord]:
    await reader.seek(journal, start)
    records: list[StepRecord] = []
    position = start
    while position < end:
        for chunk in await reader.poll(max_records=POLL_RECORDS, timeout_ms=POLL_TIMEOUT_MS, partitions=[journal]):
            records += open_chunk(chunk)
            position = chunk.stop
    return records
