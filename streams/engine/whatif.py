"""Other parameters from the start: a recorded run again with a field of a pool or an instrument set to another value.

The new value is an event like any other: a new version of the parameters, right behind the first recorded one. Later recorded versions keep
their own fields, but for the one that was set, and are renumbered. What the exchange did is as recorded: it does not answer new instructions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from streams.bus.contract import Chunk, NewRecord
from streams.domain.instruments import parse_instrument, parse_pool
from streams.errors import CheckFailed, UsageProblem
from streams.wire.codec import codec
from streams.wire.records import new_record
from streams.wire.schemas import Field, Kind, schema

STREAMS_SET = {"pool": "pools", "instrument": "instruments"}
FIXED = frozenset({"event_time_us", "pool", "instrument", "version", "asset", "value_per_tick_lot", "symbol"})  # who it is, and what never changes


@dataclass(frozen=True, slots=True)
class Setting:
    """`pool.1.adl_start_value=0`: what, which one, which field, to what."""

    what: str
    number: int
    field: str
    value: Any

    def __str__(self) -> str:
        return f"{self.what}.{self.number}.{self.field}={'null' if self.value is None else self.value}"


def parse_setting(text: str) -> Setting:
    """A setting from the command line: a whole number, an enum's symbol, or null where the field may be absent. Raises UsageProblem."""
    key, equals, value = text.partition("=")
    what, _, rest = key.partition(".")
    number, _, name = rest.partition(".")
    if not equals or what not in STREAMS_SET or not number.isdecimal():
        raise UsageProblem(f"--set {text}: write pool.<number>.<field>=<value> or instrument.<number>.<field>=<value>")
    fields = {field.name: field for field in schema(what).fields if field.name not in FIXED and field.is_whole}
    if name not in fields:
        raise UsageProblem(f"--set {text}: {what} has no field {name!r} that can be set; it has {', '.join(fields)}")
    return Setting(what, int(number), name, _value(fields[name], value, text))


def _value(field: Field, value: str, text: str) -> int | None:
    if value == "null" and field.nullable:
        return None
    if field.kind is Kind.ENUM:
        if value in field.symbols:
            return field.symbols.index(value)
        raise UsageProblem(f"--set {text}: {field.name} is one of {', '.join(field.symbols)}")
    try:
        number = int(value)
    except ValueError:
        raise UsageProblem(f"--set {text}: {field.name} is a whole number") from None
    if not field.low <= number <= field.high:
        raise UsageProblem(f"--set {text}: {field.name} lies from {field.low} to {field.high}")
    return number


def apply_settings(chunks: Sequence[Chunk], settings: Sequence[Setting]) -> list[Chunk]:
    """The exchange's records with the settings in them. Raises UsageProblem where a pool or instrument is not in the log."""
    edited = list(chunks)
    for what, stream in STREAMS_SET.items():
        wanted = [setting for setting in settings if setting.what == what]
        if not wanted:
            continue
        found = [False] * len(wanted)
        for index, chunk in enumerate(edited):
            if chunk.topic == stream:
                edited[index] = _edit(chunk, what, wanted, found)
        for setting, is_found in zip(wanted, found, strict=True):
            if not is_found:
                raise UsageProblem(f"--set {setting}: the log has no {what} {setting.number}")
    return edited


def _edit(chunk: Chunk, what: str, settings: Sequence[Setting], found: list[bool]) -> Chunk:
    """One partition of parameters: offsets after an inserted record move up by one; nothing else refers to them."""
    edited = Chunk(chunk.topic, chunk.partition, chunk.start, chunk.start)
    begun: set[int] = set()
    columns = zip(chunk.offsets, chunk.timestamps_ms, chunk.keys, chunk.values, chunk.headers, strict=True)
    for offset, timestamp_ms, key, value, headers in columns:
        row = _readable(chunk.topic, value)
        ours = [(place, setting) for place, setting in enumerate(settings) if row is not None and setting.number == row[what]]
        if row is None or not ours or row[what] not in begun:
            _append(edited, offset, NewRecord(chunk.topic, chunk.partition, timestamp_ms, key, value, headers))
        if row is not None and ours:
            begun.add(row[what])
            changed = {**row, "version": row["version"] + 1, **{setting.field: setting.value for _, setting in ours}}
            _refuse_impossible(what, changed, ours[-1][1])
            record = new_record(chunk.topic, changed, chunk.partition, headers)
            _append(edited, offset, replace(record, timestamp_ms=timestamp_ms))
            for place, _ in ours:
                found[place] = True
    edited.stop = max(chunk.stop + len(begun), edited.stop)
    return edited


def _refuse_impossible(what: str, row: dict[str, Any], setting: Setting) -> None:
    parsed = parse_pool(row) if what == "pool" else parse_instrument(row)
    if isinstance(parsed, tuple):
        raise UsageProblem(f"--set {setting}: the rules refuse it: {parsed[1]}")


def _readable(stream: str, value: bytes | None) -> dict[str, Any] | None:
    """None for what will be a dead letter, as it was."""
    try:
        return codec(stream).decode_row(value)
    except CheckFailed:
        return None


def _append(edited: Chunk, offset: int, record: NewRecord) -> None:
    at = max(edited.stop, offset)
    edited.append(at, record)
    edited.stop = at + 1
