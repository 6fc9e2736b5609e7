"""What a shard told before it heard of a decision is set aside: nobody's lots are instructed twice."""

import pytest

from streams.domain.events import InstructionKind
from streams.pools import PoolsMachine
from tests.support.pools_desk import Desk, candidate, instrument, mark, pool, position

ADL = InstructionKind.ADL


def instructed() -> Desk:
    """The fund has 4 and takes 2 of 10 at a loss of 2 a lot: decision 1. A wave asks for the other 8."""
    desk = Desk()
    desk.at(instrument(), pool())
    desk.at(desk.opening(4), mark(88))
    desk.at(position(11, 10, 900, ticks=88))
    assert desk.sent(InstructionKind.TAKEOVER, "lots") == [-2]
    return desk


@pytest.mark.parametrize(("heard", "given"), [(0, []), (1, [(21, -10)])])
def test_a_request_that_does_not_know_of_a_decision_waits_until_it_is_told_anew(heard: int, given: list[tuple[int, int]]) -> None:
    desk = instructed()
    first = desk.all("adl-probes", "wave_id")[0]
    desk.at(position(11, 10, 900, ticks=88, decisions_heard=heard))
    desk.at(desk.offers([], wave_id=first, stand=[]))
    if heard:
        desk.at(desk.offers([candidate(21, -20, -2_000, 600, 840)]))
    assert len(desk.all("adl-probes")) == 1 + bool(heard)
    assert desk.sent(ADL, "counter_account", "lots") == given


def test_told_anew_with_the_decision_heard_it_is_placed() -> None:
    desk = instructed()
    desk.at(position(11, 10, 900, ticks=88, decisions_heard=0))
    desk.at(desk.offers([], wave_id=desk.all("adl-probes", "wave_id")[0], stand=[]))
    desk.at(position(11, 8, 720, ticks=88, decisions_heard=1))
    desk.at(desk.offers([candidate(21, -20, -2_000, 600, 840)]))
    assert desk.sent(ADL, "counter_account", "lots") == [(21, -8)]


def test_a_restored_machine_knows_how_many_decisions_were_said() -> None:
    desk = instructed()
    restored = PoolsMachine(1)
    restored.restore(desk.machine.snapshot())
    assert restored.digest() == desk.machine.digest()
    desk.machine = restored
    desk.at(position(11, 10, 900, ticks=88, decisions_heard=0))
    desk.at(desk.offers([], wave_id=desk.all("adl-probes", "wave_id")[0], stand=[]))
    assert desk.sent(ADL) == []
