"""The zero-sum check over all shards."""

from typing import Any

from streams.domain.batch import Outputs, Raised
from streams.domain.conservation import Conservation


def totals(shard: int, second: int, *, money: int = 0, lots: int = 0, **more: Any) -> dict[str, Any]:
    """Totals whose wallets exceed costs and external flows by `money`."""
    row = {
        "asset": 1, "shard": shard, "event_second": second, "wallets": str(10**20 + money), "open_cost": str(10**19), "external": str(9 * 10**19),
        "reconciliation": "0", "instruments": [{"instrument": 7, "lots": lots, "open_interest": 0}],
    }  # fmt: skip
    return {**row, **more}


def hear(check: Conservation, *rows: dict[str, Any]) -> list[Raised]:
    out = Outputs()
    for row in rows:
        check.hear(row, out)
    return out.alarms


def test_sums_that_cancel_between_shards_are_silent() -> None:
    check = Conservation(2)
    rows = [totals(shard, second, money=5 - 10 * shard, lots=3 - 6 * shard) for second in range(20) for shard in (0, 1)]
    assert hear(check, *rows) == []


def test_money_or_lots_out_of_balance_for_more_than_five_seconds_are_alarmed_once() -> None:
    check = Conservation(2)
    seconds = [hear(check, totals(0, n, money=7, lots=2), totals(1, n)) for n in range(100, 110)]
    assert [len(alarms) for alarms in seconds] == [0, 0, 0, 0, 0, 0, 1, 0, 0, 0]
    facts = {"asset": 1, "event_second": 106, "since_second": 100, "amount": 7, "lots": {7: 2}}
    assert seconds[6] == [("conservation_violated", facts)]


def test_a_balanced_second_in_between_starts_the_count_anew() -> None:
    check = Conservation(1)
    assert [hear(check, totals(0, n, money=int(n != 5))) for n in range(10)] == [[]] * 10


def test_a_second_is_judged_when_every_shard_has_spoken() -> None:
    check = Conservation(2)
    assert hear(check, *(totals(0, n, money=1) for n in range(10))) == []
    alarms = hear(check, *(totals(1, n) for n in range(10)))
    assert [facts["event_second"] for _, facts in alarms] == [6]
    assert len(check.sums) == 0


def test_a_reconciliation_difference_is_alarmed_when_it_changes() -> None:
    check = Conservation(1)
    alarms = hear(check, totals(0, 1), totals(0, 2, reconciliation="-4"), totals(0, 3, reconciliation="-4"), totals(0, 4))
    assert [(name, facts["event_second"], facts["amount"]) for name, facts in alarms] == [
        ("reconciliation_difference", 2, -4),
        ("reconciliation_difference", 4, 0),
    ]


def test_a_silent_shard_does_not_make_it_grow_for_ever() -> None:
    check = Conservation(2)
    hear(check, *(totals(0, n) for n in range(1_000)))
    assert len(check.sums) <= 60


def test_it_goes_on_from_a_snapshot() -> None:
    check, other = Conservation(2), Conservation(2)
    hear(check, *(totals(s, n, money=1 - s) for n in range(6) for s in (0, 1)), totals(0, 6, money=1))
    other.restore({part.name: part.to_arrow() for part in check.parts})
    assert [part.lanes() for part in other.parts] == [part.lanes() for part in check.parts]
    assert hear(other, totals(1, 6)) == hear(check, totals(1, 6)) != []
