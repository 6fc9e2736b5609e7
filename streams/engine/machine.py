"""The contract of a machine: pure, columns in, rows out; everything it knows is in its digest and its snapshot."""

from collections.abc import Mapping
from typing import Protocol

import pyarrow as pa

from streams.domain.batch import Batch, Outputs


class Machine(Protocol):
    """A deterministic state machine. It does no I/O and never raises for a bad row: refusals are values (`Outputs.refuse`).

    It raises `AssertionError` subclasses only for states its own rules exclude; the shard stops loudly then.
    """

    @property
    def version(self) -> int:
        """Version of the rules; recovery never crosses one."""

    @property
    def clock_us(self) -> int:
        """Running maximum of `marks` event time; 0 before the first mark."""

    @property
    def held(self) -> int:
        """Records taken that wait inside the machine for others."""

    def found(self, epoch: int) -> None:
        """Belong to the deployment of this epoch; 0: none. Only a machine that has taken nothing; a snapshot carries it along."""

    def step(self, batch: Batch) -> Outputs:
        """Apply the rows in the order of `batch.runs`; say what follows."""

    def digest(self) -> bytes:
        """16 bytes over the whole state, everything included; kept incrementally."""

    def snapshot(self) -> dict[str, pa.RecordBatch]:
        """The whole state as Arrow tables."""

    def restore(self, tables: Mapping[str, pa.RecordBatch]) -> None:
        """Take over a snapshot's state; the digest is recomputed in full from it."""
