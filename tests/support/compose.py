"""The compose files and the Dockerfile of the project, read as the tools read them: anchors merged, overrides resolved."""

import re
from dataclasses import dataclass
from typing import Any

import yaml

from tests.support.source import ROOT

COMPOSE = ROOT / "docker-compose.yml"
KAFKA_TLS = ROOT / "docker-compose.kafka-tls.yml"
OURS = "backstop:"


class _Loader(yaml.SafeLoader):
    """YAML with the one tag of compose that the override uses."""


_LOADER_RESET = object()
_Loader.add_constructor("!reset", lambda _loader, _node: _LOADER_RESET)


def load(path: Any = COMPOSE) -> dict[str, Any]:
    """A compose file; what `!reset` stands at is gone."""
    document = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    return {name: _without_reset(part) for name, part in document.items()}


def _without_reset(part: Any) -> Any:
    if isinstance(part, dict):
        return {name: _without_reset(value) for name, value in part.items() if value is not _LOADER_RESET}
    return part


def services() -> dict[str, dict[str, Any]]:
    """Services of docker-compose.yml."""
    found: dict[str, dict[str, Any]] = load()["services"]
    return found


def our_services() -> dict[str, dict[str, Any]]:
    """Those that run `backstop`."""
    return {name: service for name, service in services().items() if service["image"].startswith(OURS)}


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile."""

    stage: int
    name: str
    words: tuple[str, ...]


def dockerfile() -> list[Instruction]:
    """Its instructions, with the number of their stage."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    found, stage = [], -1
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            name, *words = line.split()
            stage += name == "FROM"
            found.append(Instruction(stage, name, tuple(words)))
    return found
