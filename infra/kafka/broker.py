"""One Apache Kafka broker on loopback, for tests and `make kafka-up`: python infra/kafka/broker.py up|down|status [--dir DIR].

Needs a Java 17 runtime; Maven only the first time (the class path is kept in classpath.txt beside this file). Everything else
lives under DIR: data, the broker's output, and broker.json with its pid and address. Standard library only.
"""

import argparse
import ctypes
import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CLASSPATH = HERE / "classpath.txt"
DEFAULT_DIRECTORY = HERE.parent.parent / "run" / "kafka"
START_SECONDS = 60
STOP_SECONDS = 15
API_VERSIONS_REQUEST = struct.pack(">ihhih", 10, 18, 0, 1, -1)  # size, api key, version, correlation id, no client id


SECURE = ("SSL", "SASL_PLAINTEXT", "SASL_SSL")  # listeners beside the plain one
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True)
class Security:
    """Listeners with TLS and SASL beside the plain one. `users`: name -> password, for every mechanism.

    With `acls` only the anonymous user of the plain listener may do what no ACL allows.
    """

    users: Mapping[str, str]
    acls: bool = False


class BrokerProblem(Exception):
    """The broker cannot be started or stopped; the message says what to do."""


def up(directory: Path, *, port: int = 0, die_with_parent: bool = False, security: Security | None = None) -> dict[str, Any]:
    """Start a broker in `directory` (the running one if there is one); returns {pid, bootstrap} once it answers.

    With `security` also {listeners: protocol -> address, ca, client_cert, client_key}: PEM files made for this directory.
    `port` 0 takes a free one. With `die_with_parent` (Linux) the broker also ends when the calling process is killed.
    """
    directory = directory.resolve()
    running = status(directory)
    if running:
        return running
    java = _program("java", "a Java 17 runtime (Debian: openjdk-17-jre-headless)")
    command = [java, "-Xmx1g", "-cp", classpath()]
    directory.mkdir(parents=True, exist_ok=True)
    free_port, controller_port = _free_ports()
    broker_port = port or free_port
    properties = _write_properties(directory, broker_port, controller_port)
    secured = {} if security is None else _secure(directory, properties, security)
    if not (directory / "data" / "meta.properties").exists():
        _format(command, properties, {} if security is None else security.users)
    with (directory / "broker.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "kafka.Kafka", str(properties)],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_end_with_parent if die_with_parent else None,
        )
    try:
        _wait_for_answer(process, broker_port, directory / "broker.log")
    except BaseException:
        process.kill()
        process.wait()
        raise
    state = {"pid": process.pid, "bootstrap": f"127.0.0.1:{broker_port}", **secured}
    (directory / "broker.json").write_text(json.dumps(state) + "\n")
    return state


def down(directory: Path) -> bool:
    """Stop the broker of `directory`; False when none runs."""
    state = status(directory)
    (directory / "broker.json").unlink(missing_ok=True)
    if not state:
        return False
    pid = state["pid"]
    os.kill(pid, signal.SIGTERM)
    if not _gone(pid, STOP_SECONDS):
        os.kill(pid, signal.SIGKILL)
        if not _gone(pid, STOP_SECONDS):
            raise BrokerProblem(f"broker process {pid} does not end, even by SIGKILL: look at it with ps")
    return True


def status(directory: Path) -> dict[str, Any] | None:
    """{pid, bootstrap} of the broker that runs in `directory`, or None."""
    try:
        state = json.loads((directory / "broker.json").read_text())
        # A pid is used again after a reboot: only a process that runs with this directory's properties is ours.
        arguments = Path(f"/proc/{state['pid']}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError, KeyError):
        return None
    return state if os.fsencode(directory.resolve() / "server.properties") in arguments else None


def classpath() -> str:
    """The class path of the broker's jars; resolved by Maven when it is not known or a jar is gone."""
    with (HERE / "pom.xml").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs may start at once
        pom_changed = CLASSPATH.exists() and CLASSPATH.stat().st_mtime < (HERE / "pom.xml").stat().st_mtime
        known = CLASSPATH.read_text().strip() if CLASSPATH.exists() and not pom_changed else ""
        if known and all(Path(jar).exists() for jar in known.split(":")):
            return known
        maven = _program("mvn", "Maven (Debian: maven); it fetches the broker's jars once")
        unfinished = CLASSPATH.with_suffix(".unfinished")
        command = [maven, "-q", "-B", "-f", str(HERE / "pom.xml"), "dependency:build-classpath", f"-Dmdep.outputFile={unfinished}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BrokerProblem(f"Maven could not resolve the broker's jars; check the network and its settings:\n{done.stdout}{done.stderr}")
        unfinished.replace(CLASSPATH)
        return CLASSPATH.read_text().strip()


def _program(name: str, what: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise BrokerProblem(f"`{name}` is not on the PATH: install {what}, or run the tests without the broker: pytest -m 'not kafka'")
    return path


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1 is PR_SET_PDEATHSIG


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _write_properties(directory: Path, broker_port: int, controller_port: int) -> Path:
    text = (HERE / "server.properties.template").read_text()
    filled = {"BROKER_PORT": broker_port, "CONTROLLER_PORT": controller_port, "DIRECTORY": directory}
    for name, value in filled.items():
        text = text.replace(f"@{name}@", str(value))
    properties = directory / "server.properties"
    properties.write_text(text)
    return properties


def _secure(directory: Path, properties: Path, security: Security) -> dict[str, Any]:
    """Add the secured listeners to the properties; what a client must know of them."""
    ports = [port for _ in SECURE for port in _free_ports()][: len(SECURE)]
    addresses = {protocol: f"127.0.0.1:{port}" for protocol, port in zip(SECURE, ports, strict=True)}
    certificates = directory / "certificates"
    _make_certificates(certificates)
    text = properties.read_text()
    more = "".join(f",{protocol}://{address}" for protocol, address in addresses.items())
    kinds = "".join(f",{protocol}:{protocol}" for protocol in SECURE)
    added = {"listeners": more, "advertised.listeners": more, "listener.security.protocol.map": kinds}
    lines = []
    for line in text.splitlines():
        name, _, _ = line.partition("=")
        lines.append(line + added.get(name, ""))
    lines += [
        "inter.broker.listener.name=PLAINTEXT",
        f"sasl.enabled.mechanisms={','.join(MECHANISMS)}",
        "ssl.keystore.type=PEM",
        f"ssl.keystore.location={certificates / 'broker.pem'}",
        "ssl.truststore.type=PEM",
        f"ssl.truststore.location={certificates / 'ca.pem'}",
        "listener.name.ssl.ssl.client.auth=required",
    ]
    users = "".join(f' user_{name}="{password}"' for name, password in security.users.items())
    for listener in ("sasl_plaintext", "sasl_ssl"):
        lines.append(f"listener.name.{listener}.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required{users};")
        for mechanism in MECHANISMS[1:]:
            module = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            lines.append(f"listener.name.{listener}.{mechanism.lower()}.sasl.jaas.config={module}")
    if security.acls:
        lines += ["authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super.users=User:ANONYMOUS"]
    properties.write_text("\n".join(lines) + "\n")
    properties.chmod(0o600)  # it holds passwords
    files = {"ca": "ca.pem", "client_cert": "client.crt", "client_key": "client.key"}
    return {"listeners": addresses, **{name: str(certificates / file) for name, file in files.items()}}


def _make_certificates(directory: Path) -> None:
    """An authority, and a broker's and a client's certificate of it; a day is enough for tests."""
    directory.mkdir(exist_ok=True)
    openssl = _program("openssl", "openssl")

    def run(*arguments: str) -> None:
        done = subprocess.run([openssl, *arguments], cwd=directory, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BrokerProblem(f"openssl {arguments[0]} failed; look at its output:\n{done.stderr}")

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    run("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "1", "-subj", "/CN=backstop test authority")
    for name in ("broker", "client"):
        (directory / f"{name}.ext").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        run("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1", "-extfile", f"{name}.ext")
        run("x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.crt")
    (directory / "broker.pem").write_text((directory / "broker.key").read_text() + (directory / "broker.crt").read_text())


def _format(command: list[str], properties: Path, users: Mapping[str, str]) -> None:
    scram = [f"{mechanism}=[name={name},password={password}]" for mechanism in MECHANISMS[1:] for name, password in users.items()]
    tool = [*command, "kafka.tools.StorageTool"]
    cluster = "YmFja3N0b3AtYnJva2VyMQ"  # any 16 bytes: nothing else joins this cluster
    more = [part for credential in scram for part in ("--add-scram", credential)]
    done = subprocess.run([*tool, "format", "--standalone", "-t", cluster, "-c", str(properties), *more], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BrokerProblem(
            f"the broker's data directory could not be formatted; remove {properties.parent} and try again:\n{done.stdout}{done.stderr}"
        )


def _wait_for_answer(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(port):
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        if process.poll() is not None:
            raise BrokerProblem(f"the broker ended with status {process.returncode} while starting; its output ends with:\n{tail}")
        if time.monotonic() > deadline:
            raise BrokerProblem(f"the broker did not answer within {START_SECONDS} s; its output ({log}) ends with:\n{tail}")
        time.sleep(0.05)


def _answers(port: int) -> bool:
    """True when the broker answers an ApiVersions request without error."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(API_VERSIONS_REQUEST)
            answer = connection.recv(10, socket.MSG_WAITALL)
    except OSError:
        return False
    return len(answer) == 10 and struct.unpack(">iih", answer)[1:] == (1, 0)


def _gone(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if os.waitpid(pid, os.WNOHANG)[0] == pid:  # our own child would stay a zombie
                return True
        except ChildProcessError:
            if not Path(f"/proc/{pid}").exists():
                return True
        time.sleep(0.02)
    return False


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="One Kafka broker on loopback.")
    parser.add_argument("action", choices=("up", "down", "status"))
    parser.add_argument("--dir", type=Path, default=DEFAULT_DIRECTORY, help="where it keeps everything (default: run/kafka)")
    parser.add_argument("--port", type=int, default=0, help="where it listens (default: any free port)")
    arguments = parser.parse_args()
    directory = arguments.dir.resolve()
    try:
        if arguments.action == "up":
            state = up(directory, port=arguments.port)
            print(f"broker runs: {state['bootstrap']} (pid {state['pid']})")
        elif arguments.action == "down":
            print("broker stopped" if down(directory) else "no broker runs here")
        else:
            state_or_none = status(directory)
            print(f"broker runs: {state_or_none['bootstrap']} (pid {state_or_none['pid']})" if state_or_none else "no broker runs here")
            return 0 if state_or_none else 1
    except BrokerProblem as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
