"""Names follow what a deployment announces, and a notice never waits for them."""

from typing import Any

import pytest

from streams.bus.contract import NewRecord, TopicPartition
from streams.bus.memory import MemoryBus
from streams.errors import Unreachable
from streams.notify.announced import Announced
from streams.notify.names import Unit
from streams.wire.records import new_record
from tests.support.risk_rows import instrument, pool

USD = Unit("USD", 6)


async def announce(bus: MemoryBus, stream: str, row: dict[str, Any]) -> None:
    writer = await bus.writer("exchange")
    await writer.commit([new_record(stream, row)])
    await writer.close()


async def founded() -> tuple[MemoryBus, Announced]:
    bus = MemoryBus()
    await bus.create_topics({"instruments": 1, "pools": 1})
    return bus, Announced(bus, {1: USD})


async def test_names_are_those_of_the_moment() -> None:
    bus, announced = await founded()
    assert (await announced.now()).symbol(1) == "1"
    await announce(bus, "instruments", instrument(1, symbol="LUNA")[1])
    await announce(bus, "pools", pool()[1])
    names = await announced.now()
    assert (names.symbol(1), names.unit_of(1), names.unit_of_pool(1)) == ("LUNA", USD, USD)
    await announce(bus, "instruments", instrument(2, symbol="LUNA")[1])  # listed anew under the same symbol
    assert dict((await announced.now()).symbols) == {1: "LUNA (1)", 2: "LUNA (2)"}


async def test_a_record_that_nobody_can_read_is_passed_over() -> None:
    bus, announced = await founded()
    writer = await bus.writer("exchange")
    await writer.commit([NewRecord("instruments", 0, 0, b"k", b"nonsense")])
    await writer.close()
    await announce(bus, "instruments", instrument(1, symbol="BTC")[1])
    assert (await announced.now()).symbol(1) == "BTC"


async def test_without_an_answer_what_is_known_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    bus, announced = await founded()
    await announce(bus, "instruments", instrument(1, symbol="BTC")[1])
    assert (await announced.now()).symbol(1) == "BTC"

    async def gone(_self: Any, partition: TopicPartition) -> tuple[int, int]:
        raise Unreachable(f"no broker for {partition}")

    monkeypatch.setattr(type(announced._reader), "bounds", gone)
    assert (await announced.now()).symbol(1) == "BTC"
