"""Nothing is lost in a run without faults: however unevenly two shards read, no sum is ever called off zero.

That a sum which is off zero is called so: `tests/scenarios/test_planted_faults.py`.
"""

from dataclasses import replace

import pytest

from streams.domain.alarms import Alarm
from streams.domain.batch import Batch, Outputs, Raised
from streams.domain.conservation import PROOF_SECONDS
from streams.engine.machine import Machine
from streams.engine.task import TaskName
from streams.pools import PoolsMachine
from streams.tasks import machine_for
from tests.simulation import world
from tests.simulation.campaign import run_options
from tests.simulation.options import draw


@pytest.mark.parametrize(("seed", "patience_ms"), [(1, None), (2, 20), (4, 200), (8, 20)])
def test_two_shards_under_load_without_faults_raise_no_alarm_of_conservation(
    monkeypatch: pytest.MonkeyPatch, seed: int, patience_ms: int | None
) -> None:
    alarms: list[Raised] = []
    seconds: set[int] = set()

    def listened(task: TaskName, shard: int, shard_count: int) -> Machine:
        machine = machine_for(task, shard, shard_count)
        if isinstance(machine, PoolsMachine):
            inner = machine.step

            def step(batch: Batch) -> Outputs:
                out = inner(batch)
                alarms.extend(out.alarms)
                seconds.update(verdict.second for _, verdict in machine.conservation.verdicts.items())
                return out

            monkeypatch.setattr(machine, "step", step)
        return machine

    monkeypatch.setattr(world, "machine_for", listened)
    options = replace(
        draw(seed), shards=2, partitions=4, scenario="crash", accounts=12, steps=40, pace_ms=40, marker_ms=40, patience_ms=patience_ms,
        uneven_percent=80, sink=False, standbys=False, workers=0, faults=(),
    )  # fmt: skip
    assert run_options(options).problems == ()
    assert len(seconds) > PROOF_SECONDS + 1  # enough for a proof
    assert [alarm for alarm in alarms if alarm[0] in (Alarm.CONSERVATION_VIOLATED, Alarm.RECONCILIATION_DIFFERENCE)] == []
