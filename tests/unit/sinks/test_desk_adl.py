"""The desk's views of waves and forced fills, against plain loops and exact fractions over the records of a run."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest

from streams.domain.events import FillKind, InstructionKind, PositionSide, PriceRule, RankPolicy, WaveStatus
from tests.support.ranking_twin import Candidate, twin_order
from tests.support.warehouse import Warehouse, time_of, usd, warehouse

pytestmark = pytest.mark.chdb
PPM = 1_000_000


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with warehouse(tmp_path_factory.mktemp("desk"), "cascade", "example_a") as opened:
        yield opened


def instruments(desk: Warehouse) -> dict[int, dict[str, Any]]:
    return {row["instrument"]: row for row in desk.records("instruments")}


def lot_value(desk: Warehouse, wave: dict[str, Any]) -> int:
    """What a lot is worth at the mark of a wave or execution; settlement units."""
    return int(wave["mark_ticks"] * instruments(desk)[wave["instrument"]]["value_per_tick_lot"])


def test_the_tape_has_every_forced_fill_of_those_it_was_forced_on(desk: Warehouse) -> None:
    ordered = {row["instruction_id"]: row for row in desk.records("instructions")}
    known = instruments(desk)
    expected = []
    for row in desk.records("fills"):
        if row["kind"] == FillKind.TRADE:
            continue
        instruction, kind = ordered[row["instruction_id"]], FillKind(row["kind"])
        if row["account"] == instruction["account"] and (kind is not FillKind.ADL or row["position_side"] == instruction["position_side"]):
            party = "FUND" if kind is FillKind.UNWIND else "LIQUIDATED"
        elif kind is FillKind.ADL:
            party = "DELEVERAGED"
        else:
            continue  # the market's side, or the fund that takes over
        value = row["lots"] * instruction["mark_ticks"] * known[row["instrument"]]["value_per_tick_lot"]
        worse = Fraction(PPM * (row["quote"] - value), abs(value))
        expected.append((
            time_of(row["event_time_us"]), kind.name, party, row["account"], row["instrument"], known[row["instrument"]]["symbol"],
            PositionSide(row["position_side"]).name, row["lots"], row["price_ticks"], usd(abs(row["quote"])), instruction["mark_ticks"],
            int(worse), row["instruction_id"], row["trade_id"],
        ))  # fmt: skip
    found = desk.ask(
        "SELECT event_time, kind, party, account, instrument, symbol, position_side, lots, price_ticks, notional, mark_ticks, slippage_ppm, "
        "instruction_id, trade_id FROM desk_liquidations"
    )
    assert sorted(found, key=repr) == sorted(expected, key=repr)
    assert {row[1] for row in found} >= {"LIQUIDATION", "TAKEOVER", "UNWIND", "ADL"}


def test_example_a_on_the_tape(desk: Warehouse) -> None:
    # Mark 88: the fund takes 2 lots at 90, eight are deleveraged at 90, and the fund sells its two at the mark. Sold 2 above the mark: -22,727 ppm.
    found = desk.ask(
        "SELECT kind, party, account, lots, notional_units, mark_ticks, slippage_ppm FROM desk_liquidations ORDER BY kind, party, account, lots",
        "example_a",
    )
    assert found == [
        ("TAKEOVER", "LIQUIDATED", 11, -2, 180, 88, -22_727),
        ("UNWIND", "FUND", 31, -2, 176, 88, 0),
        ("ADL", "DELEVERAGED", 21, 6, 540, 88, 22_727),
        ("ADL", "DELEVERAGED", 22, 2, 180, 88, 22_727),
        ("ADL", "LIQUIDATED", 11, -6, 540, 88, -22_727),
        ("ADL", "LIQUIDATED", 11, -2, 180, 88, -22_727),
    ]


def test_example_a_has_one_wave_and_a_ladder_of_two(desk: Warehouse) -> None:
    (wave,) = desk.dicts("SELECT * FROM desk_waves", "example_a")
    assert (wave["lots_needed"], wave["lots_taken"], wave["executions"], wave["accounts_hit"], wave["inversions"]) == (8, 8, 2, 2, 0)
    assert (wave["gave_up_units"], wave["gained_units"], wave["notional_units"]) == (16, 0, 8 * 88)  # (90 - 88) x 8
    ladder = desk.ask(
        "SELECT rank, of_n, account, lots, lots_ahead, percentile_accounts_ppm, gave_up_units FROM desk_ladder ORDER BY rank", "example_a"
    )
    assert ladder == [(1, 2, 21, 6, 0, 1_000_000, 12), (2, 2, 22, 2, 6, 500_000, 4)]


def test_what_the_waves_say_adds_up_from_their_executions(desk: Warehouse) -> None:
    executions, waves = desk.records("adl-executions"), desk.records("adl-waves")
    found = {row["wave_id"]: row for row in desk.dicts("SELECT * FROM desk_waves")}
    assert len(found) == len(waves) > 20
    for wave in waves:
        mine = [row for row in executions if row["wave_id"] == wave["wave_id"]]
        row = found[wave["wave_id"]]
        assert (row["executions"], row["accounts_hit"]) == (len(mine), len({each["account"] for each in mine}))
        lost = [given_up(desk, each) for each in mine]
        assert row["gave_up"] == usd(sum(units for units in lost if units > 0))
        assert row["gained"] == usd(-sum(units for units in lost if units < 0))
        assert (row["gave_up_units"], row["gained_units"]) == (wave["needed_budget"], wave["gained"])  # as the wave itself had counted it
        assert row["event_time"] == time_of(wave["event_time_us"])
        assert row["opened"].replace(tzinfo=None) == time_of(wave["opened_us"])
        assert (row["policy_id"], row["price_rule"]) == (RankPolicy(wave["policy_id"]).name, PriceRule(wave["price_rule"]).name)
        for name in ("lots_needed", "lots_allocated", "lots_taken", "residual_lots", "overshoot_lots", "largest_haircut_ppm", "inversions"):
            assert row[name] == wave[name]


def given_up(desk: Warehouse, execution: dict[str, Any]) -> int:
    """What the winner lost against the mark: it paid the liquidated side's quote for lots that are worth less."""
    value = execution["lots"] * lot_value(desk, execution)
    return int(-execution["quote"] - value) if execution["position_lots"] < 0 else int(-execution["quote"] + value)


def test_the_ladder_stands_in_the_order_of_the_ranking_with_every_haircut(desk: Warehouse) -> None:
    executions = {row["instruction_id"]: row for row in desk.records("adl-executions")}
    largest: dict[int, int] = defaultdict(int)
    ladder = desk.dicts("SELECT * FROM desk_ladder ORDER BY wave_id, rank, instruction_id")
    assert {row["instruction_id"] for row in ladder} == executions.keys()
    for row in ladder:
        source = executions[row["instruction_id"]]
        lost = given_up(desk, source)
        value = source["position_lots"] * lot_value(desk, source)
        profit = Fraction((value - source["cost"]) * source["lots"], abs(source["position_lots"]))
        haircut = int(PPM * lost / profit) if lost > 0 and profit > 0 else 0
        assert (row["gave_up"], row["gained"], row["haircut_ppm"]) == (usd(max(0, lost)), usd(max(0, -lost)), haircut)
        assert (row["profit"], row["cost"]) == (usd(value - source["cost"]), usd(source["cost"]))
        for name in ("group_wallet", "group_equity", "group_maintenance", "position_maintenance"):
            assert row[name] == usd(source[name])
        assert (row["rank"], row["lots_ahead"], row["lights"], row["reason"]) == tuple(source[f] for f in ("rank", "lots_ahead", "lights", "reason"))
        largest[row["wave_id"]] = max(largest[row["wave_id"]], haircut)
    for wave in desk.records("adl-waves"):
        assert largest[wave["wave_id"]] == wave["largest_haircut_ppm"]
    for earlier, later in pairwise(ladder):
        if earlier["wave_id"] == later["wave_id"] and earlier["rank"] < later["rank"]:
            assert earlier["lots_ahead"] < later["lots_ahead"]


def offers(desk: Warehouse) -> dict[int, list[dict[str, Any]]]:
    """Candidate rows by wave, with the lots allocated to and taken of each."""
    given, taken = Counter[tuple[int, int, int]](), Counter[tuple[int, int, int]]()
    for decision in desk.records("adl-decisions", status=WaveStatus.ALLOCATED):
        for row in decision["rows"]:
            given[decision["wave_id"], row["account"], row["position_side"]] += row["lots"]
    for row in desk.records("adl-executions"):
        taken[row["wave_id"], row["account"], row["position_side"]] += row["lots"]
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for answer in desk.records("adl-candidates"):
        for row in answer["rows"]:
            key = (answer["wave_id"], row["account"], row["position_side"])
            found[answer["wave_id"]].append(row | {"allocated": given[key], "taken": taken[key]})
    return found


def order(desk: Warehouse, wave: dict[str, Any], rows: list[dict[str, Any]], policy: RankPolicy) -> list[int]:
    """Row numbers, best first, by exact fractions."""
    (probe,) = desk.records("adl-probes", wave_id=wave["wave_id"])
    fields = ("cost", "group_wallet", "group_equity", "group_maintenance", "position_maintenance")
    candidates = [
        Candidate(row["account"], row["position_side"], row["lots"], row["lots"] * lot_value(desk, wave), *(row[field] for field in fields))
        for row in rows
    ]
    return twin_order(policy, candidates, probe["score_wallet_floor"])


def test_the_queue_in_fifths(desk: Warehouse) -> None:
    expected: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0])
    offered_to = offers(desk)
    for wave in desk.records("adl-waves"):
        rows = offered_to[wave["wave_id"]]
        for place, index in enumerate(order(desk, wave, rows, RankPolicy(wave["policy_id"])), start=1):
            quintile = -(-5 * place // len(rows))
            row, one = rows[index], expected[wave["wave_id"], quintile]
            for at, amount in enumerate((1, abs(row["lots"]), row["offered_lots"], row["allocated"], row["taken"])):
                one[at] += amount
    found = desk.ask("SELECT wave_id, quintile, candidates, lots, reserved_lots, allocated_lots, taken_lots FROM desk_queue_quintiles")
    assert {tuple(row[:2]): list(row[2:]) for row in found} == expected
    for wave in desk.records("adl-waves"):
        assert sum(row[6] for row in found if row[0] == wave["wave_id"]) == wave["lots_taken"]


def test_the_notional_of_a_fifth_is_its_lots_at_the_mark(desk: Warehouse) -> None:
    waves = {row["wave_id"]: row for row in desk.records("adl-waves")}
    for wave_id, lots, notional in desk.ask("SELECT wave_id, lots, notional FROM desk_queue_quintiles"):
        wave = waves[wave_id]
        assert notional == usd(int(lots) * lot_value(desk, wave))


def gini_ppm(shares: list[int]) -> int:
    """Mean absolute difference of all pairs over twice the mean, in millionths rounded down."""
    total = sum(shares)
    return int(Fraction(PPM * sum(abs(a - b) for a in shares for b in shares), 2 * len(shares) * total)) if total else 0


def pro_rata(lots: int, weights: list[int], keys: list[tuple[int, int]]) -> list[int]:
    whole = [lots * weight // sum(weights) for weight in weights]
    rest = [lots * weight % sum(weights) for weight in weights]
    for index in sorted(range(len(weights)), key=lambda n: (-rest[n], keys[n]))[: lots - sum(whole)]:
        whole[index] += 1
    return whole


def from_the_front(lots: int, offered: list[int], ranks: list[int]) -> list[int]:
    taken = [0] * len(offered)
    for index in ranks:
        taken[index] = min(offered[index], lots)
        lots -= taken[index]
    return taken


def test_policies_side_by_side(desk: Warehouse) -> None:
    expected: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    offered_to = offers(desk)
    for wave in desk.records("adl-waves"):
        rows = offered_to[wave["wave_id"]]
        offered, lots = [row["offered_lots"] for row in rows], wave["lots_allocated"]
        used = RankPolicy(wave["policy_id"])
        other = RankPolicy.BITMEX if used is RankPolicy.BINANCE else RankPolicy.BINANCE
        taken = {
            (used.name, "USED"): [row["allocated"] for row in rows],
            ("PRO_RATA", "SHADOW"): pro_rata(lots, offered, [(row["account"], row["position_side"]) for row in rows]),
        }
        if len(rows) == wave["candidates_total"]:
            taken[other.name, "SHADOW"] = from_the_front(lots, offered, order(desk, wave, rows, other))
            assert taken[used.name, "USED"] == from_the_front(lots, offered, order(desk, wave, rows, used))
        for (policy, role), given in taken.items():
            shares = [PPM * part // abs(row["lots"]) for part, row in zip(given, rows, strict=True)]
            hit = {row["account"] for part, row in zip(given, rows, strict=True) if part}
            figures = (sum(given), len(hit), max(given), max(shares), gini_ppm(shares), len(rows), wave["candidates_total"])
            expected[wave["wave_id"], policy, role] = figures
    found = desk.ask(
        "SELECT wave_id, policy, role, lots, accounts_hit, largest_lots, largest_share_ppm, gini_ppm, candidates, candidates_total "
        "FROM desk_policy_comparison"
    )
    assert {tuple(row[:3]): tuple(row[3:]) for row in found} == expected
    assert {row[1] for row in found} == {"BITMEX", "BINANCE", "PRO_RATA"}


def test_example_a_by_policy(desk: Warehouse) -> None:
    # 8 lots of shorts of 6 and 4. In a queue: 6 and 2, shares 1 and 0.5. By size: 4.8 and 3.2, so 5 and 3, shares 0.833333 and 0.75.
    found = desk.ask(
        "SELECT policy, role, lots, accounts_hit, largest_share_ppm, gini_ppm, is_complete FROM desk_policy_comparison ORDER BY policy", "example_a"
    )
    assert [row for row in found if row[0] == "PRO_RATA"] == [("PRO_RATA", "SHADOW", 8, 2, 833_333, 26_315, 1)]  # 83,333 / (2 x 1,583,333)
    used = [row for row in found if row[1] == "USED"]
    assert [row[2:] for row in used] == [(8, 2, 1_000_000, 166_666, 1)]  # 0.5 / (2 x 1.5)


def other_policy(desk: Warehouse) -> str:
    (used,) = {row["policy_id"] for row in desk.records("adl-waves")}
    return (RankPolicy.BITMEX if used == RankPolicy.BINANCE else RankPolicy.BINANCE).name


def test_a_shadow_ranking_is_shown_only_where_every_candidate_was_offered(desk: Warehouse) -> None:
    found = desk.ask("SELECT policy, is_complete, count() FROM desk_policy_comparison WHERE role = 'SHADOW' GROUP BY 1, 2")
    shown = {(policy, complete) for policy, complete, _ in found}
    assert shown == {("PRO_RATA", 0), ("PRO_RATA", 1), (other_policy(desk), 1)}


def test_the_tape_counts_what_the_instructions_came_to(desk: Warehouse) -> None:
    lots = Counter[str]()
    for row in desk.records("instruction-results"):
        if row["kind"] == InstructionKind.LIQUIDATE:
            lots["LIQUIDATION"] += row["executed_lots"]
    found = desk.ask("SELECT kind, sum(abs(lots)) FROM desk_liquidations WHERE kind = 'LIQUIDATION' GROUP BY kind")
    assert dict(found) == lots
