"""The judge's own parts, by figures worked out by hand: it must not be wrong in the same way as what it judges."""

from typing import Any

from tests.simulation.attention import Attention
from tests.simulation.decoding import head, read, read_as
from tests.simulation.holds import Holds
from tests.simulation.plain_book import Group, PlainBook, cross

# event time 1, instrument 2, 3 ticks, index 4, sequence 5, the first grade but UNKNOWN, no epoch: Avro writes n as 2 x n, and null as 0.
MARK = bytes((2, 4, 6, 8, 10, 2, 0))
USER = cross(101)


def test_a_record_is_read_by_the_schema_file_with_enums_as_the_numbers_on_the_wire() -> None:
    row = {"event_time_us": 1, "instrument": 2, "mark_ticks": 3, "index_ticks": 4, "sequence": 5, "grade": 1, "epoch": None}
    assert read_as("mark", head("mark") + MARK) == row
    assert read("marks", head("mark") + MARK) == ("marks", row)


def test_what_is_cut_or_longer_or_of_another_schema_or_names_no_symbol_is_no_record() -> None:
    no_symbol = bytes((*MARK[:5], 2 * 9, 0))
    for value in (None, b"", head("mark"), head("mark") + MARK[:-1], head("mark") + MARK + b"\0", head("fill") + MARK, head("mark") + no_symbol):
        assert read("marks", value) is None


def instrument(*, tiers: tuple[tuple[int, int, int], ...] = ((0, 50_000, 0),)) -> dict[str, Any]:
    names = ("floor", "rate_ppm", "maintenance_amount")
    return {"instrument": 1, "value_per_tick_lot": 10, "max_mark_ticks": 1_000, "tiers": [dict(zip(names, tier, strict=True)) for tier in tiers]}


def update(seq: int, kind: int, amount: int, **more: Any) -> dict[str, Any]:
    absent = dict.fromkeys(("instrument", "position_side", "margin_mode", "counter_account", "part", "parts", "lots", "cost", "role"))
    return {**absent, "account": 101, "account_seq": seq, "kind": kind, "amount": amount, **more}


def fill(seq: int, lots: int, quote: int, *, moved: int = 0, mode: int = 1) -> dict[str, Any]:
    return {
        "account": 101, "account_seq": seq, "instrument": 1, "position_side": 1, "lots": lots, "quote": quote, "margin_moved": moved,
        "margin_mode": mode,
    }  # fmt: skip


def opened(*, mode: int = 1) -> PlainBook:
    """A wallet of 5,000 and 10 lots bought at 100 ticks of 10 units: cost 10 x 100 x 10 = 10,000. The mark is 90 ticks."""
    book = PlainBook()
    book.take("instruments", instrument(), None)
    book.take("account-updates", update(1, 1, 5_000, part=0, parts=2, role=1), 101)
    position = {"instrument": 1, "position_side": 1, "margin_mode": mode, "lots": 10, "cost": 10_000}
    book.take("account-updates", update(2, 1, 2_000 if mode == 2 else 0, part=1, parts=2, role=1, **position), 101)
    mark(book, 1, 90)
    return book


def mark(book: PlainBook, sequence: int, ticks: int) -> None:
    book.take("marks", {"instrument": 1, "sequence": sequence, "mark_ticks": ticks}, None)


def test_equity_is_cash_plus_what_is_held_at_mark_and_maintenance_is_the_rate_of_its_tier_rounded_up() -> None:
    book = opened()
    assert book.worth(USER) == (5_000 - 10_000 + 10 * 90 * 10, 450)  # 5 % of 9,000
    book.take("instruments", instrument(tiers=((0, 10_001, 0), (9_000, 20_000, 90))), None)
    assert book.worth(USER) == (4_000, 2 * 90 - 90)  # 2 % of 9,000, less what the tier below costs less
    assert book.worth(USER, {1: 89}) == (3_900, 90)  # 1.0001 % of 8,900 is 89.0089
    assert book.worth(USER, {}) is None


def test_a_fill_moves_cash_by_its_quote_once_however_often_it_is_delivered() -> None:
    book = opened()
    for _ in range(2):
        book.take("fills", fill(3, -4, -4 * 90 * 10), 101)
    assert book.lots == {(101, 1, 1): 6}
    assert book.worth(USER) == (4_000, 270)  # 5 % of 5,400; what was sold was worth what was paid for it
    assert book.sums() == (3_600, ((1, 6),))  # nobody took the other side here


def test_the_bucket_of_an_isolated_position_is_a_group_of_its_own_and_gives_back_what_is_left() -> None:
    book, bucket = opened(mode=2), (101, 1, 1)
    assert book.worth(bucket) == (2_000 - 10_000 + 9_000, 450)
    assert book.worth(USER) == (5_000, 0)
    book.take("fills", fill(3, -10, -9_000, moved=-1_000, mode=2), 101)
    assert (book.worth(bucket), book.worth(USER), book.groups) == ((0, 0), (6_000, 0), [])


def test_a_mark_that_is_older_or_too_high_changes_nothing() -> None:
    book = opened()
    mark(book, 1, 50)
    mark(book, 2, 1_001)
    assert book.marks == {1: 90}


def test_what_cannot_be_read_makes_the_account_suspect_that_its_key_names() -> None:
    book = opened()
    book.take(None, None, None)
    assert book.suspects == set()
    book.take(None, None, 101)
    assert book.suspects == {101}


def test_marks_pass_a_group_by_only_while_nobody_is_at_it() -> None:
    book, attention, position = opened(), Attention(), (101, 1, 1)
    attention.marked(book, 1)
    attention.asked(position, USER, {"revision": 2, "lots": 10})
    attention.marked(book, 1)
    assert attention.unseen == {USER: 1}
    attention.decided(position, {"revision": 1, "lots": 0, "instruction_id": None})  # of what was asked before
    assert attention.requests[position].lots == 10
    attention.decided(position, {"revision": 2, "lots": 10, "instruction_id": 7})
    attention.marked(book, 1)
    assert (attention.requests, attention.unseen) == ({}, {USER: 0})
    attention.ended(7)
    attention.marked(book, 1)
    attention.marked(book, 2)  # it holds nothing of that
    assert attention.unseen == {USER: 1}


def decision(status: int, *rows: dict[str, int]) -> dict[str, Any]:
    return {"wave_id": 9, "instrument": 1, "status": status, "chunk": 0, "chunks": 1, "rows": list(rows)}


def test_lots_are_free_again_once_the_wave_and_its_instruction_are_over() -> None:
    book, holds, position = opened(), Holds(), (101, 1, 1)
    probe = {"side": 2, "instrument": 1}  # longs

    def free(*resolved: Group) -> int:
        holds.begin(resolved)
        return holds.free_lots(book, probe, {1: 90})

    assert free() == 10
    holds.offered(position, 9)
    assert free() == 0
    holds.decided(decision(1, {"account": 101, "position_side": 1, "instruction_id": 7}))
    assert free() == 0
    holds.ended({"instruction_id": 7, "account": 101})
    assert holds.free_lots(book, probe, {1: 90}) == 0  # in the step that heard it, nobody knows what came first
    assert free() == 10
    assert holds.free_lots(book, {"side": 3, "instrument": 1}, {1: 90}) == 0
    assert holds.free_lots(book, probe, {1: 50}) == 0  # 5,000 - 10,000 + 5,000: not above zero
    assert free(USER) == 0
    assert free() == 0
