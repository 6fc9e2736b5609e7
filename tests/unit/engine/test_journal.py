"""Step records: hashes, links, the genesis, and finding the last one."""

import hashlib
from dataclasses import replace

import pytest

from streams.bus.contract import NewRecord, TopicPartition, refuse_oversized
from streams.bus.memory import MemoryBus
from streams.engine.journal import (
    NO_HASH,
    SnapshotRef,
    StepRecord,
    check_link,
    genesis_of,
    open_record,
    read_tail,
    records_from,
    seal,
)
from streams.engine.task import Output, Slice
from streams.errors import CheckFailed, ConfigurationProblem
from streams.settings import PARTITIONS_OF_SHARD
from streams.topics import ACCOUNTS_READS, TOPICS, Partitioning
from tests.support.toy import spec, toy_bus

JOURNAL = TopicPartition("accounts-journal", 0)


def step_record(step: int, previous_hash: bytes = NO_HASH) -> StepRecord:
    return StepRecord(
        task="accounts",
        shard=0,
        step=step,
        machine_version=1,
        owner="me",
        generation=2,
        event_time_us=1_700_000_000_123_456,
        slices=(Slice("fills", 1, 5, 9, 3, b"s" * 32),),
        outputs=(Output("account-states", 1, 2, b"o" * 32),),
        state_digest=b"d" * 16,
        held=4,
        previous_hash=previous_hash,
        snapshot=SnapshotRef(step - 1, b"f" * 32) if step else None,
        genesis=None if step else genesis_of(spec(shard_count=2)),
    )


def chain(count: int) -> list[NewRecord]:
    records, last = [], NO_HASH
    for step in range(count):
        record, last = seal(step_record(step, last))
        records.append(record)
    return records


async def journal(records: list[NewRecord]) -> MemoryBus:
    bus: MemoryBus = await toy_bus()
    for record in records:
        await (await bus.writer("someone")).commit([record])
    return bus


@pytest.mark.parametrize("step", [0, 7])
def test_a_step_record_reads_back_as_it_was_written(step: int) -> None:
    record, own_hash = seal(step_record(step, b"p" * 32))
    assert open_record(JOURNAL, 0, record.value) == replace(step_record(step, b"p" * 32), own_hash=own_hash)


def test_the_own_hash_is_of_the_encoding_with_the_hash_zeroed() -> None:
    record, own_hash = seal(step_record(3))
    assert record.value is not None
    assert record.value.endswith(own_hash)
    assert own_hash == hashlib.sha256(record.value.replace(own_hash, bytes(32))).digest()


def test_any_changed_byte_of_a_step_record_is_noticed() -> None:
    record, _ = seal(step_record(3))
    assert record.value is not None
    for index in range(len(record.value)):
        value = bytearray(record.value)
        value[index] ^= 1
        with pytest.raises(CheckFailed):
            open_record(JOURNAL, 0, bytes(value))


def test_a_record_must_carry_the_hash_of_the_one_before_it() -> None:
    zero, one = (open_record(JOURNAL, 0, record.value) for record in chain(2))
    assert check_link(None, zero) is None
    assert check_link(zero, one) is None
    assert check_link(zero, replace(one, previous_hash=b"x" * 32)) == "step 1 does not carry the hash of the record before it"
    assert check_link(None, one) == "step 1 stands where step 0 belongs"


async def test_an_empty_journal_has_no_tail() -> None:
    assert await read_tail(await toy_bus(), spec(shard_count=2)) is None


async def test_the_tail_is_found_behind_markers() -> None:
    bus = await journal(chain(5))
    writer = await bus.writer("someone")
    tail = await read_tail(bus, spec(shard_count=2))
    assert tail is not None
    assert tail.step == 4
    await writer.close()


async def test_a_worker_set_to_another_topology_is_refused_and_told_both() -> None:
    bus = await journal(chain(1))
    with pytest.raises(ConfigurationProblem, match=r"shard_count=2.*shard_count=3"):
        await read_tail(bus, spec(shard_count=3))


async def test_another_deployments_journal_is_refused() -> None:
    bus = await journal(chain(1))
    with pytest.raises(ConfigurationProblem, match=r"deployment='toy'.*deployment='other'"):
        await read_tail(bus, replace(spec(shard_count=2), deployment="other"))


@pytest.mark.parametrize("step", [0, 3, 198])
async def test_the_journal_can_be_read_from_any_step_on(step: int) -> None:
    bus = await journal(chain(200))
    assert [record.step for record in await records_from(bus, JOURNAL, step)] == list(range(step, 200))


async def test_a_missing_step_record_is_noticed() -> None:
    records = chain(4)
    bus = await journal([*records[:2], records[3]])
    with pytest.raises(CheckFailed, match="step 3 stands where step 2 belongs"):
        await records_from(bus, JOURNAL, 0)


def test_the_step_of_a_shard_with_as_many_partitions_as_it_may_have_fits_into_a_record() -> None:
    """All partitions of all topics that are divided by account, at offsets and counts that no log reaches."""
    by_account = [topic for topic in TOPICS.values() if topic.partitioning is Partitioning.ACCOUNT]
    reads = [topic.name for topic in by_account if topic.name in ACCOUNTS_READS]
    writes = [topic.name for topic in by_account if topic.written_by in ("accounts", "engine")]
    numbers = range(2 * PARTITIONS_OF_SHARD, 3 * PARTITIONS_OF_SHARD)
    slices = tuple(Slice(topic, number, 2**62, 2**62 + 2**31, 2**31, bytes(32)) for topic in reads for number in numbers)
    outputs = tuple(Output(topic, number, 2**31, bytes(32)) for topic in writes for number in numbers)
    record, _ = seal(replace(step_record(1), slices=slices, outputs=outputs, topics=tuple((topic, "i" * 22) for topic in TOPICS)))
    assert len(slices) == len(outputs) == 2 * PARTITIONS_OF_SHARD
    refuse_oversized([record])
