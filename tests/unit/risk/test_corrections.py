"""Corrections: the record as it should have been is applied once, the last one heals its account, and nothing else does."""

from typing import Any

import pytest

from streams.domain.batch import Outputs
from streams.domain.events import CorrectionKind, DeadLetterReason, GroupState, UpdateKind
from streams.domain.letters import LETTERS_MAX
from streams.risk.corrections import MORE, PLACES
from streams.risk.keys import SUSPECT
from streams.risk.machine import RiskMachine
from streams.topics import ACCOUNTS_READS, TOPICS
from streams.wire.schemas import schema
from tests.support.risk_rows import PARTITIONS, Desk, Record, instrument, pool


def opened(*wallets: int) -> Desk:
    desk = Desk()
    desk.feed(instrument(), pool(), *[r for n, w in enumerate(wallets, 1) for r in desk.opening(n, w)])
    return desk


def lost(desk: Desk, record: Record) -> tuple[str, int]:
    """Feed a record that is refused; (topic, offset) of its place."""
    offset = desk.offset
    out = desk.feed(record)
    assert [refusal.account for refusal in out.refusals] == [record[1]["account"]]
    return "account-events", offset


def correction(desk: Desk, account: int, place: tuple[str, int], **more: Any) -> Record:
    row = {
        "event_time_us": desk.now(),
        "correction_id": desk.time_us,
        "account": account,
        "kind": CorrectionKind.DROP,
        "source_topic": place[0],
        "source_partition": account % PARTITIONS,
        "source_offset": place[1],
        "reason": "as agreed with the exchange",
    }
    return "corrections", {**row, **more}


def corrected(desk: Desk, record: Record, place: tuple[str, int], **right: Any) -> Record:
    name, kind = ("fill", CorrectionKind.FILL) if record[0] == "fills" else ("update", CorrectionKind.UPDATE)
    return correction(desk, record[1]["account"], place, kind=kind, **{name: {**record[1], **right}})


def is_suspect(desk: Desk, account: int) -> bool:
    book = desk.machine.book
    return bool(int(book.accounts.rows["flags"][book.account_row(account)]) & SUSPECT)


def states(desk: Desk, out: Outputs) -> list[GroupState]:
    return [GroupState(row["state"]) for row in desk.rows("account-states", out)]


def test_a_corrected_fill_is_applied_and_heals_the_account() -> None:
    desk = opened(1_000)
    wrong = desk.fill(1, 10, 1_000, number=7)
    place = lost(desk, wrong)
    assert is_suspect(desk, 1)
    out = desk.feed(corrected(desk, wrong, place, instrument=1))
    assert desk.position(1) == (10, 1_000)
    assert not is_suspect(desk, 1)
    assert states(desk, out) == [GroupState.HEALTHY]
    assert out.refusals == []


def test_a_corrected_update_is_applied_and_heals_the_account() -> None:
    desk = opened(1_000)
    wrong = desk.update(1, UpdateKind.DEPOSIT, 50, asset=0)
    desk.feed(correction(desk, 1, lost(desk, wrong), kind=CorrectionKind.UPDATE, update={**wrong[1], "asset": 1}))
    assert desk.wallet(1) == 1_050
    assert not is_suspect(desk, 1)


def test_the_record_counts_although_later_ones_of_the_account_came_before_it() -> None:
    desk = opened(1_000)
    wrong = desk.fill(1, 10, 1_000, number=7)
    place = lost(desk, wrong)
    desk.feed(desk.fill(1, 5, 500))
    desk.feed(corrected(desk, wrong, place, instrument=1))
    assert desk.position(1) == (15, 1_500)
    a = desk.machine.book.accounts.rows[desk.machine.book.account_row(1)]
    assert int(a["missing"]) == 0


def test_a_correction_that_comes_twice_is_applied_once() -> None:
    desk = opened(1_000)
    wrong = desk.fill(1, 10, 1_000, number=7)
    fix = corrected(desk, wrong, lost(desk, wrong), instrument=1)
    desk.feed(fix)
    out = desk.feed(fix)
    assert desk.position(1) == (10, 1_000)
    assert [name for name, _ in out.alarms] == ["correction_ignored"]
    assert not is_suspect(desk, 1)


def test_an_account_stays_suspect_until_its_last_dead_letter_is_dealt_with() -> None:
    desk = opened(1_000)
    one, two = desk.fill(1, 1, 100, number=7), desk.fill(1, 2, 200, number=7)
    places = [lost(desk, one), lost(desk, two)]
    out = desk.feed(corrected(desk, one, places[0], instrument=1))
    assert (is_suspect(desk, 1), states(desk, out)) == (True, [])
    out = desk.feed(corrected(desk, two, places[1], instrument=1))
    assert (is_suspect(desk, 1), states(desk, out)) == (False, [GroupState.HEALTHY])


def test_letting_a_record_go_heals_with_an_alarm_and_changes_nothing_else() -> None:
    desk = opened(1_000)
    place = lost(desk, desk.fill(1, 10, 1_000, number=7))
    out = desk.feed(correction(desk, 1, place))
    assert not is_suspect(desk, 1)
    assert out.alarms == [("dead_letter_dropped", {"account": 1, "reason": "as agreed with the exchange"})]
    assert desk.wallet(1) == 1_000


def test_a_record_let_go_counts_as_heard_where_its_sequence_number_is_given() -> None:
    desk = opened(1_000)
    lost_fill = desk.fill(1, 10, 1_000, number=7)
    place = lost(desk, lost_fill)
    desk.feed(desk.fill(1, 1, 100))
    desk.feed(correction(desk, 1, place, account_seq=lost_fill[1]["account_seq"]))
    a = desk.machine.book.accounts.rows[desk.machine.book.account_row(1)]
    assert int(a["missing"]) == 0


def test_sums_are_off_by_the_lost_side_of_a_trade_until_it_is_corrected() -> None:
    desk = opened(1_000, 1_000)
    wrong = desk.fill(1, 10, 1_000, number=7)
    place = lost(desk, wrong)
    desk.feed(desk.fill(2, -10, -1_000))
    assert desk.position(2) == (-10, -1_000)  # nobody holds the other ten lots
    desk.feed(corrected(desk, wrong, place, instrument=1))
    assert [sum(side) for side in zip(desk.position(1), desk.position(2), strict=True)] == [0, 0]


def test_a_snapshot_closes_all_dead_letters_of_its_account_and_of_no_other() -> None:
    desk = opened(1_000, 1_000)
    place = lost(desk, desk.fill(1, 1, 100, number=7))
    lost(desk, desk.fill(2, 1, 100, number=7))
    desk.feed(*desk.opening(1, 2_000))
    assert (is_suspect(desk, 1), is_suspect(desk, 2)) == (False, True)
    assert [name for name, _ in desk.feed(correction(desk, 1, place)).alarms] == ["correction_ignored"]


def test_an_account_has_at_most_a_hundred_open_dead_letters_and_a_number_of_others_that_only_a_snapshot_closes() -> None:
    desk = opened(1_000, 1_000)
    places = [lost(desk, desk.fill(1, 1, 100, number=7)) for _ in range(103)]
    letters = desk.machine.corrections.letters
    assert len(letters) == LETTERS_MAX + 1
    assert letters[1, *MORE].is_counted == 3
    desk.feed(*[correction(desk, 1, place) for place in places[:100]])
    assert is_suspect(desk, 1)
    assert [name for name, _ in desk.feed(correction(desk, 1, places[101])).alarms] == ["correction_ignored"]
    desk.machine.restore(desk.machine.snapshot())
    assert is_suspect(desk, 1)
    desk.feed(*desk.opening(1, 2_000))
    assert not is_suspect(desk, 1)
    assert len(letters) == 0


def test_a_healed_account_under_water_is_liquidated() -> None:
    desk = opened(1_000)
    desk.feed(desk.fill(1, 100, 10_000), desk.mark(100))
    wrong = desk.fill(1, 1, 60, number=7)
    place = lost(desk, wrong)
    assert desk.rows("instructions", desk.feed(desk.mark(60))) == []  # a suspect account is left alone
    out = desk.feed(corrected(desk, wrong, place, instrument=1))  # judged as soon as it is healed, at the mark in force
    # equity 1,000 + 101 x 60 - 10,060 < 0
    assert desk.rows("instructions", out) + desk.rows("insolvencies", out) != []


@pytest.mark.parametrize(
    ("right", "more", "reason"),
    [
        ({"instrument": 8}, {}, DeadLetterReason.UNKNOWN_INSTRUMENT),
        ({"instrument": 1, "lots": 0}, {}, DeadLetterReason.OUT_OF_BOUNDS),
        ({"instrument": 1, "account": 2}, {}, DeadLetterReason.BAD_VALUE),
        ({"instrument": 1}, {"kind": CorrectionKind.UNKNOWN}, DeadLetterReason.UNKNOWN_SYMBOL),
        ({"instrument": 1}, {"kind": CorrectionKind.UPDATE}, DeadLetterReason.BAD_VALUE),
        ({"instrument": 1}, {"fill": None}, DeadLetterReason.BAD_VALUE),
        ({"instrument": 1}, {"source_topic": "marks"}, DeadLetterReason.BAD_VALUE),
    ],
)
def test_a_correction_that_cannot_be_taken_is_a_dead_letter_and_leaves_the_account_suspect(
    right: dict[str, Any], more: dict[str, Any], reason: DeadLetterReason
) -> None:
    desk = opened(1_000, 1_000)
    wrong = desk.fill(1, 10, 1_000, number=7)
    stream, row = corrected(desk, wrong, lost(desk, wrong), **right)
    out = desk.feed((stream, {**row, **more}))
    assert [(refusal.stream, refusal.reason) for refusal in out.refusals] == [("corrections", reason)]
    assert is_suspect(desk, 1)
    desk.feed((stream, {**corrected(desk, wrong, ("account-events", row["source_offset"]), instrument=1)[1]}))
    assert not is_suspect(desk, 1)  # the one that is right still heals


def test_open_dead_letters_survive_a_snapshot_of_the_machine() -> None:
    desk = opened(1_000)
    wrong = desk.fill(1, 10, 1_000, number=7)
    place = lost(desk, wrong)
    restored = RiskMachine(0, 1)
    restored.restore(desk.machine.snapshot())
    assert restored.digest() == desk.machine.digest()
    desk.machine = restored
    desk.feed(corrected(desk, wrong, place, instrument=1))
    assert desk.position(1) == (10, 1_000)
    assert not is_suspect(desk, 1)


def test_places_have_the_codes_of_the_reading_order() -> None:
    by_account = {name: code for code, name in enumerate(ACCOUNTS_READS) if TOPICS[name].key == "account"}
    assert by_account == PLACES


@pytest.mark.parametrize(("name", "of"), [("fill", "fill"), ("update", "account_update")])
def test_a_correction_carries_the_fields_of_the_stream_it_corrects(name: str, of: str) -> None:
    (nested,) = [field.fields for field in schema("correction").fields if field.name == name]
    assert nested == schema(of).fields
