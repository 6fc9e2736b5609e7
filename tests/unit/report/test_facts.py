"""What the report says of the walked examples, by hand; and of a cascade, held against the streams and against slow twins of each figure."""

from fractions import Fraction
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.events import AdlState, FillKind, FlowCause, GroupState, PositionSide
from streams.notify.names import Unit
from streams.report.accounts import BANDS, band_of, latest_states, near_of
from streams.report.canvas import spread, thinned
from streams.report.fund import WINDOW_US, spans_of, values_of
from streams.report.market import ahead
from streams.report.tape import percentile
from streams.report.waves import PRO_RATA, by_rank, gini_ppm, outcome
from streams.report.writing import basis_points, clipped, duration, exact_clock, percent, short
from streams.venue.report import count_forced
from tests.support.pages import ran, report

L, S1, S2, FUND, MAKER = 11, 21, 22, 31, 41
U = 10**6


def test_the_tape_of_example_a_has_each_forced_fill_once_from_the_side_that_was_resolved() -> None:
    tape = [(f.kind, f.account, f.counter_account, f.lots, f.quote, f.mark_ticks, f.slippage_ppm) for f in report("example-a").tape]
    # Sold at 90 against a mark of 88: 4 more for 2 lots of 176, so -4 / 176 = -22,727.27 millionths, towards 0. The fund sells at the mark.
    assert sorted(tape) == sorted(
        [
            (FillKind.TAKEOVER, L, FUND, -2, -180, 88, -22_727),
            (FillKind.ADL, L, S1, -6, -540, 88, -22_727),
            (FillKind.ADL, L, S2, -2, -180, 88, -22_727),
            (FillKind.UNWIND, FUND, MAKER, -2, -176, 88, 0),
        ]
    )


def test_the_kinds_of_example_a_stand_in_the_order_of_the_ladder() -> None:
    assert [(k.kind, k.asset, k.fills, k.notional) for k in report("example-a").kinds] == [
        (FillKind.TAKEOVER, 1, 1, 180), (FillKind.UNWIND, 1, 1, 176), (FillKind.ADL, 1, 2, 720),
    ]  # fmt: skip


def test_the_fund_of_example_a_falls_from_5_to_1_by_what_it_lost_in_unwinding() -> None:
    (fund,) = report("example-a").funds
    assert (fund.opening, fund.closing, fund.wallet) == (5, 1, 1)
    assert (fund.deepest.peak, fund.deepest.drawdown) == (5, 4)  # (90 - 88) x 2
    assert fund.causes == {FlowCause.OPENING: 5, FlowCause.UNWIND: -4}
    assert [(span.instrument, span.state) for span in fund.spans] == [(1, AdlState.NORMAL), (1, AdlState.ADL)]
    assert fund.entered(AdlState.ADL) == 1


def test_the_accounts_of_example_a_gave_up_two_a_lot() -> None:
    hits = [(hit.account, hit.gave_up, hit.gained, hit.notional, hit.haircut_ppm) for hit in report("example-a").hits]
    # S1: (90 - 88) x 6 = 12 of a profit of 72; S2: 2 x 2 = 4 of the 24 that 2 of its 4 lots had gained of 48
    assert hits == [(S1, 12, 0, 540, 166_666), (S2, 4, 0, 180, 166_666)]


def test_the_ladder_of_example_a_and_what_other_policies_would_have_done() -> None:
    of = report("example-a")
    (wave,) = of.waves
    assert [(r.rank, r.account, r.position_lots, r.offered_lots, r.lots, r.executed_lots) for r in wave.ladder] == [
        (1, S1, -6, 6, 6, 6),
        (2, S2, -4, 4, 2, 2),
    ]
    figures = [(o.policy, o.is_used, o.accounts_hit, o.lots, o.largest_share_ppm, o.largest_part_ppm, o.gini_ppm) for o in of.outcomes]
    # 8 of 10 lots. By rank 6 of 6 and 2 of 4: all of a position, 6/8 of the wave; Gini of 1 and 1/2: (1 - 1/2) / (2 x 3/2) = 1/6. Pro rata 4.8
    # and 3.2, by largest remainder 5 of 6 and 3 of 4: 5/8 of the wave; (833,333 - 750,000) / (2 x 1,583,333) = 0.026315.
    # The other ranking finds the same order: profit against wallet and margin ratio are the same for both.
    assert figures == [
        ("BITMEX", True, 2, 8, 1_000_000, 750_000, 166_666),
        (PRO_RATA, False, 2, 8, 833_333, 625_000, 26_315),
        ("BINANCE", False, 2, 8, 1_000_000, 750_000, 166_666),
    ]


def test_the_waves_of_example_c_by_hand() -> None:
    of = report("example-c")
    # Bankruptcy quotes of the whole: ETH 920 + 10 x 46/115.5 = 923.982684 for 20 lots; SOL takes the rest of 1,300 after BTC 883.809524, so
    # -507.792208 for 30. 15 lots of ETH are worth 690 at mark, 28 of SOL 476.
    eth, btc = -(-(920 * U * 1155 + 10 * U * 460) // 1155), -(-(880 * U * 1155 + 10 * U * 440) // 1155)
    sol = 1_300 * U - btc - eth
    eth_taken, sol_taken = eth - eth * 5 // 20, sol - sol * 2 // 30
    budgets = [(w.row["instrument"], w.row["lots_taken"], w.row["needed_budget"], w.accounts_hit) for w in of.waves]
    assert budgets == [(2, 15, eth_taken - 690 * U, 2), (3, 28, 476 * U + sol_taken, 2)]
    assert sum(hit.gave_up for hit in of.hits) == sum(budget for _, _, budget, _ in budgets)
    assert {hit.account: len(hit.executions) for hit in of.hits} == {21: 1, 22: 2, 23: 1}


@pytest.fixture(scope="module", params=[("cascade", 60), ("example-c", None), ("example-e", None)], ids=lambda param: param[0])
def scenario(request: pytest.FixtureRequest) -> tuple[str, int | None]:
    name, accounts = request.param
    return name, accounts


def test_the_tape_counts_what_the_records_of_the_fills_count(scenario: tuple[str, int | None]) -> None:
    counted: dict[tuple[int, int], tuple[int, int, int]] = {}
    for fill in report(*scenario).tape:
        fills, lots, quote = counted.get((fill.kind, fill.instrument), (0, 0, 0))
        counted[fill.kind, fill.instrument] = fills + 1, lots + abs(fill.lots), quote + fill.notional
    twin = count_forced(ran(*scenario).rows("fills"))
    assert counted == {key: (of.fills, of.lots, of.quote) for key, of in twin.items()}
    assert counted


def test_each_wave_is_what_its_executions_come_to(scenario: tuple[str, int | None]) -> None:
    of = report(*scenario)
    assert of.waves
    for wave in of.waves:
        executions = [e for e in of.executions if e.row["wave_id"] == wave.row["wave_id"]]
        assert sum(e.gave_up for e in executions) == wave.row["needed_budget"]
        assert sum(e.gained for e in executions) == wave.row["gained"]
        assert max((e.haircut_ppm for e in executions), default=0) == wave.row["largest_haircut_ppm"]
        ranks = {(rung.account, rung.rank): rung.executed_lots for rung in wave.ladder}
        taken: dict[tuple[int, int], int] = {}
        for e in executions:
            taken[e.row["account"], e.row["rank"]] = taken.get((e.row["account"], e.row["rank"]), 0) + e.row["lots"]
        assert {key: lots for key, lots in ranks.items() if lots} == taken
        assert sum(rung.lots for rung in wave.ladder) == wave.row["lots_allocated"]


def test_shadow_policies_place_the_lots_that_were_instructed_and_no_more_than_was_offered(scenario: tuple[str, int | None]) -> None:
    of = report(*scenario)
    allocated = {wave.row["wave_id"]: wave.row["lots_allocated"] for wave in of.waves}
    assert all(o.lots == allocated[o.wave_id] and 0 < o.largest_share_ppm <= 1_000_000 for o in of.outcomes)


def test_the_used_policy_as_computed_by_rank_is_the_one_that_was_instructed(scenario: tuple[str, int | None]) -> None:
    for wave in report(*scenario).waves:
        offered = {rung.account: rung.offered_lots for rung in wave.ladder}
        assert by_rank(wave.row["lots_allocated"], list(offered), offered) == {rung.account: rung.lots for rung in wave.ladder}


def test_what_was_last_said_of_each_group_is_what_the_map_is_made_of() -> None:
    rows = sorted(ran("cascade", 60).rows("account-states"), key=lambda row: row["event_time_us"])
    until = rows[len(rows) // 2]["event_time_us"]
    last: dict[tuple[object, ...], int] = {}
    for row in rows:
        if row["event_time_us"] < until:
            last[row["account"], row["asset"], row["group_instrument"], row["group_side"]] = row["state"]
    below = [state for state in last.values() if state in (GroupState.WARNING, GroupState.LIQUIDATABLE, GroupState.BANKRUPT)]
    assert below
    assert sum(cell.groups for cell in near_of(latest_states(rows, until))) == len(below)


@given(st.lists(st.tuples(st.integers(0, 3 * WINDOW_US), st.integers(-(10**15), 10**15)), min_size=1, max_size=60))
def test_the_peak_is_the_largest_value_of_the_8_hours_that_end_there(points: list[tuple[int, int]]) -> None:
    points.sort(key=lambda point: point[0])
    for at, value in enumerate(values_of(points)):
        seen = [v for t, v in points[: at + 1] if t >= points[at][0] - WINDOW_US]
        assert (value.value, value.peak, value.drawdown) == (points[at][1], max(seen), max(seen) - points[at][1])


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=30).filter(any))
def test_gini_is_the_mean_difference_over_twice_the_mean(amounts: list[int]) -> None:
    n, total = len(amounts), sum(amounts)
    differences = sum(abs(a - b) for a, b in product(amounts, amounts))
    assert gini_ppm(amounts) == int(1_000_000 * Fraction(differences, 2 * n * total))


@given(st.integers(-(10**18), 10**18), st.integers(0, 10**18))
def test_a_group_is_in_the_band_that_its_ratio_lies_in(equity: int, maintenance: int) -> None:
    if maintenance == 0:
        assert band_of(equity, maintenance) == (0 if equity < 0 else len(BANDS))
        return
    ratio = Fraction(equity * 1_000_000, maintenance)
    assert band_of(equity, maintenance) == sum(ratio >= end for end in BANDS)


@given(st.lists(st.integers(-(10**6), 10**6), min_size=1), st.integers(1, 100))
def test_percentiles_are_values_that_enough_do_not_exceed(values: list[int], part: int) -> None:
    values.sort()
    found = percentile(values, part)
    assert found is not None
    assert 100 * sum(v <= found for v in values) >= part * len(values)
    assert 100 * sum(v < found for v in values) < part * len(values)


def test_figures_of_an_allocation_by_hand() -> None:
    # 10 lots as 7, 3 and 0 of 10, 3 and 5: all of the second's position, 7/10 of the wave; shares 0, 0.7, 1: (-2 x 0 + 0 x 0.7 + 2 x 1) / (3 x 1.7)
    told = outcome(1, "X", {1: 7, 2: 3, 3: 0}, {1: 10, 2: 3, 3: 5})
    assert (told.accounts_hit, told.lots, told.largest_share_ppm, told.largest_part_ppm, told.gini_ppm) == (2, 10, 1_000_000, 700_000, 392_156)


def test_an_instrument_is_normal_until_something_else_is_said() -> None:
    entered = {"event_time_us": 5, "instrument": 2, "state": int(AdlState.ADL), "reason": "empty"}
    spans = [(s.instrument, s.state.name, s.start_us, s.end_us) for s in spans_of([entered], [1, 2], 0, 9)]
    assert spans == [(1, "NORMAL", 0, 9), (2, "NORMAL", 0, 5), (2, "ADL", 5, 9)]


def test_amounts_are_written_to_the_last_unit() -> None:
    assert Unit("USD", 6).text(-1_234_567_000_001) == "-1,234,567.000001 USD"
    assert Unit("USD", 6).text(5) == "0.000005 USD"
    assert Unit("units", 0).text(1_234) == "1,234 units"


def test_shares_are_cut_and_basis_points_are_exact() -> None:
    assert [percent(ppm) for ppm in (166_666, 999_999, 7_963_999, -54_210, 0, -999)] == [
        "16.6 %",
        "99.9 %",
        "796.3 %",
        "\u22125.4 %",
        "0.0 %",
        "0.0 %",
    ]
    assert [basis_points(ppm) for ppm in (7_499, -5_421, 0, None)] == ["74.99", "\u221254.21", "0.00", "\u2013"]


def test_times_and_lengths_are_written_as_people_read_them() -> None:
    assert exact_clock(1_760_130_947_000_033) == "21:15:47.000033"
    assert [duration(us) for us in (5, 1_005, 66_000_000, 90_061_000_000)] == ["5 µs", "1.005 ms", "1 min 6 s", "1 d 1 h"]
    assert [short(v) for v in (0, 1500, -2_000_000, 3.2e9)] == ["0", "1.5 k", "\u22122 M", "3.2 bn"]


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(-50, 50)), min_size=1, max_size=200))
def test_a_thinned_line_reaches_as_far_as_the_whole(points: list[tuple[float, float]]) -> None:
    points.sort(key=lambda point: point[0])
    kept = thinned(points)
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert {min(y for _, y in kept), max(y for _, y in kept)} == {min(y for _, y in points), max(y for _, y in points)}


@given(st.lists(st.floats(0, 500), max_size=6))
def test_labels_keep_their_order_and_their_distance(places: list[float]) -> None:
    moved = spread(places, 13)
    ordered = sorted(moved)
    assert all(b - a >= 13 - 1e-6 for a, b in pairwise(ordered))
    assert sorted(range(len(places)), key=lambda n: (places[n], n)) == sorted(range(len(places)), key=moved.__getitem__)


def test_the_offsetting_side_of_a_wave_is_the_side_of_its_ladder() -> None:
    for wave in report("cascade", 60).waves:
        assert {rung.position_lots > 0 for rung in wave.ladder} <= {wave.row["side"] == PositionSide.LONG}


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=30))
def test_a_mark_is_applied_where_it_lies_beyond_all_before_it_by_run_of_the_feed_and_sequence(marks: list[tuple[int, int]]) -> None:
    twin = [all(mark > earlier for earlier in marks[:at]) for at, mark in enumerate(marks)]
    epochs, sequences = (np.array([mark[side] for mark in marks], np.int64) for side in (0, 1))
    assert ahead(epochs, sequences).tolist() == twin


@pytest.mark.parametrize(
    ("symbol", "width", "shown"),
    [("BTC", 6, "BTC"), ("FARTCOIN", 6, "FARTCO"), ("LUNA (2)", 9, "LUNA (2)"), ("LUNA (2)", 6, "LU (2)"), ("FARTCOIN (12)", 9, "FART (12)")],
)
def test_a_symbol_is_cut_but_not_the_id_that_tells_it_from_another(symbol: str, width: int, shown: str) -> None:
    assert clipped(symbol, width) == shown
