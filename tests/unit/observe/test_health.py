"""What a worker answers to those who ask whether it lives and whether it is ready."""

import asyncio
import json
from typing import Any

import pytest

from streams.errors import UsageProblem
from streams.observe.health import SILENCE_SECONDS, Health, serve_health


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_is_not_ready_before_shards_are_assigned_and_ready_as_a_spare() -> None:
    health = Health(lag_limit=10)
    assert health.answer("/readyz") == (503, {"ready": False, "reasons": ["no shards have been assigned yet"], "shards": {}})
    assert health.answer("/healthz") == (200, {"alive": True})
    health.beat(is_assigned=True)
    assert health.answer("/readyz") == (200, {"ready": True, "reasons": [], "shards": {}})


def test_every_owned_shard_must_have_recovered_and_lag_no_more_than_the_limit() -> None:
    health = Health(lag_limit=10)
    health.beat(is_assigned=True)
    health.tell("accounts-0", "starting")
    assert health.reasons() == ["accounts-0 is starting"]
    health.tell("accounts-0", "running")
    assert health.reasons() == ["the lag of accounts-0 has not been measured yet"]
    health.tell("accounts-0", "running", 11)
    assert health.reasons() == ["accounts-0 lags 11 records, the limit is 10"]
    health.tell("accounts-0", "running", 10)
    assert health.reasons() == []
    health.tell("pools-0", "fenced")
    assert health.reasons() == ["pools-0 is fenced"]
    health.tell("pools-0", None)
    assert health.reasons() == []


def test_a_shard_whose_input_is_held_back_is_not_ready_however_few_records_that_is() -> None:
    health = Health(lag_limit=10)
    health.beat(is_assigned=True)
    health.tell("accounts-0", "running", 3, ("account-events[0] has been held back by an open transaction for 31 s",))
    assert health.reasons() == ["accounts-0: account-events[0] has been held back by an open transaction for 31 s"]
    health.tell("accounts-0", "running", 0)
    assert health.reasons() == []


def test_a_loop_that_does_not_come_round_is_neither_alive_nor_ready() -> None:
    clock = Clock()
    health = Health(lag_limit=10, clock=clock)
    health.beat(is_assigned=True)
    clock.now += SILENCE_SECONDS
    assert health.answer("/healthz")[0] == 503
    assert health.answer("/readyz")[0] == 503
    health.beat(is_assigned=True)
    assert health.answer("/healthz")[0] == 200


async def ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    ("request_line", "status", "document"),
    [
        (b"GET /healthz HTTP/1.1", b"200", {"alive": True}),
        (b"GET /readyz?verbose HTTP/1.1", b"503", {"ready": False, "reasons": ["no shards have been assigned yet"], "shards": {}}),
        (b"GET /else HTTP/1.1", b"404", {"paths": ["/healthz", "/readyz"]}),
        (b"POST /healthz HTTP/1.1", b"404", {"paths": ["/healthz", "/readyz"]}),
        (b"nonsense", b"404", {"paths": ["/healthz", "/readyz"]}),
    ],
)
async def test_it_answers_over_http_on_the_loopback_interface(
    unused_tcp_port: int, request_line: bytes, status: bytes, document: dict[str, Any]
) -> None:
    server = await serve_health(Health(lag_limit=10), unused_tcp_port)
    try:
        head, _, body = (await ask(unused_tcp_port, request_line + b"\r\nHost: x\r\n\r\n")).partition(b"\r\n\r\n")
        assert head.split()[1] == status
        assert f"Content-Length: {len(body)}".encode() in head
        assert json.loads(body) == document
        with pytest.raises(UsageProblem, match="--health-port"):
            await serve_health(Health(lag_limit=10), unused_tcp_port)
    finally:
        server.close()
        await server.wait_closed()


async def test_it_listens_where_it_is_told_to(unused_tcp_port: int) -> None:
    server = await serve_health(Health(lag_limit=10), unused_tcp_port, bind="127.0.0.2")
    try:
        assert [socket.getsockname()[0] for socket in server.sockets] == ["127.0.0.2"]
    finally:
        server.close()
        await server.wait_closed()
