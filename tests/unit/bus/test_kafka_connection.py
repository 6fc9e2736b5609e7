"""What a broker that is not there, or refuses, is to the person at the terminal."""

import asyncio

import pytest
from aiokafka.errors import ClusterAuthorizationFailedError, KafkaConnectionError, KafkaError, NotControllerError, UnrecognizedBrokerVersion

from streams.bus.kafka_connection import KafkaConfig, answered
from streams.errors import BackstopError, CheckFailed, Unreachable

CONFIG = KafkaConfig("broker:9092", "prod")


async def fails_with(error: Exception, wrapped: bool = False) -> None:
    """As aiokafka's sender does with what it did not expect, where `wrapped`."""
    if not wrapped:
        raise error
    try:
        raise error
    except Exception as reason:
        raise KafkaError(repr(reason)) from reason


@pytest.mark.parametrize(
    ("error", "wrapped", "expected"),
    [
        (KafkaConnectionError("closed"), False, Unreachable),
        (KafkaConnectionError("closed"), True, Unreachable),  # a broker that restarts while a writer starts
        (ConnectionResetError(), True, Unreachable),
        (ConnectionRefusedError(), False, Unreachable),
        (TimeoutError(), False, Unreachable),
        (asyncio.IncompleteReadError(b"", 4), False, Unreachable),
        (asyncio.IncompleteReadError(b"", 4), True, Unreachable),
        (UnrecognizedBrokerVersion(), True, Unreachable),  # it went away while it was asked what it speaks
        (KafkaError("Unable to get cluster metadata over all known brokers"), False, Unreachable),
        (NotControllerError(), False, Unreachable),
        (ClusterAuthorizationFailedError(), False, CheckFailed),
        (ClusterAuthorizationFailedError(), True, CheckFailed),
    ],
)
async def test_a_connection_that_is_lost_is_unreachable_however_it_is_told_and_a_refusal_is_none(
    error: Exception, wrapped: bool, expected: type[BackstopError]
) -> None:
    with pytest.raises(expected, match="broker:9092"):
        await answered(CONFIG, fails_with(error, wrapped))
