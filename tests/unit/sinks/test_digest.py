"""The digest of rows: the same however they are cut into pages, another for any other value."""

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from streams.sinks.digest import ColumnDigests

INNER = pa.struct([("name", pa.string()), ("lots", pa.decimal128(38, 0)), ("parts", pa.list_(pa.struct([("n", pa.int32())])))])
SCHEMA = pa.schema(
    [
        ("offset", pa.uint64()),
        ("time", pa.timestamp("us", tz="UTC")),
        ("lots", pa.decimal128(38, 0)),
        ("kind", pa.int8()),
        ("price", pa.int64()),
        ("word", pa.string()),
        ("rows", pa.list_(INNER)),
    ]
)


def row(number: int, **changed: Any) -> dict[str, Any]:
    inner = [{"name": f"é{at}", "lots": Decimal(10**20 + at), "parts": [{"n": at}] * (at % 3)} for at in range(number % 4)]
    whole = {"offset": number, "time": number, "lots": Decimal(-number), "kind": number % 3, "word": "w" * (number % 3), "rows": inner}
    return {**whole, "price": number if number % 2 else None, **changed}


def digest(rows: list[dict[str, Any]], *cuts: int) -> str:
    digests, table = ColumnDigests(), pa.Table.from_pylist(rows, schema=SCHEMA)
    for low, high in zip((0, *cuts), (*cuts, len(rows)), strict=True):
        digests.add(table.slice(low, high - low))
    return digests.hex()


ROWS = [row(number) for number in range(20)]


@pytest.mark.parametrize("cuts", [(1,), (7,), (3, 3, 11), (0, 20), tuple(range(20))])
def test_pages_do_not_matter(cuts: tuple[int, ...]) -> None:
    assert digest(ROWS, *cuts) == digest(ROWS)


@pytest.mark.parametrize(
    "changed",
    [
        {"lots": Decimal(-4)},
        {"time": 6},
        {"kind": 0},
        {"price": None},
        {"word": "ww "},
        {"word": None},
        {"rows": []},
        {"rows": [{"name": "é0", "lots": Decimal(10**20 + 1), "parts": []}]},
        {"rows": [{"name": "é0", "lots": Decimal(10**20), "parts": [{"n": 0}]}]},
    ],
)
def test_any_other_value_is_another_digest(changed: dict[str, Any]) -> None:
    assert digest([*ROWS[:5], row(5, **changed), *ROWS[6:]]) != digest(ROWS)


def test_absent_is_not_zero_and_what_one_row_has_is_not_what_the_next_has() -> None:
    assert digest([row(0, price=None)]) != digest([row(0, price=0)])
    assert digest([row(0, word="ab"), row(1, word="c")]) != digest([row(0, word="a"), row(1, word="bc")])
    assert digest(ROWS) != digest(ROWS[::-1])
