"""The bounds of each partition's last block, kept in one small file beside ClickHouse and written before the block is inserted.

After a crash at any moment the last block is inserted once more under its old token: either it was there, and nothing happens, or it was not.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from streams.bus.contract import TopicPartition
from streams.errors import CheckFailed
from streams.sinks.blocks import Bounds

FORMAT = 1


class BoundsFile:
    """The file. `target` names the database the blocks go to (its UUID): bounds say nothing about any other."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bounds: dict[TopicPartition, Bounds] = {}
        self._target = ""

    def load(self, target: str) -> dict[TopicPartition, Bounds]:
        """Bounds of the last block of every partition; none before the first insert. Raises CheckFailed for a damaged file or another target."""
        self._target = target
        if not self._path.exists():
            self._bounds = {}
            return {}
        try:
            content = json.loads(self._path.read_bytes())
            known, found = content["format"] == FORMAT, content["target"]
            self._bounds = {TopicPartition(topic, partition): Bounds(first, last) for topic, partition, first, last in content["blocks"]}
        except (ValueError, KeyError, TypeError) as problem:
            raise CheckFailed(f"{self._path} cannot be read ({problem}). {_REMEDY}") from problem
        if not known or found != target:
            raise CheckFailed(f"{self._path} is of another ClickHouse database ({found}) than the one to load ({target}). {_REMEDY}")
        return dict(self._bounds)

    def save(self, blocks: Mapping[TopicPartition, Bounds]) -> None:
        """Make these the last blocks of their partitions; on disk before this returns."""
        self._bounds.update(blocks)
        content = {
            "format": FORMAT,
            "target": self._target,
            "blocks": [[*source, *bounds] for source, bounds in sorted(self._bounds.items())],
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        with fresh.open("w", encoding="utf-8") as file:
            json.dump(content, file, separators=(",", ":"))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        _sync_directory(self._path.parent)


_REMEDY = "Remove it to load everything again: rows that are there already are merged by their source coordinates"


def _sync_directory(path: Path) -> None:
    """A rename is durable only when its directory is."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
