"""The whole pipeline on seeded exchanges: sums are zero, our books equal the exchange's, and the shard count changes no decision."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain.events import InsolvencyKind
from streams.venue.scenarios.registry import build
from tests.support.pipeline import PARTITIONS, Ran, run


def check(ran: Ran) -> None:
    """What must hold at the end of every run."""
    cash, lots = ran.sums()
    assert cash == 0
    assert set(lots.values()) == {0}
    assert ran.differences() == []
    assert ran.rows("dead-letters") == []
    assert not any(machine.held for machine in ran.risk())
    assert_executed_once(ran)


def assert_executed_once(ran: Ran) -> None:
    """Every execution is of an instruction sent, at most its lots; rank, lights and totals are in range."""
    sent = {row["instruction_id"]: row for row in ran.rows("instructions")}
    for execution in ran.rows("adl-executions"):
        instruction = sent[execution["instruction_id"]]
        assert 0 < execution["lots"] <= abs(instruction["lots"])
        assert 1 <= execution["rank"] <= execution["of_n"]
        assert 1 <= execution["lights"] <= 5
        assert execution["group_equity"] > 0


@settings(max_examples=6)
@given(st.integers(0, 2**32), st.sampled_from([20, 40]))
def test_a_cascade_conserves_money_and_lots_and_is_decided_alike_by_any_number_of_shards(seed: int, accounts: int) -> None:
    runs = [run(build("cascade", accounts=accounts, seed=seed, account_partitions=PARTITIONS), shards=shards) for shards in (1, 2, 4)]
    for ran in runs:
        check(ran)
    assert len({ran.decisions for ran in runs}) == 1


@pytest.mark.parametrize("name", ["calm", "cascade", "oct-10-2025"])
def test_the_scenarios_end_in_order(name: str) -> None:
    ran = run(build(name, accounts=60, seed=5, account_partitions=PARTITIONS))
    check(ran)
    hit = ran.rows("insolvencies", "account", kind=InsolvencyKind.POSITION)
    assert bool(hit) == (name != "calm")
    assert bool(ran.rows("adl-executions")) == (name != "calm")


def test_the_same_seed_gives_the_same_bytes() -> None:
    one, two = (run(build("cascade", accounts=30, seed=9, account_partitions=PARTITIONS)) for _ in range(2))
    assert one.decisions == two.decisions
    assert {key: machine.digest() for key, machine in one.machines.items()} == {key: machine.digest() for key, machine in two.machines.items()}
