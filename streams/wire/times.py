"""Event times of records without reading the rest of them: what the order of a shard's inputs is kept by before anything is decoded.

The header of each record names its schema, so it does not matter how many kinds of record a stream has, or of which version they are.
"""

from collections.abc import Mapping
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.bus.columns import ByteColumn, ByteItems
from streams.domain.events import NULL
from streams.wire.framing import HEADER_BYTES, header
from streams.wire.kernels import read_place
from streams.wire.schemas import other_versions, schemas

TIME: Final = "event_time_us"


@cache
def _places() -> Mapping[bytes, NDArray[np.bool_]]:
    """By header: for every field before the event time, whether it is nullable. Only where all of them are numbers; of every version known."""
    places: dict[bytes, NDArray[np.bool_]] = {}
    for name, current in schemas().items():
        for each in (current, *other_versions(name)):
            names = [field.name for field in each.fields]
            before = each.fields[: names.index(TIME)] if TIME in names else each.fields
            if TIME in names and all(field.is_whole for field in before):
                places[header(each)] = np.array([field.nullable for field in before], np.bool_)
    return places


def event_times(values: ByteItems) -> NDArray[np.int64]:
    """Event time of every record in microseconds, NULL where there is none to be read. What it says of a broken record, no schema may confirm."""
    column = ByteColumn.of(values)
    times = np.full(len(column), NULL, np.int64)
    met = column.sizes < HEADER_BYTES
    while not met.all():
        first = int(np.argmin(met))
        start = int(column.starts[first])
        head = column.data[start : start + HEADER_BYTES]
        place = _places().get(head.tobytes())
        if place is None:
            met[first] = True
        else:
            read_place(column.data, column.starts, column.sizes, head, place, times, met)
    return times
