"""What the Python peers share: the framed Avro rows of fills and positions through fastavro, and the position rule."""

import io
import json
import resource
import sys
import time
from typing import Any, Final

import fastavro

from streams.wire.framing import HEADER_BYTES, header
from streams.wire.schemas import schema
from tests.bench.peers.positions import SCHEMA

FILL: Final = fastavro.parse_schema(json.loads(schema("fill").text))
POSITION: Final = fastavro.parse_schema(json.loads(SCHEMA.read_text(encoding="utf-8")))
HEADER: Final = header(schema(SCHEMA.stem))


def read_fill(value: bytes) -> dict[str, Any]:
    """A fill."""
    row: Any = fastavro.schemaless_reader(io.BytesIO(value[HEADER_BYTES:]), FILL)
    return dict(row)


def write_position(row: dict[str, Any]) -> bytes:
    """A framed position."""
    out = io.BytesIO()
    out.write(HEADER)
    fastavro.schemaless_writer(out, POSITION, row)
    return out.getvalue()


def after(held: tuple[int, int, int], change: int, quote: int) -> tuple[int, int, int]:
    """(lots, cost, realised) after a fill: average cost, released cost rounded towards zero."""
    lots, cost, realised = held
    if lots == 0 or (lots > 0) == (change > 0):
        return lots + change, cost + quote, realised
    if abs(change) <= abs(lots):
        released = _toward_zero(cost * -change, lots)
        return lots + change, cost - released, realised - quote - released
    closing = _toward_zero(quote * -lots, change)
    return lots + change, quote - closing, realised - closing - cost


def _toward_zero(amount: int, of: int) -> int:
    size = abs(amount) // abs(of)
    return size if (amount < 0) == (of < 0) else -size


def said(fill: dict[str, Any], held: tuple[int, int, int]) -> dict[str, Any]:
    """The output of a fill."""
    lots, cost, realised = held
    names = ("event_time_us", "account", "instrument", "trade_id")
    return {**{name: fill[name] for name in names}, "lots": lots, "cost": cost, "realised": realised}


class Watch:
    """Wall clock and CPU from the first record on."""

    def __init__(self) -> None:
        self.seen = 0
        self._wall = self._cpu = 0.0

    def count(self, records: int = 1) -> None:
        """These have come."""
        if self._wall == 0:
            self._wall, self._cpu = time.perf_counter(), time.process_time()
        self.seen += records

    def tell(self) -> None:
        """Print the figures."""
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        out = sys.__stdout__  # Faust takes the other one for its log
        assert out is not None
        out.write(json.dumps({"events": self.seen, "wall_s": wall, "cpu_s": cpu, "peak_mb": peak_mb}) + "\n")
        out.flush()
