"""`backstop doctor`: every setting with where its value comes from, secrets masked; whether broker and ClickHouse answer, and how topics are set."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import SecretStr

from streams.commands.broker import present_topics, topic_faults, wanted_topics
from streams.commands.console import complain, emit_json, run, say
from streams.errors import BackstopError, CheckFailed, ConfigurationProblem, Unreachable
from streams.settings import PREFIX, Settings

MASK = "********"
Flags = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Resolved:
    """One setting: its value as shown, where it comes from, and where else it is set without effect."""

    name: str
    value: str | None
    origin: str
    shadowed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether a service answers. `code` is the exit code that it asks for; 0: all is well, or there is nothing to ask."""

    service: str
    code: int
    text: str


def run_doctor(settings: Settings, *, config: Path | None, flags: Flags, as_json: bool) -> int:
    """0 when all is well; 4 when a service cannot be reached, 3 or 1 when it refuses us, 1 when a topic is set otherwise than it should be."""
    resolved = resolve_settings(settings, config=config, flags=flags)
    kafka = _kafka(settings)
    answers = [kafka, *([] if kafka.code else _topics(settings)), _clickhouse(settings)]
    if as_json:
        rows = [{"name": r.name, "value": r.value, "origin": r.origin, "shadowed": list(r.shadowed)} for r in resolved]
        services = [{"service": a.service, "ok": a.code == 0, "exit_code": a.code, "text": a.text} for a in answers]
        emit_json({"settings": rows, "services": services, "ok": not any(a.code for a in answers)})
    else:
        width = max(len(r.name) for r in resolved)
        say("\n".join(f"{r.name:<{width}}  {'-' if r.value is None else r.value}  ({r.origin})" for r in resolved))
        say("\n".join(f"{a.service}: {a.text}" for a in answers if a.code == 0))
    for setting in resolved:
        if setting.shadowed:
            complain(f"{setting.name} is set in more than one place: {setting.origin} holds, {', '.join(setting.shadowed)} has no effect")
    for answer in answers:
        if answer.code:
            complain(answer.text)
    return max((a.code for a in answers), default=0)


def resolve_settings(settings: Settings, *, config: Path | None, flags: Flags) -> list[Resolved]:
    """Every setting, its origin by the precedence of `load_settings`: flag, environment, .env, --config, default."""
    environment = {name.upper(): value for name, value in os.environ.items() if value}
    dotenv = {name.upper(): value for name, value in dotenv_values(".env").items() if value}
    toml = {} if config is None else tomllib.loads(config.read_text(encoding="utf-8"))
    resolved = []
    for section in Settings.model_fields:
        values = getattr(settings, section)
        for field in type(values).model_fields:
            name = f"{PREFIX}{section}__{field}".upper()
            places = [
                ("flag", (flags.get(section) or {}).get(field) is not None),
                ("environment", name in environment),
                (".env", name in dotenv),
                (f"--config {config}", field in toml.get(section, {})),
            ]
            origins = [origin for origin, is_set in places if is_set]
            whole = f"{PREFIX}{section}".upper()
            if not origins and (whole in environment or whole in dotenv):
                origins = [whole]
            resolved.append(Resolved(name, _shown(getattr(values, field)), (origins or ["default"])[0], tuple(origins[1:])))
    return resolved


def _shown(value: Any) -> str | None:
    if value is None:
        return None
    return MASK if isinstance(value, SecretStr) else str(value)


def _kafka(settings: Settings) -> Answer:
    deployment, address = settings.engine.deployment, settings.kafka.bootstrap_servers
    try:
        present = run(present_topics(settings))
    except BackstopError as error:
        return Answer("kafka", error.exit_code, str(error))
    wanted = wanted_topics(settings)
    missing = [name for name in wanted if name not in present]
    others = [name for name, count in wanted.items() if name in present and present[name] != count]
    topics = f"{len(present)} topics of deployment {deployment}"
    topics += f", {len(missing)} missing (`backstop topics create`)" if missing else ""
    topics += f", {len(others)} with other partition counts than set (`backstop topics check`)" if others else ""
    return Answer("kafka", 0, f"{address} answers; {topics}")


def _topics(settings: Settings) -> list[Answer]:
    """One for each setting of a topic that is not as it should be."""
    try:
        faults = run(topic_faults(settings))
    except BackstopError as error:
        return [Answer("topics", error.exit_code, str(error))]
    if not faults:
        return [Answer("topics", 0, "those that are there are set as they should be")]
    return [Answer("topics", CheckFailed.exit_code, str(fault)) for fault in faults]


def _clickhouse(settings: Settings) -> Answer:
    from streams.sinks.connection import open_server  # noqa: PLC0415 - ClickHouse's client is loaded only where it runs

    server = settings.clickhouse
    if server.host is None:
        return Answer("clickhouse", 0, f"not set up ({PREFIX}CLICKHOUSE__HOST is empty)")
    try:
        client = open_server(host=server.host, port=server.port, username=server.username, password=server.secret or "", secure=server.secure)
        client.close()
    except (Unreachable, ConfigurationProblem) as error:
        return Answer("clickhouse", error.exit_code, str(error))
    return Answer("clickhouse", 0, f"{server.host}:{server.port} answers")
