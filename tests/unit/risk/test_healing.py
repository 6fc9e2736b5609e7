"""What a SNAPSHOT heals and what it does not, what is said of it, and that a restart in the middle changes nothing."""

from dataclasses import replace
from typing import Any

import pytest

from streams.domain.batch import Outputs
from streams.domain.events import ClosedBy, CorrectionKind, DeadLetterReason, FlowCause, GroupState, InstructionKind, UpdateKind
from streams.domain.letters import LETTERS_MAX
from streams.risk.keys import SUSPECT
from streams.risk.machine import RiskMachine
from tests.support.healing import Story, everything
from tests.support.pools_desk import Desk as PoolsDesk
from tests.support.pools_desk import instrument as pools_instrument
from tests.support.pools_desk import mark as pools_mark
from tests.support.pools_desk import pool as pools_pool
from tests.support.pools_desk import position
from tests.support.risk_rows import Desk, instrument, pool
from tests.support.told import Teller

FUND = 31


def is_suspect(machine: RiskMachine, account: int) -> bool:
    book = machine.book
    return bool(int(book.accounts.rows["flags"][book.account_row(account)]) & SUSPECT)


def told(story: Story) -> Teller:
    """A shard that has taken the whole story, record by record."""
    teller = Teller()
    teller.take(story.said)
    return teller


def open_places(teller: Teller, account: int) -> list[tuple[int, int]]:
    """(partition, offset) of the account's open letters."""
    return [place[2:] for place in teller.machine.corrections.letters if place[0] == account]


def test_a_snapshot_leaves_open_what_is_numbered_above_it_and_the_record_still_counts_when_it_is_corrected() -> None:
    story = Story()
    story.open(1)
    letter = story.astray(1, ahead=3, lots=10)  # number 5 of the account; 2, 3 and 4 are to come
    story.snapshot(1, 700)  # number 2
    teller = told(story)
    assert open_places(teller, 1) == [letter[1:]]
    assert is_suspect(teller.machine, 1)
    assert teller.said("account-states", "state") == [GroupState.SUSPECT]
    story.deposit(1, 5)  # 3
    story.deposit(1, 5)  # 4
    story.desk.seqs[1] += 1  # 5 stands elsewhere
    story.deposit(1, 5)  # 6
    story.mend(1, letter)
    teller = told(story)
    assert not is_suspect(teller.machine, 1)
    assert teller.position(1) == (10, 1_000)
    assert teller.wallet(1) == 700 + 15
    assert teller.said("account-states", "state") == [GroupState.SUSPECT, GroupState.HEALTHY]


@pytest.mark.parametrize(("ahead", "closes"), [(0, True), (1, True), (2, False)])
def test_a_snapshot_closes_what_is_numbered_at_or_below_its_last_part(ahead: int, closes: bool) -> None:
    story = Story()
    story.open(1)
    story.astray(1, ahead=ahead)  # number 2, 3 or 4
    story.snapshot(1, 700, (1, 1, 100))  # numbers 2 and 3
    teller = told(story)
    assert is_suspect(teller.machine, 1) is not closes
    assert teller.said("letter-closings", "closed_by") == [ClosedBy.SNAPSHOT] * closes


def test_a_letter_without_a_number_is_closed_where_it_stands_before_the_snapshot_in_the_accounts_partition() -> None:
    story = Story()
    story.open(1)
    story.unreadable(1)
    elsewhere = story.unreadable(1, 6)
    story.snapshot(1, 700)
    after = story.unreadable(1)
    teller = told(story)
    assert open_places(teller, 1) == [after[1:], elsewhere[1:]]  # partitions 1 and 6
    story.snapshot(1, 800)
    story.correct(1, elsewhere)
    teller = told(story)
    assert open_places(teller, 1) == []
    assert not is_suspect(teller.machine, 1)


def test_a_number_that_is_none_is_no_number() -> None:
    story = Story()
    story.open(1)
    stream, row = story.desk.update(1, UpdateKind.DEPOSIT, 50)
    story.desk.seqs[1] -= 1
    story.say((stream, {**row, "account_seq": 2**60}))
    story.snapshot(1, 700)
    assert not is_suspect(told(story).machine, 1)


def test_a_correction_that_cannot_be_read_is_forgotten_with_what_a_snapshot_replaces() -> None:
    story = Story()
    story.open(1)
    story.unreadable(1, topic="corrections")
    teller = told(story)
    assert is_suspect(teller.machine, 1)
    story.snapshot(1, 700)
    assert not is_suspect(told(story).machine, 1)


def test_of_more_than_a_hundred_letters_the_greatest_number_decides_about_the_rest() -> None:
    story = Story()
    story.open(1)
    for _ in range(LETTERS_MAX):
        story.refused(1)
    story.astray(1, ahead=9)  # number 111, and no longer kept by itself
    story.snapshot(1, 700)  # 102
    teller = told(story)
    assert is_suspect(teller.machine, 1)
    assert len(teller.machine.corrections.letters) == 1
    story.desk.seqs[1] = 110
    story.snapshot(1, 800)  # 111
    teller = told(story)
    assert not is_suspect(teller.machine, 1)
    assert teller.said("letter-closings", "source_partition", "source_offset")[-1] == (-1, -1)
    assert len(teller.said("letter-closings")) == LETTERS_MAX + 1


def test_every_closing_is_said_with_its_place_and_cause() -> None:
    story = Story()
    story.open(1)
    places = [story.refused(1), story.refused(1), story.refused(1)]
    story.mend(1, places[0])
    mended = story.desk.time_us
    story.correct(1, places[1])
    dropped = story.desk.time_us
    story.snapshot(1, 700)
    said = told(story).said("letter-closings", "source_topic", "source_partition", "source_offset", "closed_by", "correction_id")
    assert said == [
        (*places[0], ClosedBy.CORRECTION, mended),
        (*places[1], ClosedBy.DROP, dropped),
        (*places[2], ClosedBy.SNAPSHOT, None),
    ]


def test_a_correction_that_the_account_cannot_take_is_refused_itself_and_leaves_its_letter_open() -> None:
    story = Story()
    story.open(1)
    place = story.refused(1)
    story.mend(1, place, lots=10**6 + 1, quote=100)  # the instrument's bound is 10^6
    teller = told(story)
    assert teller.said("dead-letters", "source_topic", "reason")[1:] == [("corrections", DeadLetterReason.OUT_OF_BOUNDS)]
    assert open_places(teller, 1) == [place[1:]]
    story.mend(1, place)
    teller = told(story)
    assert (teller.position(1), is_suspect(teller.machine, 1)) == ((1, 100), False)


@pytest.mark.parametrize("seq", [0, -3, 2**53])
@pytest.mark.parametrize("kind", [CorrectionKind.FILL, CorrectionKind.DROP])
def test_a_correction_with_a_number_that_is_none_is_refused(kind: CorrectionKind, seq: int) -> None:
    story = Story()
    story.open(1)
    place = story.unreadable(1)
    row = dict(story.desk.fill(1, 1, 100)[1]) | {"account_seq": seq}
    story.correct(1, place, kind=kind, **({"fill": row} if kind == CorrectionKind.FILL else {"account_seq": seq}))
    teller = told(story)
    assert teller.said("dead-letters", "source_topic", "reason")[1:] == [("corrections", DeadLetterReason.OUT_OF_BOUNDS)]
    assert is_suspect(teller.machine, 1)
    book = teller.machine.book
    assert int(book.accounts.rows["seq"][book.account_row(1)]) == 1


def test_the_word_of_a_suspect_account_is_never_of_1970() -> None:
    story = Story()
    story.unreadable(1)  # the first record of all, stamped by its producer
    teller = Teller()
    teller.take([replace(story.said[0], timestamp_ms=1_760_000_000_123)])
    assert teller.said("account-states", "event_time_us") == [1_760_000_000_123_000]
    assert teller.said("dead-letters", "event_time_us") == [1_760_000_000_123_000]


# -- the fund ---------------------------------------------------------------------------------------------------------------------------


def flows(teller: Teller) -> list[tuple[Any, ...]]:
    return teller.said("fund-flows", "cause", "asset", "cash", "wallet_after", "instrument", "lots_after")


def test_a_fund_stated_anew_with_letters_open_changes_its_ledger_by_the_difference() -> None:
    story = Story()
    story.open(FUND)  # 1,000
    story.deposit(FUND, 50)
    story.refused(FUND)
    story.astray(FUND, ahead=5)
    story.snapshot(FUND, 990, (1, 2, 200))
    teller = told(story)
    assert is_suspect(teller.machine, FUND)  # a letter numbered later
    assert flows(teller) == [
        (FlowCause.OPENING, 1, 1_000, 1_000, None, 0),
        (FlowCause.DEPOSIT, 1, 50, 1_050, None, 0),
        (FlowCause.OPENING, 1, -60, 990, None, 0),
        (FlowCause.OPENING, 1, 0, 990, 1, 2),
    ]


def test_a_fund_stated_anew_tells_the_pool_of_every_asset_that_it_holds_or_held() -> None:
    story = Story()
    story.open(FUND)
    one, other = {"part": 0, "parts": 2}, {"part": 1, "parts": 2}
    story.say(story.desk.update(FUND, UpdateKind.SNAPSHOT, 400, **one))
    story.say(story.desk.update(FUND, UpdateKind.SNAPSHOT, 9, asset=2, **other))  # the last part is of another asset than the pool's
    story.snapshot(FUND, 300)
    assert flows(told(story)) == [
        (FlowCause.OPENING, 1, 1_000, 1_000, None, 0),
        (FlowCause.OPENING, 1, -600, 400, None, 0),
        (FlowCause.OPENING, 2, 9, 9, None, 0),
        (FlowCause.OPENING, 1, -100, 300, None, 0),
        (FlowCause.OPENING, 2, -9, 0, None, 0),
    ]


def test_a_fund_stated_anew_while_a_takeover_is_open_keeps_ledger_and_reserve_right() -> None:
    desk = PoolsDesk()
    story = Story()
    story.open(FUND)
    story.unreadable(FUND)
    story.snapshot(FUND, 600, (1, 3, 270))
    rows = [(stream, row) for stream, row in told(story).rows if stream == "fund-flows"]
    desk.at(pools_instrument(), pools_pool(), pools_mark(90))
    desk.at(rows[0])
    desk.at(position(11, 10, 920, ticks=90))  # the fund may lose 20 by it
    books = desk.machine.fund.books
    assert len(desk.sent(InstructionKind.TAKEOVER)) == 1
    assert (books.fund(1).wallet, books.value(1)) == (1_000, 980)
    desk.at(*rows[1:])
    fund = books.fund(1)
    assert (fund.wallet, fund.ledger, fund.gap, books.holding(1, 1).lots, books.value(1)) == (600, 600, 0, 3, 580)
    assert desk.all("fund-ledger", "amount") == [1_000, 400]


# -- restarts ---------------------------------------------------------------------------------------------------------------------------


def test_a_machine_restored_anywhere_in_the_middle_of_healing_comes_to_the_same() -> None:
    story = everything()
    whole = told(story)
    assert {row["closed_by"] for stream, row in whole.rows if stream == "letter-closings"} == {*ClosedBy} - {ClosedBy.UNKNOWN}
    for cut in range(1, len(story.said)):
        teller = Teller()
        teller.take(story.said[:cut])
        teller.restart()
        teller.take(story.said[cut:])
        assert (teller.rows, teller.machine.digest()) == (whole.rows, whole.machine.digest()), cut


def test_a_desk_that_heals_amid_an_episode_judges_at_once_and_once() -> None:
    desk = Desk()
    desk.feed(instrument(), pool(), *desk.opening(1, 1_000), desk.fill(1, 100, 10_000), desk.mark(100))
    desk.feed(desk.mark(94))  # equity 1,000 - 600, maintenance 470
    (order,) = desk.rows("instructions", desk.said[-1])[1:]
    assert order["kind"] == InstructionKind.LIQUIDATE
    desk.feed(desk.fill(1, 1, 100, number=7))
    out: Outputs = desk.feed(*desk.opening(1, 2_000, (1, 100, 10_000)))
    assert [row["state"] for row in desk.rows("account-states", out)] == [GroupState.HEALTHY, GroupState.HEALTHY]  # the account, and its group
    assert desk.rows("instructions", out) == []


def sums(teller: Teller) -> tuple[int, int]:
    """(wallets less costs less what came from outside, lots of instrument 1) over both accounts."""
    book = teller.machine.book
    money = int(book.groups.rows["wallet"].sum()) - int(book.positions.rows["cost"].sum()) - sum(flow.external for _, flow in book.flows.items())
    return money, int(book.positions.rows["lots"].sum())


def lose(story: Story, account: int, lots: int, quote: int) -> None:
    """The account's side of a trade that is never written: its number is left out."""
    story.desk.fill(account, lots, quote)


def test_a_snapshot_after_a_lost_side_of_a_trade_closes_the_sums() -> None:
    story = Story()
    story.open(1, 2)
    story.say(story.desk.fill(1, 7, 700))
    lose(story, 2, -7, -700)
    story.deposit(2, 5)
    assert sums(told(story)) == (-700, 7)
    story.snapshot(2, 1_005, (1, -7, -700))
    teller = told(story)
    assert not is_suspect(teller.machine, 2)
    assert sums(teller) == (0, 0)


def test_a_snapshot_after_a_lost_closing_trade_closes_the_sums() -> None:
    story = Story()
    story.open(1, 2)
    story.say(story.desk.fill(1, 7, 700))
    story.say(story.desk.fill(2, -7, -700))
    story.say(story.desk.fill(1, -7, -910))  # 1 gains 210
    lose(story, 2, 7, 910)
    story.snapshot(2, 1_000 - 210)
    assert sums(told(story)) == (0, 0)


def test_a_snapshot_after_a_lost_deposit_takes_the_difference_for_money_from_outside() -> None:
    story = Story()
    story.open(1, 2)
    story.desk.update(1, UpdateKind.DEPOSIT, 40)  # never written
    story.snapshot(1, 1_040)
    teller = told(story)
    assert teller.wallet(1) == 1_040
    assert sums(teller) == (0, 0)


def test_all_that_a_first_snapshot_states_came_from_outside_also_where_a_fill_came_before_it() -> None:
    story = Story()
    for record in (instrument(), pool()):
        story.say(record)
    story.say(story.desk.fill(1, 7, 700))  # the account was never opened
    story.say(story.desk.opening(2, 1_000)[0])
    story.say(story.desk.fill(2, -7, -700))
    story.snapshot(1, 1_000, (1, 7, 700))
    assert sums(told(story)) == (0, 0)
