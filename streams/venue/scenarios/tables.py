"""The tables of a scenario file as they are written, typed: what keys there are and what kind of value each takes. docs/scenarios.md tells of them.

Quantities stay as they were given here; `filed.py` makes integers of them.
"""

import re
from datetime import datetime
from typing import Any

import msgspec

from streams.errors import UsageProblem
from streams.venue.scenarios.places import Keys, Source
from streams.venue.scenarios.units import Number


class _Table(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A table with these keys and no others."""


class TierTable(_Table):
    """A tier of maintenance: from this notional on, this rate."""

    rate: Number
    above: Number = 0


class DepthTable(_Table):
    """What the market takes: levels on both sides of the mark. Level n (from 1) stands n x `step` away and holds `size`."""

    maker: str
    size: Number
    step: Number = 0
    levels: int = 1
    refill: Number = 0  # size a second that comes back


class InstrumentTable(_Table):
    """One instrument."""

    symbol: str
    tick: Number
    lot: Number
    maintenance: list[TierTable]
    pool: str | None = None
    max_price: Number | None = None
    max_position: Number | None = None
    depth: DepthTable | None = None


class PositionTable(_Table):
    """A position at the start, at an entry price or a cost."""

    instrument: str
    size: Number
    entry: Number | None = None
    cost: Number | None = None
    side: str = "ONE_WAY"
    margin_mode: str | None = None
    margin: Number | None = None


class AccountTable(_Table):
    """An account at the start."""

    name: str
    role: str = "USER"
    number: int | None = None
    wallet: Number = 0
    positions: list[PositionTable] = []


class FlowTable(_Table):
    """Money into an account's cross wallet, or out of it."""

    account: str
    amount: Number


class TradeTable(_Table):
    """A trade between two accounts."""

    instrument: str
    size: Number
    price: Number
    buyer: str
    seller: str
    buyer_side: str = "ONE_WAY"
    seller_side: str = "ONE_WAY"
    buyer_margin: Number | None = None
    seller_margin: Number | None = None


class EventTable(_Table):
    """What happens at one time."""

    at: Number
    marks: dict[str, Number] = {}
    index: dict[str, Number] = {}
    grade: str = "GOOD"
    deposits: list[FlowTable] = []
    withdrawals: list[FlowTable] = []
    trades: list[TradeTable] = []


class RejectTable(_Table):
    """Instructions that the exchange does not execute, or only in part."""

    kinds: list[str]
    account: str | None = None
    counter: str | None = None
    since: Number = 0
    until: Number | None = None
    times: int | None = None
    most: Number = 0
    instrument: str | None = None


class FileTable(_Table):
    """The whole file. Keys of a pool are those of the pool's parameters, so they are looked at when the pool is made."""

    instruments: list[InstrumentTable]
    pools: list[dict[str, Any]]
    accounts: list[AccountTable]
    about: str = ""
    currency: str = "USD"
    decimals: int = 6
    start: datetime | None = None
    events: list[EventTable] = []
    rejects: list[RejectTable] = []


_TABLES: dict[tuple[str, ...], type[_Table]] = {
    (): FileTable, ("instruments",): InstrumentTable, ("instruments", "maintenance"): TierTable, ("instruments", "depth"): DepthTable,
    ("accounts",): AccountTable, ("accounts", "positions"): PositionTable, ("events",): EventTable, ("events", "deposits"): FlowTable,
    ("events", "withdrawals"): FlowTable, ("events", "trades"): TradeTable, ("rejects",): RejectTable,
}  # fmt: skip
_WORDS = {
    "object": "a table", "array": "a list", "str": "text", "int": "a whole number", "int | str": "a number", "bool": "true or false",
    "null": "nothing", "datetime": "a time",
}  # fmt: skip
_STEP = re.compile(r"\.([A-Za-z_]\w*)|\[(\d+)\]")
_EXPECTED = re.compile(r"Expected `(.+)`, got `(.+)`")
_FIELD = re.compile(r"Object (contains unknown|missing required) field `(.+)`")


def read_tables(source: Source) -> FileTable:
    """The document, typed. Raises UsageProblem with the line of the first key that is unknown, missing or of the wrong kind."""
    try:
        return msgspec.convert(source.value, FileTable)
    except msgspec.ValidationError as error:
        raise _told(source, str(error)) from error


def _told(source: Source, error: str) -> UsageProblem:
    what, _, place = error.partition(" - at `$")
    keys: Keys = tuple(name or int(number) for name, number in _STEP.findall(place.split("[...]")[0]))
    if field := _FIELD.fullmatch(what):
        if field[1].startswith("missing"):
            return source.mistake(keys, f"`{field[2]}` is missing; add it")
        table = _TABLES[tuple(key for key in keys if isinstance(key, str))]
        return source.mistake((*keys, field[2]), f"`{field[2]}` is not known here; known are {', '.join(sorted(table.__struct_fields__))}")
    if expected := _EXPECTED.fullmatch(what):
        what = f"{_in_words(expected[1])} is wanted, not {_in_words(expected[2])}"
    return source.mistake(keys, f"{f'`{keys[-1]}`: ' if keys and isinstance(keys[-1], str) else ''}{what[0].lower()}{what[1:]}; correct it")


def _in_words(kinds: str) -> str:
    kinds = kinds.removesuffix(" | null")
    return _WORDS.get(kinds, kinds)
