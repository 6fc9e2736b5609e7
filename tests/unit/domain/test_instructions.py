"""What the two parties of an instruction say of it."""

from typing import Any

import pytest

from streams.domain.batch import Outputs
from streams.domain.events import InstructionKind
from streams.domain.instructions import OpenInstruction, OpenInstructions

SAID = {"executed_lots": 10, "executed_quote": -930, "executed_amount": 0}


def heard(*results: dict[str, Any]) -> tuple[list[str], OpenInstruction | None]:
    """(alarms, the instruction once both have spoken) of one that accounts 1 and 2 are party to."""
    room = OpenInstructions("open")
    room.table[7] = OpenInstruction(
        InstructionKind.ADL, pool=1, account=1, counter_account=2, instrument=1, lots=-10, amount=0, cause_id=5, valid_until_us=9,
        awaited=(1, 2), episode=None,
    )  # fmt: skip
    out, ended = Outputs(), None
    for account, said in enumerate(results, 1):
        ended = room.result({"instruction_id": 7, "account": account, **SAID, **said}, out)
    return [str(alarm) for alarm, _ in out.alarms], ended


@pytest.mark.parametrize("other", [{"executed_lots": 9}, {"executed_quote": 930}, {"executed_quote": -931}, {"executed_amount": 1}])
def test_parties_that_are_told_different_results_are_alarmed_and_the_first_word_counts(other: dict[str, int]) -> None:
    alarms, ended = heard({}, other)
    assert alarms == ["result_parties_disagree"]
    assert ended is not None
    assert (ended.executed_lots, ended.executed_quote, ended.executed_amount) == (10, -930, 0)


def test_parties_that_are_told_the_same_are_not() -> None:
    assert heard({}, {})[0] == []
