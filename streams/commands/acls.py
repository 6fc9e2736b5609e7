"""`backstop topics acls`: the rights each role needs on the broker, worked out from the table of topics; nothing beyond them is ever asked for."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from streams.commands.console import emit_json, say
from streams.settings import Settings
from streams.topics import ACCOUNTS_READS, JOURNALS, POOLS_READS, TOPICS

Resource = Literal["topic", "group", "transactional-id", "cluster"]
ROLES = {
    "exchange": "the gateway: writes what happened, reads instructions",
    "engine": "`backstop worker --roles engine`",
    "views": "`backstop worker --roles views`: notifications",
    "sink": "`backstop worker --roles sink`: ClickHouse",
    "operator": "`backstop dlq correct` and `drop`",
    "auditor": "`backstop record`, `replay`, `verify`, `dlq list`, `doctor`",
    "admin": "`backstop topics create` and `check`",
}
SEEN_BY_VIEWS = ("instruments", "pools", "insolvencies", "pool-states")  # the first two for names
LOOKS_AT_SETTINGS = ("engine", "views", "sink", "auditor", "admin")  # of topics: at a worker's start, by `doctor` and by `topics check`


@dataclass(frozen=True, slots=True, order=True)
class Acl:
    """One right. `is_prefix`: on every resource whose name begins so."""

    role: str
    resource: Resource
    name: str
    is_prefix: bool
    operations: tuple[str, ...]


def acls(deployment: str) -> list[Acl]:
    """Every right of every role in one deployment."""
    found = []
    for role in ROLES:
        looks = ("Describe", "DescribeConfigs") if role in LOOKS_AT_SETTINGS else ("Describe",)
        found.append(Acl(role, "topic", f"{deployment}.", is_prefix=True, operations=looks))
        for operation, topics in (("Read", _reads(role)), ("Write", _writes(role))):
            found += _topics(role, deployment, topics, operation)
        found += _others(role, deployment)
    return found


def _topics(role: str, deployment: str, topics: Iterable[str], operation: str) -> list[Acl]:
    wanted = list(topics)
    if len(wanted) == len(TOPICS):
        return [Acl(role, "topic", f"{deployment}.", is_prefix=True, operations=(operation,))]
    return [Acl(role, "topic", f"{deployment}.{topic}", is_prefix=False, operations=(operation,)) for topic in wanted]


def _reads(role: str) -> list[str]:
    match role:
        case "exchange":
            return ["instructions"]
        case "engine":
            return [topic for topic in TOPICS if topic in ACCOUNTS_READS or topic in POOLS_READS or topic in JOURNALS.values()]
        case "views":
            return [topic for topic in TOPICS if topic in SEEN_BY_VIEWS]
        case "sink" | "operator" | "auditor":
            return list(TOPICS)
        case _:
            return []


def _writes(role: str) -> list[str]:
    writers = {"exchange": ("exchange",), "engine": ("accounts", "pools", "engine"), "views": ("notify",)}.get(role, ())
    written = [topic.name for topic in TOPICS.values() if topic.written_by in writers and topic.name != "corrections"]
    return ["corrections"] if role == "operator" else written


def _others(role: str, deployment: str) -> list[Acl]:
    owns = ("Describe", "Write")
    match role:
        case "exchange":
            return [Acl(role, "transactional-id", f"{deployment}-venue", is_prefix=False, operations=owns)]
        case "engine":
            return [
                Acl(role, "topic", f"{deployment}-shards", is_prefix=False, operations=("Describe", "Read")),
                Acl(role, "group", f"{deployment}-workers", is_prefix=False, operations=("Describe", "Read")),
                *(Acl(role, "transactional-id", f"{deployment}-{task}-", is_prefix=True, operations=owns) for task in JOURNALS),
            ]
        case "views":
            return [Acl(role, "group", f"{deployment}-views", is_prefix=False, operations=("Describe", "Read"))]
        case "operator":
            return [Acl(role, "transactional-id", f"{deployment}-dlq", is_prefix=False, operations=owns)]
        case "admin":
            return [
                Acl(role, "topic", f"{deployment}.", is_prefix=True, operations=("Create",)),
                Acl(role, "topic", f"{deployment}-shards", is_prefix=False, operations=("Create", "Describe")),
            ]
        case _:
            return []


def table(deployment: str) -> str:
    """Roles and rights as Markdown tables."""
    lines = ["| role | who |", "| --- | --- |", *(f"| {role} | {who} |" for role, who in ROLES.items()), ""]
    lines += ["| role | resource | names | operations |", "| --- | --- | --- | --- |"]
    grouped: dict[tuple[str, Resource, tuple[str, ...]], list[str]] = {}
    for acl in acls(deployment):
        grouped.setdefault((acl.role, acl.resource, acl.operations), []).append(f"`{acl.name}{'*' if acl.is_prefix else ''}`")
    for (role, resource, operations), names in grouped.items():
        lines.append(f"| {role} | {resource} | {', '.join(names)} | {', '.join(operations)} |")
    return "\n".join(lines)


def run_acls(settings: Settings, *, as_json: bool) -> int:
    """Print the rights; the broker is not asked."""
    deployment = settings.engine.deployment
    if as_json:
        names = ("role", "resource", "name", "is_prefix", "operations")
        emit_json({"deployment": deployment, "acls": [{name: getattr(acl, name) for name in names} for acl in acls(deployment)]})
    else:
        say(table(deployment))
    return 0
