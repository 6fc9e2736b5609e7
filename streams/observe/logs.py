"""Logs: one JSON object a line on stderr, ours and the libraries' alike. Account ids appear only at DEBUG; above it, as a hash."""

import logging
import math
import sys
import time
from collections.abc import Callable, MutableMapping
from hashlib import blake2b
from typing import Any, TextIO

import structlog

Event = MutableMapping[str, Any]
ACCOUNT_SUFFIX = "account"
CHATTY = ("aiokafka", "faust", "mode")  # libraries whose INFO is our DEBUG
REPEATING = ("aiokafka",)
EVERY_S = 10.0


def account_hash(account: int) -> str:
    """12 hex digits that let a reader follow one account through a log without naming it.

    Ids are few enough to be enumerated: this keeps them out of sight and out of search indexes, it is no secret.
    """
    return blake2b(account.to_bytes(8, "big", signed=True), digest_size=6, person=b"backstop-log").hexdigest()


def hide_accounts(_: Any, method: str, event: Event) -> Event:
    """Replace `account`, `counter_account` and the like by `<name>_hash`, except at DEBUG."""
    if method == "debug":
        return event
    for name in [key for key in event if key.endswith(ACCOUNT_SUFFIX) and isinstance(event[key], int)]:
        event[name + "_hash"] = account_hash(event.pop(name))
    return event


class Thinned(logging.Filter):
    """Lets one of the records that a library repeats pass, and from then on one in `EVERY_S`, which says how many were kept back.

    While a broker is away aiokafka says the same every 20 ms. Records are the same when logger, level and unformatted message are.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said: dict[tuple[str, int, str], tuple[float, int]] = {}  # when it last passed, kept back since

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it passes."""
        if record.name.partition(".")[0] not in REPEATING:
            return True
        kind, now = (record.name, record.levelno, str(record.msg)), self._clock()
        last, kept_back = self._said.get(kind, (-math.inf, 0))
        if now - last < EVERY_S:
            self._said[kind] = (last, kept_back + 1)
            return False
        self._said[kind] = (now, 0)
        if kept_back:
            record.msg, record.args = f"{record.getMessage()} (and {kept_back} more like it)", ()
        return True


def configure_logs(*, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send structlog and the standard library's loggers through one chain to `stream` (stderr). Call once per process; a second call replaces it."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide_accounts,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ],
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(Thinned())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.NOTSET if root.level <= logging.DEBUG else max(root.level, logging.WARNING))


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger of this name; events are snake_case verbs in the past tense."""
    bound: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return bound
