"""What an instruction may still take when the decision that made it is heard last."""

import pytest

from streams.risk.results import Results

ALLOCATED = {"instruction_id": 7, "account": 3, "lots": 1_304, "position_side": 1}


@pytest.mark.parametrize(("fills", "left"), [((), 1_304), ((652,), 652), ((652, 652), 0), ((2_000,), 0)])
def test_fills_heard_before_the_decision_leave_the_rest_of_what_was_allocated(fills: tuple[int, ...], left: int) -> None:
    results = Results()
    for lots in fills:
        results.note(7, 3, lots=lots)
    results.note(8, 3, lots=99)  # another instruction
    results.note(7, 4, lots=99)  # the other party of this one
    assert results.left(ALLOCATED) == left


def test_an_instruction_whose_result_came_before_the_decision_takes_nothing_any_more() -> None:
    results = Results()
    results.over[7, 3] = 1_000
    assert results.left(ALLOCATED) == 0
