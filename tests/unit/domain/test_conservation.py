"""The zero-sum check over all shards."""

from typing import Any

from streams.domain.alarms import Alarm
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


def lasts(check: Conservation) -> list[tuple[str, int, int | None]]:
    assert all(each.alarm is Alarm.CONSERVATION_VIOLATED for each in check.lasting())
    return [(each.of, each.count, each.since_us) for each in check.lasting()]


def test_records_under_way_at_the_end_of_every_second_are_no_violation() -> None:
    """Of each second one side of a trade is late by one second: never zero, never the same."""
    check, under_way = Conservation(2), [13, -7, 22, 4, -9, 31, 5, -16, 8, 2]
    alarms = [hear(check, totals(0, n, money=amount, lots=-amount), totals(1, n)) for n, amount in enumerate(under_way * 6)]
    assert not any(alarms)
    assert lasts(check) == []


def test_what_is_missing_shows_between_records_that_are_under_way() -> None:
    """7 are missing. In two seconds of three nothing is under way; in the third something is, another time something else."""
    check, seconds = Conservation(1), [7 if n % 3 else 7 + n + 1 for n in range(30)]
    said = [n for n, amount in enumerate(seconds) if hear(check, totals(0, n, money=amount))]
    # 8 7 7 11 7 7 ...: from 7 on, every third second takes back one of two votes. The sixth vote above nothing is that of second 17.
    assert len(said) == 1
    assert lasts(check) == [("asset 1", 1, 1_000_000)]


def test_a_violation_lasts_until_the_sum_is_zero_and_survives_a_restart() -> None:
    check, other = Conservation(1), Conservation(1)
    hear(check, *(totals(0, n, money=7, lots=1) for n in range(100, 120)))
    assert lasts(check) == [("asset 1", 2, 100_000_000)]
    other.restore({part.name: part.to_arrow() for part in check.parts})
    assert lasts(other) == [("asset 1", 2, 100_000_000)]
    assert hear(other, *(totals(0, n, money=7, lots=1) for n in range(120, 720))) == []
    assert lasts(other) == [("asset 1", 2, 100_000_000)]
    hear(other, totals(0, 720, money=7))
    assert lasts(other) == [("asset 1", 1, 100_000_000)]
    hear(other, totals(0, 721))
    assert lasts(other) == []
    assert other.proven() == {1: []}


def test_each_sum_is_held_against_itself() -> None:
    """Money is off by something else each second, lots of one instrument always by 2."""
    check = Conservation(1)
    alarms = hear(check, *(totals(0, n, money=n + 1, lots=2) for n in range(10)))
    assert [(name, facts["amount"], facts["lots"]) for name, facts in alarms] == [("conservation_violated", 0, {7: 2})]
