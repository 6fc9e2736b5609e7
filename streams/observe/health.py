"""Whether the process lives (`/healthz`) and whether its shards are up to date (`/readyz`), over HTTP; on loopback unless told otherwise.

Lives: the engine's loop has come round lately. Ready: a share is assigned, every owned shard has recovered, none lags beyond the limit, and no
input is held back by an open transaction; a worker that is assigned nothing is ready, it is a spare. Not ready is 503 with the reasons, for
people and load balancers alike.
"""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any

from streams.errors import UsageProblem

SILENCE_SECONDS = 30.0  # a loop that has not come round for so long is stuck
REQUEST_SECONDS = 5.0
REQUEST_BYTES = 4_096


@dataclass(frozen=True, slots=True)
class ShardHealth:
    """One owned shard. `lag` is None before it has been measured."""

    state: str  # starting, running, fenced, stopping
    lag: int | None = None
    held_back: tuple[str, ...] = ()  # inputs that an open transaction holds back for longer than is usual, in words


class Health:
    """What the engine knows of itself; written by its thread, read by the server."""

    def __init__(self, *, lag_limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._lag_limit = lag_limit
        self._clock = clock
        self._lock = Lock()
        self._shards: dict[str, ShardHealth] = {}
        self._is_assigned = False
        self._beaten: float | None = None

    def beat(self, *, is_assigned: bool) -> None:
        """The engine's loop has come round; `is_assigned`: somebody has said which shards are its own, be it none."""
        with self._lock:
            self._beaten, self._is_assigned = self._clock(), is_assigned

    def tell(self, shard: str, state: str | None, lag: int | None = None, held_back: tuple[str, ...] = ()) -> None:
        """State of an owned shard; None when it is not owned any more."""
        with self._lock:
            if state is None:
                self._shards.pop(shard, None)
            else:
                self._shards[shard] = ShardHealth(state, lag, held_back)

    def is_alive(self) -> bool:
        """Whether the engine's loop has come round lately; true before it was heard of."""
        return self._beaten is None or self._clock() - self._beaten < SILENCE_SECONDS

    def reasons(self) -> list[str]:
        """Why it is not ready; empty when it is."""
        with self._lock:
            shards, assigned = dict(self._shards), self._is_assigned
        reasons = [] if assigned else ["no shards have been assigned yet"]
        if not self.is_alive():
            reasons.append(f"the engine has not come round for {SILENCE_SECONDS:g} s")
        for name, shard in sorted(shards.items()):
            if shard.state != "running":
                reasons.append(f"{name} is {shard.state}")
            elif shard.lag is None:
                reasons.append(f"the lag of {name} has not been measured yet")
            elif shard.lag > self._lag_limit:
                reasons.append(f"{name} lags {shard.lag} records, the limit is {self._lag_limit}")
            reasons += [f"{name}: {what}" for what in shard.held_back]
        return reasons

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        """HTTP status and document for a path."""
        match path:
            case "/healthz":
                alive = self.is_alive()
                return (200 if alive else 503), {"alive": alive}
            case "/readyz":
                reasons = self.reasons()
                with self._lock:
                    shards = {name: {"state": shard.state, "lag": shard.lag} for name, shard in sorted(self._shards.items())}
                return (503 if reasons else 200), {"ready": not reasons, "reasons": reasons, "shards": shards}
            case _:
                return 404, {"paths": ["/healthz", "/readyz"]}


async def serve_health(health: Health, port: int, *, bind: str = "127.0.0.1") -> asyncio.Server:
    """Answer at this address until the server is closed. Raises UsageProblem when the port cannot be opened."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                line = (await reader.readuntil(b"\r\n")).decode("latin-1").split()
                while await reader.readuntil(b"\r\n") != b"\r\n":
                    pass  # headers say nothing that matters here
            wanted = line[1].partition("?")[0] if len(line) == 3 and line[0] in ("GET", "HEAD") else ""
            status, document = health.answer(wanted)
            body = json.dumps(document).encode()
            head = f"HTTP/1.1 {status} {'OK' if status == 200 else 'No'}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            writer.write(head.encode() + b"Connection: close\r\n\r\n" + (b"" if line and line[0] == "HEAD" else body))
            await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # who asks badly gets no answer
        finally:
            writer.close()

    try:
        return await asyncio.start_server(handle, bind, port, limit=REQUEST_BYTES)
    except OSError as error:
        raise UsageProblem(f"--health-port: port {port} cannot be opened on {bind} ({error.strerror}): choose another") from error
