"""Names as a deployment has announced them: `instruments` and `pools` are read along as far as they have come whenever somebody is told something."""

from collections.abc import Mapping

from streams.bus.contract import Bus, Chunk, Reader, TopicPartition
from streams.domain.batch import Row
from streams.errors import BackstopError, CheckFailed
from streams.notify.names import Names, Unit, newest
from streams.observe.logs import logger
from streams.wire.codec import codec

log = logger(__name__)

KEYS = {"instruments": "instrument", "pools": "pool"}
RECORDS_A_POLL = 1_000


class Announced:
    """Follows the two streams of a bus. `units`: how assets are written, which no stream says."""

    def __init__(self, bus: Bus, units: Mapping[int, Unit]) -> None:
        self._bus = bus
        self._units = units
        self._reader: Reader | None = None
        self._positions: dict[TopicPartition, int] = {}
        self._rows: dict[str, dict[int, Row]] = {stream: {} for stream in KEYS}

    async def now(self) -> Names:
        """All that was announced up to now. Where it cannot be read, what is known: a notice goes out with ids sooner than not at all."""
        try:
            await self._catch_up()
        except BackstopError as problem:
            log.warning("names_unread", problem=str(problem))
        return Names(instruments=self._rows["instruments"], pools=self._rows["pools"], units=self._units)

    async def close(self) -> None:
        """Let go of connections."""
        if self._reader is not None:
            await self._reader.close()
        await self._bus.close()

    async def _catch_up(self) -> None:
        if self._reader is None:
            counts = await self._bus.partitions()
            partitions = [TopicPartition(stream, number) for stream in KEYS for number in range(counts.get(stream, 0))]
            self._reader = await self._bus.reader(partitions)
            for partition in partitions:
                self._positions[partition] = (await self._reader.bounds(partition))[0]
                await self._reader.seek(partition, self._positions[partition])
        for partition in self._positions:
            _, end = await self._reader.bounds(partition)
            while self._positions[partition] < end:
                chunks = await self._reader.poll(max_records=RECORDS_A_POLL, timeout_ms=100, partitions=[partition])
                if not chunks:
                    await self._reader.bounds(partition)  # raises when the broker is gone: a poll alone would wait for ever
                for chunk in chunks:
                    self._take(chunk)
                    self._positions[partition] = chunk.stop

    def _take(self, chunk: Chunk) -> None:
        rows = []
        for value in chunk.values:
            try:
                rows.append(codec(chunk.topic).decode_row(value))
            except CheckFailed:
                continue  # the engine has said what it was, in dead-letters
        self._rows[chunk.topic] = newest([*self._rows[chunk.topic].values(), *rows], KEYS[chunk.topic])
