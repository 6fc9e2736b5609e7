"""One dense sequence of an account: what is missing, doubled or has no beginning, and what heals it."""

import pytest

from streams.domain.batch import Outputs
from streams.domain.events import CorrectionKind, DeadLetterReason, FillKind, GroupState, InstructionKind, Outcome, UpdateKind
from streams.risk.keys import ACCOUNT_EVENTS, OF_ACCOUNTS, SUSPECT
from streams.topics import ACCOUNT_EVENTS as TOPIC
from streams.topics import TOPICS
from tests.support.risk_rows import Desk, Record, instrument, pool


def opened(wallet: int = 1_000) -> Desk:
    desk = Desk()
    desk.feed(instrument(), pool(), *desk.opening(1, wallet))
    return desk


def is_suspect(desk: Desk, account: int = 1) -> bool:
    book = desk.machine.book
    return bool(int(book.accounts.rows["flags"][book.account_row(account)]) & SUSPECT)


def alarms(out: Outputs) -> list[str]:
    return [name for name, _ in out.alarms]


def states(desk: Desk, out: Outputs) -> list[GroupState]:
    return [GroupState(row["state"]) for row in desk.rows("account-states", out)]


def numbered(record: Record, seq: int) -> Record:
    return record[0], {**record[1], "account_seq": seq}


def test_the_machine_knows_what_the_topic_carries() -> None:
    assert (TOPIC, TOPICS[TOPIC].streams) == (ACCOUNT_EVENTS, OF_ACCOUNTS)


@pytest.mark.parametrize("kind", ["fill", "update"])
def test_a_number_left_out_makes_the_account_suspect_at_once_and_what_came_is_applied(kind: str) -> None:
    desk = opened()
    desk.fill(1, 5, 500)  # number 2, never sent
    record = desk.fill(1, 10, 1_000) if kind == "fill" else desk.update(1, UpdateKind.DEPOSIT, 50)
    out = desk.feed(record)
    assert states(desk, out) == [GroupState.SUSPECT]
    assert ("account_events_missing", {"account": 1, "first": 2, "last": 2}) in out.alarms
    assert (desk.position(1) == (10, 1_000)) if kind == "fill" else (desk.wallet(1) == 1_050)


def test_a_plain_trade_behind_a_gap_is_noticed_among_many() -> None:
    desk = opened(10**6)
    fills = [desk.fill(1, 1, 100) for _ in range(40)]
    out = desk.feed(*fills[:20], *fills[21:])
    assert ("account_events_missing", {"account": 1, "first": 22, "last": 22}) in out.alarms
    assert desk.position(1) == (39, 3_900)
    assert is_suspect(desk)


@pytest.mark.parametrize("seq", [0, -1])
def test_a_plain_trade_of_a_known_account_under_a_number_that_is_none_is_refused_and_no_duplicate(seq: int) -> None:
    desk = opened()
    out = desk.feed(numbered(desk.fill(1, 5, 500), seq))
    assert [refusal.reason for refusal in out.refusals] == [DeadLetterReason.OUT_OF_BOUNDS]
    assert "duplicates_ignored" not in alarms(out)
    assert is_suspect(desk)


def test_a_snapshot_at_a_later_number_heals_exactly_and_nothing_after_it_is_forgotten() -> None:
    desk = opened()
    desk.fill(1, 5, 500)
    desk.feed(desk.fill(1, 10, 1_000))
    out = desk.feed(*desk.opening(1, 700, (1, 15, 1_500)), desk.fill(1, -15, -1_650), desk.update(1, UpdateKind.DEPOSIT, 9))
    assert GroupState.HEALTHY in states(desk, out)
    assert not is_suspect(desk)
    assert (desk.position(1), desk.wallet(1)) == ((0, 0), 700 + 150 + 9)


def test_a_snapshot_at_a_number_already_heard_is_a_duplicate() -> None:
    desk = opened()
    old = desk.opening(1, 5)
    desk.feed(*old, desk.fill(1, 1, 100))
    out = desk.feed(*old)
    assert alarms(out) == ["duplicates_ignored"]
    assert desk.position(1) == (1, 100)


@pytest.mark.parametrize("seq", [1, 7])
def test_an_account_first_heard_of_without_a_snapshot_is_suspect_whatever_the_number(seq: int) -> None:
    desk = Desk()
    desk.seqs[1] = 0
    out = desk.feed(instrument(), pool(), numbered(desk.update(1, UpdateKind.DEPOSIT, 50), seq))
    assert states(desk, out) == [GroupState.SUSPECT]
    assert ("account_not_opened", {"account": 1, "account_seq": seq}) in out.alarms
    desk.seqs[1] = seq
    desk.feed(*desk.opening(1, 60))
    assert not is_suspect(desk)
    assert desk.wallet(1) == 60


def test_a_snapshot_may_be_the_first_record_at_any_number() -> None:
    desk = Desk()
    desk.seqs[1] = 40
    out = desk.feed(instrument(), pool(), *desk.opening(1, 60, (1, 1, 100)))
    assert (alarms(out), is_suspect(desk)) == ([], False)


@pytest.mark.parametrize("seq", [0, -1, 2**53])
def test_a_number_that_is_none_is_a_dead_letter(seq: int) -> None:
    desk = opened()
    out = desk.feed(numbered(desk.update(1, UpdateKind.DEPOSIT, 50), seq))
    assert [(r.reason, r.account) for r in out.refusals] == [(DeadLetterReason.OUT_OF_BOUNDS, 1)]
    assert desk.wallet(1) == 1_000


def test_what_comes_between_the_parts_of_a_snapshot_breaks_it_off_and_is_applied() -> None:
    desk = Desk()
    first, second = desk.opening(1, 500, (1, 10, 1_000))
    between = numbered(desk.fill(1, 1, 100), 2)
    out = desk.feed(instrument(), pool(), first, between, numbered(second, 3))
    letters = [r["reason"] for r in desk.rows("dead-letters", out)] + [r.reason for r in out.refusals]
    assert letters == [DeadLetterReason.SNAPSHOT_INCOMPLETE] * 2  # the series that was broken off, and the part without a beginning
    assert is_suspect(desk)
    desk.seqs[1] = 3
    desk.feed(*desk.opening(1, 500, (1, 10, 1_000)))
    assert (is_suspect(desk), desk.position(1), desk.wallet(1)) == (False, (10, 1_000), 500)


def test_a_part_that_is_lost_leaves_the_account_suspect() -> None:
    desk = Desk()
    first, _, third = desk.opening(1, 500, (1, 10, 1_000), (2, 1, 50))
    desk.feed(instrument(), instrument(2), pool(), first, third)
    assert is_suspect(desk)


def test_a_snapshot_whose_parts_do_not_come_makes_the_account_suspect_in_the_end() -> None:
    desk = Desk()
    first, _ = desk.opening(1, 500, (1, 10, 1_000))
    desk.feed(instrument(), pool(), first, desk.mark(100))
    assert desk.machine.held == 1
    desk.time_us += 61_000_000
    for _ in range(3):  # a mark so far ahead waits for another
        desk.time_us += 1_000_000
        desk.feed(desk.mark(100))
    assert [r["reason"] for r in desk.rows("dead-letters")] == [DeadLetterReason.SNAPSHOT_INCOMPLETE]
    assert [row["state"] for row in desk.rows("account-states")] == [GroupState.SUSPECT]
    assert desk.machine.held == 0


def test_the_pools_task_hears_results_of_its_own_instructions_only() -> None:
    desk = opened(10_000)
    fields = {"outcome": Outcome.FILLED, "executed_lots": 3, "executed_quote": -300, "executed_amount": 0, "reason": ""}
    kinds = ((7, InstructionKind.TAKEOVER, FillKind.TAKEOVER), (8, InstructionKind.LIQUIDATE, FillKind.LIQUIDATION))
    records: list[Record] = []
    for number, kind, of_fill in kinds:
        records.append(desk.fill(1, 3, 300, kind=of_fill, instruction_id=number))
        row = {"instruction_id": number, "kind": kind, "account": 1, "event_time_us": desk.now(), "account_seq": desk.seq(1), **fields}
        records.append(("instruction-results", row))
    # 8 is no order of this shard: nothing was noted of its fill, nothing follows from its result. 7 is passed on.
    out = desk.feed(*records)
    assert [(r["instruction_id"], r["account"], r["executed_lots"]) for r in desk.rows("pool-results", out)] == [(7, 1, 3)]


@pytest.mark.parametrize(
    ("lots", "said", "counts"),
    [
        (3, {"outcome": Outcome.FILLED, "executed_lots": 1_000_000, "executed_quote": 4 * 10**18}, (Outcome.FILLED, 3, 300)),
        (3, {"outcome": Outcome.REJECTED, "executed_lots": 0, "executed_quote": 0}, (Outcome.PARTIAL, 3, 300)),
        (-3, {"outcome": Outcome.REJECTED, "executed_lots": 0, "executed_quote": 0}, (Outcome.PARTIAL, 3, -300)),
        (3, {"outcome": Outcome.PARTIAL, "executed_lots": -3, "executed_quote": -300}, (Outcome.PARTIAL, 3, -300)),  # signed for the other party
    ],
)
def test_the_pools_task_hears_what_the_fills_moved_whatever_the_result_says(lots: int, said: dict[str, int], counts: tuple[int, int, int]) -> None:
    desk = opened(10_000)
    fill = desk.fill(1, lots, 100 * lots, kind=FillKind.ADL, instruction_id=7)
    row = {"instruction_id": 7, "kind": InstructionKind.ADL, "account": 1, "event_time_us": desk.now(), "account_seq": desk.seq(1)}
    out = desk.feed(fill, ("instruction-results", {**row, "executed_amount": 0, "reason": "", **said}))
    assert [r.reason for r in out.refusals] == [DeadLetterReason.RESULT_CONTRADICTS_FILLS]
    heard = [(r["outcome"], r["executed_lots"], r["executed_quote"]) for r in desk.rows("pool-results", out)]
    assert heard == [counts]


def correction(desk: Desk, offset: int, **more: object) -> Record:
    row = {
        "event_time_us": desk.now(), "correction_id": desk.time_us, "account": 1, "kind": CorrectionKind.DROP, "source_topic": ACCOUNT_EVENTS,
        "source_partition": 1, "source_offset": offset, "reason": "as agreed with the exchange",
    }  # fmt: skip
    return "corrections", {**row, **more}


@pytest.mark.parametrize("later", [False, True])
def test_a_record_refused_for_its_number_is_healed_by_its_correction(later: bool) -> None:
    desk = opened()
    place, record = desk.offset, desk.update(1, UpdateKind.DEPOSIT, 50)
    desk.feed(numbered(record, 0))
    if later:
        desk.feed(desk.update(1, UpdateKind.DEPOSIT, 7))  # number 3: number 2 is missing by then
    desk.feed(correction(desk, place, kind=CorrectionKind.UPDATE, update=record[1]))
    assert not is_suspect(desk)
    assert desk.wallet(1) == 1_000 + 50 + 7 * later
    assert alarms(desk.feed(desk.update(1, UpdateKind.DEPOSIT, 1))) == []


def test_an_account_whose_first_snapshot_came_to_nothing_is_not_opened_by_dropping_the_letter() -> None:
    desk = Desk()
    first, _ = desk.opening(1, 500, (1, 10, 1_000))
    desk.feed(instrument(), pool(), first, numbered(desk.update(1, UpdateKind.DEPOSIT, 5), 2))
    (letter,) = desk.rows("dead-letters")
    desk.feed(correction(desk, letter["source_offset"]))
    assert is_suspect(desk)
    desk.seqs[1] = 2
    desk.feed(*desk.opening(1, 500, (1, 10, 1_000)))
    assert not is_suspect(desk)


def test_who_only_traded_against_an_instruction_leaves_nothing_behind() -> None:
    desk = opened(10_000)
    desk.feed(*[desk.fill(1, 1, 100, kind=kind, instruction_id=n) for n, kind in enumerate((FillKind.LIQUIDATION, FillKind.UNWIND), 70)])
    assert len(desk.machine.results.executed) == 0
    desk.feed(desk.fill(1, 1, 100, kind=FillKind.ADL, instruction_id=77))
    assert len(desk.machine.results.executed) == 1  # a party of it: its result is to come
