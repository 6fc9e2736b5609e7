"""The compose stack fits the specification, the settings, the commands and the files of this project, and is closed where it should be."""

import hashlib
import importlib.util
import json
import re
import subprocess
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
import typer

from streams import __version__
from streams.cli import app
from streams.observe.health import Health
from streams.settings import PREFIX, Settings, load_settings
from tests.support.compose import COMPOSE, KAFKA_TLS, dockerfile, load, our_services, services
from tests.support.source import ROOT

SCHEMA = ROOT / "tests" / "support" / "data" / "compose-spec" / "compose-spec.json"
SECRETS = ROOT / "infra" / "secrets"
EVERY, OURS = services(), our_services()
IN_MEMORY = ("/tmp", "/opt/kafka/", "/var/log/")


def variables(service: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in service.get("environment", {}).items()}


@pytest.mark.parametrize("path", [COMPOSE, KAFKA_TLS], ids=lambda path: path.name)
def test_a_compose_file_is_what_the_specification_allows(path: Path) -> None:
    jsonschema.validate(load(path), json.loads(SCHEMA.read_text(encoding="utf-8")))


def test_there_is_no_version_and_no_name_that_would_forbid_scaling() -> None:
    assert "version" not in load()
    for name, service in EVERY.items():
        assert "container_name" not in service, name
        assert "hostname" not in service, name
    assert "ports" not in EVERY["worker"]


@pytest.mark.parametrize("name", EVERY)
def test_images_are_exact_versions(name: str) -> None:
    _, tag = EVERY[name]["image"].rsplit(":", 1)
    assert re.fullmatch(r"v?\d+\.\d+\.\d+(\.\d+)?", tag), tag
    if name in OURS:
        assert tag == __version__


@pytest.mark.parametrize("name", EVERY)
def test_a_service_has_no_more_rights_than_it_needs(name: str) -> None:
    service = EVERY[name]
    uid, _, _ = service["user"].partition(":")
    assert int(uid) > 0
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert "privileged" not in service
    limits = service["deploy"]["resources"]["limits"]
    assert limits.keys() == {"cpus", "memory", "pids"}


def test_nothing_is_published_beyond_the_loopback_interface_and_no_port_twice() -> None:
    published = [port for service in EVERY.values() for port in service.get("ports", ())]
    assert published
    hosts, ports = zip(*(port.split(":")[:2] for port in published), strict=True)
    assert all(ip_address(host).is_loopback for host in hosts)
    assert len(set(ports)) == len(ports)


def test_only_what_is_published_or_fetches_something_leaves_the_private_network() -> None:
    assert load()["networks"]["core"]["internal"] is True
    assert {name for name, service in EVERY.items() if "edge" in service["networks"]} == {
        name for name, service in EVERY.items() if "ports" in service
    }


@pytest.mark.parametrize("name", EVERY)
def test_a_service_is_watched_or_comes_to_an_end(name: str) -> None:
    service = EVERY[name]
    if service["restart"] == "unless-stopped":
        test = service.get("healthcheck", {}).get("test")
        assert name in OURS or test[0] == "CMD"  # ours are watched as the image says
    else:
        assert service["healthcheck"] == {"disable": True}


def test_who_waits_for_whom() -> None:
    for name, service in EVERY.items():
        for other, how in service.get("depends_on", {}).items():
            is_once = EVERY[other]["restart"] != "unless-stopped"
            assert how["condition"] == ("service_completed_successfully" if is_once else "service_healthy"), (name, other)
    assert set(EVERY["sink"]["depends_on"]) == {"topics", "migrate"}


@pytest.mark.parametrize("name", OURS)
def test_the_settings_of_a_service_load(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for variable, value in variables(OURS[name]).items():
        if variable.endswith("_FILE"):
            secret = tmp_path / Path(value).name
            secret.write_text("secret\n", encoding="utf-8")
            monkeypatch.setenv(variable, str(secret))
        else:
            monkeypatch.setenv(variable, value)
    settings = load_settings()
    assert settings.kafka.bootstrap_servers == "kafka:19092"
    assert settings.engine.data_dir == Path("/var/lib/backstop")
    assert not ip_address(settings.observe.bind).is_loopback
    if name in ("migrate", "sink"):
        assert (settings.clickhouse.host, settings.clickhouse.secret) == ("clickhouse", "secret")


def test_every_setting_that_is_named_anywhere_exists() -> None:
    for path in (COMPOSE, KAFKA_TLS, *sorted((ROOT / "infra" / "grafana" / "provisioning").rglob("*.yaml"))):
        for section, field in re.findall(rf"\b{PREFIX}([A-Z]+)__([A-Z_]+)", path.read_text(encoding="utf-8")):
            fields = Settings.model_fields[section.lower()].annotation.model_fields  # type: ignore[union-attr]
            assert field.lower() in fields, f"{path.name}: {PREFIX}{section}__{field}"


def test_grafana_is_given_every_variable_and_file_that_its_provisioning_reads() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "infra" / "grafana" / "provisioning").rglob("*.yaml"))
    text = re.sub(r"rawSql: (\|-\n(\s+.*\n)+?(?=\s+pluginVersion)|\".*\")", "", text)
    wanted = set(re.findall(r"\$([A-Z][A-Z0-9_]+)", text))
    assert wanted <= variables(EVERY["grafana"]).keys()
    files = re.findall(r"\$__file\{([^}]+)\}", text)
    assert files
    assert {Path(file).name for file in files} <= set(EVERY["grafana"]["secrets"])
    (boards,) = re.findall(r'path: "([^"]+)"', text)
    assert any(volume.endswith(f":{boards}:ro") for volume in EVERY["grafana"]["volumes"])


def test_the_deployment_of_all_services_is_one() -> None:
    shared = ("ENGINE__DEPLOYMENT", "ENGINE__SHARDS", "ENGINE__ACCOUNT_PARTITIONS", "KAFKA__BOOTSTRAP_SERVERS")
    for name in shared:
        assert len({variables(service)[PREFIX + name] for service in OURS.values()}) == 1, name


@pytest.mark.parametrize("name", OURS)
def test_a_command_is_one_of_ours_with_options_it_has(name: str) -> None:
    command: Any = typer.main.get_command(app)
    words = list(OURS[name]["command"])
    while words and getattr(command, "commands", None):
        command = command.commands[words.pop(0)]
    with command.make_context(name, words, resilient_parsing=False) as context:
        assert context.params


def test_a_worker_is_given_more_time_to_stop_than_its_grace_period() -> None:
    grace_s = load_settings().engine.grace_ms / 1000
    for name, service in OURS.items():
        if service["command"][0] == "worker":
            assert float(service["stop_grace_period"].removesuffix("s")) > grace_s, name


def test_a_worker_serves_health_where_the_image_asks_for_it() -> None:
    (check,) = [" ".join(part.words) for part in dockerfile() if part.name == "HEALTHCHECK"]
    port, path = re.findall(r"http://127\.0\.0\.1:(\d+)(/\w+)", check)[0]
    assert Health(lag_limit=1).answer(path)[0] == 200
    for service in OURS.values():
        if service["command"][0] == "worker":
            assert service["command"][service["command"].index("--health-port") + 1] == port


def test_everything_that_is_mounted_is_there_and_every_volume_is_declared() -> None:
    document = load()
    used = set()
    for name, service in EVERY.items():
        for volume in service.get("volumes", ()):
            source, _, target = volume.partition(":")
            if source.startswith("./"):
                assert (ROOT / source).exists(), volume
                assert target.endswith(":ro"), volume
            else:
                used.add(source)
                assert not target.startswith(IN_MEMORY), (name, volume)
    assert used == document["volumes"].keys()


def test_secrets_are_files_that_are_made_and_never_values() -> None:
    document = load() | {"override": load(KAFKA_TLS)}
    every = document["secrets"] | document["override"]["secrets"]
    given = [secret if isinstance(secret, str) else secret["source"] for service in EVERY.values() for secret in service.get("secrets", ())]
    assert set(given) == document["secrets"].keys()
    examples = {path.name.removesuffix(".example") for path in SECRETS.glob("*.example")}
    assert {Path(secret["file"]).name for secret in every.values()} - {"kafka_ca.pem"} == examples
    for name, service in EVERY.items():
        for variable, value in variables(service).items():
            if re.search(r"PASSWORD|TOKEN|SECRET", variable):
                assert variable.endswith("_FILE"), (name, variable)
                assert value.removeprefix("/run/secrets/") in service["secrets"], (name, variable)


def test_secrets_are_made_once_and_clickhouse_is_given_their_digests(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("make_secrets", SECRETS / "make.py")
    assert spec is not None
    assert spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    directory = tmp_path / "secrets"
    assert maker.make(directory) == ["clickhouse_password", "grafana_admin_password", "grafana_clickhouse_password"]
    before = {path.name: path.read_text(encoding="utf-8") for path in directory.iterdir()}
    assert maker.make(directory) == []
    assert {path.name: path.read_text(encoding="utf-8") for path in directory.iterdir()} == before
    assert {path.name for path in directory.iterdir()} == {Path(secret["file"]).name for secret in load()["secrets"].values()}
    assert directory.stat().st_mode & 0o077 == 0
    users = ElementTree.fromstring(before["clickhouse_users.xml"])
    for user, password in (("backstop", "clickhouse_password"), ("grafana", "grafana_clickhouse_password")):
        assert users.findtext(f"users/{user}/password_sha256_hex") == hashlib.sha256(before[password].encode()).hexdigest()


def test_the_users_of_clickhouse_are_those_that_the_stack_names() -> None:
    tree = ElementTree.parse(ROOT / "infra" / "clickhouse" / "users.d" / "backstop.xml")
    users = {user.tag: user for user in tree.getroot().iterfind("users/*")}
    assert users["default"].get("remove") == "remove"
    assert users.keys() == {
        "default",
        variables(EVERY["sink"])["BACKSTOP_CLICKHOUSE__USERNAME"],
        variables(EVERY["grafana"])["BACKSTOP_GRAFANA__CLICKHOUSE_USERNAME"],
    }
    assert users["grafana"].findtext("profile") == "desk"
    assert tree.getroot().findtext("profiles/desk/readonly") == "1"
    assert tree.getroot().find("profiles/desk/constraints/max_execution_time/changeable_in_readonly") is not None
    assert {(grant.text or "").split(" ON ")[0] for grant in users["grafana"].iterfind("grants/query")} == {"GRANT SELECT"}
    ElementTree.parse(ROOT / "infra" / "clickhouse" / "config.d" / "backstop.xml")


def test_the_broker_is_set_up_as_the_one_that_the_tests_run_on() -> None:
    template = (ROOT / "infra" / "kafka" / "server.properties.template").read_text(encoding="utf-8")
    tested = dict(line.split("=", 1) for line in template.splitlines() if "=" in line and not line.startswith("#"))
    stack = {name.removeprefix("KAFKA_").lower().replace("_", "."): value for name, value in variables(EVERY["kafka"]).items()}
    same = (tested.keys() & stack.keys()) - {"listeners", "advertised.listeners", "listener.security.protocol.map", "log.dirs"}
    assert {"auto.create.topics.enable", "log.retention.ms", "transaction.state.log.min.isr"} <= same
    assert {name: stack[name] for name in same} == {name: tested[name] for name in same}
    (version,) = re.findall(
        r"<artifactId>kafka_[\d.]+</artifactId>\s*<version>([\d.]+)</version>", (ROOT / "infra/kafka/pom.xml").read_text(encoding="utf-8")
    )
    assert EVERY["kafka"]["image"] == f"apache/kafka:{version}"


def test_the_tls_override_covers_every_service_that_reaches_the_broker() -> None:
    override = load(KAFKA_TLS)["services"]
    assert override.keys() == (OURS.keys() - {"migrate"}) | {"kafka"}
    for name in override.keys() - {"kafka"}:
        given = set(override[name]["environment"])
        assert {f"{PREFIX}KAFKA__SECURITY_PROTOCOL", f"{PREFIX}KAFKA__SASL_PASSWORD_FILE", f"{PREFIX}KAFKA__SSL_CAFILE"} <= given
        assert "edge" in override[name]["networks"]


def test_the_image_is_built_from_what_exists_and_runs_as_nobody() -> None:
    parts = dockerfile()
    stages = [part for part in parts if part.name == "FROM"]
    assert len(stages) == 2
    assert all(re.match(r"python:3\.11\.\d+-slim", stage.words[0]) for stage in stages)
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copied = {word for part in parts if part.name == "COPY" and not part.words[0].startswith("--from") for word in part.words[:-1]}
    assert copied == let_in
    assert [path for path in copied if not (ROOT / path).exists()] == []
    last = [part for part in parts if part.stage == 1]
    (user,) = [part.words[0] for part in last if part.name == "USER"]
    assert user == EVERY["worker"]["user"] == "10001:10001"
    assert not any("requirements.lock" in part.words for part in last)
    build = " ".join(" ".join(part.words) for part in parts if part.stage == 0)
    assert build.count("--require-hashes") == 2
    assert "curl" not in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_what_the_makefile_and_the_stack_call_the_lock_is_one_file() -> None:
    """The lines that take uv itself out of the lock are the Makefile's."""
    cut = re.compile(r"awk '(/\^uv==.*?)' requirements\.lock")
    (ours,) = cut.findall((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    (makes,) = cut.findall((ROOT / "Makefile").read_text(encoding="utf-8"))
    assert ours == makes.replace("$$", "$")


def test_no_secret_can_be_committed() -> None:
    for name in ("clickhouse_password", "grafana_admin_password", "kafka_ca.pem", "clickhouse_users.xml"):
        done = subprocess.run(["git", "check-ignore", "-q", f"infra/secrets/{name}"], cwd=ROOT, check=False)
        assert done.returncode == 0, name
