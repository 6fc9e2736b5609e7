"""State tables: the digest kept along the way is the digest of what is there, however it came about."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.state import StateTable, combine, scalars_from_arrow, scalars_to_arrow

Key = tuple[int, int | None]


class Colour(IntEnum):
    RED = 1
    BLUE = 2


@dataclass(frozen=True, slots=True)
class Part:
    lots: int


@dataclass(frozen=True, slots=True)
class Held:
    colour: Colour
    quote: int
    parts: tuple[Part, ...]
    name: str | None = None


KEYS = st.tuples(st.integers(0, 4), st.integers(0, 2))
ROWS = st.builds(
    Held,
    st.sampled_from(Colour),
    st.integers(-(2**63), 2**63 - 1),
    st.lists(st.builds(Part, st.integers(0, 3)), max_size=2).map(tuple),
    st.none() | st.text(),
)
OPERATIONS = st.lists(st.tuples(st.sampled_from(["set", "pop", "look"]), KEYS, ROWS), max_size=40)


def table(rows: Sequence[tuple[tuple[int, int], Held]] = (), name: str = "held") -> StateTable[tuple[int, int], Held]:
    made: StateTable[tuple[int, int], Held] = StateTable(name, tuple[int, int], Held)
    for key, row in rows:
        made[key] = row
    return made


@given(operations=OPERATIONS)
def test_the_digest_kept_along_the_way_is_that_of_the_rows_left(operations: list[tuple[str, tuple[int, int], Held]]) -> None:
    kept, plain = table(), dict[tuple[int, int], Held]()
    for what, key, row in operations:
        if what == "set":
            kept[key] = plain[key] = row
        elif what == "pop":
            assert kept.pop(key) == plain.pop(key, None)
        else:
            kept.lanes()
    assert dict(kept.items()) == plain
    assert kept.lanes() == table(list(plain.items())).lanes()


@given(rows=st.dictionaries(KEYS, ROWS), seed=st.randoms(use_true_random=False))
def test_the_digest_does_not_depend_on_the_order_of_arrival(rows: dict[tuple[int, int], Held], seed: Random) -> None:
    shuffled = list(rows.items())
    seed.shuffle(shuffled)
    assert table(shuffled).lanes() == table(list(rows.items())).lanes()


@given(rows=st.dictionaries(KEYS, ROWS))
def test_a_table_comes_back_from_arrow_as_it_was(rows: dict[tuple[int, int], Held]) -> None:
    before, after = table(list(rows.items())), table([((9, 9), Held(Colour.RED, 1, ()))])
    after.from_arrow(before.to_arrow())
    assert list(after.items()) == list(before.items())
    assert after.lanes() == before.lanes()
    assert after.name == "held"


@given(rows=st.dictionaries(KEYS, ROWS, min_size=1))
def test_a_table_emptied_again_has_the_digest_of_an_empty_one(rows: dict[tuple[int, int], Held]) -> None:
    emptied = table(list(rows.items()))
    assert emptied.lanes() != (0, 0)
    for key in rows:
        del emptied[key]
    assert emptied.lanes() == (0, 0)


def test_keys_come_in_ascending_order() -> None:
    row = Held(Colour.RED, 1, ())
    assert list(table([((2, 0), row), ((1, 5), row), ((1, 2), row)])) == [(1, 2), (1, 5), (2, 0)]


def test_a_row_that_is_not_there_cannot_be_deleted() -> None:
    with pytest.raises(KeyError):
        del table()[1, 1]


@pytest.mark.parametrize(
    "other",
    [
        table([((1, 1), Held(Colour.BLUE, 5, ()))]),
        table([((1, 1), Held(Colour.RED, 6, ()))]),
        table([((1, 1), Held(Colour.RED, 5, (), ""))]),
        table([((1, 2), Held(Colour.RED, 5, ()))]),
        table([((1, 1), Held(Colour.RED, 5, ()))], name="lost"),
    ],
)
def test_every_field_the_key_and_the_name_count(other: StateTable[tuple[int, int], Held]) -> None:
    assert table([((1, 1), Held(Colour.RED, 5, ()))]).lanes() != other.lanes()


def test_the_digest_of_a_machine_covers_its_tables_and_scalars() -> None:
    row = Held(Colour.RED, 5, ())
    one = combine([table([((1, 1), row)])], {"clock_us": 7})
    assert len(one) == 16
    assert one != combine([table()], {"clock_us": 7})
    assert one != combine([table([((1, 1), row)])], {"clock_us": 8})
    assert one == combine([table(), table([((1, 1), row)])], {"clock_us": 7})


def test_scalars_come_back_from_arrow() -> None:
    scalars = {"clock_us": -(2**63), "version": 2**63 - 1}
    assert scalars_from_arrow(scalars_to_arrow(scalars)) == scalars
