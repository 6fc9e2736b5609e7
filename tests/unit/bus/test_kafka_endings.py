"""Clients of aiokafka are let go of in bounded time, whatever their own stopping comes to."""

import asyncio
from typing import Any

import pytest

from streams.bus import kafka_writer
from streams.bus.kafka_writer import end_consumer


class Connections:
    def __init__(self) -> None:
        self.closed = False

    async def close(self) -> None:
        self.closed = True


class Consumer:
    """Stops as it is told to."""

    def __init__(self, stop: Any) -> None:
        self.stop = stop
        self._client = Connections()


async def well() -> None:
    """It closes its own connections."""


async def cancelled_by_itself() -> None:
    fetching = asyncio.create_task(asyncio.sleep(3600))
    fetching.cancel()
    await fetching


async def failing() -> None:
    raise ConnectionError


async def for_ever() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("stop", [cancelled_by_itself, failing, for_ever])
async def test_a_consumer_whose_stop_breaks_off_is_closed_behind_it_and_nothing_is_raised(stop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_writer, "CLOSE_SECONDS", 0.05)
    consumer = Consumer(stop)
    await end_consumer(consumer)
    assert consumer._client.closed


async def test_a_consumer_that_stops_well_is_left_alone() -> None:
    consumer = Consumer(well)
    await end_consumer(consumer)
    assert not consumer._client.closed


async def test_a_real_cancellation_goes_through() -> None:
    ending = asyncio.create_task(end_consumer(Consumer(for_ever)))
    await asyncio.sleep(0)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
