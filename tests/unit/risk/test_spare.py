"""What a group has to spare for fills: a fill that fits it is never one that crosses a threshold."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.risk.bands import is_crossing
from streams.risk.machine import RiskMachine
from tests.support.risk_rows import Desk, Record, instrument, pool

FILLS = st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(-9, 9).filter(bool), st.integers(-60, 60))
MARKS = st.tuples(st.just(0), st.integers(1, 2), st.integers(60, 140), st.just(0))
TIERS = ((0, 50_000, 0), (1_500, 100_000, 75))


def crossing(machine: RiskMachine) -> list[int]:
    """Groups that the slow look finds away from the state they were left in, each looked at whole."""
    tables = machine.book.tables()
    tables.groups.rows["spare"][: len(machine.book.groups)] = -1
    return [group for group in range(len(machine.book.groups)) if machine.book.groups.rows["in_episode"][group] == 0 and is_crossing(tables, group)]


@given(st.lists(st.one_of(FILLS, FILLS, FILLS, MARKS), min_size=1, max_size=40), st.integers(0, 2_000_000))
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_no_fill_that_is_passed_over_would_have_changed_a_state(events: list[tuple[int, int, int, int]], warning_ppm: int) -> None:
    spared, looked = Desk(), Desk()
    for desk in (spared, looked):
        desk.feed(instrument(rates=TIERS), instrument(2, rates=TIERS), pool(warning_ratio_ppm=warning_ppm))
        desk.feed(*[record for account in (1, 2, 3) for record in desk.opening(account, 400)], desk.mark(100), desk.mark(100, 2))
    for account, number, change, away in events:
        said = []
        for desk in (spared, looked):
            if desk is looked:
                desk.machine.book.groups.rows["spare"][: len(desk.machine.book.groups)] = -1
            record: Record = desk.mark(change, number) if account == 0 else desk.fill(account, change, change * (100 + away), number=number)
            said.append(desk.feed(record).rows)
        assert said[0] == said[1]
        assert not crossing(looked.machine)


def test_fills_of_a_group_with_enough_to_spare_do_not_look_at_its_other_positions() -> None:
    desk = Desk()
    desk.feed(instrument(), pool(), *desk.opening(1, 10**6), desk.mark(100))
    desk.feed(desk.fill(1, 10, 1_000))
    group = desk.machine.book.group_row((1, 1, 0, 0))
    rows = desk.machine.book.groups.rows
    # 10 at 100: equity 1,000,000, maintenance 5 % of 1,000; rounding may add one for each of position, maintenance and tier, and two for the sign.
    assert (int(rows["spare"][group]), int(rows["spare_ppm"][group])) == (10**6 - 50 - 5, 10**6)
    desk.feed(desk.fill(1, 10, 1_050))  # 50 above the mark, and 50 more to be held: two for rounding
    assert int(rows["spare"][group]) == 10**6 - 50 - 5 - 50 - 50 - 2
