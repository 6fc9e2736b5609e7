"""Snapshots: a task's whole state in one Arrow IPC file, so that recovery need not begin at the genesis.

The file is a table of tables (name, an Arrow stream compressed with zstd): the machine's, and the engine's own of what it knows beside the
machine. It appears whole or not at all, and is trusted only by the SHA-256 that a later step record holds.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from streams.bus.contract import TopicPartition
from streams.engine.gate import Fact, PoolsGate
from streams.engine.journal import SnapshotRef
from streams.engine.task import Task, TaskSpec
from streams.errors import CheckFailed

ENGINE_TABLE = "engine"
TASK_FACTS = ("position", "count", "running")  # the others are the gate's
SUFFIX = ".arrow"
DIGEST_HEX = 16  # of the state digest, in the file's name


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """A file that by its name is a snapshot of a task."""

    path: Path
    step: int


class SnapshotStore:
    """A directory of snapshots. `keep` limits how many listed ones of a task stay; None keeps all."""

    def __init__(self, directory: Path, *, keep: int | None = 2) -> None:
        self.directory = directory
        self._keep = keep

    def write(self, spec: TaskSpec, step: int, digest: bytes, tables: Mapping[str, pa.RecordBatch]) -> SnapshotRef:
        """Write a snapshot taken after `step`; returns what the next step record says of it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        data = pack(tables)
        path = self.directory / f"{spec.name}-{step}-{digest.hex()[:DIGEST_HEX]}{SUFFIX}"
        unfinished = path.with_suffix(".unfinished")
        with unfinished.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        _sync_directory(self.directory)
        return SnapshotRef(step, hashlib.sha256(data).digest())

    def kept(self, listed: Sequence[int]) -> list[int]:
        """Which of the snapshots listed in the journal (steps, oldest first) stay."""
        return list(listed) if self._keep is None else list(listed[-self._keep :])

    def forget_before(self, spec: TaskSpec, step: int) -> None:
        """Delete snapshots of earlier steps. To be asked only with the step of a listed one: what nobody lists leads nowhere."""
        for old in self.files(spec):
            if old.step < step:
                old.path.unlink(missing_ok=True)

    def files(self, spec: TaskSpec) -> list[SnapshotFile]:
        """Snapshots of the task, newest first."""
        found = []
        if self.directory.is_dir():
            for path in self.directory.glob(f"{spec.name}-*{SUFFIX}"):
                step = path.name.removeprefix(f"{spec.name}-").split("-")[0]
                if step.isdigit():
                    found.append(SnapshotFile(path, int(step)))
        return sorted(found, key=lambda file: (-file.step, file.path.name))


def read_snapshot(file: SnapshotFile, ref: SnapshotRef) -> dict[str, pa.RecordBatch]:
    """The tables of a snapshot. Raises CheckFailed when its bytes are not those the journal lists."""
    try:
        data = file.path.read_bytes()
    except OSError as error:
        raise CheckFailed(f"snapshot {file.path} cannot be read ({error.strerror}); an older one, or the genesis, will do") from error
    if hashlib.sha256(data).digest() != ref.file_sha256:
        raise CheckFailed(f"snapshot {file.path} is damaged: the journal lists it with SHA-256 {ref.file_sha256.hex()}; delete it")
    return unpack(data)


def tables_of(task: Task, gate: PoolsGate | None) -> dict[str, pa.RecordBatch]:
    """Everything a task knows."""
    tables = task.machine.snapshot()
    if ENGINE_TABLE in tables:
        raise AssertionError(f"a machine may not name a table {ENGINE_TABLE}")
    facts = [Fact("position", -1, *partition, offset) for partition, offset in task.positions.items()]
    facts += [Fact("count", -1, *partition, count) for partition, count in task.counts.items()]
    facts += [Fact("running", -1, *partition, time_us) for partition, time_us in task.running.items()]
    return {**tables, ENGINE_TABLE: _facts_table(facts + (gate.facts() if gate is not None else []))}


def restore(task: Task, gate: PoolsGate | None, step: int, tables: Mapping[str, pa.RecordBatch]) -> None:
    """Take over what a snapshot holds: machine, positions and gate."""
    facts = _facts(tables[ENGINE_TABLE])
    task.machine.restore({name: table for name, table in tables.items() if name != ENGINE_TABLE})
    task.restore(step, positions=_numbers(facts, "position"), counts=_numbers(facts, "count"), running=_numbers(facts, "running"))
    if gate is not None:
        gate.restore(fact for fact in facts if fact.kind not in TASK_FACTS)


def pack(tables: Mapping[str, pa.RecordBatch]) -> bytes:
    """Tables as the bytes of one file."""
    names = sorted(tables)
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    streams = []
    for name in names:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, tables[name].schema, options=options) as writer:
            writer.write_batch(tables[name])
        streams.append(sink.getvalue().to_pybytes())
    outer = pa.record_batch({"name": pa.array(names, pa.string()), "stream": pa.array(streams, pa.large_binary())})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, outer.schema) as writer:
        writer.write_batch(outer)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def unpack(data: bytes) -> dict[str, pa.RecordBatch]:
    """What `pack` put together."""
    outer = pa.ipc.open_file(pa.py_buffer(data)).get_batch(0)
    tables = {}
    for name, stream in zip(outer.column(0).to_pylist(), outer.column(1), strict=True):
        tables[name] = pa.ipc.open_stream(stream.as_buffer()).read_next_batch()
    return tables


def _numbers(facts: Iterable[Fact], kind: str) -> dict[TopicPartition, int]:
    return {TopicPartition(fact.topic, fact.partition): fact.value for fact in facts if fact.kind == kind}


def _facts_table(facts: Sequence[Fact]) -> pa.RecordBatch:
    columns = list(zip(*facts, strict=True))
    types = (pa.string(), pa.int32(), pa.string(), pa.int32(), pa.int64())
    return pa.record_batch({name: pa.array(column, kind) for name, column, kind in zip(Fact._fields, columns, types, strict=True)})


def _facts(table: pa.RecordBatch) -> list[Fact]:
    return [Fact(*row) for row in zip(*(column.to_pylist() for column in table.columns), strict=True)]


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
