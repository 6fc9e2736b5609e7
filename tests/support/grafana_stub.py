"""A small Grafana over HTTP: the endpoints that the publisher uses, with the answers of version 13, and faults on demand.

Boards are versioned and refuse a write against another version; numeric ids are refused; an answer may be empty; a rule comes back with defaults.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

TOKEN = "glsa_of_the_test"

Json = dict[str, Any]
Answer = tuple[int, Any]
NOTHING = object()  # an answer without a body


@dataclass(slots=True)
class Grafana:
    """What is stored, what was asked, and what the next answers are to be instead of the right ones: (status, body) or None to let one pass."""

    folders: dict[str, Json] = field(default_factory=dict)
    boards: dict[str, Json] = field(default_factory=dict)
    sources: dict[str, Json] = field(default_factory=dict)
    rules: dict[str, Json] = field(default_factory=dict)
    intervals: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    faults: list[Answer | None] = field(default_factory=list)
    meddle: list[str] = field(default_factory=list)  # uids of boards that somebody saves just before the next write
    lose: int = 0  # so many writes are made, and answered as if they had failed

    @property
    def writes(self) -> list[tuple[str, str]]:
        return [(verb, path) for verb, path in self.asked if verb != "GET"]

    def answer(self, verb: str, path: str, body: Any) -> Answer:
        self.asked.append((verb, path))
        self.bodies.append(deepcopy(body))
        if self.faults and (fault := self.faults.pop(0)) is not None:
            return fault
        for pattern, method in ROUTES:
            if found := re.fullmatch(pattern, f"{verb} {path}"):
                answered: Answer = method(self, body, *found.groups())
                if verb != "GET" and self.lose:
                    self.lose -= 1
                    return 500, {"message": "lost"}
                return answered
        return 404, {"message": "Not found"}

    def get_folder(self, _: Any, uid: str) -> Answer:
        return stored(self.folders, uid)

    def post_folder(self, body: Json) -> Answer:
        if body["uid"] in self.folders:
            return 409, {"message": "a folder with that uid exists"}
        self.folders[body["uid"]] = {"id": len(self.folders) + 1, "version": 1, **body}
        return 200, self.folders[body["uid"]]

    def put_folder(self, body: Json, uid: str) -> Answer:
        if body.get("version") != self.folders[uid]["version"]:
            return 412, {"message": "the folder has been changed by someone else"}
        self.folders[uid] |= {"title": body["title"], "version": body["version"] + 1}
        return 200, self.folders[uid]

    def get_board(self, _: Any, uid: str) -> Answer:
        return stored(self.boards, uid)

    def post_board(self, body: Json) -> Answer:
        uid, sent = body["dashboard"]["uid"], body["dashboard"]
        if self.meddle and uid == self.meddle[0] and uid in self.boards:
            self.meddle.pop(0)
            self.boards[uid]["dashboard"]["version"] += 1
            self.boards[uid]["dashboard"]["title"] = "mine"
        found = self.boards.get(uid)
        if found is not None and sent.get("version") != found["dashboard"]["version"] and not body["overwrite"]:
            return 412, {"message": "The dashboard has been changed by someone else", "status": "version-mismatch"}
        if body["folderUid"] not in self.folders:
            return 400, {"message": "folder not found"}
        version = 1 if found is None else found["dashboard"]["version"] + 1
        number = len(self.boards) + 1 if found is None else found["dashboard"]["id"]
        self.boards[uid] = {"dashboard": {**sent, "id": number, "version": version}, "meta": {"folderUid": body["folderUid"], "provisioned": False}}
        return 200, {"uid": uid, "version": version, "status": "success", "url": f"/d/{uid}"}

    def get_source(self, _: Any, uid: str) -> Answer:
        return stored(self.sources, uid)

    def post_source(self, body: Json) -> Answer:
        if body["uid"] in self.sources:
            return 409, {"message": "data source with the same uid already exists"}
        return self.put_source({**body, "version": 0}, body["uid"])

    def put_source(self, body: Json, uid: str) -> Answer:
        secrets = body.pop("secureJsonData", {})
        self.sources[uid] = {**body, "id": 7, "version": body["version"] + 1, "secureJsonFields": dict.fromkeys(secrets, True)}
        return 200, {"datasource": self.sources[uid], "message": "Datasource saved"}

    def numeric_id(self, _: Any) -> Answer:
        return 403, {"message": "data source APIs by numeric id are disabled"}

    def get_rule(self, _: Any, uid: str) -> Answer:
        return stored(self.rules, uid)

    def post_rule(self, body: Json) -> Answer:
        if body["uid"] in self.rules:
            return 409, {"message": "a rule with that uid exists"}
        self.intervals.setdefault(body["ruleGroup"], 60)
        return 201, self.put_rule(body, body["uid"])[1]

    def put_rule(self, body: Json, uid: str) -> Answer:
        data = [{**query, "queryType": "", "model": {"intervalMs": 1000, "maxDataPoints": 43200, **query["model"]}} for query in body["data"]]
        self.rules[uid] = {**body, "data": data, "id": 3, "provenance": "api", "isPaused": False, "keep_firing_for": "0s"}
        return 200, self.rules[uid]

    def get_group(self, _: Any, folder: str, group: str) -> Answer:
        rules = [rule for rule in self.rules.values() if (rule["folderUID"], rule["ruleGroup"]) == (folder, group)]
        return (200, {"title": group, "folderUid": folder, "interval": self.intervals[group], "rules": rules}) if rules else (404, {"message": "no"})

    def put_group(self, body: Json, _: str, group: str) -> Answer:
        self.intervals[group] = body["interval"]
        return 204, NOTHING


ROUTES: tuple[tuple[str, Any], ...] = (
    (r"GET /api/folders/([\w-]+)", Grafana.get_folder),
    (r"POST /api/folders", Grafana.post_folder),
    (r"PUT /api/folders/([\w-]+)", Grafana.put_folder),
    (r"GET /api/dashboards/uid/([\w-]+)", Grafana.get_board),
    (r"POST /api/dashboards/db", Grafana.post_board),
    (r"GET /api/datasources/uid/([\w-]+)", Grafana.get_source),
    (r"PUT /api/datasources/uid/([\w-]+)", Grafana.put_source),
    (r"POST /api/datasources", Grafana.post_source),
    (r"\w+ /api/datasources/\d+", Grafana.numeric_id),
    (r"GET /api/v1/provisioning/alert-rules/([\w-]+)", Grafana.get_rule),
    (r"POST /api/v1/provisioning/alert-rules", Grafana.post_rule),
    (r"PUT /api/v1/provisioning/alert-rules/([\w-]+)", Grafana.put_rule),
    (r"GET /api/v1/provisioning/folder/([\w-]+)/rule-groups/([\w-]+)", Grafana.get_group),
    (r"PUT /api/v1/provisioning/folder/([\w-]+)/rule-groups/([\w-]+)", Grafana.put_group),
)


def stored(things: dict[str, Json], uid: str) -> Answer:
    return (200, things[uid]) if uid in things else (404, {"message": "Not found"})


@contextmanager
def serving(grafana: Grafana) -> Iterator[str]:
    """Its address while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"null")
            allowed = self.headers.get("Authorization") == f"Bearer {TOKEN}"
            status, answer = grafana.answer(self.command, self.path, body) if allowed else (401, {"message": "Unauthorized"})
            content = b"" if answer is NOTHING else answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = do  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
