"""A deployment on a real broker: replayed and verified from its topics, and recorded into a directory that gives the same."""

import asyncio
import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from streams.bus.contract import NewRecord, TopicPartition
from streams.bus.kafka import KafkaBus
from streams.bus.kafka_connection import KafkaConfig
from streams.cli import main
from streams.commands.broker import topic_counts
from streams.engine.quiet import RemoteLockStep
from streams.engine.shard import RunnerOptions, ShardRunner
from streams.engine.task import TaskSpec
from streams.tasks import machine_for
from streams.venue.exchange import Exchange
from streams.venue.scenarios.registry import build
from streams.wire.records import ACCOUNT

pytestmark = pytest.mark.kafka


@dataclass(frozen=True)
class Deployment:
    address: str
    name: str

    @property
    def flags(self) -> list[str]:
        return ["--deployment", self.name, "-b", self.address]


async def play(deployment: Deployment) -> None:
    """Example A through the pipeline, in lock-step, on the broker."""
    bus = KafkaBus(KafkaConfig(bootstrap_servers=deployment.address, deployment=deployment.name))
    await bus.create_topics(topic_counts(account_partitions=4, shards=2))
    specs = [
        TaskSpec("accounts", 0, 2, 4, deployment.name),
        TaskSpec("accounts", 1, 2, 4, deployment.name),
        TaskSpec("pools", 0, 2, 4, deployment.name),
    ]
    runners = [ShardRunner(bus, spec, machine_for, owner="test", options=RunnerOptions(patience_ms=None, in_turns=True)) for spec in specs]
    for runner in runners:
        await runner.start()
    stop = asyncio.Event()
    running = [asyncio.create_task(runner.run(stop)) for runner in runners]
    await RemoteLockStep(bus, specs, Exchange(build("example-a", account_partitions=4))).run()
    stop.set()
    await asyncio.gather(*running)
    await bus.close()


@pytest.fixture(scope="module")
def deployment(kafka_broker: str) -> Deployment:
    played = Deployment(kafka_broker, f"t{uuid.uuid4().hex[:12]}")
    asyncio.run(play(played))
    return played


def answer(capfd: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == code
    document: dict[str, Any] = json.loads(capfd.readouterr().out)
    return document


def test_topics_verify_and_replay_as_their_recording_does(capfd: pytest.CaptureFixture[str], deployment: Deployment, tmp_path: Path) -> None:
    verified = answer(capfd, "verify", "--bus", "kafka", *deployment.flags)
    assert verified["same"] is True
    assert verified["steps"] > 0
    replayed = answer(capfd, "replay", "--bus", "kafka", *deployment.flags)
    assert replayed["identical"] is True
    recorded = answer(capfd, "record", "--dir", str(tmp_path / "run"), *deployment.flags)
    assert recorded["records"]["account-events"] > 0
    assert answer(capfd, "verify", "--dir", str(tmp_path / "run"))["same"] is True
    again = answer(capfd, "replay", "--dir", str(tmp_path / "run"))
    assert [again[name] for name in ("state_digest", "output_digest", "decision_digest")] == [
        replayed[name] for name in ("state_digest", "output_digest", "decision_digest")
    ]


def test_a_range_of_some_topics_is_recorded_by_time_and_by_offset(capfd: pytest.CaptureFixture[str], deployment: Deployment, tmp_path: Path) -> None:
    whole = answer(capfd, "record", "--dir", str(tmp_path / "whole"), "-t", "marks", "-t", "account-events", *deployment.flags)
    assert set(whole["records"]) == {"marks", "account-events"}
    part = answer(capfd, "record", "--dir", str(tmp_path / "part"), "-t", "marks", "--from", "1", "--to", "marks/0=3", *deployment.flags)
    assert part["ranges"] == [{"topic": "marks", "partition": 0, "from": 1, "to": 3}]
    nothing = answer(capfd, "record", "--dir", str(tmp_path / "nothing"), "-t", "marks", "--from", "2200-01-01", *deployment.flags)
    assert nothing["records"] == {"marks": 0}
    everything = answer(capfd, "record", "--dir", str(tmp_path / "all"), "-t", "marks", "--from", "s@0", "--to", "2200-01-01", *deployment.flags)
    assert everything["records"] == {"marks": whole["records"]["marks"]}


def test_a_stream_that_is_not_there_is_a_usage_error(capfd: pytest.CaptureFixture[str], deployment: Deployment, tmp_path: Path) -> None:
    assert main(["record", "--dir", str(tmp_path / "run"), "-t", "trades", *deployment.flags]) == 2
    assert "there is no such topic" in capfd.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_deployment_without_topics_fails_the_check(capfd: pytest.CaptureFixture[str], kafka_broker: str) -> None:
    assert main(["verify", "--bus", "kafka", "--deployment", "nobody", "-b", kafka_broker]) == 1
    assert "no topics of deployment nobody" in capfd.readouterr().err


def test_doctor_finds_a_broker_that_answers(capfd: pytest.CaptureFixture[str], deployment: Deployment) -> None:
    document = answer(capfd, "doctor", *deployment.flags)
    assert document["ok"] is True


async def broken_fill(deployment: Deployment) -> None:
    """A fill cut short, for account 9 in its partition; its shard takes it."""
    bus = KafkaBus(KafkaConfig(bootstrap_servers=deployment.address, deployment=deployment.name))
    writer = await bus.writer(f"{deployment.name}-broken")
    await writer.commit([NewRecord("account-events", 1, 0, ACCOUNT.pack(9), b"\xc3\x01short")])
    await take(deployment, "account-events")
    await bus.close()


async def take(deployment: Deployment, stream: str) -> None:
    """The shard of partition 1 runs until it has taken one more record of the stream."""
    bus = KafkaBus(KafkaConfig(bootstrap_servers=deployment.address, deployment=deployment.name))
    runner = ShardRunner(bus, TaskSpec("accounts", 1, 2, 4, deployment.name), machine_for, owner="test", options=RunnerOptions(patience_ms=None))
    await runner.start()
    partition = TopicPartition(stream, 1)
    before = runner.task.counts[partition]
    async with asyncio.timeout(60):
        while runner.task.counts[partition] == before:
            await runner.turn()
            await asyncio.sleep(0.01)  # a fetch of the broker's is on its way
    await runner.stop()
    await bus.close()


def test_a_dead_letter_is_let_go_through_the_topic_of_corrections(capfd: pytest.CaptureFixture[str], kafka_broker: str) -> None:
    deployment = Deployment(kafka_broker, f"t{uuid.uuid4().hex[:12]}")
    asyncio.run(play(deployment))
    asyncio.run(broken_fill(deployment))
    where = ["--bus", "kafka", *deployment.flags]
    (letter,) = answer(capfd, "dlq", "list", *where, "--reveal")["dead_letters"]
    assert (letter["account"], letter["reason"], letter["status"]) == (9, "UNDECODABLE", "open")
    sent = answer(capfd, "dlq", "drop", letter["place"], "--reason", "a probe", "--wait", "1", *where, code=1)
    assert (sent["written"], sent["outcome"]) == (True, "waiting")  # no engine is running
    asyncio.run(take(deployment, "corrections"))
    assert answer(capfd, "dlq", "list", *where)["open"] == 0
    assert answer(capfd, "verify", *where)["same"] is True
