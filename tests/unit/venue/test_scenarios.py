"""The scenarios: their openings sum to zero, stay inside the bounds, are functions of the seed, and come to an end."""

import os
import subprocess
import sys
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import pytest

from streams.domain.events import InstructionKind, Outcome, PositionSide, Role
from streams.domain.instruments import Instrument, Pool, parse_instrument, parse_pool
from streams.domain.money import MAX_VALUE, MAX_WALLET
from streams.errors import UsageProblem
from streams.venue.book import cross
from streams.venue.exchange import Exchange
from streams.venue.records import Record
from streams.venue.scenarios import examples
from streams.venue.scenarios.oct10 import COINS, fall_ppm, recorded
from streams.venue.scenarios.registry import NAMES, build
from streams.venue.scenarios.scenario import Scenario
from streams.wire.codec import codec
from tests.support.desk import Desk

SEEDED = ("calm", "cascade", "oct-10-2025")
SMALL = 40
ROOT = Path(__file__).parents[3]


def small(name: str, seed: int = 0) -> Scenario:
    return build(name, SMALL if name in SEEDED else None, seed)


def opening(name: str, seed: int = 0) -> list[Record]:
    return Exchange(small(name, seed)).next_records() or []


def digest_of_run(name: str, seed: int) -> str:
    """SHA-256 of everything that exchange and desk said."""
    digest, desk = sha256(), Desk(Exchange(build(name, SMALL, seed)))
    for records in desk.run():
        digest.update(repr(records).encode())
    return digest.hexdigest()


@pytest.mark.parametrize("name", NAMES)
def test_an_opening_book_sums_to_zero_and_nobody_opens_below_maintenance(name: str) -> None:
    exchange = Exchange(small(name))
    exchange.next_records()
    exchange.book.check()
    if name not in SEEDED:
        return
    exchange.next_records()
    desk = Desk(exchange)
    for group, held in exchange.book.held.items():
        if held:
            assert exchange.book.equity(group) > desk.maintenance(group)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_accepted_and_values_stay_inside_their_bounds(name: str) -> None:
    records = opening(name)
    instruments = {}
    for stream, _, row in records:
        if stream == "instruments":
            instrument = parse_instrument(row)
            assert isinstance(instrument, Instrument)
            instruments[instrument.instrument] = instrument
        elif stream == "pools":
            assert isinstance(parse_pool(row), Pool)
        elif stream == "account-updates":
            assert abs(row["amount"]) <= MAX_WALLET
            if row["lots"]:
                assert abs(row["cost"]) <= MAX_VALUE
                assert abs(row["lots"]) <= instruments[row["instrument"]].max_lots


def test_the_default_accounts_of_the_large_scenario_fit_the_bounds_too() -> None:
    exchange = Exchange(build("oct-10-2025"))
    exchange.next_records()
    limits = {i.instrument: i.max_lots for i in exchange.scenario.instruments}
    assert all(abs(lots) <= limits[key[1]] for key, lots in exchange.book.lots.items())


@pytest.mark.parametrize("name", NAMES)
def test_every_record_can_be_written_and_read_back(name: str) -> None:
    exchange = Exchange(small(name))
    by_stream: dict[str, list[dict[str, object]]] = {}
    for _ in range(40):
        for stream, _, row in exchange.next_records() or []:
            by_stream.setdefault(stream, []).append(row)
    for stream, rows in by_stream.items():
        kept = [codec(stream).decode_row(value) for value in codec(stream).encode(rows)]
        assert kept == rows, stream


@pytest.mark.parametrize("name", SEEDED)
def test_the_seed_decides_everything(name: str) -> None:
    assert digest_of_run(name, 7) == digest_of_run(name, 7)
    assert digest_of_run(name, 7) != digest_of_run(name, 8)


def test_a_run_does_not_depend_on_the_hash_seed_of_the_interpreter() -> None:
    program = "from tests.unit.venue.test_scenarios import digest_of_run; print(digest_of_run('cascade', 3))"
    said = [
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": hash_seed}, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()
        for hash_seed in ("1", "2")
    ]
    assert said == [digest_of_run("cascade", 3)] * 2


def test_nobody_is_hit_on_a_calm_day() -> None:
    desk = Desk(Exchange(build("calm")))
    for _ in desk.run():
        pass
    desk.exchange.book.check()
    assert desk.sent == {}


@pytest.mark.parametrize("name", ["cascade", "oct-10-2025"])
def test_a_fall_brings_liquidations_takeovers_and_adl_and_everything_is_answered(name: str) -> None:
    desk = Desk(Exchange(build(name, 120)))
    for count, _ in enumerate(desk.run()):
        if count % 100 == 0:
            desk.exchange.book.check()
    desk.exchange.book.check()
    assert not any(desk.waiting.values())
    filled = {row["kind"] for row in desk.results if row["outcome"] in (Outcome.FILLED, Outcome.PARTIAL)}
    assert {InstructionKind.LIQUIDATE, InstructionKind.TAKEOVER, InstructionKind.ADL, InstructionKind.UNWIND} <= filled
    assert any(row["outcome"] == Outcome.REJECTED and row["reason"] == "rejected by the gateway" for row in desk.results)


@pytest.mark.parametrize("name", ["cascade", "oct-10-2025"])
def test_the_last_marks_stand_still_so_that_everything_can_be_finished(name: str) -> None:
    exchange = Exchange(small(name))
    marks: dict[int, list[tuple[int, int]]] = {}
    while (records := exchange.next_records()) is not None:
        for stream, _, row in records:
            if stream == "marks":
                marks.setdefault(row["instrument"], []).append((row["event_time_us"], row["mark_ticks"]))
    for of_instrument in marks.values():
        end_us = of_instrument[-1][0]
        assert len({ticks for time_us, ticks in of_instrument if time_us > end_us - 15_000_000}) == 1


def test_accounts_are_mixed_cross_and_isolated_one_way_and_hedged() -> None:
    positions = [p for o in build("oct-10-2025", 300).openings if o.role == Role.USER for p in o.positions]
    assert {p.side for p in positions} == {PositionSide.ONE_WAY, PositionSide.LONG, PositionSide.SHORT}
    assert {p.bucket is None for p in positions} == {True, False}
    assert {p.lots > 0 for p in positions if p.side == PositionSide.ONE_WAY} == {True, False}


def test_the_fund_opens_with_its_cash_and_no_position() -> None:
    scenario = build("cascade", 100)
    fund = next(o for o in scenario.openings if o.role == Role.FUND)
    assert fund.account == scenario.pools[0].fund_account
    assert (fund.positions, fund.wallet > 0) == ((), True)
    assert cross(fund.account) == (fund.account, None, None)


def test_the_recorded_shocks_are_those_of_the_file() -> None:
    days = recorded()
    assert list(days)[:5] == ["ETH", "XPL", "SOL", "FARTCOIN", "BTC"]  # by total budget
    assert set(days) == set(COINS)
    assert days["BTC"].clusters == 9
    assert days["BTC"].budget_usd == 47_652_427
    first_us, share_ppm = days["BTC"].shocks[0]
    assert first_us == 1_760_131_026_037_000  # 2025-10-10 21:17:06.037 UTC
    assert 110_000 < share_ppm < 120_000
    assert all(sum(share for _, share in day.shocks) == 1_000_000 for day in days.values())


def test_a_coin_slides_before_its_shock_and_gaps_at_it() -> None:
    shocks = ((100_000_000, 400_000), (200_000_000, 600_000))
    falls = [fall_ppm(shocks, t) for t in (0, 75_000_000, 99_999_999, 100_000_000, 175_000_000, 199_999_999, 200_000_000)]
    assert all(a <= b for a, b in pairwise(falls))
    assert falls[0] == falls[1] == 0
    assert falls[2] == 279_999  # 70 % of 400,000, cut
    assert (falls[3], falls[4], falls[6]) == (400_000, 400_000, 1_000_000)


def test_the_walked_examples_are_the_files_that_are_shipped() -> None:
    assert sorted(path.name for path in examples.FILES.iterdir()) == [f"{name}.toml" for name in examples.NAMES]
    assert set(examples.NAMES) <= set(NAMES)


def test_an_unknown_scenario_is_named_with_those_that_exist() -> None:
    with pytest.raises(UsageProblem, match=r"--scenario oct: there is no such scenario.*calm, cascade, oct-10-2025"):
        build("oct")


@pytest.mark.parametrize("accounts", [0, 9, 20_001])
def test_an_impossible_number_of_accounts_is_refused(accounts: int) -> None:
    with pytest.raises(UsageProblem, match=f"--accounts {accounts}: scenario calm takes 10 to 20,000"):
        build("calm", accounts)
