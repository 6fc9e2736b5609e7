"""What an accounts shard says for as long as it lasts; the same from a snapshot; and nothing of it once its cause is gone."""

from streams.domain.events import InstructionKind, UpdateKind
from streams.risk.lasting import lasting
from streams.risk.machine import RiskMachine
from tests.support.risk_rows import Desk, instrument, pool

Case = tuple[str, str, int, int | None]


def lasts(desk: Desk) -> list[Case]:
    """By the machine, and the same by one that is restored from its snapshot."""
    restored = RiskMachine(0, 1)
    restored.restore(desk.machine.snapshot())
    said = [[(each.alarm.value, each.of, each.count, each.since_us) for each in lasting(machine)] for machine in (desk.machine, restored)]
    assert said[0] == said[1]
    return said[0]


def test_accounts_in_limbo_last_from_the_first_one_on_until_they_are_healed() -> None:
    desk = Desk()
    desk.feed(instrument(), pool(), *desk.opening(1, 50), *desk.opening(2, 50), desk.mark(100))
    assert lasts(desk) == []
    first_us = desk.time_us
    desk.seqs[1] += 1  # a number is left out
    desk.feed(desk.update(1, UpdateKind.DEPOSIT, 1))
    desk.feed(desk.mark(100))
    desk.seqs[2] += 1
    desk.feed(desk.update(2, UpdateKind.DEPOSIT, 1))
    assert lasts(desk) == [("account_suspect", "", 2, first_us)]
    second_us = desk.time_us - 1  # the clock is that of marks
    desk.feed(*desk.opening(1, 51))
    assert lasts(desk) == [("account_suspect", "", 1, second_us)]
    desk.feed(*desk.opening(2, 51))
    assert lasts(desk) == []


def test_an_account_that_no_pool_can_help_is_said_once_and_lasts_until_the_pool_is_known() -> None:
    desk = Desk()
    desk.feed(instrument(), *desk.opening(1, 100, (1, 10, 1_000)))
    alarms = [alarm for ticks in (100, 94, 93, 92) for alarm, _ in desk.feed(desk.mark(ticks)).alarms]
    assert alarms == ["episode_without_a_pool"]
    assert lasts(desk) == [("episode_without_a_pool", "", 1, None)]
    desk.feed(pool())
    assert lasts(desk) == []


def test_an_overdue_instruction_lasts() -> None:
    desk = Desk()
    desk.feed(instrument(), pool(instruction_valid_us=10), *desk.opening(1, 100, (1, 10, 1_000)), desk.mark(100), desk.mark(93))
    (sent,) = [row for row in desk.rows("instructions") if row["kind"] == InstructionKind.LIQUIDATE]
    for _ in range(2):  # what is overdue is looked for when a second of the clock of marks is over
        desk.time_us += 2_000_000
        desk.feed(desk.mark(93))
    assert lasts(desk) == [("instruction_overdue", "", 1, sent["valid_until_us"])]
