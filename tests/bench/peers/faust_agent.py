"""Fills to positions as Faust's documentation would write it: an agent, a table, a send; at least once, in memory with a changelog.

`python -m tests.bench.peers.faust_agent BROKER APPLICATION IN OUT PARTITIONS RECORDS`
"""

import asyncio
import os
import sys
from typing import Any

import faust
from faust.serializers import codecs

from tests.bench.peers.rows import Watch, after, read_fill, said, write_position

BROKER, APPLICATION, IN, OUT, PARTITIONS, RECORDS = sys.argv[1:]
sys.argv = [sys.argv[0], "worker", "-l", "error", "--without-web"]


class Fill(codecs.Codec):
    """Framed Avro in."""

    def _loads(self, value: bytes) -> Any:
        return read_fill(value)


class Position(codecs.Codec):
    """Framed Avro out."""

    def _dumps(self, row: Any) -> bytes:
        return write_position(row)


codecs.register("bench_fill", Fill())
codecs.register("bench_position", Position())
app = faust.App(
    APPLICATION,
    broker=f"kafka://{BROKER}",
    store="memory://",
    topic_partitions=int(PARTITIONS),
    topic_replication_factor=1,
    datadir=os.environ["BENCH_STATE"],
    web_enabled=False,
)
fills = app.topic(IN, key_type=bytes, key_serializer="raw", value_serializer="bench_fill", partitions=int(PARTITIONS))
positions_out = app.topic(OUT, key_type=bytes, key_serializer="raw", value_serializer="bench_position", partitions=int(PARTITIONS))
table = app.Table("positions", default=lambda: [0, 0, 0], partitions=int(PARTITIONS))
watch = Watch()


@app.agent(fills)
async def positions(stream: Any) -> None:
    """One output a fill."""
    async for key, fill in stream.items():
        watch.count()
        place = f"{fill['account']}:{fill['instrument']}"
        held = after(tuple(table[place]), fill["lots"], fill["quote"])
        table[place] = list(held)
        await positions_out.send(key=key, value=said(fill, held))


@app.task
async def end() -> None:
    """When all have come and all sends are out; offsets are committed later and not waited for."""
    while watch.seen < int(RECORDS):
        await asyncio.sleep(0.02)
    await app.producer.flush()
    watch.tell()
    os._exit(0)


if __name__ == "__main__":
    app.main()
