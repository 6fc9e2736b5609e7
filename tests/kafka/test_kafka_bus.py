"""What only a real broker can show: silence, refusals by the broker, open and aborted transactions, a log that was cut."""

import asyncio
import os
import signal
import socket
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiokafka
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from streams.bus import kafka_connection
from streams.bus.contract import Chunk, NewRecord, Reader, TopicPartition
from streams.bus.kafka import KafkaBus
from streams.bus.kafka_connection import KafkaConfig
from streams.bus.recording import load, record
from streams.errors import CheckFailed, CommitUnknown, Unreachable
from tests.support.kafka import fresh_kafka_bus

F0, M0 = TopicPartition("fills", 0), TopicPartition("marks", 0)


def rec(partition: TopicPartition, value: bytes) -> NewRecord:
    return NewRecord(partition.topic, partition.partition, 1_000_000_000_000, None, value)


async def values_until(reader: Reader, partition: TopicPartition, end: int) -> list[bytes | None]:
    seen: list[bytes | None] = []
    stop = -1
    async with asyncio.timeout(20):
        while stop < end:
            for chunk in await reader.poll(max_records=1000, timeout_ms=50, partitions=[partition]):
                seen += chunk.values
                stop = chunk.stop
    return seen


@pytest.fixture
async def admin(kafka_broker: str) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=kafka_broker)
    await client.start()
    yield client
    await client.close()


@pytest.fixture
def silent_server() -> Iterator[str]:
    """An address where connections are accepted and nothing is ever answered."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"127.0.0.1:{server.getsockname()[1]}"


def nobody_listens() -> str:
    with socket.socket() as once:
        once.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{once.getsockname()[1]}"


def test_the_password_is_never_shown() -> None:
    config = KafkaConfig("broker:9093", "prod", security_protocol="SASL_SSL", sasl_username="risk", sasl_password="hunter2")
    assert "hunter2" not in repr(config)
    assert config.connection()["sasl_plain_password"] == "hunter2"


async def test_nobody_listening_is_told_with_the_address_and_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    address = nobody_listens()
    bus = fresh_kafka_bus(address)
    for attempt in (bus.partitions(), bus.create_topics({"fills": 1}), bus.reader([F0]), bus.writer("accounts-0")):
        with pytest.raises(Unreachable, match=f"{address}.*did not answer.*111") as failure:
            await attempt
        assert failure.value.exit_code == 4
    await bus.close()
    assert [entry.getMessage() for entry in caplog.records if entry.name.startswith("aiokafka") and entry.levelname != "INFO"] == []


async def test_a_server_that_never_answers_is_unreachable_in_bounded_time(silent_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_connection, "REACH_SECONDS", 0.2)
    bus = fresh_kafka_bus(silent_server)
    async with asyncio.timeout(20):
        for attempt in (bus.partitions(), bus.writer("accounts-0")):
            with pytest.raises(Unreachable, match=silent_server):
                await attempt
        await bus.close()


@pytest.mark.kafka
async def test_topics_keep_event_times_of_any_age_as_long_as_the_table_says(kafka_bus: KafkaBus, admin: AIOKafkaAdminClient) -> None:
    await kafka_bus.create_topics({"fills": 1, "notifications": 1})
    settings: dict[str, dict[str, str]] = {}
    for stream in ("fills", "notifications"):
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, kafka_bus.topic(stream))])
        settings[stream] = {name: value for name, value, *_ in answer.resources[0][4]}
    assert settings["fills"]["retention.ms"] == "-1"
    assert settings["notifications"]["retention.ms"] == str(7 * 24 * 3600 * 1000)
    for found in settings.values():
        assert found["cleanup.policy"] == "delete"
        assert found["message.timestamp.type"] == "CreateTime"
        assert found["message.timestamp.before.max.ms"] == found["message.timestamp.after.max.ms"] == str(2**63 - 1)


@pytest.mark.kafka
async def test_deployments_do_not_see_each_other(kafka_broker: str) -> None:
    one, other = fresh_kafka_bus(kafka_broker), fresh_kafka_bus(kafka_broker)
    await one.create_topics({"fills": 2})
    assert await other.partitions() == {}
    await other.create_topics({"fills": 3})
    assert (await one.partitions(), await other.partitions()) == ({"fills": 2}, {"fills": 3})
    await one.close()
    await other.close()


@pytest.mark.kafka
async def test_two_processes_may_create_the_topics_at_once(kafka_bus: KafkaBus, kafka_broker: str) -> None:
    other = KafkaBus(KafkaConfig(kafka_broker, kafka_bus.topic("").removesuffix(".")))
    await asyncio.gather(*(bus.create_topics({f"s{index}": 2 for index in range(5)}) for bus in (kafka_bus, other)))
    assert await other.partitions() == {f"s{index}": 2 for index in range(5)}
    await other.close()


@pytest.mark.kafka
async def test_records_the_broker_refuses_abort_the_whole_commit_and_end_the_writer(kafka_bus: KafkaBus, admin: AIOKafkaAdminClient) -> None:
    await kafka_bus.create_topics({"fills": 1})
    await admin.create_topics([NewTopic(kafka_bus.topic("marks"), 1, 1, topic_configs={"max.message.bytes": "2000"})])
    name = uuid.uuid4().hex
    writer = await kafka_bus.writer(name)
    with pytest.raises(CheckFailed, match=r"refused records for marks\[0\]: MessageSizeTooLargeError"):
        await writer.commit([rec(F0, b"beside it"), rec(M0, bytes(5000))])
    with pytest.raises(CheckFailed, match="refused records"):
        await writer.commit([rec(F0, b"after it")])
    await (await kafka_bus.writer(name)).commit([rec(F0, b"by the next writer")])
    reader = await kafka_bus.reader([F0])
    assert await values_until(reader, F0, 4) == [b"by the next writer"]  # offsets: aborted record, marker, record, marker


@pytest.mark.kafka
async def test_an_open_transaction_holds_back_the_last_stable_offset_until_it_ends(kafka_bus: KafkaBus, kafka_broker: str) -> None:
    await kafka_bus.create_topics({"fills": 1})
    writer, reader = await kafka_bus.writer(uuid.uuid4().hex), await kafka_bus.reader([F0])
    stranger = aiokafka.AIOKafkaProducer(bootstrap_servers=kafka_broker, transactional_id=uuid.uuid4().hex)
    await stranger.start()
    await stranger.begin_transaction()
    await stranger.send_and_wait(kafka_bus.topic("fills"), b"aborted", partition=0)
    assert await writer.commit([rec(F0, b"behind it")]) == {F0: 2}
    assert await reader.bounds(F0) == (0, 0)
    assert await reader.poll(max_records=10, timeout_ms=50) == []
    with pytest.raises(CheckFailed, match="outside its log"):
        await reader.seek(F0, 1)
    await stranger.abort_transaction()
    assert await values_until(reader, F0, 4) == [b"behind it"]
    await stranger.stop()


@pytest.mark.kafka
async def test_a_chunk_covers_aborted_records_and_markers(kafka_bus: KafkaBus, kafka_broker: str) -> None:
    await kafka_bus.create_topics({"fills": 1})
    stranger = aiokafka.AIOKafkaProducer(bootstrap_servers=kafka_broker, transactional_id=uuid.uuid4().hex)
    await stranger.start()
    await stranger.begin_transaction()
    for index in range(3):
        await stranger.send_and_wait(kafka_bus.topic("fills"), b"aborted %d" % index, partition=0)
    await stranger.abort_transaction()
    await stranger.stop()
    reader = await kafka_bus.reader([F0])
    chunks: list[Chunk] = []
    async with asyncio.timeout(20):
        while not chunks or chunks[-1].stop < 4:
            chunks += await reader.poll(max_records=10, timeout_ms=50)
    assert (chunks[0].start, chunks[-1].stop) == (0, 4)
    assert [chunk.values for chunk in chunks if chunk.values] == []


@pytest.mark.kafka
async def test_a_new_writer_aborts_what_its_predecessor_left_open(kafka_bus: KafkaBus, kafka_broker: str) -> None:
    await kafka_bus.create_topics({"fills": 1})
    name = uuid.uuid4().hex
    predecessor = aiokafka.AIOKafkaProducer(bootstrap_servers=kafka_broker, transactional_id=name)
    await predecessor.start()
    await predecessor.begin_transaction()
    await predecessor.send_and_wait(kafka_bus.topic("fills"), b"left open", partition=0)
    writer = await kafka_bus.writer(name)
    await writer.commit([rec(F0, b"good")])
    reader = await kafka_bus.reader([F0])
    assert await values_until(reader, F0, 4) == [b"good"]
    await predecessor.stop()


@pytest.mark.kafka
async def test_a_log_cut_at_its_beginning_names_what_is_left(kafka_bus: KafkaBus, admin: AIOKafkaAdminClient) -> None:
    await kafka_bus.create_topics({"fills": 1})
    writer = await kafka_bus.writer(uuid.uuid4().hex)
    for index in range(3):
        await writer.commit([rec(F0, b"%d" % index)])
    early = await kafka_bus.reader([F0])
    assert await values_until(early, F0, 6) == [b"0", b"1", b"2"]
    await admin.delete_records({aiokafka.TopicPartition(kafka_bus.topic("fills"), 0): RecordsToDelete(before_offset=3)})
    with pytest.raises(CheckFailed, match=r"position 1 of fills\[0\].*offsets 3 to 6"):
        await early.seek(F0, 1)
    early._consumer.seek(aiokafka.TopicPartition(kafka_bus.topic("fills"), 0), 1)  # as if the log had been cut under a reader that lags
    with pytest.raises(CheckFailed, match=r"position 1 of fills\[0\].*offsets 3 to 6"):
        await values_until(early, F0, 6)
    late = await kafka_bus.reader([F0])
    assert await values_until(late, F0, 6) == [b"2"]


@pytest.fixture
def stopped_broker(kafka_broker_process: dict[str, Any]) -> Iterator[Any]:
    """A function that freezes the broker; it goes on after the test at the latest."""
    pid = kafka_broker_process["pid"]
    yield lambda: os.kill(pid, signal.SIGSTOP)
    os.kill(pid, signal.SIGCONT)


@pytest.mark.kafka
async def test_a_commit_without_an_answer_is_unknown_and_the_log_decides(
    kafka_broker: str, kafka_broker_process: dict[str, Any], stopped_broker: Any
) -> None:
    bus = fresh_kafka_bus(kafka_broker, commit_timeout_ms=300)
    await bus.create_topics({"fills": 1})
    name = uuid.uuid4().hex
    writer = await bus.writer(name)
    await writer.commit([rec(F0, b"before")])
    stopped_broker()
    with pytest.raises(CommitUnknown, match=name):
        await writer.commit([rec(F0, b"unknown")])
    with pytest.raises(CommitUnknown):
        await writer.commit([rec(F0, b"never sent")])
    os.kill(kafka_broker_process["pid"], signal.SIGCONT)
    next_writer = await bus.writer(name)
    reader = await bus.reader([F0])
    end = (await reader.bounds(F0))[1]
    already = await values_until(reader, F0, end)
    assert already in ([b"before"], [b"before", b"unknown"])
    last = (await next_writer.commit([rec(F0, b"after")]))[F0]
    assert await values_until(reader, F0, last) == [b"after"]
    await bus.close()


@pytest.mark.kafka
async def test_a_reader_notices_that_the_broker_fell_silent(kafka_bus: KafkaBus, stopped_broker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await kafka_bus.create_topics({"fills": 1})
    reader = await kafka_bus.reader([F0])
    monkeypatch.setattr(kafka_connection, "REACH_SECONDS", 0.2)
    stopped_broker()
    with pytest.raises(Unreachable, match="did not answer"):
        await values_until(reader, F0, 1)


@pytest.mark.kafka
async def test_a_recording_of_the_broker_loads_with_the_same_offsets(kafka_bus: KafkaBus, tmp_path: Path) -> None:
    await kafka_bus.create_topics({"fills": 2, "marks": 1})
    writer = await kafka_bus.writer(uuid.uuid4().hex)
    for index in range(5):
        await writer.commit([rec(F0, b"%d" % index), rec(F0, b"again"), rec(M0, b"mark")])
    live = await kafka_bus.reader([F0])
    async with asyncio.timeout(20):
        while (await live.bounds(F0))[1] < 15:
            await asyncio.sleep(0.005)
    assert await record(kafka_bus, tmp_path, topics=["fills"]) == {"fills": 10}
    loaded = await (await load(tmp_path)).reader([F0])
    assert await loaded.bounds(F0) == (0, 15)
    (chunk,) = await loaded.poll(max_records=100, timeout_ms=0)
    assert chunk.offsets == [0, 1, 3, 4, 6, 7, 9, 10, 12, 13]
    assert chunk.values[:4] == [b"0", b"again", b"1", b"again"]
    assert set(chunk.timestamps_ms) == {1_000_000_000_000}
