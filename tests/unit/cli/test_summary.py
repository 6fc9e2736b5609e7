"""What a log comes to."""

from typing import Any

from streams.bus.memory import MemoryBus
from streams.commands.broker import topic_counts
from streams.commands.summary import summary_of, sums_of
from streams.domain.events import AdlState
from streams.wire.records import new_record


def totals(**changes: Any) -> dict[str, Any]:
    row = {
        "event_time_us": 2_000_000,
        "shard": 0,
        "asset": 1,
        "event_second": 1,
        "wallets": "150",
        "open_cost": "50",
        "external": "100",
        "reconciliation": "0",
        "consumed": [{"topic": "marks", "partition": 0, "to": 9}],
        "instruments": [{"instrument": 7, "lots": 5, "open_interest": 5}],
        "groups_warning": 0,
        "groups_liquidatable": 0,
        "groups_bankrupt": 0,
        "suspects": 0,
    }
    return row | changes


def test_lots_and_cash_are_summed_over_shards() -> None:
    # cash: (150 - 50 - 100) + (30 - -20 - 50) = 0; lots: 5 - 5 = 0
    other = totals(shard=1, wallets="30", open_cost="-20", external="50", instruments=[{"instrument": 7, "lots": -5, "open_interest": 0}], suspects=2)
    sums = sums_of([totals(), other])
    assert (sums.lots, sums.cash, sums.suspects, sums.zero) == ({7: 0}, {1: 0}, 2, True)


def test_a_leak_of_one_unit_beyond_64_bits_shows() -> None:
    sums = sums_of([totals(wallets=str(10**30 + 1), open_cost="0", external=str(10**30))])
    assert (sums.cash, sums.zero) == ({1: 1}, False)


def test_accounts_that_are_suspect_are_counted_once_though_every_asset_names_them() -> None:
    assert sums_of([totals(asset=1, suspects=2), totals(asset=2, suspects=2)]).suspects == 2


async def bus_with(*records: tuple[str, dict[str, Any]]) -> MemoryBus:
    bus = MemoryBus()
    await bus.create_topics(topic_counts(account_partitions=2, shards=2))
    writer = await bus.writer("t")
    await writer.commit([new_record(stream, row) for stream, row in records])
    return bus


def state(value: int, entered: AdlState) -> dict[str, Any]:
    return {"event_time_us": 1, "pool": 1, "instrument": 7, "state": entered, "value": value, "wallet": value, "threshold": None, "reason": ""}


async def test_the_last_state_of_a_pool_counts() -> None:
    bus = await bus_with(("pool-states", state(1, AdlState.ADL)), ("pool-states", state(2, AdlState.NORMAL)))
    summary = await summary_of(bus)
    assert summary.pool_states == {(1, 7): AdlState.NORMAL}
    assert [row["value"] for row in summary.rows["pool-states"]] == [1, 2]


async def test_a_published_second_counts_as_a_violation_only_when_complete_and_read_alike() -> None:
    leak = {"wallets": "151"}
    further = {"consumed": [{"topic": "marks", "partition": 0, "to": 10}]}
    opposite = [{"instrument": 7, "lots": -5, "open_interest": 0}]
    bus = await bus_with(
        ("shard-totals", totals(event_second=1, **leak)),  # alone
        ("shard-totals", totals(event_second=2)),
        ("shard-totals", totals(event_second=2, shard=1, instruments=opposite, **leak, **further)),  # read further
        ("shard-totals", totals(event_second=3)),
        ("shard-totals", totals(event_second=3, shard=1, instruments=opposite, **leak)),  # a leak
        ("shard-totals", totals(event_second=4)),
        ("shard-totals", totals(event_second=4, shard=1, instruments=opposite)),
    )
    summary = await summary_of(bus)
    assert summary.published_violations == 1


async def test_an_empty_log_comes_to_nothing() -> None:
    summary = await summary_of(await bus_with())
    assert (summary.events_in, summary.steps, summary.adl_executions, summary.fund_balances) == (0, 0, 0, {})
