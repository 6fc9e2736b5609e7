"""The slow obvious twins of the compiled mark and candidate kernels: plain Python over the same book."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain.events import PositionSide
from streams.risk.book import Book
from streams.risk.valuation import classify, measure_candidates
from tests.property.test_risk_machine import events, records_of
from tests.support.risk_rows import Desk

WARNING_PPM = 1_500_000


def state_of(book: Book, group: int) -> int:
    equity, _, maintenance = book.measure(group)
    required = sum(maintenance.values())
    if equity < 0:
        return 4
    if equity < required:
        return 3
    return 2 if required and equity * 1_000_000 < required * WARNING_PPM else 1


def is_priced(book: Book, group: int) -> bool:
    return all(book.mark_of(book.position_key(row)[1])[0] for row in book.held(group))


def slow_crossed(book: Book, instrument: int) -> list[Any]:
    """Groups that hold the instrument and whose state class is another one now."""
    crossed = []
    for group in range(len(book.groups)):
        row = book.groups.rows[group]
        holds = any(book.position_key(p)[1] == instrument for p in book.held(group))
        if not holds or not row["watched"] or not is_priced(book, group):
            continue
        state = state_of(book, group)
        if state != row["state"]:
            crossed.append(book.group_key(group))
    return sorted(crossed)


@settings(max_examples=60)
@given(events, st.integers(1, 2), st.integers(1, 200))
def test_a_mark_lists_exactly_the_groups_a_full_look_would_list(wanted: list[tuple[str, int, int]], instrument: int, ticks: int) -> None:
    desk = Desk()
    desk.feed(*records_of(desk, wanted))
    book = desk.machine.book
    listed = book.apply_mark(book.instrument_row(instrument), ticks)
    assert [book.group_key(group) for group in listed] == slow_crossed(book, instrument)


@settings(max_examples=100)
@given(events, st.lists(st.tuples(st.integers(1, 2), st.integers(-30, 30)), min_size=1, max_size=12))
def test_no_crossing_hides_inside_a_band_however_the_marks_wander(wanted: list[tuple[str, int, int]], moves: list[tuple[int, int]]) -> None:
    """Marks move by a few ticks at a time, so most stay inside bands that were set at other marks of the group's other legs."""
    desk = Desk()
    desk.feed(*records_of(desk, wanted), desk.mark(100, 1), desk.mark(100, 2))
    book = desk.machine.book
    for instrument, ticks in moves:
        mark = max(1, book.mark_of(instrument)[0] + ticks)
        listed = book.apply_mark(book.instrument_row(instrument), mark)
        assert [book.group_key(group) for group in listed] == slow_crossed(book, instrument)
        for group in listed:
            book.set_state(group, state=state_of(book, group))


@given(st.integers(-(2**55), 2**55), st.integers(0, 2**53), st.integers(0, 3_000_000))
def test_the_state_class_is_by_exact_fractions(equity: int, maintenance: int, ratio_ppm: int) -> None:
    expected = 4 if equity < 0 else 3 if equity < maintenance else 2 if equity * 1_000_000 < maintenance * ratio_ppm else 1
    assert classify(equity, maintenance, ratio_ppm) == expected


@settings(max_examples=60)
@given(events, st.integers(1, 2), st.sampled_from([1, -1]), st.tuples(st.integers(1, 200), st.integers(1, 200)))
def test_candidates_are_those_a_full_look_would_find(wanted: list[tuple[str, int, int]], instrument: int, sign: int, marks: tuple[int, int]) -> None:
    desk = Desk()
    desk.feed(*records_of(desk, wanted))
    book = desk.machine.book
    vector = np.array(marks, np.int64)  # instrument n has row n - 1
    fields = ("position", "value", "group_equity", "group_maintenance", "position_maintenance")
    row = book.instrument_row(instrument)
    out = np.zeros(len(book.holders(row)), [(field, np.int64) for field in fields])
    count = measure_candidates(book.tables(), row, sign, vector, out)
    found = [tuple(int(out[field][n]) for field in fields) for n in range(count)]
    assert found == slow_candidates(book, instrument, sign, marks)


def slow_candidates(book: Book, instrument: int, sign: int, marks: tuple[int, int]) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = []
    for position in range(len(book.positions)):
        key, row = book.position_key(position), book.positions.rows[position]
        group = int(row["group"])
        g = book.groups.rows[group]
        free = abs(int(row["lots"])) - int(row["reserved"])
        if key[1] != instrument or int(row["lots"]) * sign <= 0 or free <= 0 or not g["watched"] or g["in_episode"]:
            continue
        equity, required, mine = int(g["wallet"]), 0, (0, 0)
        for other in book.held(group):
            parameters = book.parameters_at(other)
            value = parameters.value(int(book.positions.rows["lots"][other]), marks[parameters.instrument - 1])
            equity += value - int(book.positions.rows["cost"][other])
            required += parameters.maintenance(value)
            mine = (value, parameters.maintenance(value)) if other == position else mine
        if equity > 0:
            found.append((position, mine[0], equity, required, mine[1]))
    return found


def test_sides_have_the_codes_the_kernels_assume() -> None:
    assert [PositionSide.ONE_WAY, PositionSide.LONG, PositionSide.SHORT] == [1, 2, 3]
