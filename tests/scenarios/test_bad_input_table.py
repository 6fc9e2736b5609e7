"""Every row of docs/bad-input.md fed to the accounts task: the answer observed is the answer promised."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from streams.bus.contract import Chunk, NewRecord, TopicPartition
from streams.domain.events import CorrectionKind, FillKind, Grade, InstructionKind, MarginMode, Outcome, Role, UpdateKind
from streams.domain.money import MAX_LOTS, MAX_WALLET
from streams.engine.task import Step, Task, TaskSpec
from streams.errors import CheckFailed
from streams.risk.keys import SUSPECT
from streams.wire.codec import codec
from streams.wire.records import ACCOUNT, new_record
from tests.support.risk_rows import Desk, Record, instrument, pool

DOC = Path(__file__).parents[2] / "docs" / "bad-input.md"
KIND_BYTE = -2  # of a fill: its kind and the absent instruction id come last


def promised() -> dict[str, str]:
    """Input -> answer, as the table has them."""
    rows = [line.strip("|").split("|") for line in DOC.read_text(encoding="utf-8").splitlines() if line.startswith("|")][2:]
    return {cells[0].strip(): cells[-1].strip() for cells in rows}


class Shard(Desk):
    """One accounts shard behind its engine; rows are made as by the desk, records may be anything."""

    def __init__(self) -> None:
        super().__init__()
        self.task = Task(TaskSpec("accounts", 0, 1, 2, "test"), self.machine)
        self.offsets: dict[tuple[str, int], int] = {}
        self.take(instrument(), pool(), *self.opening(1, 1_000), *self.opening(2, 1_000))
        self.take(self.fill(1, 10, 1_000), self.fill(2, -10, -1_000), self.mark(100))

    def records(self, *rows: Record) -> list[NewRecord]:
        return [new_record(stream, row) for stream, row in rows]

    def chunk(self, record: NewRecord, skipped: int = 0) -> Chunk:
        where = (record.topic, record.partition)
        start = self.offsets.get(where, 0) + skipped
        self.offsets[where] = start + 1
        return Chunk(*where, start, start + 1, [start], [record.timestamp_ms], [record.key], [record.value], [()])

    def take(self, *rows: Record) -> Step:
        return self.take_records(*self.records(*rows))

    def take_records(self, *records: NewRecord) -> Step:
        step = self.task.step([self.chunk(record) for record in records])
        assert step is not None
        return step

    def book(self) -> tuple[Any, ...]:
        """What a person would call the state: positions, wallets, marks, parameters."""
        book = self.machine.book
        positions = {
            book.position_key(row): (int(book.positions.rows["lots"][row]), int(book.positions.rows["cost"][row]))
            for row in range(len(book.positions))
        }
        wallets = {book.group_key(row): int(book.groups.rows["wallet"][row]) for row in range(len(book.groups))}
        marks = {number: book.mark_of(number) for number in book.parameters}
        return positions, wallets, marks, dict(book.parameters.items()), dict(book.pools.items())

    def suspects(self) -> int:
        flags = self.machine.book.accounts.rows["flags"]
        return sum(bool(int(flags[row]) & SUSPECT) for row in range(len(self.machine.book.accounts)))


def written(step: Step) -> list[tuple[str, bytes | None]]:
    """(stream, value) of the records a step writes one by one."""
    return [(record.topic, record.value) for record in step.records if isinstance(record, NewRecord)]


Bad = Callable[[Shard], list[NewRecord]]


def answer(bad: Bad) -> str:
    """What the shard does about it, in the words of the table."""
    shard = Shard()
    records = bad(shard)
    before, suspects = shard.book(), shard.suspects()
    step = shard.take_records(*records)
    letters = [record for record in step.records if record.topic == "dead-letters"]
    if letters:
        assert len(letters) == 1
        assert shard.book()[0] == before[0]  # no position has moved
        return "dead letter, suspect" if shard.suspects() > suspects else "dead letter"
    if shard.suspects() > suspects:
        return "applied, suspect"
    return "ignored" if shard.book() == before else "applied"


def rows(*make: Callable[[Shard], Record]) -> Bad:
    return lambda shard: shard.records(*(one(shard) for one in make))


def raw(make: Callable[[Shard], Record], change: Callable[[bytes], bytes | None], key: bytes | None = ACCOUNT.pack(1)) -> Bad:
    def bad(shard: Shard) -> list[NewRecord]:
        (record,) = shard.records(make(shard))
        assert record.value is not None
        return [NewRecord(record.topic, 0, 0, key, change(record.value))]

    return bad


def fill(**more: Any) -> Callable[[Shard], Record]:
    return lambda shard: shard.fill(1, **{"lots": 1, "quote": 100, **more})


def update(kind: UpdateKind = UpdateKind.DEPOSIT, amount: int = 5, **more: Any) -> Callable[[Shard], Record]:
    return lambda shard: shard.update(1, kind, amount, **more)


def mark(ticks: int = 101, **more: Any) -> Callable[[Shard], Record]:
    return lambda shard: shard.mark(ticks, **more)


def empty_result(shard: Shard) -> Record:
    stream, row = result(shard)
    return stream, {**row, "outcome": Outcome.UNFILLED, "executed_lots": 0}


def result(shard: Shard, kind: InstructionKind = InstructionKind.ADL) -> Record:
    row = {
        "event_time_us": shard.now(),
        "instruction_id": 5,
        "account": 1,
        "kind": kind,
        "outcome": Outcome.PARTIAL,
        "executed_lots": 3,
        "executed_quote": 0,
        "executed_amount": 0,
        "reason": "",
        "account_seq": shard.seq(1),
    }
    return "instruction-results", row


def correction(**more: Any) -> Callable[[Shard], Record]:
    def make(shard: Shard) -> Record:
        row = {
            "event_time_us": shard.now(),
            "correction_id": 1,
            "account": 1,
            "kind": CorrectionKind.DROP,
            "source_topic": "account-events",
            "source_partition": 0,
            "source_offset": 0,
            "reason": "test",
        }
        return "corrections", {**row, **more}

    return make


def others_fill(shard: Shard) -> Record:
    return correction(kind=CorrectionKind.FILL, fill=shard.fill(2, 1, 100)[1])(shard)


def half_a_snapshot(shard: Shard) -> list[NewRecord]:
    """Part 0 of 2, and a mark more than a minute later."""
    shard.take(shard.update(1, UpdateKind.SNAPSHOT, 7, part=0, parts=2))
    shard.take(shard.mark(100, event_time_us=50_000_000))
    return shard.records(shard.mark(100, event_time_us=105_000_000))


def between_parts(shard: Shard) -> list[NewRecord]:
    """Part 0 of 2, then a deposit."""
    shard.take(shard.update(1, UpdateKind.SNAPSHOT, 7, part=0, parts=2))
    return shard.records(shard.update(1, UpdateKind.DEPOSIT, 5))


def unopened(shard: Shard) -> Record:
    """The first record of account 9 is a deposit."""
    shard.seqs[9] = 0
    return shard.update(9, UpdateKind.DEPOSIT, 5)


def same_again(make: Callable[[Shard], Record]) -> Bad:
    def bad(shard: Shard) -> list[NewRecord]:
        row = make(shard)
        shard.take(row)
        return shard.records(row)

    return bad


def under_a_new_number(make: Callable[[Shard], Record]) -> Bad:
    """The event once more, under the account's next number."""

    def bad(shard: Shard) -> list[NewRecord]:
        stream, row = make(shard)
        shard.take((stream, row))
        return shard.records((stream, {**row, "account_seq": shard.seq(row["account"])}))

    return bad


def dated(make: Callable[[Shard], Record], event_time_us: int) -> Bad:
    """A record that says this time, and was sent on 24 November 2025."""

    def bad(shard: Shard) -> list[NewRecord]:
        stream, row = make(shard)
        return [replace(shard.records((stream, {**row, "event_time_us": event_time_us}))[0], timestamp_ms=1_764_000_000_000)]

    return bad


def half_a_wallet(*assets: int) -> Bad:
    """A SNAPSHOT with a wallet of each of these assets, and a cross position that settles in asset 1."""
    position = {"instrument": 1, "position_side": 1, "lots": 1, "cost": 100, "margin_mode": 1, "amount": 0}

    def bad(shard: Shard) -> list[NewRecord]:
        parts: list[dict[str, Any]] = [*({"amount": 5, "asset": asset} for asset in assets), position]
        return shard.records(*(shard.update(1, UpdateKind.SNAPSHOT, **part, part=n, parts=len(parts)) for n, part in enumerate(parts)))

    return bad


def sold_for_the_other_sign(shard: Shard) -> list[NewRecord]:
    """The order of an account below its maintenance is filled, and its result says that what came in was paid."""
    shard.take(*shard.opening(3, 100, (1, 10, 1_000)))
    step = shard.take(shard.mark(94))
    orders = [codec("instructions").decode_row(value) for topic, value in written(step) if topic == "instructions"]
    (told,) = [row for row in orders if row["kind"] == InstructionKind.LIQUIDATE]
    fill = shard.fill(3, -10, -930, kind=FillKind.LIQUIDATION, instruction_id=told["instruction_id"])
    shard.take(fill)
    stream, row = result(shard, InstructionKind.LIQUIDATE)
    said = {"account": 3, "account_seq": shard.seq(3), "instruction_id": told["instruction_id"], "outcome": Outcome.FILLED}
    shard.seqs[1] -= 1
    return shard.records((stream, {**row, **said, "executed_lots": 10, "executed_quote": 930}))


def elsewhere(make: Callable[[Shard], Record]) -> Bad:
    """A record in another partition than all before it of its account."""
    return lambda shard: [replace(shard.records(make(shard))[0], partition=1)]


def at_sequence(change: int) -> Callable[[Shard], Record]:
    """A fill whose number is `change` away from the next one."""

    def make(shard: Shard) -> Record:
        stream, row = shard.fill(1, 1, 100)
        return stream, {**row, "account_seq": row["account_seq"] + change}

    return make


INPUTS: dict[str, Bad] = {
    "value cut short": raw(fill(), lambda value: value[:-1]),
    "value with bytes behind it": raw(update(), lambda value: value + b"\0\0"),
    "no value": raw(fill(), lambda _: None),
    "no frame": raw(fill(), lambda _: b"hello"),
    "key that names no account": raw(fill(), lambda value: value[:-1], key=b"?"),
    "unknown schema": raw(fill(), lambda value: value[:2] + b"12345678" + value[10:]),
    "schema of another stream": raw(fill(), lambda _: codec("marks").encode([Shard().mark(5)[1]])[0]),
    "unreadable mark": raw(mark(), lambda value: value[:-1], key=None),
    "enum without meaning": rows(fill(kind=FillKind.UNKNOWN)),
    "enum code beyond its symbols": raw(fill(), lambda value: value[:KIND_BYTE] + bytes([2 * 60]) + value[KIND_BYTE + 1 :]),
    "fill of an unknown instrument": rows(fill(number=7)),
    "update of an unknown instrument": rows(update(UpdateKind.ISOLATED_MARGIN, instrument=7, position_side=1)),
    "mark of an unknown instrument": rows(mark(number=7)),
    "update of an impossible asset": rows(update(asset=0)),
    "fill of no lots": rows(fill(lots=0)),
    "fill whose price says another quote": rows(fill(quote=101, price_ticks=100)),
    "quote of another sign than its lots": rows(fill(quote=-100)),
    "fill sent again under a new number": under_a_new_number(fill()),
    "update sent again under a new number": under_a_new_number(update()),
    "money the other way than is said": rows(update(amount=-5)),
    "event time in another unit": dated(fill(), 1_764_000_000),
    "mark time in another unit": dated(mark(), 1_764_000_000_000),
    "key of another account": raw(fill(), lambda value: value, key=ACCOUNT.pack(2)),
    "another margin mode": rows(fill(margin_mode=MarginMode.ISOLATED)),
    "record in another partition": elsewhere(fill()),
    "fill beyond the bounds": rows(fill(lots=MAX_LOTS + 1)),
    "update beyond the bounds": rows(update(amount=MAX_WALLET + 1)),
    "account beyond the bounds": rows(lambda shard: shard.fill(0, 1, 100)),
    "mark beyond the bounds": rows(mark(10**6 + 1)),
    "mark of nothing": rows(mark(0)),
    "frozen mark": rows(mark(50, grade=Grade.FROZEN)),
    "mark of an unknown grade": rows(mark(50, grade=Grade.UNKNOWN)),
    "mark from the future": rows(mark(50, event_time_us=2**52)),
    "setting without meaning": rows(update(UpdateKind.SETTINGS, 0, role=Role.UNKNOWN)),
    "fill delivered twice": same_again(fill()),
    "fill out of order": rows(at_sequence(-1)),
    "update delivered twice": same_again(update()),
    "result delivered twice": same_again(empty_result),
    "trade id seen before": rows(fill(trade_id=1)),
    "trade id below the last": rows(fill(trade_id=0)),
    "gap in the sequence": rows(at_sequence(5)),
    "number that is none": rows(update(account_seq=0)),
    "account that was never opened": rows(unopened),
    "record between the parts of a snapshot": between_parts,
    "mark delivered twice": same_again(mark(101)),
    "mark sequence that does not rise": rows(mark(50, sequence=0)),
    "marks numbered alike": rows(mark(50, sequence=1)),
    "mark of a new epoch": rows(mark(101, sequence=0, epoch=1)),
    "late fill": rows(fill(event_time_us=1)),
    "mark whose time goes back": rows(mark(101, event_time_us=1)),
    "event time no clock can show": rows(fill(event_time_us=2**53)),
    "event time before the epoch": rows(fill(event_time_us=-1)),
    "parameters seen before": rows(lambda _: instrument(max_lots=1)),
    "parameters that may never change": rows(lambda _: instrument(version=2, unit=3)),
    "parameters that contradict each other": rows(lambda _: pool(version=2, adl_start_value=5, adl_stop_value=4)),
    "parameters without a bound": rows(lambda _: pool(version=2, instruction_valid_us=86_400_000_001)),
    "wallet that differs": rows(update(amount=5, wallet_after=1_007)),
    "update that does not say whose money it is": rows(update(UpdateKind.FUNDING, instrument=1, position_side=1)),
    "result that contradicts the fills": rows(result),
    "result of an order that nobody awaits": rows(lambda shard: result(shard, InstructionKind.LIQUIDATE)),
    "result of the other sign": sold_for_the_other_sign,
    "snapshot without the wallet of its positions": half_a_wallet(2),
    "snapshot with a wallet twice": half_a_wallet(1, 1),
    "snapshot that stays incomplete": half_a_snapshot,
    "correction of nothing": rows(correction()),
    "correction that is wrong itself": rows(others_fill),
}
STOPS = "records that do not continue the log"


@pytest.mark.parametrize("name", INPUTS)
def test_the_answer_is_the_one_promised(name: str) -> None:
    assert answer(INPUTS[name]) == promised()[name]


def test_records_that_do_not_continue_the_log_stop_the_shard_and_change_nothing() -> None:
    shard = Shard()
    before = shard.machine.digest()
    (record,) = shard.records(shard.fill(1, 1, 100))
    with pytest.raises(CheckFailed, match="nothing of them was taken"):
        shard.task.step([shard.chunk(record, skipped=3)])
    assert shard.machine.digest() == before
    assert promised()[STOPS] == "shard stops"


def test_every_row_of_the_table_is_tested() -> None:
    assert list(promised()) == [*INPUTS, STOPS]


def test_the_clock_does_not_go_back_with_a_mark() -> None:
    shard = Shard()
    clock_us = shard.machine.clock_us
    shard.take(shard.mark(101, event_time_us=1))
    assert shard.machine.clock_us == clock_us


def test_a_late_record_leaves_at_the_time_its_partition_has_shown() -> None:
    shard = Shard()
    step = shard.take_records(*raw(fill(event_time_us=1), lambda value: value[:-1])(shard))
    (letter,) = [codec("dead-letters").decode_row(value) for topic, value in written(step) if topic == "dead-letters"]
    assert letter["event_time_us"] == shard.task.running[TopicPartition("account-events", 0)]


def test_answers_do_not_depend_on_where_steps_are_cut() -> None:
    bads: list[Bad] = [INPUTS[name] for name in ("value cut short", "fill of no lots", "unknown schema", "late fill")]
    whole, single = Shard(), Shard()
    maker = Shard()
    records = [record for bad in bads for record in bad(maker)]
    step = whole.task.step([joined(whole, records)])
    assert step is not None
    assert [each for one in records for each in written(single.take_records(one))] == written(step)
    assert single.machine.digest() == whole.machine.digest()


def joined(shard: Shard, records: list[NewRecord]) -> Chunk:
    """Records of one stream as one chunk."""
    chunks = [shard.chunk(record) for record in records]
    values, keys = [chunk.values[0] for chunk in chunks], [chunk.keys[0] for chunk in chunks]
    offsets, count = [chunk.start for chunk in chunks], len(chunks)
    return Chunk("account-events", 0, chunks[0].start, chunks[-1].stop, offsets, [0] * count, keys, values, [()] * count)
