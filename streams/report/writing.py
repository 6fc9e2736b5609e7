"""How numbers and times are written, in tables and beside plots. Whole numbers stay exact; what is cut is cut, not rounded."""

from datetime import UTC, datetime, timedelta
from typing import Final

from streams.notify.names import Unit

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SECOND_US: Final = 1_000_000
MINUS: Final = "\u2212"  # as wide as a digit
ABSENT: Final = "\u2013"


def whole(number: int) -> str:
    """A whole number with thousands separators."""
    return f"{number:,}".replace("-", MINUS)


def money(unit: Unit, amount: int) -> str:
    """An amount to the last unit, with its symbol."""
    return unit.text(amount).replace("-", MINUS, 1)


def clipped(symbol: str, width: int) -> str:
    """A symbol beside a plot; the id that tells it from another one of the same symbol is not cut off."""
    name, parenthesis, rest = symbol.rpartition(" (")
    number = parenthesis + rest if name and rest.removesuffix(")").isdigit() else ""
    return symbol if len(symbol) <= width else symbol.removesuffix(number)[: max(1, width - len(number))] + number


def percent(ppm: int) -> str:
    """Millionths as percent with one place, cut."""
    return f"{MINUS if ppm <= -1_000 else ''}{abs(ppm) // 10_000:,}.{abs(ppm) // 1_000 % 10} %"


def basis_points(ppm: int | None) -> str:
    """Millionths as basis points, exactly."""
    return ABSENT if ppm is None else f"{MINUS if ppm < 0 else ''}{abs(ppm) // 100:,}.{abs(ppm) % 100:02d}"


def clock(time_us: int) -> str:
    """Time of day, UTC, no finer than it is."""
    moment = EPOCH + timedelta(microseconds=time_us)
    return moment.strftime("%H:%M:%S") + (f".{moment.microsecond:06d}".rstrip("0") if moment.microsecond else "")


def exact_clock(time_us: int) -> str:
    """Time of day, UTC, to the microsecond: as wide as every other one."""
    return (EPOCH + timedelta(microseconds=time_us)).strftime("%H:%M:%S.%f")


def date_and_clock(time_us: int) -> str:
    """Date and time, UTC."""
    return f"{(EPOCH + timedelta(microseconds=time_us)).date().isoformat()} {clock(time_us)}"


def duration(span_us: int) -> str:
    """A length of time in the two largest units that it fills."""
    if span_us < SECOND_US:
        return f"{span_us:,} µs" if span_us < 1000 else f"{span_us / 1000:g} ms"
    left = span_us // SECOND_US
    told: list[str] = []
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count or told:
            told.append(f"{count} {name}")
    return " ".join(told[:2])


def short(value: float) -> str:
    """A number for an axis: 1.2 k, 350 M."""
    for size, name in ((1e12, " T"), (1e9, " bn"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{name}".replace("-", MINUS)
    return f"{value:.3g}".replace("-", MINUS)
