"""The risk machine: where steps are cut changes nothing, a restored machine goes on alike, and the compiled code equals plain Python."""

import json
import os
import subprocess
import sys
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain.events import FillKind, PositionSide, RankPolicy, UpdateKind
from tests.support.risk_rows import Desk, Record, instrument, pool

events = st.lists(
    st.one_of(
        st.tuples(st.just("mark"), st.integers(1, 2), st.integers(60, 140)),
        st.tuples(st.just("fill"), st.integers(1, 5), st.integers(-12, 12).filter(bool)),
        st.tuples(st.just("same"), st.integers(1, 2), st.sampled_from([-1, 2])),
        st.tuples(st.just("odd"), st.integers(1, 2), st.sampled_from([-1, 2])),
        st.tuples(st.just("forced"), st.integers(1, 5), st.integers(-6, 6).filter(bool)),
        st.tuples(st.just("update"), st.integers(1, 5), st.integers(-300, 300)),
        st.tuples(st.just("probe"), st.integers(1, 2), st.integers(1, 9)),
        st.tuples(st.just("second"), st.just(0), st.just(0)),
    ),
    min_size=1,
    max_size=40,
)


def records_of(desk: Desk, wanted: list[tuple[str, int, int]]) -> list[Record]:
    """One merged order of records: openings, then what the strategy drew."""
    records: list[Record] = [instrument(), instrument(2, rates=((0, 20_000, 0), (500, 100_000, 40))), pool(warning_ratio_ppm=1_500_000)]
    for account in range(1, 6):
        records += desk.opening(account, 120 * account, (1, 4 - account, 100 * (4 - account)), (2, account - 2, 100 * (account - 2)))
    for kind, who, size in wanted:
        records += [_record(desk, kind, who, size)]
    return records


def _record(desk: Desk, kind: str, who: int, size: int) -> Record:
    match kind:
        case "mark":
            return desk.mark(size, who)
        case "fill":
            return desk.fill(who, size, size * 100, number=1 + who % 2)
        case "forced":
            return desk.fill(who, size, size * 97, number=1 + who % 2, kind=FillKind.ADL, instruction_id=1_000 + who)
        case "update":
            return desk.update(who, UpdateKind.DEPOSIT if size > 0 else UpdateKind.WITHDRAWAL, size)
        case "same":  # two of one size are one event under two numbers
            return desk.fill(who, size, size * 100, trade_id=7)
        case "odd":
            return desk.fill(who, size, -size * 100)
        case "second":
            desk.time_us += 1_000_000
            return desk.mark(100)
    wave = desk.now()
    marks = [{"instrument": n, "mark_ticks": 100, "sequence": 1} for n in (1, 2)]
    named = [
        {"account": a, "group_instrument": None, "group_side": None, "episode": 1, "revision": 1, "position_side": PositionSide.ONE_WAY}
        for a in range(1, 6)
    ]
    row = {
        "wave_id": wave,
        "pool": 1,
        "instrument": who,
        "side": PositionSide.LONG,
        "lots_needed": size,
        "policy_id": RankPolicy.BINANCE,
        "policy_version": 1,
        "score_wallet_floor": 1,
        "shard_count": 1,
        "event_time_us": desk.time_us,
        "positions": named,
        "loss_per_lot": size,
        "marks": marks,
    }
    return "adl-probes", row


def run(records: list[Record], cuts: list[int]) -> tuple[dict[str, list[Any]], bytes]:
    """Feed the records in steps cut at these places: everything said, in order by stream, and the digest at the end."""
    desk = Desk()
    for start, stop in pairwise([0, *cuts, len(records)]):
        if start < stop:
            desk.feed(*records[start:stop])
    streams = {name for out in desk.said for name in out.rows}
    said: dict[str, list[Any]] = {name: [row for out in desk.said for row in out.rows.get(name, ())] for name in sorted(streams)}
    said["refused"] = [(refusal.detail, refusal.account) for out in desk.said for refusal in out.refusals]
    return said, desk.machine.digest()


@settings(max_examples=60)
@given(events, st.lists(st.integers(0, 60), max_size=6))
def test_where_steps_are_cut_changes_neither_what_is_said_nor_the_state(wanted: list[tuple[str, int, int]], cuts: list[int]) -> None:
    records = records_of(Desk(), wanted)
    whole = run(records, [])
    assert run(records, sorted(min(c, len(records)) for c in cuts)) == whole
    assert run(records, list(range(1, len(records)))) == whole


@settings(max_examples=30)
@given(events, events)
def test_a_restored_machine_goes_on_as_the_one_it_was_taken_from(before: list[tuple[str, int, int]], after: list[tuple[str, int, int]]) -> None:
    desk = Desk()
    desk.feed(*records_of(desk, before))
    twin = Desk()
    twin.machine.restore(desk.machine.snapshot())
    assert twin.machine.digest() == desk.machine.digest()
    rest = [_record(desk, *event) for event in after]
    twin.offset = desk.offset
    assert desk.feed(*rest).rows == twin.feed(*rest).rows
    assert twin.machine.digest() == desk.machine.digest()


WANTED = [
    ("fill", 1, 12),
    ("fill", 5, -12),
    ("mark", 1, 60),
    ("mark", 2, 140),
    ("forced", 1, -6),
    ("probe", 1, 3),
    ("update", 2, -200),
    ("fill", 1, -9),
    ("second", 0, 0),
    ("mark", 1, 139),
    ("same", 1, 2),
    ("same", 1, 2),
    ("odd", 2, -1),
    ("probe", 2, 5),
    ("second", 0, 0),
]


def test_the_compiled_kernels_give_the_same_digest_as_plain_python() -> None:
    said, digest = run(records_of(Desk(), WANTED), [])
    assert said["insolvencies"]
    code = (
        "import json, sys; from tests.property.test_risk_machine import *; "
        "said, digest = run(records_of(Desk(), [tuple(e) for e in json.loads(sys.argv[1])]), []); print(digest.hex(), len(said['insolvencies']))"
    )
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONHASHSEED": "7"}
    plain = subprocess.run([sys.executable, "-c", code, json.dumps(WANTED)], env=environment, capture_output=True, text=True, check=True)
    assert plain.stdout.split() == [digest.hex(), str(len(said["insolvencies"]))]
