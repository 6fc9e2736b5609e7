"""The services of docker-compose.yml as processes of this machine: the same command lines and environment, other addresses, ports and directories."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.compose import dockerfile, our_services
from tests.support.source import ROOT
from tests.support.workers import PATIENCE_SECONDS, Worker


def free_port() -> int:
    """A port of the loopback interface that nobody had a moment ago."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


@dataclass
class Stack:
    """One deployment on a broker, and the processes of its services. `clickhouse` is (host, port, password) of a server."""

    broker: str
    deployment: str
    directory: Path
    clickhouse: tuple[str, int, str] = ("127.0.0.1", 1, "")
    started: list[Worker] = field(default_factory=list)

    def environment(self, service: str) -> dict[str, str]:
        """The service's, brought to this machine."""
        secrets = self.directory / "secrets"
        secrets.mkdir(exist_ok=True)
        (secrets / "clickhouse_password").write_text(self.clickhouse[2] + "\n", encoding="utf-8")
        here = {
            "BACKSTOP_KAFKA__BOOTSTRAP_SERVERS": self.broker,
            "BACKSTOP_ENGINE__DEPLOYMENT": self.deployment,
            "BACKSTOP_ENGINE__DATA_DIR": str(self.directory / service),
            "BACKSTOP_OBSERVE__BIND": "127.0.0.1",
            "BACKSTOP_CLICKHOUSE__HOST": self.clickhouse[0],
            "BACKSTOP_CLICKHOUSE__PORT": str(self.clickhouse[1]),
            "BACKSTOP_CLICKHOUSE__PASSWORD_FILE": str(secrets / "clickhouse_password"),
        }
        wanted = {name: str(value) for name, value in our_services()[service]["environment"].items() if name.startswith("BACKSTOP_")}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BACKSTOP_")}
        return kept | {name: here.get(name, value) for name, value in wanted.items()}

    def command(self, service: str, ports: dict[str, int] | None = None, extra: Sequence[str] = ()) -> list[str]:
        """The service's command line, with the ports of this machine where it names some."""
        words = [str(word) for word in our_services()[service]["command"]]
        for option, port in (ports or {}).items():
            words[words.index(option) + 1] = str(port)
        return [sys.executable, "-m", "streams.cli", *words, *extra]

    def run(self, service: str) -> subprocess.CompletedProcess[str]:
        """A service that comes to an end."""
        return subprocess.run(
            self.command(service), env=self.environment(service), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
        )

    async def start(self, service: str, ports: dict[str, int] | None = None, extra: Sequence[str] = ()) -> Worker:
        """A service that runs until it is told to stop."""
        process = await asyncio.create_subprocess_exec(
            *self.command(service, ports, extra), stderr=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env=self.environment(service)
        )
        worker = Worker(process)
        worker.reading = asyncio.create_task(worker._read())
        self.started.append(worker)
        return worker


@asynccontextmanager
async def stack(broker: str, deployment: str, directory: Path, clickhouse: tuple[str, int, str] = ("127.0.0.1", 1, "")) -> AsyncIterator[Stack]:
    """A stack whose processes are gone at the end."""
    running = Stack(broker, deployment, directory, clickhouse)
    try:
        yield running
    finally:
        for worker in running.started:
            if worker.process.returncode is None:
                worker.signal(signal.SIGKILL)
        for worker in running.started:
            await worker.ended()


def health_check(port: int) -> int:
    """Exit code of the image's own health check, at another port."""
    (words,) = [part.words for part in dockerfile() if part.name == "HEALTHCHECK"]
    text = " ".join(words)
    command: list[str] = json.loads(text[text.index("CMD [") + 4 :])
    code = command[2].replace(":8080/", f":{port}/")
    return subprocess.run([sys.executable, *command[1:2], code], capture_output=True, timeout=30, check=False).returncode


async def until(what: Callable[[], object]) -> None:
    """Wait until it is so, for as long as a worker may take to come up."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await asyncio.to_thread(what):
            await asyncio.sleep(0.05)
