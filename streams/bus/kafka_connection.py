"""How the brokers are reached, and what is said to a person when they are not."""

import asyncio
import logging
import ssl
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiokafka.errors import KafkaConnectionError, KafkaError, UnrecognizedBrokerVersion

from streams.bus.kafka_chunks import is_supported
from streams.errors import CheckFailed, Unreachable

# How a connection is lost; a broker that goes away while it is asked what it speaks is one of unknown version.
_LOST = (OSError, EOFError, TimeoutError, KafkaConnectionError, UnrecognizedBrokerVersion)
REACH_SECONDS = 8.0  # a broker that did not answer for so long counts as unreachable
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KafkaConfig:
    """How to reach the brokers, and whose topics to use there.

    The coordinator aborts a transaction after `transaction_timeout_ms`; the writer gives up somewhat later, when that is settled.
    """

    bootstrap_servers: str
    deployment: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = "PLAIN"
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    ssl_context: ssl.SSLContext | None = None
    replication_factor: int = 1
    transaction_timeout_ms: int = 8_000
    commit_timeout_ms: int = 10_000
    record_batches: bool = True  # read and build whole record batches; False: record by record, through aiokafka's public interface only

    @property
    def by_record_batches(self) -> bool:
        """Whether whole record batches are read and built: it was asked for, and this aiokafka is the one whose private parts are known."""
        return self.record_batches and is_supported()

    def connection(self) -> dict[str, Any]:
        """The connection arguments of every aiokafka client."""
        return {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.security_protocol,
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.sasl_username,
            "sasl_plain_password": self.sasl_password,
            "ssl_context": self.ssl_context,
        }


class _Complaints(logging.Filter):
    """Keeps what aiokafka's connection layer has to say out of the log; it becomes the reason in our own error."""

    latest = ""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        self.latest = record.getMessage()
        return False


_complaints = _Complaints()


def listen_to_complaints() -> None:
    """Hear aiokafka's client module, also where the process logs nothing below CRITICAL; its other modules stay as quiet as they were."""
    client_log = logging.getLogger("aiokafka")  # the logger of its client module
    if _complaints not in client_log.filters:
        client_log.addFilter(_complaints)
    level = client_log.getEffectiveLevel()
    if level > logging.WARNING:
        for name in [name for name in logging.root.manager.loggerDict if name.startswith("aiokafka.")]:
            logging.getLogger(name).setLevel(level)
        client_log.setLevel(logging.WARNING)


async def answered(config: KafkaConfig, request: Awaitable[T]) -> T:
    """The broker's answer; Unreachable, with its address, when there is none in time."""
    _complaints.latest = ""
    try:
        async with asyncio.timeout(REACH_SECONDS):
            return await request
    except (KafkaError, *_LOST) as error:
        if not _is_of_the_way(error):
            raise CheckFailed(f"Kafka at {config.bootstrap_servers} refused a request: {error!r}; look at the rights and settings there") from error
        raise _unreachable(config, _complaints.latest or repr(error)) from error


def _is_of_the_way(error: BaseException | None) -> bool:
    """Whether it lies in reaching the broker, not in what was asked.

    aiokafka's sender wraps a lost connection in an error of no kind, and where no broker answers its client raises one with nothing behind it.
    """
    while error is not None:
        if isinstance(error, _LOST) or (isinstance(error, KafkaError) and error.retriable):
            return True
        if type(error) is KafkaError and error.__cause__ is None:
            return True
        error = error.__cause__
    return False


def _unreachable(config: KafkaConfig, reason: str) -> Unreachable:
    """What a person must do about a connection that did not come about. Passwords are never in a reason."""
    address = config.bootstrap_servers
    if "SaslAuthenticationFailed" in reason or "UnsupportedSaslMechanism" in reason:
        who = f"user {config.sasl_username!r} by {config.sasl_mechanism}"
        return Unreachable(f"Kafka at {address} refused {who}: correct SASL_USERNAME, SASL_PASSWORD and SASL_MECHANISM")
    if "SSL" in reason.upper() or "CERTIFICATE" in reason.upper():
        return Unreachable(f"Kafka at {address}: no TLS connection ({reason}): correct SECURITY_PROTOCOL, SSL_CAFILE and SSL_CERTFILE")
    return Unreachable(f"Kafka at {address} did not answer ({reason}): start it, or correct its address and credentials")
