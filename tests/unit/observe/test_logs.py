"""The shape of a log line and what never stands in one."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from streams.observe.logs import Thinned, account_hash, configure_logs, logger


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logs(level="DEBUG", stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def records(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_event_level_logger_and_time(lines: io.StringIO) -> None:
    logger("streams.worker").info("shard_started", task="accounts", shard=0)
    (line,) = records(lines)
    assert (line["event"], line["level"], line["logger"], line["task"], line["shard"]) == ("shard_started", "info", "streams.worker", "accounts", 0)
    assert line["timestamp"].endswith("Z")


def test_the_standard_library_writes_through_the_same_chain(lines: io.StringIO) -> None:
    logging.getLogger("some.library").warning("broker %s gone", "b1")
    (line,) = records(lines)
    assert (line["event"], line["level"], line["logger"]) == ("broker b1 gone", "warning", "some.library")


def test_account_ids_are_hashed_above_debug(lines: io.StringIO) -> None:
    logger("x").warning("account_suspect", account=123456789, counter_account=987654321)
    assert "123456789" not in lines.getvalue()
    assert "987654321" not in lines.getvalue()
    (line,) = records(lines)
    assert line["account_hash"] == account_hash(123456789)
    assert line["counter_account_hash"] == account_hash(987654321)


def test_account_ids_are_plain_at_debug(lines: io.StringIO) -> None:
    logger("x").debug("account_read", account=123456789)
    assert records(lines)[0]["account"] == 123456789


def test_an_exception_is_part_of_the_line(lines: io.StringIO) -> None:
    try:
        raise ValueError("no such shard")
    except ValueError:
        logger("x").exception("shard_failed")
    (line,) = records(lines)
    assert "no such shard" in line["exception"]


def test_account_hashes_differ_and_repeat() -> None:
    assert account_hash(1) == account_hash(1)
    assert len({account_hash(n) for n in range(-50, 1000)}) == 1050


def test_what_a_library_repeats_is_said_once_in_ten_seconds_with_how_often_it_was_kept_back() -> None:
    now = [100.0]
    thinned, said = Thinned(lambda: now[0]), []

    def say(name: str, text: str, *args: object) -> None:
        record = logging.LogRecord(name, logging.ERROR, "", 0, text, args, None)
        if thinned.filter(record):
            said.append(record.getMessage())

    for _ in range(5):
        say("aiokafka.consumer.fetcher", "Failed fetch messages from %s", 1)
        now[0] += 0.02
    say("aiokafka.conn", "Unable to connect")  # another message
    say("streams.worker", "shard_started")  # ours are never kept back
    say("streams.worker", "shard_started")
    now[0] += 10
    say("aiokafka.consumer.fetcher", "Failed fetch messages from %s", 2)
    now[0] += 10
    say("aiokafka.consumer.fetcher", "Failed fetch messages from %s", 2)
    assert said == [
        "Failed fetch messages from 1",
        "Unable to connect",
        "shard_started",
        "shard_started",
        "Failed fetch messages from 2 (and 4 more like it)",
        "Failed fetch messages from 2",
    ]
