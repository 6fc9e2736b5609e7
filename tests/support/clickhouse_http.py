"""ClickHouse's HTTP interface on loopback over the embedded engine, as a process of its own, with faults that a test arms.

It speaks what clickhouse-connect uses: credentials, statements with settings and parameters, inserts with a compressed body, streamed answers,
errors by code and in mid-stream. Out of scope: sessions, users and rights, TLS, the native protocol. `python -m tests.support.clickhouse_http PATH`.
"""

import gzip
import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

USER, PASSWORD = "backstop", "not-a-secret"
FAULTS_PATH, INSERTS_PATH = "/test/faults", "/test/inserts"
# What a request says to the HTTP layer; everything else is a setting, or a parameter where it begins with `param_`.
NOT_SETTINGS = frozenset(
    (
        *("query", "database", "default_format", "user", "password", "query_id", "session_id", "wait_end_of_query", "compress", "decompress"),
        *("client_protocol_version", "enable_http_compression", "send_progress_in_http_headers", "http_headers_progress_interval_ms"),
        *("buffer_size", "role"),
    )
)
STREAMED = frozenset({"Native", "TabSeparated", "CSV", "RowBinary", "JSONEachRow"})  # formats whose blocks can stand one behind the other
ENDING_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*\Z", re.IGNORECASE)
INSERT = re.compile(r"\A\s*INSERT\s+INTO\s+(.+?)(?:\s+SETTINGS\s+(.+?))?\s+FORMAT\s+(\w+)\s*\Z", re.IGNORECASE | re.DOTALL)
READING = re.compile(r"\A[\s(]*(?:SELECT|WITH)\b", re.IGNORECASE)
STATUS_OF_CODE = {516: 403, 194: 401, 60: 404, 81: 404, 62: 400, 47: 404, 159: 408}


class FaultKind(StrEnum):
    """What befalls a request."""

    SLOW = "slow"  # nothing for `seconds`, then as usual
    ERROR = "error"  # not executed; 500 with ClickHouse's exception `code`
    PROXY = "proxy"  # not executed; `code` is the HTTP status of something in between, without an exception
    CUT_REQUEST = "cut_request"  # the connection dies before anything is executed
    NO_ANSWER = "no_answer"  # executed, and the connection dies before the answer
    CUT_ANSWER = "cut_answer"  # executed; the answer breaks off in its body
    MID_STREAM = "mid_stream"  # an exception in the middle of a streamed answer


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault for the next `times` statements that contain `match`."""

    kind: FaultKind
    match: str = "INSERT"
    times: int = 1
    seconds: float = 0.0
    code: int = 0


class Refusal(Exception):
    """An error of ClickHouse's, with its code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {text}")
        self.code = code


class Front(ThreadingHTTPServer):
    """The server: the engine's directory, the faults that are armed, how many inserts were executed."""

    daemon_threads = True

    def __init__(self, path: str, port: int) -> None:
        import chdb

        connect: Any = chdb.connect  # typed by some builds of it only
        self.connection: Callable[[], Any] = lambda: connect(path)
        self.engine = self.connection()  # kept open: with the last connection the engine would go
        self.version = self.engine.query("SELECT version()", "TabSeparated").bytes().decode().strip()
        self.faults: list[tuple[Fault, int]] = []
        self.inserts = 0
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", port), Requests)

    def fault_for(self, statement: str) -> Fault | None:
        """The fault that befalls this statement, used up once."""
        with self.lock:
            for place, (fault, left) in enumerate(self.faults):
                if fault.match in statement:
                    self.faults[place : place + 1] = [(fault, left - 1)] if left > 1 else []
                    return fault
        return None


class Requests(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Front

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """A statement in the address, or a question of the test."""
        self._serve(b"")

    def do_POST(self) -> None:
        """A statement or its data in the body."""
        length = int(self.headers.get("Content-Length") or -1)
        try:
            body = self.rfile.read(length) if length >= 0 else b"".join(self._pieces())
        except ValueError:
            body = None
        if body is None or len(body) < length:
            self.close_connection = True  # cut short: nothing of it may be executed
            return
        self._serve(body)

    def _pieces(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            piece = self.rfile.read(size)
            if len(piece) < size:
                raise ValueError("cut short")
            yield piece
            self.rfile.readline()
        self.rfile.readline()

    def _serve(self, body: bytes) -> None:
        address = urlsplit(self.path)
        parameters = dict(parse_qsl(address.query, keep_blank_values=True))
        with suppress(BrokenPipeError, ConnectionResetError):
            try:
                self._route(address.path, parameters, body)
            except Refusal as refusal:
                text = f"{refusal} (version {self.server.version})\n".encode()
                self._answer(STATUS_OF_CODE.get(refusal.code, 500), text, {"X-ClickHouse-Exception-Code": str(refusal.code)})

    def _route(self, path: str, parameters: dict[str, str], body: bytes) -> None:
        match path:
            case "/ping":
                self._answer(200, b"Ok.\n")
            case str() if path == FAULTS_PATH:
                given = json.loads(body)
                with self.server.lock:
                    self.server.faults = [(fault := Fault(**{**each, "kind": FaultKind(each["kind"])}), fault.times) for each in given]
                self._answer(200, b"")
            case str() if path == INSERTS_PATH:
                self._answer(200, str(self.server.inserts).encode())
            case _:
                self._admit(parameters)
                self._statement(parameters, _plain(body, self.headers.get("Content-Encoding")))

    def _admit(self, parameters: dict[str, str]) -> None:
        kind, _, content = self.headers.get("Authorization", "").partition(" ")
        given = b64decode(content).decode() if kind == "Basic" else f"{parameters.get('user')}:{parameters.get('password', '')}"
        if given != f"{USER}:{PASSWORD}":
            raise Refusal(516, "Authentication failed: password is incorrect, or there is no user with such name. (AUTHENTICATION_FAILED)")

    def _statement(self, parameters: dict[str, str], body: bytes) -> None:
        statement, data = (parameters["query"], body) if "query" in parameters else (body.decode(), b"")
        fault = self.server.fault_for(statement)
        kind = None if fault is None else fault.kind
        if fault is not None and kind is FaultKind.SLOW:
            time.sleep(fault.seconds)
        if fault is not None and kind is FaultKind.ERROR:
            raise Refusal(fault.code, "what the test asked for")
        if fault is not None and kind is FaultKind.PROXY:
            self._answer(fault.code, b"<html>no healthy upstream</html>")
            return
        if kind is FaultKind.CUT_REQUEST:
            self._hang_up()
            return
        connection = self.server.connection()
        try:
            for name, value in parameters.items():
                if name not in NOT_SETTINGS and not name.startswith("param_"):
                    _run(connection, f"SET {name} = {_quoted(value)}")
            if "database" in parameters:
                _run(connection, f"USE `{parameters['database']}`")
            if insert := INSERT.match(statement):
                self._insert(connection, insert, data, kind)
            else:
                bound = {name.removeprefix("param_"): value for name, value in parameters.items() if name.startswith("param_")}
                self._read(connection, statement, bound, parameters.get("default_format", "TabSeparated"), kind)
        finally:
            connection.close()

    def _insert(self, connection: Any, insert: "re.Match[str]", data: bytes, fault: FaultKind | None) -> None:
        target, settings, data_format = insert.groups()
        with tempfile.NamedTemporaryFile(prefix="clickhouse_http_") as file:
            file.write(data)
            file.flush()
            _run(connection, f"INSERT INTO {target} FROM INFILE {_quoted(file.name)} SETTINGS {settings or 'max_threads = 0'} FORMAT {data_format}")
        with self.server.lock:
            self.server.inserts += 1
        if fault is FaultKind.NO_ANSWER:
            self._hang_up()
        elif fault is FaultKind.CUT_ANSWER:
            self._start(200, {"Content-Length": "100"})
            self._hang_up()
        else:
            self._answer(200, b"")

    def _read(self, connection: Any, statement: str, bound: dict[str, str], default: str, fault: FaultKind | None) -> None:
        said = ENDING_FORMAT.search(statement)
        output = said[1] if said else default
        if output not in STREAMED or not READING.match(statement):
            content = _run(connection, statement, output, bound).bytes()
            if fault is FaultKind.CUT_ANSWER:
                self._start(200, {"Content-Length": str(len(content) + 1)})
                self.wfile.write(content[: len(content) // 2])
                self._hang_up()
            else:
                self._answer(200, content, {"X-ClickHouse-Format": output})
            return
        try:
            blocks = connection.send_query(statement, output, params=bound)
            first = blocks.fetch()
        except RuntimeError as problem:
            raise _refusal(problem) from None
        self._stream(blocks, first, {"X-ClickHouse-Format": output}, fault)

    def _stream(self, blocks: Any, first: Any, headers: dict[str, str], fault: FaultKind | None) -> None:
        """The answer block by block; what goes wrong after the first is written into it between the marks of the tag."""
        tag = secrets.token_hex(8)
        pack = gzip_pieces() if "gzip" in self.headers.get("Accept-Encoding", "") else None
        packed = {"Content-Encoding": "gzip"} if pack else {}
        self._start(200, {**headers, **packed, "Transfer-Encoding": "chunked", "X-ClickHouse-Exception-Tag": tag})
        block, problem = first, "Code: 241. DB::Exception: what the test asked for. (MEMORY_LIMIT_EXCEEDED)" if fault is FaultKind.MID_STREAM else ""
        try:
            while block is not None and (content := block.bytes()):
                self._piece(pack.compress(content) if pack else content)
                if problem or fault is FaultKind.CUT_ANSWER:
                    break
                block = blocks.fetch()
        except RuntimeError as error:
            problem = str(_refusal(error))
        finally:
            blocks.close()
        if fault is FaultKind.CUT_ANSWER:
            self._hang_up()
            return
        if problem:
            text = f"\r\n__exception__\r\n{tag}\r\n{problem}\n{len(problem) + 1} {tag}\r\n__exception__\r\n".encode()
            self._piece(pack.compress(text) if pack else text)
        if pack:
            self._piece(pack.flush())
        if problem:
            self._hang_up()  # without the last, empty piece: the answer is visibly broken
        else:
            self.wfile.write(b"0\r\n\r\n")

    def _piece(self, content: bytes) -> None:
        if content:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(content), content))

    def _start(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"X-ClickHouse-Server-Display-Name": "test", "X-ClickHouse-Timezone": "UTC", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self._start(status, {**(headers or {}), "Content-Length": str(len(content))})
        self.wfile.write(content)

    def _hang_up(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(2)


def gzip_pieces() -> Any:
    """A compressor whose pieces together are one gzip stream."""
    return zlib.compressobj(wbits=31)


def _plain(body: bytes, encoding: str | None) -> bytes:
    """The body as it was before it was compressed. Several frames may follow each other: the client makes one of every block."""
    if not encoding or not body:
        return body
    if encoding == "gzip":
        return gzip.decompress(body)
    if encoding == "lz4":
        lz4 = import_module("lz4.frame")
        parts = []
        while body:
            frame = lz4.LZ4FrameDecompressor()
            parts.append(frame.decompress(body))
            if not frame.eof:
                raise Refusal(33, "the body ends inside an lz4 frame. (CANNOT_READ_ALL_DATA)")
            body = frame.unused_data or b""
        return b"".join(parts)
    if encoding == "zstd":
        from backports import zstd

        return bytes(zstd.decompress(body))
    raise Refusal(48, f"Content-Encoding {encoding} is not known here. (NOT_IMPLEMENTED)")


def _run(connection: Any, statement: str, output: str = "Null", bound: dict[str, str] | None = None) -> Any:
    try:
        return connection.query(statement, output, params=bound or {})
    except RuntimeError as problem:
        raise _refusal(problem) from None


def _refusal(problem: RuntimeError) -> Refusal:
    found = re.search(r"Code: (\d+)\. (?:DB::Exception: )?(.*)", str(problem), re.DOTALL)
    return Refusal(int(found[1]), found[2]) if found else Refusal(1002, str(problem))


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class ClickHouseServer:
    """The server's process, started and stopped by the test as often as it likes; the data stays, and so does the port."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = 0
        self._process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> dict[str, Any]:
        """How `open_server` finds it."""
        return {"host": "127.0.0.1", "port": self.port, "username": USER, "password": PASSWORD}

    def start(self) -> None:
        """Start it; it answers when this returns."""
        command = [sys.executable, "-m", "tests.support.clickhouse_http", str(self.directory), str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        """End it without notice; its port refuses connections from then on."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None

    def close(self) -> None:
        """End it if it runs."""
        if self._process is not None:
            self.kill()

    def arm(self, *faults: Fault) -> None:
        """These faults instead of those before, in the order in which they match."""
        self._ask("POST", FAULTS_PATH, json.dumps([asdict(fault) for fault in faults]))

    @property
    def inserts(self) -> int:
        """Inserts executed since the start."""
        return int(self._ask("GET", INSERTS_PATH))

    def _ask(self, method: str, path: str, body: str | None = None) -> bytes:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body)
            return connection.getresponse().read()
        finally:
            connection.close()


@contextmanager
def clickhouse_server(directory: Path) -> Iterator[ClickHouseServer]:
    """A running server with its data in `directory`."""
    server = ClickHouseServer(directory)
    try:
        server.start()
        yield server
    finally:
        server.close()


def main() -> None:
    """Serve until killed, or until whoever started this is gone; the port is the first line."""
    parent = os.getppid()
    front = Front(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0)

    def follow() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(0)

    threading.Thread(target=follow, daemon=True).start()
    sys.stdout.write(f"{front.server_address[1]}\n")
    sys.stdout.flush()
    front.serve_forever()


if __name__ == "__main__":
    main()
