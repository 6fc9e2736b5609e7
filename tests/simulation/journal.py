"""The checkers' own reading of step records and digests: fastavro, the schema file and hashlib, nothing of the engine."""

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro

from streams.bus.contract import NewRecord, TopicPartition
from streams.bus.simulated import Broker

JOURNAL = {"accounts": "accounts-journal", "pools": "pools-journal"}
HEADER = 10  # C3 01 and the fingerprint
ZEROS = bytes(32)
Step = dict[str, Any]


@cache
def _schema() -> Any:
    return fastavro.parse_schema(json.loads((Path(__file__).parents[2] / "schemas" / "step_record.avsc").read_text()))


def decode(value: bytes) -> Step:
    """A step record as the schema says; `own_hash_` is the hash it should carry."""
    step: Any = fastavro.schemaless_reader(BytesIO(value[HEADER:]), _schema())
    step["own_hash_"] = hashlib.sha256(value[:-32] + ZEROS).digest()
    return dict(step)


def digest(records: Iterable[NewRecord]) -> bytes:
    """SHA-256 over timestamps, keys and values, length-prefixed, in order."""
    whole = hashlib.sha256()
    for record in records:
        whole.update(record.timestamp_ms.to_bytes(8, "big", signed=True))
        for part in (record.key, record.value):
            whole.update(b"\xff\xff\xff\xff" if part is None else len(part).to_bytes(4, "big") + part)
    return whole.digest()


class Journals:
    """All committed step records by task shard, read as they become readable."""

    def __init__(self, broker: Broker, shards: int) -> None:
        self._broker = broker
        places = {f"accounts-{shard}": TopicPartition(JOURNAL["accounts"], shard) for shard in range(shards)}
        self.places = {**places, "pools-0": TopicPartition(JOURNAL["pools"], 0)}
        self.steps: dict[str, list[Step]] = {name: [] for name in self.places}
        self.taken: dict[str, dict[TopicPartition, int]] = {name: {} for name in self.places}
        self.listed: dict[str, int] = {}  # step of the newest snapshot that a shard's journal lists
        self._positions = dict.fromkeys(self.places, 0)

    def read(self, *, decided: bool = False) -> None:
        """What has become readable since; with `decided` also what is committed and still waits for its markers."""
        for name, place in self.places.items():
            log, position = self._broker.logs[place], self._positions[name]
            stop = log.end if decided else max(position, log.stable)
            found = list(log.committed(position, stop))
            self._positions[name] = stop
            for offset, record in found:
                assert record.value is not None
                step = decode(record.value)
                step["offset_"] = offset
                self.steps[name].append(step)
                if step["snapshot"] is not None:
                    self.listed[name] = step["snapshot"]["step"]
                for part in step["slices"]:
                    self.taken[name][TopicPartition(part["topic"], part["partition"])] = part["to"]
