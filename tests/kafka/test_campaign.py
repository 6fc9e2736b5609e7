"""A short campaign: two rounds, which between them bring every fault to real processes and a real broker. `make campaign` goes on for longer."""

import logging
from pathlib import Path

import pytest

from tests.campaign.faults import KINDS, RECOVER_SECONDS, Broker
from tests.campaign.run import Round, play
from tests.support.kafka import broker_launcher

pytestmark = pytest.mark.kafka

LOCKSTEP = Round(
    seed=1,
    number=0,
    lockstep=True,
    scenario="crash",
    shards=2,
    partitions=4,
    workers=2,
    standby=False,
    pace_s=0.0,
    patience_ms=60_000,
    snapshot_every=60,
    kinds=("kill", "zombie", "broker", "hang", "garbage", "oversized", "duplicate"),
)
OPEN = Round(
    seed=2,
    number=1,
    lockstep=False,
    scenario="cascade",
    shards=2,
    partitions=4,
    workers=2,
    standby=True,
    pace_s=0.05,
    patience_ms=500,
    snapshot_every=60,
    kinds=("churn", "freeze", "blink", "kill", "broker", "garbage"),
)


@pytest.mark.parametrize("plan", [LOCKSTEP, OPEN], ids=["lock-step", "open"])
async def test_nothing_is_lost_doubled_or_decided_otherwise_whatever_befalls_workers_and_broker(
    plan: Round, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="aiokafka")  # it says every 20 ms that the broker is away
    said: list[str] = []
    broker = Broker(broker_launcher(), tmp_path / "broker")
    await broker.up()
    try:
        verdict = await play(plan, broker, tmp_path / "run", said.append)
    finally:
        await broker.down()
    assert verdict.problems == [], "\n".join(said)
    assert sorted(fault.kind for fault in verdict.fired) == sorted(plan.kinds)
    assert max(seconds for _, seconds in verdict.recovered) < RECOVER_SECONDS


def test_the_two_rounds_together_bring_every_fault() -> None:
    assert {*LOCKSTEP.kinds, *OPEN.kinds} == {*KINDS}
