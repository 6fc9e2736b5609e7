"""What the pools task says for as long as it lasts; the same from a snapshot; and nothing of it once its cause is gone."""

from typing import Any

from streams.domain.events import FlowCause, InstructionKind
from streams.pools import PoolsMachine
from tests.support.pools_desk import Desk, candidate, closed, deficit, instrument, mark, pool, position

Case = tuple[str, str, int, int | None]


def lasts(desk: Desk) -> list[Case]:
    """By the machine, and the same by one that is restored from its snapshot."""
    restored = PoolsMachine(desk.machine.shard_count)
    restored.restore(desk.machine.snapshot())
    said = [[(each.alarm.value, each.of, each.count, each.since_us) for each in machine.lasting()] for machine in (desk.machine, restored)]
    assert said[0] == said[1]
    return said[0]


def opened(cash: int = 0, *, shards: int = 1, **more: Any) -> Desk:
    desk = Desk(shards)
    desk.at(instrument(), pool(**more), desk.opening(cash))
    desk.at(mark(100))
    return desk


def test_a_sound_pool_has_nothing_to_say() -> None:
    assert lasts(opened(1_000)) == []


def test_a_loss_that_nobody_bears_lasts_until_the_fund_is_paid_into() -> None:
    desk = opened(0)
    desk.at(deficit(11, 30))
    told_us = desk.time_us
    desk.at(deficit(12, 5))
    desk.at(mark(101))
    assert lasts(desk) == [("loss_uncovered", "pool 1", 2, told_us)]
    desk.at(desk.flow(FlowCause.FUNDING, cash=100))
    assert [row["amount"] for row in desk.sent(InstructionKind.COVER)] == [30, 5]
    assert lasts(desk) == []


def test_a_loss_that_is_over_is_not_uncovered() -> None:
    desk = opened(0)
    desk.at(deficit(11, 30))
    desk.at(closed(11))
    assert lasts(desk) == []


def test_a_ledger_that_differs_lasts_until_it_does_not() -> None:
    desk = opened(50)
    stream, flow = desk.flow(FlowCause.FUNDING, cash=1)
    desk.at((stream, {**flow, "wallet_after": 56}))
    desk.at(mark(101))
    assert lasts(desk) == [("fund_ledger_differs", "pool 1", 1, None)]
    raised = len(desk.alarms)
    desk.at(desk.flow(FlowCause.FUNDING, cash=2))  # 53 in both
    assert lasts(desk) == []
    assert len(desk.alarms) == raised


def test_what_waits_for_an_unknown_pool_is_said_once_and_lasts() -> None:
    desk = Desk()
    desk.at(instrument())
    desk.at(deficit(11, 30))
    told_us = desk.time_us
    desk.at(deficit(12, 30))
    assert [alarm for alarm, _ in desk.alarms] == ["pool_or_instrument_unknown"]
    assert lasts(desk) == [("pool_or_instrument_unknown", "pool 1", 2, told_us)]
    desk.at(pool(), desk.opening(1_000))
    assert lasts(desk) == []


def test_a_halted_instrument_lasts_until_a_valid_version_comes() -> None:
    desk = opened()
    desk.at(instrument(version=2, value_per_tick_lot=5))
    assert lasts(desk) == [("instrument_halted", "instrument 1", 1, None)]
    desk.at(instrument(version=3))
    assert lasts(desk) == []


def test_an_overdue_instruction_lasts_until_its_last_result() -> None:
    desk = opened(1_000, instruction_valid_us=10)
    desk.at(deficit(11, 30))
    valid_until_us = desk.last(InstructionKind.COVER)["valid_until_us"]
    assert lasts(desk) == []
    desk.at(mark(100), time_us=desk.time_us + 20)
    assert lasts(desk) == [("instruction_overdue", "", 1, valid_until_us)]
    desk.at(*desk.answers(desk.last(InstructionKind.COVER)))
    assert lasts(desk) == []


def test_waves_that_a_shard_does_not_answer_are_said_once_and_last_until_it_does() -> None:
    desk = opened(0, shards=2, wave_deadline_us=10, adl_start_value=10**9, adl_stop_value=10**12)
    desk.at(mark(88))
    first_us = desk.time_us + 1
    for revision in range(3):
        desk.at(position(11, 4, 360 - revision, ticks=88))
        desk.at(desk.offers([candidate(21, -9, -900, 600, 708)], shard=0))
        desk.at(mark(88), time_us=desk.time_us + 20)
        assert lasts(desk) == [("wave_waits_for_shards", "", 1, first_us)]
    assert [alarm for alarm, _ in desk.alarms] == ["wave_waits_for_shards"]
    desk.at(position(11, 4, 355, ticks=88))
    desk.at(desk.offers([candidate(21, -9, -900, 600, 708)], shard=0))
    desk.at(desk.offers([], shard=1))
    assert lasts(desk) == []
