"""Safety bands, hunted at their edges: inside all bands of a group no mark vector changes its state class, by exact arithmetic of plain Python.

Groups are small and sit close to a threshold, tiers are steep and low, so that a band a tick too wide, a tier overlooked or a unit of rounding
forgotten shows.
"""

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain.events import InstrumentKind, MarginMode, PositionSide, PriceRule, RankPolicy
from streams.domain.instruments import Instrument, Pool, maintenance_amounts
from streams.risk.bands import settle_pending
from streams.risk.book import Book

HEALTHY, WARNING, LIQUIDATABLE, BANKRUPT = 1, 2, 3, 4
ASSET = 1

tiers = st.lists(st.tuples(st.one_of(st.integers(1, 120), st.integers(100, 2_000)), st.integers(1, 800_000)), max_size=3)
instruments = st.lists(st.tuples(tiers, st.integers(1, 200_000), st.sampled_from([1, 3, 20]), st.integers(5, 60)), min_size=1, max_size=3)
legs = st.lists(st.tuples(st.integers(0, 2), st.sampled_from([1, 2, 3]), st.integers(-6, 6).filter(bool)), min_size=1, max_size=4)


def instrument(number: int, rate: int, steps: list[tuple[int, int]], unit: int) -> Instrument:
    """Tiers from drawn steps: floors and rates both ascend."""
    table = [(0, rate)]
    for width, more in steps:
        table.append((table[-1][0] + width, min(1_000_000, table[-1][1] + more)))
    return Instrument(
        instrument=number, symbol=f"I{number}", version=1, kind=InstrumentKind.LINEAR, asset=ASSET, pool=1, value_per_tick_lot=unit,
        max_mark_ticks=10**6, max_lots=10**6, tiers=maintenance_amounts(table),
    )  # fmt: skip


def book_of(drawn: list[tuple[list[tuple[int, int]], int, int, int]], wanted: list[tuple[int, int, int]], ratio_ppm: int) -> tuple[Book, int]:
    """A book with one cross group; returns it and the group's row. Costs are the values at the opening marks, so equity is the wallet."""
    book = Book()
    book.set_pool(Pool(1, 1, ASSET, 31, RankPolicy.BITMEX, PriceRule.MARK, 1, None, -1, 1, ratio_ppm, 1))
    for number, (steps, rate, unit, mark) in enumerate(drawn, 1):
        assert book.set_instrument(instrument(number, rate, steps, unit)) is None
        book.apply_mark(number - 1, mark)
    account = book.ensure_account(1, 0)
    for which, side, lots in wanted:
        number = 1 + which % len(drawn)
        position = book.place(account, number, PositionSide(side), MarginMode.CROSS)
        assert isinstance(position, int)
        book.put_position(position, lots, lots * drawn[number - 1][3] * drawn[number - 1][2])
    return book, book.ensure_group(account, ASSET)


def state_of(book: Book, group: int, ratio_ppm: int) -> int:
    equity, _, maintenance = book.measure(group)
    required = sum(maintenance.values())
    if equity < 0:
        return BANKRUPT
    if equity < required:
        return LIQUIDATABLE
    return WARNING if equity * 1_000_000 < required * ratio_ppm else HEALTHY


@settings(max_examples=600)
@given(
    instruments,
    legs,
    st.sampled_from([0, 1_000_000, 1_500_000, 3_000_000]),
    st.sampled_from([0, 1_000_000, 1_500_000]),
    st.one_of(st.integers(-2, 30), st.integers(0, 900)),
)
def test_no_vector_of_marks_inside_the_bands_changes_the_state(
    drawn: list[tuple[list[tuple[int, int]], int, int, int]], wanted: list[tuple[int, int, int]], ratio_ppm: int, near_ppm: int, above: int
) -> None:
    book, group = book_of(drawn, wanted, ratio_ppm)
    _, _, maintenance = book.measure(group)
    book.move_wallet(group, -(-sum(maintenance.values()) * near_ppm // 1_000_000) + above)  # close above (or below) a threshold
    state = state_of(book, group, ratio_ppm)
    book.set_state(group, state=state)
    settle_pending(book.tables())
    low, high = [0] * len(drawn), [10**4] * len(drawn)
    for row in book.held(group):
        number, slot = int(book.positions.rows["instrument_row"][row]), int(book.positions.rows["slot"][row])
        low[number] = max(low[number], int(book.tables().bands.low[slot]))
        high[number] = min(high[number], int(book.tables().bands.high[slot]))
    choices = [sorted({max(1, low[n]), (max(1, low[n]) + high[n]) // 2, high[n], drawn[n][3]}) for n in range(len(drawn))]
    for marks in product(*choices):
        if all(low[n] <= mark <= high[n] for n, mark in enumerate(marks)):
            book.instruments.rows["mark_ticks"][:] = marks
            assert state_of(book, group, ratio_ppm) == state, (marks, low, high)


def test_a_band_is_as_wide_as_the_group_can_bear() -> None:
    # Long 4 at mark 50, unit 1, one tier of 10 %: value 200, maintenance 20, wallet 100: equity - maintenance = 80.
    book, group = book_of([([], 100_000, 1, 50)], [(0, 1, 4)], 0)
    book.move_wallet(group, 100)
    settle_pending(book.tables())
    slot = int(book.positions.rows["slot"][book.held(group)[0]])
    # |f| = 80 less slack 2 + 1 + 2 = 5: 75, of which 9 are to spare for fills; a tick moves f by at most 4 + ceil(0.4) = 5: 13 ticks
    assert (int(book.tables().bands.low[slot]), int(book.tables().bands.high[slot])) == (37, 63)


def test_a_band_ends_below_the_floor_of_a_steeper_tier() -> None:
    # Short 1 at mark 50, unit 20: value 1,000; 0.1 % up to 1,500, 80 % beyond; wallet 900, so equity - maintenance = 899.
    book, group = book_of([([(1_500, 799_000)], 1_000, 20, 50)], [(0, 1, -1)], 0)
    book.move_wallet(group, 900)
    settle_pending(book.tables())
    slot = int(book.positions.rows["slot"][book.held(group)[0]])
    # 899 - 6 = 893, of which 111 are to spare for fills: 782 // (20 + 1) = 37 ticks down; up only to 74, since 75 x 20 = 1,500
    assert (int(book.tables().bands.low[slot]), int(book.tables().bands.high[slot])) == (13, 74)
