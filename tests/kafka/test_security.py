"""Every client over TLS and SASL on a real broker; wrong credentials are one line and exit code 4; roles do what they must with their rights."""

import asyncio
import json
import os
import ssl
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from streams.bus.contract import TopicPartition
from streams.bus.kafka import KafkaBus
from streams.bus.kafka_connection import KafkaConfig
from streams.cli import main
from streams.commands.acls import ROLES, acls
from streams.commands.broker import kafka_bus, topic_counts
from streams.commands.demo_kafka import environment
from streams.domain.events import Grade
from streams.engine.quiet import RemoteLockStep
from streams.engine.shard import RunnerOptions, ShardRunner
from streams.engine.task import TaskSpec
from streams.errors import CheckFailed, Unreachable
from streams.settings import PREFIX, EngineSettings, KafkaSettings, Settings
from streams.tasks import machine_for
from streams.venue.exchange import Exchange
from streams.venue.scenarios.registry import build
from streams.wire.records import new_record
from tests.support.kafka import broker_launcher
from tests.support.rights import give

pytestmark = pytest.mark.kafka
ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "correct-horse-7f3a"
WRONG = "wrong-battery-91bc"
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A broker with every listener, a user for each role, and no rights for anybody yet."""
    launcher = broker_launcher()
    directory = tmp_path_factory.mktemp("secured")
    users = dict.fromkeys(ROLES, PASSWORD)
    try:
        yield launcher.up(directory, die_with_parent=True, security=launcher.Security(users, acls=True))
    finally:
        launcher.down(directory)


def settings(secured: dict[str, Any], protocol: str, mechanism: str = "SCRAM-SHA-512", **more: Any) -> KafkaSettings:
    """The connection of the role `user` (default: auditor)."""
    fields: dict[str, Any] = {"bootstrap_servers": secured["listeners"][protocol], "security_protocol": protocol}
    if "SSL" in protocol:
        fields["ssl_cafile"] = Path(secured["ca"])
    if protocol == "SSL":
        fields |= {"ssl_certfile": Path(secured["client_cert"]), "ssl_keyfile": Path(secured["client_key"])}
    else:
        fields |= {"sasl_mechanism": mechanism, "sasl_username": "auditor", "sasl_password": PASSWORD, "allow_plaintext": True}
    return KafkaSettings(**{**fields, **more})


def bus(kafka: KafkaSettings, deployment: str = "nobody") -> KafkaBus:
    return kafka_bus(Settings(kafka=kafka, engine=EngineSettings(deployment=deployment)))


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
async def test_a_user_is_let_in_by_every_mechanism(secured: dict[str, Any], protocol: str, mechanism: str) -> None:
    client = bus(settings(secured, protocol, mechanism))
    assert await client.partitions() == {}
    await client.close()


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_a_wrong_password_is_refused_in_words_that_do_not_hold_it(secured: dict[str, Any], mechanism: str) -> None:
    client = bus(settings(secured, "SASL_SSL", mechanism, sasl_password=WRONG))
    with pytest.raises(Unreachable, match=rf"refused user 'auditor' by {mechanism}: correct SASL_USERNAME") as refused:
        await client.partitions()
    assert WRONG not in str(refused.value)
    await client.close()


async def test_a_client_certificate_is_let_in(secured: dict[str, Any]) -> None:
    client = bus(settings(secured, "SSL"))
    assert await client.partitions() == {}
    await client.close()


async def test_a_broker_of_an_authority_that_is_not_trusted_is_not_talked_to(secured: dict[str, Any]) -> None:
    client = bus(settings(secured, "SASL_SSL", ssl_cafile=None))
    with pytest.raises(Unreachable, match="no TLS connection"):
        await client.partitions()
    await client.close()


async def test_the_name_of_the_broker_is_checked() -> None:
    context = KafkaSettings(security_protocol="SSL").ssl_context()
    assert context is not None
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)


def process(kafka: KafkaSettings, *command: str) -> subprocess.CompletedProcess[str]:
    """A command as a person runs it, with the connection in its environment."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    variables = environment(Settings(kafka=kafka, engine=EngineSettings()))
    line = [sys.executable, "-m", "streams.cli", *command]
    return subprocess.run(line, capture_output=True, text=True, cwd=ROOT, env={**clean, **variables}, timeout=60, check=False)


@pytest.mark.parametrize("command", [("worker", "--roles", "engine"), ("worker", "--roles", "views"), ("topics", "check"), ("doctor",)])
def test_a_wrong_password_ends_every_command_with_code_4_and_is_nowhere_in_its_output(secured: dict[str, Any], command: tuple[str, ...]) -> None:
    done = process(settings(secured, "SASL_SSL", sasl_password=WRONG), *command)
    assert done.returncode == 4, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("backstop: ")]
    assert len(said) == 1
    assert "refused user 'auditor'" in said[0]
    assert WRONG not in done.stdout + done.stderr


def role(secured: dict[str, Any], name: str, deployment: str) -> KafkaBus:
    return bus(settings(secured, "SASL_SSL", sasl_username=name), deployment)


@pytest.fixture(scope="module")
def deployment(secured: dict[str, Any]) -> str:
    """A deployment whose topics the admin has created, and on which engine, exchange and auditor have their rights."""
    name = f"t{uuid.uuid4().hex[:8]}"

    async def create() -> None:
        await give(secured["bootstrap"], [acl for acl in acls(name) if acl.role in ("admin", "engine", "exchange", "auditor")])
        admin = role(secured, "admin", name)
        await admin.create_topics(topic_counts(account_partitions=2, shards=1))
        await admin.close()

    asyncio.run(create())
    return name


async def play(secured: dict[str, Any], name: str) -> None:
    """Example A: the engine's shards and the exchange, each as its own user."""
    engine, exchange = role(secured, "engine", name), role(secured, "exchange", name)
    specs = [TaskSpec("accounts", 0, 1, 2, name), TaskSpec("pools", 0, 1, 2, name)]
    runners = [ShardRunner(engine, spec, machine_for, owner="test", options=RunnerOptions(patience_ms=None, in_turns=True)) for spec in specs]
    for runner in runners:
        await runner.start()
    stop = asyncio.Event()
    running = [asyncio.create_task(runner.run(stop)) for runner in runners]
    # The exchange's side of the lock-step looks into the journals, which a gateway need not: it reads as the auditor.
    await RemoteLockStep(_TwoUsers(exchange, role(secured, "auditor", name)), specs, Exchange(build("example-a", account_partitions=2))).run()
    stop.set()
    await asyncio.gather(*running)
    await engine.close()
    await exchange.close()


class _TwoUsers:
    """A bus that writes as one user and reads as another."""

    def __init__(self, writes: KafkaBus, reads: KafkaBus) -> None:
        self._writes, self._reads = writes, reads

    async def create_topics(self, partitions: Any) -> None:
        raise NotImplementedError

    async def topic_ids(self) -> dict[str, str]:
        return await self._reads.topic_ids()

    async def partitions(self) -> dict[str, int]:
        return await self._reads.partitions()

    async def reader(self, partitions: Any) -> Any:
        return await self._reads.reader(partitions)

    async def writer(self, transactional_id: str) -> Any:
        return await self._writes.writer(transactional_id)

    async def close(self) -> None:
        await self._reads.close()


async def test_the_pipeline_runs_with_the_rights_of_the_table(secured: dict[str, Any], deployment: str, capfd: pytest.CaptureFixture[str]) -> None:
    await play(secured, deployment)
    done = await asyncio.to_thread(process, settings(secured, "SASL_SSL"), "verify", "--bus", "kafka", "--deployment", deployment, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["same"] is True


async def test_a_worker_with_engine_and_views_runs_over_tls_with_a_password(secured: dict[str, Any], tmp_path: Path) -> None:
    name = f"t{uuid.uuid4().hex[:8]}"
    needed = [acl for acl in acls(name) if acl.role in ("engine", "views", "admin")]
    await give(secured["bootstrap"], [replace(acl, role="engine") for acl in needed])
    kafka = settings(secured, "SASL_SSL", sasl_username="engine")
    its = Settings(kafka=kafka, engine=EngineSettings(deployment=name, shards=1, account_partitions=2, data_dir=tmp_path))
    clean = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
    line = [sys.executable, "-m", "streams.cli"]
    variables = {**clean, **environment(its)}
    created = await asyncio.create_subprocess_exec(*line, "topics", "create", cwd=ROOT, env=variables)
    assert await created.wait() == 0
    worker = await asyncio.create_subprocess_exec(*line, "worker", "--roles", "all", stderr=subprocess.PIPE, cwd=ROOT, env=variables)
    assert worker.stderr is not None
    said = b""
    async with asyncio.timeout(90):
        while not (b"views_started" in said and said.count(b"shard_started") == 2):
            line_read = await worker.stderr.readline()
            assert line_read, said
            said += line_read
        worker.terminate()
        said += (await worker.communicate())[1]
    assert worker.returncode == 0, said
    assert PASSWORD.encode() not in said


@pytest.mark.parametrize(
    ("user", "stream"),
    [
        ("engine", "account-events"),
        ("engine", "corrections"),
        ("exchange", "instructions"),
        ("exchange", "corrections"),
        ("exchange", "accounts-journal"),
    ],
)
async def test_nobody_writes_what_is_another_roles(secured: dict[str, Any], deployment: str, user: str, stream: str) -> None:
    client = role(secured, user, deployment)
    mark = {"event_time_us": 1, "instrument": 1, "mark_ticks": 1, "index_ticks": 1, "sequence": 1, "grade": Grade.GOOD}
    record = new_record("marks", mark)
    writer = await client.writer(f"{deployment}-{'venue' if user == 'exchange' else 'accounts-99'}")
    with pytest.raises(CheckFailed):
        await writer.commit([type(record)(stream, 0, record.timestamp_ms, record.key, record.value)])
    await client.close()


async def test_the_auditor_may_not_fence_a_shard(secured: dict[str, Any], deployment: str) -> None:
    client = role(secured, "auditor", deployment)
    with pytest.raises(CheckFailed):
        await client.writer(f"{deployment}-accounts-0")
    await client.close()


async def test_a_stream_that_may_not_be_read_is_an_error_that_says_so(secured: dict[str, Any], deployment: str) -> None:
    client = role(secured, "exchange", deployment)
    reader = await client.reader([TopicPartition("account-events", 0)])
    with pytest.raises(CheckFailed, match="allows no reading of"):
        await reader.poll(max_records=1, timeout_ms=60_000)
    await client.close()


def test_the_configuration_never_shows_the_password() -> None:
    config = KafkaConfig(bootstrap_servers="b:1", deployment="d", sasl_username="risk", sasl_password=PASSWORD)
    assert PASSWORD not in repr(config)
    assert main(["doctor", "--help"]) == 0
