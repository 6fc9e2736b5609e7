"""Which readable records are turned away at the door: their event time is none, or contradicts their timestamp, or their account the key.

A gateway that gives seconds or milliseconds for microseconds is a thousand times off or more; one that lags, or sends an old year again, never is.
So event time and timestamp may be 500 times apart, whoever dated the record. Times before 2001 are those of a simulation, and no timestamp says
nothing; no key says nothing either.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.bus.columns import ByteColumn, joined_bytes, joined_numbers
from streams.bus.contract import Chunk
from streams.domain.batch import Column
from streams.domain.events import DeadLetterReason
from streams.topics import EXCHANGE_TOPICS, TOPICS
from streams.wire.codec import Decoded
from streams.wire.framing import Fault
from streams.wire.kernels import differing
from streams.wire.records import ACCOUNT

Ints = NDArray[np.int64]
EVENT_TIME_END_US: Final = 2**53  # the year 2255
APART: Final = 500  # how many times one of event time and timestamp may be the other
DATED_FROM_US: Final = 10**15  # September 2001
_UNITS: Final = (("milliseconds", 1_000), ("seconds", 1_000_000))  # what may have been given for microseconds, and how many of them it is


def admitted(topic: str, decoded: Decoded, chunks: Sequence[Chunk], owners: dict[int, int]) -> Decoded:
    """The records that may come in; the others are among the bad ones, and `owners` has the accounts that they name, by place."""
    times = np.asarray(decoded.columns["event_time_us"])
    if not len(times):
        return decoded
    found = _without_time(times)
    if topic in EXCHANGE_TOPICS:
        found = {**_misdated(times, decoded.good, chunks), **found}
        if TOPICS[topic].key == "account":
            found = {**_misaddressed(np.asarray(decoded.columns["account"]), decoded.good, chunks), **found}
    if not found:
        return decoded
    strangers = sorted(found)
    inside = np.ones(len(times), bool)
    inside[strangers] = False
    if "account" in decoded.columns:
        owners.update((int(decoded.good[at]), int(decoded.columns["account"][at])) for at in strangers)
    bad = [(int(decoded.good[at]), *found[at]) for at in strangers]
    return Decoded(take(decoded.columns, np.flatnonzero(inside)), decoded.good[inside], sorted([*decoded.bad, *bad]))


def take(columns: Mapping[str, Column], places: Ints) -> dict[str, Column]:
    """The rows at these places."""
    taken: dict[str, Column] = {}
    for name, column in columns.items():
        taken[name] = column[places] if isinstance(column, np.ndarray) else [column[place] for place in places.tolist()]
    return taken


def _without_time(times: Ints) -> dict[int, Fault]:
    """Event times no clock can show: one of them would make every later record of its partition late."""
    if times.min() >= 0 and times.max() < EVENT_TIME_END_US:
        return {}
    places = np.flatnonzero((times < 0) | (times >= EVENT_TIME_END_US)).tolist()
    hint = "; it is in microseconds since 1970"
    return {at: (DeadLetterReason.OUT_OF_BOUNDS, f"event time {int(times[at])} is not from 0 to {EVENT_TIME_END_US} us{hint}") for at in places}


def _misdated(times: Ints, good: Ints, chunks: Sequence[Chunk]) -> dict[int, Fault]:
    """Event times that are not of the order of their records' timestamps."""
    stamps = np.array(joined_numbers([chunk.timestamps_ms for chunk in chunks]), np.int64)
    stamps = np.clip(stamps if len(good) == len(stamps) else stamps[good], 0, EVENT_TIME_END_US // 1000) * 1000
    first, last = int(stamps.min()), int(stamps.max())
    if last <= int(times.min()) * APART and int(times.max()) <= first * APART:
        return {}
    event = np.clip(times, 0, EVENT_TIME_END_US)
    low, high = np.minimum(event, stamps), np.maximum(event, stamps)
    wrong = (low * APART < high) & (high >= DATED_FROM_US) & (stamps > 0) & (event == times)  # the others have no time at all
    return {at: (DeadLetterReason.BAD_VALUE, _other_unit(int(times[at]), int(stamps[at]))) for at in np.flatnonzero(wrong).tolist()}


def _other_unit(time_us: int, stamp_us: int) -> str:
    """In words: which unit it looks like."""
    said = f"event time {time_us} us is {_moment(time_us)}, the record's own timestamp {_moment(stamp_us)}"
    for unit, factor in _UNITS:
        if stamp_us <= time_us * factor * APART and time_us * factor <= stamp_us * APART:
            return f"{said}: {unit} given for microseconds?"
        if time_us <= stamp_us * factor * APART and stamp_us * factor <= time_us * APART:
            return f"{said}: is the timestamp in milliseconds, and the event time in microseconds?"
    return f"{said}: one of them is not when it happened"


def _moment(time_us: int) -> str:
    return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us):%Y-%m-%d %H:%M:%S}"


def _misaddressed(accounts: Ints, good: Ints, chunks: Sequence[Chunk]) -> dict[int, Fault]:
    """Records whose key is not their account."""
    keys = ByteColumn.of(joined_bytes([chunk.keys for chunk in chunks]))
    keys = keys if len(good) == len(keys) else keys.take(good)
    wrong = np.empty(len(keys), np.bool_)
    differing(keys.data, keys.starts, keys.sizes, accounts, wrong)
    return {at: (DeadLetterReason.BAD_VALUE, _other_key(keys[at], int(accounts[at]))) for at in np.flatnonzero(wrong).tolist()}


def _other_key(key: bytes | None, account: int) -> str:
    """In words: what it is and what it should be."""
    assert key is not None, "a record without a key contradicts nothing"
    what = f"account {ACCOUNT.unpack(key)[0]}" if len(key) == ACCOUNT.size else f"none: it has {len(key)} bytes"
    return f"the key names {what}, the record account {account}; the key is the account as {ACCOUNT.size} bytes, big-endian"
