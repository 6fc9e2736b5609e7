"""Grafana over HTTP: what is wanted is compared with what is there, and only what differs is written. Everything goes by uid.

The transport is grafana-api's, which raises on an answer without a body and never tries again; both are put right here. What Grafana adds to a
document of its own (ids, defaults, versions) is no difference. A secret cannot be read back, so it is written with what else has changed.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

from grafana_api.grafana_api import GrafanaClientError, GrafanaServerError, GrafanaUnauthorizedError
from grafana_api.grafana_face import GrafanaFace
from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import JSONDecodeError, RequestException, SSLError, Timeout

from streams.errors import CheckFailed, ConfigurationProblem, Unreachable
from streams.settings import PREFIX, GrafanaSettings

ATTEMPTS = 5
FIRST_PAUSE_S = 0.5  # doubled after every attempt: 7.5 s in all, which outlasts a restart behind a load balancer
TIMEOUT_S = 10.0
WRITES = 3  # a conflict means that somebody else wrote in between: look again, at most so often
NOT_FOUND, FORBIDDEN = 404, 403
CONFLICTS = (409, 412)

Json = dict[str, Any]
Request = tuple[str, str, Json]  # verb, path, body


class Change(Enum):
    """What became, or would become, of one thing."""

    CREATED = "created"
    UPDATED = "updated"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class Thing:
    """Something in Grafana: where it is read, what must be found there, and how it is made or changed into that."""

    kind: str
    uid: str
    path: str
    wanted: Json
    create: Callable[[], Request]
    update: Callable[[Json], Request]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done about one thing; `differences` are the places in which what was found is not what is wanted."""

    kind: str
    uid: str
    change: Change
    differences: tuple[str, ...] = ()


class _Conflict(Exception):
    """Somebody else wrote in between."""


def folder(uid: str, title: str) -> Thing:
    """The folder of boards and rules."""
    path = f"/folders/{uid}"
    return Thing(
        "folder",
        uid,
        path,
        {"title": title},
        lambda: ("POST", "/folders", {"uid": uid, "title": title}),
        lambda found: ("PUT", path, {"title": title, "version": found.get("version")}),
    )


def board(document: Json, folder_uid: str) -> Thing:
    """A board in a folder. It is written against the version that was compared, so that no other change is lost unseen."""

    def save(version: Json) -> Request:
        return "POST", "/dashboards/db", {"dashboard": {**document, **version}, "folderUid": folder_uid, "overwrite": False, "message": "backstop"}

    return Thing(
        "dashboard",
        document["uid"],
        f"/dashboards/uid/{document['uid']}",
        {"dashboard": document, "meta": {"folderUid": folder_uid}},
        lambda: save({}),
        lambda found: save({"version": found["dashboard"].get("version")}),
    )


def data_source(document: Json, secret: Json) -> Thing:
    """A data source; `secret` goes along with every write, and only whether there is one is compared."""
    path = f"/datasources/uid/{document['uid']}"
    wanted = {**document, "secureJsonFields": dict.fromkeys(secret, True)} if secret else document
    body = {**document, "secureJsonData": secret}
    return Thing(
        "data source",
        document["uid"],
        path,
        wanted,
        lambda: ("POST", "/datasources", body),
        lambda found: ("PUT", path, {**body, "version": found.get("version")}),
    )


def rule(document: Json) -> Thing:
    """An alert rule."""
    path = f"/v1/provisioning/alert-rules/{document['uid']}"
    return Thing(
        "alert rule", document["uid"], path, document, lambda: ("POST", "/v1/provisioning/alert-rules", document), lambda _: ("PUT", path, document)
    )


def rule_interval(folder_uid: str, group: str, seconds: int) -> Thing:
    """How often the rules of a group are evaluated; the group is there once its rules are."""
    path = f"/v1/provisioning/folder/{folder_uid}/rule-groups/{group}"
    empty: Json = {"title": group, "folderUid": folder_uid, "rules": []}

    def save(found: Json) -> Request:
        return "PUT", path, {**found, "interval": seconds}

    return Thing("rule group", group, path, {"interval": seconds}, lambda: save(empty), save)


def differences(wanted: Any, found: Any, place: str = "") -> Iterator[str]:
    """Places where `found` is not what is wanted. What it has beyond that is Grafana's own."""
    match wanted, found:
        case dict(), dict():
            for key, value in wanted.items():
                where = f"{place}.{key}" if place else key
                if key in found or value is not None:  # a null that is left out is the same
                    yield from differences(value, found.get(key), where)
        case list(), list() if len(wanted) == len(found):
            for index, (ours, theirs) in enumerate(zip(wanted, found, strict=True)):
                yield from differences(ours, theirs, f"{place}[{index}]")
        case _ if wanted != found:
            yield place


def _is_from_files(found: Json) -> bool:
    """Whether Grafana was provisioned with it: how it says so differs between boards, data sources and alert rules."""
    return bool(found.get("meta", {}).get("provisioned") or found.get("readOnly") or found.get("provenance") == "file")


class GrafanaPublisher:
    """One Grafana, as its service account. `dry`: say what would be written, and write nothing.

    Raises ConfigurationProblem for an address or token that cannot be used or may not do this, Unreachable when Grafana does not answer, and
    CheckFailed when it refuses a document.
    """

    def __init__(self, settings: GrafanaSettings, *, dry: bool = False, pause: Callable[[float], None] = time.sleep) -> None:
        if settings.url is None or settings.secret is None:
            missing = "URL" if settings.url is None else "TOKEN"
            raise ConfigurationProblem(f"{PREFIX}GRAFANA__{missing}: not set: give the address of Grafana and the token of a service account")
        address = urlsplit(settings.url)
        self._url, self._dry, self._pause = settings.url, dry, pause
        self._api = GrafanaFace(
            auth=settings.secret,
            host=f"[{address.hostname}]" if ":" in (address.hostname or "") else address.hostname or "",
            port=address.port,
            url_path_prefix=f"{address.path.strip('/')}/" if address.path.strip("/") else "",
            protocol=address.scheme,
            verify=True if settings.ca_file is None else str(settings.ca_file),
            timeout=TIMEOUT_S,
        ).api

    def put(self, thing: Thing) -> Outcome:
        """Make it so, unless it is so already."""
        for _ in range(WRITES):
            found = self._read(thing)
            wrong = ("",) if found is None else tuple(differences(thing.wanted, found))
            if found is not None and not wrong:
                return Outcome(thing.kind, thing.uid, Change.SAME)
            outcome = Outcome(thing.kind, thing.uid, Change.CREATED) if found is None else Outcome(thing.kind, thing.uid, Change.UPDATED, wrong)
            if self._dry:
                return outcome
            if found is not None and _is_from_files(found):
                raise CheckFailed(f"{thing.kind} {thing.uid}: this Grafana reads it from files: change the files, or take them away")
            try:
                self._call(*(thing.create() if found is None else thing.update(found)))
            except _Conflict:
                continue
            return outcome
        raise CheckFailed(f"{thing.kind} {thing.uid}: somebody else changes it at the same time: find out who, then publish again")

    def _read(self, thing: Thing) -> Json | None:
        found = self._call("GET", thing.path)
        return found if isinstance(found, dict) else None

    def _call(self, verb: str, path: str, body: Json | None = None) -> Any:
        """One answer; None when there is nothing there, or nothing to say."""
        for attempt in range(ATTEMPTS):
            if attempt:
                self._pause(FIRST_PAUSE_S * 2 ** (attempt - 1))
            try:
                return getattr(self._api, verb)(path, json=body)
            except JSONDecodeError as problem:
                if problem.doc.strip():
                    raise Unreachable(
                        f"{self._url} answers {verb} {path} with something that is not JSON: is it the address of Grafana?"
                    ) from problem
                return None
            except GrafanaClientError as problem:
                return self._refused(verb, path, problem)
            except SSLError as problem:
                raise ConfigurationProblem(f"{PREFIX}GRAFANA__CA_FILE: the certificate of {self._url} is not trusted: {problem}") from problem
            except (GrafanaServerError, NoConnection, Timeout) as problem:
                last: Exception = problem
            except (RequestException, OSError) as problem:
                raise ConfigurationProblem(f"{PREFIX}GRAFANA__URL: {self._url} cannot be used: {problem}") from problem
        raise Unreachable(f"Grafana at {self._url} does not answer {verb} {path}: {last}. Start it, or correct its address") from last

    def _refused(self, verb: str, path: str, problem: GrafanaClientError) -> None:
        if isinstance(problem, GrafanaUnauthorizedError):
            raise ConfigurationProblem(f"{PREFIX}GRAFANA__TOKEN: {self._url} does not accept the token: make a new one") from problem
        if problem.status_code == FORBIDDEN:
            raise ConfigurationProblem(f"{PREFIX}GRAFANA__TOKEN: the service account may not {verb} {path}: give it the role Admin") from problem
        if problem.status_code in CONFLICTS:
            raise _Conflict from problem
        if problem.status_code != NOT_FOUND or verb != "GET":
            raise CheckFailed(f"Grafana at {self._url} refuses {verb} {path}: {problem.message}") from problem
