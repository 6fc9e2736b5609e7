"""Topics that others have made, set so that records are lost or dated anew: named by the commands, refused by worker and writer, told by readers."""

import asyncio
import json
import uuid
from pathlib import Path
from typing import Any

import aiokafka
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from structlog.testing import capture_logs

from streams.bus.contract import NewRecord, TopicPartition
from streams.cli import main
from streams.commands.demo_kafka import environment
from streams.errors import CheckFailed
from streams.settings import EngineSettings, KafkaSettings, Settings
from tests.support.kafka import fresh_kafka_bus

pytestmark = pytest.mark.kafka

WRONG = {
    "marks": {"message.timestamp.type": "LogAppendTime"},
    "account-events": {"cleanup.policy": "compact", "retention.ms": "3600000"},
    "insolvencies": {"message.timestamp.type": "LogAppendTime"},
    "accounts-journal": {"cleanup.policy": "compact", "max.message.bytes": "1000"},
}


def deployment(kafka_broker: str, monkeypatch: pytest.MonkeyPatch, data_dir: Path) -> Settings:
    engine = EngineSettings(deployment=f"t{uuid.uuid4().hex[:12]}", shards=1, account_partitions=1, data_dir=data_dir)
    settings = Settings(kafka=KafkaSettings(bootstrap_servers=kafka_broker), engine=engine)
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    return settings


async def make(address: str, topics: dict[str, dict[str, str]]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    await admin.create_topics([NewTopic(name, 1, 1, topic_configs=config) for name, config in topics.items()])
    await admin.close()


async def alter(address: str, topic: str, settings: dict[str, str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, settings)])
    await admin.close()


def test_topics_of_another_policy_are_named_by_every_command_and_no_worker_starts(
    kafka_broker: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    name = deployment(kafka_broker, monkeypatch, tmp_path).engine.deployment
    asyncio.run(make(kafka_broker, {f"{name}.{stream}": config for stream, config in WRONG.items()}))
    wrong = {(f"{name}.{stream}", setting, value) for stream, config in WRONG.items() for setting, value in config.items()}

    def named(document: dict[str, Any]) -> set[tuple[str, str, str]]:
        return {(each["topic"], each["setting"], each["found"]) for each in document["faults"]}

    assert main(["topics", "create", "--json"]) == 1
    assert named(json.loads(capfd.readouterr().out)) == wrong
    assert main(["topics", "check", "--json"]) == 1
    assert named(json.loads(capfd.readouterr().out)) == wrong
    assert main(["doctor"]) == 1
    told = capfd.readouterr().err
    for topic, setting, value in wrong:
        assert f"topic {topic}: {setting} is {value}" in told
    assert main(["worker", "--roles", "engine"]) == 1
    assert "cleanup.policy is compact" in capfd.readouterr().err.splitlines()[-1]


def test_a_topic_mended_by_the_command_is_right(
    kafka_broker: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    name = deployment(kafka_broker, monkeypatch, tmp_path).engine.deployment
    assert main(["topics", "create"]) == 0
    capfd.readouterr()
    asyncio.run(alter(kafka_broker, f"{name}.instructions", {"message.timestamp.type": "LogAppendTime"}))
    assert main(["topics", "check", "--json"]) == 1
    faults = {each["setting"]: each for each in json.loads(capfd.readouterr().out)["faults"]}
    assert faults["message.timestamp.type"]["stops"] is True
    mended = {setting: each["mend"].rpartition("=")[2] for setting, each in faults.items()}
    asyncio.run(alter(kafka_broker, f"{name}.instructions", mended))
    assert main(["topics", "check"]) == 0


@pytest.mark.parametrize("by_batches", [True, False])
async def test_a_writer_refuses_a_topic_whose_records_the_broker_dates_and_a_reader_tells_of_it(kafka_broker: str, by_batches: bool) -> None:
    bus = fresh_kafka_bus(kafka_broker, record_batches=by_batches)
    await bus.create_topics({"marks": 1, "fills": 1})
    good, dated = NewRecord("fills", 0, 1_000_000_000_000, None, b"1"), NewRecord("marks", 0, 1_000_000_000_000, None, b"2")
    await (await bus.writer("a")).commit([good, dated])
    await alter(kafka_broker, bus.topic("marks"), {"message.timestamp.type": "LogAppendTime", "retention.ms": "-1"})
    writer = await bus.writer("a")
    with pytest.raises(CheckFailed, match=rf"topic {bus.topic('marks')} itself .*message.timestamp.type=CreateTime"):
        await writer.commit([good] * 40 + [dated] * 40)
    stranger = aiokafka.AIOKafkaProducer(bootstrap_servers=kafka_broker)
    await stranger.start()
    await stranger.send_and_wait(bus.topic("marks"), b"3", partition=0, timestamp_ms=1_000_000_000_000)
    await stranger.stop()
    reader = await bus.reader([TopicPartition("marks", 0), TopicPartition("fills", 0)])
    seen: list[bytes | None] = []
    with capture_logs() as logged:
        async with asyncio.timeout(20):
            while b"3" not in seen:
                seen += [value for chunk in await reader.poll(max_records=100, timeout_ms=100) for value in chunk.values]
    assert sorted(value or b"" for value in seen) == [b"1", b"2", b"3"]
    (told,) = [line for line in logged if line["event"] == "records_dated_by_broker"]
    assert (told["topic"], told["partition"]) == ("marks", 0)
    await bus.close()
