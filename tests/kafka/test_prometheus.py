"""A real Prometheus scrapes a real worker on a real broker under the rules of this project, and alerts fire on what happens to the worker."""

import asyncio
import json
import shutil
import signal
import subprocess
import urllib.parse
import urllib.request
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.bus.contract import NewRecord
from streams.commands.broker import kafka_bus
from streams.settings import EngineSettings, KafkaSettings, Settings
from tests.support.source import ROOT
from tests.support.stack import Stack, free_port, stack, until

pytestmark = pytest.mark.kafka
INFRA = ROOT / "infra" / "prometheus"


class Prometheus:
    """Its HTTP interface."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer; None while it does not answer."""
        try:
            with urllib.request.urlopen(f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=5) as answer:
                return json.load(answer)["data"]
        except OSError:
            return None

    def value(self, expression: str) -> float | None:
        """The one value of an expression; None where it has none."""
        data = self.ask("query", query=expression)
        return float(data["result"][0]["value"][1]) if data and data["result"] else None

    def alerts(self, name: str) -> list[dict[str, Any]]:
        """Alerts of this name, pending or firing."""
        found = self.ask("alerts")
        return [alert for alert in found["alerts"] if alert["labels"]["alertname"] == name] if found else []


@asynccontextmanager
async def prometheus(directory: Path, targets: dict[str, int]) -> AsyncIterator[Prometheus]:
    """Prometheus with the rules as they are shipped; its targets are ports here, and it looks every half second."""
    command = shutil.which("prometheus")
    assert command, "prometheus is missing: apt-get install prometheus"
    shutil.copytree(INFRA / "rules", directory / "rules")
    document = yaml.safe_load((INFRA / "prometheus.yml").read_text(encoding="utf-8"))
    document["global"] = {"scrape_interval": "500ms", "scrape_timeout": "400ms", "evaluation_interval": "500ms"}
    document["scrape_configs"] = [
        {"job_name": job["job_name"], "static_configs": [{"targets": [f"127.0.0.1:{targets[job['job_name']]}"]}]}
        for job in document["scrape_configs"]
        if job["job_name"] in targets
    ]
    (directory / "prometheus.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        command,
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        stderr=subprocess.DEVNULL,
    )
    try:
        yield Prometheus(port)
    finally:
        process.terminate()
        await process.wait()


@pytest.fixture
async def running(kafka_broker: str, tmp_path: Path) -> AsyncIterator[Stack]:
    async with stack(kafka_broker, f"p{uuid.uuid4().hex[:10]}", tmp_path) as made:
        assert (await asyncio.to_thread(made.run, "topics")).returncode == 0
        yield made


async def write_nonsense(running: Stack) -> None:
    """A fill that nobody can read."""
    engine = EngineSettings(deployment=running.deployment, shards=2, account_partitions=8)
    bus = kafka_bus(Settings(kafka=KafkaSettings(bootstrap_servers=running.broker), engine=engine))
    writer = await bus.writer(uuid.uuid4().hex)
    await writer.commit([NewRecord("account-events", 3, 1_700_000_000_000, b"\0" * 8, b"nonsense")])
    await writer.close()
    await bus.close()


async def test_alerts_fire_on_what_happens_to_a_worker(running: Stack, tmp_path: Path) -> None:
    ports = {"--health-port": free_port(), "--metrics-port": free_port()}
    worker = await running.start("worker", ports)
    home = tmp_path / "prometheus"
    home.mkdir()
    async with prometheus(home, {"backstop-engine": ports["--metrics-port"]}) as seen:
        await until(lambda: seen.value("sum(shard:backstop_shard_running:sum)") == 3)
        groups = seen.ask("rules")["groups"]
        shipped = [group["name"] for path in (INFRA / "rules").glob("*.yml") for group in yaml.safe_load(path.read_text())["groups"]]
        assert sorted(group["name"] for group in groups) == sorted(shipped)
        await until(lambda: all(rule["health"] == "ok" for group in seen.ask("rules")["groups"] for rule in group["rules"]))
        assert seen.value('up{job="backstop-engine"}') == 1
        assert seen.alerts("BackstopDeadLetters") == []

        await write_nonsense(running)
        await until(lambda: [alert["state"] for alert in seen.alerts("BackstopDeadLetters")] == ["firing"])
        (alert,) = seen.alerts("BackstopDeadLetters")
        assert alert["labels"]["severity"] == "warning"
        assert alert["annotations"]["runbook_url"] == "docs/runbook.md#dead-letters"
        assert alert["annotations"]["summary"].startswith("Records could not be applied: ")
        assert seen.value("sum(backstop_dead_letters_total)") == 1

        worker.signal(signal.SIGKILL)
        await worker.ended()
        await until(lambda: [alert["labels"]["job"] for alert in seen.alerts("BackstopWorkerDown")] == ["backstop-engine"])
        await until(lambda: seen.alerts("BackstopNoWorker"))
