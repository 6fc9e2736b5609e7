"""Human quantities as integers, exactly: prices as ticks, sizes as lots, money as settlement units, shares as millionths, durations as microseconds.

What does not come out whole is refused, never rounded. A refusal is a ValueError whose text says what was wrong and what to do.
"""

import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction

from streams.domain.money import PPM

Number = str | int
MAX_DIGITS = 40  # of a number in a file, before and after the point: far above every bound, and cheap
_DURATION = re.compile(r"\s*([0-9_.]+)\s*(us|ms|s|min|h)?\s*")
_UNIT_US = {"us": 1, "ms": 1_000, "s": 1_000_000, "min": 60_000_000, "h": 3_600_000_000}


def exact(given: Number) -> Fraction:
    """The number as it is written."""
    try:
        number = Decimal(given)
    except InvalidOperation:
        raise ValueError(f'{given!r} is not a number; write it as 12.5 or as text "12.5"') from None
    if not number.is_finite() or max(number.adjusted(), -int(number.as_tuple().exponent)) >= MAX_DIGITS:
        raise ValueError(f"{str(given)[:MAX_DIGITS]} is not a number that can be counted with; write a smaller or shorter one")
    return Fraction(number)


def whole(given: Number | Fraction, step: Fraction, name: str) -> int:
    """How many steps the number is; `name`: what the steps are."""
    number = given if isinstance(given, Fraction) else exact(given)
    count = number / step
    if count.denominator != 1:
        raise ValueError(f"{plain(number)} is not a whole number of {name} of {plain(step)}; round it to them")
    return count.numerator


def plain(number: Fraction) -> str:
    """A number for people: as a decimal where it is one that ends, cut after eight places otherwise."""
    scaled = abs(number) * 10**MAX_DIGITS
    digits = str(scaled.numerator // scaled.denominator).rjust(MAX_DIGITS + 1, "0")
    before, after = digits[:-MAX_DIGITS], digits[-MAX_DIGITS:].rstrip("0")
    after = after if scaled.denominator == 1 else digits[-MAX_DIGITS:][:8].rstrip("0")
    return f"{'-' if number < 0 else ''}{int(before):,}{'.' if after else ''}{after}"


def share_ppm(given: Number) -> int:
    """A share in millionths: "5 %", or 0.05."""
    text = str(given).strip()
    share = exact(text[:-1].rstrip()) / 100 if text.endswith("%") else exact(given)
    if (share * PPM).denominator != 1:
        raise ValueError(f"{given} is finer than a millionth; round it to one")
    return int(share * PPM)


def duration_us(given: Number) -> int:
    """A duration in microseconds: "5 s", "20 ms", "1 us", "2 min"; a bare number is of seconds."""
    match = _DURATION.fullmatch(str(given))
    if not match:
        raise ValueError(f'{given!r} is not a duration; write it as "5 s", "20 ms", "1 us" or "2 min"')
    duration = exact(match[1]) * _UNIT_US[match[2] or "s"]
    if duration.denominator != 1:
        raise ValueError(f"{given} is finer than a microsecond; round it to one")
    return duration.numerator
